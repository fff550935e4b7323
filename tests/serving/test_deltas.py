"""Deltas: a version and what changed since make the version that a full export would have written."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import polars as pl
import pytest
from support.raw_ads import ROWS, SCHEMA, TRANSFORMS, raw_rows, tiny_model

import grouprank as gr
from grouprank.datasets import GrowingColumn, TableTransforms, VocabularyTransform
from grouprank.layers.embedding import stacked_tables

LABELS = {task: (np.arange(ROWS) % 3 == 0).astype("float32") for task in ("click", "like")}


def variables_of(version):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    # The graph of objects is a list of names, not a variable of the model.
    keys = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    return {key: reader.get_tensor(key) for key in keys}


def assert_same_version(version, other):
    mine, theirs = variables_of(version), variables_of(other)
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        assert value.dtype == theirs[key].dtype
        assert value.tobytes() == theirs[key].tobytes(), key
    assets = sorted(path.name for path in (version / "assets").iterdir())
    assert assets == sorted(path.name for path in (other / "assets").iterdir())
    for name in assets:
        assert (version / "assets" / name).read_bytes() == (other / "assets" / name).read_bytes(), name


@pytest.fixture
def base(exported, tmp_path):
    """The shared version under a folder of the test's own, and its model, which no test may change."""
    model, path, _ = exported
    return model, shutil.copytree(path, tmp_path / "ads" / "7")


@pytest.fixture
def own_model(exported):
    """The model of the shared version, for a test that changes it."""
    return keras.models.load_model(exported[1].parents[1] / "model.keras")


def other_tokens():
    """Transforms in which an operating system has handed its id on."""
    tokens = TRANSFORMS.columns["os"].tokens.copy()
    tokens[0] = "symbian"
    columns = {**TRANSFORMS.columns, "os": VocabularyTransform("os", "string", tokens)}
    return TableTransforms(SCHEMA, columns)


def test_what_changed_is_applied(base, own_model, monkeypatch):
    """On every backend: the version answers as the trained model does, by all its signatures."""
    model, path = own_model, base[1]
    # Several blocks of rows.
    monkeypatch.setattr(stacked_tables, "BLOCK_ROWS", 16)
    empty = gr.serving.export_delta(model, path, path.parent / "deltas" / "none", TRANSFORMS)
    assert (empty.table_rows, empty.variables, dict(empty.lines)) == (0, 0, {})
    (stack,) = model.table_stacks
    rng, changed = np.random.default_rng(0), 20
    rows = np.sort(rng.choice(stack.num_rows, changed, replace=False))
    stack.layer.reset_rows(rows, rng.normal(size=(changed, stack.config.width)).astype("float32"))
    for kernel in (weight for weight in model.dense_weights if weight.path.endswith("kernel")):
        kernel.assign(rng.normal(0, 0.3, kernel.shape).astype("float32"))
    delta = gr.serving.export_delta(
        model, path, path.parent / "deltas" / "8", TRANSFORMS, provenance={"metrics": {"ne": 0.9}}
    )
    assert (delta.table_rows, delta.all_table_rows) == (changed, stack.num_rows)
    assert delta.variables > 5
    assert f"20 of {stack.num_rows} rows of tables" in str(delta)
    old = variables_of(path)
    new = gr.serving.apply_delta(path, delta.path)
    assert new == path.parent / "8"
    assert gr.serving.verify(model, new, TRANSFORMS, raw_rows()).max_difference <= 1e-5
    # The base stays as it was, and the new version says where it comes from.
    assert {key: value.tobytes() for key, value in variables_of(path).items()} == {
        key: value.tobytes() for key, value in old.items()
    }
    known = json.loads((new / "assets.extra" / "provenance.json").read_text())
    assert known["metrics"] == {"ne": 0.9}
    assert known["delta"]["version"] == "7"
    assert (new / "assets.extra" / "log_profile.json").read_bytes() == (
        path / "assets.extra" / "log_profile.json"
    ).read_bytes()
    # The next delta starts from there.
    again = gr.serving.export_delta(model, new, path.parent / "deltas" / "9", TRANSFORMS)
    assert (again.table_rows, again.variables) == (0, 0)


