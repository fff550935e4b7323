"""A model of classes of the user's own is rebuilt without what else their script does."""

import ast
import json
import subprocess
import sys

import keras
import pytest

from grouprank.serving.custom_modules import custom_modules, import_custom_modules
from grouprank.serving.script_definitions import script_definitions

SCRIPT = '''
"""Defines a backbone, trains and exports, as the README shows, without a guard."""
from __future__ import annotations
import os, sys as system
from pathlib import Path
import keras
try:
    import nothing_of_the_kind as fast
except ImportError:
    print("trains")
    fast = None
WIDTH: int = 8
EPOCHS, UNITS = 3, WIDTH * 2
if system.version_info > (3, 0):
    def scale(x):
        print("trains")
        return x * UNITS
    print("trains")
else:
    scale = None

def helper():
    return keras.layers.Dense(UNITS)

class Base(keras.layers.Layer):
    factor = fast or 1.0

@keras.saving.register_keras_serializable(package="my_project")
class Own(Base):
    def call(self, x):
        return scale(x) * self.factor

@keras.saving.register_keras_serializable(package="my_project")
def activation(x):
    return x

print("trains")
model = keras.Sequential([keras.Input((2,)), Own(), keras.layers.Activation(activation)])
for epoch in range(EPOCHS):
    print("trains")
with open(os.devnull) as log:
    print("trains")
if __name__ == "__main__":
    print("trains")
'''


def test_definitions_and_what_they_need():
    kept = script_definitions(SCRIPT, ["Own"])
    text = ast.unparse(kept)
    assert [line for line in text.splitlines() if "trains" in line] == ["        print('trains')"], "of scale itself"
    for needed in ("import keras", "class Own", "class Base", "def scale", "UNITS = ", "WIDTH: int", "fast = None"):
        assert needed in text
    for other in ("model =", "helper", "for epoch", "open(", "Path", "__main__", "def activation"):
        assert other not in text
    exec(compile(ast.parse(text), "script", "exec"), {"__name__": "elsewhere"})


@pytest.mark.parametrize(
    "script",
    ["def make():\n    class Own: ...\n    return Own", "if __name__ == '__main__':\n    class Own: ...", "x = 1"],
)
def test_what_is_not_at_the_top_level_is_refused(script):
    with pytest.raises(ValueError, match=r"classes \['Own'\], which the script does not define at its top level.*Move"):
        script_definitions(script, ["Own"])


def test_a_script_is_not_run_again(tmp_path):
    """What it prints, it prints once: in the process that was started."""
    script = tmp_path / "train.py"
    hand_over = (
        "\nimport json\nfrom grouprank.serving.custom_modules import custom_modules\n"
        "Path(system.argv[1]).write_text(json.dumps(custom_modules(model)))\n"
    )
    script.write_text(SCRIPT + hand_over)
    subprocess.run([sys.executable, script, tmp_path / "modules.json"], check=True, capture_output=True)
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert modules["script"]["source"].count("trains") == 1
    try:
        import_custom_modules(modules)
        assert keras.saving.get_registered_object("my_project>Own").__name__ == "Own"
        assert keras.saving.get_registered_object("my_project>activation")
    finally:
        sys.modules.pop("__grouprank_export__", None)
        for name in ("my_project>Own", "my_project>activation"):
            keras.saving.get_custom_objects().pop(name, None)


def test_classes_of_no_file_are_refused(monkeypatch):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    Own.__module__ = "__main__"
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ValueError, match="defined interactively.*Move them to a module"):
        custom_modules(keras.Sequential([keras.Input((2,)), Own()]))
