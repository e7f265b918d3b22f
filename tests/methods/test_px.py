"""PX against the sum over all paths, one by one."""

from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, InputMismatchError
from nodepath.methods.px import weighed_flow
from nodepath.paths import Network
from nodepath.scores import Batch, Subject
from nodepath.scores.gates import open_paths

SIZES = (3, 4, 5, 2)


def mlp(bias: bool = True) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [layer for a, b in pairwise(SIZES) for layer in (nn.Linear(a, b, bias=bias), nn.ReLU())]
        return nn.Sequential(*layers[:-1]).double()


def batch(samples: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, SIZES[0], generator=generator, dtype=torch.float64), torch.arange(samples) % SIZES[-1]


def subject_of(model: nn.Module, parts: object, x: Tensor | None = None) -> Subject:
    return Subject(Network(model, torch.zeros(1, SIZES[0]) if x is None else x), torch.Generator(), Batch.of(parts))


def by_enumeration(model: nn.Module, masks: dict[str, Tensor], inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The sums over open paths to each output, and each weight's score, path by path."""
    layers = [module for module in model if isinstance(module, nn.Linear)]
    names = [f"{number}.weight" for number, module in enumerate(model) if isinstance(module, nn.Linear)]
    pruned = [layer.weight.detach() * masks[name] for layer, name in zip(layers, names, strict=True)]
    ends = torch.zeros(SIZES[-1], dtype=torch.float64)
    for x in inputs:
        open_units, value = [], x
        for layer, weight in zip(layers[:-1], pruned, strict=False):
            value = F.linear(value, weight, layer.bias)
            open_units.append(value > 0)
            value = value.relu()
        for path in product(*map(range, SIZES)):
            there = all(bool(masks[n][b, a]) for n, (a, b) in zip(names, pairwise(path), strict=True))
            passes = all(bool(units[unit]) for units, unit in zip(open_units, path[1:-1], strict=True))
            ends[path[-1]] += x[path[0]] ** 2 * (there and passes)
    scores = {name: torch.zeros_like(weight) for name, weight in zip(names, pruned, strict=True)}
    for path in product(*map(range, SIZES)):
        edges = list(zip(names, pruned, pairwise(path), strict=True))
        carried = ends[path[-1]]
        for _, weight, (a, b) in edges:
            carried = carried * weight[b, a] ** 2
        for name, _, (a, b) in edges:
            scores[name][b, a] += carried
    return ends, scores


@pytest.mark.parametrize("density", [1.0, 0.6])
def test_is_the_sum_over_paths(density):
    model, (inputs, targets) = mlp(), batch()
    subject = subject_of(model, (inputs, targets))
    generator = torch.Generator().manual_seed(1)
    dense = subject.network.weights()
    masks = {name: torch.rand(weight.shape, generator=generator) < density for name, weight in dense.items()}
    weights = {name: weight * masks[name] for name, weight in dense.items()}
    ends, scores = by_enumeration(model, masks, inputs)
    (found,) = open_paths(subject, weights, masks)
    assert torch.allclose(found[0], ends, rtol=1e-12)
    if density < 1:  # with all weights no output differs from another
        assert ends.std() > 0.01 * ends.mean()
    shares, total = weighed_flow(subject.network, weights, [found]), sum(score.sum() for score in scores.values()) / 3
    for name, score in scores.items():
        assert torch.allclose(shares[name], score / total, rtol=1e-10)


def test_prunes_the_least_again_and_again():
    model, (inputs, targets) = mlp(), batch()
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in Network(model, inputs[:1]).weights().items()}
    size = sum(mask.numel() for mask in masks.values())
    keep, steps = round(0.5 * size), 3
    for step in range(1, steps + 1):
        _, scores = by_enumeration(model, masks, inputs)
        flat = torch.cat([scores[name].masked_fill(~mask, -1).flatten() for name, mask in masks.items()])
        number = keep if step == steps else round(size * (keep / size) ** (step / steps))
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[flat.sort(descending=True, stable=True).indices[:number]] = True
        parts = chosen.split([mask.numel() for mask in masks.values()])
        masks = {name: part.reshape(mask.shape) for (name, mask), part in zip(masks.items(), parts, strict=True)}
    found = nodepath.prune(
        model, inputs[:1], "px", sparsity=0.5, iterations=steps, batch=(inputs, targets), on_collapse="warn"
    )
    assert found == nodepath.MaskSet(masks)


