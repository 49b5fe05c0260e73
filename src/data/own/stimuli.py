"""Stimuli of a user's folder: `stimuli.csv`, and the films and images that it names."""

import difflib
from pathlib import Path

import numpy as np

from ...records import Stimuli
from ...utils import BadInput
from ...video import probe, read_image
from ..arrays import IMAGE_SUFFIXES
from .problems import Problems
from .settings import FILE as SETTINGS_FILE
from .settings import Settings
from .tables import Rows, check_ids, number, read_rows, typed

FILE = "stimuli.csv"
OPTIONAL = ("onset", "duration", "kind")
KINDS = ("image", "video")


def read_table(folder: Path, problems: Problems, file: str = FILE, more: tuple[str, ...] = ()) -> Rows | None:
    """Return the table of stimuli with correct ids; None, with the faults added, otherwise."""
    rows = read_rows(folder, file, problems, ("stimulus_id", "path", *more), OPTIONAL)
    return rows if rows is not None and check_ids(rows, "stimulus_id", problems) else None


def read_stimuli(
    folder: Path, rows: Rows, settings: Settings, image_ms: float, problems: Problems, every_image: bool
) -> Stimuli | None:
    """Return the stimuli of a table; None, with the faults added, otherwise.

    image_ms: time for which an image is shown; every_image: also decode each image.
    """
    before = len(problems)
    times = [name for name in ("onset", "duration") if name in rows]
    if times and settings.time_unit_ms is None:
        remedy = f'write time_unit = "s" or "ms" in {SETTINGS_FILE}'
        problems.add(rows.file, f"has the columns {' and '.join(times)} without a unit", remedy)
    paths, kinds, durations, starts = [], [], [], []
    for k in range(len(rows)):
        path = _path(folder, rows, k, problems)
        kind = _kind(rows, k, path, problems)
        piece = _piece(rows, k, kind, settings.time_unit_ms, problems)
        paths.append(path)
        kinds.append(kind)
        if path is None or kind is None or piece is None:
            continue
        start_ms, length_ms = piece
        if kind == "image":
            _check_image(path, rows, k, problems, every_image)
            durations.append(image_ms)
            starts.append(np.nan)
        else:
            start_ms, length_ms = _in_film(folder, path, rows, k, piece, problems)
            durations.append(length_ms)
            starts.append(start_ms)
    if len(problems) > before:
        return None
    of_pieces = None if np.isnan(starts).all() else np.array(starts)
    table = {name: typed(values) for name, values in rows.others("stimulus_id", "path", *OPTIONAL).items()}
    return Stimuli(settings.name, rows["stimulus_id"], paths, np.array(durations), kinds, table, of_pieces)


def _path(folder: Path, rows: Rows, k: int, problems: Problems) -> Path | None:
    stated = rows["path"][k]
    if not stated:
        problems.add(rows.file, "path is empty", "write the path of a film or an image", rows.lines[k])
        return None
    path = folder / Path(stated).expanduser()
    if path.is_file():
        return path
    remedy = "put it there, or correct the path, which starts at the folder of the dataset"
    found = f"there is no file {stated}"
    if path.is_dir():
        found, remedy = f"{stated} is a folder", "write the path of a film or an image"
    elif "\\" in stated:
        remedy = "write / between the folders, not \\"
    elif path.parent.is_dir():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1, cutoff=0.8)
        found += f", but {near[0]}" if near else ""
    problems.add(rows.file, found, remedy, rows.lines[k])
    return None


def _kind(rows: Rows, k: int, path: Path | None, problems: Problems) -> str | None:
    stated = rows["kind"][k] if "kind" in rows else ""
    if stated in KINDS:
        return stated
    if stated:
        problems.add(rows.file, f"kind is '{stated}'", "write image or video, or leave it empty", rows.lines[k])
        return None
    return None if path is None else "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"


def _piece(
    rows: Rows, k: int, kind: str | None, unit_ms: float | None, problems: Problems
) -> tuple[float | None, float | None] | None:
    """Return (onset, duration) of the piece of a film in ms, each None where it is not stated; None for a fault."""
    before, found = len(problems), []
    for name in ("onset", "duration"):
        cell = rows[name][k] if name in rows else ""
        value = number(cell) if cell else None
        if cell and kind == "image":
            remedy = f"leave it empty; write image_duration in {SETTINGS_FILE}, the time for which images are shown"
            problems.add(
                rows.file, f"an image has the {name} {cell}, which is for pieces of films", remedy, rows.lines[k]
            )
        elif cell and value is None:
            problems.add(rows.file, f"{name} is '{cell}'", "write a number, or leave it empty", rows.lines[k])
        elif value is not None and (value < 0 or (name == "duration" and value == 0)):
            remedy = "write the onset from 0 on and a duration above 0"
            problems.add(rows.file, f"{name} is {cell}", remedy, rows.lines[k])
        found.append(None if value is None or unit_ms is None else value * unit_ms)
    return None if len(problems) > before else (found[0], found[1])


def _check_image(path: Path, rows: Rows, k: int, problems: Problems, decode: bool) -> None:
    if path.stat().st_size == 0:
        problems.add(rows.file, f"the image {rows['path'][k]} is empty", "put it there again", rows.lines[k])
    elif decode:
        try:
            read_image(path)
        except BadInput as error:
            _unreadable(path, rows, k, error, problems)


def _in_film(
    folder: Path, path: Path, rows: Rows, k: int, piece: tuple[float | None, float | None], problems: Problems
) -> tuple[float, float]:
    """Return (start, NaN for the whole film, and length) of a film or its piece in ms."""
    try:
        info = probe(path)
    except BadInput as error:
        _unreadable(path, rows, k, error, problems)
        return np.nan, np.nan
    if piece == (None, None):
        return np.nan, info.duration_ms
    start_ms = piece[0] or 0.0
    length_ms = info.duration_ms - start_ms if piece[1] is None else piece[1]
    if start_ms + length_ms > info.duration_ms + 2000 / info.fps or start_ms >= info.duration_ms:
        got = f"the piece from {start_ms / 1000:g} s to {(start_ms + length_ms) / 1000:g} s is not in the film"
        remedy = "correct onset, duration or time_unit"
        problems.add(rows.file, f"{got}, which lasts {info.duration_ms / 1000:g} s", remedy, rows.lines[k])
    return start_ms, length_ms


def _unreadable(path: Path, rows: Rows, k: int, error: BadInput, problems: Problems) -> None:
    # the message has the whole path, at its start and perhaps in it
    text = str(error).removeprefix(f"{path}: ").replace(str(path), path.name).partition(";")[0]
    problems.add(rows.file, f"{rows['path'][k]} {text}", "put a whole film or image there", rows.lines[k])
