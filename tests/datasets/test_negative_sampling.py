"""Loaders that keep a share of the negatives."""

import numpy as np
import pytest

import grouprank as gr
from grouprank.datasets import BatchLoader
from grouprank.datasets.negative_sampling import NegativeSampling

NAN = np.float32("nan")
ROWS = 20_000
RNG = np.random.default_rng(0)
CLICK = (RNG.random(ROWS) < 0.05).astype("float32")
LIKE = np.where(RNG.random(ROWS) < 0.3, NAN, (RNG.random(ROWS) < 0.02).astype("float32"))
LABELS = {"click": CLICK, "like": LIKE}


def loader(labels=LABELS, negative_rate=0.1, **arguments):
    options = {"batch_size": 256, "shuffle": True, "block_rows": 512, "window_blocks": 4, **arguments}
    rows = np.arange(len(next(iter(labels.values()))))
    return BatchLoader({"row": rows}, labels, negative_rate=negative_rate, **options)


def epoch_of(data, epoch=0):
    """Rows, labels and weights of an epoch, without those that only fill batches up."""
    data.epoch = epoch
    batches = [data[index] for index in range(len(data))]
    rows = np.concatenate([x["row"] for x, *_ in batches])
    y, weight = (
        {name: np.concatenate([batch[part][name] for batch in batches]) for name in batches[0][part]} for part in (1, 2)
    )
    real = np.any([~np.isnan(values) for values in y.values()], axis=0)
    return rows[real], {n: v[real] for n, v in y.items()}, {n: v[real] for n, v in weight.items()}


def test_positives_stay_and_negatives_are_sampled_by_task():
    data = loader(negative_rate={"click": 0.1, "like": 0.3})
    rows, y, weight = epoch_of(data)
    assert len(np.unique(rows)) == len(rows)
    for task, rate in {"click": 0.1, "like": 0.3}.items():
        kept = ~np.isnan(y[task])
        np.testing.assert_array_equal(y[task][kept], LABELS[task][rows][kept])
        assert (y[task] == 1).sum() == np.nansum(LABELS[task])
        share = (y[task] == 0).sum() / (LABELS[task] == 0).sum()
        assert share == pytest.approx(rate, abs=4 * np.sqrt(rate / ROWS))
        dropped = np.isnan(y[task]) & (LABELS[task][rows] == 0)
        assert dropped.any()
        assert (weight[task][dropped] == 0).all()
        np.testing.assert_allclose(weight[task][kept], np.where(y[task][kept] == 1, 1.0, 1 / rate), rtol=1e-6)
        # So that sums over the sample are sums over all rows.
        assert weight[task][kept].sum() == pytest.approx((~np.isnan(LABELS[task])).sum(), rel=0.05)


def test_rows_that_nobody_observes_any_more_are_left_out():
    rows, y, _ = epoch_of(loader())
    positive = (CLICK == 1) | (LIKE == 1)
    assert np.isin(np.flatnonzero(positive), rows).all()
    # One number a row decides for both tasks, and so a tenth of the rows without positives remain.
    rest = np.flatnonzero(~positive)
    assert np.isin(rest, rows).mean() == pytest.approx(0.1, abs=0.01)
    negative = ~np.isin(rows, np.flatnonzero(positive))
    assert (y["click"][negative] == 0).all()


def test_without_recalibration_what_is_kept_weighs_one():
    for recalibrate in ("logit", None):
        _, y, weight = epoch_of(loader(recalibrate=recalibrate))
        np.testing.assert_array_equal(weight["click"], ~np.isnan(y["click"]))  # every row has had a click's label
    given = np.linspace(0.0, 2.0, ROWS)
    rows, y, weight = epoch_of(loader(sample_weight=given))
    factor = np.where(np.isnan(y["click"]), 0.0, np.where(y["click"] == 1, 1.0, 10.0))
    np.testing.assert_allclose(weight["click"], given[rows] * factor, rtol=1e-5)


def test_a_batch_depends_on_seed_epoch_and_index_alone():
    first, second = loader(), loader(read_ahead=0)
    expected = [first[index] for index in range(len(first))]
    for index in np.random.default_rng(1).permutation(len(second)):
        np.testing.assert_array_equal(second[index][0]["row"], expected[index][0]["row"])
        np.testing.assert_array_equal(second[index][1]["like"], expected[index][1]["like"])
    again, other_epoch, other_seed = epoch_of(loader())[0], epoch_of(loader(), 1)[0], epoch_of(loader(seed=1))[0]
    np.testing.assert_array_equal(again, epoch_of(first)[0])
    assert len(first) == len(loader(seed=1))
    negatives = [set(rows) - set(np.flatnonzero(CLICK)) for rows in (again, other_epoch, other_seed)]
    assert 0 < len(negatives[0] & negatives[1]) < 0.25 * len(negatives[0])
    assert 0 < len(negatives[0] & negatives[2]) < 0.25 * len(negatives[0])


