"""The graph makes of raw rows what training saw, bit for bit."""

import keras
import numpy as np
import polars as pl
import pytest
from support.raw_ads import ROWS, TRANSFORMS, raw_rows, tiny_model

import grouprank as gr
from grouprank.datasets import NumericTransform, TableTransforms, VocabularyTransform
from grouprank.serving.row_columns import row_columns

REAL_ROWS = 10_000


def odd_rows(raw):
    """The rows with, in turn, values of every column that tend to go wrong."""
    raw, generator = {name: values.copy() for name, values in raw.items()}, np.random.default_rng(0)
    odd = {
        "O": [
            "",
            " ",
            "\x00",
            "\t",
            "\u65e5\u672c\u8a9e",
            "\u00e9",
            "e\u0301",
            "-1",
            "nan",
            "\U0001f600",
            "A" * 3000,
            "\x1f<empty>\x1f",
        ],
        "f": [np.nan, np.inf, -np.inf, -0.0, -5.0, -1e-30, 3.4e38, -3.4e38, 1e-45],
        "i": [np.iinfo("int64").min, np.iinfo("int64").max, -1, 0, 2**31, -(2**31) - 1],
    }
    for values in raw.values():
        kind = values.dtype.kind if values.dtype.kind in odd else "O"
        picked = generator.integers(0, len(odd[kind]), values.shape)
        changed = generator.random(values.shape) < 0.5
        values[changed] = np.array(odd[kind], values.dtype)[picked][changed]
    return raw


@pytest.mark.any_backend
def test_odd_values_of_every_kind(exported):
    model, path, _ = exported
    raw = odd_rows(raw_rows())
    report = gr.serving.check_skew(path, TRANSFORMS, raw, scores=model.predict_proba(TRANSFORMS(raw)))
    assert report.equal, report
    assert report.rows == ROWS
    assert "bit for bit" in str(report)


@pytest.mark.any_backend
def test_the_first_differing_column_is_named(exported):
    _, path, _ = exported
    raw = raw_rows()
    tokens = TRANSFORMS.columns["os"].tokens.copy()
    tokens[:2] = tokens[1::-1]
    columns = {
        **TRANSFORMS.columns,
        "os": VocabularyTransform("os", "string", tokens),
        "age": NumericTransform("age", "identity", 3.0, 1.5000001),
    }
    report = gr.serving.check_skew(path, TableTransforms(TRANSFORMS.schema, columns), raw)
    assert set(report.differing) == {"os", "age"}
    row = int(np.flatnonzero(np.isin(raw["os"], ["android", ""]))[0])
    expected = {"android": (2, 1), "": (1, 2)}[raw["os"][row]]
    assert report.first == {
        "feature": "os", "column": "os", "row": row, "raw": raw["os"][row],
        "prepared": expected[0], "served": expected[1],
    }  # fmt: skip
    assert "First: feature 'os' of the raw column 'os', row" in str(report)


@pytest.mark.any_backend
def test_what_the_user_gets_wrong(exported):
    _, path, _ = exported
    raw = raw_rows()
    with pytest.raises(ValueError, match=r"`rows` lacks the raw columns \['os'\]"):
        gr.serving.check_skew(path, TRANSFORMS, {name: values for name, values in raw.items() if name != "os"})
    with pytest.raises(ValueError, match=r"`prepared` lacks the features \['user_id'"):
        gr.serving.check_skew(path, TRANSFORMS, raw, prepared={"os": np.zeros(ROWS)})
    with pytest.raises(ValueError, match=r"`rows` has 600 rows, other columns have {'click': 3}"):
        gr.serving.check_skew(path, TRANSFORMS, raw, scores={"click": np.zeros(3)})


DATASETS = {"kuairand-pure": gr.datasets.KuaiRandPure, "criteo-dac": gr.datasets.CriteoDAC, "avazu": gr.datasets.Avazu}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="what is made of raw rows depends on no backend; the zoo's test compares the scores that each exports",
)
@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.long
def test_real_rows(name, real_data, tmp_path):
    """Rows of the official files, the last ones of the table, of all splits if one has not as many."""
    dataset = DATASETS[name](real_data(name))
    table = gr.datasets.prepare(dataset, tmp_path / "prepared")
    model = tiny_model(table.schema, group_structure=())
    frames = list(dataset.chunks(300_000))
    raw = pl.concat(frames).with_row_index("place")
    parts, columns = [], {name: [] for name in table.schema.feature_names}
    for split in ("test", "validation", "train"):
        part = raw.filter(pl.col("split") == split)
        taken = min(len(part), REAL_ROWS - sum(map(len, parts)))
        parts.append(part.tail(taken))
        for feature, values in columns.items():
            values.append(np.asarray(table.column(split, feature))[len(part) - taken :])
    rows, prepared = pl.concat(parts), {feature: np.concatenate(values) for feature, values in columns.items()}
    assert len(rows) == min(REAL_ROWS, len(raw))
    path = tmp_path / "models" / "1"
    gr.serving.export(model, path, transforms=table.transforms, rows=rows.head(1000))
    report = gr.serving.check_skew(path, table.transforms, rows, prepared, model.predict_proba(prepared))
    assert report.equal, report
    assert report.max_score_difference <= 1e-6
    if name == "kuairand-pure":  # it has columns of most kinds, and each comparison is a process of its own
        odd = odd_rows(row_columns(rows.head(2000), table.transforms.raw_columns))
        assert gr.serving.check_skew(path, table.transforms, odd).equal
