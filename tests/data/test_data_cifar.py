"""CIFAR's pickles: read exactly, and never run."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from tiny_files import CIFAR10_NAMES, dump, pixels, write_cifar10, write_cifar100

from nodepath.data import load
from nodepath.data.safe_pickle import load_plain_pickle
from nodepath.errors import DataError


@pytest.mark.parametrize("below", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", range(6))
def test_cifar10_is_read_byte_for_byte_in_batch_order(tmp_path, below, protocol):
    train = write_cifar10(tmp_path / below, protocol=protocol)
    data = load(tmp_path)
    np.testing.assert_array_equal(data.train.images.reshape(20, -1).numpy(), train)
    assert data.train.images.shape == (20, 3, 32, 32)
    assert data.train.labels.tolist() == [0, 1, 2, 0] * 5
    assert len(data.test) == 4
    assert data.classes == ("airplane", "automobile", "bird")
    assert data.flips


def test_a_python_2_pickle_is_read(tmp_path):
    # What Python 2 wrote for {'data': array([[7, 8]], uint8), 'labels': [1]}: text as byte strings,
    # numpy's old module names.
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
        b"U\x01b\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff"
        b"\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x07\x08tbU\x06labelsq\x08]q\tK\x01au."
    )
    assert pickle.loads(content, encoding="latin1")["data"].tolist() == [[7, 8]]  # it is what numpy reads
    (tmp_path / "batch").write_bytes(content)
    read = load_plain_pickle(tmp_path / "batch")
    assert read["data"].tolist() == [[7, 8]]
    assert read["labels"] == [1]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_fortran_order_come_out_right(tmp_path, protocol):
    array = np.asfortranarray(pixels(3, 4))
    dump(tmp_path / "batch", {b"data": array}, protocol)
    np.testing.assert_array_equal(load_plain_pickle(tmp_path / "batch")["data"], array)


@pytest.mark.parametrize("below", ["", "cifar-100-python"])
def test_cifar100_gives_fine_classes_and_coarse_ones_when_asked(tmp_path, below):
    write_cifar100(tmp_path / below)
    fine, coarse = load(tmp_path), load(tmp_path, label_column="coarse_labels")
    assert fine.classes == ("apple", "aquarium_fish", "baby")
    assert fine.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert coarse.classes == ("fruit", "people")
    assert coarse.train.labels.tolist() == [0, 0, 1, 0, 0, 1]
    with pytest.raises(DataError, match="this format has fine_labels, coarse_labels"):
        load(tmp_path, label_column="label")


class Malice:
    """Unpickled by the ordinary unpickler, it runs a command."""

    def __init__(self, target):
        self.command = f"touch '{target}'"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run(tmp_path, protocol):
    folder, trace = tmp_path / "cifar", tmp_path / "trace"
    write_cifar10(folder)
    dump(folder / "data_batch_3", {b"data": Malice(trace), b"labels": [0]}, protocol)
    with pytest.raises(DataError, match=r"data_batch_3.*'(posix|nt)\.system'"):
        load(folder)
    assert not trace.exists()
    pickle.loads((folder / "data_batch_3").read_bytes())
    assert trace.exists()  # the file was a weapon indeed


def test_a_pickle_in_the_class_names_does_not_run_either(tmp_path):
    folder, trace = tmp_path / "cifar", tmp_path / "trace"
    write_cifar10(folder)
    dump(folder / "batches.meta", {b"label_names": [Malice(trace)]})
    with pytest.raises(DataError, match=r"batches\.meta"):
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x08getattr\x93.",
        b"c_codecs\nencode\n(Vx\nVzlib_codec\ntR.",  # an admitted name with an argument that is not
        b"cnumpy\nndarray\n((K\x02tR.",  # a type that may only be named
        b"cnumpy\ndtype\n(VO\ntR.",  # objects in an array
    ],
)
def test_nothing_but_bytes_and_plain_values_is_admitted(tmp_path, program):
    (tmp_path / "batch").write_bytes(program)
    with pytest.raises(DataError, match="no pickle of plain values"):
        load_plain_pickle(tmp_path / "batch")


def test_a_pickle_cannot_alter_the_functions_it_may_call(tmp_path):
    (tmp_path / "batch").write_bytes(b"c_codecs\nencode\n}Vmark\nK\x01sb.")
    with pytest.raises(DataError, match="tries to alter"):
        load_plain_pickle(tmp_path / "batch")


@pytest.mark.parametrize("content", [OrderedDict(a=1), {b"data": np.zeros(3)}, [1, 2], {b"x": np.array([{}])}])
def test_other_types_are_refused(tmp_path, content):
    dump(tmp_path / "batch", content)
    with pytest.raises(DataError, match="batch"):
        load_plain_pickle(tmp_path / "batch")


@pytest.mark.parametrize("length", [0, 1, 30, 1000, -1])
def test_a_truncated_pickle_is_refused(tmp_path, length):
    write_cifar10(tmp_path)
    file = tmp_path / "data_batch_2"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match="data_batch_2"):
        load(tmp_path)


def test_an_array_shorter_than_its_shape_is_refused(tmp_path):
    dump(tmp_path / "batch", {b"data": np.zeros((2, 3), np.uint8)}, protocol=3)
    content = (tmp_path / "batch").read_bytes()
    assert content.count(b"K\x02K\x03\x86") == 1
    (tmp_path / "batch").write_bytes(content.replace(b"K\x02K\x03\x86", b"K\x05K\x03\x86"))
    with pytest.raises(DataError, match=r"shape \(5, 3\) has 6 bytes"):
        load_plain_pickle(tmp_path / "batch")


@pytest.mark.parametrize("missing", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_missing_file_is_named(tmp_path, missing):
    write_cifar10(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=f"lacks {missing}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({b"data": pixels(2, 3072), b"labels": [0]}, "2 images but 1 labels"),
        ({b"data": pixels(2, 3072), b"labels": [0, 3]}, r"row 1: label 3 is not in 0\.\.2"),
        ({b"data": pixels(2, 3072), b"labels": [0, -1]}, r"row 1: label -1 is not in 0\.\.2"),
        ({b"data": pixels(2, 3072), b"labels": [0, "cat"]}, "not a list of whole numbers"),
        ({b"data": pixels(2, 3000), b"labels": [0, 1]}, r"'data' is \(2, 3000\)"),
        ({b"data": b"abc", b"labels": [0, 1]}, "'data' is bytes"),
        ({b"labels": [0, 1]}, r"has no 'data' \(it has labels\)"),
        ({b"data": pixels(0, 3072), b"labels": []}, "no image"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(tmp_path, content, message):
    write_cifar10(tmp_path)
    dump(tmp_path / "test_batch", content)
    with pytest.raises(DataError, match=f"test_batch.*{message}"):
        load(tmp_path)


def test_class_names_that_are_no_names_are_refused(tmp_path):
    write_cifar10(tmp_path)
    dump(tmp_path / "batches.meta", {b"label_names": [*CIFAR10_NAMES, 3]})
    with pytest.raises(DataError, match="not a list of class names"):
        load(tmp_path)
