"""The recipes on public conversion logs, from their command line to a trained model, on tiny files."""

import dataclasses
import runpy
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from grouprank import datasets
from grouprank.datasets import prepare
from grouprank.datasets.transforms.transform_fitter import TransformFitter
from grouprank.recipes import command
from grouprank.recipes.train_model import train_model
from grouprank.reports import task_metrics
from grouprank.reports.terminal import Terminal

ROWS = 200


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def conversion_log(folder):
    def row(i):
        sale = ["1", "39.9", "81234"] if i % 3 == 0 else ["0", "-1.0", "-1"]
        product = [
            "AA",
            "BB",
            f"C{i % 4}",
            "DD",
            f"E{i % 5}",
            "FF",
            *["-1"] * 6,
            "GG",
            f"P{i % 7}",
            "T1 T2",
            "H",
            f"U{i % 9}",
        ]
        return "\t".join([*sale, str(1_596_439_471 + i), "7", "0.0", *product])

    write(folder / "CriteoSearchData", map(row, range(ROWS)))


def attribution(folder):
    header = (
        "timestamp uid campaign conversion conversion_timestamp conversion_id attribution click click_pos click_nb "
        "cost cpo time_since_last_click"
    )
    names = [*header.split(), *(f"cat{i}" for i in range(1, 10))]

    def row(i):
        values = [
            i * 13_000,
            i % 9,
            i % 7,
            int(i % 6 == 0),
            -1,
            -1,
            0,
            int(i % 3 == 0),
            -1,
            -1,
            0.1,
            0.2,
            -1,
            *[i % 4] * 9,
        ]
        return "\t".join(map(str, values))

    write(folder / "criteo_attribution_dataset.tsv", ["\t".join(names), *map(row, range(ROWS))])


def ali_ccp(folder):
    def features(*items):
        return f"{len(items)}," + "\x01".join(f"{field}\x02{token}\x031.0" for field, token in items)

    for part in ("train", "test"):
        write(
            folder / f"common_features_{part}.csv", [f"s{u},{features((101, u), ('109_14', u % 3))}" for u in range(9)]
        )
        items = [features((205, i % 7), (210, 1), (210, 2), (301, i % 3)) for i in range(ROWS)]
        rows = [f"{i},{int(i % 3 == 0)},{int(i % 6 == 0)},s{i % 9},{items[i]}" for i in range(ROWS)]
        write(folder / f"sample_skeleton_{part}.csv", rows)


def aliexpress(folder):
    names = ["search_id", *(f"categorical_{i}" for i in range(1, 17)), *(f"numerical_{i}" for i in range(1, 64))]

    def row(i):
        return ",".join(map(str, [i, *[i % 3] * 16, *[i % 10 / 10] * 63, int(i % 3 == 0), int(i % 6 == 0)]))

    for part in ("train", "test"):
        write(folder / f"{part}.csv", [",".join([*names, "click", "conversion"]), *map(row, range(ROWS))])


