"""Stimuli of datasets in files of a standard: files are found by the names that a recording has for them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...records import Stimuli
from ...utils import BadInput
from ...video import probe, read_image
from ..arrays import IMAGE_SUFFIXES
from ..own.problems import Problems
from ..own.template import FILM_SUFFIXES

SUFFIXES = (*IMAGE_SUFFIXES, *FILM_SUFFIXES)


def find_files(names: Iterable[str], folder: Path, problems: Problems, source: str, remedy: str) -> dict[str, Path]:
    """Return {name: film or image}, by path below the folder or by the name of the file with or without suffix.

    source: file that states the names; remedy: advice of the faults, which are added.
    """
    by_name: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        for key in {path.relative_to(folder).as_posix(), path.name, path.stem}:
            by_name.setdefault(key, []).append(path)
    found: dict[str, Path] = {}
    for name in names:
        keys = (name, Path(name).name, Path(name).stem)
        candidates = next((by_name[key] for key in keys if key in by_name), [])
        if len(candidates) == 1:
            found[name] = candidates[0]
        elif candidates:
            same = " and ".join(path.relative_to(folder).as_posix() for path in candidates[:2])
            problems.add(source, f"stimulus {name} is in several files: {same}", "keep one of them")
        else:
            near = difflib.get_close_matches(name, by_name, n=1, cutoff=0.7)
            hint = f", but {near[0]}" if near else ""
            problems.add(source, f"there is no film or image of the stimulus {name}{hint}", remedy)
    return found


def read_stimuli(
    name: str,
    files: Mapping[str, Path],
    image_ms: float,
    problems: Problems,
    table: Mapping[str, Sequence] | None = None,
) -> Stimuli | None:
    """Return the stimuli {id: file}, which are opened; None, with the faults added, otherwise.

    image_ms: time for which an image is shown.
    """
    before, durations, kinds = len(problems), [], []
    for path in files.values():
        kinds.append("image" if path.suffix.lower() in IMAGE_SUFFIXES else "video")
        try:
            if kinds[-1] == "image":
                read_image(path)
            durations.append(image_ms if kinds[-1] == "image" else probe(path).duration_ms)
        except BadInput as error:
            # the message has the whole path, at its start and perhaps in it
            text = str(error).removeprefix(f"{path}: ").replace(str(path), path.name).partition(";")[0]
            problems.add(path.name, text, "put a whole film or image there")
    if len(problems) > before:
        return None
    return Stimuli(name, tuple(files), tuple(files.values()), np.array(durations), tuple(kinds), dict(table or {}))
