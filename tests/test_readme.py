"""The README's code runs as it stands."""

import re
import shutil
import types
from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest
import yaml
from support.daily_log import write_days
from support.fake_export import fake_export
from support.prediction_frame import prediction_frame
from support.raw_ads import TRANSFORMS, raw_rows

import grouprank as gr
from grouprank.layers.multi_task import MULTI_TASK

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def block(marker):
    (found,) = [code for code in BLOCKS if marker in code]
    return found


def test_a_plain_keras_model_of_ones_own(capsys):
    names = {}
    exec(block("ResidualLabelLoss()"), names)
    assert {name: z.shape for name, z in names["model"].output.items()} == {"click": (None, 1), "residual": (None, 2)}
    assert "user_groups_perplexity" in capsys.readouterr().out


@pytest.mark.parametrize("backbone", [False, True])
def test_a_table_and_a_backbone_of_ones_own(backbone):
    names = {"gr": gr, "keras": keras}
    exec(block("last_clicked"), names)
    if backbone:
        names["schema"] = gr.Schema(names["schema"].features, names["schema"].tasks)
        exec(block("SumOfFields"), names)
    assert set(names["model"].schema.task_names) == {"click", "purchase"}


def test_fused_tables():
    names = {"gr": gr, "keras": keras}
    exec(block("last_clicked"), names)
    exec(block("RowwiseAdagrad("), names)
    embedding = names["model"].get_layer("embedding")
    assert isinstance(embedding, gr.layers.FusedEmbeddingCollection)
    assert embedding.rows_of("last_clicked")[0].shape == embedding.rows_of("ad_id")[0].shape == (8_000, 32)
    exec(block("FusedEmbedding("), names)
    names["model"].fit(np.zeros((8, 4), "int32"), np.zeros(8), verbose=0)


def test_the_zoo():
    names = {"gr": gr, "keras": keras}
    exec(block("last_clicked"), names)
    exec(block("from_preset"), names)
    assert names["model"].residual_learning is not None
    for argument, choices in (("backbone", gr.models.backbones.BACKBONES), ("multi_task", MULTI_TASK)):
        (line,) = [line for line in README.splitlines() if line.startswith(f"| `{argument}` |")]
        assert set(choices) <= set(re.findall(r"`(\w+)`", line))


def test_sampled_negatives_and_calibration():
    rng = np.random.default_rng(0)
    ads = rng.integers(0, 20, (2, 4000)).astype("int32")
    click = (rng.random((2, 4000)) < 0.05).astype("float32")
    names = {
        "gr": gr,
        "schema": gr.Schema([gr.Categorical("ad", 20), gr.Categorical("user", 20, side="user")], [gr.Task("click")]),
    }
    names |= {"columns": {"ad": ads[0], "user": ads[1]}, "labels": {"click": click[0]}}
    names |= {"newer_columns": {"ad": ads[1], "user": ads[0]}, "newer_labels": {"click": click[1]}}
    exec(block("negative_rate="), names)
    predicted = names["model"].predict_proba(names["newer_columns"])["click"].mean()
    assert predicted == pytest.approx(click[1].mean(), rel=0.1)


def test_histories(tmp_path, monkeypatch):
    class Log:
        name, extras, settings = "log", {}, {"version": 1}
        columns = (
            gr.datasets.CategoricalColumn("user_id", "user", dtype="int64"),
            gr.datasets.CategoricalColumn("video_id", "ad", dtype="int64"),
        )
        tasks = (gr.Task("is_click"), gr.Task("long_view"), gr.Task("is_like"))

        def __init__(self, folder, by_time):
            assert by_time

        def chunks(self, chunk_rows, max_bad_rows=0):
            number = np.arange(60)
            split = np.repeat(gr.datasets.SPLITS, 20)
            frame = pl.DataFrame({"user_id": number % 3, "video_id": number % 7, "time_ms": number, "split": split})
            yield frame.with_columns(pl.lit(1, pl.Float32).alias(task.name) for task in self.tasks)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gr.datasets, "KuaiRandPure", Log)
    names = {"gr": gr}
    exec(block("gr.datasets.histories("), names)
    assert names["table"].schema["history"].shape == (50,)
    assert set(names["model"].sequence_encoders) == {"history"}
    assert (names["table"].column("test", "history")[-1] > 0).sum() == 19


