"""Filling of activation folders by one process at a time: resumed after a kill, repaired after damage."""

import atexit
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..config import ACTIVATIONS_VARIABLE
from ..files import DamagedFile, reading, remove_folder, remove_left_overs, rename_damaged, writing
from ..stages import differing
from .folder import Folder, LayerFiles

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0


class Interrupted(Exception):
    """Early end of the filling of an activation folder; finished stimuli are kept and the next call resumes."""


class ActivationSink:
    """Destination of the activations that an extractor computes.

    All bins [0, n_valid) of all layers of a stimulus are written before the stimulus is finished. Finished stimuli
    reach the disk within FLUSH_SECONDS, their data before the mark that they are done; a killed run loses the others.

    Attributes
    ----------
    done : numpy.ndarray, (n_stimuli,), bool
        Stimuli that are stored already.
    home : Path
        Folder that holds the activation folder; it exists.
    confirm : callable
        Called with the indices of finished stimuli before they are marked as done on the disk; it raises to prevent it.
    """

    def __init__(self, folder: Folder, files: LayerFiles, is_locked: Callable[[], bool]):
        self.done, self.home = folder.done.copy(), folder.path.parent
        self.confirm: Callable[[Sequence[int]], None] = lambda stimuli: None
        self._folder, self._files, self._is_locked = folder, files, is_locked
        self._written: dict[int, dict[str, np.ndarray]] = {}
        self._pending: list[int] = []
        self._flushed = time.monotonic()

    def write(self, i: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        """Store bins [first_bin, first_bin + k) of a stimulus.

        Parameters
        ----------
        i : int
            Index of the stimulus.
        layer : str
        first_bin : int
        values : numpy.ndarray, (k, n_features)
            Stored as float32.

        Raises
        ------
        ValueError
            If the shape does not fit the layer, or the stimulus is done.
        """
        values = np.ascontiguousarray(values, np.float32)
        n_time = self._folder.shape[1]
        expected = (len(values), self._folder.sizes[layer])
        if values.shape != expected or first_bin < 0 or first_bin + len(values) > n_time or self.done[i]:
            raise ValueError(
                f"stimulus {i}, layer {layer}: got {values.shape} values from bin {first_bin} of {n_time}, "
                f"done {bool(self.done[i])}; expected {expected} inside a stimulus that is not done"
            )
        with writing(self._folder.path, ACTIVATIONS_VARIABLE):
            self._files.write(layer, i, first_bin, values)
        self._bins(i)[layer][first_bin : first_bin + len(values)] = True

    def finish(self, i: int, n_valid: int) -> None:
        """Mark stimulus `i` with `n_valid` leading bins as done; raise ValueError if some of them are not written."""
        gaps = [layer for layer, bins in self._bins(i).items() if not bins[:n_valid].all()]
        if gaps or not 0 <= n_valid <= self._folder.shape[1] or self.done[i]:
            raise ValueError(f"stimulus {i}: finished with {n_valid} bins, but not all are written in {gaps}")
        with writing(self._folder.path, ACTIVATIONS_VARIABLE):
            self._files.clear(i, n_valid)
            checksums = self._files.checksums(i, n_valid)
        self._folder.n_valid[i], self._folder.checksums[i] = n_valid, checksums
        del self._written[i]
        self.done[i] = True
        self._pending.append(i)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write finished stimuli to the disk, then mark them as done there; raise Interrupted if the lock is lost."""
        if not self._is_locked():
            raise Interrupted(f"another process took over {self._folder.path} because this one did not renew its lock")
        if self._pending:
            self.confirm(self._pending)
            with writing(self._folder.path, ACTIVATIONS_VARIABLE):
                self._files.sync()
                self._folder.done[self._pending] = True
                self._folder.write_state()
        self._pending, self._flushed = [], time.monotonic()

    def _bins(self, i: int) -> dict[str, np.ndarray]:
        if i not in self._written:
            self._written[i] = {layer: np.zeros(self._folder.shape[1], bool) for layer in self._folder.sizes}
        return self._written[i]


def is_complete(folder: Folder, seal: bool) -> bool:
    """Read the state of a folder and return True if all stimuli are done; raise DamagedFile, NewerFormat.

    A folder whose files look as they did when they were written is checked up to CHECK_BYTES, any other completely.
    seal: seal a folder that was not sealed and proved sound.
    """
    if not folder.read():
        return False
    if not folder.done.all():
        return False
    sealed = folder.is_sealed()
    damaged = folder.damaged(folder.rows_to_check(everything=not sealed))
    if damaged:
        raise DamagedFile(f"{len(damaged)} stimuli differ from what was written")
    if seal and not sealed:
        remove_left_overs(folder.path, "")
        with suppress(OSError):
            folder.seal()
    return True


def fill_folder(
    folder: Folder, fill: Callable[[ActivationSink], None], rerun: bool, is_locked: Callable[[], bool]
) -> None:
    """Fill what is missing or damaged in `folder`; the caller holds its lock. Raises Interrupted."""
    with reading(folder.path, ACTIVATIONS_VARIABLE), writing(folder.path, ACTIVATIONS_VARIABLE):
        _prepare(folder, rerun)
    if not folder.done.all():
        _fill_missing(folder, fill, is_locked)
    with writing(folder.path, ACTIVATIONS_VARIABLE):
        if not folder.is_sealed():
            folder.seal()


def _prepare(folder: Folder, rerun: bool) -> None:
    """Read the folder, repair it or create it; mark all stimuli as not done for a rerun."""
    remove_left_overs(folder.path.parent, folder.path.name)
    remove_left_overs(folder.path, "")
    try:
        found = folder.read()
    except DamagedFile as damage:
        rename_damaged(folder.path, str(damage))
        found = False
    if not found:
        folder.clear_state()
        folder.create()
    elif rerun or _is_begun_by_other_code(folder):
        folder.unseal()
        folder.clear_state()
        folder.write_state()
        folder.write_manifest()
    else:
        _repair(folder)


def _is_begun_by_other_code(folder: Folder) -> bool:
    """Return True for a folder whose missing stimuli would be computed by other sources than the others."""
    if folder.done.all() or not (stages := differing(folder.made_by)):
        return False
    log.warning("%s was begun by other sources of %s; all stimuli are computed again", folder.path, ", ".join(stages))
    return True


def _repair(folder: Folder) -> None:
    """Move damaged stimuli out of the folder, or rename the folder if they are most of it."""
    damaged = folder.damaged(np.flatnonzero(folder.done))
    if 2 * len(damaged) > folder.done.sum():
        rename_damaged(folder.path, f"{len(damaged)} of {folder.done.sum()} stimuli damaged")
        folder.clear_state()
        folder.create()
    elif damaged:
        folder.move_out(damaged)
    if not folder.done.all():
        folder.unseal()


def _fill_missing(folder: Folder, fill: Callable[[ActivationSink], None], is_locked: Callable[[], bool]) -> None:
    if folder.done.any():
        log.info("%s: %d of %d stimuli are done", folder.path, folder.done.sum(), len(folder.ids))
    with writing(folder.path, ACTIVATIONS_VARIABLE):
        files = LayerFiles(folder, os.O_RDWR)
    with files:
        sink = ActivationSink(folder, files, is_locked)
        try:
            fill(sink)
        finally:
            sink.flush()
    if not folder.done.all():
        raise Interrupted(f"{folder.done.sum()} of {len(folder.ids)} stimuli are done")


def temporary_home() -> Path:
    """Create a folder that is removed when this process ends."""
    home, owner = Path(tempfile.mkdtemp(prefix="dynamic-vision-")), os.getpid()
    atexit.register(lambda: remove_folder(home) if os.getpid() == owner else None)
    return home
