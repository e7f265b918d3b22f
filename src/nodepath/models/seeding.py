"""Run code that draws from the global random generators, reproducibly and without a trace."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

__all__ = ["seeded", "undisturbed"]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the global generators of torch, numpy and `random` their states back afterwards, also after an error.

    CUDA's generators take part where CUDA is in use already or is torch's default device. They are left alone
    otherwise, because asking for their state starts CUDA, and a process that has started it cannot fork.
    """
    with ExitStack() as restore:
        restore.callback(random.setstate, random.getstate())
        restore.callback(np.random.set_state, np.random.get_state())
        restore.callback(torch.set_rng_state, torch.get_rng_state())
        if _uses_cuda():
            restore.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
        if torch.backends.mps.is_available():
            restore.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators; give the caller's states back afterwards, see `undisturbed`.

    Others' constructors draw from the global generators, and no argument can change that.

    Args:
        seed: In [0, 2**63).
    """
    with undisturbed():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # numpy's seeds have 32 bits
        # torch.manual_seed would also leave a seed for CUDA behind, for whenever it starts
        torch.default_generator.manual_seed(seed)
        if _uses_cuda():
            torch.cuda.manual_seed_all(seed)
        if torch.backends.mps.is_available():
            torch.mps.manual_seed(seed)
        yield


def _uses_cuda() -> bool:
    chosen = torch.get_default_device().type
    return chosen == "cuda" or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
