"""The score behind SynFlow: the share of all weighted paths that run through a weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.paths.flow import flow
from nodepath.paths.semantics import FLOW
from nodepath.scores.subject import Subject

__all__ = ["PathFlow"]


@dataclass(frozen=True, kw_only=True)
class PathFlow:
    r"""Synaptic saliency, scaled by the total.

    $$ s_j = \frac{1}{R} \, |\theta_j| \, \partial R / \partial |\theta_j|, \qquad R = 1^T f_{|\theta|}(1) $$

    where $f_{|\theta|}$ is the network with absolute weights, no biases, activations and norms the identity (so
    BatchNorm neutral, gamma 1), pooling as the model pools: the share of the flow through weight j. An exponent
    travels beside each tensor, so it is finite at any depth, and the ranking is exact.

    Cost: one forward and one backward pass of one sample in float64. Needs data: no.

    Reference:
        Tanaka, Kunin, Yamins, Ganguli. Pruning neural networks without any data by iteratively conserving synaptic
        flow. NeurIPS 2020. arXiv:2006.05467.
    """

    needs_batch: ClassVar[bool] = False

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        shares = flow(subject.network, {name: weight.abs() for name, weight in weights.items()}, FLOW).weights
        return {name: shares[name] for name in weights}
