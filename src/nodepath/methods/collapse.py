"""What to do when pruning leaves no path, or empties a layer."""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from torch import Tensor

from nodepath.errors import ArgumentError, CollapseError, CollapseWarning
from nodepath.methods.selection import top
from nodepath.paths import Network
from nodepath.paths.collapse import Collapse, find_collapse

__all__ = ["OnCollapse", "settle_collapse"]

OnCollapse = Literal["error", "warn", "keep-one"]


def settle_collapse(
    network: Network,
    masks: dict[str, Tensor],
    ranking: Callable[[], Mapping[str, Tensor]],
    policy: str,
    label: str,
) -> tuple[dict[str, Tensor], Collapse]:
    """Look for collapse, and raise, warn or repair as `policy` says.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        ranking: Gives scores by parameter name, for what an emptied layer gets back and who pays for it.
        policy: "error", "warn", or "keep-one": each emptied layer gets its best-scored weight, taken from the lowest
            kept of all, so that the total stays.
        label: Who pruned and how far, for messages, e.g. "at sparsity 0.99 (method 'snip')".

    Returns:
        Masks, and what was found in them in the end.

    Raises:
        CollapseError: No path is left; or, with "error", a layer is empty and no live skip passes it by.
        ArgumentError: An unknown policy.
    """
    if policy not in get_args(OnCollapse):
        raise ArgumentError(f"on_collapse is '{policy}'; choose one of {', '.join(get_args(OnCollapse))}")
    found = find_collapse(network, masks)
    if policy == "keep-one" and found.emptied:
        masks = _give_back(masks, ranking(), found.emptied)
        found = find_collapse(network, masks)
    if not found:
        return masks, found
    message = _message(network, found, label)
    if (policy == "error" and not found.harmless) or (policy == "keep-one" and found.no_path):
        raise CollapseError(message)
    warnings.warn(message, CollapseWarning, stacklevel=5)  # where `prune` is called
    return masks, found


def _give_back(
    masks: Mapping[str, Tensor], ranking: Mapping[str, Tensor], emptied: tuple[str, ...]
) -> dict[str, Tensor]:
    masks = {name: mask.clone() for name, mask in masks.items()}
    for name in emptied:
        best = top(ranking[name].flatten().double(), 1).reshape(masks[name].shape)
        # the lowest kept weight of a layer that can spare one
        donors = {n: ranking[n].double().masked_fill(~m, math.inf) for n, m in masks.items() if int(m.sum()) > 1}
        if not donors:
            return masks
        donor = min(donors, key=lambda n: donors[n].min().item())
        flat = masks[donor].flatten()
        flat[donors[donor].flatten().argmin()] = False
        masks[donor] = flat.reshape(masks[donor].shape)
        masks[name] = best
    return masks


def _message(network: Network, found: Collapse, label: str) -> str:
    if not found.emptied:
        return f"no path is left {label} though no layer is empty; lower the sparsity, or choose another method"
    name = next((n for n in found.emptied if n not in found.bypassed), found.emptied[0])
    others = f" (and {len(found.emptied) - 1} more layers are empty)" if len(found.emptied) > 1 else ""
    what = f"'{name}' keeps 0 of {network.layers[name].size} weights{others} {label}"
    if found.harmless:
        return f"{what}; a live skip passes it by, so paths are left"
    effect = "no path is left" if found.no_path else "which cuts paths"
    return (
        f"{what}, {effect}; lower the sparsity, choose another method or budget ('erk'), or pass on_collapse='keep-one'"
    )
