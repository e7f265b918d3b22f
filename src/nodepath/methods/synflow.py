"""SynFlow: prune what carries the least flow, again and again."""

from dataclasses import dataclass
from typing import ClassVar

from nodepath.methods.flow.by_flow import by_flow
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_whole
from nodepath.reference import Reference

__all__ = ["SynFlow"]


@METHODS.register("synflow")
@dataclass(frozen=True, kw_only=True)
class SynFlow:
    r"""Again and again prune the weights that carry the least of all weighted paths.

    Scores `PathFlow`, density $\rho^{(e + 1) / T}$ after iteration e, all layers in one ranking; pruned weights stay
    pruned. With enough iterations no layer empties while another could be pruned (maximal critical compression; beyond
    some twenty layers 100 are too few at the extreme). Exact at any depth: an exponent travels beside each tensor.
    Weights that steer (queries, keys, gates) carry no paths: each layer keeps the share of them that ERK would, at
    random. For a layer whose weights are all zero, normal ones are drawn, with a warning.

    Args:
        iterations: T.

    Cost: `iterations` forward and backward passes of one sample in float64. Needs data: no.

    Reference:
        Tanaka, Kunin, Yamins, Ganguli. Pruning neural networks without any data by iteratively conserving synaptic
        flow. NeurIPS 2020. arXiv:2006.05467.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Hidenori Tanaka", "Daniel Kunin", "Daniel L. K. Yamins", "Surya Ganguli"),
        title="Pruning neural networks without any data by iteratively conserving synaptic flow",
        venue="Advances in Neural Information Processing Systems",
        year=2020,
        arxiv="2006.05467",
    )

    iterations: int = 100

    def __post_init__(self) -> None:
        check_whole("synflow", "iterations", self.iterations, "paper: 100")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        return by_flow(with_zero_layers_drawn(problem), self.iterations)
