"""PX: keep what bounds the trace of the neural tangent kernel, over the paths that data leave open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.methods.iterate import iterate, without_pruned
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_whole
from nodepath.paths.flow import Shares
from nodepath.paths.network import Network
from nodepath.paths.semantics import FLOW
from nodepath.paths.site import given
from nodepath.reference import Reference
from nodepath.scores.gates import open_paths

__all__ = ["PathExclusion", "weighed_flow"]


@METHODS.register("px")
@dataclass(frozen=True, kw_only=True)
class PathExclusion:
    r"""Again and again prune the weights that matter least to a bound on the trace of the neural tangent kernel.

    $$ s_j = \theta_j^2 \, \frac{\partial}{\partial \theta_j^2} \sum_k z_k \sum_{p \to k} \prod_{i \in p} \theta_i^2 $$

    over the paths p to output k, which carry the squares of their weights, and with $z_k$ the sum over the samples of
    what reaches that output through the paths that the activations leave open, squared inputs with weights 1 (see
    `open_paths`). Density $\rho^{e / T}$ after iteration e; pruned weights stay pruned. In the dense network all
    outputs of a fully connected head have the same $z_k$: data come in as masks leave each output other paths.

    Args:
        iterations: T.

    Cost: `iterations` times two forward passes of the batch, one of them in float64, and a forward and a backward pass
    of one sample in float64. Needs data: yes.

    Variants: the authors' code had this score and later the squared slope times the squared weight. Where something
    steers (attention, gates), paths do not open and close element by element, and the method is refused.

    Reference:
        Iurada, Ciccone, Tommasi. Finding lottery tickets in vision models via data-driven spectral foresight pruning.
        CVPR 2024. arXiv:2406.01820.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=("Leonardo Iurada", "Marco Ciccone", "Tatiana Tommasi"),
        title="Finding Lottery Tickets in Vision Models via Data-driven Spectral Foresight Pruning",
        venue="IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        year=2024,
        arxiv="2406.01820",
    )

    iterations: int = 100

    def __post_init__(self) -> None:
        check_whole("px", "iterations", self.iterations, "paper: 100")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`.

        Raises:
            ArgumentError: Something steers in the network, or see `open_paths`.
            NonFiniteError: The network is so deep that sums of squared inputs over its paths overflow.
        """
        if problem.network.steers:
            raise ArgumentError(
                "px follows paths that activations open and close, and in this model gates or attention steer them; "
                "choose 'synflow-l2', or a score such as 'snip'"
            )
        problem = with_zero_layers_drawn(problem)
        subject, network = problem.subject, problem.network

        def rescore(step: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            del step
            ends = open_paths(subject, weights, masks)
            largest = max(float(end.max()) for end in ends)
            if not 0 <= largest < float("inf"):
                raise NonFiniteError(
                    "the sum of squared inputs over all paths leaves the range of float64; choose 'synflow-l2'"
                )
            return without_pruned(weighed_flow(network, weights, [end / (largest or 1.0) for end in ends]), masks)

        return iterate(problem, rescore, self.iterations)


def weighed_flow(network: Network, weights: Mapping[str, Tensor], ends: list[Tensor]) -> dict[str, Tensor]:
    """Share of each weight in the squared weights of all paths, of which each counts as much as its end.

    Args:
        network: The network.
        weights: Parameter name -> weight.
        ends: Of each tensor among the outputs, of its shape: how much a path that ends there counts.

    Cost: one forward and one backward pass of one sample in float64.

    Raises:
        ArgumentError: The outputs are others than `ends`.
    """
    note = Shares(network, weights=True)
    with network.at_rest(), torch.enable_grad():
        arrival = network.send(FLOW, given({name: weight.square() for name, weight in weights.items()}), note)
        if len(arrival.outputs) != len(ends):
            raise ArgumentError(
                f"of {len(ends)} outputs of the model {len(arrival.outputs)} lie on a path; px needs all to do so"
            )
        counts = torch.stack([(o * _folded(e, o)).sum() for o, e in zip(arrival.outputs, ends, strict=True)]).sum()
        weighed = replace(arrival, counts=counts)
        return note.flow(weighed, weighed.slopes()).weights


def _folded(end: Tensor, counts: Tensor) -> Tensor:
    """Over the axes that counts have: those of length 1 stand for all along them."""
    axes = [axis for axis, size in enumerate(counts.shape) if size == 1 < end.shape[axis]]
    return (end.sum(axes, keepdim=True) if axes else end).to(counts)
