import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from nodepath.errors import MaskFileError
from nodepath.masks import MaskSet
from nodepath.masks.bits import packed_size

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
names = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@st.composite
def mask_sets(draw) -> MaskSet:
    masks = {}
    for name in draw(st.lists(names, max_size=4, unique=True)):
        shape = draw(shapes)
        bits = draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
        masks[name] = torch.tensor(bits, dtype=torch.bool).reshape(shape)
    return MaskSet(masks, draw(st.dictionaries(st.text(max_size=5), scalars, max_size=3)))


@settings(deadline=None, max_examples=60)
@given(masks=mask_sets())
def test_load_gives_back_what_save_wrote(tmp_path_factory, masks):
    path = tmp_path_factory.mktemp("masks") / "m.safetensors"
    masks.save(path)
    loaded = MaskSet.load(path)
    assert loaded == masks
    assert loaded.hash == masks.hash
    assert list(loaded) == list(masks)
    assert loaded.metadata == masks.metadata
    assert all(loaded[name].shape == masks[name].shape for name in masks)
    assert path.read_bytes() == _bytes_of(loaded, path)
    assert list(path.parent.iterdir()) == [path]


def _bytes_of(masks: MaskSet, beside: Path) -> bytes:
    masks.save(beside)
    return beside.read_bytes()


@pytest.fixture
def masks() -> MaskSet:
    generator = torch.Generator().manual_seed(0)
    return MaskSet(
        {"b.weight": torch.rand(5, 7, generator=generator) > 0.5, "a.weight": torch.rand(3, generator=generator) > 0.5},
        {"method": "snip", "seed": 0},
    )


@pytest.fixture
def path(tmp_path: Path, masks: MaskSet) -> Path:
    path = tmp_path / "m.safetensors"
    masks.save(str(path))
    return path


def test_a_weight_takes_one_bit(tmp_path):
    MaskSet({"w": torch.ones(1000, 800)}).save(tmp_path / "big")
    assert 100_000 < (tmp_path / "big").stat().st_size < 101_000


def test_loaded_masks_can_be_written_to(path):
    mask = MaskSet.load(path)["b.weight"]
    mask.logical_not_()
    assert MaskSet.load(path)["b.weight"].ne(mask).all()


def test_file_is_plain_safetensors_with_shapes_and_metadata_in_its_header(path, masks):
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["nodepath.masks"])
        assert file.get_tensor("b.weight").shape == (packed_size((5, 7)),)
    assert header == {
        "format": 1,
        "hash": masks.hash,
        "entries": [["b.weight", [5, 7]], ["a.weight", [3]]],
        "metadata": {"method": "snip", "seed": 0},
    }


def test_a_file_cut_short_anywhere_is_refused(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(MaskFileError, match=r"m\.safetensors"):
            MaskSet.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(MaskFileError, match=r"m\.safetensors"):
        MaskSet.load(path)


def test_any_bit_flipped_in_the_data_is_noticed(path):
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    assert len(whole) - start == 5 + 1
    for position in range(start, len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(MaskFileError, match=r"m\.safetensors was changed"):
                MaskSet.load(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04" + b"\0" * 60, b"not a mask file\n" * 9])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(MaskFileError, match=r"other\.bin"):
        MaskSet.load(path)


def test_a_pickled_file_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"w": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(MaskFileError, match=r"trap\.pt"):
        MaskSet.load(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_other_peoples_safetensors_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": np.ones(3, np.float32)}, path, metadata=metadata)
        with pytest.raises(MaskFileError, match=r"weights\.safetensors is a safetensors file without masks"):
            MaskSet.load(path)


def _header(**changes: object) -> str:
    digest = MaskSet({"w": torch.tensor([1, 0, 0])}).hash
    header = {"format": 1, "hash": digest, "entries": [["w", [3]]], "metadata": {}, **changes}
    return json.dumps(header)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "damaged header"),
        ("[]", "lacks entries"),
        ('{"format": 1}', "lacks entries"),
        (_header(format=2), "has format 2.*update"),
        (_header(metadata=[1]), "metadata that is no table"),
        (_header(metadata={"x": float("nan")}), "NaN is not JSON"),
        (_header(entries=5), "lists 5"),
        (_header(entries=[["w"]]), r"lists \['w'\]"),
        (_header(entries=[["w", "3"]]), r"lists \['w', '3'\]"),
        (_header(entries=[["w", [-3]]]), r"lists \['w', \[-3\]\]"),
        (_header(entries=[["w", [True]]]), r"lists \['w', \[True\]\]"),
        (_header(entries=[]), "'w' is in the header or in the data"),
        (_header(entries=[["w", [3]], ["v", [3]]]), "'v' is in the header or in the data"),
        (_header(entries=[["w", [9]]]), r"bits of 'w' do not fill its shape \(9,\)"),
        (_header(entries=[["w", [10**30]]]), "bits of 'w' do not fill"),
        (_header(entries=[["w", [4]]]), "was changed"),
        (_header(hash=None), "was changed"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header, message):
    path = tmp_path / "lie.safetensors"
    save_file({"w": np.array([1], np.uint8)}, path, metadata={"nodepath.masks": header})
    with pytest.raises(MaskFileError, match=rf"lie\.safetensors.*{message}"):
        MaskSet.load(path)


def test_the_header_that_the_lies_are_made_from_is_true(tmp_path):
    save_file({"w": np.array([1], np.uint8)}, tmp_path / "true", metadata={"nodepath.masks": _header()})
    assert MaskSet.load(tmp_path / "true") == MaskSet({"w": torch.tensor([1, 0, 0])})


def test_missing_file_and_directory_are_named(tmp_path):
    with pytest.raises(MaskFileError, match=r"nowhere\.safetensors"):
        MaskSet.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(MaskFileError, match=tmp_path.name):
        MaskSet.load(tmp_path)


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path, masks):
    with pytest.raises(MaskFileError, match=r"cannot write /proc/m\.safetensors: "):
        masks.save("/proc/m.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(MaskFileError, match=r"cannot write .*taken"):
        masks.save(tmp_path / "taken")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_missing_folders_are_made(tmp_path, masks):
    masks.save(tmp_path / "absent" / "m.safetensors")
    assert MaskSet.load(tmp_path / "absent" / "m.safetensors") == masks


def test_a_refused_write_leaves_the_old_file(path, masks):
    before = path.read_bytes()
    with pytest.raises(MaskFileError, match="__metadata__"):
        MaskSet({"__metadata__": torch.ones(8)}).save(path)
    assert path.read_bytes() == before


def test_save_replaces_the_old_file(path):
    empty = MaskSet({})
    empty.save(path)
    assert MaskSet.load(path) == empty


def test_a_file_has_the_permissions_of_any_new_file(path, tmp_path):
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
