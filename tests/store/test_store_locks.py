import logging
import os
import threading
import time

import pytest

from benchmarks.fault_world import collect, in_child, start
from src import files, locks
from src.utils import BadInput


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "folder" / "thing.lock"


@pytest.fixture(autouse=True)
def short_polls(monkeypatch):
    monkeypatch.setattr(locks, "LONGEST_POLL_SECONDS", 0.02)


def hold_and_be_killed(lock):
    with locks.locked(lock, "MMAP_HOME"):
        os.kill(os.getpid(), 9)


def test_the_lock_names_its_holder_and_is_removed_after(lock):
    with locks.locked(lock, "MMAP_HOME") as is_held:
        pid, host = str(os.getpid()), os.uname().nodename
        found = dict(line.split("=") for line in lock.read_text().splitlines()[1:])
        assert (found["pid"], found["host"]) == (pid, host)
        assert int(found["start"]) > 0
        assert locks.holder(lock) == f"process {pid} on {host}"
        assert is_held()
    assert not lock.exists()
    assert locks.holder(lock) is None


def test_a_waiting_process_logs_the_owner(lock):
    def hold():
        with locks.locked(lock, "MMAP_HOME"):
            time.sleep(0.5)

    def wait():
        while not lock.exists():
            time.sleep(0.01)
        with locks.locked(lock, "MMAP_HOME"):
            return os.getpid()

    holding = start(hold)
    waiting = collect(start(wait))
    collect(holding)
    assert waiting.logged.count("waiting for process") == 1
    assert f"waiting for process {holding[0]} on {os.uname().nodename}, which holds {lock}" in waiting.logged


def test_the_lock_of_a_killed_process_is_recovered_and_named(lock, caplog):
    child = start(lambda: hold_and_be_killed(lock))
    assert collect(child).killed == 9
    assert lock.exists()
    assert locks.is_dead_lock(lock)
    with locks.locked(lock, "MMAP_HOME"):
        pass
    assert f"recovered the lock {lock} of process {child[0]}" in caplog.text
    assert not lock.exists()


def test_a_lock_released_in_order_is_not_called_recovered(lock, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with locks.locked(lock, "MMAP_HOME"):
                pass
    assert "recovered" not in caplog.text


def test_a_nameless_lock_is_removed_after_a_while(lock, caplog, monkeypatch):
    monkeypatch.setattr(locks, "NAMELESS_SECONDS", 0.1)
    lock.parent.mkdir()
    lock.write_text("")
    os.utime(lock, (2e9, 2e9))
    with locks.locked(lock, "MMAP_HOME"):
        assert "which a killed process left without its name" in caplog.text
    assert list(lock.parent.iterdir()) == []


def test_a_dead_owner_on_another_host_is_waited_for_and_then_replaced(lock, caplog, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.1)
    in_child(lambda: hold_and_be_killed(lock))
    lock.write_text(lock.read_text().replace(os.uname().nodename, "far-away"))
    begin = time.monotonic()
    with locks.locked(lock, "MMAP_HOME"):
        assert time.monotonic() - begin > 0.5
    assert "on far-away, which ended without releasing it" in caplog.text


def test_a_busy_owner_keeps_its_lock_beyond_the_lease(lock, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.4)
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.1)

    def hold():
        with locks.locked(lock, "MMAP_HOME") as is_held:
            time.sleep(1.2)
            return is_held(), time.monotonic()

    def wait():
        while not lock.exists():
            time.sleep(0.01)
        with locks.locked(lock, "MMAP_HOME"):
            return time.monotonic()

    holding, waiting = start(hold), start(wait)
    held, released = collect(holding).result
    assert held
    assert collect(waiting).result >= released


def test_the_owner_of_a_lost_lock_is_informed(lock, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    with locks.locked(lock, "MMAP_HOME") as is_held:
        lock.unlink()
        time.sleep(0.3)
        assert not is_held()


def test_a_thread_waits_for_other_threads_and_not_for_itself(lock):
    order = []

    def other():
        with locks.locked(lock, "MMAP_HOME"):
            order.append("other")

    with locks.locked(lock, "MMAP_HOME"):
        with locks.locked(lock, "MMAP_HOME"):
            order.append("inner")
        assert lock.exists()
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("outer")
    thread.join()
    assert order == ["inner", "outer", "other"]


def test_a_lock_that_cannot_be_written_raises_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BadInput, match=r"cannot write .*thing.lock .*set MMAP_HOME"),
        locks.locked(tmp_path / "file" / "thing.lock", "MMAP_HOME"),
    ):
        pass


def test_an_atomic_write_replaces_completely_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "file"
    files.write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("broken")))
        with pytest.raises(OSError, match="broken"):
            files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_left_overs_of_ended_processes_are_removed_and_others_kept(tmp_path):
    ended = in_child(lambda: str(files.temporary_sibling(tmp_path / "x.nc"))).result
    running = files.temporary_sibling(tmp_path / "x.nc")
    for path in (ended, running, tmp_path / "x.tmp-elsewhere-1-0123abcd"):
        open(path, "w").close()
    files.remove_left_overs(tmp_path, "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([running.name, "x.tmp-elsewhere-1-0123abcd"])


def test_two_damaged_files_in_a_second_are_both_kept(tmp_path):
    for content in ("a", "b", "c"):
        (tmp_path / "x").write_text(content)
        files.rename_damaged(tmp_path / "x", "bad")
    assert sorted(p.read_text() for p in tmp_path.iterdir()) == ["a", "b", "c"]
    assert files.rename_damaged(tmp_path / "x", "bad") is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"checksum":1}', b"\xff\xfe", b'{"a":1,"checksum":"x"}'])
def test_json_of_other_programs_is_damaged(data):
    with pytest.raises(files.DamagedFile):
        files.decode_json(data)