def test_all_batches_of_all_epochs_have_one_size():
    data = loader()
    sizes, filling = set(), []
    for epoch in range(4):
        data.epoch = epoch
        batches = [data[index] for index in range(len(data))]
        sizes |= {len(x["row"]) for x, *_ in batches}
        unseen = [np.isnan(y["click"]) & np.isnan(y["like"]) for _, y, _ in batches]
        filling += [part.mean() for part in unseen]
        for (_, _, weight), part in zip(batches, unseen, strict=True):
            assert not weight["click"][part].any()
        assert len(epoch_of(data, epoch)[0]) <= data.rows == len(data) * 256
    assert sizes == {256}
    assert np.ptp(filling) < 0.1  # spread evenly
    assert max(filling) < 0.2


def test_in_the_order_of_the_table_without_shuffling():
    rows, _, _ = epoch_of(loader(shuffle=False))
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, np.sort(epoch_of(loader())[0]))


def test_an_epoch_with_more_rows_than_expected_loses_none(monkeypatch):
    monkeypatch.setattr(NegativeSampling, "most_rows", lambda self: 1000)
    data = loader(batch_size=100)
    rows = epoch_of(data)[0]
    assert len(data) == 10
    assert len(rows) > 2000
    np.testing.assert_array_equal(np.sort(rows), epoch_of(loader(shuffle=False))[0])


def test_a_row_that_never_had_a_label_stays():
    labels = {"click": np.full(100, NAN), "like": np.zeros(100, "float32")}
    labels["like"][:50] = NAN
    data = loader(labels, 0.1, batch_size=100, shuffle=False)
    x, y, weight = data[0]
    assert set(range(50)) <= set(x["row"])
    assert (weight["click"][:50] == 1).all()
    assert np.nansum(y["like"]) == 0


def test_a_task_goes_with_the_one_that_it_is_given():
    schema = gr.Schema(
        [gr.Categorical("row", ROWS)], [gr.Task("click"), gr.Task("purchase", given="click"), gr.Task("like")]
    )
    purchase = np.where(CLICK == 1, (np.arange(ROWS) % 3 == 0).astype("float32"), 0.0).astype("float32")
    labels = {"click": CLICK, "purchase": purchase, "like": np.full(ROWS, NAN), "teacher": np.full(ROWS, 0.5)}
    data = loader(labels, {"click": 0.1, "purchase": 0.5}, schema=schema)
    rows, y, weight = epoch_of(data)
    real = ~np.isnan(y["click"]) | ~np.isnan(y["purchase"])
    rows, y, weight = rows[real], {n: v[real] for n, v in y.items()}, {n: v[real] for n, v in weight.items()}
    clicked = CLICK[rows] == 1
    assert clicked.sum() == CLICK.sum()
    # Impressions without a click are kept or dropped for both tasks; purchases are sampled among clicks.
    np.testing.assert_array_equal(weight["purchase"][~clicked], np.float32(10))
    assert (weight["click"][~clicked] == np.float32(10)).all()
    negative = clicked & (purchase[rows] == 0)
    assert set(weight["purchase"][negative]) == {0.0, 2.0}
    assert np.isnan(y["purchase"][negative]).mean() == pytest.approx(0.5, abs=0.1)
    # What the entire-space model counts: weighted negatives of the joint outcome are the impressions without it.
    assert weight["purchase"].sum() == pytest.approx(ROWS, rel=0.1)
    assert set(y["teacher"]) == {0.5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"negative_rate": 0.0}, "above 0 and at most 1"),
        ({"negative_rate": {"click": 1.5}}, "'click'"),
        ({"negative_rate": {"buy": 0.5}}, r"unknown tasks \['buy'\]"),
        ({"recalibrate": "logits"}, "must be one of"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        loader(**arguments)


def test_a_rate_of_one_changes_nothing():
    plain, sampled = loader(negative_rate=None), loader(negative_rate=1.0)
    assert (sampled.negative_rate, sampled.recalibrate) == ({}, None)
    for ours, theirs in zip(plain, sampled, strict=True):
        assert len(theirs) == 2
        np.testing.assert_array_equal(ours[0]["row"], theirs[0]["row"])
