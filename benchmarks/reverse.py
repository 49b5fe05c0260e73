"""Coverage of the 95 % interval of a score in reverse: features predicted from responses.

    python -m benchmarks.reverse --worlds 200

Worlds of one film of 400 s, 20 units and two layers, three features that the responses follow and ten of noise. Slow
ones are autoregressive (0.7 per second) and, with HRF, convolved with it. The truth is the mean over worlds of the
score.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from src.analysis.bootstrap import bootstrap, interval
from src.evaluate import fmri, hrf
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import Protocol
from src.records import Activations, Responses, Stimuli
from src.utils import regular_bins

N_BINS, N_UNITS, N_DRAWS = 400, 20, 400
PROTOCOL = Protocol(hrf="none", subjects="mean", high_pass_s=0.0)
WORLDS = {  # signal, autoregression per second, kernel
    "noise": (0.0, 0.0, "none"),
    "weak": (0.5, 0.0, "none"),
    "strong": (2.0, 0.0, "none"),
    "slow": (0.5, 0.7, "none"),
    "noise, slow, HRF": (0.0, 0.7, "spm"),
    "weak, slow, HRF": (0.5, 0.7, "spm"),
}


def noise(rng: np.random.Generator, shape: tuple[int, int], slow: float, kernel: str) -> np.ndarray:
    """Return noise of variance 1 with an autocorrelation of `slow` between neighbouring bins, convolved."""
    found = rng.standard_normal(shape)
    for t in range(1, len(found)):
        found[t] = slow * found[t - 1] + np.sqrt(1 - slow**2) * found[t]
    found = hrf.convolve(found, 1000.0, kernel)
    return found / found.std()


def scored(path: Path, seed: int, signal: float, slow: float, kernel: str) -> tuple[float, float, float]:
    """Return the score of a world and the ends of its interval."""
    weights, rng = np.random.default_rng(4).standard_normal((3, N_UNITS)) / 3**0.5, np.random.default_rng([5, seed])
    layers = {name: noise(rng, (N_BINS, n), slow, kernel) for name, n in (("right", 3), ("noise", 10))}
    values = signal * layers["right"] @ weights + 2 * noise(rng, (N_BINS, N_UNITS), slow, kernel)
    films = Stimuli("film", ("film",), (path,), np.full(1, N_BINS * 1000.0), ("video",))
    time_ms = regular_bins(N_BINS * 1000.0, 1000.0)
    units = {"unit_id": np.arange(N_UNITS).astype(str)}
    activations = Activations({k: x[None].astype(np.float32) for k, x in layers.items()}, time_ms, [N_BINS], ("film",))
    responses = Responses(films, values[None, None].astype(np.float32), time_ms, units, ("s",))
    found = fmri.reverse([fmri.Part(activations, responses)], PROTOCOL)
    test = Rule().test(vars(found))
    return float(test.mean()), *interval(bootstrap(found.resampling, test, N_DRAWS, 0).aggregate)


def main() -> None:
    """Print a row per kind of world."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--only", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    given = parser.parse_args()
    n = given.worlds
    print("| world | score | coverage | width / 3.92 s.d. |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        path.write_text("film")
        for name in given.only:
            score, low, high = np.array([scored(path, k, *WORLDS[name]) for k in range(n)]).T
            covered = ((low < score.mean()) & (score.mean() < high)).mean()
            width = np.mean(high - low) / (2 * 1.96 * score.std())
            print(f"| {name} | {score.mean():.3f} | {covered:.3f} | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main()
