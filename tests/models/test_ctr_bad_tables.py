"""Tables that disagree with the schema: named column and row, before anything is trained."""

import keras
import numpy as np
import polars as pl
import pytest
from support.fixed_weights import as_array


@pytest.fixture(scope="module")
def model(ads):
    keras.utils.set_random_seed(0)
    model = ads.model(("user",))
    model.compile()
    return model


def at(column, row, value):
    column = column.copy()
    column[row] = value
    return column


# The column, what it becomes (None: left out), and the words that must be there.
BAD_COLUMNS = {
    "id_too_large": (
        "user_id",
        lambda c: at(c, 3, 20),
        r"'user_id' \(categorical\), row 3: .*\[0, 20\). Received: 20",
    ),
    "id_negative": ("ad_id", lambda c: at(c, 5, -1), r"'ad_id' \(categorical\), row 5: .*Received: -1.*id 0"),
    "id_of_64_bits": ("user_id", lambda c: at(c.astype("int64"), 2, 2**32 + 1), r"'user_id' .*row 2: .*4294967297"),
    "ids_as_floats": ("hour", lambda c: c.astype("float32"), r"'hour' .*ids must be integers. Received dtype: float32"),
    "ids_as_strings": ("hour", lambda c: c.astype(str), r"'hour' .*ids must be integers.*Map the values to ids"),
    "sequence_id": ("history", lambda c: at(c, (4, 2), 12), r"'history' \(sequence\), row 4: .*\[0, 12\)"),
    "sequence_length": (
        "history",
        lambda c: c[:, :2],
        r"'history' .*shape \('rows', 3\). Received: \(64, 2\)",
    ),
    "nan": ("age", lambda c: at(c, 6, np.nan), r"'age' \(numeric\), row 6: expected a finite number.*Impute"),
    "infinite": ("title", lambda c: at(c, (7, 1), np.inf), r"'title' \(vector\), row 7: expected a finite number"),
    "vector_width": ("title", lambda c: c[:, 0], r"'title' .*expected shape \('rows', 3\)"),
    "missing": ("age", None, r"feature column 'age' is missing.*Expected: .*Received"),
    "rows": ("hour", lambda c: c[:-1], r"same number of rows. Received: .*'hour': 63"),
}
BAD_LABELS = {
    "two": ("click", lambda c: at(c, 8, 2), r"Task 'click', row 8: a label must lie in \[0, 1\].*Received: 2"),
    "negative": ("like", lambda c: at(c, 9, -1), r"Task 'like', row 9: .*Received: -1"),
    "missing": ("like", None, r"`y` lacks the labels of \['like'\].*NaN where unobserved"),
    "rows": ("click", lambda c: c[:10], r"same number of rows. Received: .*'click': 10"),
}


def spoiled(table, column, change):
    table = dict(table)
    values = table.pop(column)
    return table if change is None else {**table, column: change(values)}


def check_refused(model, train, message):
    before = [as_array(weight).copy() for weight in model.weights]
    with pytest.raises(ValueError, match=message):
        train()
    assert int(model.optimizer.iterations) == 0
    for weight, start in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(as_array(weight), start)


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_columns(ads, model, case):
    column, change, message = BAD_COLUMNS[case]
    x, y = spoiled(ads.columns(), column, change), ads.labels()
    check_refused(model, lambda: model.fit(x, y, verbose=0), message)
    check_refused(model, lambda: model.fit(ads.columns(), y, validation_data=(x, y), verbose=0), message)
    for method in (model.predict, model.predict_proba, model.groups, model.adapt):
        check_refused(model, lambda method=method: method(x), message)


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels(ads, model, case):
    task, change, message = BAD_LABELS[case]
    x, y = ads.columns(), spoiled(ads.labels(), task, change)
    check_refused(model, lambda: model.fit(x, y, verbose=0), message)
    check_refused(model, lambda: model.fit(x, ads.labels(), validation_data=(x, y), verbose=0), message)
    check_refused(model, lambda: model.evaluate(x, y, verbose=0), message)


def test_columns_of_polars(ads, model):
    x, y = ads.columns(), ads.labels()
    check_refused(
        model,
        lambda: model.fit({**x, "age": pl.Series(at(x["age"], 4, np.nan))}, y, verbose=0),
        r"'age' \(numeric\), row 4: expected a finite number",
    )
    check_refused(
        model,
        lambda: model.fit(x, {**y, "click": pl.Series(at(y["click"], 4, 3))}, verbose=0),
        "Task 'click', row 4",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {"click": w, "lik": w}, r"`sample_weight` names an unknown target 'lik'.*\['click', 'like'\]"),
        (lambda w: at(w, 3, -1), r"`sample_weight`.*row 3.*Received: -1"),
        (lambda w: {"click": w, "like": at(w, 2, np.nan)}, r"`sample_weight`.*'like'.*row 2.*Received: nan"),
    ],
)
def test_sample_weight(ads, model, change, message):
    weight = change(np.ones(ads.rows, "float32"))
    check_refused(model, lambda: model.fit(ads.columns(), ads.labels(), sample_weight=weight, verbose=0), message)
