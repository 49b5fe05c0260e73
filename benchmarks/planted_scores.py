"""Stored scores of many models whose alignment follows two of eleven tasks: the plant of a study across models."""

from itertools import zip_longest

import numpy as np

from src.config import Config
from src.evaluate.protocol import Protocol
from src.models import MODELS
from src.pipeline.summary import summarise
from src.store import Entry, ScoreKey, Store
from src.utils import digest, seed_from

TASKS = [f"task-{i:02d}" for i in range(11)]
CAUSAL = {"task-02": 0.5, "task-07": 0.3}
OPTIONS = {
    "protocol": Protocol().title,
    "splits": 4,
    "seed": 0,
    "audit": False,
    "ceiling": True,
    "bootstrap": 50,
    "permutations": 0,
}
REGIONS = ("V1", "V2", "MT", "LO")
CEILING = 0.8


def model_names(n: int) -> list[str]:
    """Return `n` names of the catalogue, of single frames and of films in turn, then of untrained networks."""
    trained = {name: entry.kind for name, entry in MODELS.items() if entry.group != "control"}
    of_kind = [[name for name, kind in trained.items() if kind == one] for one in ("image", "video")]
    known = [name for pair in zip_longest(*of_kind) for name in pair if name]
    return ["pixels", *known[: n - 5], *(f"Random-{name}" for name in known)][:n]


def task_scores(model: str, n_tasks: int = len(TASKS)) -> np.ndarray:
    """Return the true task scores of a model, (n_tasks,)."""
    return 0.5 + 0.15 * np.random.default_rng(seed_from("plant", model)).standard_normal(n_tasks)


def alignment(model: str, share: float = 0.5, noise: float = 0.005) -> float:
    """Return the ceiling-normalised alignment; share: 0.5 is CAUSAL's mixture, 1 the first task alone, 0 the second."""
    first, second = (CAUSAL[name] * task_scores(model)[TASKS.index(name)] for name in CAUSAL)
    own = np.random.default_rng(seed_from("noise", model)).standard_normal()
    return float(0.05 + 2 * share * first + 2 * (1 - share) * second + noise * own)


def arrays_of(values: np.ndarray, targets: dict, n_layers: int = 3, bootstrap: int = 50) -> dict[str, np.ndarray]:
    """Return the arrays of a score: test scores `values` (n_targets,) of the last layer, less before it."""
    rng = np.random.default_rng(seed_from("splits", float(values[0])))
    level = values[None, :, None] - 0.05 * np.arange(n_layers)[::-1, None, None]
    test = level + 0.0005 * rng.standard_normal((n_layers, len(values), 4))
    arrays = {"layers": np.array([f"block.{i}" for i in range(n_layers)]), "valid": test, "test": test}
    arrays |= {"layer_choice": np.array(["nested", "per target"]), "ceiling": np.full(len(values), CEILING)}
    samples = float(np.median(values)) + 0.01 * rng.standard_normal(bootstrap)
    arrays |= {"bootstrap": samples, "bootstrap_normalised": samples / CEILING}
    arrays |= {"resampled": np.array(["segments", digest("planted")])}
    return arrays | {f"target_{name}": np.asarray(column) for name, column in targets.items()}


def put(
    store: Store,
    benchmark: str,
    model: str,
    dataset: str,
    arrays: dict[str, np.ndarray],
    metric: str = "",
    context_ms: float | None = None,
) -> None:
    """Store a score with its facts; metric: by default that of the benchmark."""
    facts = summarise(arrays, {"chance": 0.1} if benchmark == "task" else {})
    options = OPTIONS | ({"metric": metric} if metric else {})
    metric = metric or {"task": "accuracy", "behaviour": "I2n"}.get(benchmark, "pearson")
    facts |= {"benchmark": benchmark, "model": model, "datasets": [dataset], "options": options, "metric": metric}
    facts["context_ms"] = context_ms
    inputs = [model, dataset] if context_ms is None else [model, dataset, context_ms]
    key = ScoreKey(benchmark, model, (dataset,), (digest(inputs),), (digest(dataset),), tuple(options.items()))
    store.fetch(key, lambda: Entry(arrays, facts))


def fill(
    config: Config, n_models: int = 90, n_units: int = 40, n_tasks: int = len(TASKS), vertices: bool = False
) -> list[str]:
    """Store the scores of `n_models` models on the tasks, on "films" (fMRI) and on "choices" (behaviour).

    The first half of the units follows the first causal task, the other half the second.
    """
    store, names = Store(config), model_names(n_models)
    for name in names:
        scores = task_scores(name)
        for task in sorted({*TASKS[:n_tasks], *CAUSAL}):
            put(store, "task", name, task, arrays_of(scores[[TASKS.index(task)]], {"target_id": ["label"]}))
        put(store, "behaviour", name, "choices", arrays_of(np.array([0.8 * scores[2]]), {"target_id": ["pattern"]}))
        put(store, "fmri", name, "films", films(name, n_units, vertices))
    return names


def films(model: str, n_units: int, vertices: bool = False, bootstrap: int = 50) -> dict[str, np.ndarray]:
    """Return the arrays of a score on fMRI, of units in REGIONS."""
    half = n_units // 2
    values = CEILING * np.array([alignment(model, 1.0), alignment(model, 0.0)])
    region = [REGIONS[i * len(REGIONS) // n_units] for i in range(n_units)]
    targets = {"target_id": [f"unit-{i}" for i in range(n_units)], "region": region}
    if vertices:
        targets |= {"vertex": np.arange(n_units) * (10242 // n_units), "hemi": ["L"] * n_units}
    return arrays_of(np.repeat(values, [half, n_units - half]), targets, bootstrap=bootstrap)
