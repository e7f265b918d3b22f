"""Peak memory and seconds of one call, in a process of its own (Linux)."""

import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["peak_bytes", "seconds_and_bytes"]


def peak_bytes(prepare: Callable[[], Callable[[], object]]) -> int:
    """The most memory that a call holds at a time, with what `prepare` has made for it.

    Args:
        prepare: A function of a module, that imports what it needs, and returns what is to be called. What is imported
            before the call is not counted.
    """
    return seconds_and_bytes(prepare)[1]


def seconds_and_bytes(prepare: Callable[[], Callable[[], object]]) -> tuple[float, int]:
    """The same, and how long the call takes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (prepare,))


def _measured(prepare: Callable[[], Callable[[], object]]) -> tuple[float, int]:
    import nodepath  # noqa: F401  # so that it is not counted

    before = _held("VmRSS")
    action = prepare()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of preparing
    began = time.perf_counter()
    action()
    return time.perf_counter() - began, _held("VmHWM") - before


def _held(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
