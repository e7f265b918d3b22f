"""Two processes with a batch each get one mask: that of a single process with both batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rank_of_two
from torch import distributed

import nodepath
from nodepath.methods import ranks

pytestmark = [
    pytest.mark.skipif(not distributed.is_available(), reason="torch was built without torch.distributed"),
    pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[dict]:
    """What each of two ranks got."""
    folder = tmp_path_factory.mktemp("ranks")
    source = str(Path(nodepath.__file__).parents[1])
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH")) if part)
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, rank_of_two.__file__]
    processes = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        for process in processes:
            _, complaint = process.communicate(timeout=120)
            assert process.returncode == 0, complaint
    finally:
        for process in processes:
            process.kill()
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("method", rank_of_two.METHODS)
def test_all_get_the_mask_of_one_process_with_the_parts_of_all_in_order(found, method):
    alone = rank_of_two.prune(method, [rank_of_two.batch_of(0), rank_of_two.batch_of(1)])
    assert [rank[method] for rank in found] == [[alone.hash, alone.metadata]] * 2


def test_the_mask_is_not_that_of_one_batch_alone(found):
    assert found[0]["snip"][0] not in {rank_of_two.prune("snip", rank_of_two.batch_of(rank)).hash for rank in range(2)}


def test_a_batch_that_all_hold_is_used_once(found):
    alone = rank_of_two.prune("snip", rank_of_two.batch_of(0))
    assert [rank["the same batch"] for rank in found] == [[alone.hash, alone.metadata]] * 2
    assert alone.metadata["protocol"]["samples"] == 4


def test_the_first_rank_decides(found):
    assert [rank["random elsewhere"] for rank in found] == [rank_of_two.prune("random", None).hash] * 2


def test_a_batch_missing_on_one_rank_is_an_error_on_all(found):
    here, there = (rank["failures"][0] for rank in found)
    assert there[0] == "ArgumentError"
    assert "needs data" in there[1]
    assert here == ["NodepathError", "rank 1 has no score batch that can be used; see its own error"]


def test_what_the_first_rank_raises_all_raise(found):
    assert found[0]["failures"][1] == found[1]["failures"][1]
    assert found[0]["failures"][1][0] == "BudgetError"


def test_one_process_alone_is_not_asked_for_ranks():
    assert not ranks.are_several()
