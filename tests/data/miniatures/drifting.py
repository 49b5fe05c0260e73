"""Films of drifting textures, one direction per class, and an observer who classifies them by motion."""

from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.files import FPS, read_frames, write_film
from src.data.synthetic.scenes import Waves, to_uint8

N_FRAMES = 25


def render(rng: np.random.Generator, number: int, n_classes: int, jitter_deg: float = 20.0) -> np.ndarray:
    """Return a film of class `number`, uint8 (25, 64, 64, 3), of a random colour."""
    heading = np.deg2rad(360 / n_classes * number + jitter_deg * rng.standard_normal())
    drift = np.arange(N_FRAMES)[:, None] * np.array([np.cos(heading), np.sin(heading)])
    return to_uint8(Waves.sample(rng, 12, 0.5).film(drift)[..., None], rng.uniform(-0.2, 0.2, 3))


def write_films(paths: dict[Path, int], n_classes: int, seed: int) -> None:
    """Write {file: number of its class} as films of 1 s."""
    rng = np.random.default_rng(seed)
    for path, number in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_film(path, render(rng, number, n_classes))


def observer(fitting: dict[Path, int], shown: list[Path]) -> np.ndarray:
    """Return class probabilities (n_shown, n_classes) of a read-out of the layer motion, with 10 % lapses."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    paths = [*fitting, *shown]
    bins = [np.array([[0.0, 1000.0 * N_FRAMES / FPS]])] * len(paths)
    activations = np.concatenate([a["motion"] for a in plant.binned(map(read_frames, paths), bins)])
    read_out = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    read_out.fit(activations[: len(fitting)], list(fitting.values()))
    found = read_out.predict_proba(activations[len(fitting) :])
    return 0.9 * found + 0.1 / found.shape[1]


def choose(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Return a sampled class for each row of `probabilities` (n_trials, n_classes)."""
    return (rng.random(len(probabilities))[:, None] > np.cumsum(probabilities, axis=1)[:, :-1]).sum(axis=1)
