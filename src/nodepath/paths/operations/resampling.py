"""Interpolation: each output pixel reads the pixels that it is interpolated from."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.operations.windows import along
from nodepath.paths.table import register


@register("interpolate", "upsample")
def interpolate(
    call: Call,
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Paths of the pixels that are read add up, or their weighted mean if the semantics says so for pooling.

    All modes of torch are separable, so each axis is asked for itself.
    """
    signal = call.signal(input)
    options: dict[str, Any] = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
    shape = F.interpolate(
        torch.empty(signal.shape, device="meta"),
        size,
        scale_factor,
        recompute_scale_factor=recompute_scale_factor,
        **options,
    ).shape
    dims = len(shape) - 2
    factors = scale_factor if isinstance(scale_factor, tuple | list) else [scale_factor] * dims
    reads: dict[int, Tensor] = {}
    for axis in range(2, 2 + dims):
        if call.folded(signal)[axis] or (mode == "nearest" and shape[axis] == signal.shape[axis]):
            continue
        length = signal.shape[axis]
        # torch's own antialiasing is wrong where another axis has length 1, so those keep theirs
        beside = 2 if antialias else 1
        sides = [length if i == axis else beside for i in range(2, 2 + dims)]
        one_hot = torch.eye(length).reshape(1, length, *(length if i == axis else 1 for i in range(2, 2 + dims)))
        if size is None and not recompute_scale_factor:
            how: dict[str, Any] = {"scale_factor": [factors[i - 2] if i == axis else 1.0 for i in range(2, 2 + dims)]}
        else:
            how = {"size": [shape[i] if i == axis else beside for i in range(2, 2 + dims)]}
        made = F.interpolate(one_hot.expand(1, length, *sides), **how, **options)[0]
        weights = made.movedim(axis - 1, 1).flatten(2)[..., 0].T
        reads[axis] = weights.abs() if call.semantics.average == "mean" else (weights != 0).float()

    def resample(counts: Tensor) -> Tensor:
        for axis, weights in reads.items():
            counts = along(counts, axis, weights)
        return counts

    return call.summed(signal, resample, shape)