def test_conversions_that_come_late():
    rng = np.random.default_rng(0)
    rows, day = 256, 86_400.0
    click, purchase = (rng.random((2, rows)) < 0.5).astype("float32")
    now = 1.7e9 + 5 * day
    click_time = np.where(click == 1, 1.7e9 + rng.uniform(0, 5, rows) * day, np.nan)
    conversion_time = np.where(click * purchase == 1, click_time + rng.exponential(day, rows), np.nan)
    names = {
        "gr": gr,
        "schema": gr.Schema(
            [gr.Categorical("ad", 20), gr.Categorical("user", 20, side="user")],
            [gr.Task("click"), gr.Task("purchase", given="click")],
        ),
        "columns": {"ad": rng.integers(0, 20, rows), "user": rng.integers(0, 20, rows)},
        "labels": {"click": click, "purchase": (conversion_time <= now).astype("float32")},
    }
    names |= {"click_time": click_time, "conversion_time": conversion_time, "now": now}
    exec(block("conversion_delays("), names)
    assert "purchase_delayed_loss" in names["model"].history.history


def test_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"old:click": "baseline:click", "new:click": "candidate:click", "user": "user_id"}
    frame = prediction_frame(np.random.default_rng(0), rows=3000, users=500).rename(names)
    codes = gr.reports.Segmentation.code_columns("user", np.arange(3000)[:, None] % 4)
    names = {"gr": gr, "frames": [frame.with_columns(**codes)] * 3}
    exec(block("PredictionSums("), names)
    assert names["gains"].of("candidate", "click").verdict == "better"
    assert "groups user, level 1" in names["segments"].to_markdown()
    assert "candidate" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_log_that_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gr.serving, "export", fake_export)
    write_days(tmp_path / "clicks", range(2))
    features = [{"name": "user", "kind": "categorical", "side": "user"}]
    features += [{"name": "ad", "kind": "growing", "side": "ad", "capacity": 99}]
    Path("clicks.yaml").write_text(yaml.safe_dump({"features": features, "tasks": ["click"]}))
    exec(block("gr.incremental.periods("), {"gr": gr})
    assert "2024-01-02 admitted {'click': {'rows': 300" in capsys.readouterr().out
    assert Path("saved_models/clicks/2.lineage.json").is_file()


def test_every_recipe_is_named():
    commands = set(re.findall(r"python -m grouprank\.recipes\.(\w+)", README))
    folder = Path(gr.__file__).parent / "recipes"
    assert commands == {path.stem for path in folder.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}


def test_serving(exported, tmp_path, monkeypatch, capsys):
    rows = raw_rows(20)
    shutil.copytree(exported[1], tmp_path / "saved_models" / "demo" / "1")
    monkeypatch.chdir(tmp_path)
    once = ("user_id", "raw_hour", "os", "never_seen")
    user = {name: rows[name][:1] for name in once}
    ads = {name: values[np.newaxis] for name, values in rows.items() if name not in once}
    names = {"gr": gr, "rows": rows, "user": user, "ads": ads}
    exec(block("LoopbackServer(").replace("timeout=5", "timeout=60"), names)
    assert names["scores"]["click"].shape == (20,)
    assert names["ranked"]["click"].shape == (1, 20)
    assert set(names["groups"]) == {"user", "representation"}
    model = exported[0]
    frame = {name: values for name, values in rows.items() if name != "image"}
    names |= {"model": model, "table": types.SimpleNamespace(transforms=TRANSFORMS), "labels": None}
    exec(block("gr.serving.explain(").replace("16, rows", "16, frame"), {**names, "frame": frame})
    assert capsys.readouterr().out.startswith("row 0\n  click 0.")
    listed = set(re.findall(r"^\| `(\w+)`", README, flags=re.MULTILINE))
    assert {"serving_default", "serving_examples", "classify", "rank", "groups", "features", "explanations"} <= listed
