"""Questions about an activation: its shape may be asked, its values may not."""

from typing import Any

import torch
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register

SHAPE = "dim element_size is_complex is_contiguous is_floating_point numel size stride storage_offset __len__".split()
ATTRIBUTES = "device is_cpu is_cuda is_leaf is_mps is_nested is_sparse itemsize layout ndim requires_grad shape".split()
FACTORIES = "empty_like full_like new_empty new_full new_ones new_tensor new_zeros ones_like zeros_like".split()
VALUES = "__bool__ __contains__ __float__ __index__ __int__ item numpy tolist equal allclose nonzero".split()


@register(
    *(getattr(Tensor, name) for name in SHAPE),
    *(getattr(Tensor, name).__get__ for name in ATTRIBUTES),
    plain=True,
)
@register(*FACTORIES, "is_tensor", torch.is_floating_point, torch.is_complex, torch.numel)
def shape(call: Call, *args: Any, **kwargs: Any) -> Any:
    """What depends on shapes alone is answered as it is, and brings no paths."""
    return call.function(*args, **kwargs)


@register(Tensor.dtype.__get__)  # type: ignore[attr-defined]  # of the class it is a descriptor
def dtype(call: Call, _: Tensor) -> torch.dtype:
    """That of the example input: counts have one of their own, which is no business of the model's."""
    return call.tracer.dtype


@register(*(getattr(Tensor, name) for name in VALUES), "argmax", "argmin", "argsort", "topk", "sort")
def values(call: Call, *_: Any, **__: Any) -> Any:
    """A decision that depends on the data has no fixed graph.

    Raises:
        UnknownOperationError: Always.
    """
    raise call.unknown("reads the values of an activation, so that the graph would depend on the data")
