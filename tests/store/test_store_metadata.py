import os
import time

import pytest

from src import files
from src.store import Metadata, metadata
from src.utils import BadInput
from src.watch import states


@pytest.fixture
def weights(tmp_path, monkeypatch):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1234")
    # a file that is new is read twice: it may have changed after it was opened
    monkeypatch.setattr(metadata, "LAG_NS", 0)
    time.sleep(0.01)
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
    with pytest.raises(BadInput, match=r"weights\.bin is gone"):
        store.metadata("model", "r3d", make)


def test_a_touched_file_is_read_once(store, make, weights, monkeypatch):
    monkeypatch.setattr(states, "RECENT_NS", 0)
    store.metadata("model", "r3d", make)
    os.utime(weights, (5, 5))
    assert store.metadata("model", "r3d", make) == {"count": 1}
    monkeypatch.setattr(states, "file_digest", lambda path: pytest.fail("read again"))
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


@pytest.mark.parametrize("attack", ["size and time", "a twin", "a link to a twin's folder"])
def test_another_content_with_the_old_size_and_time_is_found(store, make, weights, attack):
    store.metadata("model", "r3d", make)
    before = os.stat(weights)
    twin = weights.parent / "twin" / weights.name
    twin.parent.mkdir()
    twin.write_bytes(b"4321")
    os.utime(twin, ns=(before.st_atime_ns, before.st_mtime_ns))
    if attack == "size and time":
        weights.write_bytes(b"4321")
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif attack == "a twin":
        os.replace(twin, weights)
    else:
        weights.unlink()
        weights.symlink_to(twin)
    assert store.metadata("model", "r3d", make) == {"count": 2}


def test_a_file_that_changes_while_it_is_read_is_read_again(store, weights):
    def make() -> Metadata:
        text = weights.read_bytes().decode()
        if text == "1234":
            weights.write_bytes(b"5678")
        return Metadata({"text": text}, (weights,))

    assert store.metadata("model", "r3d", make) == {"text": "5678"}
    assert store.metadata("model", "r3d", lambda: pytest.fail("made again")) == {"text": "5678"}


def test_a_file_that_is_put_back_while_it_is_read_is_read_again(store, weights):
    texts = []

    def make() -> Metadata:
        if not texts:
            kept = weights.rename(weights.with_suffix(".kept"))
            weights.write_bytes(b"5678")
            texts.append(weights.read_bytes().decode())
            kept.replace(weights)
        else:
            texts.append(weights.read_bytes().decode())
        return Metadata({"text": texts[-1]}, (weights,))

    assert store.metadata("model", "r3d", make) == {"text": "1234"}


def test_a_file_that_keeps_changing_is_refused(store, weights, config):
    def make() -> Metadata:
        weights.write_bytes(weights.read_bytes() + b"1")
        return Metadata({}, (weights,))

    with pytest.raises(BadInput, match=r"weights.bin changed while it was read; run again when nothing changes it"):
        store.metadata("model", "r3d", make)
    assert not list(config.results_home.rglob("*.json"))
