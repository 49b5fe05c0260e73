"""Which classes and items of a release a task uses: drawn once, and from then on read from the manifest of that draw.

Names are sorted, then drawn from a seed that follows from the dataset's name alone, class by class and item by item, so
that neither the file system nor an unreadable file of one class changes what is drawn of another. The manifest keeps
the draw: a release that gains files gives the same set, and one that loses a drawn file is an error by name.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import islice
from math import isnan, nan
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput, seed_from
from ...video import probe, read_image
from ..release import Release

STILL_MS = 1000.0
NAMED = 5

Notes = dict[str, str | int]
Items = Mapping[str, Mapping[str, Path]]
Find = Callable[[Notes], Items]
Fit = Callable[[str, Path], tuple[float, float] | None]


@dataclass(frozen=True)
class Drawn:
    """A row of the manifest: file, below the release's folder; class; the piece of a film, NaN for a whole file."""

    stimulus_id: str
    file: str
    label: str
    start_ms: float = nan
    duration_ms: float = nan


def named(items: Sequence[str]) -> str:
    """How many, and the first few by name; empty where there are none."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return f"{len(items)} ({', '.join(items[:NAMED])}{more})" if items else ""


def draw(
    release: Release,
    items: Find,
    fit: Fit,
    *,
    n_items: int,
    n_classes: int | None = None,
    name: str | None = None,
) -> tuple[list[Drawn], Notes]:
    """The drawn stimuli in the order of (class, id), and notes on what was left out.

    items: (notes) -> {class: {stimulus_id: path}}, called only where there is no manifest; it adds to the notes what it
    leaves out. fit: (stimulus_id, path) -> (start_ms, duration_ms) of what is shown of the file, None where it has an
    unfit length; BadInput where it cannot be read. n_items: of each class; classes with fewer that fit are left out.
    n_classes: None for all that there are. name: whose draw it is, the release's by default. Raises BadInput where
    fewer than two classes are complete.
    """
    name = name or release.name
    manifest = release.manifest(name)
    if manifest.is_file():
        return read_manifest(release, manifest), _read_notes(manifest)
    notes: Notes = {}
    found = items(notes)
    under_way = _Draw(release, name, fit, n_items)
    drawn = under_way.classes(found, n_classes)
    notes |= under_way.notes()
    complete = len(drawn) // n_items
    if complete < 2:
        raise BadInput(
            f"{name}: {complete} of {len(found)} classes in {release.folder} have {n_items} items that can be used; "
            f"expected at least 2; {'; '.join(f'{what}: {n}' for what, n in notes.items()) or 'no files'}"
        )
    if n_classes is not None and complete < n_classes:
        notes["classes"] = f"{complete} where {n_classes} were wanted"
    drawn.sort(key=lambda one: (one.label, one.stimulus_id))
    write_manifest(manifest, drawn, notes)
    return drawn, notes


@dataclass
class _Draw:
    """A draw under way, and what it has left out so far."""

    release: Release
    name: str
    fit: Fit
    n_items: int
    small: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unfit: int = 0

    def classes(self, items: Items, n_classes: int | None) -> list[Drawn]:
        """The items of the first `n_classes` drawn classes that are complete."""
        names, drawn = sorted(items), []
        wanted = self.n_items * (len(names) if n_classes is None else n_classes)
        with ThreadPoolExecutor(self.release.jobs) as pool:
            for k in np.random.default_rng(seed_from(self.name, "draw")).permutation(len(names)):
                if len(drawn) == wanted:
                    break
                self.release.progress(len(drawn), wanted, names[k])
                drawn += self._items(pool, names[k], items[names[k]])
        return drawn

    def _items(self, pool: ThreadPoolExecutor, label: str, items: Mapping[str, Path]) -> list[Drawn]:
        """The first `n_items` of a class that fit, in their drawn order; none where there are fewer."""
        identities = sorted(items)
        order = np.random.default_rng(seed_from(self.name, "draw", label)).permutation(len(identities))
        waiting, found = (identities[k] for k in order), []
        while len(found) < self.n_items and (batch := list(islice(waiting, self.n_items - len(found)))):
            looks = pool.map(lambda identity: self._look(identity, items[identity], label), batch)
            found += [one for one in map(self._counted, looks) if one]
        if len(found) < self.n_items:
            self.small.append(label)
            return []
        return found

    def _look(self, identity: str, path: Path, label: str) -> Drawn | Path | None:
        """The stimulus, None where it does not fit, the path where it cannot be read."""
        try:
            shown = self.fit(identity, path)
        except BadInput:
            return path
        file = Path(os.path.relpath(path, self.release.folder)).as_posix()
        return None if shown is None else Drawn(identity, file, label, *shown)

    def _counted(self, looked: Drawn | Path | None) -> Drawn | None:
        if isinstance(looked, Path):
            self.unreadable.append(looked.name)
        self.unfit += looked is None
        return looked if isinstance(looked, Drawn) else None

    def notes(self) -> Notes:
        """What was left out."""
        found = {"classes left out": named(sorted(self.small)), "unreadable files": named(self.unreadable)}
        notes: Notes = {what: text for what, text in found.items() if text}
        return notes | ({"files of unfit length": self.unfit} if self.unfit else {})


def write_manifest(path: Path, drawn: Sequence[Drawn], notes: Notes | None = None) -> None:
    """The draw as csv, and its notes as json beside it, each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # two datasets may draw the same manifest at a time
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_text(json.dumps(notes or {}, indent=1))
    beside.replace(_notes_path(path))
    with open(beside, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow([column.name if column.name != "label" else "class" for column in fields(Drawn)])
        for one in drawn:
            times = ["" if isnan(ms) else ms for ms in (one.start_ms, one.duration_ms)]
            writer.writerow([one.stimulus_id, one.file, one.label, *times])
    beside.replace(path)


def read_manifest(release: Release, path: Path) -> list[Drawn]:
    """The draw that a manifest keeps; BadInput where it is damaged, or a file that it names is gone."""
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            drawn = [
                Drawn(row["stimulus_id"], row["file"], row["class"], *(float(row[t] or nan) for t in _TIMES))
                for row in csv.DictReader(handle)
            ]
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(
            f"{path}: no manifest of a draw ({type(error).__name__}: {error}); expected the columns stimulus_id, file, "
            f"class, start_ms, duration_ms; remove it to draw again"
        ) from error
    if not drawn:
        raise BadInput(f"{path}: an empty manifest; expected one row per stimulus; remove it to draw again")
    release.require(sorted({release.folder / one.file for one in drawn}))
    return drawn


_TIMES = ("start_ms", "duration_ms")


def _notes_path(manifest: Path) -> Path:
    return manifest.with_suffix(".json")


def _read_notes(manifest: Path) -> Notes:
    try:
        return json.loads(_notes_path(manifest).read_text())
    except (OSError, ValueError):
        return {}


def class_folders(release: Release, pattern: str, suffixes: Sequence[str], notes: Notes) -> Items:
    """{class: {"class/file": path}} of the files that match, the class being the folder that a file lies in.

    Suffixes of either case count; files with another are noted. Raises BadInput with the command that gets them where
    there is no such file.
    """
    found: dict[str, dict[str, Path]] = {}
    others = []
    for path in release.files(pattern):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            found.setdefault(path.parent.name, {})[f"{path.parent.name}/{path.name}"] = path
        else:
            others.append(path.name)
    notes |= {"files of another kind": named(others)} if others else {}
    if not found:
        raise BadInput(
            f"{release.name}: no file in {release.folder / pattern} ends on {', '.join(suffixes)}; "
            f"run: python -m src.data fetch {release.name}"
        )
    return found


def whole_image(identity: str, path: Path) -> tuple[float, float]:
    """Every image that can be read fits."""
    read_image(path)
    return nan, STILL_MS


def film_of(shortest_ms: float, longest_ms: float, shown_ms: float, seed: str | None) -> Fit:
    """Films of a length in [shortest_ms, longest_ms], of which `shown_ms` are shown, the last frame held at the end.

    seed: the dataset whose windows start at random in films that are longer; None: at the start.
    """

    def fit(identity: str, path: Path) -> tuple[float, float] | None:
        lasts_ms = probe(path).duration_ms
        if not shortest_ms <= lasts_ms <= longest_ms:
            return None
        free_ms = max(0.0, lasts_ms - shown_ms)
        share = 0.0 if seed is None else np.random.default_rng(seed_from(seed, "window", identity)).random()
        return round(share * free_ms, 3), shown_ms

    return fit


def stimuli(release: Release, drawn: Sequence[Drawn], *, image: bool, paths: Sequence[Path] | None = None) -> Stimuli:
    """The drawn stimuli; paths: what was made of them, where the files themselves are not shown."""
    n = len(drawn)
    return Stimuli(
        name=release.name,
        ids=tuple(one.stimulus_id for one in drawn),
        paths=tuple(paths or [release.folder / one.file for one in drawn]),
        duration_ms=np.full(n, STILL_MS) if image else np.array([one.duration_ms for one in drawn]),
        kind=("image" if image else "video",) * n,
        table={"class": [one.label for one in drawn]},
        start_ms=None if image or paths else np.array([one.start_ms for one in drawn]),
    )


def labelled(shown: Stimuli, label: str, notes: Notes, groups: np.ndarray | None = None) -> Labels:
    """The classes of the stimuli's table as the one label."""
    return Labels(shown, np.array(shown.table["class"])[:, None], (label,), groups=groups, notes=dict(notes))
