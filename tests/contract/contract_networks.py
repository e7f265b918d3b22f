"""Small networks of every kind that a method must handle; each maps a batch to 5 logits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CLASSES = 5


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.first = nn.Conv2d(6, 10, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(10)
        self.second = nn.Conv2d(10, 10, 3, padding=1, bias=False)
        self.project = nn.Conv2d(6, 10, 1, stride=2, bias=False)
        self.head = nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.second(self.norm(self.first(x)).relu()) + self.project(x)).relu()
        return self.head(x.mean(dim=(2, 3)))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))))
        return self.head(x.mean(dim=1))


class Aliased(nn.Module):
    """A layer and a norm that go by two names each, and two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(6, 10), nn.BatchNorm1d(10)
        self.middle, self.again, self.head = nn.Linear(10, 10), nn.Linear(10, 10), nn.Linear(10, CLASSES)
        self.again.weight = self.middle.weight
        self.body = nn.Sequential(
            *(self.stem, self.norm, nn.ReLU(), self.middle, nn.ReLU(), self.again, nn.ReLU(), self.head)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def conv() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)),
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 20), nn.ReLU(), nn.Linear(20, 16, bias=False), nn.ReLU(), nn.Linear(16, CLASSES)
    )


def grouped() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU()),
        *(nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, 6, 3, groups=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)),
    )


def conv1d() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(2, 6, 5, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 8, 3, stride=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def transposed() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), nn.ReLU()),
        *(nn.Conv2d(8, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)),
    )


_KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (conv, (3, 8, 8)),
    "residual": (Residual, (3, 8, 8)),
    "mlp": (mlp, (3, 4, 4)),
    "grouped": (grouped, (3, 6, 6)),
    "conv1d": (conv1d, (2, 12)),
    "transposed": (transposed, (3, 7, 7)),
    "tokens": (Tokens, (4, 6)),
    "aliased": (Aliased, (6,)),
}
KINDS = tuple(_KINDS)
CHAINS = ("conv", "mlp", "grouped", "conv1d", "transposed")


def build(kind: str) -> nn.Module:
    """The same network at every call, in eval mode, its norms as if it had been trained a little."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = _KINDS[kind][0]()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def example(kind: str) -> Tensor:
    return torch.zeros(2, *_KINDS[kind][1])


def batch(kind: str) -> tuple[Tensor, Tensor]:
    """(inputs, targets), two samples a class."""
    generator = torch.Generator().manual_seed(3)
    targets = torch.arange(2 * CLASSES) % CLASSES
    return torch.randn(len(targets), *_KINDS[kind][1], generator=generator), targets


def prunable(kind: str) -> dict[str, Tensor]:
    """Parameter name -> weight of each prunable layer, by the type of its module."""
    kinds = nn.Linear | nn.modules.conv._ConvNd
    model = build(kind)
    layers = {id(m.weight) for m in model.modules() if isinstance(m, kinds)}
    return {n: parameter for n, parameter in model.named_parameters() if id(parameter) in layers}
