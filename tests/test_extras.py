"""The package without TensorFlow, gRPC, matplotlib, TensorBoard and typer: what works, and what the rest says."""

import os
import subprocess
import sys

from grouprank.extras import require_extra

SCRIPT = """
import sys

from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in {hidden} else find(name, *rest)
import numpy as np
import grouprank as gr

schema = gr.Schema([gr.Categorical("user", 50, side="user"), gr.Numeric("age")], [gr.Task("click")])
model = gr.models.CTRModel(schema, backbone="dcn_v2", embedding_dim=4, group_structure=("user",))
model.compile()
rng = np.random.default_rng(0)
x = {{"user": rng.integers(0, 50, 256), "age": rng.normal(size=256).astype("float32")}}
y = rng.integers(0, 2, 256).astype("float32")
model.fit(x, y, verbose=0)
table = gr.datasets.prepare(gr.datasets.SyntheticAds(rows=300, num_users=40, num_ads=20), sys.argv[1] + "/prepared")
print(table.rows("train") > 0, gr.reports.task_metrics(y, model.predict_proba(x)["click"]).rows)
for use in (
    lambda: gr.serving,
    lambda: __import__("grouprank.recipes"),
    lambda: gr.reports.page.svg.SvgFigure("figure", 100, "A line.").__enter__(),
):
    try:
        use()
    except ModuleNotFoundError as error:
        print(error)
print(sorted({hidden} & set(sys.modules)))
"""


def test_all_but_serving_recipes_and_charts_works_without_the_extras(tmp_path):
    hidden = {"tensorflow", "tensorflow_serving", "grpc", "matplotlib", "tensorboard", "typer"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(hidden=hidden), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "torch"},
    )
    assert run.returncode == 0, run.stderr
    works, serving, recipes, chart, imported = run.stdout.splitlines()
    assert works == "True 256"
    assert serving.startswith("grouprank.serving needs tensorflow, tensorflow_serving, grpc, typer,")
    assert serving.endswith("pip install 'grouprank[serving]'")
    assert recipes.startswith("grouprank.recipes needs typer, tensorboard, ")
    assert recipes.endswith("pip install 'grouprank[recipes]'")
    assert chart.startswith("A chart of a report needs matplotlib, typer,")
    assert imported == "[]"


def test_nothing_is_said_where_all_is_there():
    for extra in ("serving", "reports", "recipes"):
        require_extra(extra, "It")
