"""Activations on disk: one folder per key, one memory map per layer, resumable stimulus by stimulus.

A folder holds `manifest.json` (what it is), one `.npy` per layer of shape (n_stimuli, n_time, n_features), `done.npy`
(n_stimuli,), `n_valid.npy` (n_stimuli,), `checksums.npy` (n_stimuli, n_layers, 16) and, when whole, `seal.json`. Data
reach the disk before `done` says so. They are written with `pwrite`, because a full disk kills whoever writes through
a memory map.
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
    Damaged,
    Newer,
    close_json,
    read_bytes,
    read_json,
    remove_folder,
    sync_folder,
    temporary_sibling,
    write_all,
    write_atomic,
)
from ..records import Activations
from .keys import ActivationKey, key_content, key_digest, readable
from .npy import make_sparse, npy_bytes, npy_header, read_npy
from .provenance import provenance

log = logging.getLogger(__name__)

CHECKSUM_BYTES = 16
# A whole folder up to this size is read through when it is opened; of a larger one that was not touched since it was
# written, as many random stimuli.
CHECK_BYTES = 2**30


class Folder:
    """The activation folder at `path` for `key`: `sizes` {layer: n_features}, `ids` (n_stimuli,)."""

    def __init__(self, path: Path, key: ActivationKey, sizes: Mapping[str, int], ids: Sequence[str]):
        if set(sizes) != set(key.layers) or min(sizes.values(), default=0) < 1:
            raise ValueError(f"sizes are {dict(sizes)}; expected one or more features for each of {key.layers}")
        self.path, self.key, self.ids = path, key, tuple(ids)
        self.sizes = {layer: int(sizes[layer]) for layer in key.layers}
        self.shape = (len(self.ids), len(key.bins_ms))
        self.headers = {layer: npy_header(np.float32, (*self.shape, size)) for layer, size in self.sizes.items()}
        self.clear_state()

    def clear_state(self) -> None:
        """Forget what is done, in memory."""
        self.done = np.zeros(self.shape[0], bool)
        self.n_valid = np.zeros(self.shape[0], np.int64)
        self.checksums = np.zeros((self.shape[0], len(self.sizes), CHECKSUM_BYTES), np.uint8)

    def layer_path(self, layer: str) -> Path:
        return self.path / f"layer-{list(self.sizes).index(layer):02d}-{readable(layer)}.npy"

    def offset(self, layer: str, stimulus: int, time_bin: int) -> int:
        """The place of one stimulus's time bin in a layer's file, in bytes."""
        return len(self.headers[layer]) + 4 * self.sizes[layer] * (stimulus * self.shape[1] + time_bin)

    def description(self) -> dict:
        """What the manifest must say for the folder to be the wanted one."""
        content = key_content(self.key)
        return {
            "class": content["class"],
            "key": content["fields"],
            "digest": key_digest(self.key),
            "sizes": [[layer, size] for layer, size in self.sizes.items()],
            "ids": list(self.ids),
        }

    def create(self) -> None:
        """Make the folder, all stimuli undone, in one rename."""
        target, self.path = self.path, temporary_sibling(self.path)
        try:
            self.path.mkdir(parents=True)
            fields = key_content(self.key)["fields"]
            write_atomic(
                self.path / "manifest.json", close_json(self.description() | {"provenance": provenance(fields)})
            )
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

    def read(self) -> bool:
        """Read manifest and state; False where there is no folder. Raises Damaged, Newer."""
        if not self.path.is_dir():
            return False
        manifest = read_json(self.path / "manifest.json")
        if manifest is None:
            raise Damaged("its manifest is missing")
        for name, wanted in self.description().items():
            if manifest.get(name) != wanted:
                raise Damaged(f"its {name} differ from the wanted ones")
        for layer in self.sizes:
            self._check_layer(layer)
        for name, blank in reversed(self._state().items()):
            setattr(self, name, read_npy(self.path / f"{name}.npy", blank.dtype, blank.shape))
        return True

    def _check_layer(self, layer: str) -> None:
        path, expected = self.layer_path(layer), self.offset(layer, self.shape[0], 0)
        found = path.stat().st_size if path.is_file() else 0
        if found != expected:
            raise Damaged(f"{path.name} has {found} bytes; expected {expected}")
        with open(path, "rb") as handle:
            if handle.read(len(self.headers[layer])) != self.headers[layer]:
                raise Damaged(f"the header of {path.name} changed")

    # Written in this order and read in the opposite one, so that what is said to be done has its checksums.
    def _state(self) -> dict[str, np.ndarray]:
        return {"checksums": self.checksums, "n_valid": self.n_valid, "done": self.done}

    def write_state(self) -> None:
        """Write which stimuli are done; their data must lie on the disk by then."""
        for name, array in self._state().items():
            write_atomic(self.path / f"{name}.npy", npy_bytes(array))

    def seal(self) -> None:
        """Note that the folder is whole and how its files look."""
        write_atomic(self.path / "seal.json", close_json(self._look()))

    def unseal(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path / "seal.json")

    def is_sealed(self) -> bool:
        """Whether every file looks as it did when the folder became whole (only equality of times matters)."""
        try:
            return read_json(self.path / "seal.json") == self._look()
        except Damaged:
            return False

    def _look(self) -> dict:
        stats = {layer: self.layer_path(layer).stat() for layer in self.sizes}
        state = {
            name: hashlib.sha256(read_bytes(self.path / f"{name}.npy") or b"").hexdigest() for name in self._state()
        }
        return {"layers": {layer: [s.st_size, s.st_mtime_ns] for layer, s in stats.items()}, "state": state}

    def damaged(self, rows: Sequence[int]) -> list[int]:
        """Those of `rows` (stimuli said to be done) whose data or length are not what was written."""
        bad = []
        with LayerFiles(self, os.O_RDONLY) as files:
            for row in rows:
                n_valid = int(self.n_valid[row])
                if not 0 <= n_valid <= self.shape[1] or not files.is_sound(row, n_valid, self.checksums[row]):
                    bad.append(int(row))
        return bad

    def rows_to_check(self, everything: bool) -> np.ndarray:
        """The done stimuli to read through: all, or a random part worth CHECK_BYTES."""
        rows = np.flatnonzero(self.done)
        each = max(1, 4 * self.shape[1] * sum(self.sizes.values()))
        limit = max(1, CHECK_BYTES // each)
        if everything or len(rows) <= limit:
            return rows
        return np.random.default_rng().choice(rows, limit, replace=False)

    def set_rows_aside(self, rows: list[int]) -> None:
        """Copy damaged stimuli to a file of their own, name them, and mark them as not done."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        target = self.path / f"rows.damaged-{stamp}-{secrets.token_hex(2)}.npz"
        with zipfile.ZipFile(target, "x") as aside:
            for name, values in self.maps().items():
                for row in rows:
                    with aside.open(f"{row}-{readable(name)}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.array(values[row]), allow_pickle=False)
        names = ", ".join(self.ids[row] for row in rows[:5])
        told = (
            f"{len(rows)} of {len(self.ids)} stimuli damaged ({names}); set aside as {target.name} and computed again"
        )
        log.warning("%s: %s", self.path, told)
        self.unseal()
        self.done[rows] = False
        self.write_state()

    def maps(self) -> dict[str, np.ndarray]:
        """{layer: read-only memory map (n_stimuli, n_time, n_features)}."""
        return {
            layer: np.memmap(self.layer_path(layer), np.float32, "r", len(self.headers[layer]), (*self.shape, size))
            for layer, size in self.sizes.items()
        }

    def activations(self) -> Activations:
        time_ms = np.asarray(self.key.bins_ms, np.float64).reshape(-1, 2)
        return Activations(layers=self.maps(), time_ms=time_ms, n_valid=self.n_valid.copy(), ids=self.ids)


def has_seal(path: Path, key: ActivationKey) -> bool:
    """Whether the folder at `path` was once whole and is that of `key`; its data are not looked at."""
    try:
        manifest, seal = read_json(path / "manifest.json"), read_json(path / "seal.json")
    except (Damaged, Newer):
        return False
    return seal is not None and manifest is not None and manifest.get("digest") == key_digest(key)


class LayerFiles:
    """The open files of a folder's layers, for reading and writing single stimuli; closed by its `with` block."""

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
        """One checksum per layer over a stimulus's place, length and data: (n_layers, CHECKSUM_BYTES) uint8."""
        head = np.array([stimulus, n_valid], "<i8").tobytes()
        sums = [hashlib.sha256(head + self.read(layer, stimulus, 0, n_valid)).digest() for layer in self.folder.sizes]
        return np.frombuffer(b"".join(s[:CHECKSUM_BYTES] for s in sums), np.uint8).reshape(-1, CHECKSUM_BYTES)

    def is_sound(self, stimulus: int, n_valid: int, checksums: np.ndarray) -> bool:
        """Whether a stimulus's valid bins are those of the checksums and the others zero."""
        empty = all(self.is_empty(layer, stimulus, n_valid) for layer in self.folder.sizes)
        return empty and bool((self.checksums(stimulus, n_valid) == checksums).all())

    def is_empty(self, layer: str, stimulus: int, first_bin: int) -> bool:
        """Whether the bins of a stimulus from `first_bin` on are zero; holes of the file are not read."""
        n_time = self.folder.shape[1]
        start, end = (self.folder.offset(layer, stimulus, time_bin) for time_bin in (first_bin, n_time))
        try:
            start = os.lseek(self.descriptors[layer], start, os.SEEK_DATA) if start < end else end
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
        return start >= end or not os.pread(self.descriptors[layer], end - start, start).strip(b"\0")

    def clear(self, stimulus: int, first_bin: int) -> None:
        """Make the bins of a stimulus from `first_bin` on zero where they are not."""
        for layer in self.folder.sizes:
            if not self.is_empty(layer, stimulus, first_bin):
                size = (self.folder.shape[1] - first_bin, self.folder.sizes[layer])
                self.write(layer, stimulus, first_bin, np.zeros(size, np.float32))

    def sync(self) -> None:
        for descriptor in self.descriptors.values():
            os.fsync(descriptor)
