"""Peak memory of one call, in a process of its own (Linux)."""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["peak_bytes"]


def peak_bytes(prepare: Callable[[], Callable[[], object]]) -> int:
    """The most memory that a call holds at a time, with what `prepare` has made for it.

    Args:
        prepare: A function of a module, that imports what it needs, and returns what is to be called. What is imported
            before the call is not counted.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (prepare,))


def _peak(prepare: Callable[[], Callable[[], object]]) -> int:
    import nodepath  # noqa: F401  # so that it is not counted

    before = _held("VmRSS")
    action = prepare()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of preparing
    action()
    return _held("VmHWM") - before


def _held(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
