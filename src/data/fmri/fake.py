"""Simulated fMRI of a small cortical patch: every region is a known linear map of one layer of the embedded network.

Six subjects watch five films (61 to 182 s) and a hundred clips of 3 s. A unit's signal is a linear map of its layer's
activations in blocks of 4 s, averaged into seconds; for the films it is convolved with SPM's haemodynamic response, for
the clips it is one value per clip. Each subject has independent noise of known variance, so that `best_r` of the unit
table is the highest correlation of any model with the subjects' mean. Units of region "none" have no signal.
"""

from functools import partial
from pathlib import Path

import numpy as np

from ... import fakenet
from ...records import Responses, Stimuli
from ...utils import regular_bins, seed_from
from ..declare import Fmri
from ..synthetic import plant
from ..synthetic.files import FPS, render_films
from ..synthetic.scenes import moving_scenes
from ..synthetic.study import ATTRIBUTION, ensure_study

STUDY = "fake-fmri"
VERSION = 2
MOVIES_S = {"marbles.mp4": 182.0, "ribbons.mp4": 154.0, "embers.avi": 128.4, "lanterns.mp4": 97.0, "tides.mp4": 61.0}
CLIPS_S = {f"clip-{i:03d}.mp4": 3.0 for i in range(100)}
SUBJECTS = tuple(f"subject-{i}" for i in range(1, 7))
REGIONS = {"fake-V1": "colour", "fake-V2": "orientation", "fake-MT": "motion", "fake-LO": "conjunction", "none": ""}
UNITS_PER_REGION = {"L": 8, "R": 7}
N_COMPONENTS = 8
# patches of neighbouring vertices on fsaverage5, near the areas of these names
VERTICES = {
    ("L", "fake-V1"): (8554, 34, 1990, 8555, 8556, 9648, 9649, 1991),
    ("L", "fake-V2"): (3794, 304, 1700, 3792, 3793, 3795, 3796, 1699),
    ("L", "fake-MT"): (9446, 552, 2296, 5091, 9443, 9445, 9447, 2294),
    ("L", "fake-LO"): (2483, 5562, 5563, 5564, 10004, 10005, 10006, 208),
    ("L", "none"): (862, 2781, 2782, 2783, 6157, 6158, 6160, 45),
    ("R", "fake-V1"): (7949, 1761, 1762, 3894, 5566, 7948, 7950),
    ("R", "fake-V2"): (3178, 1214, 1257, 3134, 3177, 6873, 6874),
    ("R", "fake-MT"): (8554, 34, 1990, 8555, 8556, 9648, 9649),
    ("R", "fake-LO"): (3324, 87, 1404, 3325, 3326, 8563, 8564),
    ("R", "none"): (7520, 1578, 1579, 3588, 4645, 7519, 7521),
}


def _rng(*parts: str) -> np.random.Generator:
    return np.random.default_rng(seed_from(STUDY, *parts))


def units() -> dict[str, np.ndarray]:
    """Return the unit table, left hemisphere first: place, layer, variance of signal and subject noise, best_r."""
    rows = [(hemi, region, i) for hemi, n in UNITS_PER_REGION.items() for region in REGIONS for i in range(n)]
    signal = np.array([float(region != "none") for _, region, _ in rows])
    noise = _rng("noise of units").uniform(0.4, 4.0, len(rows))
    return {
        "unit_id": np.array([f"{region}-{hemi}{i}" for hemi, region, i in rows]),
        "hemi": np.array([hemi for hemi, _, _ in rows]),
        "vertex": np.array([VERTICES[hemi, region][i] for hemi, region, i in rows]),
        "region": np.array([region for _, region, _ in rows]),
        "planted_layer": np.array([REGIONS[region] for _, region, _ in rows]),
        "signal": signal,
        "noise": noise,
        "best_r": plant.best_correlation(signal, noise, len(SUBJECTS)),
    }


def signals(movies: dict[str, np.ndarray], clips: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return every unit's noiseless signal, of variance 1: films (n_seconds, n_units) and clips (n_clips, n_units).

    movies: {layer: (n_seconds, n_features)}, lagged; clips: {layer: (n_clips, n_features)}. Both signals of a unit are
    the same linear map of its layer, up to scale.
    """
    region = units()["region"]
    seconds, values = (np.zeros((len(rows["colour"]), len(region))) for rows in (movies, clips))
    for name, layer in REGIONS.items():
        if layer:
            at = region == name
            weights = plant.directions(_rng("map", name), movies[layer], at.sum(), N_COMPONENTS)
            seconds[:, at] = plant.unit_variance(movies[layer] @ weights)
            values[:, at] = plant.unit_variance(clips[layer] @ weights)
    return seconds, values


def render(folder: Path) -> None:
    """Write films, clips and `responses.npz`, the responses of all subjects' units, to `folder`."""
    lengths_s = MOVIES_S | CLIPS_S
    films = render_films(
        lambda file: moving_scenes(_rng("film", file), round(lengths_s[file] * FPS)),
        [folder / file for file in lengths_s],
    )
    bins = [*(regular_bins(1000 * s, 1000) for s in MOVIES_S.values()), *([[[0.0, 3000.0]]] * len(CLIPS_S))]
    activations = plant.binned(films, map(np.asarray, bins))
    movies, clips = activations[: len(MOVIES_S)], activations[len(MOVIES_S) :]
    seconds, values = signals(
        {layer: np.concatenate([plant.lagged(movie[layer]) for movie in movies]) for layer in fakenet.LAYERS},
        {layer: np.concatenate([clip[layer] for clip in clips]) for layer in fakenet.LAYERS},
    )
    noise = units()["noise"]
    ends = np.cumsum([len(movie["colour"]) for movie in movies])
    blocks = np.split(plant.noisy(_rng("noise", "movies"), seconds, noise, len(SUBJECTS)), ends[:-1], axis=1)
    clip_values = plant.noisy(_rng("noise", "clips"), values, noise, len(SUBJECTS))
    np.savez(folder / "responses.npz", movies=plant.padded(blocks), clips=clip_values.swapaxes(0, 1)[:, :, None])


def _load(folder: Path, which: str) -> Responses:
    ensure_study(folder, {"study": STUDY, "version": VERSION, "network": fakenet.digest()}, render)
    lengths_s = {"movies": MOVIES_S, "clips": CLIPS_S}[which]
    with np.load(folder / "responses.npz") as stored:
        values = stored[which]
    stimuli = Stimuli(
        name=STUDY if which == "movies" else "fake-clips-fmri",
        ids=tuple(Path(file).stem for file in lengths_s),
        paths=tuple(folder / file for file in lengths_s),
        duration_ms=1000 * np.array(list(lengths_s.values())),
        kind=("video",) * len(lengths_s),
    )
    width = 1000.0 if which == "movies" else 3000.0
    return Responses(stimuli, values, regular_bins(width * values.shape[2], width), units(), SUBJECTS)


def _declare(which: str, **traits) -> Fmri:
    return Fmri(study=STUDY, load=partial(_load, which=which), **ATTRIBUTION, **traits)


DATASETS = [
    _declare(
        "movies",
        name="fake-fmri",
        note="highest possible correlation of every unit in `best_r` of the unit table",
        expected={"stimuli": 5, "subjects": 6, "repetitions": 6, "bins": 182, "units": 75},
    ),
    _declare(
        "clips",
        name="fake-clips-fmri",
        lag=False,
        row_weight=3.0,
        note="the same units as fake-fmri, one value per clip",
        expected={"stimuli": 100, "subjects": 6, "repetitions": 6, "bins": 1, "units": 75},
    ),
]
