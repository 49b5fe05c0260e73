"""Activations on the disk: one folder per key, one memory map per layer, resumable stimulus by stimulus.

A folder holds `manifest.json` (key, layer sizes, stimulus ids), one `.npy` per layer of shape (n_stimuli, n_time,
n_features), `done.npy` (n_stimuli,), `n_valid.npy` (n_stimuli,), `checksums.npy` (n_stimuli, n_layers, 16) and, once
all stimuli are done, `seal.json` with the sizes and times of the files. Data reach the disk before `done.npy` does.
They are written with `pwrite`, because a full disk kills a process that writes through a memory map.
"""

import errno
import hashlib
import logging
import os
import secrets
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..files import (
    DamagedFile,
    NewerFormat,
    encode_json,
    read_bytes,
    read_json,
    remove_folder,
    safe_name,
    sync_folder,
    temporary_sibling,
    write_all,
    write_atomic,
)
from ..records import Activations
from ..utils import first_names
from .keys import ActivationKey, key_digest, key_manifest, stage_of
from .npy import make_sparse, npy_bytes, npy_header, read_npy
from .provenance import provenance

log = logging.getLogger(__name__)

CHECKSUM_BYTES = 16
# A folder up to this size is checked completely when it is opened; of a larger one whose files are unchanged, random
# stimuli of this size are checked.
CHECK_BYTES = 2**30


