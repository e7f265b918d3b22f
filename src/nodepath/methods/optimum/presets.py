"""Settings of node-path balancing by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nodepath.paths.layer import Layer

__all__ = ["PRESETS", "Preset", "caps_by_layer"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What holds where an option is not given; see `NodePathBalancing` for the options.

    Attributes:
        alpha, beta, max_per_kernel, cells, slack: The options.
        narrows: The cap falls by 2 after each projection shortcut while it is above 5; the first convolution has none.
    """

    alpha: float
    beta: float = 0.0
    max_per_kernel: int | None = None
    cells: str = "paths"
    slack: float = 0.15
    narrows: bool = False


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "balanced": Preset(alpha=0.5),
        "nodes": Preset(alpha=1.0),
        "paths": Preset(alpha=0.25),
        "published": Preset(alpha=0.01, beta=1.0, max_per_kernel=9, cells="random", slack=0.0, narrows=True),
        "published-resnet18": Preset(alpha=0.01, beta=2.0, max_per_kernel=6, cells="random", slack=0.0, narrows=True),
    }
)
"""The published two are those of the paper's ResNet-20 and VGG-19, and of its ResNet-18. The others were chosen by what
`measure` says of whole networks: at 99 % on ResNet-20 they keep 701, 701 and 153 of 701 nodes, with effective widths of
207, 668 and 92 and path ratios of .42, .29 and .62."""


def caps_by_layer(settings: Preset, layers: Iterable[Layer]) -> dict[str, int | None]:
    """The most weights in a kernel of each layer; None: all.

    Args:
        settings: What holds.
        layers: In the order of use.
    """
    caps: dict[str, int | None] = {}
    cap, first = settings.max_per_kernel, True
    for layer in layers:
        caps[layer.name] = None if settings.narrows and first else cap
        first = first and layer.linear
        if settings.narrows and layer.shortcut and cap is not None and cap > 5:
            cap -= 2
    return caps
