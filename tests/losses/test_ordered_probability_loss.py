"""The penalty on children that are more probable than their parents."""

import keras
import numpy as np
import pytest
from support.gradients import gradients

import grouprank as gr

LOGITS = np.array([[0.0, 2.0], [0.0, -2.0], [3.0, 3.0], [-4.0, 1.0]], "float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


EXCESS = np.maximum(sigmoid(LOGITS[:, 1]) - sigmoid(LOGITS[:, 0]), 0)


def number(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_by_hand():
    """Odds of 1 and of 1/3 to the parent's disadvantage: p = 1/2 against 3/4, and the other way round."""
    logits = np.log([[1.0, 3.0], [3.0, 1.0]])
    np.testing.assert_allclose(number(gr.losses.OrderedProbabilityLoss()(None, logits)), 0.125, rtol=1e-6)


def test_mean_over_all_rows():
    loss = gr.losses.OrderedProbabilityLoss()
    np.testing.assert_allclose(number(loss(None, LOGITS)), EXCESS.mean(), rtol=1e-6)
    weights = np.array([1.0, 0.0, 2.0, 1.0], "float32")
    expected = (weights * EXCESS).sum() / weights.sum()
    np.testing.assert_allclose(number(loss(None, LOGITS, weights)), expected, rtol=1e-6)
    rows = gr.losses.OrderedProbabilityLoss(reduction="none")(None, LOGITS)
    np.testing.assert_allclose(number(rows), EXCESS, rtol=1e-6)


@pytest.mark.parametrize("labels", [np.full((4, 2), np.nan), np.full((4, 2), 7.0), np.zeros(4), None])
def test_labels_are_not_read(labels):
    np.testing.assert_allclose(number(gr.losses.OrderedProbabilityLoss()(labels, LOGITS)), EXCESS.mean(), rtol=1e-6)


def test_it_pulls_both_towards_each_other_and_only_where_they_are_out_of_order():
    loss = gr.losses.OrderedProbabilityLoss(reduction="sum")
    _, (found,), _ = gradients(lambda logits: loss(None, logits), [LOGITS])
    slope = sigmoid(LOGITS) * (1 - sigmoid(LOGITS)) * np.array([-1.0, 1.0])
    expected = np.where((EXCESS > 0)[:, None], slope, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"of shape \(batch, 2\). Received: .*3"):
        gr.losses.OrderedProbabilityLoss()(None, np.zeros((4, 3)))


def test_config():
    loss = gr.losses.OrderedProbabilityLoss(reduction="sum", name="calibrator")
    twin = gr.losses.OrderedProbabilityLoss.from_config(loss.get_config())
    assert (twin.reduction, twin.name) == ("sum", "calibrator")
    assert isinstance(keras.losses.deserialize(keras.losses.serialize(loss)), gr.losses.OrderedProbabilityLoss)
