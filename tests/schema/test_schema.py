"""The schema says what was passed, what was expected and how to mend it."""

import json

import numpy as np
import pytest
import yaml

from grouprank import Categorical, Numeric, Schema, Sequence, Task, Vector

CLICK = [Task("click")]


def full_schema():
    return Schema(
        [
            Categorical("user_id", 10, side="user"),
            Sequence("last_ads", 7, 3, shares="ad_id"),
            Categorical("ad_id", 7),
            Numeric("bid", side="ad"),
            Numeric("hour"),
            Vector("title", 4),
        ],
        [Task("click"), Task("like"), Task("purchase", given="click")],
    )


class TestFeatures:
    def test_defaults(self):
        kinds = {"n": Numeric("n"), "c": Categorical("c", 5), "s": Sequence("s", 5, 3), "v": Vector("v", 2)}
        assert {name: f.side for name, f in kinds.items()} == {"n": "context", "c": "ad", "s": "user", "v": "ad"}
        assert {name: f.shape for name, f in kinds.items()} == {"n": (), "c": (), "s": (3,), "v": (2,)}
        dtypes = {"n": "float32", "c": "int32", "s": "int32", "v": "float32"}
        assert {name: f.dtype for name, f in kinds.items()} == dtypes
        assert kinds["c"] == Categorical("c", vocabulary_size=5, side="ad")

    @pytest.mark.parametrize("name", ["", "a b", "1a", "a-b", "täg", 3, None])
    @pytest.mark.parametrize("make", [Numeric, lambda n: Categorical(n, 2), Task])
    def test_names(self, make, name):
        with pytest.raises(ValueError, match=r"name must be a string of letters, digits and underscores.*Rename"):
            make(name)

    def test_the_proposed_name_is_valid(self):
        with pytest.raises(ValueError, match="Rename the column, e.g. '_hour_of_day'") as error:
            Numeric("hour of day")
        Numeric(str(error.value).split("e.g. ")[1].strip("'."))

    @pytest.mark.parametrize("make", [lambda s: Numeric("f", s), lambda s: Vector("f", 2, s)])
    def test_sides(self, make):
        with pytest.raises(ValueError, match=r"'f': `side` must be one of \('user', 'ad', 'context'\).*side='item'"):
            make("item")

    @pytest.mark.parametrize(
        ("make", "argument"),
        [
            (lambda size: Categorical("f", size), "vocabulary_size"),
            (lambda size: Sequence("f", size, 2), "vocabulary_size"),
            (lambda size: Sequence("f", 2, size), "length"),
            (lambda size: Vector("f", size), "dim"),
        ],
    )
    @pytest.mark.parametrize("size", [0, -1, 2.0, "3", True])
    def test_sizes(self, make, argument, size):
        with pytest.raises(
            ValueError, match=rf"'f': `{argument}` must be an integer of at least 1.*{argument}={size!r}"
        ):
            make(size)

    def test_numpy_sizes_pass(self):
        assert Categorical("f", np.int64(3)).vocabulary_size == 3


