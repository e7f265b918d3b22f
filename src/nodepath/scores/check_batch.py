"""Look at a score batch before it is used."""

import warnings

import torch
from torch import Tensor

from nodepath.errors import InputMismatchError, NonFiniteError, ScoreBatchWarning
from nodepath.paths import Network
from nodepath.paths.nested import tensors_in
from nodepath.scores.batch import Batch

__all__ = ["check_batch"]


def check_batch(network: Network, batch: Batch) -> None:
    """Complain of a batch that lies elsewhere than the model, has inputs that are no numbers, or holds one class alone.

    How many classes there should be, nobody has said: a batch of eight may well be of a thousand of them.

    Raises:
        InputMismatchError: A tensor is on a device where the model has none.
        NonFiniteError: Inputs are NaN, or infinite; among several inputs, infinite ones may be an attention mask.

    Warns:
        ScoreBatchWarning: Several samples, and all have the same label.
    """
    model = network.model
    devices = {str(tensor.device) for tensors in (model.parameters(), model.buffers()) for tensor in tensors}
    for tensor in tensors_in(batch.parts):
        if tensor.ndim > 0 and devices and str(tensor.device) not in devices:
            raise InputMismatchError(
                f"the score batch holds a tensor on device '{tensor.device}', and the model is on "
                f"{', '.join(map(repr, sorted(devices)))}; move one to the other with .to(...)"
            )
    for inputs, _ in batch.parts:
        for tensor in tensors_in(inputs):
            bad = tensor.isnan() if tensor is not inputs else ~tensor.isfinite()
            if bool(bad.any()):
                raise NonFiniteError(
                    f"the inputs of the score batch: {int(bad.sum())} of {tensor.numel()} are NaN or infinite; check "
                    "the data and how it is normalised"
                )
    labels = [targets for _, targets in batch.parts if isinstance(targets, Tensor)]
    if batch.samples < 2 or len(labels) < len(batch.parts) or not all(map(_are_labels, labels)):
        return
    low, high = torch.cat([each.reshape(-1) for each in labels]).aminmax()
    if bool(low == high):
        warnings.warn(
            f"all {batch.samples} samples of the score batch have label {int(low)}, so the loss says little of the "
            "other classes; draw as many samples of each class",
            ScoreBatchWarning,
            stacklevel=3,
        )


def _are_labels(targets: Tensor) -> bool:
    return targets.ndim == 1 and not targets.is_floating_point() and not targets.is_complex()
