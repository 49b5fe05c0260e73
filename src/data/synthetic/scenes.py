"""Films of 64 x 64 pixels rendered from a seed: colour fields under drifting gratings, moving textures and moving dots.

Colours, orientations and directions of motion are sampled independently of each other at each place, and change at
independent times, so that the layers of the embedded network stay linearly distinct.
"""

import itertools
from dataclasses import dataclass

import numpy as np

SIZE = 64
FPS = 25
_WAVELENGTHS_PX = (8.0, 11.0)
_Y, _X = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2).astype(np.float32)


def to_uint8(patterns: np.ndarray, field: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the sum of two broadcastable arrays in [-1, 1] as levels 0..255; the first has shape (n_frames, ...)."""
    background = np.float32(127.5) * np.asarray(field, np.float32) + np.float32(128)
    levels = [np.float32(127.5) * pattern + background for pattern in patterns]
    return np.stack([np.clip(level, 0, 255, out=level).astype(np.uint8) for level in levels])


def places(grid: int = 2) -> np.ndarray:
    """Return smooth windows that sum to 1, array of shape (grid * grid, 64, 64)."""
    edge = np.clip((np.arange(SIZE)[None] + 0.5) / SIZE * grid - np.arange(grid)[:, None], -0.25, 1.25)
    bump = np.clip(1.5 - np.abs(edge - 0.5) * 2, 0, 1)
    bump = (bump / bump.sum(0)).astype(np.float32)
    return (bump[:, None, :, None] * bump[None, :, None, :]).reshape(grid * grid, SIZE, SIZE)


@dataclass(frozen=True)
class Waves:
    """Plane waves that move together: wave numbers (n, 2) in radians per pixel, phases (n,), amplitudes (n,)."""

    numbers: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator, n: int, contrast: float) -> "Waves":
        """Return `n` waves of random orientation (1: a grating, many: a texture) and RMS `contrast` / sqrt(2)."""
        angle = rng.uniform(0, 2 * np.pi, n)
        number = 2 * np.pi / rng.uniform(*_WAVELENGTHS_PX, n)
        numbers = number[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return cls(numbers, rng.uniform(0, 2 * np.pi, n), np.full(n, contrast / np.sqrt(n)))

    def film(self, shifts: np.ndarray) -> np.ndarray:
        """Return the pattern moved by `shifts` (T, 2) pixels: array of shape (T, 64, 64)."""
        phase = self.phases - shifts @ self.numbers.T
        still = self.numbers[:, 0, None, None] * _X + self.numbers[:, 1, None, None] * _Y
        basis = np.concatenate([np.cos(still), -np.sin(still)]).reshape(2 * len(self.phases), -1)
        course = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) * np.tile(self.amplitudes, 2)
        return (course.astype(np.float32) @ basis.astype(np.float32)).reshape(-1, SIZE, SIZE)

    def film_under(self, rotation: np.ndarray, zoom: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Return the pattern rotated by (T,) radians, zoomed (T,) times about the centre and moved: (T, 64, 64)."""
        cos, sin = (f(rotation)[:, None, None] / zoom[:, None, None] for f in (np.cos, np.sin))
        x = (cos * _X + sin * _Y - shifts[:, 0, None, None]).astype(np.float32)
        y = (cos * _Y - sin * _X - shifts[:, 1, None, None]).astype(np.float32)
        film = np.zeros(x.shape, np.float32)
        for (a, b), phase, amplitude in zip(self.numbers, self.phases, self.amplitudes, strict=True):
            film += np.float32(amplitude) * np.cos(np.float32(a) * x + np.float32(b) * y + np.float32(phase))
        return film


def dots(rng: np.random.Generator, n: int, contrast: float, shifts: np.ndarray) -> np.ndarray:
    """Return bright and dark dots that move by `shifts` (T, 2) pixels and wrap around: array of shape (T, 64, 64)."""
    starts = rng.uniform(0, SIZE, (n, 2))
    signs = rng.permutation(np.resize([contrast, -contrast], n)).astype(np.float32)
    at = (starts[None] + shifts[:, None] + SIZE / 2) % SIZE - SIZE / 2
    away = (at[..., None] - np.arange(SIZE) + SIZE / 2) % SIZE - SIZE / 2
    across, down = np.exp(-(np.moveaxis(away, 2, 0) ** 2) / (2 * 2.2**2)).astype(np.float32)
    return np.matmul((down * signs[:, None]).transpose(0, 2, 1), across)


def lengths(rng: np.random.Generator, n_frames: int, shortest_s: float, longest_s: float) -> list[int]:
    """Return random lengths, in frames, of scenes that fill `n_frames`."""
    found = []
    while sum(found) < n_frames:
        found.append(int(rng.uniform(shortest_s, longest_s) * FPS))
    found[-1] -= sum(found) - n_frames
    return found


def _patch(rng: np.random.Generator, n_frames: int, contrast: float) -> np.ndarray:
    kind = rng.choice(["grating", "texture", "dots"], p=[0.6, 0.2, 0.2])
    heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.4)
    drift = np.arange(n_frames)[:, None] * speed * np.array([np.cos(heading), np.sin(heading)])
    if kind == "dots":
        return dots(rng, 16, 2 * contrast, drift)
    return Waves.sample(rng, 1 if kind == "grating" else 8, contrast).film(drift)


def _patterns(rng: np.random.Generator, n_frames: int, scene_s: tuple[float, float], contrast: float) -> np.ndarray:
    film = np.zeros((n_frames, SIZE, SIZE), np.float32)
    for window in places():
        start = 0
        for length in lengths(rng, n_frames, *scene_s):
            film[start : start + length] += window * _patch(rng, length, contrast * rng.uniform(0.5, 1))
            start += length
    return film


def _colours(rng: np.random.Generator, n_frames: int, scene_s: tuple[float, float], spread: float) -> np.ndarray:
    """Return the colour of each place over time: (n_frames, n_places, 3)."""
    courses = []
    for _ in places():
        steps = lengths(rng, n_frames, *scene_s)
        courses.append(np.repeat(rng.normal(0, spread, (len(steps), 3)), steps, axis=0))
    return np.stack(courses, axis=1).astype(np.float32)


def moving_scenes(
    rng: np.random.Generator, n_frames: int, scene_s: tuple[float, float] = (1.2, 3.6), contrast: float = 0.45
) -> np.ndarray:
    """Return a film, uint8 of shape (n_frames, 64, 64, 3), with random changes of colour and pattern at each place.

    scene_s: (shortest, longest) time in seconds between two changes. contrast: of patterns; colours have half of it.
    """
    patterns = _patterns(rng, n_frames, scene_s, contrast)
    colours = _colours(rng, n_frames, scene_s, contrast / 2)
    windows = places().transpose(1, 2, 0)
    changes = 1 + np.flatnonzero(np.any(colours[1:] != colours[:-1], axis=(1, 2)))
    film = np.empty((n_frames, SIZE, SIZE, 3), np.uint8)
    for start, end in itertools.pairwise([0, *changes, n_frames]):
        film[start:end] = to_uint8(patterns[start:end, ..., None], windows @ colours[start])
    return film
