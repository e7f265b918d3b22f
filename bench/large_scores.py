"""Scores that differentiate twice on a large network: seconds and peak memory, each in a process of its own.

    python -m bench.large_scores [MODEL] [BATCH] [METHOD ...]

The peak is that of the whole process, with torch and all that is imported (`ru_maxrss`).
"""

import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

METHODS = ("snip", "grasp", "prospr", "fisher")
LIMIT = 16 * 2**30
"""Bytes that GraSP and ProsPr may take on ResNet-50 at 224x224 with a batch of 8."""


def measured(model: str, samples: int, method: str) -> dict[str, object]:
    """In a fresh process."""
    command = [sys.executable, "-m", "bench.large_scores", "--here", model, str(samples), method]
    home = Path(__file__).parents[1]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=home)
    return dict(json.loads(done.stdout))


def here(name: str, samples: int, method: str) -> dict[str, object]:
    import torch

    import nodepath

    warnings.simplefilter("ignore")
    model = nodepath.models.create(name, seed=0)
    shape = nodepath.models.describe(name).input_size
    generator = torch.Generator().manual_seed(0)
    batch = (torch.randn(samples, *shape, generator=generator), torch.arange(samples))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.perf_counter()
    masks = nodepath.prune(model, torch.zeros(1, *shape), method, sparsity=0.9, batch=batch, on_collapse="warn")
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"kept": masks.kept, "seconds": seconds, "before": before, "peak": peak}
    return {"model": name, "samples": samples, "method": method, **found}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--here"]:
        print(json.dumps(here(arguments[1], int(arguments[2]), arguments[3])))
        return
    model, samples, *methods = [*arguments, *("torchvision:resnet50", "8")[len(arguments) :]]
    for method in methods or METHODS:
        row = measured(model, int(samples), method)
        print(f"{method:12} {row['seconds']:7.1f} s  peak {row['peak'] / 2**30:6.2f} GiB  kept {row['kept']}")


if __name__ == "__main__":
    main(sys.argv[1:])
