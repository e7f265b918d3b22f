"""Hugging Face image Parquet: columns found by type, splits by name, and every kind of damage named."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tiny_files import STRUCT, encode, features, pixels, write_both, write_images, write_table

from nodepath.data import load
from nodepath.errors import DataError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def as_bytes(split):
    return split.images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "fine_label"), ("Bild", "Nummer")])
def test_columns_are_found_by_type_whatever_their_names(tmp_path, binary, image, label):
    arrays = write_both(tmp_path, binary=binary, image=image, label=label)
    data = load(tmp_path)
    np.testing.assert_array_equal(as_bytes(data.train), arrays)
    np.testing.assert_array_equal(as_bytes(data.test), arrays[:2])
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.test.labels.tolist() == [1, 0]
    assert data.classes == ("0", "1")
    assert not data.flips  # nobody said what the classes are


def test_class_names_come_from_the_schema(tmp_path):
    write_both(tmp_path, metadata=features(label=["cat", "dog"]))
    (tmp_path / "classes.json").write_text('["wrong", "names"]')
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.flips


@pytest.mark.parametrize("below", ["", "data"])
def test_class_names_come_from_classes_json_where_the_schema_has_none(tmp_path, below):
    write_both(tmp_path / "data")
    (tmp_path / below / "classes.json").write_text('["cat", "dog"]')
    assert load(tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize("text", ["{", '{"cat": 0}', "[]", "[1, 2]"])
def test_a_classes_json_that_is_no_list_of_names_is_refused(tmp_path, text):
    write_both(tmp_path)
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"classes\.json"):
        load(tmp_path)


def two_labels(folder, metadata=None):
    columns = {
        "image": pa.array([{"bytes": encode(pixels(4, 4)), "path": None}] * 2, STRUCT),
        "id": pa.array([10, 11]),
        "coarse": pa.array([0, 0]),
        "fine": pa.array([0, 1]),
    }
    for name in ("train", "test"):
        write_table(folder / f"{name}.parquet", columns, metadata)


def test_several_label_columns_are_an_error_that_names_them(tmp_path):
    two_labels(tmp_path)
    with pytest.raises(DataError, match=r"train\.parquet.*'id', 'coarse', 'fine'.*label_column="):
        load(tmp_path)
    assert load(tmp_path, label_column="fine").train.labels.tolist() == [0, 1]
    assert load(tmp_path, label_column="coarse").train.labels.tolist() == [0, 0]


def test_what_the_schema_calls_class_label_is_preferred(tmp_path):
    two_labels(tmp_path, features(fine=["cat", "dog"]))
    assert load(tmp_path).classes == ("cat", "dog")
    assert load(tmp_path).train.labels.tolist() == [0, 1]
    two_labels(tmp_path, features(fine=["cat", "dog"], coarse=["animal"]))
    with pytest.raises(DataError, match=r"\('coarse', 'fine'\)"):
        load(tmp_path)
    assert load(tmp_path, label_column="coarse").classes == ("animal",)


@pytest.mark.parametrize("column", ["breed", "image"])
def test_a_label_column_that_is_absent_or_no_number_is_an_error(tmp_path, column):
    write_both(tmp_path)
    with pytest.raises(DataError, match=f"label_column='{column}' is not a column of whole numbers.*'label'"):
        load(tmp_path, label_column=column)


def test_of_several_image_columns_the_user_chooses(tmp_path):
    first, second = pixels(4, 4, seed=1), pixels(4, 4, seed=2)
    columns = {
        "left": pa.array([{"bytes": encode(first), "path": None}], STRUCT),
        "right": pa.array([{"bytes": encode(second), "path": None}], STRUCT),
        "y": pa.array([0]),
    }
    for name in ("train", "test"):
        write_table(tmp_path / f"{name}.parquet", columns)
    with pytest.raises(DataError, match=r"'left', 'right'.*image_column="):
        load(tmp_path)
    np.testing.assert_array_equal(load(tmp_path, image_column="right").train.images[0, 0].numpy(), second)
    with pytest.raises(DataError, match="image_column='y' is not a column of images"):
        load(tmp_path, image_column="y")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": pa.array([0])}, "no image column"),
        ({"image": pa.array([b"x"]), "label": pa.array(["cat"])}, "no label column"),
    ],
)
def test_a_file_without_images_or_labels_is_an_error(tmp_path, columns, message):
    for name in ("train", "test"):
        write_table(tmp_path / f"{name}.parquet", columns)
    with pytest.raises(DataError, match=f"{message}.*'label'"):
        load(tmp_path)


@pytest.mark.parametrize("text", [b"no json", b"[]", b'{"info": 3}', b"{}"])
def test_metadata_that_cannot_be_understood_is_an_error(tmp_path, text):
    write_both(tmp_path, metadata={b"huggingface": text})
    with pytest.raises(DataError, match="'huggingface' metadata"):
        load(tmp_path)


def test_shards_are_joined_in_numeric_order(tmp_path):
    arrays = [pixels(3, 3, seed=row) for row in range(11)]
    for number, array in enumerate(arrays):
        write_images(tmp_path / "data" / f"train-{number}.parquet", [array], [number % 2])
    write_images(tmp_path / "data" / "test-0.parquet", arrays[:1], [0])
    data = load(tmp_path)
    np.testing.assert_array_equal(data.train.images[:, 0].numpy(), np.stack(arrays))
    assert data.train.labels.tolist() == [number % 2 for number in range(11)]


def test_a_missing_shard_is_an_error(tmp_path):
    for number in (0, 2):
        write_images(tmp_path / f"train-0000{number}-of-00003.parquet", [pixels(3, 3)], [0])
    write_images(tmp_path / "test.parquet", [pixels(3, 3)], [0])
    with pytest.raises(DataError, match="lacks 1 of 3 shards of 'train', the first number 1"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["validation-00000-of-00001", "valid", "val"])
def test_validation_stands_in_for_test_and_the_description_says_so(tmp_path, name):
    write_both(tmp_path)
    (tmp_path / "test.parquet").rename(tmp_path / f"{name}.parquet")
    data = load(tmp_path)
    assert data.test.labels.tolist() == [1, 0]
    assert "validation files are the test split" in data.description


def test_validation_is_not_used_beside_test(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "validation.parquet", [pixels(6, 5, 3)] * 3, [0, 0, 0])
    write_images(tmp_path / "extra.parquet", [pixels(6, 5, 3)] * 3, [0, 0, 0])
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (4, 2)
    assert "validation files are not used" in data.description
    assert "Not used: extra.parquet" in data.description


def test_splits_are_told_by_folder_where_files_only_have_numbers(tmp_path):
    write_both(tmp_path)
    for name in ("train", "test"):
        (tmp_path / "default" / name).mkdir(parents=True)
        (tmp_path / f"{name}.parquet").rename(tmp_path / "default" / name / "0000.parquet")
    assert (len(load(tmp_path).train), len(load(tmp_path).test)) == (4, 2)


def test_two_data_sets_in_subfolders_are_an_error_that_names_both(tmp_path):
    write_both(tmp_path / "cropped")
    write_both(tmp_path / "full")
    with pytest.raises(DataError, match=r"several data sets.*cropped and .*full"):
        load(tmp_path)
    assert len(load(tmp_path / "full").train) == 4


def test_hidden_caches_are_passed_by(tmp_path):
    write_both(tmp_path)
    write_both(tmp_path / ".cache")
    assert len(load(tmp_path).train) == 4


@pytest.mark.parametrize(("gone", "message"), [("train", "no train"), ("test", "neither test")])
def test_a_missing_split_is_an_error(tmp_path, gone, message):
    write_both(tmp_path)
    (tmp_path / f"{gone}.parquet").unlink()
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_grey_images_keep_one_channel(tmp_path):
    write_both(tmp_path)
    arrays = [pixels(6, 5, seed=row) for row in range(2)]
    for name in ("train", "test"):
        write_images(tmp_path / f"{name}.parquet", arrays, [0, 1], metadata=features(label=["cat", "dog"]))
    data = load(tmp_path)
    np.testing.assert_array_equal(data.train.images.numpy(), np.stack(arrays)[:, None])
    assert not data.flips


@pytest.mark.parametrize("colour_in", ["train", "test"])
@pytest.mark.parametrize("at", [0, 2])
def test_one_colour_image_makes_all_rgb(tmp_path, colour_in, at):
    grey, colour = pixels(6, 5), pixels(6, 5, 3)
    for name in ("train", "test"):
        arrays = [colour if name == colour_in and row == at else grey for row in range(3)]
        write_images(tmp_path / f"{name}.parquet", arrays, [0, 1, 0])
    data = load(tmp_path)
    assert data.train.images.shape == data.test.images.shape == (3, 3, 6, 5)
    for name, split in (("train", data.train), ("test", data.test)):
        for row, image in enumerate(as_bytes(split)):
            expected = colour if name == colour_in and row == at else np.repeat(grey[..., None], 3, axis=2)
            np.testing.assert_array_equal(image, expected)


def test_jpeg_is_read(tmp_path):
    flat = np.full((8, 8, 3), 100, np.uint8)
    for name in ("train", "test"):
        write_images(tmp_path / f"{name}.parquet", [flat], [0], kind="JPEG")
    np.testing.assert_allclose(as_bytes(load(tmp_path).train)[0], flat, atol=1)


def test_images_of_different_sizes_need_a_size(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "train.parquet", [pixels(6, 5, 3), pixels(4, 8), pixels(6, 5, 3)], [0, 1, 0])
    with pytest.raises(
        DataError, match=r"train\.parquet, row 1: the image is 4x8 pixels where the first is 6x5.*size="
    ):
        load(tmp_path)
    data = load(tmp_path, size=(6, 5))
    assert data.train.images.shape == (3, 3, 6, 5)
    np.testing.assert_array_equal(as_bytes(data.train)[0], pixels(6, 5, 3))


def test_splits_of_different_sizes_need_a_size(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [pixels(9, 9, 3)], [0])
    with pytest.raises(DataError, match="size="):
        load(tmp_path)
    assert load(tmp_path, size=7).test.images.shape == (1, 3, 7, 7)


@pytest.mark.parametrize("damage", [b"not an image", b"", encode(pixels(20, 20))[:100], b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_an_image_that_cannot_be_decoded_is_named_by_row_and_file(tmp_path, damage):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [pixels(6, 5, 3), damage], [0, 1])
    with pytest.raises(DataError, match=r"test\.parquet, row 1: the image cannot be decoded") as caught:
        load(tmp_path)
    assert "0x" not in str(caught.value)


def test_rows_are_counted_within_their_file_across_batches(tmp_path):
    write_images(tmp_path / "train-0.parquet", [pixels(2, 2)] * 3, [0, 1, 0])
    write_images(tmp_path / "train-1.parquet", [pixels(2, 2)] * 1100 + [b"x"], [0] * 1101)
    write_images(tmp_path / "test.parquet", [pixels(2, 2)], [0])
    with pytest.raises(DataError, match=r"train-1\.parquet, row 1100"):
        load(tmp_path)


def test_a_row_without_bytes_is_named(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [pixels(6, 5, 3), None], [0, 1])
    with pytest.raises(DataError, match=r"test\.parquet, row 1 holds no image bytes"):
        load(tmp_path)


def test_16_bit_images_are_refused(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [pixels(6, 5).astype(np.uint16) * 257], [0])
    with pytest.raises(DataError, match=r"row 0: the image's mode is I;16"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -1], r"row 1: label -1 is not in 0\.\.1; a negative label usually marks"),
        ([2, 0], r"row 0: label 2 is not in 0\.\.1"),
        ([0, None], "row 1: 'label' is empty"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_that_are_no_class_are_refused(tmp_path, labels, message, split):
    metadata = features(label=["cat", "dog"])
    write_both(tmp_path, metadata=metadata)
    write_images(tmp_path / f"{split}.parquet", [pixels(6, 5, 3)] * 2, labels, metadata=metadata)
    with pytest.raises(DataError, match=rf"{split}\.parquet.*{message}"):
        load(tmp_path)


def test_an_empty_split_is_refused(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [], [])
    with pytest.raises(DataError, match=r"test\.parquet: no row"):
        load(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 300, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    write_both(tmp_path)
    file = tmp_path / "train.parquet"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match=r"train\.parquet is no readable Parquet file"):
        load(tmp_path)


def test_damage_within_the_data_is_refused(tmp_path):
    write_both(tmp_path)
    file = tmp_path / "train.parquet"
    content = bytearray(file.read_bytes())
    content[4:200] = bytes(196)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"train\.parquet"):
        load(tmp_path)


def test_shards_that_name_different_classes_are_refused(tmp_path):
    write_both(tmp_path, metadata=features(label=["cat", "dog"]))
    write_images(tmp_path / "test.parquet", [pixels(6, 5, 3)], [0], metadata=features(label=["dog", "cat"]))
    with pytest.raises(DataError, match="name different classes"):
        load(tmp_path)


def test_splits_with_labels_in_different_columns_are_refused(tmp_path):
    write_both(tmp_path)
    write_images(tmp_path / "test.parquet", [pixels(6, 5, 3)], [0], label="other")
    with pytest.raises(DataError, match=r"'label'.*'other'"):
        load(tmp_path)


@pytest.mark.skipif(not (SHARED / "cifar10").is_dir(), reason="no ../shared/data/cifar10")
def test_cifar10_is_what_its_authors_say():
    data = load(SHARED / "cifar10")
    assert (len(data.train), len(data.test), data.channels, data.image_size) == (50_000, 10_000, 3, (32, 32))
    # .4914, .4822, .4465 and .2470, .2435, .2616: the constants in common use for CIFAR-10.
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=5e-5)
    assert data.flips
    assert list(data.classes) == json.loads((SHARED / "cifar10" / "classes.json").read_text())
    assert (data.train.labels.bincount() == 5000).all()


@pytest.mark.skipif(not (SHARED / "tiny_imagenet_20").is_dir(), reason="no ../shared/data/tiny_imagenet_20")
def test_tiny_imagenet_with_its_grey_images_becomes_colour():
    data = load(SHARED / "tiny_imagenet_20")
    assert data.train.images.shape == (10_000, 3, 64, 64)
    assert data.flips
