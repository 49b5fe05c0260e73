"""Fit on the training rows of each split, score its held-out rows: the one loop over layers and splits."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..utils import BadInput, granted_cores, unknown_name
from .bootstrap_statistics import KeepAll, Keeper, Resampling, Sums, identity, side_by_side, widening
from .decoders.base import Refit, Session, Split
from .metrics import METRICS

__all__ = ["Problem", "Result", "Split", "cross_validate", "cross_validate_each", "cross_validate_problem"]

T = TypeVar("T")
Layers = Mapping[str, Callable[[], np.ndarray]]
Progress = Callable[[int, int, str], None]
Tasks = Iterable[Callable[[], T]]
Groups = Mapping[str, np.ndarray] | None


@dataclass(frozen=True)
class Problem:
    """One cross-validation: layers {name: () -> (n_rows, n_features)}, targets (n_rows, n_targets), splits, weights.

    units: (n_rows,) int, what a bootstrap draws whole, called `unit` ("segments"); None where nothing is to be drawn.
    stimulus: (n_rows,) int, whose responses a permutation moves; rolled: (n_rows,) whether it turns them round in time
    within their stimulus or exchanges them between stimuli; None where a permutation has no rule.
    """

    layers: Layers
    targets: np.ndarray
    splits: Sequence[Split]
    weights: np.ndarray | None = None
    units: np.ndarray | None = None
    unit: str = "rows"
    stimulus: np.ndarray | None = None
    rolled: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """Scores, and what was chosen and left out on the way.

    valid, test: (n_layers, n_targets, n_splits) float64, NaN = undefined; n_dropped: rows left out of any layer because
    a feature or a target is not finite; dropped: {layer: rows left out of it}; alphas: (n_layers, n_splits), with
    further axes, targets last, where a target or a band has its own; None where the decoder has none; resampling: what
    a bootstrap asks for, None without units.
    """

    valid: np.ndarray
    test: np.ndarray
    n_dropped: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    alphas: np.ndarray | None = None
    resampling: Resampling | None = None


def cross_validate(
    layers: Layers,
    targets: np.ndarray,
    splits: Sequence[Split],
    decoder,
    metric: str,
    *,
    weights: np.ndarray | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Score every layer, target and split; the decoder is a template and stays as it is (see `cross_validate_problem`).

    `layers[name]()` gives (n_rows, n_features) and is called once; targets: (n_rows, n_targets), numbers or labels;
    metric: a name of METRICS; weights: (n_rows,) above 0, a row of weight 3 counts as three equal rows in
    standardisation, fit and score; jobs: splits worked on at a time; progress: called with (done, total, text).
    A row with a feature or target that is not finite is left out of all parts and counted; a target that is never
    finite scores NaN and leaves out no row. Raises BadInput for rows in two parts of a split, and shapes that differ.
    """
    return cross_validate_problem(
        Problem(layers, targets, splits, weights), decoder, metric, jobs=jobs, progress=progress
    )


