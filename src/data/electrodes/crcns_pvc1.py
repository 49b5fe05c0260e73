"""Nauhaus & Ringach 2007 (CRCNS pvc-1): multi-unit activity of macaque V1 during 60 minutes of film.

Nauhaus I, Ringach DL (2007). J Neurophysiol 97:3781-3789. From crcns.org/data-sets/vc/pvc-1 (free account, 1.9 GB, no
redistribution). A Utah array of 10 x 10; four films in 30 segments of about 30 s each, 30 frames a second, 320 x 240.

Layout, in <DATA_HOME>/crcns-pvc1 or a folder crcns-ringach-data there: neurodata/<animal>/<animal>_u<site>_<run>.mat
(MATLAB 5; pepANA.listOfResults{}: symbols, values (movie, segment), repeat{}.data{electrode}{1}: spike times in s;
elec_list); movie_frames/movie<MMM>_<SSS>.images/<same>_<FFF>.jpeg and nframes. The JPEG frames of a segment are put
into one film as they are, without encoding them again.

Spike counts in bins of 200 ms, from 0 to 30 s or the segment's end, NaN after it. Every recording is used: all runs and
all repeats of a run are repetitions, and missing ones are NaN. As published, an electrode number identifies one unit in
all runs (option `neurons`: "electrode"; "site" separates the sites of an animal), only animal ac1 is read (`animal`),
and segments, then electrodes, are left out if more than half of their entries have less than two recordings (one, by
site). Then the emptiest ones are left out until every electrode has every segment. The published selection of
electrodes by reliability, r > 0.065 between the first two recordings of all data, test data included, is `units`:
"reliable".
"""

from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, digest, regular_bins
from ..declare import Electrodes
from ..parallel import with_progress
from ..release import ByHand, Need, Release, fetch_hint
from .jpegs import remux_jpegs
from .pepana import FILM_MS, N_BINS, Session, read_session

NAME, FPS, BIN_MS = "crcns-pvc1", 30.0, 200.0
RELIABLE_ABOVE = 0.065
Segment = tuple[int, int]
Cells = dict[tuple[Segment, str], list[np.ndarray]]


def read(release: Release) -> Responses:
    """Return the counts of one animal or of all; BadInput for missing, damaged or inconsistent files."""
    inner = release.folder / "crcns-ringach-data"
    root = inner if inner.is_dir() else release.folder
    animal = "*" if release.options.get("animal", "ac1") == "all" else "ac1"
    pattern = str((root / "neurodata" / animal / "*.mat").relative_to(release.folder))
    sessions = [read_session(path) for path in _reported(release, release.files(pattern))]
    by_site = release.options.get("neurons", "electrode") == "site"
    cells = gather(sessions, by_site)
    segments, units, left_out = choose(cells, least=1 if by_site else 2)
    stimuli = _stimuli(release, {segment: frames_of(release, root, segment) for segment in segments})
    values = stack(cells, segments, units, stimuli.duration_ms)
    if release.options.get("units", "all") == "reliable":
        values, units, unreliable = most_reliable(values, units)
        left_out["electrodes left out as unreliable, by all data"] = unreliable
    left_out["conditions without a film left out"] = sum(session.n_other for session in sessions)
    left_out["spikes before a film left out"] = sum(session.n_early for session in sessions)
    animals = sorted({session.animal for session in sessions})
    subject = animals[0] if len(animals) == 1 else "all animals"
    table = {"unit_id": np.array(units), "electrode": np.array([int(unit.rsplit("-e", 1)[1]) for unit in units])}
    return Responses(stimuli, values, regular_bins(FILM_MS, BIN_MS), table, (subject,) * values.shape[1], left_out)


def _reported(release: Release, paths: list[Path]):
    """Yield the paths and report progress before each."""
    for done, path in enumerate(paths):
        release.progress(done, len(paths), path.name)
        yield path


def gather(sessions: list[Session], by_site: bool) -> Cells:
    """Return {(segment, unit): counts (n_bins,) of every recording}, in the order of the files and their repeats."""
    cells: Cells = {}
    for session in sessions:
        place = f"{session.animal}-{session.site}" if by_site else session.animal
        for segment, counts in session.trials:
            for electrode, row in zip(session.electrodes, counts, strict=True):
                cells.setdefault((segment, f"{place}-e{electrode:03d}"), []).append(row)
    return cells


