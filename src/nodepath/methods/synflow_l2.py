"""SynFlow-L2: SynFlow on squared weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from nodepath.methods.flow.by_flow import by_flow
from nodepath.methods.iterate import iterate, without_pruned
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_choice, check_whole
from nodepath.paths import Network
from nodepath.paths.flow import flow
from nodepath.paths.semantics import FLOW
from nodepath.reference import Reference

__all__ = ["Form", "SynFlowL2", "l2_scores"]

Form = Literal["theta2", "abs"]


@METHODS.register("synflow-l2")
@dataclass(frozen=True, kw_only=True)
class SynFlowL2:
    r"""Again and again prune the weights that carry the least of all paths, each path weighted by its squared weights.

    With R the output of the network whose weights are $\theta^2$, summed, for an input of ones (see `PathFlow`):

    $$ s_j = \theta_j^2 \, \partial R / \partial \theta_j^2 \quad (\text{theta2}) \qquad
       s_j = |\theta_j| \, \partial R / \partial \theta_j^2 \quad (\text{abs}) $$

    The slopes of R in all $\theta_j^2$ add up to the trace of the path kernel. Density $\rho^{(e + 1) / T}$ after
    iteration e, all layers in one ranking; pruned weights stay pruned. Weights that steer carry no paths: each layer
    keeps the share of them that ERK would, at random. For a layer whose weights are all zero, normal ones are drawn,
    with a warning.

    Args:
        iterations: T.
        form: "theta2": the share of R that runs through a weight, the same in all along every cut (default); "abs": as
            the codes of PHEW and PX write it, which no cut conserves, so that layers with small weights are favoured.

    Cost: `iterations` forward and backward passes of one sample in float64. Needs data: no.

    Reference:
        Gebhart, Saxena, Schrater. A unified paths perspective for pruning at initialization. 2021. arXiv:2101.10552.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Thomas Gebhart", "Udit Saxena", "Paul Schrater"),
        title="A Unified Paths Perspective for Pruning at Initialization",
        venue="",
        year=2021,
        arxiv="2101.10552",
    )

    iterations: int = 100
    form: Form = "theta2"

    def __post_init__(self) -> None:
        check_whole("synflow-l2", "iterations", self.iterations, "usual: 100")
        check_choice("form", self.form, get_args(Form))

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        problem = with_zero_layers_drawn(problem)
        if self.form == "theta2":
            return by_flow(replace(problem, weights=_squared(problem.weights)), self.iterations)

        def rescore(_: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            return without_pruned(l2_scores(problem.network, weights, self.form), masks)

        with problem.network.at_rest():
            return iterate(problem, rescore, self.iterations)


def l2_scores(network: Network, weights: Mapping[str, Tensor], form: Form = "theta2") -> dict[str, Tensor]:
    """Score every weight, as a part of R.

    Args:
        network: The network.
        weights: Parameter name -> weight; zeros where it is pruned already.
        form: See `SynFlowL2`.

    Cost: one forward and one backward pass of one sample in float64.
    """
    shares = flow(network, _squared(weights), FLOW).weights
    if form == "theta2":
        return {name: shares[name] for name in weights}
    sizes = {name: weight.abs().to(shares[name]) for name, weight in weights.items()}
    return {name: torch.where(size > 0, shares[name] / size, 0.0) for name, size in sizes.items()}


def _squared(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In float64 where there is such a thing: squares of single precision are exact there, and none is lost to zero."""
    squares = {}
    for name, weight in weights.items():
        dtype = FLOW.dtype(weight.device)
        squares[name] = weight.to(dtype).square()
    return squares
