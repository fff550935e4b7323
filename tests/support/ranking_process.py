"""One of the processes that train the model of `ranking_case` together."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from support.ranking_case import BATCH, everything_of, ranking_columns, ranking_model, results_of
from support.xla_flags import XLA_FLAGS

from grouprank.serving import export


def check_export(model, columns, version, rank):
    """All processes get the report of the export that one of them wrote, of the rows of the first one."""
    columns = {name: values[:64] for name, values in columns.items()}
    report = export(model, version, rows=columns)
    assert (report.path, report.rows) == (version, 64)
    assert (version / "saved_model.pb").is_file()
    found = model.predict_proba(columns, batch_size=BATCH)["click"]
    assert np.allclose(report.probabilities["click"], found, rtol=0, atol=1e-5) == (rank == 0)
    with pytest.raises(FileExistsError, match="exists"):
        export(model, version)


def train_together(rank, world_size, address, folder):
    """Writes what this process found to `FOLDER/found_RANK.npz`, and saves `FOLDER/model.keras` with the others."""
    if keras.backend.backend() == "torch":
        import torch

        torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=world_size)
    else:
        import jax

        os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} --xla_force_host_platform_device_count=2"
        os.environ["PJRT_NPROC"] = "8"
        keras.distribution.initialize(address, world_size, rank)
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    part = BATCH // world_size
    # Of every batch a process has one part.
    own = np.arange(len(ranking_columns()[0]["bid"])) % BATCH // part == rank
    columns = [{name: values[own] for name, values in table.items()} for table in ranking_columns()]
    model = ranking_model()
    found = results_of(model, *columns, batch_size=part)
    found |= everything_of(model)
    model.save(os.path.join(folder, "model.keras"))
    if keras.backend.backend() == "torch":
        check_export(model, columns[0], Path(folder) / "served" / "1", rank)
    np.savez(os.path.join(folder, f"found_{rank}.npz"), **found)
    if keras.backend.backend() == "jax":
        jax.distributed.shutdown()
