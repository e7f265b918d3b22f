"""`nodepath measure`."""

import math
from typing import Annotated, Any

import typer

import nodepath
from nodepath.cli import options as o
from nodepath.cli.console import answer
from nodepath.cli.subject import Subject

__all__ = ["measure", "topology_lines"]

EFFECTIVE = {False: "on some path", True: "on some path or steering one"}


def measure(
    model: o.Model,
    masks: o.Masks = None,
    convention: o.Convention = "exact",
    resolution: o.Resolution = "pixel",
    input: o.Input = None,
    num_classes: o.NumClasses = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show each layer.")] = False,
    device: o.Device = "cpu",
    json: o.Json = False,
) -> None:
    """Count the paths and nodes of a model, dense or masked."""
    subject = Subject.of(model, input=input, num_classes=num_classes, seed=0, device=device)
    kept = subject.load_masks(masks)
    topology = nodepath.measure(subject.model, subject.x, kept, convention=convention, resolution=resolution)
    lines = topology_lines(topology)
    answer(
        {"model": model, "input": list(subject.x.shape[1:]), "masks": masks, **topology.to_dict()},
        *lines,
        *([layer_table(topology)] if layers else []),
        as_json=json,
    )


def topology_lines(topology: nodepath.Topology) -> list[str]:
    """The numbers of a topology, for people."""
    paths = "none" if topology.log10_paths == -math.inf else f"10^{topology.log10_paths:.3f}"
    position = "-" if math.isnan(topology.position) else f"{topology.position:.3f}"
    lines = [
        f"kept      {topology.kept:,} of {topology.prunable:,} weights (sparsity {100 * topology.sparsity:.4g} %)",
        f"effective {topology.effective:,} weights {EFFECTIVE[topology.control > 0]} (effective sparsity "
        f"{100 * topology.effective_sparsity:.4g} %)",
        f"paths     {paths} (ratio {topology.path_ratio:.3f} to dense, 10^{topology.dense_log10_paths:.3f}, "
        f"resolution {topology.resolution})",
        f"nodes     {topology.nodes:,} of {topology.dense_nodes:,} (ratio {topology.node_ratio:.3f}, "
        f"convention {topology.convention})",
        f"width     {topology.effective_width:.1f} of {topology.dense_nodes:,} nodes really carry the paths; position "
        f"{position} (0 all nodes, 1 all paths)",
        f"cost      {topology.macs:,} multiply-adds a sample of {topology.dense_macs:,} dense",
    ]
    if topology.control:
        lines.append(
            f"control   {topology.control:,} of the effective weights and {topology.control_nodes:,} of the effective "
            "nodes steer paths and carry none"
        )
    if topology.unused:
        lines.append(f"unused    {', '.join(topology.unused)} (the forward pass never uses them on the input)")
    if topology.tied:
        lines.append(f"tied      {', '.join(topology.tied)} (an embedding owns them; not prunable)")
    return lines


def layer_table(topology: nodepath.Topology) -> Any:
    """One line a layer, as a rich table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    steers = topology.control > 0
    for heading in ("shape", "kept", "effective", *(["control"] if steers else []), "density %", "nodes", "width"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in topology.layers:
        table.add_row(
            Text(layer.name.removesuffix(".weight")),
            "x".join(map(str, layer.shape)),
            f"{layer.kept:,}",
            f"{layer.effective:,}",
            *([f"{layer.control:,}"] if steers else []),
            f"{100 * layer.kept / layer.prunable:.3g}",
            f"{layer.nodes}/{layer.all_nodes}" if layer.all_nodes else "-",
            f"{layer.effective_width:.1f}" if layer.all_nodes else "-",
        )
    return table
