"""Number of times that a run reads a film: once for its digest, its packets and its frames; once its state later."""

import hashlib
import os
from collections import Counter

import av
import pytest

from src.config import Config
from src.pipeline import Request, score
from src.utils import file_digest
from src.watch import once_per_state, states, watching
from tests.data.own_folders import electrodes


@pytest.fixture
def at_once(monkeypatch):
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(states, "RECENT_NS", 0)


def test_a_film_is_read_once_for_each_purpose(tmp_path, monkeypatch, at_once):
    films, opened = tmp_path / "mine", Counter()
    electrodes(films, n=6)

    def note(kind, path):
        if str(path).startswith(f"{films}/film"):
            opened[kind, os.path.basename(path)] += 1

    # frames are decoded in this process
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    digest, open_film = hashlib.file_digest, av.open
    monkeypatch.setattr(hashlib, "file_digest", lambda f, *rest: (note("digest", f.name), digest(f, *rest))[1])
    monkeypatch.setattr(av, "open", lambda p, *rest, **more: (note("film", p), open_film(p, *rest, **more))[1])
    config = Config(*[tmp_path / name for name in ("data", "activations", "results", "weights")], 1)
    request = Request("electrodes", "fake-image-net", (str(films),), splits=2, bootstrap=0)
    [first] = score(request, config)
    assert {kind for kind, _ in opened} == {"digest", "film"}
    assert {name: opened["digest", name] for _, name in opened} == {f"film-{k}.mkv": 1 for k in range(6)}
    # its packets, then its frames
    assert {opened["film", name] for _, name in opened} == {2}
    opened.clear()
    asked, stat = Counter(), os.stat

    def counted(path, *arguments, **options):
        asked[os.fspath(path) if not isinstance(path, int) else path] += 1
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", counted)
    [again] = score(request, config)
    assert again.facts == first.facts
    assert not opened
    assert {asked[str(films / f"film-{k}.mkv")] for k in range(6)} == {1}


def test_a_result_is_remembered_while_the_file_is_as_it_was(tmp_path, at_once):
    calls = []

    @once_per_state
    def length(path):
        calls.append(path)
        return len(path.read_bytes())

    path = tmp_path / "a"
    path.write_text("one")
    assert [length(path) for _ in range(3)] == [3] * 3
    assert len(calls) == 1
    path.write_text("three")
    assert length(path) == 5
    (tmp_path / "b").write_text("other")
    times = os.stat(path)
    os.replace(tmp_path / "b", path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert length(path) == 5
    assert len(calls) == 3


def test_what_was_changed_just_now_is_read_again(tmp_path):
    calls = []
    remembered = once_per_state(lambda path: calls.append(path))
    (tmp_path / "a").write_text("one")
    for _ in range(2):
        remembered(tmp_path / "a")
    assert len(calls) == 2


def test_watched_code_reads_what_is_remembered(tmp_path, at_once):
    (tmp_path / "a").write_text("one")
    remembered = once_per_state(file_digest)
    remembered(tmp_path / "a")
    with watching() as seen:
        remembered(tmp_path / "a")
    assert str(tmp_path / "a") in seen.inputs()["files"]


def test_a_failure_is_not_remembered(tmp_path, at_once):
    remembered = once_per_state(file_digest)
    with pytest.raises(FileNotFoundError):
        remembered(tmp_path / "a")
    (tmp_path / "a").write_text("one")
    assert remembered(tmp_path / "a") == file_digest(tmp_path / "a")
