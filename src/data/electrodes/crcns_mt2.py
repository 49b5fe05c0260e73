"""Nishimoto & Gallant 2011 (CRCNS mt-2): single MT neurons of macaques, each with a different naturalistic film.

Nishimoto S, Gallant JL (2011). J Neurosci 31:14551-14564. From crcns.org/data-sets/vc/mt-2 (free account). Layout: one
MATLAB 7.3 (HDF5) file per cell, <DATA_HOME>/crcns-mt2/**/<cell>_<run>_<px>.mat, with rawStims (grey frames; time x
width x height in HDF5, transposed here), psths (spikes per frame, at 72 Hz; NaN or negative: the frame is not valid)
and ranges/crange, ranges/vrange (frames to fit and to validate on, from 1; copied to the unit table, not used).

As published, the first 300 s are used, in bins of 200 ms. A bin is the mean rate, in spikes per second, over its valid
frames. With less than half of them valid it is NaN, where the published reader fills in the cell's mean; bins after the
end of a shorter film are NaN too. The frames are written as a lossless grey film of 72 Hz.

Every cell has a film, so responses are (n_cells, 1, 1500, n_cells), NaN where a cell did not see a film: 6 kB times the
square of the number of cells, 60 MB for 100 cells and 2 GB for 577; more than that are refused.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, digest, overlap_weights, regular_bins
from ..declare import Electrodes
from ..films import write_lossless
from ..notes import number_and_names
from ..parallel import with_progress
from ..release import ByHand, Need, Release

NAME, FPS, BIN_MS, FILM_MS = "crcns-mt2", 72.0, 200.0, 300_000.0
N_BINS = round(FILM_MS / BIN_MS)
LEAST_SHARE, MOST_UNLIKE = 0.5, 0.01
MAX_BYTES = 2_000_000_000
CHUNK = 512
RANGES = {"estimation": "crange", "validation": "vrange"}


@dataclass(frozen=True)
class Cell:
    """One file: its film and rate (n_bins,) in spikes per second, NaN in bins without a valid response.

    ranges: those of the file, by the names of the unit table; n_more: difference between its numbers of frames and of
    counts.
    """

    name: str
    film: Path
    duration_ms: float
    rate: np.ndarray
    ranges: dict[str, int]
    n_more: int

    @property
    def n_invalid(self) -> int:
        """Number of the film's bins without a valid response."""
        return int(np.isnan(self.rate[: int(self.duration_ms / BIN_MS + 1e-6)]).sum())


def read(release: Release) -> Responses:
    """Return all cells; BadInput for a damaged file, too many cells, or if no cell has a spike."""
    paths = release.files("**/*.mat")
    check_size(len(paths))
    home = release.folder / "prepared" / f"{NAME}-films"
    cells = with_progress(release, lambda path: read_cell(path, home), paths, lambda path: path.stem)
    silent = [cell.name for cell in cells if not np.nanmax(cell.rate, initial=0) > 0]
    kept = [cell for cell in cells if cell.name not in silent]
    if not kept:
        raise BadInput(f"{NAME}: none of {len(cells)} cells has a spike in a valid frame; expected the release's files")
    notes = {
        "cells without a spike left out": number_and_names(silent),
        "cells with more frames or counts, cut": number_and_names([cell.name for cell in kept if cell.n_more]),
        "bins without a response left out": sum(cell.n_invalid for cell in kept),
        "response": "spikes/s in 200 ms, first 300 s",
    }
    return Responses(_stimuli(kept), _sparse(kept), regular_bins(FILM_MS, BIN_MS), _units(kept), ("macaque",), notes)


def check_size(n_cells: int) -> None:
    """Raise BadInput if the responses of so many cells to all films would be too large."""
    n_bytes = 4 * n_cells**2 * N_BINS
    if n_bytes > MAX_BYTES:
        most = int((MAX_BYTES / 4 / N_BINS) ** 0.5)
        raise BadInput(f"{NAME}: {n_cells} cells; expected at most {most}; move some files out of the folder")


def _stimuli(cells: list[Cell]) -> Stimuli:
    return Stimuli(
        name=NAME,
        ids=tuple(cell.name for cell in cells),
        paths=tuple(cell.film for cell in cells),
        duration_ms=np.array([cell.duration_ms for cell in cells]),
        kind=("video",) * len(cells),
    )


def _sparse(cells: list[Cell]) -> np.ndarray:
    """Return the responses (n_cells, 1, n_bins, n_cells), NaN except for each cell's film."""
    values = np.full((len(cells), 1, N_BINS, len(cells)), np.nan, dtype=np.float32)
    for k, cell in enumerate(cells):
        values[k, 0, :, k] = cell.rate
    return values


def _units(cells: list[Cell]) -> dict[str, np.ndarray]:
    table = {"unit_id": np.array([cell.name for cell in cells]), "film": np.array([cell.name for cell in cells])}
    return table | {column: np.array([cell.ranges[column] for cell in cells]) for column in cells[0].ranges}


def read_cell(path: Path, home: Path) -> Cell:
    """Return one file as a Cell, with its film in `home`; BadInput if the file is damaged or inconsistent."""
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
    """Return spikes per frame (n_frames,), NaN or negative if not valid, as spikes per second in bins (n_bins,)."""
    valid = np.isfinite(spikes) & (np.nan_to_num(spikes, nan=-1) >= 0)
    frames_ms = regular_bins(1000 * len(spikes) / FPS, 1000 / FPS)[: len(spikes)]
    bins = regular_bins(frames_ms[-1, 1], BIN_MS)
    weights = overlap_weights(frames_ms, bins)
    share = weights @ valid
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(share >= LEAST_SHARE - 1e-9, weights @ np.where(valid, spikes, 0) / share, np.nan)
    return np.pad(FPS * mean, (0, N_BINS - len(mean)), constant_values=np.nan)


def _film(path: Path, frames, n_frames: int, home: Path) -> Path:
    """Return the frames as a grey film, written unless it exists for this file."""
    recipe = digest([path.name, path.stat().st_size, n_frames])
    film = home / f"{path.stem}-{recipe[:8]}.mkv"
    return film if film.is_file() else write_lossless(film, _transposed(path, frames, n_frames), FPS)


def _transposed(path: Path, frames, n_frames: int):
    """Yield frames (height, width), uint8, read in blocks; BadInput if they are not grey levels."""
    for start in range(0, n_frames, CHUNK):
        block = frames[start : min(start + CHUNK, n_frames)]
        if block.dtype != np.uint8:
            if not np.isfinite(block).all() or block.min() < 0 or block.max() > 255:
                raise BadInput(f"{path}: frames from {start} on are not grey levels of 0 to 255; fetch it again")
            block = np.round(block).astype(np.uint8)
        yield from block.transpose(0, 2, 1)


def _ranges(group) -> dict[str, int]:
    """Return the first and last frame to fit and to validate on, -1 if the file does not state them."""
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
        note="every cell has a different film; rates in 200 ms",
        expected={"subjects": 1, "repetitions": 1, "bins": 1500},
    )
]
