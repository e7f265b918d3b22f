"""Random small networks made of the pieces that real ones are made of."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

__all__ = ["PIECES", "Pieces", "pieces"]

PIECES = ("conv", "strided", "grouped", "depthwise", "pointwise", "residual", "projected", "beside", "max", "mean")


class Sum(nn.Module):
    """What two branches carry on together."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) + self.right(x)


class Beside(nn.Module):
    """What comes is kept, and more channels are laid beside it."""

    def __init__(self, more: nn.Module) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.more(x)], 1)


class Pieces(nn.Sequential):
    """A stem, pieces, a head; all weights drawn anew, some of them exactly zero.

    Args:
        kinds: Of the pieces.
        flat: The head reads each place, instead of their mean.
        zeros: Which share of the weights is zero.
        seed: Of the draw.
        size: Of the image.
    """

    def __init__(self, kinds: list[str], *, flat: bool, zeros: float, seed: int, size: int = 6) -> None:
        width, body = 4, [nn.Conv2d(2, 4, 3, padding=1)]
        for kind in kinds:
            body += [self._piece(kind, width), nn.ReLU()]
            width += 2 * (kind == "beside") + 2 * (kind == "projected")
        with torch.no_grad():
            made = nn.Sequential(*body)(torch.zeros(1, 2, size, size))
        pool = [nn.Flatten()] if flat else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        units = made.numel() if flat else width
        super().__init__(*body, *pool, nn.Linear(units, 5), nn.ReLU(), nn.Linear(5, 3))
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in (p for p in self.parameters() if p.ndim > 1):
                weight.copy_(torch.randn(weight.shape, generator=draw))
                weight.mul_(torch.rand(weight.shape, generator=draw) >= zeros)

    @staticmethod
    def _piece(kind: str, width: int) -> nn.Module:
        conv = nn.Conv2d(width, width, 3, padding=1)
        return {
            "conv": conv,
            "strided": nn.Conv2d(width, width, 3, stride=2, padding=1),
            "grouped": nn.Conv2d(width, width, 3, padding=1, groups=2),
            "depthwise": nn.Conv2d(width, width, 3, padding=1, groups=width),
            "pointwise": nn.Conv2d(width, width, 1),
            "residual": Sum(nn.Identity(), nn.Sequential(conv, nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))),
            "projected": Sum(
                nn.Conv2d(width, width + 2, 1, stride=2),
                nn.Sequential(
                    nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, width + 2, 1)
                ),
            ),
            "beside": Beside(nn.Conv2d(width, 2, 3, padding=1)),
            "max": nn.MaxPool2d(3, stride=2, padding=1),
            "mean": nn.AvgPool2d(2, ceil_mode=True),
        }[kind]


@st.composite
def pieces(draw: st.DrawFn) -> Pieces:
    """Up to four pieces."""
    return Pieces(
        draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4)),
        flat=draw(st.booleans()),
        zeros=draw(st.sampled_from([0.0, 0.0, 0.1, 0.4, 0.7])),
        seed=draw(st.integers(0, 1 << 16)),
    )
