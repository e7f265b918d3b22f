"""Every Python block of the documents runs, in order, from a clean start."""

import os
import subprocess
import sys

import pytest
from documents import DOCUMENTS, ROOT, blocks, label, python_of

WITH_PYTHON = [path for path in DOCUMENTS if blocks(path, "python")]


def in_a_process_of_its_own(program: str, folder) -> str:
    path = os.pathsep.join(part for part in (str(ROOT / "src"), os.environ.get("PYTHONPATH", "")) if part)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_main_documents_show_code():
    assert {"README.md", "CONTRIBUTING.md", "docs/paths.md", "docs/protocol.md"} <= {label(p) for p in WITH_PYTHON}


@pytest.mark.parametrize("path", WITH_PYTHON, ids=label)
def test_the_python_blocks_run(path, tmp_path, monkeypatch):
    program = python_of(path)
    if "register(" in program:  # what it registers would stay in this process
        in_a_process_of_its_own(program, tmp_path)
        return
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(path), "exec"), {"__name__": "__main__"})


def test_the_score_of_the_contributing_guide_is_a_method_with_its_option(tmp_path):
    program = python_of(ROOT / "CONTRIBUTING.md") + (
        "import nodepath, torch\n"
        "assert 'distance' in nodepath.methods.names()\n"
        "net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))\n"
        "masks = nodepath.prune(net, torch.zeros(1, 8), method='distance', sparsity=0.5, power=2)\n"
        "print(masks.kept, masks.metadata['options'])\n"
    )
    assert in_a_process_of_its_own(program, tmp_path) == "40 {'power': 2}\n"
