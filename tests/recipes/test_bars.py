"""The settings of BARS on a table in its layout."""

import json

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.models.backbones import BACKBONES
from grouprank.recipes import bars
from grouprank.recipes.bars_page import bars_page

SETTINGS = bars.bars_settings()
PLACES = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")


def write(folder):
    """Frappe's columns, where an item is liked by half of the users."""
    draw = np.random.default_rng(0)
    for name, rows in (("train", 3000), ("valid", 400), ("test", 400)):
        columns = {place: draw.integers(0, 6, rows) for place in PLACES}
        labels = (columns["user"] + columns["item"]) % 2
        lines = [",".join(map(str, row)) for row in zip(labels, *columns.values(), strict=True)]
        (folder / f"{name}.csv").write_text("\n".join([",".join(["label", *PLACES]), *lines]) + "\n")
    return folder


def test_backbones_are_trained_once_and_held_against_the_published_figures(tmp_path, capsys):
    data = write(tmp_path)

    def study(only, seeds=1):
        bars.main("frappe_x1", data, only, seeds, 12, tmp_path / "run")
        captured = capsys.readouterr()
        return captured.out + captured.err

    first = study("dcn_v2")
    assert "The MD5 of train.csv, valid.csv, test.csv is not the one that BARS publishes" in first.replace("\n", " ")
    assert "dcn_v2, seed 0: AUC 0.9" in first or "dcn_v2, seed 0: AUC 1.0" in first
    result = json.loads((tmp_path / "run" / "dcn_v2-0.json").read_text())
    assert result["best_epoch"] <= result["epochs"] <= 12
    page = (tmp_path / "run" / "bars.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| dcn_v2 |"))
    assert row.split("|")[2:5] == [" 0.9845 ", f" {result['auc']:.4f} ", f" {result['auc'] - 0.9845:+.4f} "]
    assert "seed 0" not in study("dcn_v2")
    with pytest.raises(ValueError, match="run with other settings .max_epochs: 12 there, 13 now"):
        bars.main("frappe_x1", data, "dcn_v2", 1, 13, tmp_path / "run")


@pytest.mark.parametrize(("name", "dataset"), [(n, d) for n, found in SETTINGS["models"].items() for d in found])
def test_every_setting_makes_a_backbone(name, dataset):
    layout = SETTINGS["datasets"][dataset]
    numbers = [gr.Numeric(column) for column in layout["numeric"]]
    schema = gr.Schema([*numbers, *(gr.Categorical(c, 9) for c in layout["categorical"])], [gr.Task("label")])
    setting = SETTINGS["models"][name][dataset]
    backbone = BACKBONES[name].from_schema(schema, **setting["backbone"], dropout=setting["dropout"])
    backbone.build({feature.name: (None, setting["embedding_dim"]) for feature in schema.features})
    assert backbone.built
    assert 0.5 < setting["published"]["auc"] < 1


def test_models_are_those_of_the_settings(tmp_path):
    table = gr.datasets.prepare(
        gr.datasets.FuxiCTR(write(tmp_path), (), PLACES, name="frappe_x1"), tmp_path / "prepared"
    )
    setting = SETTINGS["models"]["mlp"]["frappe_x1"]
    keras.utils.set_random_seed(0)
    model = bars.bars_model("mlp", setting, table, bars.Protocol())
    tables = [weight for weight in model.trainable_weights if weight.name == "embeddings"]
    assert sum(weight.shape[0] for weight in tables) == sum(f.vocabulary_size for f in table.schema.features)
    values = np.concatenate([keras.ops.convert_to_numpy(weight) for weight in tables])
    assert np.std(values) == pytest.approx(1e-4, rel=0.1)
    # DNN_frappe_x1: three layers of 400 with batch normalization, an L2 factor of 0.05 / 2 for each squared weight.
    made = model.backbone.get_config()
    assert (list(made["units"]), made["normalization"], made["dropout"]) == ([400, 400, 400], "batch", 0.2)
    loss = sum(float(found) for found in model.losses)
    assert loss == pytest.approx(0.025 * np.sum(np.square(values, dtype="float64")), rel=1e-4)
    assert model.optimizer.global_clipnorm == 10


def test_what_is_unknown_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"--dataset must be one of \['frappe_x1', .*Received: 'frappe'"):
        bars.models_of(SETTINGS, "frappe", "")
    with pytest.raises(ValueError, match=r"--only names \['dlrm'\]. BARS' settings for frappe_x1 are of \['lr', "):
        bars.models_of(SETTINGS, "frappe_x1", "lr, dlrm")
    assert list(bars.models_of(SETTINGS, "criteo_x1", "dlrm,lr")) == ["lr", "dlrm"]


def test_files_are_told_apart_by_their_md5(tmp_path):
    (tmp_path / "train.csv").write_text("a")
    (tmp_path / "valid.csv").write_text("b")
    files = [tmp_path / "train.csv", tmp_path / "valid.csv", tmp_path / "test.csv.gz"]
    known = {"train.csv": "0cc175b9c0f1b6a831c399e269772661", "valid.csv": "0cc175b9c0f1b6a831c399e269772661"}
    assert bars.other_files(files, known) == ["valid.csv"]


def test_a_page_shows_spreads_and_what_is_not_as_there():
    runs = [{"auc": auc, "logloss": 0.2, "best_epoch": 3} for auc in (0.97, 0.98)]
    settings = {"masknet": SETTINGS["models"]["masknet"]["frappe_x1"]}
    page = bars_page("frappe_x1", {"masknet": runs}, settings, [], {"backend": "jax", "max_epochs": 100})
    assert "| masknet | 0.9837 | 0.9750 ± 0.0071 | -0.0087 | 0.1696 | 0.2000 ± 0.0000 | 3.0 |" in page
    assert "layer normalization of the embeddings |" in page
    assert "MD5" not in page
    assert "(jax, 2 seeds, at most 100 epochs)" in page
