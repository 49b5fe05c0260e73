import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src import files
from src.store import Entry, Store, netcdf
from src.utils import BadInput


def fail_if_called():
    raise AssertionError("computed again")


def test_nothing_is_created_before_something_is_stored(store, ceiling_key, tmp_path):
    assert store.find(ceiling_key) is None
    assert not store.holds(ceiling_key)
    assert store.nearest(ceiling_key) is None
    assert list(tmp_path.iterdir()) == []


def test_a_second_call_computes_nothing_and_gives_the_same(store, ceiling_key, entry):
    first = store.fetch(ceiling_key, lambda: entry)
    second = store.fetch(ceiling_key, fail_if_called)
    assert list(first.facts.items()) == list(second.facts.items()) == list(entry.facts.items())
    np.testing.assert_array_equal(second.arrays["raw"], entry.arrays["raw"])
    assert store.holds(ceiling_key)
    assert store.find(ceiling_key).facts == first.facts


def test_another_key_is_another_value(store, ceiling_key, score_key, entry):
    store.fetch(ceiling_key, lambda: entry)
    assert store.fetch(score_key, lambda: Entry({}, {"n": 2})).facts == {"n": 2}
    assert store.find(ceiling_key).facts == entry.facts


def test_facts_are_what_a_later_call_reads(store, ceiling_key):
    made = store.fetch(ceiling_key, lambda: Entry({}, {"n": np.int64(3), "r": np.float32(0.5), "t": (1, 2)}))
    assert made.facts == {"n": 3, "r": 0.5, "t": [1, 2]}
    with pytest.raises(TypeError, match="expected what JSON can hold"):
        store.fetch(ceiling_key, lambda: Entry({}, {"path": Path("x")}), rerun=True)


def test_rerun_computes_and_replaces(store, ceiling_key, entry):
    store.fetch(ceiling_key, lambda: entry)
    store.fetch(ceiling_key, lambda: Entry({"raw": np.ones(2)}, {"n": 5}), rerun=True)
    assert store.find(ceiling_key).facts == {"n": 5}
    assert store.find(ceiling_key).arrays["raw"].tolist() == [1, 1]


def test_an_error_while_computing_leaves_nothing(store, ceiling_key, entry, config):
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.fetch(ceiling_key, fail)
    assert [path for path in config.results_home.rglob("*") if path.is_file()] == []
    assert store.fetch(ceiling_key, lambda: entry).facts == entry.facts


def test_the_manifest_holds_the_provenance(store, score_key, entry, config, only_file):
    store.fetch(score_key, lambda: entry)
    manifest = json.loads(only_file(config.results_home, "*.json").read_text())
    assert manifest["class"] == "ScoreKey"
    assert manifest["key"]["options"] == [["gap_ms", 10000.0], ["seed", 3.0]]
    provenance = manifest["provenance"]
    assert provenance["packages"]["numpy"] == np.__version__
    assert provenance["seed"] == 3
    assert provenance["device"] == "cpu"
    assert provenance["seconds"] >= 0
    assert os.uname().nodename not in json.dumps(provenance)


def test_the_value_opens_in_xarray(store, ceiling_key, entry, config, only_file):
    xarray = pytest.importorskip("xarray")
    store.fetch(ceiling_key, lambda: entry)
    with xarray.open_dataset(only_file(config.results_home, "*.nc")) as dataset:
        np.testing.assert_array_equal(dataset["raw"].values, entry.arrays["raw"])


def test_a_flipped_bit_is_found_on_first_access(store, ceiling_key, entry, config, only_file, caplog):
    store.fetch(ceiling_key, lambda: entry)
    path = only_file(config.results_home, "*.nc")
    data = bytearray(path.read_bytes())
    data[-5] ^= 4
    path.write_bytes(data)
    found = store.fetch(ceiling_key, lambda: entry)
    assert found.facts == entry.facts
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(found.arrays["raw"], entry.arrays["raw"])
    assert "the checksum of its value does not fit; renamed to" in caplog.text
    assert only_file(config.results_home, "*.nc.damaged-*").read_bytes() == data
    np.testing.assert_array_equal(store.fetch(ceiling_key, fail_if_called).arrays["raw"], entry.arrays["raw"])


def test_find_renames_a_damaged_entry(store, ceiling_key, entry, config, only_file):
    store.fetch(ceiling_key, lambda: entry)
    path = only_file(config.results_home, "*.nc")
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(BadInput, match=r"was damaged .* and renamed; run again"):
        len(store.find(ceiling_key).arrays)
    assert store.find(ceiling_key) is None


def test_damage_found_by_a_recomputation_does_not_wait_for_itself(store, ceiling_key, entry, config, only_file):
    store.fetch(ceiling_key, lambda: entry)
    path = only_file(config.results_home, "*.nc")
    path.write_bytes(b"\0" * path.stat().st_size)
    kept = store.find(ceiling_key)
    with pytest.raises(BadInput, match="run again"):
        store.fetch(ceiling_key, lambda: Entry(dict(kept.arrays), {}), rerun=True)


