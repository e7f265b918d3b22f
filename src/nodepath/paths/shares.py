"""Where the paths run: the share of all of them through each layer, node, kernel or weight."""

from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from nodepath.errors import ArgumentError
from nodepath.paths.example import ExampleInput
from nodepath.paths.flow import flow
from nodepath.paths.measure import matched
from nodepath.paths.network import Network
from nodepath.paths.nodes import INPUT, by_channel
from nodepath.paths.reach import reach, without_dead_ends
from nodepath.paths.surroundings import own_surroundings

__all__ = ["path_shares"]

Grouping = Literal["layer", "node", "kernel", "weight"]


@own_surroundings()
def path_shares(
    model: nn.Module,
    x: ExampleInput,
    masks: Mapping[str, Tensor] | None = None,
    *,
    of: str = "node",
    resolution: str = "pixel",
) -> dict[str, Tensor]:
    r"""The share of all paths that pass each layer, node, kernel or weight.

    $$ s_w = \frac{m_w}{R} \frac{\partial R}{\partial m_w} $$

    for a weight with mask $m_w$, $R$ the number of paths; for a node or layer the sum over what it reads. In a chain
    the shares of a layer's nodes sum to 1; beside a skip to less; a layer that is used twice counts a path twice. What
    only steers has share 0.

    Args:
        model: Any module; left as it was.
        x: Example input, see `nodepath.measure`.
        masks: What is kept; None: all.
        of: "layer": one number a layer; "node": (out,) a layer, and one tensor for each input under "input" (then
            "input1", ...); "kernel": (out, in / groups) a layer, (in, out / groups) if transposed; "weight": of the
            weight's shape.
        resolution: "pixel" or "channel".

    Returns:
        Parameter name -> shares in float64; zeros if there is no path.

    Cost: as `nodepath.measure`; for kernels and weights, a float64 copy of all weights.

    Raises:
        ArgumentError: Another grouping.
        MaskMismatchError: See `nodepath.measure`, as for the other errors.
    """
    if of not in get_args(Grouping):
        raise ArgumentError(f"of is '{of}'; choose one of {', '.join(get_args(Grouping))}")
    network = Network(model, x, resolution)
    masks = matched(network, masks or {})
    edges = without_dead_ends(network, masks, reach(network, masks))
    found = flow(network, edges, weights=of in {"kernel", "weight"})
    if of == "layer":
        return {name: share.sum() for name, share in found.outputs.items()}
    if of == "weight":
        return {name: share.clone() for name, share in found.weights.items()}
    if of == "kernel":
        return {
            name: share.flatten(2).sum(2) if share.ndim > 2 else share.clone() for name, share in found.weights.items()
        }
    inputs = zip(network.input_axes, found.sources, strict=True)
    sources = {f"{INPUT}{i or ''}": by_channel(share, axis) for i, (axis, share) in enumerate(inputs)}
    return {**sources, **{name: share.clone() for name, share in found.outputs.items()}}