def test_data_decide():
    """Through the outputs alone, which differ once some of their paths are pruned."""
    model, targets = mlp(), torch.arange(6) % 2
    found = []
    for unit in range(SIZES[0]):
        inputs = torch.zeros(6, SIZES[0], dtype=torch.float64)
        inputs[:, unit] = 10.0
        found.append(
            nodepath.prune(model, inputs[:1], "px", sparsity=0.6, batch=(inputs, targets), on_collapse="keep-one")
        )
    assert len({masks.hash for masks in found}) > 1


class Convolutional(nn.Module):
    """In-place and functional activations, a norm, a pool and a residual add."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm, self.act, self.head = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.leaky_relu(self.norm(self.conv(x))) + x
        x = F.avg_pool2d(self.act(x), 2)
        return self.head(x.mean((2, 3)))


class OpenPaths(Convolutional):
    """The same with what was open in the first pass in place of activations, written out."""

    def forward(self, x: Tensor, gates: list[Tensor]) -> Tensor:
        x = self.stem(x) * gates[0]
        x = self.conv(x) * gates[1] + x
        return self.head(F.avg_pool2d(x * gates[2], 2).mean((2, 3)))


def test_follows_what_opens_in_a_convolutional_network():
    torch.manual_seed(0)
    model, written = Convolutional().eval(), OpenPaths().double()
    inputs = torch.randn(4, 2, 6, 6)
    subject = subject_of(model, (inputs, torch.tensor([0, 1, 2, 0])), torch.zeros(1, 2, 6, 6))
    first = model.stem(inputs).relu()
    second = model.norm(model.conv(first))
    gates = [(first > 0).double(), (second > 0).double(), ((F.leaky_relu(second) + first) > 0).double()]
    for name, parameter in written.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    with torch.no_grad():
        expected = written(inputs.double().square(), gates).sum(0)
    (found,) = open_paths(subject, subject.network.weights(), {})
    assert torch.allclose(found[0], expected, rtol=1e-5)  # float32
    double = subject_of(model.double(), (inputs.double(), torch.tensor([0, 1, 2, 0])), torch.zeros(1, 2, 6, 6).double())
    assert torch.allclose(open_paths(double, double.network.weights(), {})[0][0], expected, rtol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_follows_what_opens_where_layers_share_a_weight(shared):
    """As in the same network with a copy of it; the second layer's own bias is left out too."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    model[2].weight = model[0].weight if shared else nn.Parameter(model[0].weight.detach().clone())
    inputs, targets = batch()
    subject = subject_of(model, (inputs, targets))
    first = model[0](inputs).relu()
    gates = [(first > 0).double(), (model[2](first) > 0).double()]
    ones = [torch.ones_like(model[place].weight) for place in (0, 2, 4)]
    expected = ((inputs.square() @ ones[0].T * gates[0]) @ ones[1].T * gates[1]) @ ones[2].T
    (found,) = open_paths(subject, subject.network.weights(), {})
    assert torch.allclose(found[0], expected.sum(0), rtol=1e-12)


def test_sums_that_float32_cannot_hold_are_taken_in_float64():
    model = nn.Sequential(*(layer for _ in range(60) for layer in (nn.Linear(32, 32, bias=False), nn.ReLU())))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.eye(32) + 0.01)
    subject = subject_of(model, (torch.ones(2, 32), torch.tensor([0, 1])), torch.zeros(1, 32))
    (found,) = open_paths(subject, subject.network.weights(), {})
    assert torch.allclose(found, torch.full((1, 32), 2 * 32.0**60, dtype=torch.float64), rtol=1e-12)


def test_a_network_in_which_something_steers_is_refused():
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    inputs = torch.randn(4, 5, 8)
    with pytest.raises(ArgumentError, match="px follows paths"):
        nodepath.prune(model, inputs[:1], "px", sparsity=0.5, batch=(inputs, torch.zeros(4, 5).long()))


def test_labels_play_no_part_and_inputs_must_fit():
    model, (inputs, targets) = mlp(), batch()
    one = nodepath.prune(model, inputs[:1], "px", sparsity=0.3, iterations=2, batch=(inputs, targets))
    assert one == nodepath.prune(model, inputs[:1], "px", sparsity=0.3, iterations=2, batch=(inputs, 1 - targets))
    with pytest.raises(InputMismatchError, match="score batch"):
        nodepath.prune(model, inputs[:1], "px", sparsity=0.3, batch=(inputs[:, :2], targets))
    with pytest.raises(ArgumentError, match="iterations is 0"):
        nodepath.prune(model, inputs[:1], "px", sparsity=0.3, iterations=0, batch=(inputs, targets))
