"""The page of all presets, from training to Markdown, on a few real rows."""

import json

import keras
import numpy as np
import pytest

import grouprank as gr
from grouprank.recipes import kuairand_models
from grouprank.recipes.models_page import models_page
from grouprank.recipes.validation_entropy import FIGURE, ValidationEntropy


def thinned(dataset):
    class Thinned(dataset):
        def chunks(self, chunk_rows, max_bad_rows=0, workers=1):
            for frame in super().chunks(chunk_rows, max_bad_rows, workers):
                yield frame.gather_every(100)

    return Thinned


def test_presets_are_trained_once_and_put_on_a_page(real_data, tmp_path, monkeypatch, capsys):
    for name in ("KuaiRandPure", "KuaiRandFunnel"):
        monkeypatch.setattr(kuairand_models, name, thinned(getattr(gr.datasets, name)))
    page = tmp_path / "models.md"

    def study():
        options = {
            "only": "lr,fm,esmm",
            "seeds": 2,
            "output": page,
            "steps": tmp_path / "none.json",
            "flops": tmp_path / "none.json",
        }
        kuairand_models.main(real_data("kuairand-pure"), tmp_path / "run", **options)
        return capsys.readouterr().out

    assert study().count("is_click NE") == 6
    text = page.read_text()
    for part in ("## Click models", "| `lr` |", "## Conversion models", "| `esmm` |", "is_click_and_long_view AUC"):
        assert part in text
    assert f"backend {keras.backend.backend()}, embedding_dim 8" in text
    assert "embedding_l2 0.001 or 1e-05, embedding_l1 1 or 5" in text
    assert "`dhen`" not in text
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for part in (
        "3 presets were trained under 2 seeds each: on is_click, ",
        ">Click models</h2>",
        ">esmm</th>",
        "<dt>NE</dt>",
    ):
        assert part in report
    for name, penalty, factors in (("lr", "embedding_l1", {"1", "5"}), ("fm", "embedding_l2", {"0.001", "1e-05"})):
        tried, second = (json.loads((tmp_path / "run" / f"{name}-{seed}.json").read_text()) for seed in (0, 1))
        assert set(tried["validation"]) == factors
        assert f"{tried[penalty]:g}" == min(tried["validation"], key=tried["validation"].get)
        assert set(second["validation"]) == {f"{tried[penalty]:g}"}
        # Only FTRL makes weights exactly zero.
        assert (tried["zero_embeddings"] > 0.01) == (name == "lr")
    assert f"L1 {json.loads((tmp_path / 'run' / 'lr-0.json').read_text())['embedding_l1']:g} |" in text
    assert "% of the embeddings are 0 |" in next(line for line in text.splitlines() if "FTRL-Proximal" in line)
    assert study().startswith("written")
    assert page.read_text() == text


@pytest.mark.any_backend
def test_presets_are_trained_with_histories(real_data, tmp_path, monkeypatch):
    monkeypatch.setattr(kuairand_models, "KuaiRandPure", thinned(gr.datasets.KuaiRandPure))
    page, run = tmp_path / "models.md", tmp_path / "run"
    options = {
        "only": "lr,lr_gbdt",
        "seeds": 1,
        "output": page,
        "steps": tmp_path / "none.json",
        "flops": tmp_path / "none.json",
    }
    kuairand_models.main(real_data("kuairand-pure"), run, **options, history=5)
    assert "patience 1, history 5, histories None." in page.read_text()
    assert gr.datasets.PreparedTable(run / "prepared-history").schema["history"].length == 5
    assert not (run / "prepared-funnel-history").exists()
    assert gr.datasets.PreparedTable(run / "prepared-history-leaves").transforms.leaves is not None
    # Of the same seed, so that the leaves alone make the difference.
    plain, leaves = (json.loads((run / f"{name}-0.json").read_text())["embeddings"] for name in ("lr", "lr_gbdt"))
    assert leaves > plain
    with pytest.raises(ValueError, match="--histories needs the number of videos to take: --history 50"):
        kuairand_models.main(tmp_path, tmp_path / "other", histories=tmp_path)
    assert not (tmp_path / "other").exists()


def test_a_page_says_how_long_steps_take_and_what_is_unknown():
    test = {"click": {"normalized_entropy": 0.9, "auc": None}}
    runs = [{"embedding_l2": 1e-3, "epochs": epochs, "parameters": 1234, "test": test} for epochs in (2, 1)]
    steps = {"measurements": {"lr, JAX": {"rounds": [[0.010, 0.020], [0.030]]}}}
    flops = {"lr": {"row": 1_234_000, "ranked ad": 56_000}}
    page = models_page({"lr": runs}, {"backend": "jax", "batch_size": 64}, steps, flops)
    assert "| `lr` | 0.001 | 2/1 | 0.9000 ± 0.0000 | – |" in page
    assert "| 1,234 | 1.23 / 0.06 | – / 20 / – |" in page
    assert "backend jax, batch_size 64." in page


def test_validation_entropy_leaves_penalties_out(tmp_path):
    log = gr.datasets.SyntheticAds(rows=2000, num_users=100, num_ads=30, tasks=("click", "conversion"))
    table = gr.datasets.prepare(log, tmp_path / "prepared")
    regularizer = keras.regularizers.L2(10.0)
    model = gr.models.CVRModel.from_preset("esmm", table.schema, embedding_dim=2, embeddings_regularizer=regularizer)
    model.compile(metrics={})
    logs = {}
    measure = ValidationEntropy(table)
    measure.set_model(model)
    measure.on_epoch_end(0, logs)
    columns = {task: np.asarray(table.column("validation", task)) for task in table.schema.task_names}
    probabilities = model.predict_proba(table.batches("validation", 256))
    labels = model.labels(columns)
    expected = []
    for name, label in labels.items():
        label = keras.ops.convert_to_numpy(label)
        seen = ~np.isnan(label)
        y, p = label[seen].astype("float64"), np.asarray(probabilities[name], "float64")[seen]
        rate = y.mean()
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        expected.append(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean() / entropy)
    assert logs[FIGURE] == pytest.approx(np.mean(expected), rel=1e-4)
