"""The most effective nodes that any mask of so many weights can have."""

from nodepath.paths.network import Network
from nodepath.paths.nodes import Convention

__all__ = ["node_bound"]


def node_bound(network: Network, keep: int, convention: Convention, dense_nodes: int) -> int:
    """A number of effective nodes that no mask with `keep` weights exceeds, by what one weight can win.

    - `exact`: each output channel that lives takes a weight of its own; the network's inputs at most all live.
    - `paper`: each input of a layer that lives takes a weight of its own, and so does each output of a Linear. So one
      weight of a convolution wins a node, of a projection shortcut none, of a Linear two as long as there are new ones
      on both sides.

    Args:
        network: The network.
        keep: How many weights there are.
        convention: Which nodes count.
        dense_nodes: How many there are if all weights are kept.
    """
    if convention == "exact":
        outputs = sum(layer.outputs for layer in network.layers.values())
        return min(dense_nodes, dense_nodes - outputs + min(outputs, keep))
    pairs = singles = 0  # nodes that one weight can win two by two, and others
    for layer in network.layers.values():
        if layer.shortcut:
            continue
        for rows in layer.rows:
            outputs = rows if layer.linear else 0
            pairs += min(layer.inputs, outputs)
            singles += abs(layer.inputs - outputs)
    return min(dense_nodes, 2 * min(keep, pairs) + min(singles, max(0, keep - pairs)))
