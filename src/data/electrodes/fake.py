"""Simulated electrodes: each unit is a linear map of one layer of the embedded network, plus noise of known variance.

`fake-electrodes`: 100 still scenes and 100 short films, recorded for 400 ms in bins of 50 ms, six repetitions of which
about a tenth are missing as whole trials (NaN). `fake-mt`: six motion units, each with a different film, bins of
200 ms, one repetition. A unit's signal follows its layer's activations, in blocks of 4 s, in the same bin; a still
image is a still film. `best_r` of the unit table is the highest correlation of any model with the mean over the
recorded trials.
"""

from pathlib import Path

import numpy as np

from ... import fakenet
from ...records import Responses, Stimuli
from ...utils import regular_bins, seed_from
from ..declare import Electrodes
from ..synthetic import plant
from ..synthetic.files import FPS, render_films
from ..synthetic.scenes import moving_scenes
from ..synthetic.study import ATTRIBUTION, ensure_study

VERSION = 1
RECORDING_MS, BIN_MS = 400.0, 50.0
N_STILL, N_FILMS, N_REPETITIONS, MISSING = 100, 100, 6, 0.1
UNITS = {"colour": 8, "orientation": 8, "motion": 6, "conjunction": 8}
N_COMPONENTS = 4

MT_FILM_S, MT_BIN_MS, MT_UNITS, MT_COMPONENTS = 90.0, 200.0, 6, 4


def _rng(*parts: str) -> np.random.Generator:
    return np.random.default_rng(seed_from("fake-electrodes", *parts))


def _recipe(study: str) -> dict:
    return {"study": study, "version": VERSION, "network": fakenet.digest()}


def _frames_of(file: str) -> int:
    """Return the number of frames of a file: one for a still, 0.4 to 1 s for a film."""
    return 1 if file.endswith(".png") else int(_rng("length", file).integers(10, 26))


def files() -> list[str]:
    """Return the stimulus files in order: stills, then films."""
    return [*(f"still-{i:03d}.png" for i in range(N_STILL)), *(f"film-{i:03d}.mp4" for i in range(N_FILMS))]


def recorded_trials() -> np.ndarray:
    """Return the mask of the recorded trials, bool (n_stimuli, n_repetitions): at least three of each stimulus."""
    recorded = _rng("missing").random((N_STILL + N_FILMS, N_REPETITIONS)) >= MISSING
    recorded[:, :3] = True
    return _rng("order").permuted(recorded, axis=1)


def units() -> dict[str, np.ndarray]:
    """Return the unit table: planted layer, variance of signal and trial noise, best_r over the recorded trials."""
    layer = np.array([name for name, n in UNITS.items() for _ in range(n)])
    noise = _rng("noise of units").uniform(0.4, 3.0, len(layer))
    trials = 1 / np.mean(1 / recorded_trials().sum(axis=1))
    return {
        "unit_id": np.array([f"fake-{name}-{i}" for name, n in UNITS.items() for i in range(n)]),
        "planted_layer": layer,
        "signal": np.ones(len(layer)),
        "noise": noise,
        "best_r": plant.best_correlation(np.ones(len(layer)), noise, trials),
    }


def render(folder: Path) -> None:
    """Write stills, films and `responses.npz` to `folder`."""
    films = render_films(
        lambda f: moving_scenes(_rng("film", f), _frames_of(f), (0.2, 0.6)), [folder / f for f in files()]
    )
    bins = regular_bins(RECORDING_MS, BIN_MS)
    activations = plant.binned(films, [bins] * len(files()))
    table, recorded = units(), recorded_trials()
    signal = np.zeros((len(activations) * len(bins), len(table["planted_layer"])))
    for layer in UNITS:
        rows = np.concatenate([film[layer] for film in activations])
        at = table["planted_layer"] == layer
        signal[:, at] = plant.unit_variance(rows @ plant.directions(_rng("map", layer), rows, at.sum(), N_COMPONENTS))
    values = plant.noisy(_rng("noise"), signal, table["noise"], N_REPETITIONS)
    values = values.reshape(N_REPETITIONS, len(activations), len(bins), -1).swapaxes(0, 1)
    np.savez(folder / "responses.npz", values=np.where(recorded[:, :, None, None], values, np.float32(np.nan)))


