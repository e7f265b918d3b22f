"""Values of a wrong kind end in a typed error, not in one of torch's."""

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import NodepathError


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))


X = torch.zeros(1, 4)
TARGETS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("sparsity", ["0.5", torch.tensor([0.5, 0.6]), [0.5]])
def test_sparsity_that_is_no_number(model, sparsity):
    with pytest.raises(NodepathError, match="sparsity"):
        nodepath.prune(model, X, method="random", sparsity=sparsity)


@pytest.mark.parametrize("count", [1.5, "3", None])
def test_layer_count_that_is_no_whole_number(model, count):
    with pytest.raises(NodepathError, match=r"'0\.weight'"):
        nodepath.prune(model, X, method="random", layer_counts={"0.weight": count, "2.weight": 3})


@pytest.mark.parametrize("seed", [2**70, -(2**70)])
def test_seed_beyond_64_bits(model, seed):
    with pytest.raises(NodepathError, match="seed"):
        nodepath.prune(model, X, method="random", sparsity=0.5, seed=seed)


@pytest.mark.parametrize("score", [[1.0] * 16, None, torch.ones(4, 4, dtype=torch.complex64)])
def test_score_that_is_no_tensor_of_numbers(model, score):
    with pytest.raises(NodepathError, match=r"'0\.weight'"):
        nodepath.prune(model, X, scores={"0.weight": score, "2.weight": torch.ones(4, 4)}, sparsity=0.5)


def test_bool_scores_are_zeros_and_ones(model):
    scores = {"0.weight": torch.eye(4) > 0, "2.weight": torch.eye(4) > 0}
    assert nodepath.prune(model, X, scores=scores, sparsity=0.75) == nodepath.MaskSet(scores)


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (torch.randn(3, 4).double(), TARGETS),  # another dtype than the model's
        (torch.randn(3, 7), TARGETS),  # another shape
        (torch.randn(3, 4), torch.tensor([0, 1, 9])),  # a class that the model does not have
    ],
)
def test_batch_that_does_not_fit_the_model(model, inputs, targets):
    with pytest.raises(NodepathError, match="batch"):
        nodepath.prune(model, X, method="snip", sparsity=0.5, batch=(inputs, targets))


def loss_by_sample(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def loss_without_gradient(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.detach().sum()


@pytest.mark.parametrize("loss", [loss_by_sample, loss_without_gradient])
def test_loss_that_is_no_differentiable_scalar(model, loss):
    with pytest.raises(NodepathError, match="loss"):
        nodepath.prune(model, X, method="snip", sparsity=0.5, batch=(torch.randn(3, 4), TARGETS), loss=loss)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("synflow", {"iterations": 2.5}),
        ("synflow", {"iterations": "3"}),
        ("npb", {"max_per_kernel": 2.5}),
        ("npb", {"alpha": "1"}),
        ("npb", {"beta": float("inf")}),
    ],
)
def test_option_of_the_wrong_kind(model, method, options):
    with pytest.raises(NodepathError, match=next(iter(options))):
        nodepath.prune(model, X, method=method, sparsity=0.5, **options)
