"""`validation_split` on several devices: each part gets as many rows as the devices can share."""

import keras
import numpy as np
import pytest
from support.ranking_case import SCHEMA, ranking_columns

import grouprank as gr
from grouprank.models import table_model
from grouprank.models.checks import dealt_rows


@pytest.fixture
def fitted(monkeypatch):
    """Calls `fit` on 45 rows as if there were four devices, and returns what Keras is given."""
    for module in (table_model, dealt_rows):
        monkeypatch.setattr(module, "data_shards", lambda: 4)
    given = {}

    def fit(self, x, y, batch_size, epochs, **kwargs):
        given.update(x=x, y=y, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", fit)
    model = gr.models.CTRModel(SCHEMA, "lr", group_structure=(), residual_learning=False, tower_units=())
    model.compile()

    def call(**arguments):
        model.fit(*ranking_columns(45), batch_size=8, **arguments)
        return given

    return call


def test_both_parts_are_made_ready_for_the_devices(fitted):
    x, y = ranking_columns(45)
    weight = np.arange(45, dtype="float32")
    given = fitted(validation_split=0.25, sample_weight=weight)
    # Of 33 rows one is left out in training; 12 more are validated, which four devices can share.
    np.testing.assert_array_equal(given["x"]["ad_id"], x["ad_id"][:32])
    np.testing.assert_array_equal(given["sample_weight"], weight[:32])
    columns, labels, weights = given["validation_data"]
    np.testing.assert_array_equal(columns["ad_id"], x["ad_id"][33:])
    np.testing.assert_array_equal(labels["buy"], y["buy"][33:])
    np.testing.assert_array_equal(weights, weight[33:])
    assert "validation_split" not in given


def test_rows_that_the_devices_cannot_share_are_filled_up_in_validation(fitted):
    columns, labels, _ = fitted(validation_split=0.2)["validation_data"]
    # 9 rows become 12, of which 3 have no label.
    assert len(columns["ad_id"]) == 12
    assert np.isnan(labels["click"]).sum() == 3


@pytest.mark.parametrize("share", [0.99, 1.0])
def test_a_part_without_rows_raises(fitted, share):
    with pytest.raises(ValueError, match="must leave rows"):
        fitted(validation_split=share)
