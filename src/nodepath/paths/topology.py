"""The numbers that describe a sparse subnetwork."""

import math
from dataclasses import dataclass
from typing import Any

from nodepath.paths.network import Resolution
from nodepath.paths.nodes import Convention

__all__ = ["LayerTopology", "Topology"]


@dataclass(frozen=True)
class LayerTopology:
    """One prunable layer.

    Attributes:
        name: The weight's parameter name.
        shape: The weight's shape.
        prunable: Number of weights.
        kept: Weights that the mask keeps.
        effective: Kept weights that lie on an input-output path or steer one.
        control: Those of them that only steer.
        nodes: Effective nodes that the convention counts with this layer.
        control_nodes: Those of them that only steer.
        all_nodes: All nodes that it counts with this layer.
        effective_width: exp of the entropy of those nodes' shares of all paths; 0 if no path passes.
        path_share: Share of all paths that pass the layer; a path that passes it twice counts twice.
        macs: Multiply-adds of one sample that the kept weights take.
        effective_macs: The same for the effective weights.
        dense_macs: The same for all weights.
        shortcut: Whether it is a projection shortcut.
    """

    name: str
    shape: tuple[int, ...]
    prunable: int
    kept: int
    effective: int
    control: int
    nodes: int
    control_nodes: int
    all_nodes: int
    effective_width: float
    path_share: float
    macs: int
    effective_macs: int
    dense_macs: int
    shortcut: bool

    @property
    def sparsity(self) -> float:
        """Fraction of the layer's weights removed."""
        return 1 - self.kept / self.prunable


@dataclass(frozen=True)
class Topology:
    """What `nodepath.measure` returns.

    Attributes:
        convention: Which nodes count, and how max pooling is read: "exact" or "paper".
        resolution: "pixel" or "channel".
        log10_paths: log10 of the number of effective paths; -inf for none.
        dense_log10_paths: The same with all weights.
        nodes: Effective nodes.
        dense_nodes: All nodes.
        control_nodes: Effective nodes that steer paths and carry none.
        effective_width: Sum over the layers of exp(entropy of their nodes' shares of all paths).
        log_effective_widths: Sum over the layers of log(effective width), natural logarithm.
        layers: One entry a prunable layer, in the order of use.
        unused: Weights of Linear and convolution layers that the forward pass never uses.
        tied: Linear weights that an embedding owns, hence not prunable.
    """

    convention: Convention
    resolution: Resolution
    log10_paths: float
    dense_log10_paths: float
    nodes: int
    dense_nodes: int
    control_nodes: int
    effective_width: float
    log_effective_widths: float
    layers: tuple[LayerTopology, ...]
    unused: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()

    @property
    def path_ratio(self) -> float:
        """Log10 paths over log10 paths of the dense network; 0.0 for no path (and for a single one)."""
        if self.log10_paths <= 0 or self.dense_log10_paths <= 0:
            return 1.0 if self.log10_paths == self.dense_log10_paths else 0.0
        return self.log10_paths / self.dense_log10_paths

    @property
    def node_ratio(self) -> float:
        """Effective nodes over all nodes."""
        return self.nodes / self.dense_nodes

    @property
    def position(self) -> float:
        """Log paths / (log paths + sum over layers of log effective width); NaN for no path, and for a single one.

        0: all in the nodes, 1: all in the paths, 1/2: in balance.
        """
        if self.log10_paths == -math.inf:
            return math.nan
        paths = self.log10_paths * math.log(10)
        return paths / (paths + self.log_effective_widths) if paths + self.log_effective_widths > 0 else math.nan

    @property
    def prunable(self) -> int:
        """Number of prunable weights."""
        return sum(layer.prunable for layer in self.layers)

    @property
    def kept(self) -> int:
        """Weights that the mask keeps; what it does not name is kept."""
        return sum(layer.kept for layer in self.layers)

    @property
    def effective(self) -> int:
        """Kept weights that lie on an input-output path or steer one."""
        return sum(layer.effective for layer in self.layers)

    @property
    def control(self) -> int:
        """Effective weights that steer paths and carry none."""
        return sum(layer.control for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights removed."""
        return 1 - self.kept / self.prunable

    @property
    def effective_sparsity(self) -> float:
        """Sparsity counted on effective weights (Vysogorets & Kempe 2021, arXiv:2107.02306)."""
        return 1 - self.effective / self.prunable

    @property
    def macs(self) -> int:
        """Multiply-adds of one sample that the kept weights take."""
        return sum(layer.macs for layer in self.layers)

    @property
    def effective_macs(self) -> int:
        """Multiply-adds of one sample that the effective weights take."""
        return sum(layer.effective_macs for layer in self.layers)

    @property
    def dense_macs(self) -> int:
        """Multiply-adds of one sample that all prunable weights take."""
        return sum(layer.dense_macs for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, ready for JSON; -inf and NaN become null."""
        names = (
            "convention resolution log10_paths dense_log10_paths path_ratio nodes dense_nodes node_ratio control_nodes "
            "effective_width position prunable kept effective control sparsity effective_sparsity macs effective_macs "
            "dense_macs"
        )
        document = {name: _json(getattr(self, name)) for name in names.split()}
        document["layers"] = [
            {**{key: _json(value) for key, value in vars(layer).items()}, "sparsity": layer.sparsity}
            for layer in self.layers
        ]
        return {**document, "unused": list(self.unused), "tied": list(self.tied)}


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
