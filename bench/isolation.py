"""A task in a process of its own, which may neither hang nor eat the memory of others (Linux)."""

import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from nodepath.errors import NodepathError

__all__ = ["Failure", "isolated"]

Result = TypeVar("Result")


class Failure(str):
    """One line that says why a task came to nothing."""

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """The line of an error."""
        known = "" if isinstance(error, NodepathError) else "not nodepath's own: "
        return cls(f"{known}{type(error).__name__}: {' '.join(str(error).split())}")


def isolated(task: Callable[[], Result], patience: int) -> Result | Failure:
    """What a task returns, which may take so many seconds and seven eighths of the machine's memory."""
    context = multiprocessing.get_context("fork")  # to import torch anew would take longer than most tasks
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_perform, args=(task, send))
    process.start()
    send.close()
    try:
        made: Result | Failure = receive.recv() if receive.poll(patience) else Failure(f"takes more than {patience} s")
    except EOFError:
        made = Failure("its process was killed, for want of memory")
    process.kill()
    process.join()
    return made


def _perform(task: Callable[[], Any], send: Connection) -> None:
    page, mapped = os.sysconf("SC_PAGE_SIZE"), int(Path("/proc/self/statm").read_text().split()[0])
    memory = page * (os.sysconf("SC_PHYS_PAGES") * 7 // 8 + mapped)  # libraries are mapped, not held
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        send.send(task())
    except Exception as error:  # a table of what fails shows everything that does
        send.send(Failure.of(error))
