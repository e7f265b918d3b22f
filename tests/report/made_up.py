"""Results as runs and `compare` write them, with made-up but likely numbers."""

import math
import random
from typing import Any

METHODS = ("erk", "magnitude", "npb", "random", "snip", "synflow")
SPARSITIES = (0.9, 0.97, 0.99)
# Node ratio and path ratio at 90 % sparsity, and the share of accuracy lost there.
_NATURE = {
    "erk": (0.97, 0.80, 0.045),
    "magnitude": (0.80, 0.76, 0.06),
    "npb": (0.93, 0.86, 0.03),
    "random": (0.94, 0.74, 0.055),
    "snip": (0.78, 0.79, 0.05),
    "synflow": (0.62, 0.90, 0.06),
}


def topology(nodes: float, paths: float, sparsity: float) -> dict[str, Any]:
    """What `Topology.to_dict` gives for a net of two layers, 1000 weights each, 30 dense multiply-adds in all."""
    kept = round(1000 * (1 - sparsity))
    layers = [
        {"name": "conv.weight", "prunable": 1000, "kept": kept, "macs": 20 * kept},
        {"name": "head.weight", "prunable": 1000, "kept": kept, "macs": 10 * kept},
    ]
    return {
        "convention": "exact",
        "log10_paths": 20 * paths if paths else None,
        "path_ratio": paths,
        "nodes": round(400 * nodes),
        "node_ratio": nodes,
        "effective_width": 380 * nodes,
        "position": 0.4 + 0.2 * paths if paths else None,
        "effective_sparsity": min(1.0, sparsity + 0.001) if paths else 1.0,
        "macs": 30 * kept,
        "dense_macs": 30_000,
        "layers": layers,
    }


def result(method: str, sparsity: float, seed: int, **changes: Any) -> dict[str, Any]:
    """One run's `result.json`."""
    noise = random.Random(f"{method} {sparsity} {seed}")
    nodes, paths, loss = _NATURE.get(method, (1.0, 1.0, 0.02))
    decades = -math.log10(1 - sparsity) - 1 if sparsity else 0
    collapsed = method == "snip" and sparsity == 0.99
    nodes = nodes - 0.35 * decades + noise.uniform(-0.01, 0.01) if method != "dense" else 1.0
    paths = paths - 0.3 * decades + noise.uniform(-0.01, 0.01) if method != "dense" else 1.0
    if collapsed:
        nodes = paths = 0.0
    accuracy = 0.1 if collapsed else 1 - loss - 0.11 * decades**2 + noise.uniform(-0.012, 0.012)
    document = {
        "model": "lenet5",
        "data": "digits",
        "method": method,
        "sparsity": sparsity,
        "seed": seed,
        "accuracy_last": accuracy,
        "accuracy_best": min(1.0, accuracy + 0.004),
        "best_epoch": 3,
        "seconds": noise.uniform(4, 7),
        "kept": 1,
        "topology": topology(nodes, paths, sparsity),
    }
    return {**document, **changes}


def study(**changes: Any) -> list[dict[str, Any]]:
    """6 methods x 3 sparsities x 2 seeds and the dense control; snip has no path at 99 %."""
    runs = [result(m, s, seed, **changes) for m in METHODS for s in SPARSITIES for seed in (0, 1)]
    return runs + [result("dense", 0.0, seed, **changes) for seed in (0, 1)]


def comparison() -> list[dict[str, Any]]:
    """What `compare` knows: no data, no seed, no accuracy."""
    return [
        {"model": "lenet5", "method": run["method"], "sparsity": run["sparsity"], "topology": run["topology"]}
        for run in study()
        if run["method"] != "dense" and run["seed"] == 0
    ]