def load(folder: Path) -> Responses:
    """Return the recording, rendered on first use."""
    ensure_study(folder, _recipe("fake-electrodes"), render)
    with np.load(folder / "responses.npz") as stored:
        values = stored["values"]
    shown = np.array([RECORDING_MS if f.endswith(".png") else 1000 * _frames_of(f) / FPS for f in files()])
    stimuli = Stimuli(
        name="fake-electrodes",
        ids=tuple(Path(f).stem for f in files()),
        paths=tuple(folder / f for f in files()),
        duration_ms=shown,
        kind=("image",) * N_STILL + ("video",) * N_FILMS,
    )
    return Responses(stimuli, values, regular_bins(RECORDING_MS, BIN_MS), units(), ("animal-1",) * N_REPETITIONS)


def mt_units() -> dict[str, np.ndarray]:
    """Return the unit table of fake-mt; `film` is the stimulus of the unit."""
    noise = _rng("noise of units", "mt").uniform(0.2, 0.8, MT_UNITS)
    return {
        "unit_id": np.array([f"fake-mt-{i}" for i in range(MT_UNITS)]),
        "film": np.array([f"mt-film-{i}" for i in range(MT_UNITS)]),
        "planted_layer": np.full(MT_UNITS, "motion"),
        "signal": np.ones(MT_UNITS),
        "noise": noise,
        "best_r": plant.best_correlation(np.ones(MT_UNITS), noise, 1),
    }


def render_mt(folder: Path) -> None:
    """Write one film per unit and `responses.npz` to `folder`."""
    table, bins = mt_units(), regular_bins(1000 * MT_FILM_S, MT_BIN_MS)
    paths = [folder / f"{film}.mp4" for film in table["film"]]
    films = render_films(lambda f: moving_scenes(_rng("film", f), round(MT_FILM_S * FPS), (0.4, 1.2)), paths)
    motion = [film["motion"] for film in plant.binned(films, [bins] * MT_UNITS)]
    weights = plant.directions(_rng("map", "mt"), np.concatenate(motion), MT_UNITS, MT_COMPONENTS)
    signal = np.stack([plant.unit_variance(rows @ weights[:, [i]])[:, 0] for i, rows in enumerate(motion)], axis=1)
    values = plant.noisy(_rng("noise", "mt"), signal, table["noise"], 1)[0]
    seen = np.where(np.eye(MT_UNITS, dtype=bool)[:, None], values, np.float32(np.nan))
    np.savez(folder / "responses.npz", values=seen[:, None])


def load_mt(folder: Path) -> Responses:
    """Return the recording of fake-mt, rendered on first use."""
    ensure_study(folder, _recipe("fake-mt"), render_mt)
    with np.load(folder / "responses.npz") as stored:
        values = stored["values"]
    ids = tuple(mt_units()["film"].tolist())
    stimuli = Stimuli(
        name="fake-mt",
        ids=ids,
        paths=tuple(folder / f"{i}.mp4" for i in ids),
        duration_ms=np.full(MT_UNITS, 1000 * MT_FILM_S),
        kind=("video",) * MT_UNITS,
    )
    return Responses(stimuli, values, regular_bins(1000 * MT_FILM_S, MT_BIN_MS), mt_units(), ("animal-1",))


DATASETS = [
    Electrodes(
        name="fake-electrodes",
        study="fake-electrodes",
        load=load,
        note="stills and short films; missing trials are NaN; `best_r` in the unit table",
        expected={"stimuli": 200, "subjects": 1, "repetitions": 6, "bins": 8, "units": 30},
        **ATTRIBUTION,
    ),
    Electrodes(
        name="fake-mt",
        study="fake-mt",
        load=load_mt,
        fit="per unit",
        note="every unit has a different film; `best_r` in the unit table",
        expected={"stimuli": 6, "subjects": 1, "repetitions": 1, "bins": 450, "units": 6},
        **ATTRIBUTION,
    ),
]
