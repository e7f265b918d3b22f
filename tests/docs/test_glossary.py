"""The glossary says what the design and the code say."""

import math
import re

import pytest
import torch
from documents import ROOT, table

import nodepath

GLOSSARY = ROOT / "docs" / "glossary.md"
DESIGN = ROOT.parent / "shared" / "DESIGN.md"


def meanings(path) -> dict[str, str]:
    return {row[0]: "|".join(row[1:]) for row in table(path, "word")}


@pytest.mark.skipif(not DESIGN.exists(), reason="the design lies beside the repository only while it is developed")
class TestAgainstTheDesign:
    def test_every_word_of_the_design_is_explained(self):
        assert set(meanings(DESIGN)) <= set(meanings(GLOSSARY))

    def test_names_and_numbers_are_those_of_the_design(self):
        design = "\n".join(meanings(DESIGN).values())
        for word in set(meanings(DESIGN)) & set(meanings(GLOSSARY)):
            for token in re.findall(r"`[^`]+`|\b\d{2,}\b", meanings(GLOSSARY)[word]):
                assert token in design, (word, token)

    @pytest.mark.parametrize(
        "phrase",
        [
            "fraction of prunable weights removed",
            "each output channel of each prunable layer, and each input channel of the network",
            "exp of the entropy of its nodes' shares of all paths",
            "sum over layers of log effective width",
            "keep pruned weights at exactly zero through training",
        ],
    )
    def test_definitions_are_those_of_the_design(self, phrase):
        assert phrase in "\n".join(meanings(DESIGN).values())
        assert phrase in "\n".join(meanings(GLOSSARY).values())


@pytest.fixture(scope="module")
def pruned():
    model, x = nodepath.models.create("resnet20", seed=0), torch.zeros(1, 3, 32, 32)
    masks = nodepath.prune(model, x, method="erk", sparsity=0.98)
    return {name: nodepath.measure(model, x, masks, convention=name) for name in ("exact", "paper")}


def test_resnet20_has_the_nodes_that_the_glossary_names(pruned):
    exact, paper = map(int, re.findall(r"\((?:ResNet-20: )?(\d+)\)", meanings(GLOSSARY)["node"]))
    assert (pruned["exact"].dense_nodes, pruned["paper"].dense_nodes) == (exact, paper)


def test_ratios_width_and_position_are_what_the_glossary_says(pruned):
    topology = pruned["exact"]
    log_paths = topology.log10_paths * math.log(10)
    log_widths = sum(math.log(layer.effective_width) for layer in topology.layers)
    assert topology.path_ratio == pytest.approx(topology.log10_paths / topology.dense_log10_paths)
    assert topology.node_ratio == pytest.approx(topology.nodes / topology.dense_nodes)
    assert topology.position == pytest.approx(log_paths / (log_paths + log_widths), abs=0.01)
