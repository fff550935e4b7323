"""The page that a study writes into its run folder."""

import re

import numpy as np
import pytest

import grouprank as gr
from grouprank.recipes.models_page import models_report
from grouprank.recipes.study_page import write_study_page

TASKS = ("click", "link_click")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    log = gr.datasets.SyntheticAds(rows=3000, num_users=600, num_ads=50, tasks=TASKS)
    return gr.datasets.prepare(log, tmp_path_factory.mktemp("page") / "prepared")


@pytest.fixture(scope="module")
def candidate(table):
    groups = {"user": gr.layers.GroupConcat(num_levels=1, codebook_size=4, code_dim=4)}
    return gr.models.CTRModel(table.schema, backbone="lr", embedding_dim=4, group_structure=groups)


def sums_of(table, user):
    rng = np.random.default_rng(0)
    sums = gr.reports.PredictionSums(TASKS, ["baseline", "candidate"], user="unit")
    frame = {"unit": np.arange(table.rows("test")) if user is None else np.asarray(table.column("test", user))}
    for task in TASKS:
        frame[task] = np.asarray(table.column("test", task))
        frame |= {f"{model}:{task}": rng.uniform(0.05, 0.3, table.rows("test")) for model in sums.models}
    sums.update(frame)
    return sums


def text_of(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_it_says_what_was_compared_and_shows_what_there_is(table, candidate, tmp_path, monkeypatch):
    # Groups that are known, whatever an untrained model's are: those of the device.
    codes = np.asarray(table.column("test", "device"))[:, None] % 4
    monkeypatch.setattr(gr.models.CTRModel, "groups", lambda model, x: {"user": codes})
    for model in ("baseline", "candidate"):
        (tmp_path / model).mkdir()
        lines = ["epoch,loss,val_loss,val_click_normalized_entropy", "0,0.7,0.6,0.95", "1,0.6,,0.94"]
        (tmp_path / model / "history.csv").write_text("\n".join(lines) + "\n")
    sums = sums_of(table, None)
    settings = {"backend": "jax", "seed": 3}
    path = write_study_page(
        "my-log", table, sums, candidate, tmp_path, configuration=settings, remarks=["**Warning**: few steps."]
    )
    assert path == tmp_path / "report.html"
    html = path.read_text(encoding="utf-8")
    text = text_of(html)
    assert "On 2 tasks, the candidate was compared with the baseline under one seed: the NE gains lie from " in text
    assert "which one seed cannot tell from chance." in text
    assert "The candidate is the baseline with GSL (user) and ResL." in text
    assert "covers the sampling of rows" in text
    assert "take rows as independent" in text
    assert "Warning : few steps." in text
    assert re.findall(r"<dt>(.*?)</dt>", html) == ["NE", "GSL", "ResL"]
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == [
        "Conclusions",
        "How it was run",
        "Gains",
        "Calibration",
        "Training",
        "Groups: user",
    ]
    assert re.search(r"device= ?\S+ \(×", text), "groups are described by the values of features"
    assert "user_id=" not in text, "ids say nothing of a group"


def test_without_groups_and_curves_it_has_fewer_sections(table, tmp_path):
    plain = gr.models.CTRModel(
        table.schema, backbone="lr", embedding_dim=4, group_structure=(), residual_learning=False
    )
    path = write_study_page("my-log", table, sums_of(table, "user"), plain, tmp_path, unit="user_id")
    html = path.read_text(encoding="utf-8")
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == ["Conclusions", "Gains", "Calibration"]
    assert "covers the sampling of users (user_id)" in text_of(html)
    assert "GSL" not in html


def test_the_page_of_presets_begins_with_what_came_out():
    test = {"click": {"normalized_entropy": 0.9, "auc": None}}
    worse = {"click": {"normalized_entropy": 0.95, "auc": 0.7}}
    runs = {"lr": [{"embedding_l2": 1e-3, "epochs": 2, "parameters": 1234, "test": worse}]}
    runs["mlp"] = [{"embedding_l2": 1e-3, "epochs": 1, "parameters": 4321, "test": test}]
    text = text_of(models_report(runs, {"backend": "jax"}, None, {}).to_html())
    assert "2 presets were trained under one seed, which makes no claim: on click, mlp has the lowest mean NE" in text