def choose(cells: Cells, least: int) -> tuple[list[Segment], list[str], dict[str, int]]:
    """Return segments and units with at least one recording of every pair, and the numbers of both left out.

    As published, segments and then units are left out if more than half of their entries have less than `least`
    recordings; then the emptiest ones, one by one. Raises BadInput if nothing remains.
    """
    segments, units = (sorted(set(names)) for names in zip(*cells, strict=True)) if cells else ([], [])
    shape = len(segments), len(units)
    counts = np.array([[len(cells.get((s, u), ())) for u in units] for s in segments]).reshape(shape)
    rows = np.flatnonzero((counts < least).sum(axis=1) <= len(units) // 2)
    columns = np.flatnonzero((counts[rows] < least).sum(axis=0) <= len(rows) // 2)
    while rows.size and columns.size and (empty := counts[np.ix_(rows, columns)] == 0).any():
        by_row, by_column = empty.mean(axis=1), empty.mean(axis=0)
        if by_row.max() >= by_column.max():
            rows = np.delete(rows, by_row.argmax())
        else:
            columns = np.delete(columns, by_column.argmax())
    if not rows.size or not columns.size:
        raise BadInput(
            f"{NAME}: no electrode and segment have {least} recordings among {len(segments)} segments and "
            f"{len(units)} electrodes; expected the whole release, with repeats; fetch it again or use neurons site"
        )
    left_out = {
        "segments left out for want of recordings": len(segments) - len(rows),
        "electrodes left out for want of recordings": len(units) - len(columns),
    }
    return [segments[i] for i in rows], [units[j] for j in columns], left_out


def stack(cells: Cells, segments: list[Segment], units: list[str], lengths_ms: np.ndarray) -> np.ndarray:
    """Return counts (n_segments, n_repetitions, n_bins, n_units), NaN without a recording or after the film's end."""
    most = max(len(cells[segment, unit]) for segment in segments for unit in units)
    values = np.full((len(segments), most, N_BINS, len(units)), np.nan, dtype=np.float32)
    for i, segment in enumerate(segments):
        n_bins = int(lengths_ms[i] / BIN_MS + 1e-6)
        for j, unit in enumerate(units):
            found = np.stack(cells[segment, unit])[:, :n_bins]
            values[i, : len(found), :n_bins, j] = found
    return values


def reliability(values: np.ndarray) -> np.ndarray:
    """Return the correlation of each unit's first with its second recordings, over all segments: (n_units,)."""
    if values.shape[1] < 2:
        return np.full(values.shape[-1], np.nan)
    pairs = values[:, :2].swapaxes(0, 1).reshape(2, -1, values.shape[-1]).transpose(2, 0, 1)
    both = [pair[:, np.isfinite(pair).all(axis=0)] for pair in pairs]
    return np.array([np.corrcoef(pair)[0, 1] if np.all(np.ptp(pair, axis=1)) else 0.0 for pair in both])


def most_reliable(values: np.ndarray, units: list[str]) -> tuple[np.ndarray, list[str], int]:
    """Return the published selection: values and names of the units above the bound, and the number of the others."""
    kept = reliability(values) > RELIABLE_ABOVE
    if not kept.any():
        raise BadInput(f"{NAME}: no electrode is reliable (r > {RELIABLE_ABOVE}); use units all")
    return values[..., kept], [unit for unit, keep in zip(units, kept, strict=True) if keep], int((~kept).sum())


def segment_name(segment: Segment) -> str:
    """Return the name of a segment, such as "movie001_002"."""
    return "movie{:03d}_{:03d}".format(*segment)


def frames_of(release: Release, root: Path, segment: Segment) -> list[Path]:
    """Return the frames of a segment in order; BadInput if their number differs from `nframes`."""
    folder = root / "movie_frames" / f"{segment_name(segment)}.images"
    frames = sorted(folder.glob("*.jpeg"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    stated = folder / "nframes"
    expected = int(stated.read_text()) if stated.is_file() else max(1, len(frames))
    if len(frames) != expected:
        raise BadInput(
            f"{release.name}: {len(frames)} frames in {folder}; expected {expected}; {fetch_hint(release.name)}"
        )
    return frames


def _stimuli(release: Release, frames: dict[Segment, list[Path]]) -> Stimuli:
    """Return the segments as films, of which the first 30 s are used."""
    return Stimuli(
        name=NAME,
        ids=tuple(map(segment_name, frames)),
        paths=tuple(_films(release, frames)),
        duration_ms=np.array([min(1000 * len(files) / FPS, FILM_MS) for files in frames.values()]),
        kind=("video",) * len(frames),
        table={"movie": [movie for movie, _ in frames], "segment": [part for _, part in frames]},
        start_ms=np.zeros(len(frames)),
    )


def _films(release: Release, films: dict[Segment, list[Path]]) -> list[Path]:
    """Return one film per segment beside the prepared data, written unless it exists for these frames."""
    home = release.folder / "prepared" / f"{NAME}-films"

    def make(segment: Segment) -> Path:
        frames = films[segment]
        recipe = digest([[path.name, path.stat().st_size] for path in frames])
        path = home / f"{segment_name(segment)}-{recipe[:8]}.mkv"
        return path if path.is_file() else remux_jpegs(path, frames, FPS)

    return with_progress(release, make, list(films), segment_name)


_ORIGIN = ByHand("crcns.org/data-sets/vc/pvc-1 (free account), unpacked in crcns-pvc1", 1.9)
DATASETS = [
    Electrodes(
        name=NAME,
        study=NAME,
        read=read,
        needs=(
            Need("recordings", "**/neurodata/*/*.mat", _ORIGIN),
            Need("segments of the films (their frames beside)", "**/movie_frames/*.images/nframes", _ORIGIN, count=120),
        ),
        options={"units": ("all", "reliable"), "neurons": ("electrode", "site"), "animal": ("ac1", "all")},
        citation="Nauhaus & Ringach 2007, J Neurophysiol 97:3781, doi:10.1152/jn.00046.2007",
        licence="CRCNS terms: account, no redistribution",
        access="registration",
        source="crcns.org/data-sets/vc/pvc-1",
        note="counts in 200 ms; films of 30 s",
        expected={"bins": 150},
    )
]
