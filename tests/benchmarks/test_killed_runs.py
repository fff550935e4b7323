import json

import numpy as np
import pytest

from grouprank.benchmarks.killed_runs import compare


def write(folder, weights=(1.0, 2.0), seconds=1.0, status="admitted"):
    (folder / "ledger").mkdir(parents=True)
    np.savez(folder / "weights.npz", np.array(weights))
    entry = {"status": status, "seconds": seconds}
    (folder / "ledger" / "1.json").write_text(json.dumps(entry), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"seconds": 2.0}, []),
        ({"weights": (1.0, 2.5)}, ["weights.npz"]),
        ({"status": "refused"}, ["ledger/1.json"]),
    ],
)
def test_what_differs(tmp_path, change, differing):
    write(tmp_path / "whole")
    write(tmp_path / "killed", **change)
    assert compare(tmp_path / "whole", tmp_path / "killed") == differing


def test_files_that_one_run_lacks(tmp_path):
    write(tmp_path / "whole")
    write(tmp_path / "killed")
    (tmp_path / "killed" / ".unfinished-3").write_bytes(b"")
    assert compare(tmp_path / "whole", tmp_path / "killed") == [".unfinished-3"]
