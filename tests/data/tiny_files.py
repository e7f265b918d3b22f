"""Writers of tiny data sets in the official formats."""

import gzip
import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet as pq


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, *, zipped=False, dotted=False, train=6, test=4, size=(5, 7), classes=3):
    """Four IDX files; gives back the arrays by file role."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for role, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        arrays[role, "images"] = pixels(count, *size, seed=count)
        arrays[role, "labels"] = (np.arange(count) % classes).astype(np.uint8)
        for kind, dimensions in (("images", 3), ("labels", 1)):
            name = f"{prefix}-{kind}{'.' if dotted else '-'}idx{dimensions}-ubyte"
            content = idx_bytes(arrays[role, kind])
            if zipped:
                name, content = name + ".gz", gzip.compress(content)
            (folder / name).write_bytes(content)
    return arrays


def dump(file: Path, content, protocol=2):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(content, protocol=protocol))


CIFAR10_NAMES = [b"airplane", b"automobile", b"bird"]


def write_cifar10(folder: Path, *, protocol=2, per_batch=4):
    """Six batches and the names, keys as bytes; gives back the train data."""
    train = []
    for number in range(1, 6):
        data = pixels(per_batch, 3072, seed=number)
        train.append(data)
        dump(folder / f"data_batch_{number}", _batch(data), protocol)
    dump(folder / "test_batch", _batch(pixels(per_batch, 3072, seed=9)), protocol)
    dump(folder / "batches.meta", {b"num_vis": 3072, b"label_names": CIFAR10_NAMES}, protocol)
    return np.concatenate(train)


def _batch(data):
    labels = [row % len(CIFAR10_NAMES) for row in range(len(data))]
    return {b"batch_label": b"a batch", b"labels": labels, b"data": data, b"filenames": [b"x.png"] * len(data)}


def write_cifar100(folder: Path, *, protocol=2):
    for name, count in (("train", 6), ("test", 3)):
        content = {
            b"filenames": [b"x.png"] * count,
            b"fine_labels": [row % 3 for row in range(count)],
            b"coarse_labels": [row % 3 // 2 for row in range(count)],
            b"data": pixels(count, 3072, seed=count),
        }
        dump(folder / name, content, protocol)
    meta = {b"fine_label_names": [b"apple", b"aquarium_fish", b"baby"], b"coarse_label_names": [b"fruit", b"people"]}
    dump(folder / "meta", meta, protocol)


def encode(array, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


def features(**columns):
    """Schema metadata as the `datasets` library writes it: column -> list of class names, or "Image"."""
    content = {
        name: {"_type": "Image"} if names == "Image" else {"_type": "ClassLabel", "names": names}
        for name, names in columns.items()
    }
    return {b"huggingface": json.dumps({"info": {"features": content}}).encode()}


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_table(file: Path, columns, metadata=None):
    """A Parquet file of `columns`: name -> pyarrow array or list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), file)


def write_images(file: Path, arrays, labels, *, image="image", label="label", binary=False, metadata=None, kind="PNG"):
    """A Parquet file of images (None: a row without bytes; bytes: as they are) and labels."""
    encoded = [encode(a, kind) if isinstance(a, np.ndarray) else a for a in arrays]
    column = (
        pa.array(encoded, pa.binary()) if binary else pa.array([{"bytes": e, "path": None} for e in encoded], STRUCT)
    )
    write_table(file, {image: column, label: pa.array(labels, pa.int64())}, metadata)


def write_both(folder: Path, **options):
    """train.parquet of 4 and test.parquet of 2 colour images of 6x5 pixels; gives back the train arrays."""
    arrays = [pixels(6, 5, 3, seed=row) for row in range(4)]
    write_images(folder / "train.parquet", arrays, [0, 1, 0, 1], **options)
    write_images(folder / "test.parquet", arrays[:2], [1, 0], **options)
    return np.stack(arrays)
