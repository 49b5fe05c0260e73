import errno
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src import files
from src.store import Interrupted, Store
from src.utils import BadInput


def fetch(store, key, extractor, **options):
    return store.activations(key, extractor.sizes, extractor.ids, extractor, **options)


def fail_if_called(sink):
    raise AssertionError("filled again")


def fetch_again(store, key, extractor):
    return store.activations(key, extractor.sizes, extractor.ids, fail_if_called)


def layer_file(config, number=0):
    return sorted(config.activations_home.rglob("layer-*.npy"))[number]


def file_name(descriptor):
    return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))


def test_filled_once_and_read_after(store, activation_key, extractor):
    assert not store.holds(activation_key)
    extractor.check(fetch(store, activation_key, extractor))
    again = fetch_again(store, activation_key, extractor)
    extractor.check(again)
    assert store.holds(activation_key)
    assert extractor.computed == [0, 1, 2, 3, 4]
    assert list(again.layers) == ["conv.1", "head/2"]
    assert again.time_ms.tolist() == [[0, 1000], [1000, 2000], [2000, 3000]]


def test_layers_are_read_only_memory_maps_that_numpy_opens(store, activation_key, extractor, config):
    values = fetch(store, activation_key, extractor).layers["conv.1"]
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable
    np.testing.assert_array_equal(np.load(layer_file(config), mmap_mode="r", allow_pickle=False), values)


def test_an_interrupted_filling_resumes(store, activation_key, half_extractor, extractor):
    with pytest.raises(Interrupted, match="3 of 5 stimuli are done"):
        fetch(store, activation_key, half_extractor)
    assert not store.holds(activation_key)
    extractor.check(fetch(store, activation_key, extractor))
    assert extractor.computed == [3, 4]


def test_an_error_keeps_what_was_finished(store, activation_key, extractor):
    def fail(sink):
        sink.write(0, "conv.1", 0, extractor.values(0, "conv.1"))
        sink.write(0, "head/2", 0, extractor.values(0, "head/2"))
        sink.finish(0, 1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.activations(activation_key, extractor.sizes, extractor.ids, fail)
    extractor.check(fetch(store, activation_key, extractor))
    assert extractor.computed == [1, 2, 3, 4]


def test_rerun_fills_everything_again(store, activation_key, extractor):
    fetch(store, activation_key, extractor)
    fetch(store, activation_key, extractor, rerun=True)
    assert extractor.computed == [0, 1, 2, 3, 4] * 2
    extractor.check(fetch_again(store, activation_key, extractor))


def test_bins_may_be_written_in_pieces_and_out_of_order(store, activation_key, extractor):
    def backwards(sink):
        for i in reversed(range(5)):
            for layer in reversed(extractor.sizes):
                values = extractor.values(i, layer)
                for time_bin in reversed(range(len(values))):
                    sink.write(i, layer, time_bin, values[time_bin : time_bin + 1])
            sink.finish(i, extractor.n_valid(i))

    extractor.check(store.activations(activation_key, extractor.sizes, extractor.ids, backwards))


def test_bins_beyond_a_stimulus_are_zero(store, activation_key, extractor):
    def too_much(sink):
        for i in range(5):
            for layer, size in extractor.sizes.items():
                sink.write(i, layer, 0, np.full((3, size), 9.0))
                sink.write(i, layer, 0, extractor.values(i, layer))
            sink.finish(i, extractor.n_valid(i))

    extractor.check(store.activations(activation_key, extractor.sizes, extractor.ids, too_much))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (lambda s: s.write(0, "conv.1", 0, np.zeros((1, 9))), r"got \(1, 9\) values from bin 0"),
        (lambda s: s.write(0, "conv.1", 2, np.zeros((2, 4))), "inside a stimulus that is not done"),
        (lambda s: (s.write(0, "conv.1", 0, np.zeros((2, 4))), s.finish(0, 2)), r"not all are written in \['head/2'\]"),
        (lambda s: s.finish(0, 4), "finished with 4 bins"),
    ],
)
def test_an_extractor_that_writes_wrong_values_raises(store, activation_key, extractor, steps, message):
    with pytest.raises(ValueError, match=message):
        store.activations(activation_key, extractor.sizes, extractor.ids, steps)


def test_sizes_that_do_not_fit_the_layers_raise(store, activation_key, extractor):
    with pytest.raises(ValueError, match="expected one or more features for each of"):
        store.activations(activation_key, {"conv.1": 4}, extractor.ids, fail_if_called)


def test_a_folder_with_other_ids_is_renamed(store, activation_key, extractor, config, caplog):
    fetch(store, activation_key, extractor)
    extractor.ids = ("uno", *extractor.ids[1:])
    extractor.check(fetch(store, activation_key, extractor))
    assert "its ids differ from the wanted ones; renamed to" in caplog.text
    assert len(list(config.activations_home.glob("*.damaged-*"))) == 1


def test_a_flipped_bit_costs_one_stimulus(store, activation_key, extractor, config, caplog):
    fetch(store, activation_key, extractor)
    path = layer_file(config)
    position = 128 + 4 * 4 * (3 * 3 + 0) + 5
    with open(path, "r+b") as handle:
        handle.seek(position)
        byte = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([byte ^ 16]))
    extractor.computed.clear()
    extractor.check(fetch(store, activation_key, extractor))
    assert extractor.computed == [3]
    assert "1 of 5 stimuli damaged (four); moved to rows.damaged-" in caplog.text
    (moved,) = config.activations_home.rglob("rows.damaged-*.npz")
    with np.load(moved, allow_pickle=False) as kept:
        assert sorted(kept) == ["3-conv.1", "3-head_2"]
        assert kept["3-conv.1"].shape == (3, 4)
    extractor.check(fetch_again(store, activation_key, extractor))


