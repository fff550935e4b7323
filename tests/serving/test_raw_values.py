"""Raw values as they stand in files: the graph makes of them what the fitted transforms make, bit for bit."""

import itertools

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

import grouprank as gr
from grouprank.datasets import TableTransforms, Tabular
from grouprank.datasets.transforms.raw_values import as_bytes
from grouprank.datasets.transforms.token_spelling import INTEGER_WITH_DECIMALS, TokenSpelling
from grouprank.datasets.transforms.transform_fitter import TransformFitter
from grouprank.serving.check_transforms import check_transforms
from grouprank.serving.examples import to_examples
from grouprank.serving.row_columns import row_columns
from grouprank.serving.sample_rows import sample_rows
from grouprank.serving.signatures.examples import examples_signatures
from grouprank.serving.signatures.graph_transforms import GraphTransforms

COLUMNS = [
    gr.datasets.CategoricalColumn("os", "user", missing=("NA", "n/a")),
    gr.datasets.CategoricalColumn("os_again", "user", raw="os", min_count=2),
    gr.datasets.CategoricalColumn("account", "user", missing=("NA", "-1")),
    gr.datasets.CategoricalColumn("zip", "user"),
    gr.datasets.CategoricalColumn("position", "context", dtype="int64", missing=("-1", "NA"), modulo=7),
    gr.datasets.SequenceColumn("tags", "ad", length=3, missing=("NA", "a,b")),
    gr.datasets.SequenceColumn("accounts", "user", separator="|", length=3, shares="account", missing=("NA", "-1")),
    gr.datasets.NumericColumn("price", "ad", missing=("-1", "NA", "-999.9")),
    gr.datasets.NumericColumn("age", "user", function="identity"),
    gr.datasets.VectorColumn("image", "ad", dim=2),
    gr.datasets.HashedColumn("zip_hashed", "user", raw="zip", missing=("NA",), buckets=100),
    gr.datasets.HashedColumn("position_hashed", "context", raw="position", dtype="int64", buckets=100),
    gr.datasets.HashedSequenceColumn("tags_hashed", "ad", raw="tags", length=2, buckets=100),
    gr.datasets.WeightedColumn("weighted", "user", raw="accounts", separator="|", length=2, weight_separator=","),
    gr.datasets.BucketizedColumn("price_bucket", "ad", raw="price", buckets=3, missing=("-1",)),
]
TRAINING = pl.DataFrame(
    {
        "os": ["android", "NA", "iös 9", "", "n/a", "android"],
        "account": ["84.0", "84", "-7.00", "NA", "-1.0", "120"],
        "zip": ["08540", "10001", "8540.0", "", "x", "x"],
        "position": [3, -1, 9, 3, -1, 12],
        "tags": ["a,NA,b", "a,b", "NA", "", "8.0,8", "c"],
        "accounts": ["84|9", "", "NA", "120.0|NA|84", "-1", "-7"],
        "price": pl.Series([1.5, -1.0, None, -999.9, 3.0, 0.25], dtype=pl.Float32),
        "age": pl.Series([-1.0, 2.0, None, 4.0, 5.0, 30.0], dtype=pl.Float32),
        "image": [[0.5, float("nan")], [1.0, 2.0], [0.0, -1.0], [1.0, 1.0], [2.0, 2.0], [0.0, 0.0]],
    }
)
PIECES = ["", "NA", "n/a", "84", "84.0", "84.00", "84.", "+84", "084", "-0.0", "0.0", "-7", "-1", "-1.0", "1e3", " 84",
          "84.0\n", "8540.0", "android", "iös 9", "٣.0", "日本", "a", "8", "\x1f<empty>\x1f", "a\x00b",
          b"\xff", b"84\xff.0", b"\xe2"]  # fmt: skip


def fitted():
    fitter = TransformFitter(COLUMNS, [gr.Task("click")])
    fitter.update(TRAINING)
    return fitter.finish()


