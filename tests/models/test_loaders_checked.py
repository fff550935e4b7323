"""Batches of loaders that disagree with the schema: an error that names the column, before their step."""

import keras
import numpy as np
import pytest
from support.fixed_weights import as_array

import grouprank as gr

ROWS, BATCH = 64, 16


@pytest.fixture(scope="module")
def model(ads):
    keras.utils.set_random_seed(0)
    model = ads.model(("user",))
    model.compile(**ads.quick)
    return model


def batches(x, y):
    for start in range(0, ROWS, BATCH):
        rows = slice(start, start + BATCH)
        yield {name: c[rows] for name, c in x.items()}, {name: c[rows] for name, c in y.items()}


def tf_dataset(ads, x, y):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def torch_loader(ads, x, y):
    torch = pytest.importorskip("torch")
    rows = [({n: c[i] for n, c in x.items()}, {n: c[i] for n, c in y.items()}) for i in range(ROWS)]
    return torch.utils.data.DataLoader(rows, batch_size=BATCH)


LOADERS = {
    "batch_loader": lambda ads, x, y: gr.datasets.BatchLoader(x, y, BATCH),
    "batch_loader_of_a_schema": lambda ads, x, y: gr.datasets.BatchLoader(x, y, BATCH, schema=ads.schema),
    "py_dataset": lambda ads, x, y: ads.loader(x, y, BATCH),
    "generator": lambda ads, x, y: batches(x, y),
    "tf_data": tf_dataset,
    "torch_data_loader": torch_loader,
}
# A column, its dtype, what its last row becomes, and what the error says.
BAD = {
    "id_too_large": ("user_id", None, 20, r"'user_id' \(categorical\), row 15: .*\[0, 20\). Received: 20"),
    "id_negative": ("history", None, -1, r"'history' \(sequence\), row 15: .*Received: -1"),
    "id_of_64_bits": ("user_id", "int64", 2**40, "'user_id' .*Received: 1099511627776"),
    "id_a_fraction": ("ad_id", "float64", 1.5, "'ad_id' .*ids must be integers. Received dtype: float64"),
    "nan": ("age", None, np.nan, r"'age' \(numeric\), row 15: expected a finite number"),
    "label_seven": ("click", None, 7, r"'click', row 15: a label must lie in \[0, 1\].*Received: 7"),
    "label_negative": ("like", None, -3, r"'like', row 15: .*Received: -3"),
}


def spoiled(ads, case):
    x, y = ads.columns(), ads.labels()
    column, dtype, value, message = BAD[case]
    table = x if column in x else y
    table[column] = table[column].astype(dtype or table[column].dtype)
    table[column][-1] = value
    return x, y, message


def check_refused(model, run, message):
    with pytest.raises(ValueError, match=message):
        run()
    # The weights of the last good step are still there.
    assert all(np.isfinite(as_array(weight)).all() for weight in model.weights)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("case", ["id_of_64_bits", "label_seven"])
def test_every_kind_of_loader(ads, model, kind, case):
    x, y, message = spoiled(ads, case)
    check_refused(model, lambda: model.fit(LOADERS[kind](ads, x, y), shuffle=False, verbose=0), message)


@pytest.mark.parametrize("kind", ["batch_loader", "tf_data"])
@pytest.mark.parametrize("case", sorted(set(BAD) - {"id_of_64_bits", "label_seven"}))
def test_every_kind_of_mistake(ads, model, kind, case):
    x, y, message = spoiled(ads, case)
    check_refused(model, lambda: model.evaluate(LOADERS[kind](ads, x, y), verbose=0), message)


@pytest.mark.parametrize("kind", ["batch_loader", "generator", "tf_data", "torch_data_loader"])
def test_predictions_ask_for_columns_alone(ads, model, kind):
    x, y, message = spoiled(ads, "id_too_large")
    check_refused(model, lambda: model.predict_proba(LOADERS[kind](ads, x, y)), message)
    x, y, _ = spoiled(ads, "label_seven")
    assert model.predict_proba(LOADERS[kind](ads, x, y))["click"].shape == (ROWS,)


def test_validation_data_are_checked_and_the_model_lives_on(ads, model):
    good, (x, y, message) = ads.loader(ads.columns(), ads.labels()), spoiled(ads, "nan")
    check_refused(model, lambda: model.fit(good, validation_data=ads.loader(x, y), verbose=0), message)
    model.fit(good, verbose=0)
    assert np.isfinite(model.predict_proba(ads.columns())["click"]).all()


def test_weights_of_a_loader(ads, model):
    weight = np.ones(ROWS)
    weight[40] = -1
    loader = gr.datasets.BatchLoader(ads.columns(), ads.labels(), BATCH, sample_weight=weight)
    check_refused(model, lambda: model.fit(loader, shuffle=False, verbose=0), "`sample_weight`, row 8: .*Received: -1")


def test_a_good_loader_gives_what_the_arrays_give(ads, model):
    x, y = ads.columns(), ads.labels()
    expected = model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True)["loss"]
    for kind, make in LOADERS.items():
        loss = model.evaluate(make(ads, x, y), verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(expected, rel=1e-5), kind


@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_told_of_good_data(ads, model, check, recwarn):
    for kind in ("tf_data", "py_dataset"):
        model.fit(LOADERS[kind](ads, ads.columns(), ads.labels()), check=check, verbose=0, shuffle=False)
    assert not [warning for warning in recwarn if "label" in str(warning.message)]


def test_a_generator_loses_no_batch(ads, model):
    seen = []

    def endless():
        while True:
            for number, batch in enumerate(batches(ads.columns(), ads.labels())):
                seen.append(number)
                yield batch

    # TensorFlow's pipeline reads ahead by an amount of its own.
    generator = endless()
    model.fit(generator, steps_per_epoch=6, epochs=2, verbose=0)
    assert seen[:12] == [0, 1, 2, 3] * 3


@pytest.mark.parametrize("off", ["fit", "loader"])
def test_checks_can_be_turned_off(ads, model, off):
    x, y, _ = spoiled(ads, "label_seven")
    loader = gr.datasets.BatchLoader(x, y, BATCH, schema=ads.schema, check=False)
    if off == "fit":
        loader = ads.loader(x, y, BATCH)
    assert np.isfinite(model.evaluate(loader, check=off == "loader", verbose=0)[0])


def test_no_rows(ads, model):
    x, y = ads.columns(0), ads.labels(0)
    with pytest.raises(ValueError, match="The columns have no rows"):
        model.fit(x, y, verbose=0)
    for make in (lambda: ads.loader(x, y), lambda: tf_dataset(ads, ads.columns(), ads.labels()).take(0)):
        with pytest.raises(ValueError, match=r"The data has no rows: \w+ of 0 batches"):
            model.fit(make(), verbose=0)


def test_tensors_are_checked(ads, model):
    x, _, message = spoiled(ads, "id_too_large")
    x = {name: keras.ops.convert_to_tensor(values) for name, values in x.items()}
    with pytest.raises(ValueError, match=message.replace("15", "63")):
        model.predict(x, verbose=0)


@pytest.mark.parametrize("kind", ["batch_loader", "tf_data"])
def test_retrieval_models_check_their_loaders(ads, kind):
    model = gr.models.TwoTowerModel(ads.schema, "ad_id", embedding_dim=4, tower_units=(8,), output_dim=4)
    model.compile(**ads.quick)
    for case in ("id_too_large", "label_seven"):
        x, y, message = spoiled(ads, case)
        with pytest.raises(ValueError, match=message):
            model.fit(LOADERS[kind](ads, x, y), shuffle=False, verbose=0)
