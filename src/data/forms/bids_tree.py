"""Names of files in BIDS trees and in the derivatives of fMRIPrep, of all its versions.

A name is read as entities, a suffix and an extension. Names before version 1.2 of fMRIPrep are brought to the present
ones: `_bold_space-X_preproc.nii.gz`, `_bold_confounds.tsv`, `_bold_space-X_brainmask.nii.gz` and
`_bold_space-X.L.func.gii`.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SERIES = (".func.gii", ".dtseries.nii", ".nii.gz", ".nii")
EXTENSIONS = (*SERIES, ".tsv", ".json")
# entities of a run; the others describe a file of the run
OF_RUN = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo")
# {last word of an older name: (desc, suffix)}
OLDER = {
    "preproc": ("preproc", "bold"),
    "brainmask": ("brain", "mask"),
    "confounds": ("confounds", "timeseries"),
    "regressors": (None, "timeseries"),
}


@dataclass(frozen=True)
class Item:
    """File with the entities, the suffix and the extension of its name."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    extension: str

    @cached_property
    def run(self) -> str:
        """Name of the run: its entities in the order of the standard."""
        return run_name(self.entities)

    def get(self, entity: str) -> str | None:
        """Return an entity of the name."""
        return self.entities.get(entity)


def run_name(entities: Mapping[str, str]) -> str:
    """Return the name of a run, as sub-01_ses-1_task-film_run-1."""
    return "_".join(f"{key}-{entities[key]}" for key in OF_RUN if key in entities)


def parse(path: Path) -> Item | None:
    """Return the parts of a file name, None for another kind of file."""
    extension = next((end for end in EXTENSIONS if path.name.endswith(end)), None)
    if extension is None:
        return None
    stem, entities, words = path.name.removesuffix(extension), {}, []
    if stem.endswith((".L", ".R")) and extension == ".func.gii":
        stem, entities["hemi"] = stem[:-2], stem[-1]
    for piece in stem.split("_"):
        key, dash, value = piece.partition("-")
        if dash:
            entities["desc" if key == "variant" else key] = value
        else:
            words.append(piece)
    suffix = words[-1] if words else "bold"
    if suffix in OLDER:
        desc, suffix = OLDER[suffix]
        if desc is not None:
            entities.setdefault("desc", desc)
    return Item(path, entities, suffix, extension)


def walk(root: Path) -> list[Item]:
    """Return the files below a folder whose names belong to a subject, sorted."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "figures")
        found += [Path(folder, name) for name in sorted(names) if name.startswith("sub-")]
    return [item for item in map(parse, found) if item is not None]


class Inheritance:
    """Files that describe runs, by BIDS' principle of inheritance: in the folder of a run or in one above it.

    Parameters
    ----------
    roots : iterable of Path
        Trees in the order in which they are searched.
    """

    def __init__(self, roots: Iterable[Path]):
        self.roots = list(dict.fromkeys(roots))
        self._folders: dict[Path, list[Item]] = {}

    def files(self, entities: Mapping[str, str], suffix: str, extension: str) -> list[Path]:
        """Return the files of a suffix that describe a run, the nearest first."""
        return [
            item.path
            for root in self.roots
            for folder in _folders_of(root, entities)
            for item in sorted(self._content(folder), key=lambda item: -len(item.entities))
            if (item.suffix, item.extension) == (suffix, extension) and _describes(item, entities)
        ]

    def stated(self, entities: Mapping[str, str], key: str) -> tuple[float, Path] | None:
        """Return the number of a key in the sidecars of a series, with the file; None where none states it."""
        for path in self.files(entities, "bold", ".json"):
            try:
                value = json.loads(path.read_text(encoding="utf-8-sig")).get(key)
            except (ValueError, AttributeError, OSError) as error:
                reason = str(error).replace(str(path), path.name)
                raise ValueError(f"{path.name}: is no JSON of a BIDS sidecar ({reason})") from error
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value), path
        return None

    def _content(self, folder: Path) -> list[Item]:
        if folder not in self._folders:
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
            self._folders[folder] = [item for item in (parse(folder / name) for name in names) if item is not None]
        return self._folders[folder]


def _folders_of(root: Path, entities: Mapping[str, str]) -> list[Path]:
    """Return the folder of a run's files in a tree and those above it, the nearest first."""
    levels = [root, root / f"sub-{entities['sub']}"]
    levels += [levels[-1] / f"ses-{entities['ses']}"] if "ses" in entities else []
    return [levels[-1] / "func", *reversed(levels)]


def _describes(item: Item, entities: Mapping[str, str]) -> bool:
    """Return whether all entities of a run in a name are those of the run."""
    return all(entities.get(key) == value for key, value in item.entities.items() if key in OF_RUN)