@pytest.mark.any_backend
@pytest.mark.long
def test_a_version_of_a_delta_is_that_of_a_full_export(tmp_path):
    """With growing ids, of which some were handed on, rows in half precision, and groups."""
    column = GrowingColumn("os", "user", capacity=6, eviction="lfu")
    growing = column.fit(column.summarize(pl.Series(["a", "b", "", "", "", "c"])))
    features = [gr.Categorical("os", growing.vocabulary_size, side="user"), SCHEMA["tags"], SCHEMA["bid"]]
    columns = {"os": growing, **{name: TRANSFORMS.columns[name] for name in ("tags", "bid")}}
    transforms = TableTransforms(gr.Schema(features, SCHEMA.tasks), columns)
    groups = {"representation": gr.layers.GroupConcat(2, 8, 4, seed=0)}
    model = gr.models.CTRModel(
        transforms.schema,
        "mlp",
        group_structure=groups,
        embedding_dim=4,
        tower_units=(8,),
        embedding_optimizer="adagrad",
        embedding_storage_dtype="bfloat16",
    )
    gr.serving.export(model, tmp_path / "ads" / "1", transforms)

    rows = {name: raw_rows()[name] for name in ("tags", "bid")} | {"os": np.array(["d", "e", "f", "g"] * (ROWS // 4))}
    frame = pl.DataFrame(rows)
    transforms, growth = transforms.extended([frame])
    assert len(growth["os"].handed_on)
    assert len(growth["os"].new)
    model = gr.models.grow(model, transforms.schema, reset=growth.handed_on)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(transforms(frame), LABELS, batch_size=100, verbose=0)
    delta = gr.serving.export_delta(model, tmp_path / "ads" / "1", tmp_path / "deltas" / "2", transforms)
    assert delta.lines == {"os.txt": 4}
    applied = gr.serving.apply_delta(tmp_path / "ads" / "1", delta.path)
    full = gr.serving.export(model, tmp_path / "ads" / "3", transforms).path
    assert_same_version(applied, full)
    with pytest.raises(AssertionError):
        assert_same_version(applied, tmp_path / "ads" / "1")


@pytest.mark.any_backend
def test_vocabularies_may_change_alone(base):
    model, path = base
    transforms = other_tokens()
    delta = gr.serving.export_delta(model, path, path.parent / "deltas" / "8", transforms)
    assert (delta.table_rows, delta.variables, delta.lines) == (0, 0, {"os.txt": 1})
    new = gr.serving.apply_delta(path, delta.path, path.parent / "12")
    assert new.name == "12"
    assert (new / "assets" / "os.txt").read_text().startswith("symbian\n\x1f")
    assert (new / "assets" / "hour.txt").read_bytes() == (path / "assets" / "hour.txt").read_bytes()


@pytest.mark.any_backend
def test_what_no_delta_leads_to(base, tmp_path):
    """Another config, other transforms, another release: a full export is asked for, and nothing is written."""
    model, path = base

    def refused(model, transforms, words):
        with pytest.raises(gr.serving.FullExportNeededError, match=words):
            gr.serving.export_delta(model, path, tmp_path / "delta", transforms)
        assert not (tmp_path / "delta").exists()

    refused(tiny_model(embedding_dim=8), TRANSFORMS, "differ in the model's config")
    number = dataclasses.replace(TRANSFORMS.columns["bid"], mean=0.6)
    refused(model, TableTransforms(SCHEMA, {**TRANSFORMS.columns, "bid": number}), "differ in the transforms")
    refused(model, None, "differ in the transforms")
    # The empty string gets an id of its own, which stands in the graph.
    tokens = np.array(["android", "x", "iös 9", "a\tb", " x"], dtype=object)
    columns = {**TRANSFORMS.columns, "os": VocabularyTransform("os", "string", tokens)}
    refused(model, TableTransforms(SCHEMA, columns), "differ in the transforms")


@pytest.mark.any_backend
def test_what_is_no_base_or_no_place(base, tmp_path):
    model, path = base
    with pytest.raises(FileExistsError, match="never overwritten"):
        gr.serving.export_delta(model, path, tmp_path, TRANSFORMS)
    with pytest.raises(ValueError, match="no version folder"):
        gr.serving.export_delta(model, tmp_path / "ads", tmp_path / "delta", TRANSFORMS)
    (path / "assets.extra" / "variables.npz").unlink()
    with pytest.raises(ValueError, match="does not say where its variables come from"):
        gr.serving.export_delta(model, path, tmp_path / "delta", TRANSFORMS)


@pytest.mark.any_backend
def test_a_broken_weight_is_refused(base, own_model, tmp_path):
    model, path = own_model, base[1]
    bias = next(weight for weight in model.weights if weight.path.endswith("bias"))
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        gr.serving.export_delta(model, path, tmp_path / "delta", TRANSFORMS)
    assert not list(tmp_path.glob(".unfinished*"))


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda delta, base: _truncate(delta / "rows.parquet"), "rows.parquet is torn: it has"),
        (lambda delta, base: _flip(delta / "rows.parquet"), "its checksum is not that of the manifest"),
        (lambda delta, base: (delta / "vocabularies.parquet").unlink(), "vocabularies.parquet is missing"),
        (lambda delta, base: _truncate(delta / "manifest.json"), "manifest.json is damaged"),
        (lambda delta, base: (delta / "manifest.json").unlink(), "is no delta"),
        (lambda delta, base: _flip(base / "variables" / "variables.index"), "starts from version 7, and .* has other"),
        (lambda delta, base: (base / "assets" / "os.txt").write_text("x\n"), "starts from version 7, and .* has other"),
        (lambda delta, base: _flip(base / "variables" / "variables.data-00000-of-00001"), "cannot be read: .*damaged"),
    ],
    ids=[
        "torn",
        "flipped",
        "missing",
        "torn-manifest",
        "no-manifest",
        "other-base",
        "other-vocabulary",
        "damaged-base",
    ],
)
def test_damage_is_refused_and_leaves_nothing(base, damage, words):
    model, path = base
    delta = gr.serving.export_delta(model, path, path.parent / "deltas" / "8", other_tokens()).path
    damage(delta, path)
    with pytest.raises(ValueError, match=words):
        gr.serving.apply_delta(path, delta)
    assert sorted(p.name for p in path.parent.iterdir()) == ["7", "deltas"]
