import json
import pathlib
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from nodepath import models
from nodepath.data import Split, score_batch
from nodepath.errors import ArgumentError, DataError, RunError, UnknownNameError
from nodepath.masks import MaskSet
from nodepath.methods import prune
from nodepath.paths import measure
from nodepath.runs import RunSpec, execute, network_for, read_records, unfinished
from nodepath.train import Checkpoint

FILES = {"spec.json", "env.json", "metrics.jsonl", "masks.safetensors", "weights.safetensors", "result.json"}


class Interrupted(BaseException):
    pass


def spec(**changes) -> RunSpec:
    train = {"epochs": 2, "batch_size": 64, "lr": 0.05}
    fields = {"model": "lenet5", "data": "digits", "method": "erk", "sparsity": 0.9, "train": train}
    return RunSpec(**{**fields, **changes})


def stop(record):
    raise Interrupted


def interrupted(root, few, given):
    with pytest.raises(Interrupted):
        execute(given, root, dataset=few, on_epoch=stop)
    return root / "runs" / given.hash


def without_times(record):
    return [replace(epoch, seconds=0) for epoch in record.metrics]


def same_weights(left, right):
    a, b = left.weights(), right.weights()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_its_record_in_one_directory_named_by_the_hash(few, tmp_path):
    given = spec()
    record = execute(given, tmp_path, dataset=few)
    assert record.path == tmp_path / "runs" / given.hash
    assert {path.name for path in record.path.iterdir()} == FILES
    result = json.loads((record.path / "result.json").read_text())
    assert dict(record.result) == result
    assert (result["model"], result["data"], result["method"]) == ("lenet5", "digits", "erk")
    assert (result["sparsity"], result["seed"], result["dense"], result["hash"]) == (0.9, 0, False, given.hash)
    accuracies = [epoch.test_accuracy for epoch in record.metrics]
    assert result["accuracy_last"] == accuracies[-1]
    assert result["accuracy_best"] == max(accuracies)
    assert result["best_epoch"] == 1 + accuracies.index(max(accuracies))
    assert result["seconds"] == sum(epoch.seconds for epoch in record.metrics) > 0
    lines = (record.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [epoch.to_dict() for epoch in record.metrics]
    assert [epoch.epoch for epoch in record.metrics] == [1, 2]
    assert record.spec == given


def test_the_record_tells_the_topology_of_the_mask_before_training_in_both_conventions(few, tmp_path):
    record = execute(spec(sparsity=0.97), tmp_path, dataset=few)
    model, x, masks = models.create("lenet5", in_channels=1), torch.zeros(1, 1, 32, 32), record.masks()
    for key, convention in (("topology", "exact"), ("topology_paper", "paper")):
        expected = measure(model, x, masks, convention=convention).to_dict()
        assert record.result[key] == json.loads(json.dumps(expected))
        assert record.result[key]["convention"] == convention
    assert record.result["kept"] == masks.kept == round(0.03 * 61470)
    assert record.result["mask_hash"] == masks.hash


def test_last_and_best_accuracy_are_told_apart(few, tmp_path):
    # every test label is wrong: the more is learned, the less is right
    wrong = replace(few, test=Split(few.train.images, (few.train.labels + 1) % 10))
    train = {"epochs": 6, "batch_size": 32, "lr": 0.05, "crop": 0}
    record = execute(spec(train=train), tmp_path, dataset=wrong)
    accuracies = [epoch.test_accuracy for epoch in record.metrics]
    assert accuracies[-1] < max(accuracies)
    assert record.result["accuracy_last"] == accuracies[-1]
    assert record.result["accuracy_best"] == max(accuracies)
    assert record.result["best_epoch"] == 1 + accuracies.index(max(accuracies))


def test_pruned_weights_are_exactly_zero_at_the_end(few, tmp_path):
    record = execute(spec(), tmp_path, dataset=few)
    weights, masks = record.weights(), record.masks()
    assert all(torch.all(weights[name][~mask] == 0) for name, mask in masks.items())
    assert all(torch.any(weights[name][mask] != 0) for name, mask in masks.items())


def test_the_environment_tells_versions_machine_and_command(few, tmp_path):
    environment = execute(spec(), tmp_path, dataset=few).environment()
    assert environment["torch"] == torch.__version__
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["threads"] == 1
    assert environment["command"] == sys.argv
    assert {"nodepath", "platform", "cpu", "git_commit", "device"} <= set(environment)


def test_dense_trains_all_weights_as_the_control(few, tmp_path):
    record = execute(spec(method="dense", sparsity=0), tmp_path, dataset=few)
    assert record.result["dense"]
    assert record.result["kept"] == record.result["prunable"] == 61470
    assert record.masks().sparsity == 0
    assert record.result["topology"]["path_ratio"] == 1


def test_a_method_that_needs_data_scores_10_images_a_class_normalised_and_drawn_by_the_mask_seed(few, tmp_path):
    first = execute(spec(method="snip"), tmp_path, dataset=few)
    images, labels, _ = score_batch(few.train, per_class=10, seed=0)
    inputs = (images / 255 - few.mean[0]) / few.std[0]
    model = models.create("lenet5", in_channels=1, seed=0)
    assert first.masks() == prune(model, inputs[:1], method="snip", sparsity=0.9, batch=(inputs, labels))
    assert first.masks().metadata["protocol"]["samples"] == 100
    other = execute(spec(method="snip", mask_seed=1), tmp_path, dataset=few)
    assert other.masks() != first.masks()


def test_the_order_and_augment_seeds_leave_masks_and_initial_weights_alone(few, tmp_path):
    runs = {
        name: execute(spec(method="snip", **changes), tmp_path, dataset=few)
        for name, changes in (("base", {}), ("order", {"order_seed": 1}), ("augment", {"augment_seed": 1}))
    }
    # SNIP's mask depends on every initial weight
    assert runs["order"].masks() == runs["base"].masks() == runs["augment"].masks()
    assert not same_weights(runs["order"], runs["base"])
    assert not same_weights(runs["augment"], runs["base"])


def test_the_weight_and_mask_seeds_each_act_alone(few, tmp_path):
    base = execute(spec(), tmp_path, dataset=few)
    weights = execute(spec(weight_seed=1), tmp_path, dataset=few)
    masks = execute(spec(mask_seed=1), tmp_path, dataset=few)
    assert weights.masks() == base.masks() != masks.masks()
    assert not same_weights(weights, base)


def test_the_same_spec_gives_the_same_record_times_apart(few, tmp_path):
    first, second = (execute(spec(method="snip"), tmp_path / name, dataset=few) for name in "ab")
    assert without_times(first) == without_times(second)
    assert same_weights(first, second)
    assert first.masks() == second.masks()


def test_an_interrupted_run_resumes_bit_identical_with_each_epoch_once(few, tmp_path):
    whole = execute(spec(), tmp_path / "whole", dataset=few)
    directory = interrupted(tmp_path / "cut", few, spec())
    assert not (directory / "result.json").exists()
    assert unfinished(tmp_path / "cut") == [directory]
    assert read_records(tmp_path / "cut") == []
    seen = []
    resumed = execute(spec(), tmp_path / "cut", dataset=few, resume=True, on_epoch=seen.append)
    assert [record.epoch for record in seen] == [2]
    assert [record.epoch for record in resumed.metrics] == [1, 2]
    assert without_times(resumed) == without_times(whole)
    assert same_weights(resumed, whole)
    assert {path.name for path in directory.iterdir()} == FILES
    assert len(resumed.environment()["interrupted"]) == 1


def test_a_run_killed_at_any_write_is_whole_and_resumes_bit_identical(few, tmp_path, monkeypatch):
    whole = execute(spec(), tmp_path / "whole", dataset=few)
    rename, written = pathlib.Path.replace, []

    for moment in range(100):
        root = tmp_path / str(moment)
        done = []

        def killed(self, target, done=done, moment=moment):
            if len(done) == moment:
                raise Interrupted
            done.append(target.name)
            return rename(self, target)

        monkeypatch.setattr(pathlib.Path, "replace", killed)
        try:
            execute(spec(), root, dataset=few)
        except Interrupted:
            assert not (root / "runs" / spec().hash / "result.json").exists()
        else:
            written = done
        monkeypatch.setattr(pathlib.Path, "replace", rename)
        resumed = execute(spec(), root, dataset=few, resume=True)
        assert same_weights(resumed, whole)
        assert without_times(resumed) == without_times(whole)
        assert {path.name for path in resumed.path.iterdir()} == FILES
        if written:
            break
    assert written[-1] == "result.json"
    assert set(written[:-1]) == (FILES | {"checkpoint.safetensors"}) - {"result.json"}


def test_a_run_that_is_really_killed_resumes_bit_identical(digits, tmp_path):
    given = spec(train={"epochs": 2, "batch_size": 128, "lr": 0.05})
    code = (
        "import os, signal, torch\n"
        "from nodepath.runs import RunSpec, execute\n"
        "torch.set_num_threads(1)\n"
        f"execute(RunSpec(**{given.model_dump(mode='json')!r}), {str(tmp_path / 'cut')!r},\n"
        "        on_epoch=lambda record: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    directory = tmp_path / "cut" / "runs" / given.hash
    assert Checkpoint.load(directory / "checkpoint.safetensors").epochs == 1
    (directory / ".result.json.0123.tmp").write_text("a draft that a kill left")
    resumed = execute(given, tmp_path / "cut", resume=True)
    whole = execute(given, tmp_path / "whole", dataset=digits)
    assert same_weights(resumed, whole)
    assert {path.name for path in directory.iterdir()} == FILES


def test_resume_with_nothing_there_starts_afresh(few, tmp_path):
    assert [epoch.epoch for epoch in execute(spec(), tmp_path, dataset=few, resume=True).metrics] == [1, 2]


def test_a_finished_run_is_not_done_again(few, tmp_path):
    record = execute(spec(), tmp_path, dataset=few)
    times = {path.name: path.stat().st_mtime_ns for path in record.path.iterdir()}
    with pytest.raises(RunError, match=r"finished; pass --resume .* -o") as caught:
        execute(spec(), tmp_path, dataset=few)
    assert str(record.path) in str(caught.value)
    again = execute(spec(), tmp_path, resume=True, on_epoch=stop)
    assert again.result == record.result
    assert {path.name: path.stat().st_mtime_ns for path in record.path.iterdir()} == times


def test_an_interrupted_run_is_not_overwritten(few, tmp_path):
    directory = interrupted(tmp_path, few, spec())
    before = (directory / "checkpoint.safetensors").read_bytes()
    with pytest.raises(RunError, match="interrupted; pass --resume"):
        execute(spec(), tmp_path, dataset=few)
    assert (directory / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["spec.json", "env.json", "masks.safetensors", "checkpoint.safetensors"])
def test_a_damaged_file_of_an_interrupted_run_is_named(few, tmp_path, name):
    path = interrupted(tmp_path, few, spec()) / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        execute(spec(), tmp_path, dataset=few, resume=True)


def test_masks_exchanged_behind_a_checkpoint_are_noticed(few, tmp_path):
    directory = interrupted(tmp_path, few, spec())
    masks = MaskSet.load(directory / "masks.safetensors")
    MaskSet({name: ~mask for name, mask in masks.items()}).save(directory / "masks.safetensors")
    with pytest.raises(RunError, match="masks was"):
        execute(spec(), tmp_path, dataset=few, resume=True)


@pytest.mark.parametrize("end", [False, True])
def test_a_spec_written_under_other_defaults_is_noticed(few, tmp_path, end):
    path = (execute(spec(), tmp_path, dataset=few).path if end else interrupted(tmp_path, few, spec())) / "spec.json"
    path.write_text(path.read_text().replace('"momentum": 0.9', '"momentum": 0.8'))
    with pytest.raises(RunError, match=r"spec\.json has another train than asked"):
        execute(spec(), tmp_path, dataset=few, resume=True)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "lenet6"}, UnknownNameError, "'lenet5'"),
        ({"method": "sinp"}, UnknownNameError, "'snip'"),
        ({"data": "no/such/folder"}, DataError, "no/such/folder"),
        ({"num_classes": 5}, ArgumentError, "num_classes=5 .* 10 classes"),
        ({"options": {"nonsense": 1}}, ArgumentError, "nonsense"),
        ({"label_column": "fine"}, DataError, "label_column"),
    ],
)
def test_a_spec_that_cannot_be_done_leaves_no_directory(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        execute(spec(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


FACTORIES = """
from torch import nn

def plain():
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10))

def sized(num_classes, in_channels=1):
    return nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.Linear(16 * in_channels, 12), nn.Linear(12, num_classes))
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "users_nets.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "users_nets"
    sys.modules.pop("users_nets", None)


def test_a_users_factory_needs_an_input_size_and_gets_what_its_signature_takes(few, tmp_path, factories):
    with pytest.raises(ArgumentError, match="--input 1x32x32"):
        execute(spec(model=f"{factories}:plain"), tmp_path, dataset=few)
    plain = execute(spec(model=f"{factories}:plain", input=(1, 32, 32), sparsity=0.5), tmp_path / "o", dataset=few)
    assert plain.result["prunable"] == 16 * 12 + 12 * 10
    sized = execute(spec(model=f"{factories}:sized", input=(3, 28, 28), sparsity=0.5), tmp_path / "o", dataset=few)
    assert sized.result["prunable"] == 48 * 12 + 12 * 10
    assert sized.result["input_size"] == [3, 28, 28]


def test_images_are_stretched_for_a_model_made_for_another_size(few, tmp_path):
    record = execute(spec(model="mlp-6x100", sparsity=0.5), tmp_path, dataset=few)
    assert record.result["input_size"] == [1, 28, 28]


def test_grey_images_fit_torchvision_networks_whose_first_layer_is_fixed(few):
    pytest.importorskip("torchvision")
    model, size = network_for("torchvision:squeezenet1_1", dataset=few)
    assert size == (3, 224, 224)
    assert model(torch.zeros(1, *size)).shape == (1, 10)
