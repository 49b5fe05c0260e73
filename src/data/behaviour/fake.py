"""Simulated observer who classifies six kinds of clips from one layer of the embedded network, with its errors.

Each class has a direction of motion and a colour, which vary independently from clip to clip. Every layer that
represents one of them can therefore separate the classes, but with errors on different clips. The observer decodes the
class from the layer `motion` (logistic regression on the time mean, fitted on the fitting clips), and lapses in one
trial of twenty. `fake-behaviour` chooses among all six classes; `fake-behaviour-2afc` between the class shown and one
other.
"""

from functools import partial
from pathlib import Path

import numpy as np

from ... import fakenet
from ...records import Choices, Labels, Stimuli
from ...utils import seed_from
from ..declare import Behaviour
from ..synthetic import plant
from ..synthetic.files import FPS, render_films
from ..synthetic.scenes import Waves, to_uint8
from ..synthetic.study import ATTRIBUTION, ensure_study

STUDY = "fake-behaviour"
VERSION = 1
PLANTED_LAYER = "motion"
CLASSES = ("ba", "de", "go", "ki", "lu", "mo")
HUE_OF = (2, 5, 1, 4, 0, 3)  # another order than that of the directions, so that colour and motion confuse other pairs
JITTER_DEG = 24.0
N_FRAMES = 25
PER_CLASS = {"fitting": 24, "shown": 16}
N_SUBJECTS, LAPSES = 10, 0.05


def _rng(*parts: str) -> np.random.Generator:
    return np.random.default_rng(seed_from(STUDY, *parts))


def clips(part: str) -> dict[str, str]:
    """Return {file: class} of the "fitting" or the "shown" clips."""
    return {f"{part}-{c}-{i:02d}.mp4": c for c in CLASSES for i in range(PER_CLASS[part])}


def render_clip(file: str) -> np.ndarray:
    """Return a clip, uint8 of shape (25, 64, 64, 3): a drifting coloured texture."""
    rng, which = _rng("clip", file), CLASSES.index(file.split("-")[1])
    jitter = rng.normal(0, np.deg2rad(JITTER_DEG), 2)
    heading, hue = np.deg2rad(60) * np.array([which, HUE_OF[which]]) + jitter
    drift = np.arange(N_FRAMES)[:, None] * np.array([np.cos(heading), np.sin(heading)])
    colour = 0.25 * np.cos(hue - np.deg2rad([0, 120, 240]))
    texture = Waves.sample(rng, 12, 0.5).film(drift)
    return to_uint8(texture[..., None], colour)


def _observer(activations: np.ndarray, truth: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the class probabilities (n_shown, n_classes) of the observer's read-out, lapses included."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    read_out = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=3000)).fit(activations, truth)
    return (1 - LAPSES) * read_out.predict_proba(shown) + LAPSES / len(CLASSES)


def render(folder: Path) -> None:
    """Write clips and `probabilities.npy`, the observer's class probabilities of the shown clips, to `folder`."""
    files = [*clips("fitting"), *clips("shown")]
    films = render_films(render_clip, [folder / file for file in files])
    bins = [np.array([[0.0, 1000.0 * N_FRAMES / FPS]])] * len(files)
    means = np.concatenate([film[PLANTED_LAYER] for film in plant.binned(films, bins)])
    n_fitting = len(clips("fitting"))
    truth = np.array(list(clips("fitting").values()))
    np.save(folder / "probabilities.npy", _observer(means[:n_fitting], truth, means[n_fitting:]))


def _choose(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Return one sampled choice per row of `probabilities` (n_trials, n_options)."""
    below = np.cumsum(probabilities, axis=1) / probabilities.sum(axis=1, keepdims=True)
    return (rng.random(len(below))[:, None] > below[:, :-1]).sum(axis=1)


def all_choices(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return trials, as numbers of clip and class, in which every subject names the class of every clip twice."""
    subject, clip = (axis.ravel() for axis in np.indices((2 * N_SUBJECTS, len(truth))))
    choice = _choose(_rng("choices", "all"), probabilities[clip])
    return {"clip": clip, "truth": truth[clip], "choice": choice, "subject": subject % N_SUBJECTS}


def two_choices(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return trials in which every subject chooses between the class of every clip and each of the other classes."""
    subject, clip, step = (axis.ravel() for axis in np.indices((N_SUBJECTS, len(truth), len(CLASSES) - 1)))
    distractor = (truth[clip] + 1 + step) % len(CLASSES)
    options = np.stack([truth[clip], distractor], axis=1)
    chosen = _choose(_rng("choices", "two"), probabilities[clip[:, None], options])
    choice = np.take_along_axis(options, chosen[:, None], axis=1)[:, 0]
    return {"clip": clip, "truth": truth[clip], "choice": choice, "distractor": distractor, "subject": subject}


def _stimuli(folder: Path, part: str) -> Stimuli:
    files = list(clips(part))
    return Stimuli(
        name=f"{STUDY}-{part}",
        ids=tuple(Path(file).stem for file in files),
        paths=tuple(folder / file for file in files),
        duration_ms=np.full(len(files), 1000.0 * N_FRAMES / FPS),
        kind=("video",) * len(files),
    )


def _load(folder: Path, make_trials) -> Choices:
    ensure_study(folder, {"study": STUDY, "version": VERSION, "network": fakenet.digest()}, render)
    shown, classes = _stimuli(folder, "shown"), np.array(CLASSES)
    truth = np.array([CLASSES.index(c) for c in clips("shown").values()])
    made = make_trials(np.load(folder / "probabilities.npy"), truth)
    trials = {"stimulus_id": np.array(shown.ids)[made["clip"]]}
    trials |= {name: classes[made[name]] for name in ("truth", "choice", "distractor") if name in made}
    trials["subject"] = np.array([f"subject-{i}" for i in range(1, N_SUBJECTS + 1)])[made["subject"]]
    fitting = Labels(_stimuli(folder, "fitting"), np.array(list(clips("fitting").values()))[:, None], ("class",))
    return Choices(shown, trials, CLASSES, fitting)


DATASETS = [
    Behaviour(
        name="fake-behaviour",
        study=STUDY,
        load=partial(_load, make_trials=all_choices),
        metric="O2",
        note="the observer reads the layer motion of fake-net",
        expected={"stimuli": 96, "trials": 1920, "classes": 6, "subjects": 10, "fitting": 144},
        **ATTRIBUTION,
    ),
    Behaviour(
        name="fake-behaviour-2afc",
        study=STUDY,
        load=partial(_load, make_trials=two_choices),
        metric="I2n",
        note="as fake-behaviour, between the class shown and one other",
        expected={"stimuli": 96, "trials": 4800, "classes": 6, "subjects": 10, "fitting": 144},
        **ATTRIBUTION,
    ),
]
