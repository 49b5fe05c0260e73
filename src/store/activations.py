"""Filling activation folders: resumed where a killed run stopped, repaired where damaged, by one process at a time."""

import atexit
import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..files import Damaged, remove_folder, remove_left_overs, set_aside, understood, writing
from .folder import Folder, LayerFiles

log = logging.getLogger(__name__)

VARIABLE = "MMAP_HOME"
FLUSH_SECONDS = 2.0


class Interrupted(Exception):
    """The filling of an activation folder stopped early; what is done is kept. The caller exits with 143."""


class ActivationSink:
    """Where an extractor puts what it computes; `done` (n_stimuli,) says what it need not compute.

    Every layer's bins [0, n_valid) of a stimulus must be written before it is finished. What is finished reaches the
    disk within seconds, data first; a killed run loses no more than that.
    """

    def __init__(self, folder: Folder, files: LayerFiles, still_ours: Callable[[], bool]):
        self.done = folder.done.copy()
        self._folder, self._files, self._still_ours = folder, files, still_ours
        self._written: dict[int, dict[str, np.ndarray]] = {}
        self._pending: list[int] = []
        self._flushed = time.monotonic()

    def write(self, i: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        """Store bins [first_bin, first_bin + k) of stimulus `i`: values (k, n_features), kept as float32."""
        values = np.ascontiguousarray(values, np.float32)
        n_time = self._folder.shape[1]
        expected = (len(values), self._folder.sizes[layer])
        if values.shape != expected or first_bin < 0 or first_bin + len(values) > n_time or self.done[i]:
            raise ValueError(
                f"stimulus {i}, layer {layer}: got {values.shape} values from bin {first_bin} of {n_time}, "
                f"done {bool(self.done[i])}; expected {expected} inside a stimulus that is not done"
            )
        with writing(self._folder.path, VARIABLE):
            self._files.write(layer, i, first_bin, values)
        self._bins(i)[layer][first_bin : first_bin + len(values)] = True

    def finish(self, i: int, n_valid: int) -> None:
        """Stimulus `i` is whole and covers the leading `n_valid` bins."""
        gaps = [layer for layer, bins in self._bins(i).items() if not bins[:n_valid].all()]
        if gaps or not 0 <= n_valid <= self._folder.shape[1] or self.done[i]:
            raise ValueError(f"stimulus {i}: finished with {n_valid} bins, but not all are written in {gaps}")
        with writing(self._folder.path, VARIABLE):
            self._files.clear(i, n_valid)
        self._folder.n_valid[i] = n_valid
        self._folder.checksums[i] = self._files.checksums(i, n_valid)
        del self._written[i]
        self.done[i] = True
        self._pending.append(i)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring what is finished to the disk and only then say so there."""
        if not self._still_ours():
            raise Interrupted(f"another process took over {self._folder.path} while this one stood still")
        if self._pending:
            with writing(self._folder.path, VARIABLE):
                self._files.sync()
                self._folder.done[self._pending] = True
                self._folder.write_state()
        self._pending, self._flushed = [], time.monotonic()

    def _bins(self, i: int) -> dict[str, np.ndarray]:
        if i not in self._written:
            self._written[i] = {layer: np.zeros(self._folder.shape[1], bool) for layer in self._folder.sizes}
        return self._written[i]


def is_whole(folder: Folder) -> bool:
    """Whether everything is there and, as far as it is checked, what was written; reads the folder's state.

    A folder whose files look as they did when they were written is read through up to a limit (CHECK_BYTES), any other
    wholly. Raises Damaged, Newer.
    """
    if not folder.read():
        return False
    if not folder.done.all():
        return False
    sealed = folder.is_sealed()
    damaged = folder.damaged(folder.rows_to_check(everything=not sealed))
    if damaged:
        raise Damaged(f"{len(damaged)} stimuli differ from what was written")
    if not sealed:
        remove_left_overs(folder.path, "")
        with suppress(OSError):
            folder.seal()
    return True


def make_whole(folder: Folder, fill: Callable[[ActivationSink], None], rerun: bool, still_ours) -> None:
    """Fill what is missing or damaged in `folder`; the caller holds the folder's lock. Raises Interrupted."""
    with writing(folder.path, VARIABLE), understood(folder.path, VARIABLE):
        _prepare(folder, rerun)
    if not folder.done.all():
        _fill(folder, fill, still_ours)
    with writing(folder.path, VARIABLE):
        if not folder.is_sealed():
            folder.seal()


def _prepare(folder: Folder, rerun: bool) -> None:
    """Leave a folder that can be trusted: found, mended or made, with everything undone if it is a rerun."""
    remove_left_overs(folder.path.parent, folder.path.name)
    remove_left_overs(folder.path, "")
    try:
        found = folder.read()
    except Damaged as damage:
        set_aside(folder.path, str(damage))
        found = False
    if not found:
        folder.clear_state()
        folder.create()
    elif rerun:
        folder.unseal()
        folder.clear_state()
        folder.write_state()
    else:
        _mend(folder)


def _mend(folder: Folder) -> None:
    """Set damaged stimuli aside, or the folder if they are most of it, so that they are computed again."""
    damaged = folder.damaged(np.flatnonzero(folder.done))
    if 2 * len(damaged) > folder.done.sum():
        set_aside(folder.path, f"{len(damaged)} of {folder.done.sum()} stimuli damaged")
        folder.clear_state()
        folder.create()
    elif damaged:
        folder.set_rows_aside(damaged)
    if not folder.done.all():
        folder.unseal()


def _fill(folder: Folder, fill: Callable[[ActivationSink], None], still_ours) -> None:
    log.info("%s: %d of %d stimuli are done", folder.path, folder.done.sum(), len(folder.ids))
    with writing(folder.path, VARIABLE):
        files = LayerFiles(folder, os.O_RDWR)
    with files:
        sink = ActivationSink(folder, files, still_ours)
        try:
            fill(sink)
        finally:
            sink.flush()
    if not folder.done.all():
        raise Interrupted(f"{folder.done.sum()} of {len(folder.ids)} stimuli are done; run again to go on from there")


def temporary_home() -> Path:
    """A folder that is removed when this process ends."""
    home, owner = Path(tempfile.mkdtemp(prefix="dynamic-vision-")), os.getpid()
    atexit.register(lambda: remove_folder(home) if os.getpid() == owner else None)
    return home