def test_arrays_read_late_follow_a_rerun(store, ceiling_key, entry):
    store.fetch(ceiling_key, lambda: entry)
    early = store.find(ceiling_key)
    store.fetch(ceiling_key, lambda: Entry({"raw": np.zeros(9)}, {}), rerun=True)
    assert early.arrays["raw"].shape == (9,)


def test_a_manifest_of_another_key_is_renamed(store, ceiling_key, score_key, entry, config, only_file, caplog):
    store.fetch(ceiling_key, lambda: entry)
    manifest, value = (only_file(config.results_home, f"*.{kind}").read_bytes() for kind in ("json", "nc"))
    store.fetch(score_key, lambda: entry)
    path = only_file(config.results_home, "fmri*.json")
    path.write_bytes(manifest)
    path.with_suffix(".nc").write_bytes(value)
    assert store.fetch(score_key, lambda: Entry({}, {"n": 1})).facts == {"n": 1}
    assert "the manifest of another key; renamed to" in caplog.text


def test_a_later_manifest_is_left_alone(store, ceiling_key, entry, config, only_file):
    store.fetch(ceiling_key, lambda: entry)
    path = only_file(config.results_home, "*.json")
    path.write_bytes(files.encode_json({"format": files.FORMAT + 1}))
    before = path.read_bytes()
    for call in (
        lambda: store.find(ceiling_key),
        lambda: store.fetch(ceiling_key, fail_if_called),
        lambda: store.fetch(ceiling_key, fail_if_called, rerun=True),
    ):
        with pytest.raises(BadInput, match=r"written by a later version of this program .* RESULTCACHING_HOME"):
            call()
    assert path.read_bytes() == before


def test_disk_full_is_one_line_and_leaves_nothing(store, ceiling_key, entry, config, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(BadInput, match=r"disk full while writing .*RESULTCACHING_HOME"):
            store.fetch(ceiling_key, lambda: entry)
    assert [path for path in config.results_home.rglob("*") if path.is_file()] == []


def test_a_home_that_is_a_file_is_one_line(config, ceiling_key):
    config.results_home.write_text("")
    with pytest.raises(BadInput, match=r"cannot write .*RESULTCACHING_HOME"):
        Store(config).fetch(ceiling_key, fail_if_called)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_without_rights_can_read_but_not_write(tmp_path, ceiling_key, score_key, entry):
    import tempfile

    from benchmarks.fault_world import in_child
    from src.config import Config

    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        config = Config(Path(home), Path(home) / "a", Path(home) / "r", Path(home), 1)
        Store(config).fetch(ceiling_key, lambda: entry)

        def nobody():
            os.setuid(65534)

        read = in_child(lambda: dict(Store(config).fetch(ceiling_key, fail_if_called).arrays), nobody)
        np.testing.assert_array_equal(read.result["raw"], entry.arrays["raw"])
        refused = in_child(lambda: Store(config).fetch(score_key, fail_if_called), nobody)
        assert refused.error.startswith("BadInput: cannot write")


def test_no_pickle_is_loaded(tmp_path):
    objects = {"bad": np.array([{"a": 1}], dtype=object)}
    with pytest.raises(TypeError, match="array 'bad' has type object; expected numbers or text"):
        netcdf.encode(objects)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="f4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False, True]),
        np.array([1.5, 2], "f2"),
        np.array([-1, 5], "i1"),
        np.array([2**63], "u8"),
        np.array(["a", "bé", ""]),
        np.array("alone"),
        np.zeros((0, 3)),
        np.array([], "U4"),
        np.array([np.nan, np.inf, -0.0]),
        np.float64(3.5),
    ],
)
def test_arrays_survive_a_round_trip(array):
    data = netcdf.encode({"x": array})
    found = netcdf.decode(data)["x"]
    assert found.dtype == np.asarray(array).dtype
    np.testing.assert_array_equal(found, array)
    assert netcdf.encode({"x": array}) == data


def test_finding_an_entry_imports_nothing_heavy(store, ceiling_key, entry, config):
    store.fetch(ceiling_key, lambda: entry)
    code = (
        "import sys; from pathlib import Path; from src.config import Config; from src.store import CeilingKey, Store\n"
        f"p = Path({str(config.data_home)!r})\n"
        "s = Store(Config(p, p / 'activations', p / 'results', p, 1))\n"
        "k = CeilingKey(('fake-fmri',), ('d' * 64,), 10, 1)\n"
        "assert s.find(k).facts['summary'] == s.fetch(k, None).facts['summary'] == 'median 0.3'\n"
        "heavy = {'torch', 'xarray', 'pandas', 'netCDF4', 'h5py', 'scipy', 'filelock', 'result_caching'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
