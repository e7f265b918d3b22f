"""Each command does what it says, for people and as one JSON document."""

import json

import pytest
import torch
from safetensors.torch import save_file

import nodepath as package
from nodepath.masks import MaskSet

GATED_LAYERS = {"gate", "value"}


def test_prune_writes_the_mask_that_the_library_makes(nodepath, tmp_path):
    outcome = nodepath(
        "prune",
        "lenet5",
        "--method",
        "synflow",
        "--sparsity",
        0.95,
        "-O",
        "iterations=5",
        "--seed",
        3,
        "-o",
        "m.safetensors",
    )
    assert outcome.code == 0
    model = package.models.create("lenet5", seed=3)
    masks = package.prune(model, torch.zeros(1, 1, 32, 32), "synflow", sparsity=0.95, seed=3, iterations=5)
    assert MaskSet.load(tmp_path / "m.safetensors") == masks
    assert "written to m.safetensors" in outcome.out
    assert outcome.err == ""


def test_measure_reads_the_mask_back(nodepath):
    written = nodepath(
        "prune", "lenet5", "--method", "erk", "--sparsity", 0.9, "-o", "m.safetensors", "--json"
    ).document
    measured = nodepath("measure", "lenet5", "--masks", "m.safetensors", "--json").document
    assert written["topology"]["nodes"] == measured["nodes"]
    assert measured["kept"] == written["kept"] == round(0.1 * 61_470)
    assert measured["convention"] == "exact"


def test_measure_speaks_in_both_conventions(nodepath):
    nodes = {
        c: nodepath("measure", "resnet20", "--convention", c, "--json").document["nodes"] for c in ("exact", "paper")
    }
    assert nodes == {"exact": 797, "paper": 701}


def test_measure_speaks_in_both_resolutions(nodepath):
    model, x = package.models.create("lenet5", seed=0), torch.zeros(1, 1, 32, 32)
    counted = {}
    for resolution in ("pixel", "channel"):
        counted[resolution] = nodepath("measure", "lenet5", "--resolution", resolution, "--json").document
        assert counted[resolution]["resolution"] == resolution
        assert counted[resolution]["log10_paths"] == package.measure(model, x, resolution=resolution).log10_paths
        assert f"resolution {resolution}" in nodepath("measure", "lenet5", "--resolution", resolution).out
    assert counted["channel"]["log10_paths"] < counted["pixel"]["log10_paths"]


@pytest.fixture
def gated(tmp_path):
    (tmp_path / "gated.py").write_text(
        "import torch\n"
        "class Gated(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.gate, self.value = torch.nn.Linear(4, 8), torch.nn.Linear(4, 8)\n"
        "        self.spare = torch.nn.Linear(4, 8)\n"
        "    def forward(self, x):\n"
        "        x = x.flatten(1)\n"
        "        return self.gate(x).sigmoid() * self.value(x)\n"
        "def make(num_classes=2): return Gated()\n"
    )
    return "gated:make", "--input", "1x2x2"


def test_measure_shows_what_steers_apart(nodepath, gated):
    shown = nodepath("measure", *gated, "--layers").out
    assert "control   32 of the effective weights and 8 of the effective nodes steer paths and carry none" in shown
    assert "64 weights on some path or steering one" in shown
    rows = {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if words and words[0] in GATED_LAYERS}
    assert rows["gate"] == ["8x4", "32", "32", "32", "100", "8/8", "0.0"]
    assert rows["value"] == ["8x4", "32", "32", "0", "100", "8/8", "8.0"]
    assert "unused    spare.weight" in shown


def test_measure_says_nothing_of_control_where_nothing_steers(nodepath):
    shown = nodepath("measure", "lenet5", "--layers").out
    assert "control" not in shown
    assert "weights on some path (" in shown


def test_prune_and_compare_count_in_the_resolution_that_is_asked_for(nodepath):
    arguments = ("--method", "synflow", "-O", "iterations=5", "--sparsity", 0.95, "-o", "m.safetensors", "--json")
    model, x = package.models.create("convnet4", seed=0), torch.zeros(1, 1, 32, 32)
    hashes = set()  # borders are padded, which pixels see and channels do not
    for resolution in ("pixel", "channel"):
        document = nodepath("prune", "convnet4", "--resolution", resolution, *arguments).document
        masks = package.prune(model, x, "synflow", sparsity=0.95, iterations=5, resolution=resolution)
        assert document["hash"] == masks.hash
        assert document["topology"] == package.measure(model, x, masks, resolution=resolution).to_dict()
        hashes.add(masks.hash)
        compare = ("compare", "convnet4", "--methods", "npb", "--sparsities", ".9", "-o", "p.json", "--json")
        (result,) = nodepath(*compare, "--resolution", resolution).document["results"]
        masks = package.prune(model, x, "npb", sparsity=0.9, resolution=resolution, on_collapse="warn")
        assert (result["hash"], result["topology"]["resolution"]) == (masks.hash, resolution)
        assert result["mask_origin"]["protocol"]["resolution"] == resolution
    assert len(hashes) == 2


def test_measure_shows_layers_on_request(nodepath):
    assert "conv2" not in nodepath("measure", "lenet5").out
    assert "conv2" in nodepath("measure", "lenet5", "--layers").out


def test_measure_takes_other_inputs_and_classes(nodepath):
    document = nodepath("measure", "resnet20", "--input", "1x28x28", "--num-classes", 7, "--json").document
    assert document["input"] == [1, 28, 28]
    assert document["prunable"] == 270_896 - 2 * 16 * 9 - 3 * 64


