"""Which models are measured and pruned: `python -m bench.reach` writes docs/reach.md.

Every classification model of torchvision, and of every timm family the model with the fewest parameters, each at its
own input size, with fresh weights, in a process of its own. Nothing is downloaded.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

import nodepath
from bench.isolation import Failure, isolated

PAGE = Path("docs/reach.md")
KEPT = Path("build/reach.jsonl")
SIZES = Path("build/reach-sizes.json")
"""Parameters of timm's models, which take minutes to count."""
HUGE = 100_000_000
"""Models of more parameters are measured in channel resolution alone."""
WIDE = 640
"""As are those of a larger side of the input: attention between all of its pixels takes minutes."""
HUNGER = "SynFlow takes up to 30 bytes a weight"
PATIENCE = 900
"""Seconds that one model may take."""
OTHERS = 8
"""Where the smallest model of a family is refused, so many of the next ones are tried."""
DECLARED = {"csatv2": "*.attn.attn", "focalnet": "*.modulation.h"}
"""Family -> modules whose output is declared to be a control, where a refused model multiplies two unmarked factors."""

YES = "yes"


@dataclass(frozen=True)
class Row:
    """What came of one model.

    Attributes:
        model: `torchvision:NAME` or `timm:NAME`.
        family: The module of timm that holds it, or "torchvision".
        size: Of the input, channels first.
        parameters, prunable: How many.
        resolution: In which the counts are.
        log10_paths, nodes, control_nodes: Of the dense model.
        dead: Weights of the dense model that lie on no path and steer none.
        pixel, channel: Seconds of `measure`; None: not measured.
        erk, synflow: `YES` if the masks at sparsity 0.9 were made and measured; an error's line if not.
        error: Why it is not measured; empty if it is.
        declared: The modules whose output was declared to be a control; empty: none.
        setting: Machine and versions that it was measured with.
    """

    model: str
    family: str
    size: tuple[int, ...] = ()
    parameters: int = 0
    prunable: int = 0
    resolution: str = ""
    log10_paths: float = 0.0
    nodes: int = 0
    control_nodes: int = 0
    dead: int = 0
    pixel: float | None = None
    channel: float | None = None
    erk: str = "no"
    synflow: str = "no"
    error: str = ""
    declared: str = ""
    setting: str = ""

    @property
    def measured(self) -> bool:
        """Whether it was measured."""
        return not self.error

    @property
    def reached(self) -> bool:
        """Whether it was measured, and pruned by both methods."""
        return self.measured and self.erk == self.synflow == YES


def torchvision_names() -> list[str]:
    """All classification models, smallest first."""
    from torchvision import models

    names = models.list_models(module=models)
    return sorted(names, key=lambda name: int(models.get_model_weights(name).DEFAULT.meta["num_params"]))


def timm_families() -> dict[str, list[str]]:
    """Module -> the models that it defines; deprecated names are second names of others."""
    import timm
    from timm.models import _registry

    current = set(timm.list_models())
    return {family: sorted(current & names) for family, names in sorted(_registry._module_to_models.items())}


def parameters(names: list[str]) -> dict[str, int]:
    """How many each of timm's models has, fewest first."""
    import timm

    key = f"timm {version('timm')}"
    known = json.loads(SIZES.read_text()) if SIZES.exists() else {}
    sizes: dict[str, int] = known.get(key, {})
    for name in names:
        if name not in sizes:
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")
                sizes[name] = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
    SIZES.parent.mkdir(exist_ok=True)
    SIZES.write_text(json.dumps({key: sizes}))
    return dict(sorted(((name, sizes[name]) for name in names), key=lambda item: (item[1], item[0])))


