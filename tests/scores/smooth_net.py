"""A three-layer network in float64, smooth, with BatchNorm; its loss written down a second time, by hand."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nodepath.paths import Network
from nodepath.scores import Batch, Subject

NAMES = ("conv1.weight", "conv2.weight", "head.weight")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class SmoothNet(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 2, 3)
        self.head = nn.Linear(8, 3)
        self.double()
        draw = generator(seed)
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                if tensor.is_floating_point():
                    shift = 0.1 if "var" in name else -0.5
                    tensor.copy_(torch.rand(tensor.shape, generator=draw, dtype=torch.float64) + shift)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.conv1(x)))
        return self.head(torch.tanh(self.conv2(x)).flatten(1))


def data(samples: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    x = torch.rand(samples, 2, 4, 4, generator=generator(seed), dtype=torch.float64)
    return x, torch.arange(samples) % 3


def about(model: nn.Module, batch: object, *, bn: str = "eval-identity", seed: int = 0) -> Subject:
    return Subject(Network(model, torch.zeros(2, 2, 4, 4)), generator(seed), Batch.of(batch), bn)  # type: ignore[arg-type]


def outputs(
    model: SmoothNet, parameters: Mapping[str, Tensor], x: Tensor, mode: str, statistics_of: Tensor | None = None
) -> Tensor:
    """What `SmoothNet` gives with BatchNorm in a mode."""
    p = {**dict(model.named_parameters()), **parameters}
    x = F.conv2d(x, p["conv1.weight"], padding=1)
    beta = p["norm.bias"]
    if mode == "eval-identity":
        mean, var, beta = torch.zeros(3, dtype=x.dtype), torch.ones(3, dtype=x.dtype), torch.zeros(3, dtype=x.dtype)
    elif mode == "frozen":
        mean, var = model.norm.running_mean, model.norm.running_var
    elif mode == "train-batch":
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    else:
        seen = x if statistics_of is None else F.conv2d(statistics_of, p["conv1.weight"], padding=1)
        mean, var = seen.mean((0, 2, 3)).detach(), seen.var((0, 2, 3), unbiased=True).detach()
    x = (x - mean.view(1, 3, 1, 1)) / (var.view(1, 3, 1, 1) + model.norm.eps).sqrt()
    x = torch.tanh(x * p["norm.weight"].view(1, 3, 1, 1) + beta.view(1, 3, 1, 1))
    x = torch.tanh(F.conv2d(x, p["conv2.weight"], p["conv2.bias"]))
    return F.linear(x.flatten(1), p["head.weight"], p["head.bias"])


def flat(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([values[name].flatten() for name in NAMES])


def unflat(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    parameters = [model.get_parameter(name) for name in NAMES]
    pieces = vector.split([parameter.numel() for parameter in parameters])
    return {n: piece.view(p.shape) for n, p, piece in zip(NAMES, parameters, pieces, strict=True)}


def loss_by_hand(
    model: SmoothNet, x: Tensor, targets: Tensor, mode: str = "eval-identity", temperature: float = 1.0
) -> Callable[[Tensor], Tensor]:
    """The mean loss as a function of all prunable weights in one vector."""

    def loss(vector: Tensor) -> Tensor:
        return F.cross_entropy(outputs(model, unflat(model, vector), x, mode) / temperature, targets)

    return loss


def hessian_by_hand(
    model: SmoothNet, x: Tensor, targets: Tensor, mode: str = "eval-identity", temperature: float = 1.0
) -> Tensor:
    """The whole matrix (weights, weights), by torch.autograd.functional."""
    weights = flat(dict(model.named_parameters())).detach()
    found: Tensor = torch.autograd.functional.hessian(loss_by_hand(model, x, targets, mode, temperature), weights)
    return found
