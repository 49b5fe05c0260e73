"""Tasks on simulated films that only motion can solve: the motion of a texture, and that of a camera.

`fake-action`: isotropic random textures that drift in one of four directions or rotate in one of two, slowly or fast.
Orientations and phases are sampled uniformly, so that any single frame has the same distribution in every class.
`fake-selfmotion`: a camera over a random texture that moves sideways and down, approaches and rotates at once; its
speeds are the labels. After the first second, which is the task's limit, it moves at unrelated speeds.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import seed_from
from ..declare import Task
from ..synthetic.files import FPS, render_films
from ..synthetic.scenes import Waves, to_uint8
from ..synthetic.study import ATTRIBUTION, ensure_study

VERSION = 1
ACTIONS = {  # per frame: pixels right, pixels down, radians clockwise
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0),
    "down": (0.0, 1.0, 0.0),
    "clockwise": (0.0, 0.0, 0.045),
    "anticlockwise": (0.0, 0.0, -0.045),
}
PACES = {"slow": 0.6, "fast": 1.2}
PER_CLASS, ACTION_FRAMES = 40, 40
SPEEDS = {"right_px_s": 30.0, "down_px_s": 30.0, "approach_per_s": 0.5, "turn_deg_s": 45.0}
N_FLIGHTS, FLIGHT_FRAMES, LIMIT_MS = 240, 50, 1000.0


def _rng(*parts: str) -> np.random.Generator:
    return np.random.default_rng(seed_from("fake-tasks", *parts))


def actions() -> dict[str, tuple[str, str]]:
    """Return {file: (class, pace)}, with every class and pace equally often."""
    return {
        f"{action}-{i:02d}.mp4": (action, list(PACES)[i % len(PACES)]) for action in ACTIONS for i in range(PER_CLASS)
    }


def render_action(file: str) -> np.ndarray:
    """Return the film of an action, uint8 of shape (40, 64, 64, 3)."""
    action, pace = actions()[file]
    right, down, turn = PACES[pace] * np.array(ACTIONS[action])
    frame = np.arange(ACTION_FRAMES)
    texture = Waves.sample(_rng("texture", file), 12, 0.6)
    film = texture.film_under(turn * frame, np.ones(ACTION_FRAMES), frame[:, None] * np.array([right, down]))
    return to_uint8(film)[..., None].repeat(3, axis=3)


def flights() -> list[str]:
    """Return the files of fake-selfmotion."""
    return [f"flight-{i:03d}.mp4" for i in range(N_FLIGHTS)]


def speeds(file: str) -> np.ndarray:
    """Return the camera's speeds before and after the limit, array of shape (2, 4) in the units of SPEEDS."""
    highest = np.array(list(SPEEDS.values()))
    return _rng("speeds", file).uniform(-highest, highest, (2, len(highest)))


def render_flight(file: str) -> np.ndarray:
    """Return the film of a camera's flight, uint8 of shape (50, 64, 64, 3)."""
    within = np.arange(FLIGHT_FRAMES) * 1000 / FPS < LIMIT_MS
    steps = np.where(within[:, None], *speeds(file)) / FPS
    right, down, approach, turn = (np.cumsum(steps, axis=0) - steps[0]).T
    texture = Waves.sample(_rng("texture", file), 12, 0.6)
    film = texture.film_under(np.deg2rad(turn), np.exp(approach), np.stack([right, down], axis=1))
    return to_uint8(film)[..., None].repeat(3, axis=3)


def _stimuli(folder: Path, files: list[str], n_frames: int, render: Callable[[str], np.ndarray]) -> Stimuli:
    def render_all(made: Path) -> None:
        for _ in render_films(render, [made / file for file in files]):
            pass

    ensure_study(folder, {"study": folder.name, "version": VERSION}, render_all)
    return Stimuli(
        name=folder.name,
        ids=tuple(Path(file).stem for file in files),
        paths=tuple(folder / file for file in files),
        duration_ms=np.full(len(files), 1000.0 * n_frames / FPS),
        kind=("video",) * len(files),
    )


def load_action(folder: Path) -> Labels:
    """Return films and their classes, in equal shares of both paces."""
    known = actions()
    stimuli = _stimuli(folder, list(known), ACTION_FRAMES, render_action)
    action, pace = np.array(list(known.values())).T
    return Labels(stimuli, action[:, None], ("action",), strata=pace)


def load_selfmotion(folder: Path) -> Labels:
    """Return films and the camera's speeds in their first second."""
    stimuli = _stimuli(folder, flights(), FLIGHT_FRAMES, render_flight)
    return Labels(stimuli, np.stack([speeds(file)[0] for file in flights()]), tuple(SPEEDS))


DATASETS = [
    Task(
        name="fake-action",
        study="fake-action",
        load=load_action,
        note="single frames contain no information on the class",
        expected={"stimuli": 240, "labels": 1, "classes": 6},
        **ATTRIBUTION,
    ),
    Task(
        name="fake-selfmotion",
        study="fake-selfmotion",
        load=load_selfmotion,
        decoder="ridge",
        metric="pearson",
        limit_ms=LIMIT_MS,
        note="the labels hold for the first second only",
        expected={"stimuli": 240, "labels": 4},
        **ATTRIBUTION,
    ),
]
