import hashlib
import json
import pickle
import subprocess
import sys

import pytest

from nodepath.errors import ArgumentError
from nodepath.runs import RunSpec

FIELDS = {"model": "lenet5", "data": "digits", "method": "snip", "sparsity": 0.9, "train": {"epochs": 2}}


def spec(**changes) -> RunSpec:
    return RunSpec(**{**FIELDS, **changes})


def test_the_hash_is_short_hexadecimal_and_the_same_in_another_process():
    code = f"from nodepath.runs import RunSpec; print(RunSpec(**{FIELDS!r}).hash)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spec().hash
    assert len(spec().hash) == 16
    int(spec().hash, 16)


def test_the_hash_never_changes_from_version_to_version():
    # run directories are found again by it: a change here orphans every user's records
    canonical = b'{"data":"digits","method":"snip","model":"lenet5","sparsity":0.9,"train":{"epochs":2}}'
    assert spec().hash == hashlib.sha256(canonical).hexdigest()[:16] == "35942a9aed4f5fcb"


def test_the_hash_does_not_depend_on_order_nor_on_defaults_spelled_out():
    expected = spec(seed=3).hash
    assert RunSpec(**dict(reversed(list(FIELDS.items()))), seed=3).hash == expected
    full = spec(seed=3).model_dump(mode="json")
    assert set(full) == set(RunSpec.model_fields)
    assert RunSpec(**full).hash == expected
    assert RunSpec(**json.loads(json.dumps(full))).hash == expected
    assert spec(seed=3, weight_seed=3, mask_seed=3, order_seed=3, augment_seed=3).hash == expected
    assert spec(seed=3, train={"epochs": 2, "lr": 0.1, "crop": 0.125}).hash == expected


def test_whole_numbers_hash_the_same_with_and_without_a_decimal_point():
    assert spec(sparsity=0).hash == spec(sparsity=0.0).hash
    assert spec(options={"alpha": 1}).hash == spec(options={"alpha": 1.0}).hash
    assert spec(options={"alpha": True}).hash != spec(options={"alpha": 1}).hash


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "resnet20"},
        {"data": "elsewhere"},
        {"method": "erk"},
        {"options": {"iterations": 3}},
        {"sparsity": 0.91},
        {"seed": 1},
        {"weight_seed": 1},
        {"mask_seed": 1},
        {"order_seed": 1},
        {"augment_seed": 1},
        {"train": {"epochs": 3}},
        {"train": {"epochs": 2, "milestones": [0.5]}},
        {"input": [1, 28, 28]},
        {"num_classes": 10},
        {"label_column": "fine"},
        {"bn": "frozen"},
        {"on_collapse": "error"},
    ],
)
def test_whatever_changes_the_run_changes_the_hash(changes):
    assert spec(**changes).hash != spec().hash
    assert spec(**changes) != spec()


def test_every_field_is_covered_by_the_test_above():
    covered = {next(iter(mark)) for mark in test_whatever_changes_the_run_changes_the_hash.pytestmark[0].args[1]}
    assert covered == set(RunSpec.model_fields)


def test_particular_seeds_default_to_the_seed():
    given = spec(seed=5, order_seed=7)
    assert [given.seed_of(purpose) for purpose in ("weight", "mask", "order", "augment")] == [5, 5, 7, 5]
    assert spec(seed=5, weight_seed=0).seed_of("weight") == 0


def test_a_spec_survives_pickle_and_json():
    given = spec(options={"a": [1, None, "x"]}, input=(1, 28, 28))
    assert pickle.loads(pickle.dumps(given)) == given
    assert RunSpec(**json.loads(given.model_dump_json())) == given
    assert len({given, RunSpec(**json.loads(given.model_dump_json()))}) == 1


def test_options_are_a_copy_of_the_callers():
    options = {"patterns": ["a"]}
    given = spec(options=options)
    options["patterns"].append("b")
    assert given.options == {"patterns": ["a"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": 90}, "sparsity=90"),
        ({"sparsity": float("nan")}, "sparsity=nan"),
        ({"sparsity": -0.1}, "sparsity=-0.1"),
        ({"sparsity": "0.9"}, "sparsity='0.9'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"model": ""}, "model=''"),
        ({"sede": 1}, "'sede'; did you mean 'seed'"),
        ({"train": {"epochs": 2, "momentun": 1}}, "'momentun'; did you mean 'momentum'"),
        ({"train": {}}, "'epochs' is missing"),
        ({"train": 3}, "train=3"),
        ({"input": [32, 32]}, "input"),
        ({"input": [0, 32, 32]}, "input.0=0"),
        ({"on_collapse": "ignore"}, "on_collapse='ignore'"),
        ({"options": {"seed": 1}}, "options.seed is a field of the run itself"),
        ({"options": {"scores": {}}}, "options.scores is no option of a method"),
        ({"options": {"alpha": float("nan")}}, "alpha"),
        ({"method": "dense"}, "method 'dense' with sparsity=0.9"),
        ({"method": "dense", "sparsity": 0, "options": {"a": 1}}, "1 option"),
    ],
)
def test_a_bad_field_is_named_in_one_line(changes, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        spec(**changes)
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named():
    with pytest.raises(ArgumentError, match="'train' is missing"):
        RunSpec(model="lenet5", data="digits", method="erk", sparsity=0.9)


def test_the_json_schema_names_every_field():
    schema = RunSpec.model_json_schema()
    assert set(schema["properties"]) == set(RunSpec.model_fields)
    assert schema["required"] == ["model", "data", "method", "sparsity", "train"]
