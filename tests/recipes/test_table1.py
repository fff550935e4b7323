"""The study of Table 1, from tuning to its pages, on a small log."""

import dataclasses
import json

import pytest
import typer

import grouprank as gr
from grouprank.recipes import table1
from grouprank.recipes.paired_study import Training
from grouprank.recipes.paired_study.table1_rows import BOTH, ablations, controls, headline, library_defaults

ROWS = ["baseline", "GSL(user)", "GSL(user), ResL", "GSL(user-ad)", "GSL(representation)", "ResL", BOTH]


@pytest.fixture(scope="module")
def small(monkeypatch_module):
    """Choices that train in seconds."""
    tiny = {"epochs": [1], "backbone": ["mlp"], "embedding_l2": [0.0, 1e-4], "batch_size": [512], "decay": [True]}
    groups = {"codebook_size": [8], "num_levels": [2], "output_gradient": ["codebook", "none"]}
    groups["self_supervision"] = [{"reconstruction_weight": 0.5}]
    rest = {"weight": [0.1], "distillation_weight": [1.0], "reading": ["magnitude"], "teacher": ["cross_fitted"]}
    study = table1.synthetic
    choices = {"space": tiny, "candidates": {**groups, **rest}}
    monkeypatch_module.setattr(table1, "synthetic", lambda rows: dataclasses.replace(study(rows), **choices))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.long
def test_a_study_from_tuning_to_pages(small, tmp_path, capsys):
    folder, output = tmp_path / "run", tmp_path / "docs"

    def study(**changes):
        settings = {"seeds": 2, "budget": 2, "tuning_seeds": 1, "ablation_seeds": 0, "workers": 1, **changes}
        table1.main(data=None, made_up=True, rows=4000, run=folder, output=output, **settings)
        return capsys.readouterr().out

    lines = study()
    assert "baseline: the best of 2 trials is baseline-trial-" in lines
    page = (output / "table1-synthetic.md").read_text()
    found = json.loads((output / "table1-synthetic.json").read_text())
    assert found["candidate"]["groups"]["user"]["reconstruction_weight"] == 0.5
    names = [*ROWS, "random codes(user)", "random codes(user-ad)", "distillation alone"]
    gains = {(gain["model"], gain["task"]) for gain in found["gains"]["gains"]}
    assert {(name, task) for name in names[1:] for task in ("click", "profile_click")} <= gains
    assert "python -m grouprank.recipes.table1 --synthetic --rows 4000 --seeds 2" in page
    for heading in (
        "Gains on the test days",
        "Over distillation alone",
        "The worst slices",
        "Are planted groups found?",
        "Which rows find planted groups?",
        "Trials of the candidate",
    ):
        assert heading in page
    assert set(found["stability"]) == {"user", "user_ad", "representation"}
    over = {name: {gain["model"] for gain in part["gains"]} for name, part in found["controls"].items()}
    assert over.pop("distillation alone") == {"GSL(user), ResL", "ResL", BOTH}
    assert over.pop("random codes(user)") == {"GSL(user)"}
    assert over.pop("random codes(user-ad)") == {"GSL(user-ad)"}
    assert list(over.values()) == [{"GSL(user)", "GSL(user-ad)", "GSL(representation)"}]
    assert {name: len(seeds) for name, seeds in found["recovery"].items()} == dict.fromkeys(ROWS[1:5] + ROWS[6:], 2)
    html = (output / "table1-synthetic.html").read_text()
    for shown in (
        "epoch by epoch",
        "The worst slices",
        "Groups: user_ad",
        "wider network",
        "Gains over distillation alone",
    ):
        assert shown in html
    assert (folder / "report.html").read_text() == html
    again = study()
    assert "seed" not in again.split("written")[0].replace("--seeds", "")
    assert (output / "table1-synthetic.md").read_text() == page
    added = study(seeds=3)
    assert added.count(", seed 2: ") == len(names) + 1
    assert "seed 1: " not in added
    with pytest.raises(ValueError, match="other settings .*budget: 2 there, 3 now"):
        study(budget=3)


def test_one_source_of_data_is_asked_for(tmp_path):
    with pytest.raises(typer.BadParameter, match="Give either --data DIR or --synthetic"):
        table1.main(data=tmp_path, made_up=True)


def test_settings_of_their_own_go_to_rows_with_a_teacher():
    groups, residual, own = {"codebook_size": 8}, {"weight": 0.1, "distillation_weight": 3.0}, {"embedding_l2": 1e-4}
    rows = [*headline(groups, residual, "column", own), *controls(groups, residual, "column", 1.2, own)]
    taught = {row.name for row in rows if row.residual is not None}
    assert taught == {"GSL(user), ResL", "ResL", BOTH, "distillation alone"}
    assert {row.name for row in rows if row.training} == taught
    alone = rows[-1].residual
    assert (alone["weight"], alone["distillation_weight"]) == (0.0, 3.0)


@pytest.mark.filterwarnings("ignore:Eq. 7 as printed")
def test_every_row_is_a_model(tmp_path):
    log = gr.datasets.SyntheticAds(rows=1500, num_users=100, num_ads=30)
    schema = gr.datasets.prepare(log, tmp_path / "prepared").schema
    groups, residual = {"codebook_size": 8, "num_levels": 2}, {"weight": 0.1, "distillation_weight": 1.0}
    rows = [*headline(groups, residual, "ensemble"), *controls(groups, residual, "ensemble", 1.2)]
    assert [row.name for row in rows[: len(ROWS)]] == ROWS
    tables = ablations(groups, residual, "ensemble")
    assert len(tables) == 7
    assert tables.keys() == library_defaults().keys()
    for title, default in library_defaults().items():
        # Compared under its own name, or with what else is said of it after a comma.
        assert any(row.name == default or row.name.startswith(f"{default},") for row in tables[title]), (title, default)
    assert [row.name for row in ablations(groups, residual, "column")["Teachers"]][1] == "teacher=column"
    for row in (*rows, *(variant for variants in tables.values() for variant in variants)):
        model = row.model(schema, Training(backbone="mlp", embedding_dim=2, tower_units=4), seed=0)
        assert {"click", "link_click", "website_click", "profile_click"} <= set(model.output)
