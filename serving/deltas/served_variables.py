"""Where the values of a version's variables come from."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from keras import ops

from .full_export_needed_error import FullExportNeededError

# In the version folder.
RECORD_FILE = Path("assets.extra", "variables.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class ServedVariable:
    """A variable of a version.

    Args:
        key: its name in the checkpoint.
        table: number of the stack of embedding tables whose rows it holds, `None` if it holds other weights.
        places: where each of its values stands in `dense_values`, `None` if it holds rows of tables.
    """

    key: str
    table: int | None
    places: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class ServedVariables:
    """Where the values of a version's variables come from, so that a later model can tell what became of them.

    A version holds rows of tables, other weights, and weights in another order, as its graph reads them. The process
    that writes a version finds out which (`record_variables`).

    Args:
        variables: the variables in their order.
        table_dtype: how the rows of tables are kept, see `export`.
        graph: what the version's graph holds as constants, see `graph_parts`.
    """

    variables: tuple[ServedVariable, ...]
    table_dtype: str
    graph: Mapping[str, str]

    def save(self, saved_model: Path) -> None:
        """Write the record into a version folder."""
        said = {
            "table_dtype": self.table_dtype,
            "graph": dict(self.graph),
            "variables": [{"key": variable.key, "table": variable.table} for variable in self.variables],
        }
        # Differences: neighbours mostly stay neighbours, and long runs of ones take no room.
        places = {
            f"places_{number}": np.diff(variable.places, prepend=0)
            for number, variable in enumerate(self.variables)
            if variable.places is not None
        }
        path = saved_model / RECORD_FILE
        path.parent.mkdir(exist_ok=True)
        arrays: dict[str, Any] = {"record": np.frombuffer(json.dumps(said).encode(), "uint8"), **places}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, saved_model: Path) -> Self:
        """Inverse of `save`.

        Raises:
            ValueError: if the folder is no version.
            FullExportNeededError: a `ValueError`, if it has no record.
        """
        path = saved_model / RECORD_FILE
        if not (saved_model / "saved_model.pb").is_file():
            raise ValueError(
                f"{saved_model} is no version folder. Pass the version that the delta is to start from, such as "
                "saved_models/my_model/3."
            )
        if not path.is_file():
            raise FullExportNeededError(
                f"{saved_model} does not say where its variables come from, since it has no file {RECORD_FILE}. No "
                "delta can start from it. Start from a version that `grouprank.serving.export` wrote as a SavedModel."
            )
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(file["record"].tobytes())
            places = {name: np.cumsum(file[name]) for name in file.files if name != "record"}
        variables = [
            ServedVariable(entry["key"], entry["table"], places.get(f"places_{number}"))
            for number, entry in enumerate(said["variables"])
        ]
        return cls(tuple(variables), said["table_dtype"], said["graph"])


def dense_values(model: Any) -> np.ndarray:
    """A zero, and after it the values of all weights of a model that are not rows of tables, float64.

    Args:
        model: a `TableModel`.
    """
    weights = (ops.convert_to_numpy(weight.value) for weight in model.dense_weights)
    return np.concatenate([np.zeros(1), *(np.asarray(weight, "float64").reshape(-1) for weight in weights)])


def digest(values: np.ndarray) -> str:
    """A short name of an array's contents."""
    return hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()