def tenrec(folder):
    names = ["user_id", "item_id", "click", "follow", "like", "share"]
    names += ["video_category", "watching_times", "gender", "age"]
    names += [f"hist_{i}" for i in range(1, 11)]

    def row(i):
        return ",".join(map(str, [i // 20, i % 7, i % 2, 0, int(i % 5 == 0), 0, 1, 1, i % 2, 3, *range(1, 9), 0, 0]))

    write(folder / "ctr_data_1M.csv", [",".join(names), *map(row, range(ROWS))])


CASES = [
    ("criteo_cvr", conversion_log, ["--dataset", "conversion_log"], "criteo_cvr_conversion_log", {"sale": None}),
    (
        "criteo_cvr",
        attribution,
        ["--dataset", "attribution"],
        "criteo_cvr_attribution",
        {"click": None, "conversion": "click"},
    ),
    ("ali_ccp_cvr", ali_ccp, [], "ali_ccp_cvr", {"click": None, "purchase": "click"}),
    ("aliexpress_cvr", aliexpress, [], "aliexpress_cvr", {"click": None, "conversion": "click"}),
    ("tenrec_ctr", tenrec, [], "tenrec_ctr", {"click": None, "like": None, "share": None, "follow": None}),
]


def run_recipe(recipe, arguments, monkeypatch):
    """What a recipe asks the study for, from its command line; the study itself does not run."""
    asked = {}

    def study(dataset, settings, run, saved_models, max_bad_rows, console, chunk_rows):
        asked.update(dataset=dataset, settings=settings, run=run, saved_models=saved_models)

    monkeypatch.setattr(command, "run_ctr_study", study)
    monkeypatch.setattr(sys, "argv", [recipe, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"grouprank.recipes.{recipe}", run_name="__main__")
    assert ended.value.code == 0
    return asked


def train(asked, folder, epochs=1):
    """A baseline of the recipe's settings but for its size; groups cost most of the time and know no dataset."""
    small = dataclasses.replace(asked["settings"], embedding_dim=4, epochs=epochs, batch_size=32, learning_rate=0.02)
    table = prepare(asked["dataset"], folder / "prepared")
    (folder / "model").mkdir()
    options = {"seed": 0, "console": Terminal(quiet=True)}
    model = train_model(lambda: small.baseline(table), folder / "model", table, small, **options)
    return table, model.predict_proba(table.batches("test"))


@pytest.mark.parametrize(("recipe", "build", "options", "name", "tasks"), CASES, ids=[case[3] for case in CASES])
def test_recipe_trains(tmp_path, monkeypatch, recipe, build, options, name, tasks):
    build(tmp_path / "data")
    asked = run_recipe(recipe, ["--data", tmp_path / "data", *options, "--backbone", "mlp"], monkeypatch)
    assert asked["saved_models"].name == name
    assert asked["run"].parts[:2] == ("runs", name)
    table, predicted = train(asked, tmp_path, epochs=12)
    assert {task.name: task.given for task in table.schema.tasks} == tasks
    assert table.schema.on_side("ad")
    first, *others = tasks
    # One column tells the first task's label; of the others, a file this small tells the rate.
    labels = table.column("test", first)
    assert task_metrics(labels, predicted[first]).normalized_entropy < 0.5
    for task in others:
        observed = table.column("test", task)
        given = ~np.isnan(observed)
        assert np.isfinite(predicted[task]).all()
        assert abs(predicted[task][given].mean() - observed[given].mean()) < 0.35, task


def test_kuairand_on_real_rows(real_data, tmp_path, monkeypatch):
    folder = real_data("kuairand-pure")
    asked = run_recipe("kuairand_cvr", ["--data", folder, "--backbone", "mlp"], monkeypatch)
    assert isinstance(asked["dataset"], datasets.KuaiRandFunnel)

    class Thinned(datasets.KuaiRandFunnel):
        def chunks(self, chunk_rows, max_bad_rows=0, workers=1):
            for frame in super().chunks(chunk_rows, max_bad_rows, workers):
                yield frame.gather_every(50)

    asked["dataset"] = Thinned(folder)
    table, predicted = train(asked, tmp_path)
    assert 4000 < sum(table.report["rows"].values()) < 5000
    assert {"is_click", "long_view", "is_profile_enter"} <= set(predicted)
    observed = ~np.isnan(table.column("test", "long_view"))
    assert (observed == (table.column("test", "is_click") == 1)).all()


def test_kuairand_with_histories_on_real_rows(real_data, monkeypatch):
    options = ["--history", "7", "--histories", real_data("kuairand-history"), "--backbone", "mlp"]
    options += ["--data", real_data("kuairand-pure"), "--sequence-encoder", "target_attention"]
    asked = run_recipe("kuairand_cvr", options, monkeypatch)
    assert asked["run"].parts[:2] == ("runs", "kuairand_cvr_history_7")
    dataset = asked["dataset"]
    rows = next(dataset.chunks(2000))
    fitter = TransformFitter(dataset.columns, dataset.tasks)
    fitter.update(rows)
    transforms = fitter.finish()
    assert (transforms(rows)["history"][:, 0] > 0).mean() > 0.9
    # The encoder is that of the history alone: the other sequences list no videos.
    model = asked["settings"].baseline(SimpleNamespace(schema=transforms.schema))
    assert set(model.sequence_encoders) == {"history"}
    assert np.isfinite(model.predict_proba(transforms(rows))["is_click"]).all()


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ("avazu_ctr", ["--history", "5"], "Avazu has no histories. Leave --history out."),
        ("kuairand_cvr", ["--histories", "elsewhere"], "--histories needs the number of items to take: --history 50."),
    ],
)
def test_options_of_histories_need_each_other(recipe, options, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [recipe, "--data", "nowhere", *options])
    monkeypatch.setattr(command, "end_process", sys.exit)
    with pytest.raises(SystemExit):
        runpy.run_module(f"grouprank.recipes.{recipe}", run_name="__main__")
    assert message in " ".join(capsys.readouterr().err.split())


def test_help_of_criteo_cvr_names_its_option(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["criteo_cvr", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("grouprank.recipes.criteo_cvr", run_name="__main__")
    printed = capsys.readouterr().out
    assert "--dataset {conversion_log,attribution}" in printed
    assert "--max-bad-rows" in printed
    monkeypatch.setattr(sys, "argv", ["criteo_cvr", "--dataset", "other", "--data", "x"])
    with pytest.raises(SystemExit):
        runpy.run_module("grouprank.recipes.criteo_cvr", run_name="__main__")
    assert "invalid choice: 'other'" in capsys.readouterr().err
