"""load: names, folders, and what it says when there is nothing to load; and digits, which is always there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets
from tiny_files import write_both, write_cifar10, write_idx

from nodepath.data import FORMATS, Dataset, Split, load, names
from nodepath.errors import ArgumentError, DataError


def test_digits_is_embedded_and_is_what_scikit_learn_has():
    assert names() == ["digits"]
    data = load("digits")
    assert data.train.images.shape == (1442, 1, 32, 32)
    assert data.test.images.shape == (355, 1, 32, 32)
    assert data.classes == tuple("0123456789")
    assert not data.flips
    source = datasets.load_digits()
    together = data.train.labels.bincount() + data.test.labels.bincount()
    assert together.tolist() == np.bincount(source.target).tolist()
    # Bilinear by 4: the mean of each 4x4 block of the enlarged image is near the source's pixel, at the
    # centre of a flat area equal. The first image of the source is the first of train.
    blocks = data.train.images[0, 0].double().reshape(8, 4, 8, 4).mean((1, 3)) / 255 * 16
    assert np.corrcoef(blocks.flatten(), source.data[0])[0, 1] > 0.97
    assert data.train.labels[0] == source.target[0]
    assert data.train.images.max() == 255


def test_the_split_of_digits_is_stratified_and_said():
    data = load("digits")
    share = data.test.labels.bincount() / (data.train.labels.bincount() + data.test.labels.bincount())
    assert (share - 0.2).abs().max() < 0.006
    for word in ("8x8", "32x32", "every fifth", "1,442 train", "355 test"):
        assert word in data.description


def test_digits_is_the_same_everywhere():
    # Changes only when the data, the enlarging or the split change: then every record on digits does.
    assert load("digits").fingerprint == "eb983dee8a0f2369"


def test_digits_can_be_had_in_another_size():
    data = load("digits", size=28)
    assert data.image_size == (28, 28)
    assert "28x28" in data.description


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(DataError, match=r"no data set 'digit'.*did you mean 'digits'"):
        load("digit")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere'"):
        load(tmp_path / "nowhere")


def test_a_path_is_a_folder_even_when_called_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "digits")
    assert load("./digits").num_classes == 3
    assert load(Path("digits")).num_classes == 3
    assert load("digits").num_classes == 10


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path):
    write_both(tmp_path)
    with pytest.raises(DataError, match=r"is a file; name the folder"):
        load(tmp_path / "train.parquet")


def test_a_folder_without_data_lists_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte") as caught:
        load(tmp_path)
    for name in FORMATS.names():
        assert FORMATS[name]().looks_for in str(caught.value)


def test_a_folder_with_two_formats_is_an_error(tmp_path):
    write_idx(tmp_path)
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match="several data sets \\(cifar10, idx\\)"):
        load(tmp_path)


@pytest.mark.parametrize("option", ["label_column", "image_column"])
def test_an_embedded_data_set_has_no_columns(option):
    with pytest.raises(DataError, match=f"leave {option}= out"):
        load("digits", **{option: "x"})


@pytest.mark.parametrize("size", [0, -3, (8, 0)])
def test_a_size_below_one_pixel_is_refused(size):
    with pytest.raises(ArgumentError, match="size is"):
        load("digits", size=size)


def test_the_name_of_a_folder_names_the_data_set_and_its_place_stays_private(tmp_path, monkeypatch):
    write_both(tmp_path / "pets")
    monkeypatch.chdir(tmp_path / "pets")
    data = load(".")
    assert data.name == "pets"
    assert str(tmp_path) not in data.description


def test_a_third_party_can_add_a_format(tmp_path, monkeypatch):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))

    @FORMATS.register("npy")
    class Npy:
        looks_for = "images.npy"

        def find(self, folder):
            return (folder / "images.npy").is_file()

        def read(self, folder, options):
            images = torch.from_numpy(np.load(folder / "images.npy"))
            split = Split(images, torch.zeros(len(images), dtype=torch.int64))
            return Dataset("mine", split, split, ("all",), "Mine.", flips=False)

    np.save(tmp_path / "images.npy", np.zeros((2, 1, 3, 3), np.uint8))
    assert load(tmp_path).name == "mine"


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, nodepath.data; "
        "print([m for m in ('sklearn', 'pyarrow', 'PIL', 'pandas', 'torchvision') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
