# ruff: noqa: T201
"""Your own model, your own loop, pruned weights at exactly zero throughout.

Run it with `python examples/own_training_loop.py`; it takes seconds on a CPU.
"""

import torch
import torch.nn.functional as F
from torch import nn

import nodepath

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Flatten(), nn.Linear(32 * 8 * 8, 10),
)  # fmt: skip
x = torch.zeros(1, 1, 32, 32)  # example input: only shapes count

masks = nodepath.prune(model, x, method="synflow", sparsity=0.95)
topology = nodepath.measure(model, x, masks)
print(f"kept {masks.kept:,} of {topology.prunable:,} weights, {topology.nodes} of {topology.dense_nodes} nodes")

digits = nodepath.data.load("digits")
images, labels = digits.train.images / 255, digits.train.labels
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)

with masks.hold(model, optimizer):
    for epoch in range(3):
        for chosen in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

model.eval()
with torch.no_grad():
    right = (model(digits.test.images / 255).argmax(dim=1) == digits.test.labels).float().mean().item()
print(f"test accuracy {100 * right:.1f} %")

parameters = dict(model.named_parameters())
for name, mask in masks.items():
    assert parameters[name][~mask].eq(0).all(), name
print(f"pruned weights are exactly zero in all {len(masks)} layers; the state_dict has its usual keys")
