import json
import os
from dataclasses import replace

import pytest

from benchmarks.fault_world import in_child
from src import files
from src.cli import run_command
from src.store import Entry, Interrupted, key_digest


@pytest.fixture
def cache(store, config, ceiling_key, score_key, activation_key, extractor, monkeypatch):
    monkeypatch.setenv("RESULTCACHING_HOME", str(config.results_home))
    monkeypatch.setenv("MMAP_HOME", str(config.activations_home))
    store.activations(activation_key, extractor.sizes, extractor.ids, extractor)
    entry = Entry({"raw": [1.0, 2.0]}, {})
    store.fetch(replace(score_key, activations=(key_digest(activation_key),)), lambda: entry)
    store.fetch(replace(ceiling_key, data=("unknown",)), lambda: entry)
    store.fetch(ceiling_key, lambda: entry)
    return store


def output(capsys, *arguments, code=0):
    assert run_command("store", arguments) == code
    return capsys.readouterr().out


def table(text):
    return [line.split() for line in text.splitlines()]


def test_ls_and_du_show_everything(cache, capsys):
    listed = output(capsys, "ls")
    assert listed.splitlines()[0].startswith("KIND         MODEL  DATASETS   MADE")
    assert sorted(row[0] for row in table(listed)[1:]) == ["activations", "ceiling", "ceiling", "score"]
    assert all("complete" in line for line in listed.splitlines()[1:])
    assert table(output(capsys, "du"))[-1][:2] == ["total", "4"]


def test_ls_of_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RESULTCACHING_HOME", str(tmp_path / "no"))
    monkeypatch.setenv("MMAP_HOME", str(tmp_path / "no"))
    assert len(table(output(capsys, "ls"))) == 1


def test_ls_shows_the_finished_stimuli(cache, activation_key, half_extractor, capsys):
    with pytest.raises(Interrupted):
        cache.activations(
            replace(activation_key, mode="causal"), half_extractor.sizes, half_extractor.ids, half_extractor
        )
    assert "3 of 5" in output(capsys, "ls")


def test_verify_reads_everything(cache, config, only_file, capsys):
    assert output(capsys, "verify") == "4 items read, 0 damaged\n"
    value = only_file(config.results_home, "fmri*.nc")
    value.write_bytes(value.read_bytes()[:-1] + b"x")
    layer = only_file(config.activations_home, "layer-01*.npy")
    layer.write_bytes(layer.read_bytes().replace(b"\0" * 4, b"\1" * 4, 1))
    printed = output(capsys, "verify", code=2)
    assert "the checksum of its value does not fit" in printed
    assert "the header of layer-01-head_2.npy changed" in printed or "stimuli are damaged" in printed
    assert printed.endswith("4 items read, 2 damaged\n")


def test_verify_names_the_damaged_stimulus(cache, config, only_file, capsys):
    layer = only_file(config.activations_home, "layer-01*.npy")
    data = bytearray(layer.read_bytes())
    data[-2] ^= 1
    layer.write_bytes(data)
    assert "1 stimuli are damaged: five" in output(capsys, "verify", code=2)


def test_rm_lists_before_it_removes(cache, config, capsys):
    assert "2 items" in output(capsys, "rm", "--model", "r3d")
    assert len(table(output(capsys, "ls"))) == 5
    assert "2 items removed, 0 kept" in output(capsys, "rm", "--model", "r3d", "--yes")
    assert len(table(output(capsys, "ls"))) == 3
    assert list(config.activations_home.iterdir()) == []


def test_rm_requires_a_condition(cache, capsys):
    assert run_command("store", ["rm", "--yes"]) == 2
    assert "expected --older, --model or --unused" in capsys.readouterr().err


