"""What was tried of `npb-even` beside its options, and did not train better: variants of runs of `bench.trainings`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor, nn

from nodepath.methods.even.layer import Cover, even_layer
from nodepath.methods.even.living import Block
from nodepath.paths import Network

__all__ = ["VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """A change to a training, in up to three places.

    Attributes:
        built: Changes the network before it is pruned, to as many weights as of the whole one.
        drawing: Around the pruning of a network.
        shrunk: Changes what is trained.
    """

    built: Callable[[nn.Module], None] = lambda _: None
    drawing: Callable[[Network], AbstractContextManager[None]] = lambda _: nullcontext()
    shrunk: Callable[[nn.Module], None] = lambda _: None


def without_blocks(model: nn.Module, blocks: tuple[str, ...]) -> None:
    """Residual blocks that are left to their skips."""
    for name in blocks:
        model.set_submodule(name, nn.Identity())


def freeze_norms(model: nn.Module) -> None:
    """BatchNorm without its scale and shift."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.requires_grad_(requires_grad=False)


def even_cells(numbers: Tensor, gladly: Tensor, generator: torch.Generator) -> Tensor:
    """Each output's weights over all cells before any has two, in an order that is drawn.

    Args:
        numbers: Weights of each kernel (outputs, inputs).
        gladly: How gladly each cell is kept (cells,).
        generator: Draws.
    """
    live = (gladly > 0).nonzero().flatten()
    order = torch.rand(numbers.shape, generator=generator).argsort(1)
    counts = numbers.gather(1, order)
    before = counts.cumsum(1) - counts
    noise = torch.empty(len(numbers), len(live)).exponential_(generator=generator)
    turns = (gladly[live].log().float() - noise.log()).argsort(1, descending=True)
    chosen = torch.zeros(*numbers.shape, len(gladly), dtype=torch.bool)
    for more in range(int(counts.max())):
        rows, columns = (counts > more).nonzero(as_tuple=True)
        cells = live[turns[rows, (before[rows, columns] + more) % len(live)]]
        chosen[rows, order[rows, columns], cells] = True
    return chosen.flatten(0, 1)


@contextmanager
def drawing_cells(choose: Callable[[str, Tensor, Tensor, torch.Generator], Tensor]) -> Iterator[None]:
    """`npb-even` with another choice of the cells of each kernel of several.

    Args:
        choose: (layer, weights in each kernel (outputs, inputs), how gladly each cell is kept, generator) -> (kernels,
            cells), bool.
    """

    def layer(block: Block, number: int, cells: Tensor, cover: Cover, generator: torch.Generator) -> Tensor:
        def chosen(numbers: Tensor, gladly: Tensor, generator: torch.Generator) -> Tensor:
            kernels = numbers.reshape(block.layer.outputs, -1)
            return choose(block.part[0], kernels, gladly, generator)

        if cells.numel() == 1:
            return even_layer(block, number, cells, cover, generator)
        with patch("nodepath.methods.even.layer.drawn_cells", chosen):
            return even_layer(block, number, cells, cover, generator)

    with patch("nodepath.methods.npb_even.even_layer", layer):
        yield


def evenly(_: Network) -> AbstractContextManager[None]:
    """See `even_cells`."""
    return drawing_cells(lambda _, numbers, gladly, generator: even_cells(numbers, gladly, generator))


def by_magnitude(network: Network) -> AbstractContextManager[None]:
    """The cells of the largest initial weights."""

    def choose(name: str, numbers: Tensor, gladly: Tensor, _: torch.Generator) -> Tensor:
        kernels = network.layers[name].kernels(network.weights()[name].abs()).reshape(-1, len(gladly))
        places = kernels.masked_fill(gladly == 0, -1.0).argsort(1, descending=True).argsort(1)
        return places < numbers.reshape(-1, 1)

    return drawing_cells(choose)


VARIANTS = {
    "": Variant(),
    "frozen norms": Variant(shrunk=freeze_norms),
    "even cells": Variant(drawing=evenly),
    "largest cells": Variant(drawing=by_magnitude),
    "two blocks a stage": Variant(built=lambda model: without_blocks(model, ("layer1.1", "layer2.1", "layer3.1"))),
    "one block a stage": Variant(
        built=lambda model: without_blocks(model, tuple(f"layer{s}.{b}" for s in (1, 2, 3) for b in (1, 2)))
    ),
}
"""By name; "" is none."""
