import keras
import numpy as np

import grouprank as gr
from grouprank.benchmarks import quantized_tables
from grouprank.benchmarks.quantized_tables import Costs
from grouprank.serving.quantization_cost import QuantizationCost

RNG = np.random.default_rng(0)
COLUMNS = {"user_id": RNG.integers(0, 50, 400), "bid": RNG.normal(size=400).astype("float32")}
LABELS = RNG.integers(0, 2, 400).astype("float32")


class PreparedRows:
    """What a prepared table says of its validation rows."""

    schema = gr.Schema([gr.Categorical("user_id", 50, side="user"), gr.Numeric("bid", side="ad")], [gr.Task("click")])

    def column(self, split, name):
        return {"validation": {"click": LABELS}}[split][name]

    def batches(self, split, rows):
        return {"validation": COLUMNS}[split]


def test_tables_are_measured_against_the_model_as_it_was(tmp_path):
    keras.utils.set_random_seed(0)
    # Rows as long as those of a trained table, so that rounding shows.
    model = gr.models.CTRModel(PreparedRows.schema, "mlp", embedding_dim=16, group_structure=("user",))
    table = model.table_stacks[0].embeddings
    table.assign(RNG.normal(size=table.shape))
    model.adapt(COLUMNS)
    model.save(tmp_path / "model.keras")
    found = dict(quantized_tables.measured(tmp_path / "model.keras", PreparedRows()))
    assert {name: costs.table_bytes for name, costs in found.items()} == {
        "int8": (50 * 16 * 4, 50 * 18),
        "int4": (50 * 16 * 4, 50 * 10),
    }
    int8, int4 = (found[name].labelled for name in ("int8", "int4"))
    assert int8.labelled
    assert not found["int8"].expected.labelled
    assert 0 < int8.mean_difference < int4.mean_difference / 4
    assert int8.regrouped <= int4.regrouped
    assert int4.regrouped > 0
    scores = model.predict_proba(COLUMNS)["click"].astype("float64")
    entropy = -np.mean(LABELS * np.log(scores) + (1 - LABELS) * np.log1p(-scores))
    rate = LABELS.mean()
    expected = entropy / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    np.testing.assert_allclose(int8.tasks["click"].normalized_entropy[0], expected, rtol=1e-5)


def test_rows_are_medians_with_ranges():
    def costs(after):
        before = {"click": np.array([0.5, 0.25])}
        found = QuantizationCost.of("int8", before, {"click": np.array(after)}, {"click": np.array([1.0, 0.0])}, 0.5)
        return Costs(found, QuantizationCost.of("int8", before, before, {}, 0.5), (200, 50))

    found = {("log", "int8"): [costs(after) for after in ([0.5, 0.25], [0.5, 0.5], [0.4, 0.25])]}
    (row,) = quantized_tables.task_rows(found)
    losses = [np.log(2) / ((np.log(2) - np.log(0.75)) / 2) - 1, (np.log(2.5) - np.log(2)) / (np.log(2) - np.log(0.75))]
    assert row[:3] == ("log", "int8", "click")
    assert row[5] == f"{100 * losses[1]:+.4f} (+0.0000 – {100 * losses[0]:+.4f})"
    assert row[6:8] == ("+0.0000 (+0.0000 – +0.0000)", "0.01")
    (row,) = quantized_tables.table_rows(found)
    assert row == (
        "log",
        "int8",
        "5.0e-02 (0.0e+00 – 1.2e-01)",
        "1.0e-01 (0.0e+00 – 2.5e-01)",
        "50.00 (50.00 – 50.00)",
        "0",
        "25.0",
    )
