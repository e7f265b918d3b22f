"""What to do when pruning leaves no path, or empties a layer."""

import warnings
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from torch import Tensor

from nodepath.errors import ArgumentError, CollapseError, CollapseWarning
from nodepath.masks import JSON
from nodepath.methods.give_back import give_back
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
) -> tuple[dict[str, Tensor], dict[str, JSON]]:
    """Look for collapse, and raise, warn or repair as `policy` says.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        ranking: Gives scores by parameter name, for what an emptied layer gets back and who pays for it.
        policy: "error", "warn", or "keep-one": see `give_back`; the total stays.
        label: Who pruned and how far, for messages, e.g. "at sparsity 0.99 (method 'snip')".

    Returns:
        Masks, and for their metadata: which layers are empty in the end, which got a weight back, whether no path is
        left.

    Raises:
        CollapseError: No path is left; or, with "error", a layer is empty and no live skip passes it by.
        ArgumentError: An unknown policy.
    """
    if policy not in get_args(OnCollapse):
        raise ArgumentError(f"on_collapse is '{policy}'; choose one of {', '.join(get_args(OnCollapse))}")
    found = find_collapse(network, masks)
    before = found.emptied
    if policy == "keep-one" and before:
        cut = tuple(name for name in before if name not in found.bypassed)
        scores = ranking()
        for wanted in dict.fromkeys((before, cut)):  # where others cannot spare for all, for those that cut paths
            given = give_back(network, masks, scores, wanted)
            if given is not None:
                masks = given
                break
        found = find_collapse(network, masks)
    given_back: list[JSON] = [name for name in before if name not in found.emptied]
    record: dict[str, JSON] = {
        "emptied": list(found.emptied),
        "given_back": given_back,
        "no_path": found.no_path,
    }
    if not found:
        return masks, record
    message = _message(network, found, label)
    if (policy == "error" and not found.harmless) or (policy == "keep-one" and found.no_path):
        raise CollapseError(message)
    warnings.warn(message, CollapseWarning, stacklevel=5)  # where `prune` is called
    return masks, record


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
