"""SNIP on real CIFAR-10: reference/node-path-balancing.md, section 2. Needs the data, which is not the project's."""

import warnings
from pathlib import Path
from statistics import mean

import pytest
import torch
from golden import SPARSITIES, X, paper, resnet20

import nodepath
from nodepath.data import Dataset, prepare, score_batch
from nodepath.errors import CollapseWarning

CIFAR10 = Path(__file__).parents[3] / "shared" / "data" / "cifar10"


@pytest.fixture(scope="module")
def cifar10() -> Dataset:
    if not CIFAR10.exists():
        pytest.skip(f"{CIFAR10} is not there")
    return nodepath.data.load(CIFAR10)


@pytest.mark.slow
@pytest.mark.parametrize(("c", "nodes"), [(1, 468), (1.5, 331), (2, 191)])
def test_snip_keeps_the_nodes_of_the_paper(cifar10, c, nodes):
    """Mean of 5 seeds, 100 images in equal shares of the classes, BatchNorm as an identity but for gamma."""
    found = []
    for seed in range(5):
        images, labels, _ = score_batch(cifar10.train, per_class=10, seed=seed)
        batch = (prepare(images, cifar10.mean, cifar10.std, dtype=torch.float32), labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            chosen = nodepath.prune(
                resnet20(seed), X, method="snip", sparsity=SPARSITIES[c], seed=seed, batch=batch, on_collapse="warn"
            )
        assert chosen.metadata["protocol"]["bn"] == "eval-identity"
        found.append(paper(chosen).nodes)
    assert mean(found) == pytest.approx(nodes, rel=0.06)
