"""Named configurations of models, read from `presets.json`."""

import dataclasses
import difflib
import functools
import json
from importlib import resources
from types import MappingProxyType
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named configuration of a model.

    Args:
        name: its name.
        description: what it is and where it comes from.
        use: what it is good for.
        model: name of the model class it is for; a `CVRModel` takes those of a `CTRModel` too.
        arguments: constructor arguments beside the schema.
    """

    name: str
    description: str
    use: str
    model: str
    arguments: dict[str, Any]


@functools.cache
def _all() -> dict[str, Preset]:
    entries = json.loads(resources.files(__package__).joinpath("presets.json").read_text(encoding="utf-8"))
    return {
        name: Preset(name, entry["description"], entry["use"], entry.get("model", "CTRModel"), entry["arguments"])
        for name, entry in entries.items()
    }


def presets(*models: str) -> MappingProxyType[str, str]:
    """Descriptions of presets by name.

    Args:
        *models: names of the model classes they are for, such as `"TwoTowerModel"`. Without one, all presets.

    Example:

    >>> presets()["dcn_v2_gsl_resl"]
    'DCN V2 with groups at all three placements and residual learning.'
    """
    return MappingProxyType(
        {name: preset.description for name, preset in _all().items() if not models or preset.model in models}
    )


def get_preset(name: str) -> Preset:
    """The preset of a name.

    Args:
        name: one of `presets()`.

    Raises:
        ValueError: on an unknown name; the message has the nearest ones.

    Example:

    >>> get_preset("fm").arguments["backbone"]
    'fm'
    """
    known = _all()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"Unknown preset {name!r}.{hint} Presets: {list(known)}.")
    return known[name]
