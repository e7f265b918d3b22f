"""Where a run was done."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["environment"]


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Versions, machine, threads, commit of the present directory, command line; JSON-ready."""
    kind = torch.device(device)
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "nodepath": _nodepath_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "threads": torch.get_num_threads(),
        "device": str(kind),
        "gpu": torch.cuda.get_device_name(kind) if kind.type == "cuda" else None,
        "git_commit": _git_commit(),
        "command": list(sys.argv),
    }


def _nodepath_version() -> str | None:
    try:
        return version("nodepath")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return None


def _cpu_model() -> str:
    """Linux tells the model in /proc only; elsewhere `platform` knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """The commit of the present directory, with "-dirty" if files differ from it; None outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git, or a repository on a disk that sleeps
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