class TestSchema:
    def test_lookups(self):
        schema = full_schema()
        assert schema.feature_names == ["user_id", "last_ads", "ad_id", "bid", "hour", "title"]
        assert schema.task_names == ["click", "like", "purchase"]
        assert [f.name for f in schema.on_side("user")] == ["user_id", "last_ads"]
        assert [f.name for f in schema.on_side("ad", "user")] == ["user_id", "last_ads", "ad_id", "bid", "title"]
        assert schema["bid"] == Numeric("bid", side="ad")
        assert repr(Schema([Numeric("x")], CLICK)).startswith("Schema(features=[Numeric(name='x'")

    def test_lookups_that_fail(self):
        with pytest.raises(KeyError, match=r"no feature 'nothing'. Its features: \['user_id'"):
            full_schema()["nothing"]
        with pytest.raises(ValueError, match=r"`side` must be one of .*Received: 'item'"):
            full_schema().on_side("item")

    def test_equality_and_hash(self):
        assert full_schema() == full_schema()
        assert hash(full_schema()) == hash(full_schema())
        assert Schema([Numeric("x")], CLICK) != Schema([Numeric("x", side="ad")], CLICK)
        assert Schema([Numeric("x")], CLICK) != "x"

    @pytest.mark.parametrize(
        ("features", "tasks", "message"),
        [
            ([], CLICK, "at least one feature"),
            ([Numeric("x")], [], r'at least one task.*Task\("click"\)'),
            (
                ["x"],
                CLICK,
                "must hold Numeric, Categorical, Sequence, Vector or Weights objects. Received: 'x' of type str",
            ),
            ([Numeric("x")], ["click"], r"must hold Task objects.*Wrap .*Task\('click'\)"),
            ([Numeric("x"), Vector("x", 2)], CLICK, "'x' is used more than once"),
            ([Numeric("click")], CLICK, "'click' is used more than once"),
            ([Numeric("x")], [Task("a"), Task("a")], "'a' is used more than once"),
            (
                [Sequence("s", 5, 2, shares="ad")],
                CLICK,
                r"'s': `shares` must name .*shares='ad'. Categorical features: \[\]",
            ),
            ([Sequence("s", 5, 2, shares="s")], CLICK, "shares='s'"),
            ([Sequence("s", 5, 2, shares="x"), Numeric("x")], CLICK, "shares='x'"),
            (
                [Sequence("s", 5, 2, shares="t"), Sequence("t", 5, 2, shares="c"), Categorical("c", 5)],
                CLICK,
                r"shares='t'. Categorical features: \['c'\]",
            ),
            (
                [Sequence("s", 5, 2, shares="c"), Categorical("c", 6)],
                CLICK,
                "sizes differ: vocabulary_size=5 against 6. Give both the same",
            ),
            (
                [Numeric("x")],
                [Task("buy", given="click")],
                r"'buy': `given` must name .*given='click'. Tasks: \['buy'\]",
            ),
            ([Numeric("x")], [Task("a", given="a")], "cycle: a given a. Remove one"),
            ([Numeric("x")], [Task("a", "b"), Task("b", "c"), Task("c", "a")], "cycle: a given b given c given a"),
        ],
    )
    def test_errors(self, features, tasks, message):
        with pytest.raises(ValueError, match=message):
            Schema(features, tasks)

    def test_a_sequence_may_own_the_table_of_another(self):
        Schema([Sequence("s", 5, 2, shares="t"), Sequence("t", 5, 4)], CLICK)

    def test_generators_pass(self):
        assert Schema((f for f in [Numeric("x")]), iter(CLICK)).feature_names == ["x"]


class TestText:
    def test_round_trips(self):
        schema = full_schema()
        assert Schema.from_dict(schema.to_dict()) == schema
        assert Schema.from_json(schema.to_json()) == schema
        assert Schema.from_yaml(schema.to_yaml()) == schema
        assert json.loads(schema.to_json()) == yaml.safe_load(schema.to_yaml()) == schema.to_dict()

    def test_written_by_hand(self):
        text = """
        features:
          - {kind: categorical, name: user_id, vocabulary_size: 5, side: user}
          - {kind: numeric, name: bid}
        tasks:
          - name: click
        """
        assert Schema.from_yaml(text) == Schema([Categorical("user_id", 5, side="user"), Numeric("bid")], CLICK)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ([], "mapping with the keys 'features' and 'tasks'. Received: list"),
            ({"features": []}, r"Received: \['features'\]"),
            ({"features": [], "tasks": [], "x": 1}, r"Received: \['features', 'tasks', 'x'\]"),
            ({"features": [{"name": "x"}], "tasks": []}, "`kind` must be one of .*kind=None"),
            ({"features": [{"kind": "image", "name": "x"}], "tasks": []}, "kind='image' in {'name': 'x'}"),
            ({"features": [{"kind": "vector", "name": "x"}], "tasks": []}, r"Vector takes .*missing: \['dim'\]"),
            (
                {"features": [{"kind": "numeric", "name": "x", "size": 2}], "tasks": []},
                r"Numeric takes \['name', 'side', 'moments'\].*unknown: \['size'\]",
            ),
            (
                {"features": [{"kind": "numeric", "name": "x"}], "tasks": [{"nam": "y"}]},
                r"Task takes .*unknown: \['nam'\]",
            ),
        ],
    )
    def test_errors(self, config, message):
        with pytest.raises(ValueError, match=message):
            Schema.from_dict(config)


def table(rows=4):
    return {
        "user_id": np.arange(rows) % 10,
        "last_ads": np.zeros((rows, 3), "int64"),
        "ad_id": np.arange(rows, dtype="uint8") % 7,
        "bid": np.linspace(0, 1, rows),
        "hour": np.arange(rows),
        "title": np.zeros((rows, 4), "float32"),
    }


