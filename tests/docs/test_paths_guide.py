"""The guide to path counting: its table is the one that the code uses, its code prints what it says."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from documents import ROOT, blocks, python_of, table
from torch import Tensor, nn

import nodepath
from nodepath.errors import UnknownOperationError
from nodepath.paths import operations
from nodepath.paths.semantics import EXACT
from nodepath.paths.signal import Role, Signal
from nodepath.paths.site import dense
from nodepath.paths.table import _RULES, _named, rule_for
from nodepath.paths.tracer import PathTracer

GUIDE = ROOT / "docs" / "paths.md"
ROWS = table(GUIDE, "family")
RESOLUTIONS = [
    line for line in GUIDE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (\w|-)+ \| \w+ \| \d+", line)
]


def functions_of(name: str) -> list[Any]:
    """What a name of the table stands for: with a prefix itself, without one all functions of that name."""
    if "." not in name:
        return _named(name)
    first, *rest = name.split(".")
    found: Any = {"torch": torch, "Tensor": Tensor, "F": F, "nodepath": nodepath}[first]
    for part in rest:
        found = getattr(found, part)
    return [found if callable(found) else found.__get__]


def family_of(function: Any) -> str:
    module = rule_for(function).__module__
    assert module.startswith(operations.__name__), f"{function} has a rule that nodepath does not ship"
    return module.rsplit(".", 1)[1]


def shown() -> dict[str, set[Any]]:
    found = defaultdict(set)
    for family, names, *_ in ROWS:
        for name in re.findall(r"`([^`]+)`", names):
            functions = functions_of(name)
            assert functions, f"torch has no '{name}'"
            for function in functions:
                assert rule_for(function) is not None, f"the guide names '{name}', which has no rule"
                assert family_of(function) == family, name
                found[family].add(function)
    return found


class TestTheTableOfOperations:
    def test_every_name_has_a_rule_of_its_family(self):
        assert set(shown()) == {family_of(function) for function in _RULES}

    def test_every_rule_is_shown(self):
        found = shown()
        missing = {f for f in _RULES if family_of(f) != "queries" and f not in found[family_of(f)]}
        assert not missing, f"functions with a rule that docs/paths.md does not show: {missing}"

    def test_questions_are_shown_by_example_one_of_each_rule(self):
        rules = {rule_for(function) for function in shown()["queries"]}
        assert rules == {_RULES[f] for f in _RULES if family_of(f) == "queries"}

    def test_nothing_is_shown_twice(self):
        names = [name for _, cell, *_ in ROWS for name in re.findall(r"`([^`]+)`", cell)]
        assert len(names) == len(set(names))


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "alpha_dropout": (0.5, False),
    "batch_norm": (torch.zeros(2), torch.ones(2)),
    "clamp": (-1, 1),
    "clamp_max": (1,),
    "clamp_min": (0,),
    "clip": (-1, 1),
    "dropout": (0.5, False),
    "dropout1d": (0.5, False),
    "dropout2d": (0.5, False),
    "dropout3d": (0.5, False),
    "feature_alpha_dropout": (0.5, False),
    "group_norm": (1,),
    "layer_norm": ((4,),),
    "local_response_norm": (3,),
    "pow": (2,),
    "prelu": (torch.ones(1),),
    "rms_norm": ((4,),),
    "softmax": (-1,),
    "log_softmax": (-1,),
    "softmin": (-1,),
    "threshold": (0.5, 1.0),
    "to": (torch.float32,),
    "type": (torch.float32,),
    "type_as": (torch.zeros(()),),
    **{name: (torch.zeros(()),) for name in "eq ge greater greater_equal gt le less less_equal lt ne".split()},
}
CALLS = [
    pytest.param(name, role, zero, id=name)
    for family, names, _, role, zero, _ in ROWS
    for name in re.findall(r"`([^`]+)`", names)
    if family == "elementwise" and name not in {"cuda", "Tensor.data"}
]


def function_of(name: str) -> Any:
    return next(getattr(space, name) for space in (F, Tensor, torch.special, torch) if hasattr(space, name))


def traced(function: Any, before: Any, *arguments: Any) -> Signal:
    """What a function makes of an input that `before` was applied to."""
    tracer = PathTracer(nn.Module(), EXACT, {}, dense, torch.float32)
    x = tracer.source((1, 2, 4), torch.device("cpu"))
    with tracer:
        made = function(before(x), *arguments)
    signal = tracer.signal(made)
    assert signal is not None
    return signal


class TestElementwiseRows:
    @pytest.mark.parametrize(("name", "role", "zero"), CALLS)
    def test_role_and_zero_are_those_of_the_code(self, name, role, zero):
        own = Role.VALUE if role.startswith("kept") else Role[role.upper()]
        for before, arriving in ((lambda x: x, Role.VALUE), (torch.relu, Role.ACTIVATED)):
            signal = traced(function_of(name), before, *ARGUMENTS.get(name, ()))
            assert signal.role is max(own, arriving)
            assert signal.silent == zero.startswith("stays")
            assert torch.equal(signal.counts, torch.ones(1, 2, 4, dtype=torch.float64))

    @pytest.mark.parametrize(("name", "role", "zero"), [call for call in CALLS if call.values[2].startswith("stays")])
    def test_what_is_said_to_stay_zero_does(self, name, role, zero):
        sizes = (1, 2, 4, 4) if name in {"dropout2d", "dropout3d"} else (1, 2, 4)
        assert not function_of(name)(torch.zeros(sizes), *ARGUMENTS.get(name, ())).any()

    def test_conditions_of_the_table_hold(self):
        def same(x: Tensor) -> Tensor:
            return x

        assert not traced(torch.clamp, same, 1, 2).silent
        assert not traced(torch.pow, same, -1).silent
        assert traced(torch.pow, same, -1).role is Role.STEERING


def printed_by(program: str, folder) -> list[str]:
    """The lines that a program prints, in a process of its own: what it registers would stay in this one."""
    path = os.pathsep.join(part for part in (str(ROOT / "src"), os.environ.get("PYTHONPATH", "")) if part)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def said() -> Iterator[str]:
    """What the comments beside `print` promise, a line each."""
    for block in blocks(GUIDE, "python"):
        for line in block.text.splitlines():
            if line.strip().startswith("print("):
                assert "  # " in line, f"nobody says what is printed: {line}"
                yield from line.split("  # ")[1].split(", then ")


def test_the_code_of_the_guide_prints_what_its_comments_say(tmp_path):
    assert printed_by(python_of(GUIDE), tmp_path) == list(said())


def test_the_error_of_an_undeclared_product_is_the_one_shown():
    class Bilinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.by = nn.Linear(4, 8), nn.Linear(4, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.value(x) * self.by(x)

    with pytest.raises(UnknownOperationError) as raised:
        nodepath.measure(Bilinear(), torch.zeros(1, 4))
    (error,) = blocks(GUIDE, "text")
    assert str(raised.value).startswith(" ".join(error.text.split()).removesuffix(" ..."))


def counted(tmp_path, *models: str) -> list[str]:
    program = (ROOT / "examples" / "resolutions.py").read_text(encoding="utf-8")
    arguments = f"import sys\nsys.argv[1:] = {list(models)}\n"
    return [
        line for line in printed_by(arguments + program, tmp_path) if line.startswith(tuple(f"| {m} " for m in models))
    ]


@pytest.mark.slow
def test_the_table_of_resolutions_is_what_its_command_prints_for_resnet20(tmp_path):
    rows = counted(tmp_path, "resnet20")
    assert len(rows) == 7
    assert rows == [row for row in RESOLUTIONS if row.startswith("| resnet20 ")]


def cells(row: str) -> tuple[str, str, list[tuple[float, float, int, int, str]]]:
    """Method, sparsity, and for each resolution log10 paths, their ratio, nodes, width, weights."""
    _, method, percent, *counted = [cell.strip() for cell in row.strip("|").split("|")]
    found = []
    for paths, nodes, weights in (counted[:3], counted[3:]):
        log_paths, ratio = paths.strip(")").split(" (")
        number, width = nodes.strip(")").split(" (")
        found.append((float(log_paths), float(ratio), int(number), int(width), weights))
    return method, percent, found


def test_the_resolutions_differ_as_the_guide_says():
    ratios: dict[tuple[str, str], list[tuple[str, float, float]]] = defaultdict(list)
    gaps = []
    for row in RESOLUTIONS:
        method, percent, (pixel, channel) = cells(row)
        assert (pixel[2], pixel[4]) == (channel[2], channel[4]), row
        assert abs(pixel[1] - channel[1]) < 0.0395, row
        assert abs(pixel[3] - channel[3]) < 0.02 * pixel[3], row
        gaps.append(round(pixel[0] - channel[0], 1))
        ratios[row.split()[1], percent].append((method, pixel[1], channel[1]))
    assert (min(gaps), max(gaps)) == (0.9, 2.8)
    for rows in ratios.values():
        by_pixel, by_channel = (sorted(rows, key=lambda row: row[kind]) for kind in (1, 2))
        assert [method for method, *_ in by_pixel] == [method for method, *_ in by_channel]


@pytest.mark.slow
def test_the_table_of_resolutions_is_what_its_command_prints_for_the_larger(tmp_path):
    assert counted(tmp_path, "vgg19", "resnet18-tiny") == RESOLUTIONS[7:]
    assert len(RESOLUTIONS) == 21
