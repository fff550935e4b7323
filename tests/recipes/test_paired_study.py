"""Many seeds of a variant in one compiled model are what each would be on its own."""

import numpy as np
import pytest

import grouprank as gr
from grouprank.recipes.paired_study import (
    Job,
    PairedTrainer,
    RandomCodes,
    StudyColumns,
    Training,
    Variant,
    prediction_file,
    pseudo_labels,
    run_variants,
)

TASKS = ("click", "link_click")
TRAINING = Training(
    backbone="mlp",
    embedding_dim=4,
    tower_units=8,
    dropout=0.3,
    embedding_l2=1e-3,
    learning_rate=0.01,
    batch_size=256,
    epochs=1,
)
CANDIDATE = Variant(
    "both",
    groups={"user": {"num_levels": 2, "codebook_size": 8}, "representation": {"num_levels": 1, "codebook_size": 4}},
    residual={"weight": 0.1, "distillation_weight": 1.0},
    teacher="cross_fitted",
)
IDS = ("user_id", "ad_id")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    log = gr.datasets.SyntheticAds(rows=3000, num_users=200, num_ads=50, tasks=TASKS)
    return gr.datasets.prepare(log, tmp_path_factory.mktemp("study") / "prepared")


@pytest.fixture(scope="module")
def labels(table, tmp_path_factory):
    return pseudo_labels("cross_fitted", table, TRAINING, tmp_path_factory.mktemp("teachers"))


def test_a_seed_after_others_is_a_seed_alone(table, labels):
    columns = StudyColumns(table, pseudo_labels=labels)
    one, other = PairedTrainer(CANDIDATE, TRAINING, columns), PairedTrainer(CANDIDATE, TRAINING, columns)
    one.train(0)
    after = one.predictions(one.train(1), "test")
    alone = other.predictions(other.train(1), "test")
    assert set(after) == {*TASKS, "groups/user", "groups/representation"}
    for name in after:
        np.testing.assert_allclose(after[name], alone[name], atol=1e-6)
    again = one.predictions(one.train(0), "test")
    assert np.abs(again["click"] - after["click"]).max() > 1e-3


def test_pseudo_labels_are_of_models_that_have_not_seen_the_row(table, labels, tmp_path):
    assert set(labels) == {f"teacher_{task}" for task in TASKS}
    for values in labels.values():
        assert values.shape == (table.rows("train"),)
        assert ((values > 0) & (values < 1)).all()
    late = pseudo_labels("out_of_time", table, TRAINING, tmp_path)["teacher_click"]
    half = table.rows("train") // 2
    assert np.isnan(late[:half]).all()
    assert np.isfinite(late[half:]).all()
    kept = (tmp_path / "out_of_time.npz").stat().st_mtime_ns
    pseudo_labels("out_of_time", table, TRAINING, tmp_path)
    assert (tmp_path / "out_of_time.npz").stat().st_mtime_ns == kept
    assert pseudo_labels("self", table, TRAINING, tmp_path) is None
    with pytest.raises(ValueError, match="`kind` must be one of"):
        pseudo_labels("oracle", table, TRAINING, tmp_path)


def test_a_table_brings_its_own_teacher(table, tmp_path):
    brought = pseudo_labels("column", table, TRAINING, tmp_path)
    assert set(brought) == {f"teacher_{task}" for task in TASKS}
    np.testing.assert_array_equal(brought["teacher_click"], table.column("train", "teacher_click"))
    alone = gr.datasets.SyntheticAds(rows=200, num_users=20, num_ads=10, tasks=("click", "conversion"))
    without = gr.datasets.prepare(alone, tmp_path / "prepared")
    with pytest.raises(ValueError, match="no column 'teacher_conversion'"):
        pseudo_labels("column", without, TRAINING, tmp_path)


class WrongLabels:
    """A prepared table whose training labels are turned around in some rows."""

    def __init__(self, table, rows):
        self.table, self.wrong = table, rows

    def __getattr__(self, name):
        return getattr(self.table, name)

    def column(self, split, name):
        values = self.table.column(split, name)
        if split != "train" or name not in TASKS:
            return values
        values = np.array(values)
        values[self.wrong] = 1 - values[self.wrong]
        return values


