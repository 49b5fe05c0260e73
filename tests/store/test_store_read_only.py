"""A read-only store: nothing is written or computed, and what is missing raises NotStored."""

import os

import numpy as np
import pytest

from src.store import Entry, Metadata, NotStored, Store
from src.utils import BadInput


@pytest.fixture
def reader(config) -> Store:
    return Store(config, read_only=True)


@pytest.fixture
def make(tmp_path):
    source = tmp_path / "weights.bin"
    source.write_bytes(b"1234")
    return lambda: Metadata({"layers": 3}, (source,))


def fail_if_called(*_):
    raise AssertionError("computed")


def files_below(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_stored_values_are_read_and_nothing_is_written(
    store, reader, ceiling_key, activation_key, entry, extractor, make, tmp_path
):
    store.fetch(ceiling_key, lambda: entry)
    store.activations(activation_key, extractor.sizes, extractor.ids, extractor)
    store.metadata("model", "r3d", make)
    for path in [*tmp_path.rglob("seal.json"), *tmp_path.rglob("*.lock")]:
        path.unlink()
    os.utime(tmp_path / "weights.bin", (5, 5))
    before = files_below(tmp_path)
    assert reader.fetch(ceiling_key, fail_if_called).facts == entry.facts
    np.testing.assert_array_equal(reader.find(ceiling_key).arrays["raw"], entry.arrays["raw"])
    extractor.check(reader.activations(activation_key, extractor.sizes, extractor.ids, fail_if_called))
    assert reader.metadata("model", "r3d", fail_if_called) == {"layers": 3}
    assert files_below(tmp_path) == before


def test_what_is_not_stored_raises(reader, ceiling_key, activation_key, extractor, config):
    with pytest.raises(NotStored, match=r"ceiling/fake-fmri-\w+ is not stored \(nothing of its kind is stored\)"):
        reader.fetch(ceiling_key, fail_if_called)
    with pytest.raises(NotStored, match="activations/r3d-block-"):
        reader.activations(activation_key, extractor.sizes, extractor.ids, fail_if_called)
    with pytest.raises(NotStored, match=r"valid metadata of model r3d is not stored \(there is none\)"):
        reader.metadata("model", "r3d", fail_if_called)
    assert not config.results_home.exists()
    assert not config.activations_home.exists()


def test_a_disabled_store_is_not_filled(reader, activation_key, extractor, monkeypatch):
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    with pytest.raises(NotStored):
        reader.activations(activation_key, extractor.sizes, extractor.ids, fail_if_called)


def test_metadata_are_read_once_per_store(store, reader, config, make, tmp_path):
    store.metadata("model", "r3d", make)
    assert reader.metadata("model", "r3d", fail_if_called) == {"layers": 3}
    (tmp_path / "weights.bin").write_bytes(b"12345")
    assert reader.metadata("model", "r3d", fail_if_called) == {"layers": 3}
    with pytest.raises(NotStored, match=r"weights.bin changed"):
        Store(config, read_only=True).metadata("model", "r3d", fail_if_called)


def test_a_damaged_value_is_named_and_kept(store, reader, ceiling_key, entry, config, only_file):
    store.fetch(ceiling_key, lambda: entry)
    path = only_file(config.results_home, "*.nc")
    path.write_bytes(b"\0" * path.stat().st_size)
    before = files_below(config.results_home)
    with pytest.raises(BadInput, match=r"\.nc is damaged \(the checksum of its value does not fit\); run again"):
        len(reader.fetch(ceiling_key, fail_if_called).arrays)
    assert files_below(config.results_home) == before


def test_arrays_read_late_follow_a_rerun(store, reader, ceiling_key, entry):
    store.fetch(ceiling_key, lambda: entry)
    early = reader.find(ceiling_key)
    store.fetch(ceiling_key, lambda: Entry({"raw": np.zeros(9)}, {}), rerun=True)
    assert early.arrays["raw"].shape == (9,)


def test_items_carry_facts_and_arrays(store, reader, ceiling_key, entry, config, only_file):
    store.fetch(ceiling_key, lambda: entry)
    (item,) = reader.items()
    assert (item.kind, item.datasets, item.facts, item.problem) == ("ceiling", ("fake-fmri",), entry.facts, None)
    np.testing.assert_array_equal(item.read_arrays()["raw"], entry.arrays["raw"])
    os.truncate(only_file(config.results_home, "*.nc"), 7)
    (item,) = reader.items()
    assert item.problem.startswith("its value has 7 bytes; expected ")
