"""Scores and p values of pure noise, under the default protocol and the published one.

    python -m benchmarks.noise [--worlds 200] [--permutations 39] [--only NAME]

Twelve layers of 50 features and two regions of 15 units are independent first-order autoregressive series (0.7 per
second), convolved with the HRF; half of the variance of the units of a region is common to them. "drift": a linear
drift of one deviation in features and responses, which the default protocol removes from the responses. Each score
must be 0, and a permutation test must reject 5 % of the worlds (films of 478 s). Mean over worlds, with its standard
error; the published protocol is measured on a quarter of the worlds.

"behaviour": 60 images of six classes, 20 human trials an image with confusions planted between classes, and 12 layers
of 50 features that know of neither, with a read-out fitted on other stimuli, or out of fold on the images.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from src.analysis import permutation
from src.analysis.aggregate import aggregate
from src.evaluate import behaviour, hrf
from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import PER_TARGET, Rule
from src.evaluate.protocol import PUBLISHED, Protocol
from src.evaluate.runs import high_pass
from src.evaluate.splits import penalty_blocks, segment_splits, segments
from src.records import Activations, Choices, Labels, Stimuli
from src.tables import aligned
from src.utils import nan_mean, nan_median, regular_bins

N_LAYERS, N_FEATURES, N_REGIONS, N_UNITS, COMMON = 12, 50, 2, 15, 0.5
WORLDS = {
    "1 film, 478 s": ([478], False),
    "1 film, drift": ([478], True),
    "3 films, 1,467 s": ([478, 389, 600], False),
    "200 clips": ([1] * 200, False),
}
OF_CHOICES = {"behaviour": True, "behaviour, out of fold": False}
CONFUSION_METRICS = ("O2", "I2n")
REGIONS = {f"region {r}": np.arange(r * N_UNITS, (r + 1) * N_UNITS) for r in range(N_REGIONS)}


def series(lengths_s: Sequence[int], width: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of films, autoregressive and convolved with the HRF, or white noise of clips: (n_rows, width)."""
    if len(lengths_s) == sum(lengths_s):
        return rng.standard_normal((len(lengths_s), width)).astype(np.float32)
    films = (lfilter([1.0], [1.0, -0.7], rng.standard_normal((n, width)), axis=0) for n in lengths_s)
    return np.concatenate([hrf.convolve(film, 1000.0, "spm") for film in films])


