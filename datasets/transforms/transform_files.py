"""The files of a table's fitted transforms: `transforms.json`, the vocabularies and the frames."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import polars as pl

from ...schema import Schema
from ...schema.features import fingerprint_of
from ..kinds import TRANSFORMS, Transform
from .boosted_leaves import BoostedLeaves

_FILE = "transforms.json"
_VOCABULARIES = "vocabularies"
_FRAMES = "frames"
_TREES = "boosted_trees.parquet"
# In version 1 the unknown tokens of sequences have the id of padding; such transforms are encoded as they were fitted.
_VERSION = 2


def write_transforms(
    folder: Path,
    schema: Schema,
    transforms: Mapping[str, Transform],
    oov_share: Mapping[str, float],
    leaves: BoostedLeaves | None = None,
) -> None:
    """Write a table's fitted transforms into a folder.

    Args:
        folder: the folder; it is made if it does not exist.
        schema: the schema of the features.
        transforms: transform of each feature that is made of a raw column.
        oov_share: share of the training rows' tokens that are out of the vocabulary, where it is known.
        leaves: boosted trees over these features. Defaults to `None`.
    """
    (folder / _VOCABULARIES).mkdir(parents=True, exist_ok=True)
    columns = {}
    for name, transform in transforms.items():
        entry = transform.to_entry()
        if name in oov_share:
            entry["oov_share"] = oov_share[name]
        tokens = getattr(transform, "tokens", None)
        if tokens is not None:
            entry["vocabulary"] = f"{_VOCABULARIES}/{name}.txt"
            entry["tokens"] = len(tokens)
            text = "".join(f"{token}\n" for token in tokens)
            (folder / entry["vocabulary"]).write_text(text, encoding="utf-8", newline="\n")
        for field, frame in transform.frames.items():
            file = f"{_FRAMES}/{name}.{field}.parquet"
            (folder / _FRAMES).mkdir(exist_ok=True)
            frame.write_parquet(folder / file)
            entry.setdefault("frames", {})[field] = file
        columns[name] = entry
    config = {"version": _VERSION, "schema": schema.to_dict(), "columns": columns}
    if leaves:
        leaves.nodes.write_parquet(folder / _TREES)
        config["leaves"] = {"names": leaves.names, "reads": leaves.reads}
    (folder / _FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_transforms(folder: Path) -> tuple[Schema, dict[str, Transform], dict[str, float], BoostedLeaves | None]:
    """The schema, the transforms, the shares and the boosted trees that `write_transforms` wrote.

    Args:
        folder: the folder.

    Raises:
        ValueError: if a file is missing, of another version, truncated, changed, or outside of the folder.
    """
    path = folder / _FILE
    if not path.is_file():
        raise ValueError(f"{path} does not exist. Pass a folder that TableTransforms.save wrote.")
    config = json.loads(path.read_text(encoding="utf-8"))
    version = config.get("version")
    if version not in (1, _VERSION):
        raise ValueError(
            f"{path}: expected version 1 or {_VERSION}. Received: {version!r}. Prepare the data again, or read the "
            "folder with the version of grouprank that wrote it."
        )
    entries = {name: dict(entry) for name, entry in config["columns"].items()}
    if version == 1:
        entries = {name: {**entry, "unknown_id": 0} for name, entry in entries.items()}
    shares = {name: float(entry.pop("oov_share")) for name, entry in entries.items() if "oov_share" in entry}
    transforms = {name: _load_transform(folder, entry) for name, entry in entries.items()}
    schema = Schema.from_dict(config["schema"])
    leaves = None
    if "leaves" in config:
        found = config["leaves"]
        leaves = BoostedLeaves(tuple(found["names"]), tuple(found["reads"]), _load_frame(folder / _TREES))
    # The last digits of moments may differ between machines, ids may not.
    fingerprints = {name: transform.fingerprint for name, transform in transforms.items() if transform.vocabulary_size}
    for name, fitted in {**fingerprints, **(dict.fromkeys(leaves.names, leaves.fingerprint) if leaves else {})}.items():
        if fingerprint_of(schema[name]) not in (None, fitted):
            raise ValueError(
                f"{path}: feature {name!r} was fitted with another vocabulary than this folder holds. A file was "
                "edited, or comes from another run. Copy the whole folder again, or prepare the data again."
            )
    return schema, transforms, shares, leaves


def _load_transform(folder: Path, entry: dict[str, Any]) -> Transform:
    kind = entry["kind"]
    if kind not in TRANSFORMS:
        raise ValueError(f"{folder / _FILE}: expected a kind of transform this version knows. Received: {kind!r}.")
    tokens = None
    if "vocabulary" in entry:
        tokens = _load_tokens(_inside(folder, entry["vocabulary"]), entry["dtype"], entry["tokens"])
        del entry["tokens"]
    files = entry.pop("frames", {})
    frames = {field: _load_frame(_inside(folder, file)) for field, file in files.items()}
    return TRANSFORMS[kind].from_entry(entry, tokens, frames)


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder; a name that leads out of it is an error."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    if any(path.anchor or ".." in path.parts for path in paths):
        raise ValueError(
            f"{folder / _FILE} names a file outside of its folder: {name!r}. Expected: a path inside of it, such "
            f"as {_VOCABULARIES + '/os.txt'!r}. Take the folder from whoever wrote it again."
        )
    return folder / name


def _load_tokens(path: Path, dtype: str, expected: int) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"The vocabulary {path} is missing. Prepare the data again.")
    with path.open(encoding="utf-8", newline="\n") as file:  # splitlines() would also cut at other Unicode breaks
        lines = file.read().split("\n")[:-1]
    if len(lines) != expected:
        raise ValueError(
            f"The vocabulary {path} must have {expected} lines. Received: {len(lines)}. Prepare the data again."
        )
    return np.array(lines, dtype=object) if dtype == "string" else np.array(lines, dtype=object).astype("int64")


def _load_frame(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ValueError(f"The file {path} is missing. Take the folder from whoever wrote it again.")
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"The file {path} is damaged ({error}). Take the folder from whoever wrote it again."
        ) from error
