"""Conversions over the entire space of impressions, trained day by day."""

import keras
import numpy as np
import pytest
from support.daily_log import DESCRIPTION, date_of, day_rows, make_trainer, write_days

import grouprank as gr
from grouprank.reports import task_metrics


def test_conversions_of_clicks_and_of_impressions(tmp_path):
    days = write_days(tmp_path / "log", range(2))
    transforms = gr.incremental.fit_transforms(DESCRIPTION, days[:1])
    keras.utils.set_random_seed(0)
    model = gr.models.CVRModel(
        transforms.schema,
        "mlp",
        embedding_dim=4,
        tower_units=(4,),
        calibration=True,
        residual_learning=gr.models.ResidualLearning(teacher="yesterday", units=(4,)),
    )
    model.compile(keras.optimizers.Adam(0.02))
    trainer = make_trainer(tmp_path / "run", days, model, replay=0.0, held_out=0.4)
    trainer.step(days[0])
    frame = day_rows(1)
    known, of_ids = trainer.load(1)
    expected = known.predict_proba({name: values.array for name, values in of_ids.encode(frame).items()})
    # Purchases of the first day arrive on the second one.
    late = gr.incremental.LateLabels(days[0], day_rows(0).select("buy"))
    entry = trainer.step(days[1], late=[late])
    names = {"click", "buy", "click_and_buy"}
    scores = trainer.predictions(date_of(1))
    assert set(scores) == set(entry["progressive"]) == set(entry["gate"]["today"]) == names
    for name in names:
        np.testing.assert_allclose(scores[name], expected[name], rtol=1e-5)
    np.testing.assert_allclose(scores["click_and_buy"], scores["click"] * scores["buy"], rtol=1e-4)
    bought = frame["buy"].fill_null(0).to_numpy()
    among_clicks = np.where(frame["click"] == 1, bought, np.nan)
    for name, labels in {"click": frame["click"], "buy": among_clicks, "click_and_buy": bought}.items():
        wanted = task_metrics(labels, scores[name]).to_dict()
        assert entry["progressive"][name] == pytest.approx(wanted, rel=1e-4), name
    assert set(entry["late"][0]["metrics"]) == names
    assert entry["calibrated_rows"] > 100
    trained, _ = trainer.load()
    assert all(layer.get_weights()[1].any() for layer in trained.calibrations.values()), "none is the identity"
