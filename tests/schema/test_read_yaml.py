"""Documents that would unfold without bounds, and values of the wrong type, are refused in words."""

import json

import pytest

from grouprank.datasets import TableDescription
from grouprank.reports.gate import rules_of
from grouprank.schema import Schema
from grouprank.schema.read_yaml import read_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))


def read_description(text, folder):
    (folder / "t.yaml").write_text(text)
    return TableDescription.read(folder / "t.yaml")


def read_rules(text, folder):
    (folder / "t.yaml").write_text(text)
    return rules_of(folder / "t.yaml")


READERS = {
    "description": read_description,
    "schema": lambda text, folder: Schema.from_yaml(text),
    "rules": read_rules,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"line 2: aliases \(`\*a0`\) are not read"),
        ("features: &f [*f]\ntasks: [click]", r"line 1: aliases"),
        ("tasks: [click]\nfeatures: " + "[" * 5000 + "]" * 5000, r"line 2: lists and mappings may be nested 20 deep"),
        ("features: {a: b", "not YAML: while parsing"),
        ("features: !!python/object/apply:os.getcwd []", "not YAML: could not determine a constructor"),
        ("features: \x07", "not YAML: unacceptable character"),
    ],
    ids=["bomb", "itself", "deep", "broken", "tag", "bell"],
)
def test_what_is_not_read(tmp_path, reader, text, message):
    with pytest.raises(ValueError, match=message):
        READERS[reader](text, tmp_path)


def test_a_document_beyond_the_bound(monkeypatch):
    monkeypatch.setattr("grouprank.schema.read_yaml._MOST_CHARACTERS", 100)
    assert read_yaml("a: " + "x" * 97) == {"a": "x" * 97}
    with pytest.raises(ValueError, match="may have 100 characters. Received: 101"):
        read_yaml("a: " + "x" * 98)


@pytest.mark.parametrize(
    "text",
    [
        '{"features":0,"tasks":[]}',
        '{"features":[],"tasks":0}',
        '{"features":null,"tasks":null}',
        '{"features":"xy","tasks":["click"]}',
        '{"features":{"kind":"numeric"},"tasks":[]}',
        '{"features":[0],"tasks":[]}',
        '{"features":["numeric"],"tasks":[]}',
        '{"features":[{"kind":[],"name":"x"}],"tasks":[]}',
        '{"features":[{"kind":{},"name":"x"}],"tasks":[]}',
        '{"features":[{"kind":"numeric","name":"x"}],"tasks":[0]}',
        '{"features":[{"kind":"numeric","name":"x"}],"tasks":["click"]}',
        '{"features":[{"kind":"numeric","name":"x"}],"tasks":[{"name":[]}]}',
        '{"features":[{"kind":"numeric","name":"x"}],"tasks":[{"name":"click","given":[]}]}',
        '{"features":[{"kind":"numeric","name":"x"}],"tasks":[{"name":"click","given":0}]}',
        '{"features":[{"kind":"sequence","name":"x","vocabulary_size":3,"length":2,"shares":[]}],"tasks":[{"name":"c"}]}',
        '{"features":[{"kind":"sequence","name":"x","vocabulary_size":3,"length":2,"shares":{}}],"tasks":[{"name":"c"}]}',
        "[]",
        "0",
        "{",
        "",
    ],
)
def test_a_schema_of_wrong_types(text):
    with pytest.raises(ValueError, match=r"\w+"):
        Schema.from_json(text)


GOOD = {
    "features": [
        {"name": "os", "kind": "categorical", "side": "user", "raw": "system", "min_count": 2, "max_size": 9},
        {"name": "price", "kind": "numeric", "side": "ad", "function": "log1p"},
        {"name": "hour", "kind": "categorical", "side": "context", "dtype": "int64", "divisor": 2, "modulo": 24},
        {"name": "last", "kind": "sequence", "side": "user", "length": 3, "separator": "|", "shares": "os"},
        {"name": "image", "kind": "vector", "side": "ad", "dim": 2},
    ],
    "tasks": ["click", {"name": "buy", "given": "click", "raw": "bought"}],
    "time": "day",
}
ODD = [5, 1.5, True, None, [], [1], ["NA"], {}, {"a": 1}, "", "no such", "\n", -1, 10**30, float("nan")]


def places(value, path=()):
    """The path of every value inside lists and mappings, and of these themselves."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


def replaced(path, odd):
    config = json.loads(json.dumps(GOOD))
    if not path:
        return odd
    target = config
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = odd
    return config


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_values_anywhere_in_a_description(odd):
    for path in places(GOOD):
        try:
            description = TableDescription.from_dict(replaced(path, odd))
        except ValueError:
            continue
        assert description.time is None or isinstance(description.time, str)
        assert all(isinstance(label, str) for label in description.labels.values())
        assert all(isinstance(raw, str) for raw in description.raw_columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 5}, r"A description: `time` must name a column of the table. Received: time=5"),
        ({"time": ["day"]}, r"`time` must name a column of the table. Received: time=\['day'\]"),
        (
            {"tasks": [{"name": "click", "raw": 5}]},
            r"Task 'click': `raw` must name a column of the table",
        ),
        (
            {"tasks": [{"name": "click", "given": []}]},
            r"`given` must be the name of a task or None",
        ),
        ({"features": [{"name": "x", "kind": [], "side": "ad"}]}, r"Feature 'x': `kind` must be one of .*kind=\[\]"),
    ],
)
def test_what_odd_values_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        TableDescription.from_dict(GOOD | change)
