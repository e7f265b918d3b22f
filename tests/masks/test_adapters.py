from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from nodepath.errors import MaskFileError, MaskMismatchError
from nodepath.masks import MaskSet, from_pt, from_torch_prune, to_torch_prune_

KEEP = torch.eye(2, 3, dtype=torch.bool)
EXPECTED = MaskSet({"0.weight": KEEP})


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))


@pytest.mark.parametrize("key", ["0.weight", "0.weight_mask", "0.mask"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_reads_a_dict_of_tensors_with_or_without_suffix(tmp_path, key, dtype):
    torch.save({key: KEEP.to(dtype)}, tmp_path / "m.pt")
    masks = from_pt(tmp_path / "m.pt")
    assert masks == EXPECTED
    assert masks.metadata == {"source": "m.pt"}


def test_reads_the_masks_out_of_a_pruned_state_dict(tmp_path):
    model = small()
    prune.custom_from_mask(model[0], "weight", KEEP)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert from_pt(str(tmp_path / "m.pt")) == EXPECTED


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"w": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(MaskFileError, match=r"trap\.pt") as caught:
        from_pt(tmp_path / "trap.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([KEEP], "holds a list"),
        ({"0.weight": 3}, "'0.weight' is a int"),
        ({"0.weight": KEEP * 0.5}, "'0.weight' holds 0.5"),
        ({"0.mask": KEEP, "0.weight_mask": KEEP}, "two masks of '0.weight'"),
    ],
)
def test_other_content_is_refused_with_the_file(tmp_path, content, message):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(MaskFileError, match=rf"m\.pt.*{message}"):
        from_pt(tmp_path / "m.pt")


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    torch.save({"w": KEEP}, tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        (tmp_path / "m.pt").write_bytes(whole[:length])
        with pytest.raises(MaskFileError, match=r"m\.pt"):
            from_pt(tmp_path / "m.pt")
    with pytest.raises(MaskFileError, match=r"cannot read .*absent\.pt: No such file"):
        from_pt(tmp_path / "absent.pt")


def test_torch_prune_round_trip():
    model = small()
    weight = model[0].weight
    dense = weight.detach().clone()
    to_torch_prune_(model, EXPECTED)
    assert model[0].weight_orig is weight
    assert torch.equal(model[0].weight, dense * KEEP)
    assert torch.equal(model[0].weight_orig, dense)
    assert from_torch_prune(model) == EXPECTED


def test_reads_every_pruned_tensor_and_iterated_pruning():
    model = small()
    prune.custom_from_mask(model[1], "bias", torch.tensor([1, 0]))
    prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 1, 0], [0, 1, 0]]))
    prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 0, 1], [0, 1, 1]]))
    masks = from_torch_prune(model)
    assert masks == MaskSet({"0.weight": KEEP, "1.bias": torch.tensor([1, 0])})
    prune.remove(model[0], "weight")
    assert from_torch_prune(model) == MaskSet({"1.bias": torch.tensor([1, 0])})


def test_masks_read_from_torch_prune_hold_after_remove():
    model = small()
    prune.custom_from_mask(model[0], "weight", KEEP)
    masks = from_torch_prune(model)
    prune.remove(model[0], "weight")
    with masks.hold(model):
        assert int(torch.count_nonzero(model[0].weight)) == 2


def test_a_model_that_torch_never_pruned_is_refused():
    with pytest.raises(MaskMismatchError, match=r"no module of the model is pruned"):
        from_torch_prune(small())


def test_to_torch_prune_refuses_before_touching_anything():
    model = small()
    with pytest.raises(MaskMismatchError, match=r"'1\.weight' has shape"):
        to_torch_prune_(model, MaskSet({"0.weight": KEEP, "1.weight": torch.ones(5)}))
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    with pytest.raises(MaskMismatchError, match=r"'0\.weight' is shared by 2 modules"):
        to_torch_prune_(tied, MaskSet({"0.weight": torch.eye(2)}))
    assert not any(key.endswith("_mask") for m in (model, tied) for key in m.state_dict())
