"""A mistake of the user's: exit code 2 and one line that says what, where, which value, and the way out."""

import pytest
import torch

PRUNE = ("prune", "lenet5", "--method", "erk", "-o", "m.safetensors")
TRAIN = ("train", "lenet5", "--data", "digits", "--method", "erk", "--sparsity", "0.9", "--epochs", "1", "-o", "OUT")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["nothing to do", "--help"]),
        (("frobnicate",), ["frobnicate", "--help"]),
        (("prune",), ["MODEL", "prune --help"]),
        (("measure", "lenet5", "--bad"), ["--bad"]),
        (("measure", "lenet6"), ["lenet6", "lenet5"]),
        (("measure", "lenet5", "--input", "3x3"), ["--input", "3x3", "3x32x32"]),
        (("measure", "lenet5", "--input", "1x8x8"), ["example input", "conv2"]),
        (("measure", "lenet5", "--masks", "none.safetensors"), ["none.safetensors"]),
        (("measure", "lenet5", "--convention", "other"), ["other", "exact", "paper"]),
        (("measure", "lenet5", "--resolution", "brick"), ["brick", "pixel", "channel"]),
        ((*PRUNE, "--sparsity", "0.9", "--resolution", "brick"), ["brick", "pixel", "channel"]),
        (("compare", "lenet5", "--sparsities", ".9", "--resolution", "brick", "-o", "out"), ["brick", "channel"]),
        (("measure", "lenet5", "--device", "abacus"), ["abacus"]),
        (("measure", "torch.nn:Identity"), ["--input"]),
        (("measure", "torch.nn:Identity", "--input", "1x2x2"), ["nothing to prune"]),
        (("measure", "timm:no_such_net"), ["no_such_net"]),
        ((*PRUNE, "--sparsity", "90"), ["90", "[0, 1)", "0.9"]),
        ((*PRUNE, "--sparsity", "abc"), ["--sparsity"]),
        ((*PRUNE, "--sparsity", "0.99999999"), ["keeps 0 of 61470"]),
        ((*PRUNE, "--sparsity", "0.9", "--exclude", "conv9*"), ["conv9*", "exclude"]),
        ((*PRUNE, "--sparsity", "0.9", "-O", "iterations=3"), ["erk", "iterations"]),
        ((*PRUNE, "--sparsity", "0.9", "-O", "iterations"), ["KEY=VALUE"]),
        ((*PRUNE, "--sparsity", "0.9", "--weights", "none.pt"), ["none.pt"]),
        ((*PRUNE, "--sparsity", "0.9", "--on-collapse", "shrug"), ["shrug", "keep-one"]),
        (("prune", "lenet5", "--method", "npb", "--sparsity", ".9", "-O", "alpha=2", "-o", "m"), ["alpha", "2"]),
        (("prune", "lenet5", "--method", "nbp", "--sparsity", ".9", "-o", "m"), ["nbp", "npb"]),
        (("prune", "lenet5", "--method", "snip", "--sparsity", ".9", "-o", "m.safetensors"), ["snip", "--data"]),
        (("prune", "lenet5", "--method", "erk", "--sparsity", ".9", "-o", "m.pt"), ["m.pt", ".safetensors"]),
        (
            ("train", "lenet5", "--data", "digits", "--method", "erk", "--epochs", "1", "-o", "O"),
            ["--sparsity", "dense"],
        ),
        (
            ("compare", "lenet5", "--sparsities", ".9", "--methods", "erk", "--bn", "odd", "-o", "out"),
            ["odd", "frozen"],
        ),
        (("compare", "lenet5", "--sparsities", ".9,9", "-o", "out"), ["--sparsities", "9"]),
        (("compare", "lenet5", "--sparsities", ",", "-o", "out"), ["--sparsities"]),
        (("compare", "lenet5", "--sparsities", ".9", "--methods", "snip", "-o", "out"), ["snip", "--data"]),
        (("compare", "lenet5", "--sparsities", ".9", "-o", "out.docx"), [".docx", ".html"]),
        (("report", "nowhere", "-o", "page.html"), ["nowhere"]),
        ((*TRAIN, "--lr", "-1"), ["lr", "-1"]),
        ((*TRAIN, "--schedule", "wavy"), ["wavy"]),
        (
            ("train", "lenet5", "--data", "nowhere", "--method", "erk", "--sparsity", ".9", "--epochs", "1", "-o", "O"),
            ["nowhere", "digits"],
        ),
        (
            ("train", "lenet5", "--data", "digits", "--method", "nbp", "--sparsity", ".9", "--epochs", "1", "-o", "O"),
            ["nbp", "npb"],
        ),
    ],
)
def test_a_mistake_ends_in_one_helpful_line(nodepath, arguments, words):
    outcome = nodepath(*arguments)
    assert outcome.code == 2
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("nodepath: ")
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in last, last


