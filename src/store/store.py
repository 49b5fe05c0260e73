"""The store: a value is read if it is there and whole, else made once, by one process, and kept."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..config import Config
from ..files import Damaged, remove_left_overs, set_aside, understood, write_atomic, writing
from ..locks import locked
from ..records import Activations
from ..utils import BadInput
from . import metadata, search
from .activations import VARIABLE as ACTIVATIONS_VARIABLE
from .activations import ActivationSink, is_whole, make_whole, temporary_home
from .entries import Entry, Place, StoredArrays, plain, read_arrays, read_manifest, set_entry_aside, write_entry
from .environment import is_cached_only, is_enabled
from .folder import Folder, has_seal
from .keys import ActivationKey, Key, key_name
from .metadata import Metadata

log = logging.getLogger(__name__)

VARIABLE = "RESULTCACHING_HOME"


class Store:
    """Scores, ceilings and cards under `config.results_home`, activations under `config.activations_home`.

    Nothing is created before something is written. RESULTCACHING_DISABLE and RESULTCACHING_CACHEDONLY are obeyed.
    """

    def __init__(self, config: Config):
        self.results_home = Path(config.results_home)
        self.activations_home = Path(config.activations_home)

    def fetch(self, key: Key, make: Callable[[], Entry], *, rerun: bool = False) -> Entry:
        """The entry of `key`: read if stored and whole, else made by `make` and stored; its arrays are read when used.

        Raises BadInput where the cache cannot be written, is full, or must not compute (RESULTCACHING_CACHEDONLY).
        """
        place = Place(self.results_home, key)
        if not is_enabled(place.identifier):
            self._may_make(key, place.identifier)
            made = make()
            return Entry(made.arrays, plain(made.facts))
        if not rerun and (entry := self._look(place, make)):
            return entry
        self._may_make(key, place.identifier)
        with locked(place.lock, VARIABLE):
            entry = self._settle(place, make)
            return entry if entry and not rerun else self._make(place, make)

    def find(self, key: Key) -> Entry | None:
        """The stored entry of `key`, or None; nothing is computed, and only the manifest is read before its arrays."""
        place = Place(self.results_home, key)
        return self._look(place, None) if is_enabled(place.identifier) else None

    def holds(self, key: Key) -> bool:
        """Whether the value of `key` is stored and whole, as far as that can be seen without reading it."""
        if not isinstance(key, ActivationKey):
            return self.find(key) is not None
        folder = self.activations_home / key_name(key)
        return is_enabled(f"dynamic_vision.activations/{key_name(key)}") and has_seal(folder, key)

    def _look(self, place: Place, make: Callable[[], Entry] | None) -> Entry | None:
        with understood(place.manifest, VARIABLE):
            try:
                manifest = read_manifest(place)
            except Damaged as damage:
                log.log(logging.WARNING if make is None else logging.INFO, "%s: %s", place.manifest, damage)
                return None
        return self._entry(place, manifest, make)

    def _entry(self, place: Place, manifest: dict | None, make: Callable[[], Entry] | None) -> Entry | None:
        if manifest is None:
            return None
        return Entry(StoredArrays(partial(self._arrays, place, manifest, make)), manifest["facts"])

    def _settle(self, place: Place, make: Callable[[], Entry] | None) -> Entry | None:
        """The stored entry, under the lock: what is damaged is set aside and what was left half-written removed."""
        remove_left_overs(place.value.parent, place.value.stem)
        with writing(place.manifest, VARIABLE), understood(place.manifest, VARIABLE):
            try:
                manifest = read_manifest(place)
            except Damaged as damage:
                set_entry_aside(place, str(damage))
                manifest = None
        return self._entry(place, manifest, make)

    def _make(self, place: Place, make: Callable[[], Entry]) -> Entry:
        start = time.monotonic()
        made = make()
        with writing(place.value, VARIABLE):
            return write_entry(place, made, time.monotonic() - start)

    def _arrays(self, place: Place, manifest: dict, make: Callable[[], Entry] | None) -> Mapping[str, np.ndarray]:
        """The arrays that `manifest` promises; damaged ones are set aside and made again where `make` is known."""
        try:
            return read_arrays(place.value, manifest)
        except Damaged as damage:
            log.info("%s: %s", place.value, damage)
            with locked(place.lock, VARIABLE), understood(place.manifest, VARIABLE):
                return self._mend(place, make)

    def _mend(self, place: Place, make: Callable[[], Entry] | None) -> Mapping[str, np.ndarray]:
        try:
            manifest = read_manifest(place)
            if manifest is not None:
                return read_arrays(place.value, manifest)
            damage = "it is gone"
        except Damaged as found:
            damage = str(found)
            with writing(place.manifest, VARIABLE):
                set_entry_aside(place, damage)
        if make is None:
            raise BadInput(f"{place.value} was damaged ({damage}) and set aside; run again to compute it")
        self._may_make(place.key, place.identifier)
        return self._make(place, make).arrays

    def activations(
        self,
        key: ActivationKey,
        sizes: Mapping[str, int],
        ids: Sequence[str],
        fill: Callable[[ActivationSink], None],
        *,
        rerun: bool = False,
    ) -> Activations:
        """The activations of `key`, `sizes` {layer: n_features}: read if whole, else `fill` computes what is missing.

        The layers are read-only memory maps. Raises Interrupted if `fill` returns early, and BadInput as `fetch` does.
        """
        identifier = f"dynamic_vision.activations/{key_name(key)}"
        enabled = is_enabled(identifier)
        folder = Folder((self.activations_home if enabled else self._temporary) / key_name(key), key, sizes, ids)
        if enabled and not rerun and self._is_whole(folder):
            return folder.activations()
        self._may_make(key, identifier)
        with locked(folder.path.with_name(f"{folder.path.name}.lock"), ACTIVATIONS_VARIABLE) as still_ours:
            make_whole(folder, fill, rerun, still_ours)
        return folder.activations()

    @cached_property
    def _temporary(self) -> Path:
        return temporary_home()

    def _is_whole(self, folder: Folder) -> bool:
        with understood(folder.path, ACTIVATIONS_VARIABLE):
            try:
                return is_whole(folder)
            except Damaged as damage:
                log.info("%s: %s", folder.path, damage)
                return False

    def metadata(
        self,
        kind: str,
        name: str,
        make: Callable[[], Metadata],
        *,
        inputs: dict | None = None,
        source: str = "",
        rerun: bool = False,
    ) -> dict:
        """Facts about the `kind` (say "model") called `name`, made again when a file or a package they rest on changed.

        inputs: what else decides them, JSON-able; source: digest of the Python code that makes them.
        """
        identifier = metadata.metadata_identifier(kind, name, inputs or {})
        asked = {"kind": kind, "name": name, "inputs": plain(inputs or {}), "source": source}
        path = self.results_home / f"{identifier}.json"
        enabled = is_enabled(identifier)
        facts, reason = self._read_metadata(path, asked) if enabled and not rerun else (None, "it may not be read")
        if facts is not None:
            return facts
        if is_cached_only(identifier):
            raise BadInput(
                f"the metadata of {kind} {name} must be made ({reason}), but RESULTCACHING_CACHEDONLY is set; unset it"
            )
        if not enabled:
            return plain(make().facts)
        with locked(path.with_suffix(".lock"), VARIABLE):
            return self._settled_metadata(path, asked, make, rerun)

    def _read_metadata(self, path: Path, asked: dict) -> tuple[dict | None, str]:
        with understood(path, VARIABLE):
            try:
                return metadata.read_metadata(path, asked)
            except Damaged as damage:
                return None, str(damage)

    def _settled_metadata(self, path: Path, asked: dict, make: Callable[[], Metadata], rerun: bool) -> dict:
        remove_left_overs(path.parent, path.stem)
        facts = None
        with writing(path, VARIABLE), understood(path, VARIABLE):
            try:
                facts, _ = metadata.read_metadata(path, asked)
            except Damaged as damage:
                set_aside(path, str(damage))
        if facts is not None and not rerun:
            return facts
        made = make()
        data = metadata.metadata_bytes(asked, made)
        with writing(path, VARIABLE):
            write_atomic(path, data)
        return plain(made.facts)

    def why(self, key: Key) -> list[search.Difference]:
        """(field, wanted, stored) in which `key` differs from the nearest stored one of its class; none if none is."""
        found = search.nearest(key, self.results_home, self.activations_home)
        return found[1] if found else []

    def _may_make(self, key: Key, identifier: str) -> None:
        if not is_cached_only(identifier):
            return
        found = search.nearest(key, self.results_home, self.activations_home)
        near = "nothing of its kind is stored"
        if found and found[1]:
            told = "; ".join(f"{name}: wanted {ours}, stored {theirs}" for name, ours, theirs in found[1][:4])
            near = f"the nearest stored one, {found[0]}, differs in {told}"
        elif found:
            near = "it is stored, but may not be used"
        raise BadInput(
            f"{identifier} must be computed ({near}), but RESULTCACHING_CACHEDONLY is set; unset it to compute"
        )