def labels(rows=4):
    return {"click": np.arange(rows) % 2, "like": np.full(rows, np.nan), "purchase": [[0.5]] * rows}


def changed(**columns):
    return {name: values for name, values in {**table(), **columns}.items() if values is not None}


class TestCheck:
    def test_a_table_that_agrees(self):
        full_schema().check(table(), labels())
        full_schema().check(table())
        full_schema().check({**table(), "extra": ["not", "looked", "at"]}, {**labels(), "teacher": [7.0]})

    def test_columns_of_width_one_and_lists(self):
        full_schema().check(changed(user_id=[[0], [1], [2], [9]], bid=[0.5, 1, 2, 3], hour=[True] * 4), labels())

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"bid": None}, r"feature column 'bid' is missing. Expected: \['user_id'.*Received: \['ad_id'"),
            (
                {"user_id": [0, 1, 10, 11]},
                r"'user_id' \(categorical\), row 2: expected an id in \[0, 10\). Received: 10; 2 of 4",
            ),
            ({"user_id": [0, -1, 0, 0]}, r"row 1: .*Received: -1; 1 of 4.*Map unknown values to id 0"),
            ({"user_id": np.array([0, 0, 0, 2**40])}, "row 3: .*Received: 1099511627776"),
            (
                {"last_ads": [[0, 0, 0], [0, 7, 0], [0] * 3, [0] * 3]},
                r"'last_ads' \(sequence\), row 1: .*Received: 7; 1 of 12",
            ),
            ({"user_id": [0.0, 1.0, 2.0, 3.0]}, "'user_id' .*ids must be integers. Received dtype: float64. Map"),
            ({"user_id": ["a"] * 4}, "ids must be integers"),
            ({"user_id": np.zeros((4, 2), "int64")}, r"'user_id' .*expected shape \('rows',\). Received: \(4, 2\)"),
            ({"last_ads": np.zeros((4, 2), "int64")}, r"expected shape \('rows', 3\). Received: \(4, 2\)"),
            ({"title": np.zeros(4)}, r"'title' \(vector\): expected shape \('rows', 4\). Received: \(4,\)"),
            (
                {"bid": [0.0, np.nan, np.inf, 1.0]},
                r"'bid' \(numeric\), row 1: expected a finite number. Received: nan; 2 of 4",
            ),
            ({"title": [[0, 0, 0, -np.inf]] * 4}, "row 0: expected a finite number. Received: -inf; 4 of 16.*Impute"),
            ({"bid": ["1", "2", "3", "4"]}, "'bid' .*expected numbers. Received dtype"),
            ({"bid": [0.0, 1.0]}, r"same number of rows. Received: .*'bid': 2"),
        ],
    )
    def test_features(self, columns, message):
        with pytest.raises(ValueError, match=message):
            full_schema().check(changed(**columns), labels())

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                {"click": [0, 1, 2, 0]},
                r"Task 'click', row 2: a label must lie in \[0, 1\] .*Received: 2; 1 of 4.*Scale or clip",
            ),
            ({"like": [np.nan, -0.5, 0, 0]}, "Task 'like', row 1: .*Received: -0.5"),
            ({"like": [np.inf] * 4}, "Task 'like', row 0: .*Received: inf; 4 of 4"),
            ({"click": [0, 1]}, "same number of rows. Received: .*'click': 2"),
        ],
    )
    def test_labels(self, columns, message):
        with pytest.raises(ValueError, match=message):
            full_schema().check(table(), {**labels(), **columns})

    def test_a_missing_task(self):
        with pytest.raises(
            ValueError, match=r"task column 'like' is missing. Expected: \['click', 'like', 'purchase'\]"
        ):
            full_schema().check(table(), {"click": [0] * 4})

    def test_single_numbers_are_no_column(self):
        with pytest.raises(ValueError, match="'hour' must have a row axis. Received the single value 3.0"):
            full_schema().check(changed(hour=3.0), labels())

    def test_labels_that_are_no_numbers(self):
        with pytest.raises(ValueError, match="Task 'click'.*expected numbers"):
            full_schema().check(table(), {**labels(), "click": ["yes", "no", "no", "yes"]})

    def test_rows_of_different_lengths(self):
        with pytest.raises(ValueError, match="feature column 'last_ads' is no array: its rows differ in length. Pad"):
            full_schema().check(changed(last_ads=[[1], [1, 2], [], [3]]), labels())

    def test_none_is_a_missing_label(self):
        full_schema().check(table(), {**labels(), "click": [0, None, 1, 0]})
