"""Random sample of the classes and items of a release that a task uses, stored in a manifest.

Names are sorted and then sampled from a seed that depends on the dataset's name alone, class by class and item by item,
so that neither the file system nor an unreadable file of one class changes the sample of another. The manifest stores
the sample: a release that gains files gives the same set, and a sampled file that is lost is an error by name.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import islice
from math import isnan, nan
from pathlib import Path

import numpy as np

from ...files import unchecked_json, write_atomic
from ...records import Labels, Stimuli
from ...utils import BadInput, seed_from
from ...video import probe, read_image
from ..notes import number_and_names
from ..release import Release, fetch_hint

STILL_MS = 1000.0

Notes = dict[str, str | int]
Items = Mapping[str, Mapping[str, Path]]
Find = Callable[[Notes], Items]
Fit = Callable[[str, Path], tuple[float, float] | None]


@dataclass(frozen=True)
class Sampled:
    """Row of the manifest: file below the release's folder, class, and the piece of a film, NaN for a whole file."""

    stimulus_id: str
    file: str
    label: str
    start_ms: float = nan
    duration_ms: float = nan


def sample(
    release: Release,
    items: Find,
    fit: Fit,
    *,
    n_items: int,
    n_classes: int | None = None,
    name: str | None = None,
) -> tuple[list[Sampled], Notes]:
    """Return the sampled stimuli, sorted by class and id, and notes on those left out.

    items: (notes) -> {class: {stimulus_id: path}}, called only without a manifest; it adds to the notes what it leaves
    out. fit: (stimulus_id, path) -> (start_ms, duration_ms) of the piece to show, None for a file of unfit length;
    raises BadInput for a damaged one. n_items: of each class; classes with fewer are left out. n_classes: None for all.
    name: of the dataset whose sample it is, by default the release's. Raises BadInput if fewer than two classes are
    complete.
    """
    name = name or release.name
    manifest = release.manifest(name)
    if manifest.is_file():
        return read_manifest(release, manifest), unchecked_json(_notes_path(manifest), {})
    notes: Notes = {}
    found = items(notes)
    sampler = _Sampler(release, name, fit, n_items)
    sampled = sampler.classes(found, n_classes)
    notes |= sampler.notes()
    complete = len(sampled) // n_items
    if complete < 2:
        raise BadInput(
            f"{name}: {complete} of {len(found)} classes in {release.folder} have {n_items} items that can be used; "
            f"expected at least 2; {'; '.join(f'{what}: {n}' for what, n in notes.items()) or 'no files'}"
        )
    if n_classes is not None and complete < n_classes:
        notes["classes"] = f"{complete} where {n_classes} were wanted"
    sampled.sort(key=lambda item: (item.label, item.stimulus_id))
    write_manifest(manifest, sampled, notes)
    return sampled, notes


@dataclass
class _Sampler:
    """Sampling of classes and items, with the names of those left out so far."""

    release: Release
    name: str
    fit: Fit
    n_items: int
    small: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unfit: int = 0

    def classes(self, items: Items, n_classes: int | None) -> list[Sampled]:
        """Return the items of the first `n_classes` complete classes, in random order."""
        names, sampled = sorted(items), []
        wanted = self.n_items * (len(names) if n_classes is None else n_classes)
        with ThreadPoolExecutor(self.release.jobs) as pool:
            # the word "draw" belongs to the seed: another word would give another sample
            for k in np.random.default_rng(seed_from(self.name, "draw")).permutation(len(names)):
                if len(sampled) == wanted:
                    break
                self.release.progress(len(sampled), wanted, names[k])
                sampled += self._items(pool, names[k], items[names[k]])
        return sampled

    def _items(self, pool: ThreadPoolExecutor, label: str, items: Mapping[str, Path]) -> list[Sampled]:
        """Return the first `n_items` of a class that fit, in random order; none if there are fewer."""
        identities = sorted(items)
        order = np.random.default_rng(seed_from(self.name, "draw", label)).permutation(len(identities))
        waiting, found = (identities[k] for k in order), []
        while len(found) < self.n_items and (batch := list(islice(waiting, self.n_items - len(found)))):
            examined = pool.map(lambda identity: self._examine(identity, items[identity], label), batch)
            found += [item for item in map(self._counted, examined) if item]
        if len(found) < self.n_items:
            self.small.append(label)
            return []
        return found

    def _examine(self, identity: str, path: Path, label: str) -> Sampled | Path | None:
        """Return the stimulus, None if it does not fit, or the path if it cannot be read."""
        try:
            shown = self.fit(identity, path)
        except BadInput:
            return path
        file = Path(os.path.relpath(path, self.release.folder)).as_posix()
        return None if shown is None else Sampled(identity, file, label, *shown)

    def _counted(self, examined: Sampled | Path | None) -> Sampled | None:
        """Return the stimulus, or count a file that is unfit or unreadable."""
        if isinstance(examined, Path):
            self.unreadable.append(examined.name)
        self.unfit += examined is None
        return examined if isinstance(examined, Sampled) else None

    def notes(self) -> Notes:
        """Return notes on the classes and files left out."""
        found = {"classes left out": sorted(self.small), "unreadable files": self.unreadable}
        notes: Notes = {what: number_and_names(names) for what, names in found.items() if names}
        return notes | ({"files of unfit length": self.unfit} if self.unfit else {})


