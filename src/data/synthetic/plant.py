"""Responses planted in a known layer of the embedded network, with the best possible correlation in closed form.

A unit's signal is a random direction among the leading principal components of its layer, of variance 1. Subjects see
it under independent Gaussian noise of variance v each, so the mean over n of them has reliability 1 / (1 + v / n), and
no prediction correlates with it by more than the root of that.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from .files import FPS

CONTEXT_FRAMES = 100


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the last bit of its sums depends on how many share them, and small films gain nothing."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def layer_steps(films: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """What every layer answers to each film, seen in blocks of 4 s of which the last is filled by its last frame.

    films: uint8 arrays (T, 64, 64, 3) at 25 fps. Yields per film {layer: (T padded to blocks, n_features)}, a step
    that spans several frames repeated for each of them.
    """
    from ... import fakenet

    network, answers = fakenet.build(), {}
    for layer in fakenet.LAYERS:
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, out, at=layer: answers.update({at: out}))

    def answer(block: np.ndarray) -> dict[str, np.ndarray]:
        with one_thread():
            network(fakenet.preprocess(block)[None])
        flat = {layer: out[0].transpose(0, 1).flatten(1).numpy() for layer, out in answers.items()}
        return {layer: steps.repeat(CONTEXT_FRAMES // len(steps), axis=0) for layer, steps in flat.items()}

    for film in films:
        padded = np.concatenate([film, film[-1:].repeat(-len(film) % CONTEXT_FRAMES, axis=0)])
        blocks = [answer(padded[i : i + CONTEXT_FRAMES]) for i in range(0, len(padded), CONTEXT_FRAMES)]
        yield {layer: np.concatenate([block[layer] for block in blocks]) for layer in blocks[0]}


def binned(films: Iterable[np.ndarray], bins_ms: Iterable[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """`layer_steps` of each film averaged into its bins (n_bins, 2): per film {layer: (n_bins, n_features)}."""
    steps = zip(layer_steps(films), bins_ms, strict=True)
    return [{layer: bin_means(answers, time_ms) for layer, answers in film.items()} for film, time_ms in steps]


def bin_means(steps: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
    """Means of `steps` (n_frames, n_features), 40 ms each, over bins (n_bins, 2) in ms: (n_bins, n_features)."""
    integral = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0, dtype=np.float64)])
    at = time_ms * FPS / 1000
    whole = np.minimum(at.astype(int), len(steps) - 1)
    upto = integral[whole] + (at - whole)[..., None] * (integral[whole + 1] - integral[whole])
    return (upto[:, 1] - upto[:, 0]) / (at[:, 1] - at[:, 0])[:, None]


def spm_hrf() -> np.ndarray:
    """SPM's canonical haemodynamic response at 1 s, of sum 1, (32,): nilearn's sampling, without oversampling.

    Gamma densities that peak at 5 s and 15 s after an onset at 1 s, the second taken 0.167 times (Friston et al. 1998,
    NeuroImage 7:30).
    """
    since = np.maximum(np.linspace(0, 32, 32) - 1, 0)
    peak, undershoot = (since ** (shape - 1) * np.exp(-since) / math.gamma(shape) for shape in (6, 16))
    kernel = peak - 0.167 * undershoot
    return kernel / kernel.sum()


def lagged(rows: np.ndarray) -> np.ndarray:
    """`rows` (n_seconds, n_features) convolved with the haemodynamic response from the past, of the same shape."""
    kernel = spm_hrf()
    return np.stack([np.convolve(column, kernel)[: len(rows)] for column in rows.T], axis=1)


def directions(rng: np.random.Generator, rows: np.ndarray, n_units: int, n_components: int) -> np.ndarray:
    """Weights (n_features, n_units): random mixtures of the leading principal components of the standardised `rows`."""
    spread = rows.std(axis=0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * spread.max())
    axes = np.linalg.svd((rows - rows.mean(axis=0)) * scale, full_matrices=False)[2]
    mixture = rng.standard_normal((n_components, n_units))
    signs = np.sign(axes[:n_components].sum(axis=1, keepdims=True))
    return scale[:, None] * ((signs * axes[:n_components]).T @ mixture)


def unit_variance(signal: np.ndarray) -> np.ndarray:
    """`signal` (n_rows, n_units) at mean 0 and variance 1 per unit; a unit without any signal stays 0."""
    centred = signal - signal.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def best_correlation(signal: np.ndarray, noise: np.ndarray, n_repetitions: float) -> np.ndarray:
    """The highest correlation that a prediction can reach with the mean of n repetitions: sqrt(s / (s + v / n))."""
    signal, noise = np.asarray(signal, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    return np.sqrt(signal / (signal + noise / n_repetitions))


def noisy(rng: np.random.Generator, signal: np.ndarray, noise: np.ndarray, n_repetitions: int) -> np.ndarray:
    """`signal` (n_rows, n_units) under independent noise of variances `noise`: (n_repetitions, n_rows, n_units)."""
    drawn = rng.standard_normal((n_repetitions, *signal.shape)) * np.sqrt(noise)
    return (signal + drawn).astype(np.float32)


def padded(blocks: list[np.ndarray]) -> np.ndarray:
    """Blocks (n_repetitions, n_time, n_units) of unlike n_time as one array, NaN after their ends: (n_blocks, ...)."""
    longest = max(block.shape[1] for block in blocks)
    return np.stack([np.pad(b, ((0, 0), (0, longest - b.shape[1]), (0, 0)), constant_values=np.nan) for b in blocks])