class Folder:
    """The activation folder of `key` at `path`; sizes: {layer: n_features}; ids: (n_stimuli,)."""

    def __init__(self, path: Path, key: ActivationKey, sizes: Mapping[str, int], ids: Sequence[str]):
        if set(sizes) != set(key.layers) or min(sizes.values(), default=0) < 1:
            raise ValueError(f"sizes are {dict(sizes)}; expected one or more features for each of {key.layers}")
        self.path, self.key, self.ids = path, key, tuple(ids)
        self.sizes = {layer: int(sizes[layer]) for layer in key.layers}
        self.shape = (len(self.ids), len(key.bins_ms))
        self.headers = {layer: npy_header(np.float32, (*self.shape, size)) for layer, size in self.sizes.items()}
        self.made_by: dict[str, list] = {}
        self.clear_state()

    def clear_state(self) -> None:
        """Mark all stimuli as not done, in memory."""
        self.done = np.zeros(self.shape[0], bool)
        self.n_valid = np.zeros(self.shape[0], np.int64)
        self.checksums = np.zeros((self.shape[0], len(self.sizes), CHECKSUM_BYTES), np.uint8)

    def layer_path(self, layer: str) -> Path:
        return self.path / f"layer-{list(self.sizes).index(layer):02d}-{safe_name(layer)}.npy"

    def offset(self, layer: str, stimulus: int, time_bin: int) -> int:
        """Return the position of a time bin of a stimulus in a layer's file, in bytes."""
        return len(self.headers[layer]) + 4 * self.sizes[layer] * (stimulus * self.shape[1] + time_bin)

    def description(self) -> dict:
        """Return the fields of the manifest that identify the folder."""
        sizes = [[layer, size] for layer, size in self.sizes.items()]
        return key_manifest(self.key) | {"sizes": sizes, "ids": list(self.ids)}

    def create(self) -> None:
        """Create the folder with no stimulus done, in one rename."""
        target, self.path = self.path, temporary_sibling(self.path)
        try:
            self.path.mkdir(parents=True)
            self.write_manifest()
            for layer, header in self.headers.items():
                make_sparse(self.layer_path(layer), header, self.offset(layer, self.shape[0], 0))
            self.write_state()
            os.rename(self.path, target)
        except BaseException:
            remove_folder(self.path)
            raise
        finally:
            self.path = target
        sync_folder(target.parent)

    def write_manifest(self) -> None:
        """Write the description with the provenance of the present program."""
        description, self.made_by = self.description(), stage_of(self.key)
        manifest = description | {"provenance": provenance(description["key"], made_by=self.made_by)}
        write_atomic(self.path / "manifest.json", encode_json(manifest))

    def read(self) -> bool:
        """Read the manifest and the state; return False if there is no folder. Raises DamagedFile, NewerFormat."""
        if not self.path.is_dir():
            return False
        manifest = read_json(self.path / "manifest.json")
        if manifest is None:
            raise DamagedFile("its manifest is missing")
        for name, wanted in self.description().items():
            if manifest.get(name) != wanted:
                raise DamagedFile(f"its {name} differ from the wanted ones")
        self.made_by = manifest.get("provenance", {}).get("sources", {})
        for layer in self.sizes:
            self._check_layer(layer)
        for name, blank in reversed(self._state().items()):
            setattr(self, name, read_npy(self.path / f"{name}.npy", blank.dtype, blank.shape))
        return True

    def _check_layer(self, layer: str) -> None:
        path, expected = self.layer_path(layer), self.offset(layer, self.shape[0], 0)
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            raise DamagedFile(f"{path.name} has {found} bytes; expected {expected}")
        with open(path, "rb") as handle:
            if handle.read(len(self.headers[layer])) != self.headers[layer]:
                raise DamagedFile(f"the header of {path.name} changed")

    # Written in this order and read in the opposite one, so that every stimulus that is read as done has its checksums.
    def _state(self) -> dict[str, np.ndarray]:
        return {"checksums": self.checksums, "n_valid": self.n_valid, "done": self.done}

    def write_state(self) -> None:
        """Write the state; the data of all stimuli that are done must be on the disk."""
        for name, array in self._state().items():
            write_atomic(self.path / f"{name}.npy", npy_bytes(array))

    def seal(self) -> None:
        """Write the sizes and times of the files of a complete folder."""
        write_atomic(self.path / "seal.json", encode_json(self._stats()))

    def unseal(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path / "seal.json")

    def is_sealed(self) -> bool:
        """Return True if the sizes, times and state of all files equal those in the seal."""
        try:
            return read_json(self.path / "seal.json") == self._stats()
        except DamagedFile:
            return False

    def _stats(self) -> dict:
        stats = {layer: self.layer_path(layer).stat() for layer in self.sizes}
        state = {
            name: hashlib.sha256(read_bytes(self.path / f"{name}.npy") or b"").hexdigest() for name in self._state()
        }
        return {"layers": {layer: [s.st_size, s.st_mtime_ns] for layer, s in stats.items()}, "state": state}

    def damaged(self, rows: Sequence[int]) -> list[int]:
        """Return those of `rows` (indices of stimuli) whose data or length differ from what was written."""
        bad = []
        with LayerFiles(self, os.O_RDONLY) as files:
            for row in rows:
                n_valid = int(self.n_valid[row])
                if not 0 <= n_valid <= self.shape[1] or not files.is_sound(row, n_valid, self.checksums[row]):
                    bad.append(int(row))
        return bad

    def rows_to_check(self, everything: bool) -> np.ndarray:
        """Return the stimuli to check: all that are done, or a random sample of them of CHECK_BYTES."""
        rows = np.flatnonzero(self.done)
        each = max(1, 4 * self.shape[1] * sum(self.sizes.values()))
        limit = max(1, CHECK_BYTES // each)
        if everything or len(rows) <= limit:
            return rows
        return np.random.default_rng().choice(rows, limit, replace=False)

    def move_out(self, rows: list[int]) -> None:
        """Copy damaged stimuli to `rows.damaged-<time>.npz`, log their ids and mark them as not done."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        target = self.path / f"rows.damaged-{stamp}-{secrets.token_hex(2)}.npz"
        with zipfile.ZipFile(target, "x") as archive:
            for name, values in self.maps().items():
                for row in rows:
                    with archive.open(f"{row}-{safe_name(name)}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.array(values[row]), allow_pickle=False)
        names = first_names(self.ids[row] for row in rows)
        counts = f"{len(rows)} of {len(self.ids)} stimuli damaged"
        log.warning("%s: %s (%s); moved to %s and computed again", self.path, counts, names, target.name)
        self.unseal()
        self.done[rows] = False
        self.write_state()

    def maps(self) -> dict[str, np.ndarray]:
        """Return {layer: read-only memory map (n_stimuli, n_time, n_features)}."""
        return {
            layer: np.memmap(self.layer_path(layer), np.float32, "r", len(self.headers[layer]), (*self.shape, size))
            for layer, size in self.sizes.items()
        }

    def activations(self) -> Activations:
        time_ms = np.asarray(self.key.bins_ms, np.float64).reshape(-1, 2)
        return Activations(layers=self.maps(), time_ms=time_ms, n_valid=self.n_valid.copy(), ids=self.ids)


def has_seal(path: Path, key: ActivationKey) -> bool:
    """Return True if the folder at `path` belongs to `key` and has a seal; its data are not checked."""
    try:
        manifest, seal = read_json(path / "manifest.json"), read_json(path / "seal.json")
    except (DamagedFile, NewerFormat):
        return False
    return seal is not None and manifest is not None and manifest.get("digest") == key_digest(key)


class LayerFiles:
    """Open files of the layers of a folder, for reading and writing single stimuli; a context manager closes them."""

    def __init__(self, folder: Folder, flags: int):
        self.folder = folder
        self.descriptors: dict[str, int] = {}
        try:
            for layer in folder.sizes:
                self.descriptors[layer] = os.open(folder.layer_path(layer), flags)
        except OSError:
            self.__exit__()
            raise

    def __enter__(self) -> "LayerFiles":
        return self

    def __exit__(self, *_) -> None:
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.descriptors = {}

    def write(self, layer: str, stimulus: int, first_bin: int, values: np.ndarray) -> None:
        write_all(self.descriptors[layer], values, self.folder.offset(layer, stimulus, first_bin))

    def read(self, layer: str, stimulus: int, first_bin: int, last_bin: int) -> bytes:
        start = self.folder.offset(layer, stimulus, first_bin)
        length = self.folder.offset(layer, stimulus, last_bin) - start
        return os.pread(self.descriptors[layer], length, start) if length else b""

    def checksums(self, stimulus: int, n_valid: int) -> np.ndarray:
        """Return a checksum per layer over a stimulus's index, length and data: (n_layers, CHECKSUM_BYTES) uint8."""
        head = np.array([stimulus, n_valid], "<i8").tobytes()
        sums = [hashlib.sha256(head + self.read(layer, stimulus, 0, n_valid)).digest() for layer in self.folder.sizes]
        return np.frombuffer(b"".join(s[:CHECKSUM_BYTES] for s in sums), np.uint8).reshape(-1, CHECKSUM_BYTES)

    def is_sound(self, stimulus: int, n_valid: int, checksums: np.ndarray) -> bool:
        """Return True if a stimulus's valid bins fit the checksums and its other bins are zero."""
        empty = all(self.is_empty(layer, stimulus, n_valid) for layer in self.folder.sizes)
        return empty and bool((self.checksums(stimulus, n_valid) == checksums).all())

    def is_empty(self, layer: str, stimulus: int, first_bin: int) -> bool:
        """Return True if the bins of a stimulus from `first_bin` on are zero; holes of the file are not read."""
        n_time = self.folder.shape[1]
        start, end = (self.folder.offset(layer, stimulus, time_bin) for time_bin in (first_bin, n_time))
        try:
            start = os.lseek(self.descriptors[layer], start, os.SEEK_DATA) if start < end else end
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
        return start >= end or not os.pread(self.descriptors[layer], end - start, start).strip(b"\0")

    def clear(self, stimulus: int, first_bin: int) -> None:
        """Set the bins of a stimulus from `first_bin` on to zero if they are not."""
        for layer in self.folder.sizes:
            if not self.is_empty(layer, stimulus, first_bin):
                size = (self.folder.shape[1] - first_bin, self.folder.sizes[layer])
                self.write(layer, stimulus, first_bin, np.zeros(size, np.float32))

    def sync(self) -> None:
        for descriptor in self.descriptors.values():
            os.fsync(descriptor)
