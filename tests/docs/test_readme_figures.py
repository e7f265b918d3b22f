"""Every figure of the README is what its command gives."""

import math
import re
import shlex
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

import pytest
import torch
from documents import ROOT, blocks, commands, table

import nodepath as package
from nodepath.errors import TransformedWeightError, UnknownOperationError

README = ROOT / "README.md"
COMPARE = next(words for words in commands(README, "nodepath") if words[:2] == ["compare", "resnet20"])


def test_the_dense_counts_are_those_of_their_commands(nodepath):
    for command, weights, paths, nodes in table(README, "command"):
        counted = nodepath(*shlex.split(command.strip("`"))[1:], "--json").document
        shown = (f"{counted['prunable']:,}", f"{counted['log10_paths']:.3f}", str(counted["nodes"]))
        assert shown == (weights, paths, nodes), command


def test_the_pruned_ratios_are_those_of_the_command_and_near_the_published(nodepath, tmp_path):
    results = nodepath(*COMPARE, "--json").document["results"]
    ratios = {(r["method"], r["sparsity"]): (r["topology"]["node_ratio"], r["topology"]["path_ratio"]) for r in results}
    for method, sparsity, published, as_ratios, here in table(README, "method"):
        own = ratios[method, float(sparsity.strip(" %")) / 100]
        assert ", ".join(f"{ratio:.3f}" for ratio in own) == here, (method, sparsity)
        nodes, paths = map(float, published.split(","))
        theirs = (nodes / 701, math.log10(paths) / 49.335)
        assert ", ".join(f"{ratio:.3f}" for ratio in theirs) == as_ratios, (method, sparsity)
        assert own == (pytest.approx(theirs[0], abs=0.03), pytest.approx(theirs[1], abs=0.01))  # as the README says
    for picture in (ROOT / "docs" / "plane.svg", tmp_path / "plane.svg"):
        assert in_order(marks(picture)) == pytest.approx(in_order(ratios.values()), abs=0.004), picture


def in_order(points: Iterable[tuple[float, float]]) -> list[float]:
    """The coordinates of points, in an order that small differences do not change."""
    return [number for point in sorted(points, key=lambda point: (round(point[0], 2), point[1])) for number in point]


def marks(picture) -> Iterator[tuple[float, float]]:
    """Node and path ratios of the marks in a plane, whose axes run from 0 to 1."""
    svg = "{http://www.w3.org/2000/svg}"
    axes = ElementTree.parse(picture).getroot().find(f".//{svg}g[@id='axes_1']")
    frame = [float(n) for n in re.findall(r"[\d.]+", axes.find(f"{svg}g/{svg}path").get("d"))]
    left, bottom, right, top = frame[0], frame[1], frame[2], frame[5]
    for group in axes.findall(f"{svg}g"):
        for mark in group.findall(f".//{svg}use") if group.get("id").startswith("PathCollection") else []:
            x, y = float(mark.get("x")), float(mark.get("y"))
            yield (x - left) / (right - left), (y - bottom) / (top - bottom)


def test_the_table_of_methods_names_each_once():
    cells = " ".join(methods for _, methods in table(README, "what they look at"))
    assert sorted(re.findall(r"`([^`]+)`", cells)) == package.methods.names()


class Routed(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


def test_what_is_said_to_be_missing_is_missing():
    computed = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 2))
    with pytest.raises(TransformedWeightError):
        package.measure(computed, torch.zeros(1, 4))
    with pytest.raises(UnknownOperationError):
        package.measure(Routed(4, 2), torch.zeros(1, 4))
    for name in ("shrink", "sparsify"):
        assert not hasattr(package, name), f"nodepath.{name} is there now: say so in the README"


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(nodepath):
    shown = blocks(README, "text")[0].text
    printed = nodepath("demo").out
    quoted, real = rows(shown), rows(printed)
    assert len(quoted) == 8
    for key, cells in quoted.items():
        *accuracies, nodes, paths, position, macs = cells
        assert [nodes, paths, position, macs] == real[key][-4:], key
        mean, spread = accuracies[1], float(accuracies[2].strip("±"))
        assert float(real[key][1]) == pytest.approx(float(mean), abs=max(5, 2 * spread)), key  # machines differ
    words = [line.split() for line in printed.splitlines()]
    for heading in shown.splitlines()[:2]:  # widths follow the figures, and machines differ
        assert heading.split() in words


def rows(text: str) -> dict[tuple[str, str], list[str]]:
    """Sparsity and method -> the cells after them."""
    found, sparsity = {}, ""
    for line in text.splitlines():
        words = line.replace(" %", "%").split()
        if words and re.fullmatch(r"[\d.]+%", words[0]):
            sparsity = words.pop(0)
        if sparsity and words and re.fullmatch(r"\d+", words[1] if len(words) > 7 else ""):
            found[sparsity, words[0]] = words[1:]
    return found
