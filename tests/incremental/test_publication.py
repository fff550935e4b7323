"""Versions with their lineage, and the way back."""

import json

import numpy as np
import polars as pl
import pytest
from support.daily_log import DESCRIPTION, day_rows, make_model, make_trainer, untimed, write_days
from support.fake_export import fake_export, learned

import grouprank as gr
from grouprank.incremental import period_step
from grouprank.incremental.period_rows import PeriodRows
from grouprank.incremental.period_step import PeriodStep
from grouprank.incremental.publication import Publication
from grouprank.incremental.settings import Settings
from grouprank.reports import GateRule, LogProfile, drift


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Three days, of which the second was refused."""
    monkeypatch.setattr(gr.serving, "export", fake_export)
    days = write_days(tmp_path / "log", range(4))
    trainer = make_trainer(tmp_path / "run", days, export=tmp_path / "export")
    trainer.step(days[0])
    strict = {"gate": [GateRule(calibration=(3.0, 4.0))]}
    with monkeypatch.context() as gate:
        gate.setattr(trainer._run, "_settings", make_trainer(tmp_path / "strict", days, **strict)._run._settings)
        trainer.step(days[1])
    trainer.step(days[2])
    return trainer, days, tmp_path / "export"


def weights_of(trainer, step):
    return learned(trainer.load(step)[0])


def exported(folder, version):
    with np.load(folder / str(version) / "weights.npz") as saved:
        return [saved[name] for name in saved.files]


def test_versions_and_their_lineage(published):
    trainer, _, folder = published
    assert [(e["status"], e["published"]) for e in trainer.ledger] == [
        ("admitted", 1),
        ("refused", None),
        ("admitted", 3),
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["1", "1.lineage.json", "3", "3.lineage.json"]
    lineage = json.loads((folder / "3.lineage.json").read_text())
    entry = untimed(trainer.ledger[2])
    del entry["published"]
    assert lineage == entry
    assert (lineage["parent"], lineage["period"], lineage["trained_rows"] > 200) == (1, "2024-01-03", True)
    assert {"new", "handed_on"} <= set(lineage["growth"]["ad"])
    assert lineage["progressive"]["click"]["normalized_entropy"] > 0
    provenance = json.loads((folder / "3" / "assets.extra" / "provenance.json").read_text())
    assert provenance["lineage"] == lineage
    for found, wanted in zip(exported(folder, 3), weights_of(trainer, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_version_knows_what_its_period_looked_like(published):
    """The rows and the scores of the model itself, and those of the version that a rollback goes back to."""
    trainer, _, folder = published

    def profile(version):
        return LogProfile.load(folder / str(version) / "assets.extra" / "log_profile.json")

    assert [profile(version).rows for version in (1, 3)] == [300, 300]
    model, transforms = trainer.load(3)
    rows = day_rows(2)
    scores = model.predict_proba(transforms(rows))
    served = rows.select(*transforms.raw_columns).with_columns(
        pl.Series(f"served:{name}", values) for name, values in scores.items()
    )
    own, current = profile(3), profile(3).count(served)
    assert list(own.score_columns.items()) == [(name, f"served:{name}") for name in scores]
    assert [name for _, name in own.parts] == ["user", "ad", "bid", *scores]
    assert own.columns["bid"].kind == "numbers"
    for part, counted in own.parts.items():
        if part[1] != "click":  # a rounding may carry a score over the edge of a bin
            np.testing.assert_array_equal(counted.counts, current.parts[part].counts)
    known = own.scores["click"].sums.sum(axis=(1, 2))
    np.testing.assert_allclose(known, [300, scores["click"].sum(), rows["click"].sum()], rtol=1e-4)
    assert own.scores["buy"].sums[0].sum() == rows["click"].sum(), "of rows that were not clicked it is not known"
    assert not drift(own, served).drifted
    assert "bid" in drift(own, served.with_columns(pl.col("bid") + 1.0)).drifted
    assert profile(1).columns["ad"].tokens != own.columns["ad"].tokens
    trainer.rollback(1)
    assert profile(4).to_dict() == profile(1).to_dict()
    trainer.give_room({"ad": 30})
    trainer.rollback(5)
    assert profile(6).to_dict() == profile(1).to_dict()


def test_a_profile_is_first_of_rows_that_were_not_trained(tmp_path, monkeypatch):
    (day,) = write_days(tmp_path / "log", [0])
    seen = []
    monkeypatch.setattr(period_step, "PROFILE_ROWS", 50)
    monkeypatch.setattr(
        period_step,
        "period_profile",
        lambda model, transforms, chunks, *others: seen.extend(np.concatenate([c.numbers for c in chunks])),
    )
    step = PeriodStep(PeriodRows(DESCRIPTION, chunk_rows=70), Settings(), 1, lambda part: None)
    held = np.arange(300) % 10 == 0
    step._profile(None, None, day, held, tmp_path)
    others = set(seen) - set(np.flatnonzero(held))
    assert (len(seen), len(others)) == (50, 20)
    assert min(others) < 100 < 200 < max(others), "of the whole period"


def test_rollback_is_a_version_and_an_entry(published):
    trainer, days, folder = published
    entry = trainer.rollback(1)
    assert (entry["status"], entry["step"], entry["parent"], entry["base"]) == ("rolled back", 4, 3, 1)
    assert entry["published"] == 4
    for found, wanted in zip(exported(folder, 4), exported(folder, 1), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert json.loads((folder / "4.lineage.json").read_text())["base"] == 1
    after = trainer.step(days[3])
    assert (after["step"], after["parent"], after["scored_by"], after["periods"]) == (5, 1, 1, 2)
    with pytest.raises(ValueError, match="The run has no version 4. It has: \\[1, 2, 3, 5\\]"):
        trainer.rollback(4)
    assert trainer.rollback(2)["base"] == 2, "a refused version may be taken after all"


def test_versions_of_others_are_never_touched(published, tmp_path):
    trainer, days, folder = published
    (folder / "4").mkdir()
    with pytest.raises(FileExistsError, match="4 exists and is not of this run"):
        trainer.step(days[3])
    assert len(trainer.ledger) == 3
    (folder / "4").rmdir()
    assert trainer.run(days) == [], "the step was finished before"
    assert trainer.ledger[3]["published"] == 4
    (folder / "77").mkdir()
    with pytest.raises(ValueError, match="holds versions of another run: 77"):
        make_trainer(tmp_path / "run", days, export=folder)


def test_versions_are_saved_models_in_full_and_by_deltas(tmp_path, monkeypatch):
    days = write_days(tmp_path / "log", range(3))
    transforms = gr.incremental.fit_transforms(DESCRIPTION, days[:1])
    model = make_model(transforms, group_structure=(), residual_learning=False)
    folder = tmp_path / "export" / "clicks"
    trainer = make_trainer(tmp_path / "run", days, model, export=folder, full_every=3)
    entry = trainer.step(days[0])

    def provenance(version):
        return json.loads((folder / str(version) / "assets.extra" / "provenance.json").read_text())

    assert (folder / "1" / "saved_model.pb").is_file()
    assert provenance(1)["lineage"]["growth"] == entry["growth"]
    assert provenance(1)["verified_rows"] > 0
    assert LogProfile.load(folder / "1" / "assets.extra" / "log_profile.json").rows == 300
    # What a step left that was killed between its delta and its version.
    (folder / "deltas" / "2").mkdir(parents=True)
    (folder / "deltas" / "2" / "manifest.json").write_text("{")
    with monkeypatch.context() as no_export:
        no_export.setattr(gr.serving, "export", None)
        entry = trainer.step(days[1])
    assert entry["published"] == 2
    assert provenance(2)["lineage"]["growth"] == entry["growth"]
    assert provenance(2)["verified_rows"] > 0
    assert provenance(2)["delta"]["since_full_export"] == 1
    assert (folder / "2" / "assets" / "ad.txt").read_text() != (folder / "1" / "assets" / "ad.txt").read_text()
    elsewhere = gr.serving.apply_delta(folder / "1", folder / "deltas" / "2", tmp_path / "elsewhere" / "2")
    data = "variables/variables.data-00000-of-00001"
    assert (elsewhere / data).read_bytes() == (folder / "2" / data).read_bytes()

    # Another graph, and a third version, are exported in full.
    monkeypatch.setattr(gr.serving, "export", fake_export)
    trainer.give_room({"ad": 40})
    assert trainer.step(days[2])["published"] == 4
    assert "delta" not in provenance(4)
    publication = Publication(folder, full_every=2)
    publication.publish(3, *trainer.load(2), {"period": "again"})
    assert "delta" not in provenance(3)


def test_how_often_versions_are_full_is_checked(tmp_path):
    with pytest.raises(ValueError, match="`full_every` must be an integer of at least 1"):
        Publication(tmp_path, full_every=0)
