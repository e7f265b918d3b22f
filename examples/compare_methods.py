# ruff: noqa: T201
"""Every method on one model at one sparsity, and each beside its own layerwise shuffle.

Run it with `python examples/compare_methods.py`; it takes seconds on a CPU. `nodepath compare` does the same
for several sparsities, and draws it.
"""

import torch

import nodepath

SPARSITY = 0.95
OPTIONS = {"dpai": {"steps": 300}}  # a tenth of its own, which take a minute

model = nodepath.models.create("lenet5", seed=0)
x = torch.zeros(1, 1, 32, 32)
digits = nodepath.data.load("digits")
images, labels, _ = nodepath.data.score_batch(digits.train, per_class=10, seed=0)

print(f"{'':14} {'nodes':>6} {'log10 paths':>12}   shuffled: {'nodes':>6} {'log10 paths':>12}")
for method in nodepath.methods.names():
    batch = (images / 255, labels) if nodepath.methods.needs_batch(method) else None
    options = OPTIONS.get(method, {})
    masks = nodepath.prune(
        model, x, method=method, sparsity=SPARSITY, seed=0, batch=batch, on_collapse="warn", **options
    )
    own = nodepath.measure(model, x, masks)
    shuffled = nodepath.measure(model, x, nodepath.controls.shuffle(masks, seed=0))
    print(
        f"{method:14} {own.nodes:6} {own.log10_paths:12.2f}             {shuffled.nodes:6} {shuffled.log10_paths:12.2f}"
    )
