"""Of all methods, those that refuse are reported; a named one that refuses ends the command."""

import json

import pytest

import nodepath as package

LEVELS = ("--sparsities", "0.5,0.6", "-o", "out")
REASON = "gates or attention steer them"


@pytest.fixture
def attention(tmp_path):
    (tmp_path / "attention_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__()\n"
        "        self.embed = nn.Linear(32, 4)\n"
        "        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)\n"
        "        self.head = nn.Linear(4, num_classes)\n"
        "    def forward(self, x):\n"
        "        tokens = self.embed(x.flatten(1, 2))\n"
        "        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)\n"
        "        return self.head(mixed.mean(1))\n"
    )
    return "attention_net:Net", "--input", "1x32x32", "--data", "digits"


@pytest.fixture
def normed(tmp_path):
    (tmp_path / "normed_net.py").write_text(
        "from torch import nn\n"
        "def make(num_classes=10):\n"
        "    layers = nn.Flatten(), nn.Linear(1024, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, num_classes)\n"
        "    return nn.Sequential(*layers)\n"
    )
    return "normed_net:make", "--input", "1x32x32"


@pytest.fixture
def three_methods(monkeypatch):
    monkeypatch.setattr(package.methods, "names", lambda: ["fisher", "erk", "px"])


@pytest.mark.usefixtures("three_methods")
def test_all_methods_go_on_after_one_that_refuses(nodepath, attention, tmp_path):
    outcome = nodepath("compare", *attention, *LEVELS, "--json")
    document = outcome.document
    levels = [(method, level) for method in ("fisher", "erk") for level in (0.5, 0.6)]
    assert [(found["method"], found["sparsity"]) for found in document["results"]] == levels
    assert document["skipped"] == []
    assert [(found["method"], found["sparsity"]) for found in document["refused"]] == [("px", 0.5), ("px", 0.6)]
    assert all(REASON in found["reason"] for found in document["refused"])
    assert "nodepath: refused: px at 50 %, 60 %: px follows paths" in outcome.err
    assert "refused: px at 50 %, 60 %: px follows paths" in (tmp_path / "out" / "plane.html").read_text()


@pytest.mark.usefixtures("three_methods")
def test_the_page_names_the_methods_that_want_data(nodepath, normed, tmp_path):
    assert nodepath("compare", *normed, *LEVELS, "--json").document["skipped"] == ["fisher", "px"]
    assert "skipped, for want of data: fisher, px; pass --data D" in (tmp_path / "out" / "plane.html").read_text()


@pytest.mark.usefixtures("three_methods")
def test_an_option_that_one_method_refuses_leaves_the_others(nodepath, normed):
    document = nodepath("compare", *normed, *LEVELS, "--data", "digits", "--bn", "train-batch", "--json").document
    assert [found["method"] for found in document["refused"]] == ["fisher", "fisher"]
    assert {found["method"] for found in document["results"]} == {"erk", "px"}


@pytest.mark.usefixtures("three_methods")
def test_what_every_method_refuses_is_a_mistake(nodepath, normed, tmp_path):
    outcome = nodepath("compare", *normed, *LEVELS, "--bn", "odd")
    assert outcome.code == 2
    assert "odd" in outcome.err.splitlines()[-1]
    assert not (tmp_path / "out" / "plane.html").exists()


def test_a_named_method_that_refuses_ends_the_command_but_not_what_was_done(nodepath, attention, tmp_path):
    outcome = nodepath("compare", *attention, *LEVELS, "--methods", "erk,px,fisher", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "method 'px' at 50 %" in outcome.complaint
    assert REASON in outcome.complaint
    assert "out/plane.json" in outcome.complaint
    rows = json.loads((tmp_path / "out" / "plane.json").read_text())
    assert [(row["method"], row["sparsity"]) for row in rows] == [("erk", 0.5), ("erk", 0.6)]


def test_a_named_method_that_refuses_at_once_leaves_no_file(nodepath, attention, tmp_path):
    outcome = nodepath("compare", *attention, *LEVELS, "--methods", "px,erk")
    assert outcome.code == 2
    assert REASON in outcome.complaint
    assert not (tmp_path / "out" / "plane.html").exists()
