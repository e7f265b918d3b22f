"""Paths and nodes of a network: how each operation acts on path counts, counting, reachability."""

from nodepath.paths import operations as _operations  # fills the table
from nodepath.paths.measure import effective, measure
from nodepath.paths.network import Network
from nodepath.paths.operations.products import control
from nodepath.paths.shares import path_shares
from nodepath.paths.table import register
from nodepath.paths.topology import LayerTopology, Topology

__all__ = ["LayerTopology", "Network", "Topology", "control", "effective", "measure", "path_shares", "register"]
del _operations
