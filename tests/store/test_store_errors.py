"""Errors of disks and libraries in our words, and stale files of network disks that are read again."""

import errno
import os
from pathlib import Path

import pytest

from src.files import check_can_replace, not_stale, reading, require_regular, writing
from src.utils import BadInput


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_error_of_reading_names_file_and_variable(number):
    with (
        pytest.raises(BadInput, match=r"cannot read some/file \(.*\); .*set MMAP_HOME to another folder"),
        reading(Path("some"), "MMAP_HOME"),
    ):
        raise OSError(number, os.strerror(number), "some/file")


def test_an_error_of_a_library_that_writes_is_told_in_our_words():
    with (
        pytest.raises(BadInput, match=r"cannot write a\.nc \(NetCDF: HDF error\); the disk may be full"),
        writing(Path("a.nc"), "--output"),
    ):
        raise RuntimeError("NetCDF: HDF error")
    with pytest.raises(RuntimeError, match="another"), writing(Path("a.nc"), "--output"):
        raise RuntimeError("another")


def failing(number, times):
    """Function that raises an error so many times before it returns 1."""
    left = [number] * times

    def call():
        if left:
            raise OSError(left.pop(), "told")
        return 1

    return call


def test_a_stale_file_is_read_once_more_and_others_are_not():
    assert not_stale(failing(errno.ESTALE, 1)) == 1
    with pytest.raises(OSError, match="told"):
        not_stale(failing(errno.ESTALE, 2))
    with pytest.raises(OSError, match="told"):
        not_stale(failing(errno.EIO, 1))


def test_a_stale_file_is_found(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    stat, stale = os.stat, [OSError(errno.ESTALE, "stale")]

    def once(*arguments, **options):
        if stale:
            raise stale.pop()
        return stat(*arguments, **options)

    monkeypatch.setattr(os, "stat", once)
    require_regular(tmp_path / "a", "a file")
    assert not stale


def test_a_trial_of_an_output_leaves_nothing(tmp_path):
    check_can_replace(tmp_path / "a.csv", "--output")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.csv").write_text("kept")
    check_can_replace(tmp_path / "a.csv", "--output")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