def raw_rows():
    """Every value in every column of strings, alone and between others, and the numbers of all kinds beside them."""
    strings = [value if isinstance(value, bytes) else value.encode() for value in PIECES]
    pairs = [separator.join(pair) for separator in (b",", b"|") for pair in itertools.product(strings[:22:3], strings)]
    values = np.array([*strings, *pairs], dtype=object)
    rng = np.random.default_rng(0)
    rows = len(values)
    return {
        **dict.fromkeys(("os", "account", "zip", "tags", "accounts"), values),
        "position": rng.choice(np.array([-1, -8, 3, 9, 10, 2**62, -(2**63)]), rows),
        "price": rng.choice(np.array([-1, -1.5, -999.9, 0, -0.0, np.nan, np.inf, 3e38, 1e-40, 7], "float32"), rows),
        "age": rng.choice(np.array([-1, -999.9, np.nan, 30], "float32"), rows),
        "image": rng.choice(np.array([0.5, np.nan, -np.inf], "float32"), (rows, 2)),
    }


def assert_equal_bits(served, expected):
    assert served.keys() == expected.keys()
    for name, values in expected.items():
        found = np.asarray(served[name])
        assert (found.dtype, found.shape) == (values.dtype, values.shape), name
        np.testing.assert_array_equal(found.view("int32"), values.view("int32"), err_msg=name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The transforms after a round trip through their files, and their graph."""
    folder = tmp_path_factory.mktemp("transforms")
    fitted().save(folder / "saved")
    transforms = TableTransforms.load(folder / "saved")
    return transforms, GraphTransforms(transforms, folder / "assets")


def test_what_is_fitted(saved):
    transforms, _ = saved
    tokens = {name: sorted(t.tokens.tolist()) for name, t in transforms.columns.items() if hasattr(t, "tokens")}
    assert tokens["os"] == ["", "android", "iös 9"]
    assert tokens["os_again"] == ["android"]  # it has no spellings of its own, and the others come once
    assert tokens["account"] == ["", "-7", "120", "84"]
    assert tokens["zip"] == ["", "08540", "10001", "8540.0", "x"]  # not all of them integers
    assert tokens["position"] == [2, 3, 5]
    assert tokens["tags"] == ["8", "8.0", "a", "b", "c"]
    assert {n: t.integers for n, t in transforms.columns.items() if t.counts_unknown and t.integers} == {
        "account": True, "accounts": True
    }  # fmt: skip
    price = transforms.columns["price"]
    np.testing.assert_allclose(price.mean, np.mean(np.log1p([1.5, 3.0, 0.25])), rtol=1e-6)


def test_every_raw_value_is_encoded_alike(saved):
    transforms, graph = saved
    raw = raw_rows()
    expected = transforms(raw)
    assert_equal_bits(graph({name: tf.constant(values) for name, values in raw.items()}), expected)
    of = {value: expected["account"][row] for row, value in enumerate(PIECES)}
    assert of["84"] == of["84.0"] == of["84.00"] > 1
    assert of["NA"] == of["-1"] == of["-1.0"] == of[""] > 1
    # A sequence shares the accounts, so that id 0 is padding and id 1 out of the vocabulary.
    assert all(of[value] == 1 for value in ("084", "+84", "84.", "-0.0", " 84", "84.0\n", "٣.0", b"84\xff.0"))
    assert expected["os"][PIECES.index("NA")] == expected["os"][PIECES.index("n/a")] == expected["os"][0] > 0
    assert not expected["price"][np.isin(raw["price"], np.float32([-1, -999.9]))].any()
    assert expected["age"][raw["age"] == -1].all()
    assert not expected["position"][raw["position"] == -1].any()


def test_serialized_examples_are_encoded_alike(saved):
    transforms, graph = saved
    raw = {name: values[: 2 * len(PIECES)] for name, values in raw_rows().items()}
    serve = examples_signatures(dict, graph, {"serving_examples": dict})["serving_examples"]
    assert_equal_bits(serve(examples=tf.constant(to_examples(raw))), transforms(raw))


def test_what_an_example_lacks_is_unknown_and_its_lists_are_empty(saved):
    _, graph = saved
    serve = examples_signatures(dict, graph, {"serving_examples": dict})["serving_examples"]
    found = {name: values.numpy()[0].tolist() for name, values in serve(examples=to_examples({"os": [None]})).items()}
    assert found == {
        **dict.fromkeys(("os", "os_again", "zip", "position", "price", "age"), 0),
        **dict.fromkeys(("zip_hashed", "position_hashed", "price_bucket"), 0),
        **{name: [0, 0] for name in ("tags_hashed", "weighted", "weighted_weights")},
        "account": 1,  # a sequence shares its vocabulary
        "tags": [0, 0, 0],
        "accounts": [0, 0, 0],
        "image": [0, 0],
    }


def test_drawn_rows_have_every_spelling(saved):
    transforms, graph = saved
    rows = sample_rows(transforms, transforms.schema, rows=400)
    assert {"NA", "84.0", "never seen in training"} <= set(rows["account"])
    assert np.float32(-999.9) in rows["price"]
    raw = row_columns(rows, transforms.raw_columns)
    assert_equal_bits(graph({name: tf.constant(values) for name, values in raw.items()}), transforms(raw))


def test_both_regular_expressions_agree():
    parts = ["", "-", "+", "0", "7", "10", ".", ".0", ".00", "00", " ", "\n", "e", "٣", "é", "5.0.0"]
    texts = sorted({"".join(pieces) for length in range(4) for pieces in itertools.product(parts, repeat=length)})
    replaced = tf.strings.regex_replace(texts, INTEGER_WITH_DECIMALS, r"\1", replace_global=False)
    spelled = TokenSpelling(integers=True)(pl.Series(texts))
    assert [text.decode() for text in replaced.numpy()] == spelled.to_list()
    assert (spelled != pl.Series(texts)).sum() > 20


def test_a_tables_missing_spellings_reach_the_graph(tmp_path):
    """Rows as they stand in the file, which a server gets, give the columns that were prepared of them."""
    header = "os,price,tags,click"
    lines = [f"{os},{price},{tags},{i % 2}" for i, (os, price, tags) in enumerate(
        itertools.product(["a", "NA", "", "b"], ["1.5", "-1", "NA", "", "3"], ["x|NA|y", "NA", "", "y"])
    )]  # fmt: skip
    (tmp_path / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "t.yaml").write_text(
        """
        features:
          - {name: os, kind: categorical, side: user}
          - {name: price, kind: numeric, side: ad}
          - {name: tags, kind: sequence, side: ad, length: 3, separator: "|"}
        tasks: [click]
        missing: [NA, -1]
        """
    )
    dataset = Tabular(tmp_path / "t.csv", tmp_path / "t.yaml")
    table = gr.datasets.prepare(dataset, tmp_path / "prepared")
    chunk = pl.concat(dataset.chunks(1000)).filter(pl.col("split") == "train")
    # Read by polars alone: strings as they stand, and what is no number as NaN.
    file = pl.read_csv(tmp_path / "t.csv", infer_schema=False).with_columns(pl.col(pl.String).fill_null(""))
    file = file.head(table.rows("train"))
    assert chunk["os"].to_list() == file["os"].to_list()
    assert chunk["tags"].to_list() == file["tags"].to_list()
    raw = {
        "os": as_bytes("os", file["os"]),
        "tags": as_bytes("tags", file["tags"]),
        "price": file["price"].cast(pl.Float32, strict=False).fill_null(float("nan")).to_numpy(),
    }
    prepared = {name: np.asarray(table.column("train", name)) for name in ("os", "price", "tags")}
    graph = GraphTransforms(table.transforms, tmp_path / "assets")
    assert_equal_bits(graph({name: tf.constant(values) for name, values in raw.items()}), prepared)
    assert table.transforms.columns["os"].tokens.tolist() == ["", "a", "b"]


def test_transforms_of_another_table_are_refused():
    def transforms(*tokens):
        fitter = TransformFitter([gr.datasets.CategoricalColumn("os", "user")], [gr.Task("click")])
        fitter.update(pl.DataFrame({"os": list(tokens)}))
        return fitter.finish()

    class Model:
        schema = transforms("a", "a", "b").schema

    check_transforms(Model, transforms("b", "a", "a"))
    with pytest.raises(ValueError, match=r"model and the transforms were fitted on different rows.*\['os'\]"):
        check_transforms(Model, transforms("b", "b", "a"))
    with pytest.raises(ValueError, match=r"other features.*They differ in: \['os'\]"):
        check_transforms(Model, transforms("a", "b", "c"))
    Model.schema = gr.Schema([gr.Categorical("os", 3, side="user")], [gr.Task("click")])
    check_transforms(Model, transforms("b", "b", "a"))
