"""Cross-validation over layers and splits: fit on the training rows of a split, score its held-out rows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ..utils import BadInput, granted_cores, unknown_name
from .bootstrap_statistics import AllLayers, BestLayers, BlockSums, Resampling, identity, join, widening
from .decoders.base import Decoder, Refit, Session, Split
from .finite import finite_rows, finite_targets
from .metrics import METRICS

__all__ = ["Problem", "Result", "Split", "cross_validate", "cross_validate_each", "cross_validate_problem"]

T = TypeVar("T")
Layers = Mapping[str, Callable[[], np.ndarray]]
Progress = Callable[[int, int, str], None]
Tasks = Iterable[Callable[[], T]]
Groups = Mapping[str, np.ndarray] | None


@dataclass(frozen=True)
class Problem:
    """One cross-validation problem: features of each layer, targets and splits.

    Parameters
    ----------
    layers : mapping of str to function
        {name: () -> features of shape (n_rows, n_features)}; each function is called once.
    targets : array of shape (n_rows, n_targets)
        Responses, or labels.
    splits : sequence of Split
        Rows of the training, validation and test parts.
    weights : array of shape (n_rows,), optional
        Row weights above 0; a row of weight 3 counts as three equal rows.
    blocks : int array of shape (n_rows,), optional
        Block of each row, which a bootstrap resamples whole. Without it no bootstrap statistics are kept.
    block_name : str, default "rows"
        Name of the blocks in the plural, e.g. "segments".
    stimulus : int array of shape (n_rows,), optional
        Stimulus of each row, whose responses a permutation moves.
    shifted : bool array of shape (n_rows,), optional
        True: a permutation shifts the row circularly in time within its stimulus; False: it shuffles the row's stimulus
        among others with equally many rows.
    """

    layers: Layers
    targets: np.ndarray
    splits: Sequence[Split]
    weights: np.ndarray | None = None
    blocks: np.ndarray | None = None
    block_name: str = "rows"
    stimulus: np.ndarray | None = None
    shifted: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """Scores of a cross-validation, with the penalties chosen and the rows left out.

    Parameters
    ----------
    valid, test : float64 arrays of shape (n_layers, n_targets, n_splits)
        Validation and test scores, NaN = undefined.
    n_dropped : int
        Number of rows left out of at least one layer, because a feature or a target is not finite.
    dropped : mapping of str to int
        {layer: number of rows left out of it}.
    alphas : array of shape (n_layers, n_splits, ...), optional
        Penalties chosen; further axes for bands and, last, targets. None for a decoder without a penalty.
    resampling : Resampling, optional
        Input of a bootstrap; None for a problem without blocks.
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
    decoder: Decoder,
    metric: str,
    *,
    weights: np.ndarray | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Score every layer, target and split.

    A row with a feature or target that is not finite is left out of all parts and counted; a target that is never
    finite scores NaN and leaves out no row.

    Parameters
    ----------
    layers : mapping of str to function
        {name: () -> features of shape (n_rows, n_features)}; each function is called once.
    targets : array of shape (n_rows, n_targets)
        Numbers, or labels.
    splits : sequence of Split
        Rows of the training, validation and test parts.
    decoder : Decoder
        Template that is copied for each fit and left unchanged.
    metric : str
        A name of `METRICS`.
    weights : array of shape (n_rows,), optional
        Row weights above 0; a row of weight 3 counts as three equal rows in standardisation, fit and score.
    jobs : int, default 1
        Number of splits computed at a time.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    Result

    Raises
    ------
    BadInput
        For an unknown metric, shapes that differ, weights that are not above 0, or rows in two parts of a split.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 5))
    >>> Y = X @ rng.standard_normal((5, 2)) + 0.1 * rng.standard_normal((100, 2))
    >>> layers = {"noise": lambda: rng.standard_normal((100, 5)), "signal": lambda: X}
    >>> result = cross_validate(layers, Y, item_splits(100), Ridge(), "pearson")
    >>> result.test.shape, bool(result.test[1].min() > 0.9)
    ((2, 2, 10), True)
    """
    return cross_validate_problem(
        Problem(layers, targets, splits, weights), decoder, metric, jobs=jobs, progress=progress
    )


def cross_validate_problem(
    problem: Problem,
    decoder: Decoder,
    metric: str,
    *,
    groups: Groups = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Score every layer, target and split of a problem, and keep the bootstrap statistics of its best layers.

    Parameters
    ----------
    problem : Problem
        Features, targets, splits and blocks.
    decoder, metric, jobs, progress
        See `cross_validate`.
    groups : mapping of str to int array, optional
        {name: columns of targets} for each of which the statistics of the best layer are kept, e.g. regions.

    Returns
    -------
    Result

    Raises
    ------
    BadInput
        See `cross_validate`.
    """
    threads = max(1, granted_cores() // jobs)
    run = lambda tasks: _parallel(tasks, jobs, threads)  # noqa: E731
    return _score_problem(problem, decoder, metric, run, progress, BestLayers(groups))


def cross_validate_each(
    problems: Iterable[Callable[[], Problem]],
    decoder: Decoder,
    metric: str,
    *,
    groups: Groups = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Score many small problems of the same layers and number of splits, each with its rows, splits and targets.

    Parameters
    ----------
    problems : iterable of functions
        Each returns a Problem and is called once, shortly before the problem is scored.
    decoder, metric, progress
        See `cross_validate`.
    groups : mapping of str to int array, optional
        {name: columns among the targets of all problems}, see `cross_validate_problem`.
    jobs : int, optional
        Number of problems computed at a time, one core each; by default the number of cores.

    Returns
    -------
    Result
        With the targets of all problems side by side.

    Raises
    ------
    BadInput
        Without problems; otherwise see `cross_validate`.
    """
    problems = list(problems)

    def task(make: Callable[[], Problem]) -> Callable[[], Result]:
        return lambda: _score_problem(make(), decoder, metric, _serial, None, AllLayers())

    results: list[Result] = []
    for result in _parallel([task(make) for make in problems], jobs or granted_cores(), threads=1):
        results.append(result)
        if progress:
            progress(len(results), len(problems), "problems")
    if not results:
        raise BadInput("no problems to cross-validate; expected at least one")
    joined = _side_by_side(results)
    return replace(joined, resampling=join([result.resampling for result in results], groups, joined.valid))


def _score_problem(
    problem: Problem, decoder: Decoder, metric: str, run: Callable[[Tasks], Iterator], progress, best: BestLayers
) -> Result:
    """Loop over layers and splits; `run` yields the results of tasks in their order."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    targets, finite = finite_targets(np.asarray(problem.targets))
    weights = _checked(problem, targets)
    if hasattr(decoder, "session"):
        session = decoder.session(targets, weights, problem.splits)
    else:
        session = Refit(decoder, targets, weights)
    sums = None if problem.blocks is None else BlockSums(metric, problem.blocks, weights)
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
            best.add(i, valid[i], sums.statistics(splits, summed))
    resampling = None if sums is None else _resampling(problem, sums, best)
    return Result(valid, test, int(dropped_anywhere.sum()), dropped, _stacked(alphas, shape), resampling)


def _resampling(problem: Problem, sums: BlockSums, best: BestLayers) -> Resampling:
    """Return the input of a bootstrap over the problem's blocks, all in one stratum."""
    one_stratum = np.zeros(sums.n_blocks, dtype=int)
    factor = widening(problem.splits, sums.weights)
    return best.resampling(problem.block_name, one_stratum, factor, identity(problem.blocks, problem.splits))


def _score_splits(
    session: Session, features, splits: Sequence[Split], group: range, metric, weights, sums
) -> list[tuple]:
    """Return (split, columns, valid scores, test scores, alpha, sums of the test rows) of each split and batch."""
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


def _features(name: str, X: np.ndarray, finite: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer in memory, float32 (or float64 if it was), and a mask of its usable rows."""
    if X.ndim != 2 or len(X) != len(finite):
        raise BadInput(f"layer {name} has shape {X.shape}; expected ({len(finite)}, n_features)")
    in_memory = X.flags.owndata and X.flags.writeable
    dtype = np.float64 if X.dtype == np.float64 else np.float32
    X = np.ascontiguousarray(X, dtype=dtype) if in_memory else np.array(X, dtype=dtype, order="C")
    return X, finite & finite_rows(X)


def _checked(problem: Problem, targets: np.ndarray) -> np.ndarray | None:
    """Return the row weights as float64; raise BadInput unless splits and weights fit the rows."""
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
    """Return the split without unusable rows; raise BadInput if fewer than two training rows are left."""
    kept = split.restricted(usable)
    if len(kept.train) < 2:
        raise BadInput(f"{len(kept.train)} usable training rows in a split of layer {layer}; expected at least 2")
    return kept


def _stacked(alphas: Mapping[tuple[int, int], list], shape: tuple[int, int, int]) -> np.ndarray | None:
    """Join the penalties of batches, then of layers and splits: (n_layers, n_splits, ...); None without penalties."""
    if any(alpha is None for batches in alphas.values() for alpha in batches):
        return None

    def joined(batches: list) -> np.ndarray:
        return np.asarray(batches[0]) if len(batches) == 1 or np.ndim(batches[0]) == 0 else np.concatenate(batches, -1)

    return np.stack([np.stack([joined(alphas[i, k]) for k in range(shape[2])]) for i in range(shape[0])])


def _side_by_side(results: Sequence[Result]) -> Result:
    """Join the results of problems along their targets."""

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
    """Yield the results of the tasks, computed one by one."""
    return (task() for task in tasks)


def _parallel(tasks: Tasks, jobs: int, threads: int) -> Iterator:
    """Yield the results of the tasks in order, `jobs` at a time with `threads` threads each; few start ahead."""
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
    """Limit torch and the linear algebra libraries to a number of threads, and restore it on exit."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