def cross_validate_problem(
    problem: Problem,
    decoder,
    metric: str,
    *,
    groups: Groups = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """The same of a problem; groups: {name: columns of the targets that have a best layer of their own}."""
    threads = max(1, granted_cores() // jobs)
    run = lambda tasks: _parallel(tasks, jobs, threads)  # noqa: E731
    return _score_problem(problem, decoder, metric, run, progress, Keeper(groups))


def cross_validate_each(
    problems: Iterable[Callable[[], Problem]],
    decoder,
    metric: str,
    *,
    groups: Groups = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Many small problems of the same layers and number of splits, each with rows, splits and targets of its own.

    problems: functions, each called when its turn comes; jobs: problems worked on at a time, one core each, by default
    as many as there are cores. Returns one Result with the targets of all problems side by side.
    """
    problems = list(problems)

    def task(make: Callable[[], Problem]) -> Callable[[], Result]:
        return lambda: _score_problem(make(), decoder, metric, _serial, None, KeepAll())

    results: list[Result] = []
    for result in _parallel([task(make) for make in problems], jobs or granted_cores(), threads=1):
        results.append(result)
        if progress:
            progress(len(results), len(problems), "problems")
    if not results:
        raise BadInput("no problems to cross-validate; expected at least one")
    joined = _side_by_side(results)
    return replace(joined, resampling=side_by_side(results, groups, joined.valid))


def _score_problem(
    problem: Problem, decoder, metric: str, run: Callable[[Tasks], Iterator], progress, keeper: Keeper
) -> Result:
    """The loop over layers and splits; `run` carries out tasks, in order."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    targets, finite = _finite_targets(np.asarray(problem.targets))
    weights = _checked(problem, targets)
    if hasattr(decoder, "session"):
        session = decoder.session(targets, weights, problem.splits)
    else:
        session = Refit(decoder, targets, weights)
    sums = None if problem.units is None else Sums(metric, problem.units, weights)
    shape = (len(problem.layers), targets.shape[1], len(problem.splits))
    valid, test, alphas = np.full(shape, np.nan), np.full(shape, np.nan), {}
    dropped, dropped_anywhere, total = {}, ~finite, shape[0] * shape[2]
    for i, (name, load) in enumerate(problem.layers.items()):
        X, usable = _features(name, load(), finite)
        dropped[name], dropped_anywhere = int((~usable).sum()), dropped_anywhere | ~usable
        splits = [_restrict(split, usable, name) for split in problem.splits]
        features = session.load(X)
        groups = [range(k, min(k + session.batch, shape[2])) for k in range(0, shape[2], min(session.batch, shape[2]))]
        tasks = [
            lambda g=group, f=features, s=splits: _score_splits(session, f, s, g, METRICS[metric], weights, sums)
            for group in groups
        ]
        summed: list[list] = [[] for _ in splits]
        for group, scores in zip(groups, run(tasks), strict=True):
            for k, columns, on_valid, on_test, alpha, batch in scores:
                valid[i, columns, k], test[i, columns, k] = on_valid, on_test
                alphas.setdefault((i, k), []).append(alpha)
                summed[k].append(batch)
            if progress:
                progress(i * shape[2] + group.stop, total, f"{name}, split {group.stop} of {shape[2]}")
        if sums is not None:
            keeper.offer(i, valid[i], sums.moments(splits, summed))
    kept = None if sums is None else _resampling(problem, sums, keeper)
    return Result(valid, test, int(dropped_anywhere.sum()), dropped, _stacked(alphas, shape), kept)


def _resampling(problem: Problem, sums: Sums, keeper: Keeper) -> Resampling:
    one_stratum = np.zeros(sums.n_units, dtype=int)
    wide = widening(problem.splits, sums.weights)
    return keeper.resampling(problem.unit, one_stratum, wide, identity(problem.units, problem.splits))


def _score_splits(
    session: Session, features, splits: Sequence[Split], group: range, metric, weights, sums
) -> list[tuple]:
    """(split, columns, valid scores, test scores, alpha, sums of the test rows) of each batch of targets and split."""
    scores = []
    for prediction in session.predict(features, [splits[k] for k in group]):
        k = group[prediction.split]
        n_valid, held = len(splits[k].valid), splits[k].held
        truth = session.truth(held, prediction.columns)
        of_row = None if weights is None else weights[held]
        parts = (slice(None, n_valid), slice(n_valid, None))
        scored = [metric(prediction.values[p], truth[p], None if of_row is None else of_row[p]) for p in parts]
        batch = None
        if sums is not None:
            batch = sums.batch(splits[k].test, prediction.columns, prediction.values[parts[1]], truth[parts[1]])
        scores.append((k, prediction.columns, *scored, prediction.alpha, batch))
    return scores


def _finite_targets(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets with 0 where unusable, and which rows are finite (n_rows,); never-finite targets do not count."""
    if targets.ndim != 2 or not targets.size:
        raise BadInput(f"targets of shape {targets.shape}; expected (n_rows, n_targets), not empty")
    if targets.dtype.kind != "f":
        return targets, np.ones(len(targets), dtype=bool)
    finite = _finite_rows(targets)
    if finite.all():
        return targets, finite
    ever = np.isfinite(targets).any(axis=0)
    finite = _finite_rows(targets[:, ever])
    return np.where(finite[:, None] & ever, targets, 0), finite


def _finite_rows(values: np.ndarray) -> np.ndarray:
    step = max(1, 2**22 // max(1, values.shape[1]))
    parts = [np.isfinite(values[start : start + step]).all(axis=1) for start in range(0, len(values), step)]
    return np.concatenate(parts)


def _features(name: str, X: np.ndarray, finite: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A layer in memory, float32 (float64 stays), and which rows are usable."""
    if X.ndim != 2 or len(X) != len(finite):
        raise BadInput(f"layer {name} has shape {X.shape}; expected ({len(finite)}, n_features)")
    in_memory = X.flags.owndata and X.flags.writeable
    dtype = np.float64 if X.dtype == np.float64 else np.float32
    X = np.ascontiguousarray(X, dtype=dtype) if in_memory else np.array(X, dtype=dtype, order="C")
    return X, finite & _finite_rows(X)


def _checked(problem: Problem, targets: np.ndarray) -> np.ndarray | None:
    """The row weights as float64; BadInput unless splits and weights fit the rows."""
    if not problem.layers or not problem.splits:
        raise BadInput(f"{len(problem.layers)} layers and {len(problem.splits)} splits; expected at least one of each")
    for k, split in enumerate(problem.splits):
        rows = np.concatenate([split.train, split.held])
        if len(np.unique(rows)) < len(rows):
            raise BadInput(f"split {k} has a row in two of its parts, or twice in one; expected disjoint rows")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(targets)):
            raise BadInput(f"split {k} has rows {rows.min()} to {rows.max()}; expected 0 to {len(targets) - 1}")
    if problem.weights is None:
        return None
    weights = np.asarray(problem.weights, dtype=np.float64)
    if weights.shape != (len(targets),) or not np.isfinite(weights).all() or not (weights > 0).all():
        raise BadInput(f"row weights of shape {weights.shape}; expected {len(targets)} finite numbers above 0")
    return weights


def _restrict(split: Split, usable: np.ndarray, layer: str) -> Split:
    parts = [np.asarray(rows)[usable[rows]] for rows in (split.train, split.valid, split.test)]
    if len(parts[0]) < 2:
        raise BadInput(f"{len(parts[0])} usable training rows in a split of layer {layer}; expected at least 2")
    return Split(*parts)


def _stacked(alphas: Mapping[tuple[int, int], list], shape: tuple[int, int, int]) -> np.ndarray | None:
    """Batches joined, then layers and splits: (n_layers, n_splits, ...)."""
    if any(alpha is None for batches in alphas.values() for alpha in batches):
        return None

    def joined(batches: list) -> np.ndarray:
        return np.asarray(batches[0]) if len(batches) == 1 or np.ndim(batches[0]) == 0 else np.concatenate(batches, -1)

    return np.stack([np.stack([joined(alphas[i, k]) for k in range(shape[2])]) for i in range(shape[0])])


def _side_by_side(results: Sequence[Result]) -> Result:
    def joined(of: Callable[[Result], np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate([of(result) for result in results], axis=axis)

    def per_target(result: Result) -> np.ndarray:
        alphas = result.alphas if result.alphas.ndim > 2 else result.alphas[:, :, None]
        return np.broadcast_to(alphas, (*alphas.shape[:-1], result.valid.shape[1]))

    dropped = {layer: sum(result.dropped[layer] for result in results) for layer in results[0].dropped}
    alphas = None if results[0].alphas is None else joined(per_target, -1)
    n_dropped = sum(result.n_dropped for result in results)
    return Result(joined(lambda r: r.valid, 1), joined(lambda r: r.test, 1), n_dropped, dropped, alphas)


def _serial(tasks: Tasks) -> Iterator:
    return (task() for task in tasks)


def _parallel(tasks: Tasks, jobs: int, threads: int) -> Iterator:
    """Results of the tasks in order, `jobs` at a time, each with `threads` threads; few are started ahead of time."""
    import torch

    with _thread_limit(threads):
        if jobs == 1:
            yield from _serial(tasks)
            return
        with ThreadPoolExecutor(jobs, initializer=lambda: torch.set_num_threads(threads)) as pool:
            running: deque = deque()
            for task in tasks:
                running.append(pool.submit(task))
                if len(running) >= 2 * jobs:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()


@contextmanager
def _thread_limit(threads: int) -> Iterator[None]:
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
