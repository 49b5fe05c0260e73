"""`nwb:FILE` and `nwb:FOLDER`: spikes or rates of units in NWB files, and presentations of films and images.

Spikes are counted in time bins since the onset of each presentation, in Hz; rates are averaged by overlap. The files of
a folder are sessions, whose units are put side by side. Stimuli are files, or images in the NWB file
(`IndexSeries`), which are written into the folder of the dataset.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...files import safe_name, writing
from ...records import Responses, Stimuli
from ...utils import regular_bins
from ..declare import Dataset, Electrodes
from ..films import write_png
from ..own.problems import Problems
from . import nwb_file
from .nwb_file import Presentations
from .reference import Reference, parse, plain_name
from .shown import find_files, read_stimuli

OPTIONS = ("stimuli", "table", "column", "rates", "bin", "window", "quality")
SUFFIX = ".nwb"
BIN_MS = 100.0
# errors of groups in place of datasets, of other types and of other shapes
MALFORMED = (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError, AttributeError, OverflowError)


def parsed(name: str) -> Reference:
    """Return the reference of a name."""
    return parse(name, OPTIONS)


def read(
    reference: Reference, problems: Problems, folder: Path | None, load: Callable[[Path], Any]
) -> tuple[Dataset | None, Any, list[str]]:
    """Return (declaration, record, assumptions); None for what faults, which are added, prevent.

    folder: None reads only what the declaration needs.
    """
    place = reference.paths[0]
    files = _session_files(place, problems)
    width_ms, window_ms = reference.ms("bin"), reference.window_ms()
    if not files:
        return None, None, []
    name = reference.stated_name() or plain_name(place.stem if place.is_file() else place.name)
    facts = {"citation": reference.get("citation", "not stated"), "licence": reference.get("licence", "not stated")}
    declared = Electrodes(name=name, study=safe_name(name), load=load, access="own", source="own files (NWB)", **facts)
    if folder is None:
        return declared, None, []
    sessions = [_session(path, reference, problems) for path in files]
    if len(problems):
        return declared, None, []
    stimuli = _stimuli(reference, name, sessions, folder, problems)
    if stimuli is None:
        return declared, None, []
    bins_ms = _bins(stimuli, width_ms, window_ms)
    if not len(bins_ms):
        got = f"no bin of {width_ms or BIN_MS:g} ms fits in {window_ms or _lasts_ms(stimuli)} ms"
        problems.add(place.name, got, "state a shorter bin=, or a longer window=")
        return declared, None, []
    record = _joined(stimuli, bins_ms, sessions, problems, place.name)
    said = [f"presentations are those of {' and '.join(dict.fromkeys(one.shown.source for one in sessions))}"]
    said += [] if width_ms else [f"bin is {bins_ms[0, 1] - bins_ms[0, 0]:g} ms"]
    said += [] if window_ms else [f"window is {bins_ms[0, 0]:g} to {bins_ms[-1, 1]:g} ms, the length of the stimuli"]
    return declared, record, said


def _session_files(place: Path, problems: Problems) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        problems.add(place.name, "there is no such file or folder", "correct the path")
        return []
    found = sorted(path for path in place.rglob(f"*{SUFFIX}") if path.is_file())
    if not found:
        problems.add(place.name, f"there is no {SUFFIX} file in this folder", "name an NWB file, or a folder of them")
    return found


@dataclass(frozen=True)
class Session:
    """Content of one file: presentations, units and a function that returns their values in bins.

    measure: edges (n_presentations, n_bins + 1) in s -> values (n_presentations, n_bins, n_units).
    """

    file: str
    subject: str
    shown: Presentations
    units: dict[str, list]
    measure: Callable[[np.ndarray], np.ndarray]


def _session(path: Path, reference: Reference, problems: Problems) -> Session | None:
    import h5py

    try:
        opened = h5py.File(path, "r")
    except OSError as error:
        problems.add(path.name, f"cannot be read as HDF5 ({str(error).splitlines()[0]})", "get the file again")
        return None
    with opened:
        if "nwb_version" not in opened.attrs:
            problems.add(path.name, "is an HDF5 file, but no NWB file", "write it with pynwb")
            return None
        try:
            return _content(opened, path.name, reference, problems)
        except MALFORMED as error:
            reason = " ".join(str(error).split())[:160]
            got = f"is not laid out as NWB 2 ({type(error).__name__}: {reason})"
            problems.add(path.name, got, "validate it with pynwb, and write it again")
            return None


def _content(opened: Any, label: str, reference: Reference, problems: Problems) -> Session | None:
    shown = nwb_file.presentations(opened, label, reference.get("table"), reference.get("column"), problems)
    place, quality = reference.get("rates"), reference.get("quality")
    if place is None:
        spikes = nwb_file.spikes(opened, label, problems)
        measure = None if spikes is None else _counting(spikes, nwb_file.observed(opened))
        n_units = 0 if spikes is None else len(spikes)
    else:
        rates = nwb_file.rates(opened, label, place, problems)
        measure = None if rates is None else _averaging(rates)
        n_units = 0 if rates is None else rates.values.shape[1]
    if shown is None or measure is None:
        return None
    units = nwb_file.unit_table(opened, place, n_units)
    kept = np.arange(n_units)
    if quality is not None:
        stated = list(map(nwb_file.text, units.get("quality", ())))
        kept = np.flatnonzero(np.array(stated, dtype=str) == quality) if stated else kept[:0]
    if not len(kept):
        known = ", ".join(sorted(set(map(str, units.get("quality", ()))))) or "not stated"
        got = f"has no unit of the quality {quality}; it is {known}" if quality else "has no units"
        problems.add(label, got, "correct or remove the option quality" if quality else "leave the file out")
        return None
    units = {name: [values[k] for k in kept] for name, values in units.items()}
    return Session(label, nwb_file.subject(opened), shown, units, lambda edges: measure(edges)[..., kept])


def _counting(
    spikes: Sequence[np.ndarray], observed: Sequence[np.ndarray] | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function edges (n, n_bins + 1) in s -> rates (n, n_bins, n_units) in Hz, NaN outside `observed`."""

    def measure(edges: np.ndarray) -> np.ndarray:
        rate = np.stack([np.diff(np.searchsorted(times, edges), axis=1) for times in spikes], axis=-1)
        rate = (rate / np.diff(edges, axis=1)[..., None]).astype(np.float32)
        for unit, intervals in enumerate(observed or ()):
            start, end = edges[:, :-1, None], edges[:, 1:, None]
            inside = ((start >= intervals[:, 0] - 1e-9) & (end <= intervals[:, 1] + 1e-9)).any(axis=-1)
            rate[~inside, unit] = np.nan
        return rate

    return measure


