"""The exported models that are asked."""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ... import models, serving
from ...datasets import KuaiRandPure, PreparedTable, prepare
from ...schema import Categorical, Schema, Task
from ...serving.column_sides import ColumnSides
from ...serving.row_columns import raw_rows
from ..dcn.workload import Workload

RAW, IDS = "raw columns", "ids and floats"
FLOAT32, BFLOAT16, INT8, INT4 = "float32", "bfloat16", "int8", "int4"
STORED = (FLOAT32, BFLOAT16, INT8, INT4)


def write_log_models(data: Path, folder: Path, preset: str, embedding_dim: int, rows: int) -> dict[str, Path]:
    """A preset on KuaiRand-Pure's columns, exported with its preprocessing inside and without.

    The weights are those of a new model: what a request takes does not depend on them. Beside each version lies
    `requests.pickle` with columns of a request to `rank`: one user's, and as many ads' as `rows`.

    Args:
        data: folder with the official files.
        folder: where tables and models are written.
        preset: name of the preset.
        embedding_dim: width of an embedding.
        rows: ads of the largest request.

    Returns:
        The version folders, by what they take.
    """
    dataset = KuaiRandPure(data)
    table = prepare(dataset, folder / "prepared")
    keras.utils.set_random_seed(0)
    model = models.CTRModel.from_preset(preset, table.schema, embedding_dim=embedding_dim)
    model.compile(metrics={})
    model.adapt(_some_rows(table, 4096))
    # Whole impressions of a chunk of lines: some may lack their side rows.
    frame = next(iter(dataset.chunks(2 * rows))).head(rows)
    if len(frame) < rows:
        raise ValueError(f"The log holds fewer rows than the largest request has ads: {len(frame)} < {rows}.")
    found = {}
    for kind, transforms in ((RAW, table.transforms), (IDS, None)):
        path = folder / kind.replace(" ", "_") / "1"
        columns = raw_rows(table.schema, transforms, frame if transforms else table.transforms(frame))
        serving.export(model, path, transforms=transforms, rows={n: v[:256] for n, v in columns.items()})
        sources = table.transforms.sources if transforms else {name: name for name in table.schema.feature_names}
        (path.parent / "requests.pickle").write_bytes(
            pickle.dumps((columns, ColumnSides.of(table.schema, sources).candidate))
        )
        found[kind] = path
    return found


def write_network_models(work: Mapping[str, Any], folder: Path, stored: Iterable[str] = STORED) -> dict[str, Path]:
    """DCNv2 alone, for one task, over the fields of a workload: the network that other libraries have too.

    Args:
        work: arguments of `Workload`.
        folder: where the models are written.
        stored: how tables are kept, a model each. Defaults to `STORED`.

    Returns:
        The version folders, by how the table is stored.
    """
    data, found = Workload.of(work), {}
    columns = zip(data.field_names, data.vocabulary_sizes, strict=True)
    schema = Schema([Categorical(name, size) for name, size in columns], [Task("click")])
    for dtype in stored:
        keras.utils.set_random_seed(0)
        model = models.CTRModel(
            schema,
            backbone=models.backbones.DCNv2(3, units=(256, 128)),
            group_structure=(),
            residual_learning=False,
            embedding_dim=data.embedding_dim,
            tower_units=(),
            embedding_optimizer="adam",
            embedding_storage_dtype=BFLOAT16 if dtype == BFLOAT16 else FLOAT32,
        )
        path = folder / dtype / "1"
        serving.export(model, path, table_dtype=dtype if dtype in (INT8, INT4) else FLOAT32)
        ids, _ = next(data.stream())
        requests = dict(zip(data.field_names, ids.T, strict=True))
        (path.parent / "requests.pickle").write_bytes(pickle.dumps((requests, ())))
        found[dtype] = path
    return found


def _some_rows(table: PreparedTable, count: int) -> dict[str, np.ndarray]:
    return {f.name: np.asarray(table.column("train", f.name)[:count]) for f in table.schema.features}