def test_with_json_a_mistake_leaves_stdout_empty(nodepath):
    outcome = nodepath("measure", "lenet6", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.complaint


def test_weights_of_another_model_are_refused_by_name(nodepath):
    torch.save({"conv1.weight": torch.zeros(1)}, "w.pt")
    outcome = nodepath(*PRUNE, "--sparsity", ".9", "--weights", "w.pt")
    assert outcome.code == 2
    assert "lacks 'conv1.bias'" in outcome.complaint


def test_weights_that_hold_code_are_refused(nodepath, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, ("ran", "w"))

    torch.save({"w": Attack()}, "w.pt")
    outcome = nodepath(*PRUNE, "--sparsity", ".9", "--weights", "w.pt")
    assert outcome.code == 2
    assert not (tmp_path / "ran").exists()


def test_a_truncated_mask_file_is_refused(nodepath, tmp_path):
    nodepath(*PRUNE, "--sparsity", ".9")
    whole = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(whole[: len(whole) // 2])
    outcome = nodepath("measure", "lenet5", "--masks", "m.safetensors")
    assert outcome.code == 2
    assert "m.safetensors" in outcome.complaint


def test_masks_of_another_model_are_refused_by_name(nodepath):
    nodepath(*PRUNE, "--sparsity", ".9")
    outcome = nodepath("measure", "lenet5", "--num-classes", "7", "--masks", "m.safetensors")
    assert outcome.code == 2
    assert "fc3.weight" in outcome.complaint


def test_a_mask_that_cuts_the_network_is_refused_and_leaves_no_file(nodepath, tmp_path):
    outcome = nodepath("prune", "vgg19", "--method", "magnitude", "--sparsity", "0.9999", "-o", "m.safetensors")
    assert outcome.code == 2
    assert "on_collapse='keep-one'" in outcome.complaint
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("place", ["/proc/x.html", "/proc/x/plane.svg", "/proc/folder"])
def test_an_unwritable_place_is_refused_before_any_pruning(nodepath, place):
    outcome = nodepath("compare", "lenet5", "--methods", "erk", "--sparsities", ".9", "-o", place)
    assert outcome.code == 2
    assert "/proc" in outcome.complaint
    assert "-o" in outcome.complaint


def test_a_factory_that_raises_ends_in_one_line(nodepath, tmp_path):
    (tmp_path / "boom_here.py").write_text("def boom():\n    raise RuntimeError('x\\ny')\n")
    outcome = nodepath("measure", "boom_here:boom", "--input", "3x8x8")
    assert outcome.code == 2
    assert "boom_here:boom" in outcome.complaint
    assert "RuntimeError: x y" in outcome.complaint


def test_a_model_that_cannot_be_trained_leaves_no_run_behind(nodepath, tmp_path):
    (tmp_path / "gives_dict.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(1024, 10)\n"
        "    def forward(self, x):\n"
        "        return {'y': self.fc(x.flatten(1))}\n"
    )
    outcome = nodepath(
        "train", "gives_dict:Net", "--input", "1x32x32", "--data", "digits", "--method", "erk", "--sparsity", ".5",
        "--epochs", "1", "-o", "OUT",
    )  # fmt: skip
    assert outcome.code == 2
    assert "logits" in outcome.complaint
    assert not list(tmp_path.glob("OUT/runs/*"))
