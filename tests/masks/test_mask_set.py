import copy
import hashlib
import json
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from nodepath.errors import ArgumentError, MaskMismatchError
from nodepath.masks import LayerCount, MaskSet

KEEP_A = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.bool)
KEEP_B = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)

# `sha256sum` of the stream of `two_layers()`, written with the shell's printf. Files carry such hashes: it must stay.
GOLDEN = "5641ebcc919143532db2281c0a14c066ca110f951c43972afcc461fa40049c2d"


def two_layers() -> MaskSet:
    return MaskSet({"a": KEEP_A, "b": KEEP_B})


def test_counts_speak_of_its_own_entries():
    masks = two_layers()
    assert (masks.kept, masks.total) == (6, 15)
    assert masks.sparsity == 9 / 15
    assert masks.density == 1 - 9 / 15
    assert dict(masks.layers) == {"a": LayerCount((2, 3), 3, 6), "b": LayerCount((9,), 3, 9)}
    assert masks.layers["b"].sparsity == 6 / 9
    assert masks.layers["a"].density == 0.5


def test_is_a_mapping_in_the_order_given():
    masks = MaskSet({"z": KEEP_A, "a": KEEP_B})
    assert list(masks) == ["z", "a"]
    assert len(masks) == 2
    assert "z" in masks
    assert "q" not in masks
    assert masks.get("q") is None
    with pytest.raises(KeyError):
        masks["q"]
    assert masks["z"].dtype == torch.bool
    assert torch.equal(masks["z"], KEEP_A)


def test_empty_mask_set_removes_nothing():
    masks = MaskSet({})
    assert (masks.kept, masks.total, masks.sparsity, masks.density, len(masks)) == (0, 0, 0.0, 1.0, 0)
    assert masks == MaskSet({})
    assert masks.overlap(MaskSet({})).total == 1.0
    assert (masks | masks).total == 0
    assert MaskSet({"none": torch.zeros(0, 3, dtype=torch.bool)}).sparsity == 0.0
    masks.apply_(nn.Linear(2, 2))


def test_masks_are_contiguous_whatever_they_were_made_from():
    assert MaskSet({"a": KEEP_A.t()})["a"].is_contiguous()


def test_zero_dimensional_mask_is_one_weight():
    assert MaskSet({"scale": torch.tensor(0.0)}).sparsity == 1.0
    assert MaskSet({"scale": torch.tensor(1.0)}).kept == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64])
def test_accepts_exact_zeros_and_ones_of_any_dtype(dtype):
    assert MaskSet({"a": KEEP_A.to(dtype)}) == MaskSet({"a": KEEP_A})


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan"), float("inf")])
def test_refuses_other_values_and_names_the_entry(value):
    mask = KEEP_A.float()
    mask[1, 2] = value
    with pytest.raises(MaskMismatchError, match=rf"'layer1\.conv' holds {value}"):
        MaskSet({"fine": KEEP_B, "layer1.conv": mask})


def test_refuses_what_is_no_dense_tensor():
    with pytest.raises(MaskMismatchError, match="'x' is a list"):
        MaskSet({"x": [1, 0]})  # type: ignore[dict-item]
    with pytest.raises(MaskMismatchError, match=r"'x' is a torch\.sparse_coo"):
        MaskSet({"x": KEEP_A.float().to_sparse()})


def test_later_changes_to_the_source_do_not_reach_it():
    source = KEEP_A.clone()
    metadata = {"options": {"alpha": 0.5}}
    masks = MaskSet({"a": source}, metadata)
    digest = masks.hash
    source.zero_()
    metadata["options"]["alpha"] = 9.0
    assert torch.equal(masks["a"], KEEP_A)
    assert MaskSet(masks).hash == digest
    assert masks.metadata == {"options": {"alpha": 0.5}}


