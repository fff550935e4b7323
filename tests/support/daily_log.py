"""A small log with a Parquet file a day, and a small model that trains on it."""

import keras
import numpy as np
import polars as pl

import grouprank as gr

DESCRIPTION = gr.datasets.TableDescription.from_dict(
    {
        "features": [
            {"name": "user", "kind": "categorical", "side": "user"},
            {"name": "ad", "kind": "growing", "side": "ad", "capacity": 22, "eviction": "lfu", "half_life": 1},
            {"name": "bid", "kind": "numeric", "side": "ad", "function": "identity"},
        ],
        "tasks": ["click", {"name": "buy", "given": "click"}],
    }
)


def day_rows(day, rows=300):
    """Rows of a day: users and ads have rates of their own, and a few ads are new every day."""
    rng = np.random.default_rng(day)
    user, ad = rng.integers(0, 40, rows), rng.integers(0, 20, rows) + day
    bid = rng.normal(size=rows).astype("float32")
    logit = np.where(user % 2, 1.0, -1.0) + np.where(ad % 3, 0.5, -1.5) + 0.3 * bid
    click = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype("float32")
    buy = np.where(click == 1, (rng.random(rows) < 0.4).astype("float32"), np.nan)
    columns = {"user": [f"u{i}" for i in user], "ad": [f"a{i}" for i in ad], "bid": bid, "click": click}
    return pl.DataFrame({**columns, "buy": buy}).with_columns(pl.col("buy").fill_nan(None))


def date_of(day):
    return f"2024-01-{day + 1:02d}"


def write_days(folder, days, rows=300, **columns):
    """Write a file for each day; `columns` are made of a day's frame, and `None` leaves a column out."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        frame = day_rows(day, rows)
        for name, make in columns.items():
            frame = frame.drop(name) if make is None else frame.with_columns(make(frame, day).alias(name))
        frame.write_parquet(folder / f"{date_of(day)}.parquet")
    return gr.incremental.periods(folder)


def make_model(transforms, learning_rate=0.01, **arguments):
    """A model of a moment, with all that has a state: groups, dropout and a fused table."""
    keras.utils.set_random_seed(0)
    options = {
        "backbone": "mlp",
        "embedding_dim": 4,
        "tower_units": (4,),
        "dropout": 0.1,
        "group_structure": ("user",),
        "embedding_optimizer": "adagrad",
        "residual_learning": gr.models.ResidualLearning(teacher="yesterday", units=(4,)),
    }
    model = gr.models.CTRModel(transforms.schema, **{**options, **arguments})
    model.compile(keras.optimizers.Adam(learning_rate))
    return model


def make_trainer(folder, days, model=None, description=DESCRIPTION, **arguments):
    """A trainer of the log in `days`, fitted to its first period."""
    transforms = gr.incremental.fit_transforms(description, days[:1])
    model = make_model(transforms) if model is None else model
    options = {"batch_size": 64, "held_out": 0.2, "gate": [gr.reports.GateRule(max_loss=50.0)], "replay": 0.1}
    return gr.incremental.IncrementalTrainer(model, transforms, description, folder, **{**options, **arguments})


def untimed(entry):
    """A ledger's entry without what depends on the clock."""
    return {name: value for name, value in entry.items() if name != "seconds"}
