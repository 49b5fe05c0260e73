"""The store: a value is read if it is stored and sound, else computed once, by one process, and written."""

import glob
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ..config import ACTIVATIONS_VARIABLE, RESULTS_VARIABLE, Config
from ..files import (
    DamagedFile,
    NewerFormat,
    not_stale,
    read_json,
    reading,
    remove_left_overs,
    rename_damaged,
    safe_name,
    write_atomic,
    writing,
)
from ..locks import locked
from ..records import Activations
from ..utils import BadInput, first_names
from . import search
from .activations import ActivationSink, fill_folder, is_complete, temporary_home
from .entries import (
    Entry,
    EntryPaths,
    LazyArrays,
    json_round_trip,
    read_arrays,
    read_manifest,
    rename_damaged_entry,
    write_entry,
)
from .environment import CACHED_ONLY_VARIABLE, is_cached_only, is_enabled
from .folder import Folder, has_seal
from .keys import ActivationKey, Key, identifier, key_content, key_name, without_options
from .metadata import Metadata, encode_metadata, made_while_unchanged, metadata_identifier, read_metadata

log = logging.getLogger(__name__)


class NotStored(BadInput):
    """Error of a value that is not stored and may not be computed: read-only store, or RESULTCACHING_CACHEDONLY."""


class Store:
    """Scores, ceilings and metadata under `config.results_home`, activations under `config.activations_home`.

    No folder is created before a value is written. RESULTCACHING_DISABLE and RESULTCACHING_CACHEDONLY have the meaning
    of result_caching.

    Parameters
    ----------
    config : Config
    read_only : bool
        True: nothing is written, computed or waited for, a value that is not stored raises NotStored, and metadata are
        read once per store (default: False).

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from .keys import CeilingKey
    >>> home = Path(mkdtemp())
    >>> store = Store(Config(home, home / "activations", home / "results", home, cores=1))
    >>> key = CeilingKey(("fake-fmri",), ("0" * 64,), splits=10, seed=1)
    >>> store.fetch(key, lambda: Entry({"raw": np.ones(3)}, {"n_bins": 8})).facts
    {'n_bins': 8}
    >>> store.find(key).arrays["raw"].tolist()
    [1.0, 1.0, 1.0]
    >>> [item.kind for item in store.items()]
    ['ceiling']
    """

    def __init__(self, config: Config, read_only: bool = False):
        self.config, self.read_only = config, read_only
        self.results_home = Path(config.results_home)
        self.activations_home = Path(config.activations_home)
        self._metadata: dict[str, dict] = {}

    def fetch(self, key: Key, make: Callable[[], Entry], *, rerun: bool = False) -> Entry:
        """Return the entry of a key, computed and stored if it is not stored or damaged.

        Parameters
        ----------
        key : Key
        make : callable
            Computes the entry.
        rerun : bool
            Compute it in any case (default: False).

        Returns
        -------
        Entry
            Its arrays are read on first access.

        Raises
        ------
        BadInput
            If the store cannot be written, or holds an entry of a later version of this program.
        NotStored
            If the entry would have to be computed and may not be.
        """
        paths, enabled = EntryPaths(self.results_home, key), is_enabled(identifier(key))
        if enabled and not rerun and (entry := self._read(paths, make)):
            return entry
        self._check_may_compute(key)
        if not enabled:
            made = make()
            return Entry(made.arrays, json_round_trip(made.facts))
        with locked(paths.lock, RESULTS_VARIABLE):
            entry = self._read_locked(paths, make)
            return entry if entry and not rerun else self._compute(paths, make)

    def find(self, key: Key) -> Entry | None:
        """Return the stored entry of a key, None if there is none; nothing is computed.

        Parameters
        ----------
        key : Key

        Returns
        -------
        Entry or None
            Its arrays are read on first access and raise BadInput if they are damaged.

        Raises
        ------
        BadInput
            For an entry of a later version of this program.
        """
        return self._read(EntryPaths(self.results_home, key), None) if is_enabled(identifier(key)) else None

    def holds(self, key: Key) -> bool:
        """Return True if the value of a key is stored and complete; its arrays are not read.

        Parameters
        ----------
        key : Key

        Raises
        ------
        BadInput
            For an entry of a later version of this program.
        """
        if not isinstance(key, ActivationKey):
            return self.find(key) is not None
        folder = self.activations_home / key_name(key)
        with reading(folder, ACTIVATIONS_VARIABLE):
            return is_enabled(identifier(key)) and not_stale(lambda: has_seal(folder, key))

    def made_by(self, key: Key) -> dict[str, list]:
        """Return the stages behind a stored value with the digests of their sources; {} where they are not known.

        Parameters
        ----------
        key : Key
        """
        if not isinstance(key, ActivationKey):
            entry = self.find(key)
            return {} if entry is None else entry.made_by
        folder = self.activations_home / key_name(key)
        try:
            return (read_json(folder / "manifest.json") or {}).get("provenance", {}).get("sources", {})
        except (DamagedFile, NewerFormat):
            return {}

    def siblings(self, key: Key, options: Collection[str]) -> Iterator[tuple[Key, Entry]]:
        """Yield the stored entries whose keys differ from a score's in some of its options alone, with their keys.

        Parameters
        ----------
        key : ScoreKey
        options : collection of str
            Names of these options.

        Yields
        ------
        (ScoreKey, Entry)
            In the order of their names; those that cannot be read are left out.
        """
        content = key_content(key)
        wanted = without_options(content["fields"], options)
        folder = EntryPaths(self.results_home, key).manifest.parent
        for path in sorted(folder.glob(f"{glob.escape(safe_name(key.label()))}-*.json")):
            try:
                stored = read_json(path) or {}
            except (DamagedFile, NewerFormat, BadInput, OSError):
                continue
            if stored.get("class") == content["class"] and without_options(stored["key"], options) == wanted:
                other = type(key)(**stored["key"])
                if other != key and (entry := self.find(other)):
                    yield other, entry

    def items(self) -> Iterator[search.StoredItem]:
        """Yield all items of the store, left-overs included; the arrays are not read.

        Yields
        ------
        StoredItem
            Scores, ceilings and metadata by kind and name, then activations by name.
        """
        return search.stored_items(self.results_home, self.activations_home)

    def nearest(self, key: Key) -> tuple[search.StoredItem, list[search.Difference]] | None:
        """Return the stored item of the key's class that differs from it in the fewest fields.

        Parameters
        ----------
        key : Key

        Returns
        -------
        (StoredItem, differences) or None
            Differences are (field, wanted, stored), [] if the key itself is stored; None if no item has this class.
        """
        return search.nearest(key, self.results_home, self.activations_home)

    def activations(
        self,
        key: ActivationKey,
        sizes: Mapping[str, int],
        ids: Sequence[str],
        fill: Callable[[ActivationSink], None],
        *,
        rerun: bool = False,
        wait: bool = True,
    ) -> Activations:
        """Return the activations of a key, computed as far as they are not stored or damaged.

        Parameters
        ----------
        key : ActivationKey
        sizes : mapping of str to int
            {layer: number of features}.
        ids : sequence of str, (n_stimuli,)
        fill : callable
            Computes the stimuli that are not `done` in the ActivationSink that it is called with.
        rerun : bool
            Compute all stimuli (default: False).
        wait : bool
            Wait while another process computes them (default: True).

        Returns
        -------
        Activations
            Its layers are read-only memory maps.

        Raises
        ------
        Interrupted
            If `fill` returns before all stimuli are done; finished stimuli are kept.
        Held
            If another process computes them and `wait` is False.
        BadInput, NotStored
            As `fetch`.
        """
        enabled = is_enabled(identifier(key))
        folder = Folder(self.activations_home / key_name(key), key, sizes, ids)
        if enabled and not rerun and self._is_complete(folder):
            return self._maps(folder)
        self._check_may_compute(key)
        if not enabled:
            folder.path = self._temporary / key_name(key)
        lock = folder.path.with_name(f"{folder.path.name}.lock")
        with locked(lock, ACTIVATIONS_VARIABLE, wait=wait) as is_locked:
            fill_folder(folder, fill, rerun, is_locked)
        return self._maps(folder)

    def metadata(self, kind: str, name: str, make: Callable[[], Metadata], *, inputs: dict | None = None) -> dict:
        """Return the metadata of a model or a dataset, made again if a file or a package that they depend on changed.

        Parameters
        ----------
        kind : str
            "model" or "data".
        name : str
        make : callable
            Returns the Metadata, read anew at each call: it is called again if a file changed while it was read.
        inputs : dict
            Other JSON-able inputs of the metadata (default: none).

        Returns
        -------
        dict
            The facts of the metadata, as read from JSON.

        Raises
        ------
        BadInput, NotStored
            As `fetch`.
        """
        inputs = json_round_trip(inputs or {})
        file = metadata_identifier(kind, name, inputs)
        if file in self._metadata:
            return self._metadata[file]
        identity, enabled = {"kind": kind, "name": name, "inputs": inputs}, is_enabled(file)
        path = self.results_home / f"{file}.json"
        facts, reason = self._read_metadata(path, identity) if enabled else (None, "the store is disabled")
        if self.read_only and facts is not None:
            self._metadata[file] = facts
        if facts is None:
            self._check_allowed(file, f"valid metadata of {kind} {name}", reason)
            facts = self._make_metadata(path, identity, make) if enabled else json_round_trip(make().facts)
        return facts

    def known_metadata(self, kind: str, name: str, *, inputs: dict | None = None) -> dict | None:
        """Return the metadata of a model or a dataset if they are stored and valid, None otherwise.

        Parameters
        ----------
        kind, name, inputs
            As in `metadata`.
        """
        inputs = json_round_trip(inputs or {})
        file, identity = metadata_identifier(kind, name, inputs), {"kind": kind, "name": name, "inputs": inputs}
        if not is_enabled(file):
            return None
        return self._read_metadata(self.results_home / f"{file}.json", identity)[0]

    def forget_metadata(self, kind: str, name: str, *, inputs: dict | None = None) -> None:
        """Remove the metadata of a model or a dataset, which something changed that nothing watched.

        Parameters
        ----------
        kind, name, inputs
            As in `metadata`.
        """
        path = self.results_home / f"{metadata_identifier(kind, name, json_round_trip(inputs or {}))}.json"
        with writing(path, RESULTS_VARIABLE):
            path.unlink(missing_ok=True)

    def _read(self, paths: EntryPaths, make: Callable[[], Entry] | None) -> Entry | None:
        with reading(paths.manifest, RESULTS_VARIABLE):
            try:
                manifest = not_stale(lambda: read_manifest(paths))
            except DamagedFile as damage:
                log.log(logging.WARNING if make is None else logging.INFO, "%s: %s", paths.manifest, damage)
                return None
        return self._entry(paths, manifest, make)

    def _read_locked(self, paths: EntryPaths, make: Callable[[], Entry]) -> Entry | None:
        """Return the stored entry, None if there is none; rename a damaged one and remove half-written files."""
        remove_left_overs(paths.value.parent, paths.value.stem)
        with reading(paths.manifest, RESULTS_VARIABLE), writing(paths.manifest, RESULTS_VARIABLE):
            try:
                manifest = not_stale(lambda: read_manifest(paths))
            except DamagedFile as damage:
                rename_damaged_entry(paths, str(damage))
                manifest = None
        return self._entry(paths, manifest, make)

    def _entry(self, paths: EntryPaths, manifest: dict | None, make: Callable[[], Entry] | None) -> Entry | None:
        if manifest is None:
            return None
        arrays = LazyArrays(partial(self._load_arrays, paths, manifest, make))
        return Entry(arrays, manifest["facts"], manifest.get("provenance", {}))

    def _compute(self, paths: EntryPaths, make: Callable[[], Entry]) -> Entry:
        start = time.monotonic()
        made = make()
        with writing(paths.value, RESULTS_VARIABLE):
            return write_entry(paths, made, time.monotonic() - start)

    def _load_arrays(
        self, paths: EntryPaths, manifest: dict, make: Callable[[], Entry] | None
    ) -> Mapping[str, np.ndarray]:
        """Return the arrays that belong to `manifest`; compute damaged ones again if `make` is given."""
        with reading(paths.value, RESULTS_VARIABLE):
            try:
                return not_stale(lambda: read_arrays(paths.value, manifest))
            except DamagedFile as damage:
                log.info("%s: %s", paths.value, damage)
        lock = nullcontext() if self.read_only else locked(paths.lock, RESULTS_VARIABLE)
        with lock, reading(paths.manifest, RESULTS_VARIABLE):
            return self._reload_arrays(paths, make)

    def _reload_arrays(self, paths: EntryPaths, make: Callable[[], Entry] | None) -> Mapping[str, np.ndarray]:
        """Return the arrays that a rerun wrote since the manifest was read; else rename and compute the entry."""
        try:
            manifest = read_manifest(paths)
            if manifest is not None:
                return read_arrays(paths.value, manifest)
            damage = "it is gone"
        except DamagedFile as found:
            damage = str(found)
        if self.read_only:
            raise BadInput(f"{paths.value} is damaged ({damage}); run again to compute it")
        with writing(paths.manifest, RESULTS_VARIABLE):
            rename_damaged_entry(paths, damage)
        if make is None:
            raise BadInput(f"{paths.value} was damaged ({damage}) and renamed; run again to compute it")
        self._check_may_compute(paths.key)
        return self._compute(paths, make).arrays

    @cached_property
    def _temporary(self) -> Path:
        return temporary_home()

    def _maps(self, folder: Folder) -> Activations:
        with reading(folder.path, ACTIVATIONS_VARIABLE):
            return not_stale(folder.activations)

    def _is_complete(self, folder: Folder) -> bool:
        with reading(folder.path, ACTIVATIONS_VARIABLE):
            try:
                return not_stale(lambda: is_complete(folder, seal=not self.read_only))
            except DamagedFile as damage:
                log.info("%s: %s", folder.path, damage)
                return False

    def _read_metadata(self, path: Path, identity: dict) -> tuple[dict | None, str]:
        with reading(path, RESULTS_VARIABLE):
            try:
                return not_stale(lambda: read_metadata(path, identity, update=not self.read_only))
            except DamagedFile as damage:
                return None, str(damage)

    def _make_metadata(self, path: Path, identity: dict, make: Callable[[], Metadata]) -> dict:
        """Return metadata that another process wrote in the meantime, else make and write them."""
        with locked(path.with_suffix(".lock"), RESULTS_VARIABLE):
            remove_left_overs(path.parent, path.stem)
            facts = None
            with reading(path, RESULTS_VARIABLE), writing(path, RESULTS_VARIABLE):
                try:
                    facts, _ = read_metadata(path, identity, update=True)
                except DamagedFile as damage:
                    rename_damaged(path, str(damage))
            if facts is not None:
                return facts
            made, files = made_while_unchanged(make)
            with writing(path, RESULTS_VARIABLE):
                write_atomic(path, encode_metadata(identity, made, files))
            return json_round_trip(made.facts)

    def _check_may_compute(self, key: Key) -> None:
        name = identifier(key)
        if not self.read_only and not is_cached_only(name):
            return
        found = self.nearest(key)
        near = "nothing of its kind is stored"
        if found and found[1]:
            fields = [f"{field} (wanted {wanted}, stored {stored})" for field, wanted, stored in found[1]]
            near = f"the nearest stored one, {found[0].name}, differs in {first_names(fields, 4)}"
        elif found:
            near = "it is stored, but may not be used"
        self._check_allowed(name, name, near)

    def _check_allowed(self, name: str, what: str, reason: str) -> None:
        """Raise NotStored if the store is read-only, or computes nothing under the identifier `name`."""
        if self.read_only:
            raise NotStored(f"{what} is not stored ({reason}); run the score command to compute it")
        if is_cached_only(name):
            raise NotStored(
                f"{what} must be computed ({reason}), but {CACHED_ONLY_VARIABLE} is set; unset it to compute"
            )