@pytest.mark.parametrize("look_first", [False, True])
def test_changes_to_what_it_hands_out_do_not_reach_it(look_first):
    masks = MaskSet({"a": KEEP_A}, {"options": {"alpha": 0.5}})
    if look_first:
        _ = masks.hash, masks.kept
    masks["a"].fill_(1)
    masks["a"].numpy()[:] = True
    for mask in masks.values():
        mask.logical_not_()
    masks.to("cpu")["a"].zero_()
    masks.metadata["options"]["alpha"] = 9.0
    assert masks.kept == 3
    assert masks == MaskSet({"a": KEEP_A})
    assert masks.hash == MaskSet({"a": KEEP_A}).hash
    assert masks.metadata["options"]["alpha"] == 0.5
    with pytest.raises(TypeError):
        masks.layers["a"] = LayerCount((1,), 1, 1)  # type: ignore[index]
    with pytest.raises(TypeError):
        masks["a"] = KEEP_A  # type: ignore[index]


def test_hash_is_what_its_docstring_says():
    def number(value: int) -> bytes:
        return value.to_bytes(8, "little")

    stream = number(1) + b"a" + number(2) + number(2) + number(3) + bytes([0b100101])
    stream += number(1) + b"b" + number(1) + number(9) + bytes([0b00000011, 0b1])
    assert two_layers().hash == hashlib.sha256(stream).hexdigest()
    assert two_layers().hash == GOLDEN


def test_hash_and_equality_ignore_order_metadata_and_memory_layout():
    masks = two_layers()
    same = MaskSet({"b": KEEP_B, "a": KEEP_A.t().contiguous().t()}, {"method": "snip"})
    assert same == masks
    assert same.hash == masks.hash
    assert hash(same) == hash(masks)
    assert len({same, masks}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"a": KEEP_A},
        {"a": KEEP_A, "c": KEEP_B},
        {"a": KEEP_A.reshape(3, 2), "b": KEEP_B},
        {"a": ~KEEP_A, "b": KEEP_B},
        {"a": KEEP_A, "b": torch.cat([KEEP_B, torch.tensor([False])])},
    ],
)
def test_hash_and_equality_see_names_shapes_and_bits(other):
    assert MaskSet(other) != two_layers()
    assert MaskSet(other).hash != two_layers().hash


def test_is_not_equal_to_a_plain_dict():
    assert two_layers() != {"a": KEEP_A, "b": KEEP_B}


