"""Expander: each layer a random graph whose degrees are equal on both sides, with a certified spectral gap."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.budgets import BUDGETS, apportion, rescale
from nodepath.errors import ArgumentError, ExpansionWarning
from nodepath.methods.even.layer import equal_shares
from nodepath.methods.even.pairs import even_pairs
from nodepath.methods.expander_gap import bound, second_singular_value
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.options import check_whole, is_number
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Expander"]


@METHODS.register("expander")
@dataclass(frozen=True, kw_only=True)
class Expander:
    r"""In each layer draw a random graph whose degrees are equal on both sides, and check that it expands.

    A layer is a bipartite graph of its $C_{out}$ outputs and its $C_{in} \times k$ inputs, one for each cell of the
    kernel (of each group for a grouped convolution, of q, k and v for a packed projection). Its degrees differ by at
    most 1 on either side: inputs are dealt to outputs like cards, from one random permutation after the other. Where
    the mean degrees $d_L, d_R$ are at least 3, the second singular value of the biadjacency matrix must obey

    $$ \sigma_2 \leq (1 + tolerance) \left( \sqrt{d_L - 1} + \sqrt{d_R - 1} \right) $$

    (within the tolerance Ramanujan), else the graph is drawn again; after `tries` draws the best one stays, with an
    `ExpansionWarning`. Of sparser graphs nothing is asked.

    Args:
        budget: How many weights each layer keeps: the name of a budget.
        tolerance: How far beyond the bound is good enough, >= 0. Random graphs of whole degrees come within 2 %, of
            degrees between 3 and 4 on both sides 6 %, as the larger ones among their degrees count for more.
        tries: Most draws of a graph.

    Cost: a draw of the layer's weights, and 80 products with its matrix. Needs data: no.

    Variants: X-Nets make only the outputs' degrees equal and join channels, whole kernels; RReg takes random
    regular graphs.

    Reference:
        Prabhu, Varma, Namboodiri. Deep expander networks: efficient deep networks from graph theory. ECCV 2018.
        arXiv:1711.08757. Random regular graphs: Stewart, Michieli, Ozay. Data-free model pruning at initialization via
        expanders. CVPR Workshops 2023.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Ameya Prabhu", "Girish Varma", "Anoop Namboodiri"),
        title="Deep Expander Networks: Efficient Deep Networks from Graph Theory",
        venue="European Conference on Computer Vision",
        year=2018,
        arxiv="1711.08757",
    )

    budget: str = "erk"
    tolerance: float = 0.05
    tries: int = 16

    def __post_init__(self) -> None:
        if not isinstance(self.budget, str):
            raise ArgumentError(f"budget is {self.budget!r}; pass the name of one: {', '.join(BUDGETS)}")
        if not is_number(self.tolerance) or not 0 <= self.tolerance < 100:
            raise ArgumentError(f"tolerance is {self.tolerance!r}; expander needs a number >= 0, such as 0.05")
        check_whole("expander", "tries", self.tries, "default: 16")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`.

        Warns:
            ExpansionWarning: A graph misses the bound in all draws; names its layer.
        """
        counts = problem.layer_counts(self.budget)
        if counts is None:
            raise ArgumentError("expander draws layer by layer; instead of scope='global' choose a budget, e.g. 'erk'")
        masks = {layer.name: self._drawn(layer, counts[layer.name], problem.generator) for layer in problem.layers}
        return Choice({name: mask.to(problem.network.device) for name, mask in masks.items()})

    def _drawn(self, layer: Layer, number: int, generator: torch.Generator) -> Tensor:
        kernels = torch.zeros(
            layer.groups,
            layer.outputs // layer.groups,
            layer.inputs // layer.groups,
            layer.cells,
            dtype=torch.bool,
        )
        excess = 0.0
        for graph, share in _graphs(layer, kernels, number, generator):
            pairs, over = self._graph(len(graph), graph[0].numel(), share, generator)
            graph.copy_(pairs.reshape(graph.shape))
            excess = max(excess, over)
        if excess > self.tolerance:
            warnings.warn(
                f"expander: the second singular value of '{layer.name}' is {excess:.1%} above the bound in the best of "
                f"{self.tries} draws, and the tolerance is {self.tolerance:.1%}; raise it, or tries",
                ExpansionWarning,
                stacklevel=2,
            )
        return layer.weights(kernels)

    def _graph(self, outputs: int, inputs: int, number: int, generator: torch.Generator) -> tuple[Tensor, float]:
        """The first graph within the tolerance or else the best, and how far its second value is above the bound."""
        best, least = None, float("inf")
        for _ in range(self.tries):
            pairs = even_pairs(
                torch.zeros(inputs, dtype=torch.bool), torch.zeros(outputs, dtype=torch.bool), number, generator
            )
            limit = bound(pairs)
            over = 0.0 if limit is None else max(0.0, second_singular_value(pairs) / limit - 1)
            if best is None or over < least:
                best, least = pairs, over
            if least <= self.tolerance:
                break
        assert best is not None  # tries >= 1
        return best, least


def _graphs(layer: Layer, kernels: Tensor, number: int, generator: torch.Generator) -> Iterator[tuple[Tensor, int]]:
    """Views of a layer's kernels (outputs, inputs, cells), each a graph of its own, and how many weights it keeps."""
    if len(layer.rows) > 1:
        sizes = {
            str(row): rows * layer.inputs * layer.cells for row, rows in zip(layer.first_rows, layer.rows, strict=True)
        }
        shares = apportion(rescale({name: float(size) for name, size in sizes.items()}, sizes, number), sizes, number)
        for row, rows in zip(layer.first_rows, layer.rows, strict=True):
            yield kernels[0, row : row + rows], shares[str(row)]
        return
    room = torch.full((layer.groups,), layer.size // layer.groups)
    yield from zip(kernels, equal_shares(number, room, generator), strict=True)