def test_rm_unused_keeps_what_scores_depend_on(cache, config, capsys):
    damaged = config.results_home / "dynamic_vision.score" / "x.json.damaged-1"
    damaged.write_text("")
    printed = output(capsys, "rm", "--unused", "--yes")
    assert "2 items removed" in printed
    assert not damaged.exists()
    assert sorted(row[0] for row in table(output(capsys, "ls"))[1:]) == ["activations", "ceiling", "score"]


def test_rm_older_uses_the_time_in_the_manifest(cache, config, only_file, capsys):
    path = only_file(config.results_home, "fmri*.json")
    content = json.loads(path.read_text())
    content.pop("checksum")
    content["provenance"]["created"] = "2020-01-01T00:00:00+00:00"
    path.write_bytes(files.encode_json(content))
    os.utime(path, (2e9, 2e9))
    assert "1 items, " in output(capsys, "rm", "--older", "30")
    assert "0 items, " in output(capsys, "rm", "--older", "30", "--model", "alexnet")


def test_rm_keeps_what_is_in_use(cache, config, only_file, capsys):
    from benchmarks.fault_world import collect, start
    from src import locks

    folder = only_file(config.activations_home, "manifest.json").parent
    lock = folder.with_name(folder.name + ".lock")
    reading, writing = os.pipe()

    def hold():
        with locks.locked(lock, "MMAP_HOME"):
            os.read(reading, 1)

    holder = start(hold)
    while locks.holder(lock) is None:
        pass
    printed = output(capsys, "rm", "--model", "r3d", "--yes")
    os.write(writing, b"x")
    collect(holder)
    assert f"in use by process {holder[0]}" in printed
    assert "1 items removed, 1 kept" in printed
    assert folder.is_dir()


def test_left_over_locks_and_files_are_listed(cache, config, capsys):
    from src import locks

    folder = config.results_home / "dynamic_vision.score"

    def die():
        (files.temporary_sibling(folder / "y.nc")).write_text("half")
        with locks.locked(folder / "y.lock", "MMAP_HOME"):
            os.kill(os.getpid(), 9)

    in_child(die)
    (folder / "orphan.nc").write_text("")
    assert sum(row[0] == "left-over" for row in table(output(capsys, "ls"))[1:]) == 3


def test_why_searches_by_words(cache, capsys):
    printed = output(capsys, "why", "r3d", "a", "gap_ms=0")
    assert any("options.gap_ms" in line and line.endswith("10000.0") for line in printed.splitlines())
    printed = output(capsys, "why", "r3d", "mode=block", "context_ms=4000", "partial=false", "layers=conv.1,head/2")
    assert table(printed)[1][2:] == ["-", "-", "-"]
    assert run_command("store", ["why", "r3d", "speed=3"]) == 2
    assert "unknown field 'speed'" in capsys.readouterr().err


def test_why_compares_the_keys_of_a_request(cache, ceiling_key, capsys, monkeypatch):
    keys = [ceiling_key, replace(ceiling_key, splits=3, seed=9)]
    monkeypatch.setattr("src.cli.store.keys", lambda request, config: keys)
    printed = output(capsys, "why", "fake-net", "fake-fmri", "--", "--splits", "3")
    assert "ceiling: stored as fake-fmri-" in printed
    assert ["splits", "3", "10"] in table(printed)
    assert ["seed", "9", "1"] in table(printed)


def test_why_with_an_empty_cache(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RESULTCACHING_HOME", str(tmp_path / "no"))
    monkeypatch.setenv("MMAP_HOME", str(tmp_path / "no"))
    assert run_command("store", ["why", "r3d"]) == 2
    assert "nothing is stored" in capsys.readouterr().err


def test_a_folder_of_another_program_version_is_named(cache, config, only_file, capsys):
    path = only_file(config.activations_home, "manifest.json")
    content = json.loads(path.read_text())
    content.pop("checksum")
    content["key"]["colour"] = "red"
    path.write_bytes(files.encode_json(content))
    assert "its key is not one of this version of the program" in output(capsys, "verify", code=2)
