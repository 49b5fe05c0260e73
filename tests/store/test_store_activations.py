import errno
import logging
import os
from dataclasses import replace

import numpy as np
import pytest

from src import files
from src.store import Interrupted, Store, activations, folder
from src.utils import BadInput


def get(store, key, extractor, **options):
    return store.activations(key, extractor.sizes, extractor.ids, extractor, **options)


def never(sink):
    raise AssertionError("filled again")


def fetch_again(store, key, extractor):
    return store.activations(key, extractor.sizes, extractor.ids, never)


def layer_file(config, number=0):
    return sorted(config.activations_home.rglob("layer-*.npy"))[number]


def test_filled_once_and_read_after(store, answers_key, extractor):
    assert not store.holds(answers_key)
    extractor.check(get(store, answers_key, extractor))
    again = fetch_again(store, answers_key, extractor)
    extractor.check(again)
    assert store.holds(answers_key)
    assert extractor.asked == [0, 1, 2, 3, 4]
    assert list(again.layers) == ["conv.1", "head/2"]
    assert again.time_ms.tolist() == [[0, 1000], [1000, 2000], [2000, 3000]]


def test_layers_are_read_only_memory_maps_that_numpy_opens(store, answers_key, extractor, config):
    values = get(store, answers_key, extractor).layers["conv.1"]
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable
    np.testing.assert_array_equal(np.load(layer_file(config), mmap_mode="r", allow_pickle=False), values)


def test_an_early_end_is_an_interruption_that_resumes(store, answers_key, half_extractor, extractor):
    with pytest.raises(Interrupted, match="3 of 5 stimuli are done; run again"):
        get(store, answers_key, half_extractor)
    assert not store.holds(answers_key)
    extractor.check(get(store, answers_key, extractor))
    assert extractor.asked == [3, 4]


def test_an_error_keeps_what_was_finished(store, answers_key, extractor):
    def fail(sink):
        sink.write(0, "conv.1", 0, extractor.values(0, "conv.1"))
        sink.write(0, "head/2", 0, extractor.values(0, "head/2"))
        sink.finish(0, 1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.activations(answers_key, extractor.sizes, extractor.ids, fail)
    extractor.check(get(store, answers_key, extractor))
    assert extractor.asked == [1, 2, 3, 4]


def test_rerun_fills_everything_again(store, answers_key, extractor):
    get(store, answers_key, extractor)
    get(store, answers_key, extractor, rerun=True)
    assert extractor.asked == [0, 1, 2, 3, 4] * 2
    extractor.check(fetch_again(store, answers_key, extractor))


def test_bins_in_pieces_and_out_of_order_are_as_good(store, answers_key, extractor):
    def backwards(sink):
        for i in reversed(range(5)):
            for layer in reversed(extractor.sizes):
                values = extractor.values(i, layer)
                for time_bin in reversed(range(len(values))):
                    sink.write(i, layer, time_bin, values[time_bin : time_bin + 1])
            sink.finish(i, extractor.n_valid(i))

    extractor.check(store.activations(answers_key, extractor.sizes, extractor.ids, backwards))


def test_what_lies_beyond_a_stimulus_is_zero(store, answers_key, extractor):
    def too_much(sink):
        for i in range(5):
            for layer, size in extractor.sizes.items():
                sink.write(i, layer, 0, np.full((3, size), 9.0))
                sink.write(i, layer, 0, extractor.values(i, layer))
            sink.finish(i, extractor.n_valid(i))

    extractor.check(store.activations(answers_key, extractor.sizes, extractor.ids, too_much))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (lambda s: s.write(0, "conv.1", 0, np.zeros((1, 9))), r"got \(1, 9\) values from bin 0"),
        (lambda s: s.write(0, "conv.1", 2, np.zeros((2, 4))), "inside a stimulus that is not done"),
        (lambda s: (s.write(0, "conv.1", 0, np.zeros((2, 4))), s.finish(0, 2)), r"not all are written in \['head/2'\]"),
        (lambda s: s.finish(0, 4), "finished with 4 bins"),
    ],
)
def test_an_extractor_that_breaks_its_promise_is_told(store, answers_key, extractor, steps, message):
    with pytest.raises(ValueError, match=message):
        store.activations(answers_key, extractor.sizes, extractor.ids, steps)


def test_sizes_that_do_not_fit_the_layers_are_refused(store, answers_key, extractor):
    with pytest.raises(ValueError, match="expected one or more features for each of"):
        store.activations(answers_key, {"conv.1": 4}, extractor.ids, never)


def test_other_ids_under_the_same_key_are_set_aside(store, answers_key, extractor, config, caplog):
    get(store, answers_key, extractor)
    extractor.ids = ("uno", *extractor.ids[1:])
    extractor.check(get(store, answers_key, extractor))
    assert "its ids differ from the wanted ones; set aside as" in caplog.text
    assert len(list(config.activations_home.glob("*.damaged-*"))) == 1


