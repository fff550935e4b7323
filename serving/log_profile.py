"""What a log looked like when a model was exported, in its version folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# In the version folder.
LOG_PROFILE_FILE = Path("assets.extra", "log_profile.json")


def reference_as_json(reference: Mapping[str, Any]) -> str:
    """The text of the file.

    Args:
        reference: see `export`.

    Raises:
        ValueError: if it is no JSON.
    """
    try:
        return json.dumps(reference, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`reference` must be what `LogProfile.to_dict` gives: {error}.") from error