def test_prune_scores_with_data(nodepath):
    outcome = nodepath(
        "prune", "lenet5", "--method", "snip", "--sparsity", 0.9, "--data", "digits", "-o", "m.safetensors", "--json"
    )
    assert outcome.code == 0
    assert outcome.document["metadata"]["protocol"]["samples"] == 100
    assert outcome.document["metadata"]["protocol"]["bn"] == "eval-identity"


def test_prune_loads_weights(nodepath):
    other = package.models.create("lenet5", seed=9)
    save_file(other.state_dict(), "w.safetensors")
    torch.save(other.state_dict(), "w.pt")
    arguments = ("--method", "magnitude", "--sparsity", 0.9, "-o", "m.safetensors", "--json")
    hashes = {
        nodepath("prune", "lenet5", *arguments, "--weights", file).document["hash"]
        for file in ("w.safetensors", "w.pt")
    }
    assert hashes == {package.prune(other, torch.zeros(1, 1, 32, 32), "magnitude", sparsity=0.9).hash}


def test_a_factory_beside_the_user_is_found(nodepath, tmp_path):
    (tmp_path / "beside_me.py").write_text(
        "from torch import nn\ndef make(num_classes=2):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, num_classes))\n"
    )
    document = nodepath("measure", "beside_me:make", "--input", "3x8x8", "--json").document
    assert document["prunable"] == 3 * 4 * 9 + 4 * 36 * 2


def test_compare_draws_every_method_that_needs_no_data_and_names_the_others(nodepath, tmp_path):
    outcome = nodepath("compare", "lenet5", "--sparsities", ".97", "-o", "out")
    assert outcome.code == 0
    with_data = [name for name in package.methods.names() if package.methods.needs_batch(name)]
    assert f"skipped, for want of data: {', '.join(with_data)};" in outcome.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"plane.html", "plane.svg", "plane.json"}
    rows = json.loads((tmp_path / "out" / "plane.json").read_text())
    data_free = [name for name in package.methods.names() if not package.methods.needs_batch(name)]
    assert {(row["method"], row["sparsity"]) for row in rows} == {(m, 0.97) for m in data_free}


def test_compare_uses_data_where_there_are_any(nodepath):
    document = nodepath(
        "compare", "lenet5", "--methods", "snip,erk", "--sparsities", "0.9", "--data", "digits", "-o", "p.png", "--json"
    ).document
    assert [result["method"] for result in document["results"]] == ["snip", "erk"]
    assert document["files"] == ["p.png"]
    assert len(document["results"][0]["mask_origin"]["protocol"]["batch"]) == 16
    assert "collapse" in document["results"][0]["mask_origin"]
    assert document["skipped"] == []


@pytest.fixture
def two_runs(nodepath):
    for method in ("erk", "dense"):
        sparsity = 0.9 if method == "erk" else 0
        outcome = nodepath(
            "train",
            "lenet5",
            "--data",
            "digits",
            "--method",
            method,
            "--sparsity",
            sparsity,
            "--epochs",
            1,
            "--lr",
            0.05,
            "-o",
            "OUT",
        )
        assert outcome.code == 0
        assert "accuracy" in outcome.out
        assert outcome.err == ""  # no bar in a pipe


def test_train_leaves_records_that_report_turns_into_a_page(nodepath, two_runs, tmp_path):
    assert len(list((tmp_path / "OUT" / "runs").glob("*/result.json"))) == 2
    outcome = nodepath("report", "OUT", "-o", "page.html", "--json")
    assert outcome.document["runs"] == 2
    page = (tmp_path / "page.html").read_text()
    assert "lenet5 on digits" in page
    assert "https://cdn" not in page


def test_train_again_is_refused_and_resume_takes_the_record(nodepath, two_runs):
    arguments = (
        "train",
        "lenet5",
        "--data",
        "digits",
        "--method",
        "erk",
        "--sparsity",
        0.9,
        "--epochs",
        1,
        "--lr",
        0.05,
        "-o",
        "OUT",
    )
    refused = nodepath(*arguments)
    assert refused.code == 2
    assert "--resume" in refused.complaint
    again = nodepath(*arguments, "--resume", "--json")
    assert again.code == 0
    assert again.document["method"] == "erk"


def test_runs_of_other_recipes_are_not_averaged(nodepath, two_runs):
    nodepath(
        "train",
        "lenet5",
        "--data",
        "digits",
        "--method",
        "erk",
        "--sparsity",
        0.9,
        "--epochs",
        2,
        "--lr",
        0.05,
        "-o",
        "OUT",
    )
    rows = nodepath("report", "OUT", "-o", "page.html", "--json").document["rows"]
    assert {row["setting"] for row in rows} == {"epochs 1", "epochs 2"}


@pytest.mark.parametrize(("command", "key"), [("methods", "methods"), ("models", "models"), ("data", "data")])
def test_lists_name_what_there_is(nodepath, command, key):
    names = {entry["name"] for entry in nodepath(command, "--json").document[key]}
    assert names == set(getattr(package, key).names())
    shown = nodepath(command).out
    assert all(name in shown for name in names)


def test_version_and_help(nodepath):
    assert nodepath("--version").out == f"nodepath {package.__version__}\n"
    assert nodepath("--help").code == 0
    assert "MODEL" in nodepath("measure", "--help").out