def test_a_flipped_bit_costs_one_stimulus(store, answers_key, extractor, config, caplog):
    get(store, answers_key, extractor)
    path = layer_file(config)
    position = 128 + 4 * 4 * (3 * 3 + 0) + 5
    with open(path, "r+b") as handle:
        handle.seek(position)
        byte = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([byte ^ 16]))
    extractor.asked.clear()
    extractor.check(get(store, answers_key, extractor))
    assert extractor.asked == [3]
    assert "1 of 5 stimuli damaged (four); set aside as rows.damaged-" in caplog.text
    (aside,) = config.activations_home.rglob("rows.damaged-*.npz")
    with np.load(aside, allow_pickle=False) as kept:
        assert sorted(kept) == ["3-conv.1", "3-head_2"]
        assert kept["3-conv.1"].shape == (3, 4)
    extractor.check(fetch_again(store, answers_key, extractor))


def test_a_flipped_bit_that_keeps_the_time_of_the_file_is_found(store, answers_key, extractor, config):
    get(store, answers_key, extractor)
    path = layer_file(config, 1)
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[128 + 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    extractor.asked.clear()
    extractor.check(get(store, answers_key, extractor))
    assert extractor.asked == [0]


def test_a_folder_that_is_mostly_damaged_is_set_aside(store, answers_key, extractor, config, only_file, caplog):
    get(store, answers_key, extractor)
    sums = only_file(config.activations_home, "checksums.npy")
    sums.write_bytes(sums.read_bytes()[:128] + b"\1" * (5 * 2 * 16))
    extractor.check(get(store, answers_key, extractor))
    assert "5 of 5 stimuli damaged; set aside as" in caplog.text
    assert extractor.asked == [0, 1, 2, 3, 4] * 2


def test_a_copied_cache_is_read_through_once_and_used(store, answers_key, extractor, config, monkeypatch):
    get(store, answers_key, extractor)
    os.utime(layer_file(config), (1, 1))
    checked = []
    damaged = folder.Folder.damaged
    monkeypatch.setattr(folder.Folder, "damaged", lambda self, rows: checked.append(len(rows)) or damaged(self, rows))
    monkeypatch.setattr(folder, "CHECK_BYTES", 1)
    for _ in range(2):
        extractor.check(fetch_again(store, answers_key, extractor))
    assert checked == [5, 1]


def test_a_file_cut_short_sets_the_folder_aside(store, answers_key, extractor, config, caplog):
    get(store, answers_key, extractor)
    os.truncate(layer_file(config), 200)
    extractor.asked.clear()
    extractor.check(get(store, answers_key, extractor))
    assert extractor.asked == [0, 1, 2, 3, 4]
    assert "layer-00-conv.1.npy has 200 bytes; expected 368; set aside as" in caplog.text


def test_a_later_manifest_is_left_alone(store, answers_key, extractor, config, only_file):
    get(store, answers_key, extractor)
    only_file(config.activations_home, "manifest.json").write_bytes(files.close_json({"format": files.FORMAT + 1}))
    for rerun in (False, True):
        with pytest.raises(BadInput, match=r"later version of this program .* MMAP_HOME"):
            get(store, answers_key, extractor, rerun=rerun)
    assert list(config.activations_home.glob("*.damaged-*")) == []


def test_disk_full_is_one_line_and_resumes(store, answers_key, extractor, monkeypatch):
    write, room = os.pwrite, iter(range(30))

    def filling(*arguments):
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(activations, "FLUSH_SECONDS", 0)
        patch.setattr(os, "pwrite", filling)
        with pytest.raises(BadInput, match=r"disk full while writing .*MMAP_HOME"):
            get(store, answers_key, extractor)
    extractor.check(get(store, answers_key, extractor))


def test_data_reach_the_disk_before_the_note_that_they_are_done(store, answers_key, extractor, monkeypatch):
    events = []
    monkeypatch.setattr(activations, "FLUSH_SECONDS", 0)
    monkeypatch.setattr(folder.LayerFiles, "sync", lambda self: events.append("sync"))
    write_state = folder.Folder.write_state
    monkeypatch.setattr(folder.Folder, "write_state", lambda self: events.append("done") or write_state(self))
    get(store, answers_key, extractor)
    assert events == ["done", *["sync", "done"] * 5]


def test_a_process_that_lost_its_lock_stops(store, answers_key, extractor, config):
    target = folder.Folder(config.activations_home / "x", answers_key, extractor.sizes, extractor.ids)
    with pytest.raises(Interrupted, match="another process took over"):
        activations.make_whole(target, extractor, False, lambda: False)


def test_holes_take_no_room(store, answers_key, extractor, config):
    bins = tuple((float(t), t + 1.0) for t in range(20000))
    get(store, replace(answers_key, bins_ms=bins), extractor)
    path = layer_file(config)
    assert path.stat().st_size > 1_500_000
    assert path.stat().st_blocks * 512 < 200_000


def test_two_stores_see_each_other(store, answers_key, extractor, config):
    get(store, answers_key, extractor)
    extractor.check(fetch_again(Store(config), answers_key, extractor))


def test_resuming_is_logged(store, answers_key, half_extractor, extractor, caplog):
    with pytest.raises(Interrupted):
        get(store, answers_key, half_extractor)
    with caplog.at_level(logging.INFO):
        get(store, answers_key, extractor)
    assert "3 of 5 stimuli are done" in caplog.text
