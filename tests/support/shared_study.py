"""A model of a study that is trained in two processes, also where a run is killed."""

import numpy as np
import pytest

import grouprank as gr
from grouprank.recipes.epoch_report import EpochReport
from grouprank.recipes.state_file import StateFile
from grouprank.recipes.train_model import train_model
from grouprank.recipes.training import Training
from grouprank.reports.terminal import Terminal

# Of which 1,750 are for training, in seven steps: several processes would drop what is left over.
ROWS = 2500


class KilledError(Exception):
    pass


def model_of(table, dropout=0.0, groups=()):
    return gr.models.CTRModel(
        table.schema,
        "mlp",
        group_structure=groups,
        residual_learning=False,
        embedding_dim=4,
        embedding_optimizer="adagrad",
        table_placement="rows",
        tower_units=(8,),
        dropout=dropout,
    )


def trained(table, folder, **arguments):
    folder.mkdir(exist_ok=True)
    schedule = Training(batch_size=250, epochs=2, learning_rate=0.02)
    quiet = Terminal(quiet=True)
    return train_model(lambda: model_of(table, **arguments), folder, table, schedule, seed=0, console=quiet)


def in_one_of_two(rank, world_size, folder):
    import torch

    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world_size)
    table = gr.datasets.PreparedTable(folder / "prepared")
    test = table.batches("test")
    np.savez(folder / f"shared-{rank}.npz", **trained(table, folder / "shared").predict_proba(test))

    arguments = {"dropout": 0.5, "groups": ("user",)}
    whole = trained(table, folder / "whole", **arguments).predict_proba(test)
    of_report = EpochReport.on_epoch_end

    def die(*arguments):
        raise KilledError

    # After the first epoch, before its state is kept; then after that of the first one.
    for number in (0, 1):
        EpochReport.on_epoch_end = lambda self, epoch, logs, last=number: (of_report if epoch < last else die)(
            self, epoch, logs
        )
        with pytest.raises(KilledError):
            trained(table, folder / "killed", **arguments)
    EpochReport.on_epoch_end = of_report
    states = list((folder / "killed" / "backup").iterdir())
    assert [file.name for file in states] == ["epoch-000001.state"]
    arrays = dict(StateFile(states[0]).arrays())
    # Each process draws its own dropout.
    assert (arrays["process/0/generator-cpu"] != arrays["process/1/generator-cpu"]).any()
    resumed = trained(table, folder / "killed", **arguments).predict_proba(test)
    np.testing.assert_array_equal(resumed["click"], whole["click"])
