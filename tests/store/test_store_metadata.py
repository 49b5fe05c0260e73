import os

import pytest

from src import files
from src.store import Metadata, metadata
from src.utils import BadInput


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1234")
    return path


@pytest.fixture
def make(weights):
    def made() -> Metadata:
        made.count += 1
        return Metadata({"count": made.count}, (weights,), {"pytest": pytest.__version__})

    made.count = 0
    return made


def test_metadata_are_made_once_per_kind_name_and_inputs(store, make):
    assert store.metadata("model", "r3d", make) == store.metadata("model", "r3d", make) == {"count": 1}
    assert store.metadata("model", "r3d", make, inputs={"fps": 25}) == {"count": 2}
    assert store.metadata("model", "r3d", make, inputs={"fps": 25}) == {"count": 2}
    assert store.metadata("data", "r3d", make) == {"count": 3}
    assert store.metadata("model", "r3d", make) == {"count": 1}


def test_a_changed_file_makes_them_again(store, make, weights):
    store.metadata("model", "r3d", make)
    weights.write_bytes(b"1235")
    assert store.metadata("model", "r3d", make) == {"count": 2}
    weights.write_bytes(b"12350")
    assert store.metadata("model", "r3d", make) == {"count": 3}


def test_a_missing_file_makes_them_again(store, make, weights):
    store.metadata("model", "r3d", make)
    weights.rename(weights.with_suffix(".moved"))
    weights.symlink_to(weights.with_suffix(".moved"))
    assert store.metadata("model", "r3d", make) == {"count": 1}
    weights.unlink()
    with pytest.raises(FileNotFoundError):
        store.metadata("model", "r3d", make)


def test_a_touched_file_is_read_once(store, make, weights, monkeypatch):
    store.metadata("model", "r3d", make)
    os.utime(weights, (5, 5))
    assert store.metadata("model", "r3d", make) == {"count": 1}
    monkeypatch.setattr(metadata, "content_digest", lambda path: pytest.fail("read again"))
    assert store.metadata("model", "r3d", make) == {"count": 1}


def test_another_package_version_makes_them_again(store, make, monkeypatch):
    store.metadata("model", "r3d", make)
    monkeypatch.setattr(metadata, "package_version", lambda name: "0")
    assert store.metadata("model", "r3d", make) == {"count": 2}


def test_damaged_metadata_are_renamed(store, make, config, only_file, caplog):
    store.metadata("model", "r3d", make)
    path = only_file(config.results_home, "*.json")
    path.write_bytes(path.read_bytes()[:-2])
    assert store.metadata("model", "r3d", make) == {"count": 2}
    assert "not readable as JSON; renamed to" in caplog.text


def test_metadata_of_a_later_version_are_left_alone(store, make, config, only_file):
    store.metadata("model", "r3d", make)
    path = only_file(config.results_home, "*.json")
    path.write_bytes(files.encode_json({"format": files.FORMAT + 1}))
    with pytest.raises(BadInput, match="later version"):
        store.metadata("model", "r3d", make)


def test_cached_only_reads_metadata_and_makes_none(store, make, weights, monkeypatch):
    store.metadata("model", "r3d", make)
    monkeypatch.setenv("RESULTCACHING_CACHEDONLY", "dynamic_vision.metadata")
    assert store.metadata("model", "r3d", make) == {"count": 1}
    weights.write_bytes(b"4321")
    with pytest.raises(BadInput, match=r"metadata of model r3d must be computed \(.*weights.bin changed\)"):
        store.metadata("model", "r3d", make)


def test_disabled_metadata_are_neither_read_nor_written(store, make, config, monkeypatch):
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    assert [store.metadata("model", "r3d", make)["count"] for _ in range(2)] == [1, 2]
    assert not config.results_home.exists()


def test_large_files_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "COMPLETE_BYTES", 1000)
    monkeypatch.setattr(metadata, "SAMPLE_BYTES", 10)
    monkeypatch.setattr(metadata, "SAMPLES", 5)
    path = tmp_path / "large"
    data = bytearray(2000)
    digests = set()
    for place in (None, 0, 500, 1999):
        if place is not None:
            data[place] ^= 1
        path.write_bytes(data)
        digests.add(metadata.content_digest(path))
    path.write_bytes(data + b"\0")
    assert len(digests | {metadata.content_digest(path)}) == 5