@pytest.mark.parametrize("part", [0, 3])
def test_a_label_does_not_reach_its_own_pseudo_label(table, labels, tmp_path, part):
    """Cross-fitted teachers that are told wrong labels of one part predict that part as before, and no other."""
    rows = table.rows("train")
    wrong = np.arange(rows) * 4 // rows == part
    told = pseudo_labels("cross_fitted", WrongLabels(table, wrong), TRAINING, tmp_path)
    for name, expected in labels.items():
        np.testing.assert_allclose(told[name][wrong], expected[wrong], atol=1e-6)
        assert np.abs(told[name][~wrong] - expected[~wrong]).mean() > 1e-3, "no teacher has learned from the labels"


def test_a_study_trains_on_the_rows_that_it_is_given(table):
    fold = np.random.default_rng(0).integers(0, 4, table.rows("train"))
    columns = StudyColumns(table)
    rows, held = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    loader = columns.training(256, seed=0, rows=rows)
    assert loader.rows == len(rows)
    seen = np.concatenate([loader[index][0]["user_id"] for index in range(len(loader))])
    expected = np.asarray(table.column("train", "user_id"))[rows]
    np.testing.assert_array_equal(np.sort(seen), np.sort(expected))
    asked = columns.batches("train", held)
    np.testing.assert_array_equal(asked[0][0]["user_id"], np.asarray(table.column("train", "user_id"))[held][:8192])


def test_random_codes_are_of_the_entity_and_even(table):
    codes = RandomCodes({"user": IDS[:1], "user_ad": IDS}, num_levels=3, codebook_size=16)
    schema = codes.schema(table.schema)
    columns = StudyColumns(table, codes).training(1024, seed=0)[0][0]
    schema.check(columns)
    field = columns["random_user"]
    assert field.shape == (1024, 3)
    for level in range(3):
        assert field[:, level].min() >= 1 + 16 * level
        assert field[:, level].max() <= 16 * (level + 1)
    by_user = {}
    for user, row in zip(columns["user_id"], field.tolist(), strict=True):
        assert by_user.setdefault(int(user), row) == row
    rng = np.random.default_rng(0)
    many = codes.columns({"user_id": np.arange(16_000), "ad_id": rng.integers(0, 50, 16_000)})
    counts = np.bincount(many["random_user"][:, 0] - 1, minlength=16)
    assert counts.min() > 850
    assert counts.max() < 1150
    assert not np.array_equal(many["random_user"], many["random_user_ad"])


def test_a_wider_network_has_more_parameters(table):
    narrow = Variant("baseline").model(table.schema, TRAINING, seed=0)
    wide = Variant("wider", width=1.5).model(table.schema, TRAINING, seed=0)
    assert wide.backbone.get_config()["units"] == [384, 192]
    assert wide.count_params() > narrow.count_params()
    with pytest.raises(
        ValueError, match="by a backbone's `units`, which 'lr' does not have. Take a backbone with them"
    ):
        Variant("wider", width=1.5, training={"backbone": "lr"}).model(table.schema, TRAINING, seed=0)


def test_runs_are_kept_and_not_repeated(table, tmp_path):
    jobs = [Job(Variant("baseline"), (0, 1), "validation"), Job(CANDIDATE, (0,), "validation")]
    control = Variant("random", random_codes=("user",), random_shape=(2, 8))
    jobs.append(Job(control, (0,), "validation"))
    lines = []
    run_variants(jobs, table.folder, TRAINING, tmp_path, IDS, on_done=lines.append)
    assert len(lines) == 4
    for job in jobs:
        for seed in job.seeds:
            with np.load(prediction_file(tmp_path, job, seed)) as found:
                assert set(TASKS) <= set(found.files)
                assert found["click"].shape == (table.rows("validation"),)
    prediction_file(tmp_path, jobs[0], 1).unlink()
    lines.clear()
    run_variants(jobs, table.folder, TRAINING, tmp_path, IDS, on_done=lines.append)
    assert [line.split(":")[0] for line in lines] == ["baseline, seed 1"]


def test_workers_are_processes_of_their_own(table, tmp_path):
    jobs = [Job(Variant("baseline"), (0,), "test"), Job(Variant("wider", width=2.0), (0,), "test")]
    lines = []
    run_variants(jobs, table.folder, TRAINING, tmp_path, IDS, workers=2, on_done=lines.append)
    assert len(lines) == 2
    trainer = PairedTrainer(jobs[0].variant, TRAINING, StudyColumns(table))
    here = trainer.predictions(trainer.train(0), "test")
    with np.load(prediction_file(tmp_path, jobs[0], 0)) as there:
        np.testing.assert_allclose(there["click"], here["click"], atol=1e-4)