def examine(row: Row) -> Row:
    """Build, measure, prune and measure again, in this process."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = nodepath.models.create(row.model, seed=0)
    size = nodepath.models.describe(row.model).input_size
    assert size is not None
    for name, module in model.named_modules():
        if fnmatch(name, row.declared):
            module.register_forward_hook(lambda _module, _inputs, output: nodepath.paths.control(output))
    x = torch.zeros(1, *size)
    row = replace(
        row,
        size=size,
        parameters=sum(p.numel() for p in model.parameters()),
        setting=setting("torch", "torchvision", "timm"),
    )
    resolutions = ["channel"] if row.parameters > HUGE or max(size) > WIDE else ["channel", "pixel"]
    for resolution in resolutions:
        began = time.perf_counter()
        try:
            topology = nodepath.measure(model, x, resolution=resolution)
        except Exception as error:  # a table of what fails shows everything that does
            return replace(row, error=Failure.of(error))
        seconds = time.perf_counter() - began
        row = replace(
            row,
            prunable=topology.prunable,
            resolution=resolution,
            log10_paths=topology.log10_paths,
            nodes=topology.nodes,
            control_nodes=topology.control_nodes,
            dead=topology.prunable - topology.effective,
            **{resolution: seconds},  # type: ignore[arg-type]
        )
    erk = _pruned(model, x, "erk", row.resolution)
    synflow = _pruned(model, x, "synflow", "channel", iterations=10)
    return replace(row, erk=erk, synflow=synflow)


def _pruned(model: torch.nn.Module, x: torch.Tensor, method: str, resolution: str, **options: Any) -> str:
    try:
        masks = nodepath.prune(model, x, method, sparsity=0.9, on_collapse="warn", resolution=resolution, **options)
        topology = nodepath.measure(model, x, masks, resolution=resolution)
    except Exception as error:
        return Failure.of(error)
    return YES if topology.effective > 0 else "no path is left"


def _isolated(row: Row) -> Row:
    made = isolated(partial(examine, row), PATIENCE)
    return replace(row, error=f"{made}; {HUNGER}" if "memory" in made else made) if isinstance(made, Failure) else made


def rows(pattern: str, known: dict[str, Row]) -> Iterator[Row]:
    """One model after the other, small ones first; those in `known` are not run again.

    Args:
        pattern: `fnmatch`, of a model's or a family's name.
        known: Model -> row.
    """

    def row(model: str, family: str, declared: str = "") -> Row:
        return known.get(model + declared) or _isolated(Row(model, family, declared=declared))

    def wanted(*names: str) -> bool:
        return any(fnmatch(name, pattern) for name in names)

    families = timm_families().items()
    asked = {f: parameters(names) for f, names in families if wanted(f, *(f"timm:{name}" for name in names))}
    for family, sizes in sorted(asked.items(), key=lambda item: min(item[1].values())):
        first, *others = sizes
        smallest = row(f"timm:{first}", family)
        yield smallest
        if smallest.measured:
            continue
        if family in DECLARED:
            yield row(f"timm:{first}", family, DECLARED[family])
            continue
        for name in others[:OTHERS]:
            other = row(f"timm:{name}", family) if sizes[name] <= HUGE else smallest
            if other.measured:
                yield other
                break
    for name in torchvision_names():
        if wanted("torchvision", f"torchvision:{name}"):
            yield row(f"torchvision:{name}", "torchvision")


def page(found: list[Row]) -> str:
    """The tables, as Markdown."""
    by_family = groupby(sorted(found, key=_order), key=lambda row: row.family)
    theirs = [list(group) for family, group in by_family if family != "torchvision"]
    torchvision = [row for row in found if row.family == "torchvision"]
    families, names = timm_families(), torchvision_names()
    open_ones = [f"timm's {family}" for family in families if family not in {group[0].family for group in theirs}]
    open_ones += [f"torchvision:{name}" for name in names if f"torchvision:{name}" not in {r.model for r in found}]
    smallest = sum(any(row.reached and not row.declared for row in group[:1]) for group in theirs)
    undeclared = sum(any(row.reached and not row.declared for row in group) for group in theirs)
    any_of = sum(any(row.reached for row in group) for group in theirs)
    refused = [row for row in found if not row.reached]
    partly = [row for row in found if row.measured and row.dead]
    settings = sorted({row.setting for row in found if row.setting}, key=[row.setting for row in found].count)[::-1]
    marks = dict(zip(settings, ("", *"†‡§"), strict=False))
    count = f"{sum(row.reached for row in torchvision)} of {len(names)}"
    lines = [
        "# Models reached",
        "",
        "Measured, and pruned to sparsity 0.9 by `erk` and by `synflow` (10 iterations, channel resolution), end to "
        f"end: **{count}** classification models of torchvision, and of **{any_of} of the {len(families)} families of "
        f"timm** ({_percent(any_of, len(families))}) a model.",
        "",
        f"- {smallest} ({_percent(smallest, len(families))}) by the model with the fewest parameters, as it is.",
        f"- {undeclared - smallest} by the next of the family, of at most {OTHERS}, since that one is refused.",
        f"- {any_of - undeclared} once a factor is declared to be a control, where the model multiplies two that "
        "nothing tells apart: from outside, as a user would, by a hook on a module "
        "(`module.register_forward_hook(lambda m, i, o: nodepath.paths.control(o))`): "
        + "; ".join(f"{family}: `{pattern}`" for family, pattern in DECLARED.items())
        + f". Without that, {undeclared} families ({_percent(undeclared, len(families))}) are reached.",
        "",
        "What is refused ends in a typed error, [below](#refused)."
        + (f" Not run yet, and counted as not reached: {', '.join(open_ones)}." if open_ones else ""),
        "",
        f"`python -m bench.reach`, {time.strftime('%Y-%m-%d')}, one thread: "
        + "; ".join(f"{setting}{f' (marked {mark})' if mark else ''}" for setting, mark in marks.items())
        + ". Each model as "
        "its library builds it without weights, at its own input size. Counts are in pixel resolution; for models of "
        f"more than {HUGE // 10**6} million parameters or inputs of more than {WIDE} pixels a side, marked *, in "
        "channel resolution. Seconds are one call of `measure`, the count of the dense model for the ratios included; "
        "the machine was shared.",
        "",
        "## timm",
        "",
        *_table([row for group in theirs for row in group], marks, family=True),
        "",
        "## torchvision",
        "",
        *_table(torchvision, marks, family=False),
        "",
        "## Refused",
        "",
        *[f"- `{row.model}`: {row.error or f'erk: {row.erk}; synflow: {row.synflow}'}" for row in refused],
    ]
    if partly:
        lines += [
            "",
            "## Dead in the dense model",
            "",
            "Weights that no input reaches, or that reach no output: queries of a class token that is still a constant "
            "read nothing of the input.",
            "",
            *[f"- `{row.model}`: {row.dead:,} of {row.prunable:,}" for row in partly],
        ]
    return "\n".join(lines) + "\n"


def _table(table: list[Row], marks: dict[str, str], *, family: bool) -> Iterator[str]:
    heads = (
        "model | parameters | prunable | log10 paths | nodes | of them control | pixel, s | channel, s | erk | synflow"
    )
    yield f"| {'family | ' if family else ''}{heads} |"
    yield "|---" * (11 if family else 10) + "|"
    for row in table:
        first = f"{row.family} | " if family else ""
        name = row.model.partition(":")[2] + ("*" if row.resolution == "channel" else "")
        name += marks.get(row.setting, "") + (" (declared)" if row.declared else "")
        if row.measured:
            cells = f"{row.prunable:,} | {row.log10_paths:.2f} | {row.nodes:,} | {row.control_nodes:,}"
            cells += f" | {_seconds(row.pixel)} | {_seconds(row.channel)}"
            cells += "".join(" | yes" if each == YES else " | no" for each in (row.erk, row.synflow))
        else:
            cells = f"refused: {row.error.partition(':')[0]}" + " | " * 7
        yield f"| {first}{name} | {row.parameters:,} | {cells} |"


def _order(row: Row) -> tuple[str, bool, int]:
    return row.family, row.measured, row.parameters


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def setting(*packages: str) -> str:
    """The processor, and versions of packages."""
    return ", ".join([_machine(), *(f"{name} {version(name)}" for name in packages)])


def _machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def main() -> None:
    """Write the page; rows are kept as they come, so that `--resume` goes on where a run was stopped."""
    parser = argparse.ArgumentParser(prog="python -m bench.reach", description=__doc__)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="models or families, such as 'timm:vit_*'")
    parser.add_argument("--resume", action="store_true", help=f"take what {KEPT} holds as it is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = {}
    if arguments.resume and KEPT.exists():
        for line in KEPT.read_text().splitlines():
            row = Row(**json.loads(line))
            known[row.model + row.declared] = replace(row, size=tuple(row.size))
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text("".join(json.dumps(asdict(row)) + "\n" for row in known.values()))
    found = dict(known)
    for row in rows(arguments.only, known):
        if row.model + row.declared not in known:
            with KEPT.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        found[row.model + row.declared] = row
        if arguments.only == "*":  # after each, so that a run that is stopped leaves what it found
            PAGE.write_text(page(list(found.values())))
        print(f"{row.model:<44} {row.error or f'erk {row.erk}, synflow {row.synflow}'}", file=sys.stderr, flush=True)
    if arguments.only != "*":
        print(page([row for row in found.values() if row.model + row.declared not in known]))


if __name__ == "__main__":
    main()