def test_a_flipped_bit_that_keeps_the_time_of_the_file_is_found(store, activation_key, extractor, config):
    fetch(store, activation_key, extractor)
    path = layer_file(config, 1)
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[128 + 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    extractor.computed.clear()
    extractor.check(fetch(store, activation_key, extractor))
    assert extractor.computed == [0]


def test_a_folder_that_is_mostly_damaged_is_renamed(store, activation_key, extractor, config, only_file, caplog):
    fetch(store, activation_key, extractor)
    sums = only_file(config.activations_home, "checksums.npy")
    sums.write_bytes(sums.read_bytes()[:128] + b"\1" * (5 * 2 * 16))
    extractor.check(fetch(store, activation_key, extractor))
    assert "5 of 5 stimuli damaged; renamed to" in caplog.text
    assert extractor.computed == [0, 1, 2, 3, 4] * 2


def test_a_copied_cache_is_checked_completely_once(store, activation_key, extractor, config, monkeypatch):
    fetch(store, activation_key, extractor)
    os.utime(layer_file(config), (1, 1))
    monkeypatch.setattr("src.store.folder.CHECK_BYTES", 1)
    checked, pread = set(), os.pread

    def record(descriptor, length, position):
        row_bytes = 4 * 3 * extractor.sizes["conv.1" if "conv" in file_name(descriptor) else "head/2"]
        checked.add((position - 128) // row_bytes)
        return pread(descriptor, length, position)

    monkeypatch.setattr(os, "pread", record)
    for n_checked in (5, 1):
        checked.clear()
        extractor.check(fetch_again(store, activation_key, extractor))
        assert len(checked) == n_checked


def test_a_folder_with_a_truncated_file_is_renamed(store, activation_key, extractor, config, caplog):
    fetch(store, activation_key, extractor)
    os.truncate(layer_file(config), 200)
    extractor.computed.clear()
    extractor.check(fetch(store, activation_key, extractor))
    assert extractor.computed == [0, 1, 2, 3, 4]
    assert "layer-00-conv.1.npy has 200 bytes; expected 368; renamed to" in caplog.text


def test_a_later_manifest_is_left_alone(store, activation_key, extractor, config, only_file):
    fetch(store, activation_key, extractor)
    only_file(config.activations_home, "manifest.json").write_bytes(files.encode_json({"format": files.FORMAT + 1}))
    for rerun in (False, True):
        with pytest.raises(BadInput, match=r"later version of this program .* MMAP_HOME"):
            fetch(store, activation_key, extractor, rerun=rerun)
    assert list(config.activations_home.glob("*.damaged-*")) == []


def test_disk_full_is_one_line_and_resumes(store, activation_key, extractor, monkeypatch):
    write, room = os.pwrite, iter(range(30))

    def filling(*arguments):
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("src.store.activations.FLUSH_SECONDS", 0)
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(BadInput, match=r"disk full while writing .*MMAP_HOME"):
            fetch(store, activation_key, extractor)
    extractor.check(fetch(store, activation_key, extractor))


def test_data_reach_the_disk_before_they_are_marked_as_done(store, activation_key, extractor, monkeypatch):
    events, fsync, replace_file = [], os.fsync, os.replace

    def record_fsync(descriptor):
        events.extend(["data"] * file_name(descriptor).startswith("layer-"))
        fsync(descriptor)

    def record_replace(source, target):
        events.extend(["done"] * (Path(target).name == "done.npy"))
        replace_file(source, target)

    monkeypatch.setattr("src.store.activations.FLUSH_SECONDS", 0)
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    fetch(store, activation_key, extractor)
    # two layers, created and then written for each of five stimuli
    assert events == ["data", "data", "done"] * (1 + 5)


def test_a_process_that_lost_its_lock_stops(store, activation_key, extractor, config, only_file, monkeypatch):
    monkeypatch.setattr("src.locks.RENEW_SECONDS", 0.05)

    def lose_lock(sink):
        only_file(config.activations_home, "*.lock").unlink()
        time.sleep(0.3)
        extractor(sink)

    with pytest.raises(Interrupted, match="another process took over"):
        store.activations(activation_key, extractor.sizes, extractor.ids, lose_lock)


def test_unwritten_bins_take_no_space(store, activation_key, extractor, config):
    bins = tuple((float(t), t + 1.0) for t in range(20000))
    fetch(store, replace(activation_key, bins_ms=bins), extractor)
    path = layer_file(config)
    assert path.stat().st_size > 1_500_000
    assert path.stat().st_blocks * 512 < 200_000


def test_two_stores_share_their_activations(store, activation_key, extractor, config):
    fetch(store, activation_key, extractor)
    extractor.check(fetch_again(Store(config), activation_key, extractor))


def test_resuming_is_logged(store, activation_key, half_extractor, extractor, caplog):
    with pytest.raises(Interrupted):
        fetch(store, activation_key, half_extractor)
    with caplog.at_level(logging.INFO):
        fetch(store, activation_key, extractor)
    assert "3 of 5 stimuli are done" in caplog.text
