# ruff: noqa: T201
"""The same masks counted from pixel to pixel and from channel to channel, as a table in Markdown.

Run it with `python examples/resolutions.py` (ResNet-20, half a minute on a CPU), or name models of the zoo:
`python examples/resolutions.py vgg19 resnet18-tiny` takes some ten minutes.
"""

import sys
import warnings
from itertools import product

import torch

import nodepath
from nodepath.errors import CollapseWarning

METHODS = ("erk", "synflow", "npb")
SPARSITIES = (0.9, 0.99)


def row(name: str, method: str, sparsity: float, pixel: nodepath.Topology, channel: nodepath.Topology) -> str:
    """One mask in both resolutions."""
    cells = [name, method, f"{100 * sparsity:g}"]
    for topology in (pixel, channel):
        cells.append(f"{topology.log10_paths:.2f} ({topology.path_ratio:.3f})")
        cells.append(f"{topology.nodes} ({topology.effective_width:.0f})")
        cells.append(f"{topology.effective:,}")
    return f"| {' | '.join(cells)} |"


counted = "log10 paths (ratio) | nodes (width) | weights"
print(f"| model | method | % | pixel: {counted} | channel: {counted} |")
print("|---" * 9 + "|")
warnings.simplefilter("ignore", CollapseWarning)  # a shortcut without weights, beside a live skip
for name in sys.argv[1:] or ["resnet20"]:
    model, size = nodepath.models.create(name, seed=0), nodepath.models.describe(name).input_size
    assert size is not None
    x = torch.zeros(1, *size)
    for method, sparsity in [("dense", 0.0), *product(METHODS, SPARSITIES)]:
        masks = None if method == "dense" else nodepath.prune(model, x, method, sparsity=sparsity, seed=0)
        pixel, channel = (nodepath.measure(model, x, masks, resolution=kind) for kind in ("pixel", "channel"))
        print(row(name, method, sparsity, pixel, channel), flush=True)