def test_hash_is_the_same_in_another_process():
    code = (
        "import torch; from nodepath.masks import MaskSet;"
        "a = torch.tensor([[1, 0, 1], [0, 0, 1]]); b = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 1]);"
        "m = MaskSet({'b': b, 'a': a}); print(m.hash, hash(m))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == [two_layers().hash, str(hash(two_layers()))]


def test_survives_pickle_and_deepcopy():
    masks = MaskSet({"a": KEEP_A, "b": KEEP_B}, {"seed": 3})
    for twin in (pickle.loads(pickle.dumps(masks)), copy.deepcopy(masks), copy.copy(masks)):
        assert twin == masks
        assert twin.hash == masks.hash
        assert twin.metadata == {"seed": 3}


def test_metadata_is_json_ready():
    masks = MaskSet({}, {"method": "npb", "options": {"alpha": 0.5, "bounds": (1, 2)}, "seed": 0, "note": None})
    assert json.loads(json.dumps(masks.metadata)) == masks.metadata
    assert masks.metadata["options"]["bounds"] == [1, 2]
    assert MaskSet({}).metadata == {}


@pytest.mark.parametrize("value", [float("nan"), torch.ones(1), {1, 2}])
def test_metadata_that_is_no_json_is_refused_with_its_key(value):
    with pytest.raises(ArgumentError, match="metadata 'strange'"):
        MaskSet({}, {"fine": 1, "strange": value})


def test_metadata_keys_are_strings():
    with pytest.raises(ArgumentError, match="metadata key 3"):
        MaskSet({}, {3: 1})  # type: ignore[dict-item]


def test_and_keeps_what_both_keep_and_or_what_either_keeps():
    left = MaskSet({"a": torch.tensor([1, 1, 0, 0])}, {"method": "x"})
    right = MaskSet({"a": torch.tensor([1, 0, 1, 0])}, {"method": "y"})
    assert torch.equal((left & right)["a"], torch.tensor([1, 0, 0, 0], dtype=torch.bool))
    assert torch.equal((left | right)["a"], torch.tensor([1, 1, 1, 0], dtype=torch.bool))
    assert (left & right).metadata == {"operation": "and", "operands": [{"method": "x"}, {"method": "y"}]}
    assert (left | right).metadata["operation"] == "or"
    assert left == MaskSet({"a": torch.tensor([1, 1, 0, 0])})


def _binary():
    return {
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "overlap": lambda a, b: a.overlap(b),
    }


@pytest.mark.parametrize("operation", ["and", "or", "overlap"])
def test_mask_sets_of_different_weights_do_not_mix(operation):
    act = _binary()[operation]
    with pytest.raises(MaskMismatchError, match="'b' is in the left"):
        act(two_layers(), MaskSet({"a": KEEP_A}))
    with pytest.raises(MaskMismatchError, match="'b' is in the right"):
        act(MaskSet({"a": KEEP_A}), two_layers())
    with pytest.raises(MaskMismatchError, match=r"'a' has shape \(2, 3\).*\(3, 2\)"):
        act(two_layers(), MaskSet({"a": KEEP_A.t(), "b": KEEP_B}))


def test_operators_leave_other_types_alone():
    with pytest.raises(TypeError):
        two_layers() & {"a": KEEP_A}  # type: ignore[operator]
    with pytest.raises(TypeError):
        two_layers() | {"a": KEEP_A}  # type: ignore[operator]


def test_overlap_is_the_jaccard_index_in_all_and_by_layer():
    left = MaskSet({"a": torch.tensor([1, 1, 0, 0]), "b": torch.tensor([0, 0]), "c": torch.tensor([1, 1])})
    right = MaskSet({"c": torch.tensor([0, 0]), "a": torch.tensor([1, 0, 1, 0]), "b": torch.tensor([0, 0])})
    overlap = left.overlap(right)
    assert overlap.layers == {"a": 1 / 3, "b": 1.0, "c": 0.0}
    assert overlap.total == 1 / 5
    assert left.overlap(left).total == 1.0
    assert str(overlap).splitlines() == ["all  0.2000", "a    0.3333", "b    1.0000", "c    0.0000"]


def test_repr_says_how_much_is_kept():
    assert repr(two_layers()) == "MaskSet(2 layers, 6 of 15 weights kept, sparsity 0.6)"


def test_to_keeps_bits_and_metadata():
    masks = MaskSet({"a": KEEP_A}, {"seed": 1})
    moved = masks.to(torch.device("cpu"))
    assert moved == masks
    assert moved.metadata == {"seed": 1}
    assert masks.to("meta")["a"].device.type == "meta"


class TestApply:
    def masks(self) -> MaskSet:
        return MaskSet({"weight": KEEP_A})

    def test_sets_pruned_weights_to_exact_zero_and_leaves_the_rest(self):
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        bias = model.bias.detach().clone()
        parameter = model.weight
        self.masks().apply_(model)
        assert model.weight is parameter
        assert model.weight.requires_grad
        assert torch.equal(model.weight, torch.where(KEEP_A, before, 0.0))
        assert torch.equal(model.bias, bias)

    def test_mends_weights_that_are_not_finite(self):
        model = nn.Linear(3, 2)
        with torch.no_grad():
            model.weight.copy_(torch.where(KEEP_A, 1.0, float("nan")))
        self.masks().apply_(model)
        assert torch.equal(model.weight, KEEP_A.float())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_takes_any_float_dtype(self, dtype):
        model = nn.Linear(3, 2).to(dtype)
        self.masks().apply_(model)
        assert int(torch.count_nonzero(model.weight)) == 3

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"0.weights": KEEP_A}, r"no parameter '0\.weights' \(the nearest is '0\.weight'\)"),
            ({"1.weight": torch.ones(2, 4)}, r"mask '1\.weight' has shape \(2, 4\), the model's parameter \(4, 2\)"),
            ({"1.weight": KEEP_A}, r"mask '1\.weight' has shape \(2, 3\), the model's parameter \(4, 2\)"),
        ],
    )
    def test_refuses_another_model_before_touching_anything(self, bad: dict[str, Tensor], message: str):
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
        before = copy.deepcopy(model.state_dict())
        masks = MaskSet({"0.weight": KEEP_A, **bad})
        with pytest.raises(MaskMismatchError, match=message):
            masks.apply_(model)
        with pytest.raises(MaskMismatchError, match=message), masks.hold(model):
            pytest.fail("the block must not run")
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        assert not any(p._post_accumulate_grad_hooks for p in model.parameters())
