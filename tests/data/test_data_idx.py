"""IDX files: read exactly, refused when damaged."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from tiny_files import idx_bytes, pixels, write_idx

from nodepath.data import load
from nodepath.errors import DataError

FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("below", ["", "raw"])
def test_idx_is_read_byte_for_byte(tmp_path, zipped, dotted, below):
    arrays = write_idx(tmp_path / below, zipped=zipped, dotted=dotted)
    data = load(tmp_path)
    for role, split in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(split.images[:, 0].numpy(), arrays[role, "images"])
        np.testing.assert_array_equal(split.labels.numpy(), arrays[role, "labels"])
    assert data.channels == 1
    assert data.image_size == (5, 7)
    assert data.classes == ("0", "1", "2")
    assert not data.flips


def test_a_gzipped_file_without_the_suffix_is_read(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    plain = load(tmp_path).fingerprint
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert load(tmp_path).fingerprint == plain


def test_a_missing_file_is_named(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte"):
        load(tmp_path)


@pytest.mark.parametrize("length", [0, 3, 10, 16, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load(tmp_path)


def test_bytes_beyond_the_header_s_shape_are_refused(tmp_path):
    write_idx(tmp_path)
    with (tmp_path / "train-labels-idx1-ubyte").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DataError, match="holds 7 bytes of data where its header says 6"):
        load(tmp_path)


@pytest.mark.parametrize("length", [5, 30, -1])
def test_a_truncated_gzip_is_refused(tmp_path, length):
    write_idx(tmp_path, zipped=True)
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz"):
        load(tmp_path)


# Byte 10 begins the first block, 7 is a block type that does not exist; byte -6 belongs to the checksum.
@pytest.mark.parametrize(("at", "value"), [(10, 7), (-6, 0)])
def test_a_damaged_gzip_is_refused(tmp_path, at, value):
    write_idx(tmp_path, zipped=True)
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    content[at] = value
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("header", [b"\1\0\x08\3", b"\0\0\x0d\3", b"\0\0\x08\1"])
def test_another_magic_type_or_dimension_is_refused(tmp_path, header):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(header + file.read_bytes()[4:])
    with pytest.raises(DataError, match=f"begins with {header.hex(' ')}, not 00 00 08 03"):
        load(tmp_path)


def test_a_little_endian_header_is_refused(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "train-labels-idx1-ubyte"
    content = file.read_bytes()
    file.write_bytes(content[:4] + content[4:8][::-1] + content[8:])
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        load(tmp_path)


def test_unequal_numbers_of_images_and_labels_are_refused(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(DataError, match=r"6 images but .*train-labels-idx1-ubyte 5 labels"):
        load(tmp_path)


def test_an_empty_split_is_refused(tmp_path):
    write_idx(tmp_path, test=0)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte holds no image"):
        load(tmp_path)


def test_a_test_label_that_train_does_not_know_is_refused(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 1, 7, 2], np.uint8)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte, row 2: label 7 is not in 0\.\.2"):
        load(tmp_path)


def test_labels_that_cannot_be_class_numbers_are_refused(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([0, 1, 2, 0, 250, 2], np.uint8)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte, row 4: label 250"):
        load(tmp_path)


def test_a_column_cannot_be_asked_of_idx(tmp_path):
    write_idx(tmp_path)
    with pytest.raises(DataError, match="label_column='fine' does not apply"):
        load(tmp_path, label_column="fine")


def test_images_are_resized_when_asked(tmp_path):
    arrays = write_idx(tmp_path)
    arrays["train", "images"] = pixels(6, 5, 7)
    data = load(tmp_path, size=(10, 12))
    assert data.image_size == (10, 12)
    assert data.train.images.shape == (6, 1, 10, 12)
    assert "10x12" in data.description


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_what_its_authors_say():
    data = load(FASHION)
    assert (len(data.train), len(data.test), data.image_size, data.num_classes) == (60_000, 10_000, (28, 28), 10)
    # 0.2860, 0.3530: the normalisation constants in common use for Fashion-MNIST.
    assert data.mean == pytest.approx((0.2860,), abs=5e-5)
    assert data.std == pytest.approx((0.3530,), abs=5e-5)
    assert (data.train.labels.bincount() == 6000).all()