def _averaging(rates: nwb_file.Rates) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function edges (n, n_bins + 1) in s -> means (n, n_bins, n_units), NaN outside the series."""
    lasts = np.diff(rates.edges_s)[:, None]
    kept = np.isfinite(rates.values)
    # integrals over time from the start on, of the values and of the time with a value
    totals = _integral(np.where(kept, rates.values, 0) * lasts), _integral(kept * lasts)

    def measure(edges: np.ndarray) -> np.ndarray:
        place = np.clip(np.searchsorted(rates.edges_s, edges, side="right") - 1, 0, len(lasts) - 1)
        share = ((edges - rates.edges_s[place]) / lasts[place, 0])[..., None]
        value, length = (np.diff(total[place] + share * (total[place + 1] - total[place]), axis=1) for total in totals)
        outside = (edges[:, :-1] < rates.edges_s[0] - 1e-9) | (edges[:, 1:] > rates.edges_s[-1] + 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(length > 1e-9, value / length, np.nan)
        mean[outside] = np.nan
        return mean.astype(np.float32)

    return measure


def _integral(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def _stimuli(
    reference: Reference, name: str, sessions: Sequence[Session], made: Path, problems: Problems
) -> Stimuli | None:
    """Return the stimuli that any session presented; None, with the faults added, otherwise.

    made: folder into which images of the file itself are written.
    """
    place = reference.paths[0]
    default = place.parent if place.is_file() else place
    folder = reference.path("stimuli", default) or default
    names = dict.fromkeys(one for session in sessions for one in session.shown.names)
    if not folder.is_dir():
        problems.add(place.name, f"stimuli={reference.get('stimuli')} is no folder", "name the folder of the stimuli")
        return None
    files = _written(sessions, made / "images", problems)
    remedy = "state the folder with the films or images, as stimuli=FOLDER"
    wanted = sorted(one for one in names if one not in files)
    files |= find_files(wanted, folder, problems, place.name, remedy) if wanted else {}
    if len(problems):
        return None
    lasts = np.concatenate([session.shown.stop_s - session.shown.start_s for session in sessions])
    image_ms = round(1000 * float(np.nanmedian(lasts)), 3) if np.isfinite(lasts).any() else BIN_MS
    return read_stimuli(name, files, image_ms, problems)


def _written(sessions: Sequence[Session], folder: Path, problems: Problems) -> dict[str, Path]:
    """Write the images of the files themselves and return {name: file}; sessions have equal ones under one name."""
    found: dict[str, np.ndarray] = {}
    for session in sessions:
        for name, picture in session.shown.pictures.items():
            if not np.array_equal(found.setdefault(name, picture), picture):
                problems.add(session.file, f"its image {name} is another one than in the other files", "score it alone")
                return {}
    with writing(folder, "DATA_HOME"):
        return {name: write_png(folder / f"{name}.png", picture) for name, picture in found.items()}


def _lasts_ms(stimuli: Stimuli) -> float:
    return float(np.max(stimuli.duration_ms))


def _bins(stimuli: Stimuli, width_ms: float | None, window_ms: tuple[float, float] | None) -> np.ndarray:
    """Return the time bins: those of the window, by default as long as the longest stimulus."""
    start_ms, end_ms = window_ms or (0.0, _lasts_ms(stimuli))
    return regular_bins(end_ms - start_ms, width_ms or min(BIN_MS, end_ms - start_ms)) + start_ms


def _joined(
    stimuli: Stimuli, bins_ms: np.ndarray, sessions: Sequence[Session], problems: Problems, label: str
) -> Responses | None:
    """Return the record of all sessions, their units side by side; None, with a fault added, without any value."""
    place = {name: k for k, name in enumerate(stimuli.ids)}
    blocks, tables = [], []
    for session in sessions:
        edges_s = session.shown.start_s[:, None] + np.append(bins_ms[:, 0], bins_ms[-1, 1]) / 1000
        values = session.measure(edges_s)
        rows = np.array([place[name] for name in session.shown.names])
        over = _after_film(stimuli, bins_ms)[rows]
        values[over] = np.nan
        blocks.append(_by_stimulus(values, rows, len(stimuli)))
        tables.append(session.units | {"session": [Path(session.file).stem] * len(session.units["unit_id"])})
        tables[-1]["subject"] = [session.subject] * len(session.units["unit_id"])
    units = _units(tables)
    most = max(block.shape[1] for block in blocks)
    padded = [np.pad(b, [(0, 0), (0, most - b.shape[1]), (0, 0), (0, 0)], constant_values=np.nan) for b in blocks]
    values = np.concatenate(padded, axis=3)
    seen = np.isfinite(values).any(axis=(0, 1, 2))
    if not seen.any():
        problems.add(label, "no unit was recorded while a stimulus was shown", "compare the times of both in the file")
        return None
    notes: dict[str, Any] = {"presentations": sum(len(session.shown.names) for session in sessions)}
    notes |= {"sessions": len(sessions)} if len(sessions) > 1 else {}
    if not seen.all():
        notes["units without any value, left out"] = int((~seen).sum())
    units = {name: [value for value, kept in zip(column, seen, strict=True) if kept] for name, column in units.items()}
    owners = "+".join(sorted({session.subject for session in sessions}))
    return Responses(stimuli, values[..., seen], bins_ms, units, (owners,) * most, notes)


def _after_film(stimuli: Stimuli, bins_ms: np.ndarray) -> np.ndarray:
    """Return (n_stimuli, n_bins), True for bins after the end of a film; images may be followed by a response."""
    films = np.array([kind == "video" for kind in stimuli.kind])
    return films[:, None] & (bins_ms[:, 1] > stimuli.duration_ms[:, None] + 1)


def _by_stimulus(values: np.ndarray, rows: np.ndarray, n_stimuli: int) -> np.ndarray:
    """Return (n_stimuli, n_repetitions, n_bins, n_units) of presentations (n, n_bins, n_units) of stimuli (n,)."""
    counts = np.bincount(rows, minlength=n_stimuli)
    found = np.full((n_stimuli, counts.max(), *values.shape[1:]), np.nan, dtype=np.float32)
    for stimulus in range(n_stimuli):
        own = values[rows == stimulus]
        found[stimulus, : len(own)] = own
    return found


def _units(tables: Sequence[Mapping[str, list]]) -> dict[str, list]:
    """Return the tables below each other; unit ids that several sessions have get the session in front."""
    names = dict.fromkeys(name for table in tables for name in table)
    joined = {
        name: [value for table in tables for value in table.get(name, [""] * len(table["unit_id"]))] for name in names
    }
    if len(set(joined["unit_id"])) < len(joined["unit_id"]) and len(tables) > 1:
        joined["unit_id"] = [f"{s}-{u}" for s, u in zip(joined["session"], joined["unit_id"], strict=True)]
    return joined
