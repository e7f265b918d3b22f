import shutil

import pytest

from nodepath.errors import RunError
from nodepath.runs import Record, RunSpec, execute, read_records, unfinished


def spec(**changes) -> RunSpec:
    fields = {"model": "lenet5", "data": "digits", "method": "random", "sparsity": 0.5, "train": {"epochs": 1}}
    return RunSpec(**{**fields, **changes})


@pytest.fixture(scope="module")
def done(few, tmp_path_factory):
    root = tmp_path_factory.mktemp("done")
    execute(spec(), root / "one", dataset=few)
    execute(spec(seed=1), root / "two" / "deep", dataset=few)
    return root


@pytest.fixture
def root(done, tmp_path):
    return shutil.copytree(done, tmp_path / "root")


def test_all_finished_runs_below_a_folder_are_read_in_the_order_of_their_paths(root):
    records = read_records(root)
    assert [record.path for record in records] == [
        root / "one" / "runs" / spec().hash,
        root / "two" / "deep" / "runs" / spec(seed=1).hash,
    ]
    assert [record.spec for record in records] == [spec(), spec(seed=1)]
    assert [record.result["seed"] for record in records] == [0, 1]
    assert all(len(record.metrics) == 1 for record in records)
    assert read_records(records[0].path) == [records[0]]


def test_unfinished_runs_are_left_out_and_counted(root):
    path = read_records(root)[0].path
    (path / "result.json").unlink()
    assert [record.spec for record in read_records(root)] == [spec(seed=1)]
    assert unfinished(root) == [path]
    with pytest.raises(RunError, match="no finished run"):
        Record.load(path)


def test_other_peoples_result_files_are_left_alone(root):
    (root / "result.json").write_text("[]")
    assert len(read_records(root)) == 2


def test_an_empty_folder_has_no_records_and_a_missing_one_is_an_error(tmp_path):
    assert read_records(tmp_path) == []
    with pytest.raises(RunError, match="no folder"):
        read_records(tmp_path / "nowhere")


def test_a_record_is_read_only(root):
    record = read_records(root)[0]
    with pytest.raises(TypeError):
        record.result["accuracy_best"] = 1.0
    with pytest.raises(AttributeError):
        record.spec = spec(seed=2)


@pytest.mark.parametrize("name", ["result.json", "spec.json", "metrics.jsonl"])
@pytest.mark.parametrize("damage", [lambda text: text[:-15], lambda text: b"\xff" + text, lambda text: b"[]\n"])
def test_a_damaged_file_is_named(root, name, damage):
    path = read_records(root)[1].path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=name.replace(".", r"\.")) as caught:
        read_records(root)
    assert str(path) in str(caught.value)


def test_a_result_without_what_is_promised_is_damaged(root):
    path = read_records(root)[0].path / "result.json"
    path.write_text(path.read_text().replace("accuracy_best", "accuracy_of_yore"))
    with pytest.raises(RunError, match="lacks 'accuracy_best'"):
        read_records(root)


def test_a_spec_of_another_nodepath_is_named(root):
    path = read_records(root)[0].path / "spec.json"
    path.write_text(path.read_text().replace('"bn"', '"bm"'))
    with pytest.raises(RunError, match=r"spec\.json is no spec of this nodepath .*'bm'"):
        read_records(root)


@pytest.mark.parametrize(
    ("name", "read"),
    [("masks.safetensors", Record.masks), ("weights.safetensors", Record.weights), ("env.json", Record.environment)],
)
def test_files_read_on_demand_are_named_when_damaged(root, name, read):
    record = read_records(root)[0]
    path = record.path / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        read(record)
