"""Nishimoto & Gallant 2011 (CRCNS mt-2): single MT neurons of macaques, each with a naturalistic film of its own.

Nishimoto S, Gallant JL (2011). J Neurosci 31:14551-14564. From crcns.org/data-sets/vc/mt-2 (free account). Layout: one
MATLAB 7.3 (HDF5) file a cell, <DATA_HOME>/crcns-mt2/**/<cell>_<run>_<px>.mat, with rawStims (grey frames; HDF5 shows
time x width x height, which is turned here), psths (spikes a frame, at 72 Hz; NaN or negative: the frame does not
count) and ranges/crange, ranges/vrange (frames to fit and to validate on, from 1; kept in the unit table, not used).

As published, the first 300 s count, in bins of 200 ms. A bin is the mean rate, in spikes a second, over its frames that
count; with less than half of them it is NaN, where the published reader put the cell's mean; so is what comes after the
end of a shorter film. Frames become a grey film of 72 Hz without loss.

Every cell has a film, so responses are (n_cells, 1, 1500, n_cells), NaN where a cell did not see a film: 6 kB times the
square of the number of cells, 60 MB for 100 of them and 2 GB for 577; more than that are refused.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, digest, overlap_weights, regular_bins
from ..declare import Electrodes
from ..films import write_lossless
from ..release import ByHand, Need, Release

NAME, FPS, BIN_MS, FILM_MS = "crcns-mt2", 72.0, 200.0, 300_000.0
N_BINS = round(FILM_MS / BIN_MS)
LEAST_SHARE, MOST_UNLIKE = 0.5, 0.01
MAX_BYTES = 2_000_000_000
CHUNK = 512
RANGES = {"estimation": "crange", "validation": "vrange"}


@dataclass(frozen=True)
class Cell:
    """One file: its film and rate (n_bins,) in spikes a second, NaN where nothing counts.

    ranges: the file's own, by the names of the unit table; n_more: by how many its frames and its counts differ.
    """

    name: str
    film: Path
    duration_ms: float
    rate: np.ndarray
    ranges: dict[str, int]
    n_more: int

    @property
    def lost(self) -> int:
        """How many bins of the film do not count."""
        return int(np.isnan(self.rate[: int(self.duration_ms / BIN_MS + 1e-6)]).sum())


def read(release: Release) -> Responses:
    """All cells; BadInput for a damaged file, too many cells, or a cell that has no spike to count."""
    paths = release.files("**/*.mat")
    check_size(len(paths))
    home = release.folder / "prepared" / f"{NAME}-films"
    cells: list[Cell] = []
    with ThreadPoolExecutor(max(1, release.jobs)) as pool:
        for cell in pool.map(lambda path: read_cell(path, home), paths):
            cells.append(cell)
            release.progress(len(cells), len(paths), cell.name)
    silent = [cell.name for cell in cells if not np.nanmax(cell.rate, initial=0) > 0]
    kept = [cell for cell in cells if cell.name not in silent]
    if not kept:
        raise BadInput(f"{NAME}: none of {len(cells)} cells has a spike to count; expected the release's files")
    notes = {
        "cells without a spike left out": _named(silent),
        "cells with more frames or counts, cut": _named([cell.name for cell in kept if cell.n_more]),
        "bins without a response left out": sum(cell.lost for cell in kept),
        "response": "spikes/s in 200 ms, first 300 s",
    }
    return Responses(_stimuli(kept), _sparse(kept), regular_bins(FILM_MS, BIN_MS), _units(kept), ("macaque",), notes)


def check_size(n_cells: int) -> None:
    """Raise BadInput where the responses of so many cells to all films would not fit."""
    n_bytes = 4 * n_cells**2 * N_BINS
    if n_bytes > MAX_BYTES:
        most = int((MAX_BYTES / 4 / N_BINS) ** 0.5)
        raise BadInput(f"{NAME}: {n_cells} cells; expected at most {most}; move some files out of the folder")


def _named(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:5])})" if names else "0"


def _stimuli(cells: list[Cell]) -> Stimuli:
    return Stimuli(
        name=NAME,
        ids=tuple(cell.name for cell in cells),
        paths=tuple(cell.film for cell in cells),
        duration_ms=np.array([cell.duration_ms for cell in cells]),
        kind=("video",) * len(cells),
    )


def _sparse(cells: list[Cell]) -> np.ndarray:
    """(n_cells, 1, n_bins, n_cells), NaN but where a cell saw its own film."""
    values = np.full((len(cells), 1, N_BINS, len(cells)), np.nan, dtype=np.float32)
    for k, cell in enumerate(cells):
        values[k, 0, :, k] = cell.rate
    return values


def _units(cells: list[Cell]) -> dict[str, np.ndarray]:
    table = {"unit_id": np.array([cell.name for cell in cells]), "film": np.array([cell.name for cell in cells])}
    return table | {column: np.array([cell.ranges[column] for cell in cells]) for column in cells[0].ranges}


def read_cell(path: Path, home: Path) -> Cell:
    """One file, and its film in the folder `home`; BadInput where the file is damaged or contradicts itself."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            frames = file["rawStims"]
            spikes = np.ravel(file["psths"][()]).astype(np.float64)
            n_both, n_more = min(len(frames), len(spikes)), abs(len(frames) - len(spikes))
            if frames.ndim != 3 or n_more > MOST_UNLIKE * n_both:
                raise BadInput(
                    f"{path}: frames {frames.shape} and {len(spikes)} spike counts; expected as many counts as frames; "
                    f"fetch it again"
                )
            n_frames = min(n_both, int(FILM_MS / 1000 * FPS))
            film = _film(path, frames, n_frames, home)
            ranges = _ranges(file.get("ranges"))
    except (OSError, KeyError, RuntimeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected a whole MATLAB 7.3 file; fetch it again") from error
    return Cell(path.stem, film, 1000 * n_frames / FPS, rate(spikes[:n_frames]), ranges, n_more)


def rate(spikes: np.ndarray) -> np.ndarray:
    """Spikes a frame (n_frames,), NaN or negative where they do not count, as spikes a second in bins (n_bins,)."""
    counts = np.isfinite(spikes) & (np.nan_to_num(spikes, nan=-1) >= 0)
    frames_ms = regular_bins(1000 * len(spikes) / FPS, 1000 / FPS)[: len(spikes)]
    bins = regular_bins(frames_ms[-1, 1], BIN_MS)
    weights = overlap_weights(frames_ms, bins)
    share = weights @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(share >= LEAST_SHARE - 1e-9, weights @ np.where(counts, spikes, 0) / share, np.nan)
    return np.pad(FPS * mean, (0, N_BINS - len(mean)), constant_values=np.nan)


def _film(path: Path, frames, n_frames: int, home: Path) -> Path:
    """The frames as a grey film, made where it is not there for this file."""
    recipe = digest([path.name, path.stat().st_size, n_frames])
    film = home / f"{path.stem}-{recipe[:8]}.mkv"
    return film if film.is_file() else write_lossless(film, _upright(path, frames, n_frames), FPS)


def _upright(path: Path, frames, n_frames: int):
    """Frames (height, width), uint8, a few at a time; BadInput where they are no grey levels."""
    for start in range(0, n_frames, CHUNK):
        block = frames[start : min(start + CHUNK, n_frames)]
        if block.dtype != np.uint8:
            if not np.isfinite(block).all() or block.min() < 0 or block.max() > 255:
                raise BadInput(f"{path}: frames from {start} on are not grey levels of 0 to 255; fetch it again")
            block = np.round(block).astype(np.uint8)
        yield from block.transpose(0, 2, 1)


def _ranges(group) -> dict[str, int]:
    """First and last frame to fit and to validate on, -1 where the file does not say."""
    found = {}
    for ours, theirs in RANGES.items():
        given = np.ravel(group[theirs][()]) if group is not None and theirs in group else np.array([-1])
        found |= {f"{ours}_first": int(given.min()), f"{ours}_last": int(given.max())}
    return found


DATASETS = [
    Electrodes(
        name=NAME,
        study=NAME,
        read=read,
        needs=(Need("cells", "**/*.mat", ByHand("crcns.org/data-sets/vc/mt-2 (free account), unpacked in crcns-mt2")),),
        citation="Nishimoto & Gallant 2011, J Neurosci 31:14551, doi:10.1523/JNEUROSCI.6801-10.2011",
        licence="CRCNS terms: account, no redistribution",
        access="registration",
        source="crcns.org/data-sets/vc/mt-2",
        fit="per unit",
        clip_ms=5000.0,
        note="every cell has a film of its own; rates in 200 ms",
        expected={"subjects": 1, "repetitions": 1, "bins": 1500},
    )
]