def write_manifest(path: Path, sampled: Sequence[Sampled], notes: Notes | None = None) -> None:
    """Write the sample as csv and its notes as json beside it, each whole or not at all."""
    write_atomic(_notes_path(path), json.dumps(notes or {}, indent=1).encode())
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([column.name if column.name != "label" else "class" for column in fields(Sampled)])
    for item in sampled:
        times = ["" if isnan(ms) else ms for ms in (item.start_ms, item.duration_ms)]
        writer.writerow([item.stimulus_id, item.file, item.label, *times])
    write_atomic(path, text.getvalue().encode())


def read_manifest(release: Release, path: Path) -> list[Sampled]:
    """Return the sample of a manifest; BadInput if it is damaged, or if a file that it names is missing."""
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            sampled = [
                Sampled(row["stimulus_id"], row["file"], row["class"], *(float(row[t] or nan) for t in _TIMES))
                for row in csv.DictReader(handle)
            ]
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(
            f"{path}: no manifest of sampled stimuli ({type(error).__name__}: {error}); expected the columns "
            f"stimulus_id, file, class, start_ms, duration_ms; remove it to sample again"
        ) from error
    if not sampled:
        raise BadInput(f"{path}: an empty manifest; expected one row per stimulus; remove it to sample again")
    release.require(sorted({release.folder / item.file for item in sampled}))
    return sampled


_TIMES = ("start_ms", "duration_ms")


def _notes_path(manifest: Path) -> Path:
    return manifest.with_suffix(".json")


def class_folders(release: Release, pattern: str, suffixes: Sequence[str], notes: Notes) -> Items:
    """Return {class: {"class/file": path}} of the matching files, with a file's folder as its class.

    Suffixes match in either case; files with another suffix are noted. Raises BadInput if there is no such file.
    """
    found: dict[str, dict[str, Path]] = {}
    others = []
    for path in release.files(pattern):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            found.setdefault(path.parent.name, {})[f"{path.parent.name}/{path.name}"] = path
        else:
            others.append(path.name)
    notes |= {"files of another kind": number_and_names(others)} if others else {}
    if not found:
        raise BadInput(
            f"{release.name}: no file in {release.folder / pattern} ends on {', '.join(suffixes)}; "
            f"{fetch_hint(release.name)}"
        )
    return found


def whole_image(identity: str, path: Path) -> tuple[float, float]:
    """Return the times of an image, which fits if it can be read."""
    read_image(path)
    return nan, STILL_MS


def film_of(shortest_ms: float, longest_ms: float, shown_ms: float, seed: str | None) -> Fit:
    """Return the fit of films with lengths in [shortest_ms, longest_ms], of which `shown_ms` are shown.

    The last frame of a shorter film is held. seed: name of the dataset whose windows start at random in longer films;
    None: at the start.
    """

    def fit(identity: str, path: Path) -> tuple[float, float] | None:
        film_ms = probe(path).duration_ms
        if not shortest_ms <= film_ms <= longest_ms:
            return None
        free_ms = max(0.0, film_ms - shown_ms)
        share = 0.0 if seed is None else np.random.default_rng(seed_from(seed, "window", identity)).random()
        return round(share * free_ms, 3), shown_ms

    return fit


def stimuli(
    release: Release, sampled: Sequence[Sampled], *, image: bool, paths: Sequence[Path] | None = None
) -> Stimuli:
    """Return the sampled stimuli; paths: files made from theirs, which are shown in their place."""
    n = len(sampled)
    return Stimuli(
        name=release.name,
        ids=tuple(item.stimulus_id for item in sampled),
        paths=tuple(paths or [release.folder / item.file for item in sampled]),
        duration_ms=np.full(n, STILL_MS) if image else np.array([item.duration_ms for item in sampled]),
        kind=("image" if image else "video",) * n,
        table={"class": [item.label for item in sampled]},
        start_ms=None if image or paths else np.array([item.start_ms for item in sampled]),
    )


def labelled(shown: Stimuli, label: str, notes: Notes, groups: np.ndarray | None = None) -> Labels:
    """Return the stimuli with the classes of their table as the one label."""
    return Labels(shown, np.array(shown.table["class"])[:, None], (label,), groups=groups, notes=dict(notes))
