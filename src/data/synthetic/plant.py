"""Responses planted in a known layer of the embedded network, with the highest possible correlation in closed form.

A unit's signal is a random direction among the leading principal components of its layer, of variance 1. The response
of a subject is the signal plus independent Gaussian noise of variance v. The mean over n subjects then has reliability
1 / (1 + v / n), and no prediction correlates with it by more than the square root of the reliability.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from .files import FPS

CONTEXT_FRAMES = 100


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: the last bit of its sums depends on their number, and small films gain no time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def layer_steps(films: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yield the activations of every layer to each film, in blocks of 4 s; the last frame is held to fill the last one.

    films: uint8 arrays (T, 64, 64, 3) at 25 fps. Yields per film {layer: (T padded to blocks, n_features)}; a step
    that spans several frames is repeated for each of them.
    """
    from ... import fakenet

    network, activations = fakenet.build(), {}
    for layer in fakenet.LAYERS:
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, out, at=layer: activations.update({at: out}))

    def block_steps(block: np.ndarray) -> dict[str, np.ndarray]:
        with one_thread():
            network(fakenet.preprocess(block)[None])
        flat = {layer: out[0].transpose(0, 1).flatten(1).numpy() for layer, out in activations.items()}
        return {layer: steps.repeat(CONTEXT_FRAMES // len(steps), axis=0) for layer, steps in flat.items()}

    for film in films:
        padded = np.concatenate([film, film[-1:].repeat(-len(film) % CONTEXT_FRAMES, axis=0)])
        blocks = [block_steps(padded[i : i + CONTEXT_FRAMES]) for i in range(0, len(padded), CONTEXT_FRAMES)]
        yield {layer: np.concatenate([block[layer] for block in blocks]) for layer in blocks[0]}


def binned(films: Iterable[np.ndarray], bins_ms: Iterable[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return `layer_steps` of each film averaged into its bins (n_bins, 2): per film {layer: (n_bins, n_features)}."""
    steps = zip(layer_steps(films), bins_ms, strict=True)
    return [{layer: bin_means(values, time_ms) for layer, values in film.items()} for film, time_ms in steps]


def bin_means(steps: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
    """Return means of `steps` (n_frames, n_features), 40 ms each, over bins (n_bins, 2) in ms: (n_bins, n_features)."""
    integral = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0, dtype=np.float64)])
    at = time_ms * FPS / 1000
    whole = np.minimum(at.astype(int), len(steps) - 1)
    upto = integral[whole] + (at - whole)[..., None] * (integral[whole + 1] - integral[whole])
    return (upto[:, 1] - upto[:, 0]) / (at[:, 1] - at[:, 0])[:, None]


def spm_hrf() -> np.ndarray:
    """Return SPM's canonical haemodynamic response in bins of 1 s to a stimulus of 1 s, of sum 1: (33,).

    Difference of gamma densities with means of 6 s and 16 s, the second with weight 0.167 (Friston et al. 1998,
    NeuroImage 7:30), averaged over the bin of the stimulus and that of the response.
    """
    from scipy.special import gammainc

    edges = np.maximum(np.arange(-1, 34), 0)

    def twice_integrated(shape: int) -> np.ndarray:
        return edges * gammainc(shape, edges) - shape * gammainc(shape + 1, edges)

    kernel = np.diff(twice_integrated(6) - 0.167 * twice_integrated(16), 2)
    return kernel / kernel.sum()


def lagged(rows: np.ndarray) -> np.ndarray:
    """Return `rows` (n_seconds, n_features) convolved causally with the haemodynamic response, of the same shape.

    Before the film each feature has its mean over the film.
    """
    kernel, mean = spm_hrf(), rows.mean(axis=0)
    return np.stack([np.convolve(column, kernel)[: len(rows)] for column in (rows - mean).T], axis=1) + mean


def directions(rng: np.random.Generator, rows: np.ndarray, n_units: int, n_components: int) -> np.ndarray:
    """Return weights (n_features, n_units): random mixtures of the first principal components of z-scored `rows`."""
    spread = rows.std(axis=0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * spread.max())
    axes = np.linalg.svd((rows - rows.mean(axis=0)) * scale, full_matrices=False)[2]
    mixture = rng.standard_normal((n_components, n_units))
    signs = np.sign(axes[:n_components].sum(axis=1, keepdims=True))
    return scale[:, None] * ((signs * axes[:n_components]).T @ mixture)


def unit_variance(signal: np.ndarray) -> np.ndarray:
    """Return `signal` (n_rows, n_units) at mean 0 and variance 1 per unit; a constant unit becomes 0."""
    centred = signal - signal.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def best_correlation(signal: np.ndarray, noise: np.ndarray, n_repetitions: float) -> np.ndarray:
    """Return the highest correlation of a prediction with the mean of n repetitions: sqrt(s / (s + v / n))."""
    signal, noise = np.asarray(signal, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    return np.sqrt(signal / (signal + noise / n_repetitions))


def noisy(rng: np.random.Generator, signal: np.ndarray, noise: np.ndarray, n_repetitions: int) -> np.ndarray:
    """Return `signal` (n_rows, n_units) with added noise of variance `noise`: (n_repetitions, n_rows, n_units)."""
    added = rng.standard_normal((n_repetitions, *signal.shape)) * np.sqrt(noise)
    return (signal + added).astype(np.float32)


def padded(blocks: list[np.ndarray]) -> np.ndarray:
    """Return blocks (n_repetitions, n_time, n_units) of various n_time, padded with NaN, stacked: (n_blocks, ...)."""
    longest = max(block.shape[1] for block in blocks)
    return np.stack([np.pad(b, ((0, 0), (0, longest - b.shape[1]), (0, 0)), constant_values=np.nan) for b in blocks])