def scaled(values: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and deviation 1."""
    return (values - values.mean(axis=0)) / values.std(axis=0)


def problem(lengths_s: Sequence[int], drift: bool, seed: int, protocol: Protocol) -> Problem:
    """Return a world of noise as a regression under a protocol."""
    rng = np.random.default_rng(seed)
    stimulus = np.repeat(np.arange(len(lengths_s)), lengths_s)
    time_ms = np.concatenate([regular_bins(1000.0 * n, 1000.0) for n in lengths_s])
    films = len(lengths_s) < len(stimulus)

    def prepared(values: np.ndarray, cutoff_s: float) -> np.ndarray:
        values = scaled(values)
        if drift:
            ramps = np.concatenate([np.linspace(-1, 1, n) for n in lengths_s])[:, None] * np.sqrt(3)
            values = values + ramps * rng.choice([-1.0, 1.0], values.shape[1])
        if films and cutoff_s:
            of_films = np.split(values, np.cumsum(lengths_s)[:-1])
            values = np.concatenate([high_pass(film, 1.0, cutoff_s) for film in of_films])
        return scaled(values).astype(np.float32)

    layers = {f"layer {i}": prepared(series(lengths_s, N_FEATURES, rng), np.inf) for i in range(N_LAYERS)}
    own, shared = (scaled(series(lengths_s, k, rng)) for k in (N_REGIONS * N_UNITS, N_REGIONS))
    targets = np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * shared.repeat(N_UNITS, axis=1)
    options = {"segment_ms": protocol.segment_ms, "gap_ms": protocol.gap_ms}
    return Problem(
        {name: lambda X=X: X for name, X in layers.items()},
        prepared(targets, protocol.high_pass_s),
        segment_splits(stimulus, time_ms, **options, layout=protocol.layout, seed=seed),
        blocks=segments(stimulus, time_ms[:, 0], protocol.segment_ms),
        left_out=penalty_blocks(stimulus, time_ms, protocol),
        stimulus=stimulus,
        shifted=np.full(len(stimulus), films),
    )


def measure(lengths_s: Sequence[int], drift: bool, seed: int, protocol: Protocol, n: int) -> list[float]:
    """Return the score of a layer per unit, of a region's one layer, of one layer, and p of the first."""
    made, rule = problem(lengths_s, drift, seed, protocol), Rule(protocol.nested, PER_TARGET)
    decoder = Ridge(penalty=protocol.penalty, scaled=protocol.alpha_scale == "kernel")
    result = cross_validate_problem(made, decoder, "pearson", rule=rule)
    arrays = {"valid": result.valid, "test": result.test}
    of_regions = [
        aggregate(rule.test({name: values[:, columns] for name, values in arrays.items()}, per_target=False))
        for columns in REGIONS.values()
    ]
    test = rule.test(arrays)
    p = np.nan
    if n:
        null = permutation.null([lambda: made], decoder, "pearson", n, seed=seed, rule=rule)
        p = permutation.p_values(null.aggregate, nan_median(nan_mean(test, axis=1))).item()
    return [aggregate(test), float(np.mean(of_regions)), aggregate(rule.test(arrays, per_target=False)), p]


def choices(folder: Path, seed: int, with_fitting: bool, n_images: int = 60, n_classes: int = 6, n_each: int = 20):
    """Return human choices with planted confusions of classes, and a generator of their world."""
    rng = np.random.default_rng(seed)
    classes = tuple("abcdefghijklmnopqrstuvwxyz"[:n_classes])

    def stimuli(part: str, n: int) -> Stimuli:
        paths = tuple(folder / f"{part}-{i}.png" for i in range(n))
        for path in paths:
            path.write_text(path.name)
        ids = tuple(path.stem for path in paths)
        return Stimuli(name=part, ids=ids, paths=paths, duration_ms=np.full(n, 1000.0), kind=("image",) * n)

    confused = 0.5 * np.eye(n_classes) + 0.5 * rng.dirichlet(np.full(n_classes, 0.5), n_classes)
    truth = np.arange(n_images) % n_classes
    image = np.tile(np.arange(n_images), n_each)
    choice = np.array([rng.choice(n_classes, p=confused[truth[i]]) for i in image])
    shown, names = stimuli("shown", n_images), np.array(classes)
    trials = {"stimulus_id": np.array(shown.ids)[image], "truth": names[truth[image]], "choice": names[choice]}
    labels = names[np.arange(2 * n_images) % n_classes][:, None]
    fitting = Labels(stimuli("fitting", 2 * n_images), labels, ("class",)) if with_fitting else None
    return Choices(shown, trials | {"subject": ["one"] * len(image)}, classes, fitting), rng


def noise_layers(stimuli: Stimuli, rng: np.random.Generator) -> Activations:
    """Return layers of noise, of one time bin."""
    shape = len(stimuli), 1, N_FEATURES
    layers = {f"layer {i}": rng.standard_normal(shape).astype(np.float32) for i in range(N_LAYERS)}
    return Activations(layers, np.array([[0.0, np.inf]]), np.ones(len(stimuli), int), stimuli.ids)


def measure_choices(seed: int, protocol: Protocol, with_fitting: bool = True, n: int = 0) -> list[float]:
    """Return the scores of the chosen layer by O2 and I2n, and p of the first by `n` permutations."""
    with tempfile.TemporaryDirectory() as folder:
        made, rng = choices(Path(folder), seed, with_fitting)
        shown = noise_layers(made.stimuli, rng)
        fitting = noise_layers(made.fitting.stimuli, rng) if with_fitting else None
        found = behaviour.scores(shown, fitting, made, CONFUSION_METRICS, protocol)
        rule = Rule(protocol.nested)
        scores = [float(nan_mean(rule.test({"valid": one.valid, "test": one.test}))) for one in found.values()]
        p = np.nan
        if n:
            null = behaviour.null(shown, fitting, made, "O2", n, protocol)
            p = (1 + (null >= scores[0]).sum()) / (1 + n)
        return [*scores, p]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=39)
    parser.add_argument("--only", choices=[*WORLDS, *OF_CHOICES])
    options = parser.parse_args()
    rows = []
    for name in WORLDS if options.only is None else {options.only} & WORLDS.keys():
        lengths_s, drift = WORLDS[name]
        n_permutations = options.permutations if len(lengths_s) == 1 else 0
        for protocol, n, worlds in ((Protocol(), n_permutations, options.worlds), (PUBLISHED, 0, options.worlds // 4)):
            found = np.array([measure(lengths_s, drift, seed, protocol, n) for seed in range(worlds)])
            rejected = f"{(found[:, 3] <= 0.05).mean():.3f}" if n else ""
            rows.append([name, protocol.name, *_means(found[:, :3]), rejected])
            print(*rows[-1], sep="  ", flush=True)
    of_choices = []
    for name in OF_CHOICES if options.only is None else {options.only} & OF_CHOICES.keys():
        for protocol, n, worlds in (
            (Protocol(), options.permutations, options.worlds),
            (PUBLISHED, 0, options.worlds // 4),
        ):
            found = np.array([measure_choices(seed, protocol, OF_CHOICES[name], n) for seed in range(worlds)])
            rejected = f"{(found[:, 2] <= 0.05).mean():.3f}" if n else ""
            of_choices.append([name, protocol.name, *_means(found[:, :2]), rejected])
            print(*of_choices[-1], sep="  ", flush=True)
    print(f"{options.worlds} worlds of noise")
    print(aligned(["world", "protocol", "layer per unit", "layer per region", "one layer", "p <= .05"], rows, 2))
    print(aligned(["world", "protocol", *CONFUSION_METRICS, "p <= .05"], of_choices, 2))


def _means(found: np.ndarray) -> list[str]:
    """Return the mean of each column with its standard error."""
    errors = found.std(axis=0) / np.sqrt(len(found))
    return [f"{m:.3f} ± {e:.3f}" for m, e in zip(found.mean(axis=0), errors, strict=True)]


if __name__ == "__main__":
    main()
