"""The examples run as they are, and say what they claim."""

import os
import re
import subprocess
import sys

import pytest
from documents import EXAMPLES, ROOT, label

import nodepath


def output_of(path, folder) -> str:
    places = os.pathsep.join(part for part in (str(ROOT / "src"), os.environ.get("PYTHONPATH", "")) if part)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(path)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples():
    names = ["compare_methods", "own_training_loop", "resolutions"]  # the last is in test_paths_guide.py
    assert [label(path) for path in EXAMPLES] == [f"examples/{name}.py" for name in names]


def test_own_training_loop_learns_and_keeps_its_zeros(tmp_path):
    out = output_of(ROOT / "examples" / "own_training_loop.py", tmp_path)
    accuracy = re.search(r"test accuracy ([\d.]+) %", out)
    assert accuracy, out
    assert float(accuracy[1]) > 80  # ten classes
    assert "exactly zero in all 3 layers" in out


@pytest.mark.slow
def test_compare_methods_has_a_line_for_every_method(tmp_path):
    out = output_of(ROOT / "examples" / "compare_methods.py", tmp_path)
    rows = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in out.splitlines()[1:]}
    assert sorted(rows) == nodepath.methods.names()
    nodes, paths, shuffled_nodes, shuffled_paths = rows["synflow"]
    assert shuffled_nodes > nodes
    assert shuffled_paths < paths
    assert rows["erk"][1] == pytest.approx(rows["erk"][3], abs=0.2)  # random cells, shuffled, are random cells
