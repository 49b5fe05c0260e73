"""Miniature of CRCNS pvc-1: eight segments of 3 to 4 s, three runs at two sites, seven electrodes, MATLAB 5 and JPEG.

The rate of an electrode is planted in the layer orientation of the embedded network. One run also has noise stimuli,
one repeats its films, one lacks an electrode and half of the segments; the rate of electrode 9 is constant.
"""

from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.scenes import moving_scenes
from src.utils import regular_bins

STUDY = "crcns-pvc1"
FPS, LAYER = 30, "orientation"
SEGMENTS = [(movie, part) for movie in range(2) for part in range(4)]
ELECTRODES = (3, 5, 7, 9, 12, 20, 31)
RATE_HZ, GAIN = 40.0, 0.6
EXPECTED = {"crcns-pvc1": {"stimuli": 8, "subjects": 1, "repetitions": 4, "bins": 150, "units": 7}}


def n_frames(segment: tuple[int, int]) -> int:
    """Return the number of frames of a segment; the last one of a film is shorter."""
    return 90 if segment[1] == 3 else 120


def render(segment: tuple[int, int]) -> np.ndarray:
    """Return the frames of a segment, uint8 (n_frames, 64, 64, 3)."""
    return moving_scenes(np.random.default_rng(segment), n_frames(segment), (0.2, 0.5))


def write(folder: Path) -> None:
    """Write `neurodata` and `movie_frames` of the release."""
    for segment in SEGMENTS:
        _write_frames(folder, segment)
    rates = _rates()
    others = [_condition(["rseed"], [7], [_no_spikes()])]
    _write_run(folder, "ac1_u004_000", ELECTRODES, [_film(rates, s, 1, 10) for s in SEGMENTS] + others)
    _write_run(folder, "ac1_u004_001", ELECTRODES, [_film(rates, s, 2, 20) for s in SEGMENTS])
    part = ELECTRODES[:-1]
    _write_run(folder, "ac1_u005_007", part, [_film(rates, s, 1, 30, len(part)) for s in SEGMENTS[:4]])
    _write_run(folder, "bd2_u001_000", ELECTRODES, [_film(rates, s, 1, 40) for s in SEGMENTS])


def _write_frames(folder: Path, segment: tuple[int, int]) -> None:
    from PIL import Image

    name = "movie{:03d}_{:03d}".format(*segment)
    home = folder / "movie_frames" / f"{name}.images"
    home.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(render(segment)):
        Image.fromarray(frame).save(home / f"{name}_{k:03d}.jpeg", quality=95)
    (home / "nframes").write_text(f"{n_frames(segment)}\n")


def _rates() -> dict[tuple[int, int], np.ndarray]:
    """Return the expected spikes per bin of each electrode in each segment: (n_bins, n_electrodes)."""
    # the network receives 25 frames per second
    films = [render(s)[(np.arange(int(n_frames(s) / FPS * 25)) * FPS / 25).astype(int)] for s in SEGMENTS]
    bins = [regular_bins(1000 * n_frames(s) / FPS, 200) for s in SEGMENTS]
    activations = [film[LAYER] for film in plant.binned(films, bins)]
    rows = np.concatenate(activations)
    signal = plant.unit_variance(rows @ plant.directions(np.random.default_rng(1), rows, len(ELECTRODES), 4))
    signal[:, ELECTRODES.index(9)] = 0
    rate = np.clip(RATE_HZ / 5 * (1 + GAIN * signal), 0, None)
    ends = np.cumsum([len(a) for a in activations])[:-1]
    return dict(zip(SEGMENTS, np.split(rate, ends), strict=True))


def _no_spikes() -> np.ndarray:
    return _cell([_cell([np.zeros((0, 0)), np.zeros((48, 0), np.int8)]) for _ in ELECTRODES])


def _cell(items: list) -> np.ndarray:
    cell = np.empty((1, len(items)), dtype=object)
    for k, item in enumerate(items):
        cell[0, k] = item
    return cell


def _film(rates, segment: tuple[int, int], n_repeats: int, seed: int, n_electrodes: int = len(ELECTRODES)) -> dict:
    rng = np.random.default_rng([seed, *segment])
    repeats = []
    for _ in range(n_repeats):
        counts = rng.poisson(rates[segment])
        cells = []
        for column in counts.T[:n_electrodes]:
            times = [0.2 * (k + t) for k, n in enumerate(column) for t in sorted(rng.random(n))]
            cells.append(_cell([np.array([[-0.01, *times]]), np.zeros((48, len(times)), np.int8)]))
        repeats.append(_cell(cells))
    return _condition(["movie_id", "segment_id"], list(segment), repeats)


def _condition(symbols: list[str], values: list[int], repeats: list) -> dict:
    return {
        "symbols": _cell(symbols),
        "values": _cell([float(v) for v in values]),
        "noRepeats": float(len(repeats)),
        "repeat": _cell([{"timeTag": 1.0, "tzero": 0.0, "data": cells} for cells in repeats]),
    }


def _write_run(folder: Path, name: str, electrodes: tuple[int, ...], conditions: list[dict]) -> None:
    from scipy.io import savemat

    path = folder / "neurodata" / name.split("_")[0] / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"no_conditions": float(len(conditions)), "listOfResults": _cell(conditions)}
    savemat(path, {"pepANA": record | {"elec_list": np.array([electrodes], dtype=float)}}, do_compression=True)
