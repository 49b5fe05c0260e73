"""Permutation tests: the distribution of scores with the stimulus-response pairing destroyed.

Responses to films are shifted circularly in time, which preserves their autocorrelation; others are shuffled over
stimuli. Every permutation repeats the whole design on the same splits: fit, choose the layer on validation, score the
test. For ridge regression the predictions of a permutation are its permuted targets times weights that all permutations
share, from one eigendecomposition per layer and split, with the penalty chosen on the true training rows. Every other
decoder is fitted anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from ..evaluate.cross_validate import Problem, Result, cross_validate_problem
from ..evaluate.decoders import Decoder
from ..evaluate.decoders.base import Split
from ..evaluate.decoders.ridge import RidgeSession
from ..evaluate.finite import finite_rows, finite_targets
from ..evaluate.layer_choice import argbest, best_layer
from ..evaluate.nulls import shift_range
from ..evaluate.protocol import SEED
from ..utils import BadInput, nan_median, seed_from
from .fdr import p_values

__all__ = ["Null", "null", "orders", "p_values"]

SAMPLE = 512  # targets whose validation scores choose a permutation's layer
BATCH_BYTES = 2**25  # predictions of the permutations that are computed at a time


@dataclass(frozen=True)
class Null:
    """Null distribution of a score.

    Parameters
    ----------
    test : float32 array of shape (n, n_targets)
        Split-mean test scores of n permutations, each of the layer that it chose.

    Examples
    --------
    >>> Null(np.array([[0.0, 0.25, 0.5], [-0.25, 0.0, 1.0]])).aggregate
    array([0.25, 0.  ])
    """

    test: np.ndarray

    @property
    def aggregate(self) -> np.ndarray:
        """Median over targets of each permutation: (n,)."""
        return nan_median(self.test, axis=1).astype(np.float64)


def orders(problem: Problem, n: int, seed: int) -> np.ndarray:
    """Return permutations of the rows of a problem.

    Films are shifted circularly by a quarter to three quarters of their length. Other stimuli are shuffled among those
    with equally many rows, rows in their order.

    Parameters
    ----------
    problem : Problem
        With `stimulus` and `shifted`.
    n : int
        Number of permutations.
    seed : int
        Seed of the random generator.

    Returns
    -------
    int array of shape (at most n, n_rows)
        Row that each row's permuted response is taken from. A single short film has fewer than n different shifts; each
        of these is then used once.

    Raises
    ------
    BadInput
        If no stimulus can be permuted.

    Examples
    --------
    >>> stimulus = np.repeat([0, 1], 3)
    >>> problem = Problem({}, np.zeros((6, 1)), [], stimulus=stimulus, shifted=np.zeros(6, bool))
    >>> sorted(set(map(tuple, orders(problem, 20, 0).tolist())))
    [(0, 1, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2)]
    """
    rng = np.random.default_rng(seed_from("permutation", seed))
    films = [np.flatnonzero(problem.stimulus == s) for s in np.unique(problem.stimulus[problem.shifted])]
    films = [film for film in films if len(film) > 1]
    groups = _shuffled_groups(problem)
    if not films and not any(len(group) > 1 for group in groups):
        raise BadInput("no two stimuli have equally many rows; expected some to shuffle: use --permutations 0")
    shifts = _shifts([len(film) for film in films], n, rng, alone=not groups)
    found = np.tile(np.arange(len(problem.stimulus)), (len(shifts) if films else n, 1))
    for order, shift in zip(found, shifts if films else [()] * n, strict=True):
        for film, by in zip(films, shift, strict=True):
            order[film] = np.roll(film, by)
        for group in groups:
            order[group] = group[rng.permutation(len(group))]
    return found


def _shifts(lengths: Sequence[int], n: int, rng: np.random.Generator, alone: bool) -> list[tuple[int, ...]]:
    """Return the circular shift of each film in each permutation; alone: nothing else is permuted."""
    spans = [shift_range(k) for k in lengths]
    possible = np.prod([float(len(span)) for span in spans])
    if alone and possible <= 4 * n:
        every = list(product(*spans))
        return [every[i] for i in rng.permutation(len(every))[:n]]
    return [tuple(int(rng.integers(span.start, span.stop)) for span in spans) for _ in range(n)]


def _shuffled_groups(problem: Problem) -> list[np.ndarray]:
    """Return the rows (n_stimuli, n_rows each) of the stimuli that are shuffled, in groups of equally many rows."""
    fixed = problem.stimulus[~problem.shifted]
    rows = [np.flatnonzero(problem.stimulus == s) for s in np.unique(fixed)]
    sizes = {len(r) for r in rows}
    return [np.stack([r for r in rows if len(r) == size]) for size in sorted(sizes)]


def null(
    problems: Sequence[Callable[[], Problem]],
    decoder: Decoder,
    metric: str,
    n: int,
    *,
    seed: int = SEED,
    refit: bool = False,
    progress: Callable | None = None,
) -> Null:
    """Score permutations of problems of the same layers and number of splits, with their targets side by side.

    Ridge regression chooses each permutation's layer on at most 512 evenly spaced targets of a problem.

    Parameters
    ----------
    problems : sequence of functions
        Each returns a Problem with `stimulus` and `shifted`.
    decoder : Decoder
        Template of the fits.
    metric : str
        A name of `evaluate.metrics.METRICS`.
    n : int
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.
    refit : bool, default False
        Fit every permutation anew, also with ridge regression: the penalty is then chosen on the permuted rows, and the
        layer on all targets.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    Null
        Of at most n permutations, see `orders`.

    Raises
    ------
    BadInput
        If no stimulus can be permuted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, rows = rng.standard_normal((40, 3)).astype(np.float32), np.arange(40)
    >>> layers, splits = {"layer": lambda: X}, [Split(rows[:30], rows[30:35], rows[35:])]
    >>> problem = Problem(layers, X[:, :1], splits, stimulus=rows, shifted=np.zeros(40, bool))
    >>> null([lambda: problem], Ridge(), "pearson", 19).test.shape
    (19, 1)
    """
    made = [_finite(make()) for make in problems]
    permuted = [orders(problem, n, seed_from(seed, i)) for i, problem in enumerate(made)]
    n = min(len(order) for order in permuted)
    cases = [_PermutedProblem.of(problem, order[:n], decoder) for problem, order in zip(made, permuted, strict=True)]
    if not refit and all(isinstance(case.session, RidgeSession) for case in cases):
        return Null(_linear(cases, n, progress))
    return Null(_refitted(cases, n, decoder, metric, progress))


def _finite(problem: Problem) -> Problem:
    """Return the problem without the rows whose targets are not finite; never-finite targets are 0."""
    targets, finite = finite_targets(problem.targets)
    if targets is problem.targets:
        return problem
    keep = np.flatnonzero(finite)
    place = np.cumsum(finite) - 1

    def renumbered(split: Split) -> Split:
        kept = split.restricted(finite)
        return Split(place[kept.train], place[kept.valid], place[kept.test])

    return replace(
        problem,
        layers={name: lambda load=load: load()[keep] for name, load in problem.layers.items()},
        targets=targets[keep],
        splits=[renumbered(split) for split in problem.splits],
        weights=None if problem.weights is None else problem.weights[keep],
        stimulus=problem.stimulus[keep],
        shifted=problem.shifted[keep],
    )


@dataclass(frozen=True)
class _PermutedProblem:
    """A problem, its permutations (n, n_rows) and the decoder's session on the true targets, None without one."""

    problem: Problem
    orders: np.ndarray
    session: object

    @classmethod
    def of(cls, problem: Problem, permuted: np.ndarray, decoder: Decoder) -> "_PermutedProblem":
        """Return a problem with its permutations and session."""
        data = (problem.targets, problem.weights, problem.splits)
        return cls(problem, permuted, decoder.session(*data) if hasattr(decoder, "session") else None)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.problem.targets.shape[1]


def _refitted(cases: Sequence[_PermutedProblem], n: int, decoder: Decoder, metric: str, progress) -> np.ndarray:
    """Cross-validate every permutation anew: (n, n_targets of all problems)."""
    test = np.empty((n, sum(case.n_targets for case in cases)), dtype=np.float32)
    for i in range(n):
        results: list[Result] = []
        for case in cases:
            permuted = replace(case.problem, targets=case.problem.targets[case.orders[i]], blocks=None)
            results.append(cross_validate_problem(permuted, decoder, metric))
        best = best_layer(np.concatenate([result.valid for result in results], axis=1))
        test[i] = np.concatenate([result.test[best].mean(axis=1) for result in results])
        if progress:
            progress(i + 1, n, "permutations")
    return test


def _linear(cases: Sequence[_PermutedProblem], n: int, progress) -> np.ndarray:
    """Score all permutations of a layer and split at once, for ridge regression: (n, n_targets of all problems)."""
    names = list(cases[0].problem.layers)
    steps = _Steps(progress, len(names) * len(cases) * (2 if len(names) > 1 else 1))
    chosen = np.zeros(n, dtype=int)
    if len(names) > 1:
        scores = [_medians([list(_validation(case, name)) for case in steps(cases)]) for name in names]
        chosen = argbest(np.stack(scores))
    test = np.full((n, sum(case.n_targets for case in cases)), np.nan, dtype=np.float32)
    for i, name in enumerate(names):
        permutations = np.flatnonzero(chosen == i)
        if len(permutations):
            test[permutations] = np.hstack([_test(case, name, permutations) for case in steps(cases)])
    return test


class _Steps:
    """Iteration over problems that reports the progress after each."""

    def __init__(self, progress: Callable | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, cases: Sequence[_PermutedProblem]) -> Iterator[_PermutedProblem]:
        for case in cases:
            yield case
            self.done += 1
            if self.progress:
                self.progress(self.done, self.total, "permutations")


def _medians(of_problems: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return the mean over splits of the median over all problems' targets: [problem][split] (n, n_targets) -> (n,)."""
    return np.mean([nan_median(np.hstack(parts), axis=1) for parts in zip(*of_problems, strict=True)], axis=0)


def _validation(case: _PermutedProblem, name: str) -> Iterator[np.ndarray]:
    """Yield the validation scores of all permutations of each split: (n, at most SAMPLE targets)."""
    sample = np.unique(np.linspace(0, case.n_targets - 1, min(SAMPLE, case.n_targets)).astype(int))
    for split, smoothers in _fits(case, name):
        yield _permuted(case, smoothers, split, slice(None, len(split.valid)), case.orders, sample)


def _test(case: _PermutedProblem, name: str, permutations: np.ndarray) -> np.ndarray:
    """Return the split-mean test scores of some permutations: (n_permutations, n_targets)."""
    total, defined, everywhere = 0.0, 0, np.arange(case.n_targets)
    for split, smoothers in _fits(case, name):
        r = _permuted(case, smoothers, split, slice(len(split.valid), None), case.orders[permutations], everywhere)
        known = np.isfinite(r)
        total, defined = total + np.where(known, r, 0), defined + known
    return np.where(defined > 0, total / np.maximum(defined, 1), np.nan)


def _fits(case: _PermutedProblem, name: str) -> Iterator[tuple[Split, list]]:
    """Yield each split without the rows whose features are not finite, and its `RidgeSession.smoothers`."""
    X = np.array(case.problem.layers[name](), dtype=np.float32)
    usable = finite_rows(X)
    features = case.session.load(X)
    for split in case.problem.splits:
        kept = split.restricted(usable)
        yield kept, list(case.session.smoothers(features, kept))


def _permuted(
    case: _PermutedProblem, smoothers, split: Split, part: slice, rows_of: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Return r of the held-out rows in `part` for each permutation, rows_of (n, n_rows), and target: (n, n_targets)."""
    device, held = case.session.device, split.held[part]
    wanted = torch.as_tensor(targets, device=device)
    found = np.full((len(rows_of), len(targets)), np.nan, dtype=np.float32)
    if len(held) < 2:
        return found
    share = case.session.weights[torch.as_tensor(held, device=device)].float()
    share /= share.sum()
    place = torch.full((case.n_targets,), -1, dtype=torch.long, device=device)
    place[wanted] = torch.arange(len(wanted), device=device)
    for columns, weights in smoothers:
        columns = columns[place[columns] >= 0]
        weights = weights[part].float()
        # predictions centred on the held-out rows, so that neither means nor intercepts are needed
        weights = weights - share @ weights
        Y = case.session.targets.values[:, columns].float()
        r = _correlations(weights, share, held, split.train, rows_of, Y)
        found[:, place[columns].cpu().numpy()] = r
    return found


def _correlations(weights, share, held, train, rows_of: np.ndarray, Y: torch.Tensor) -> np.ndarray:
    """Return r (n, n_targets) of permuted targets and their predictions.

    weights: (n_held, n_train); share: (n_held,); rows_of: (n, n_rows); Y: (n_rows, n_targets).
    """
    n_held, n_rows, n_targets = len(held), len(Y), Y.shape[1]
    few = n_targets <= n_held
    width = min(n_targets, 1024 if Y.device.type == "cpu" else 4096)
    step = max(1, BATCH_BYTES // (4 * (n_rows * n_targets if few else n_held * max(n_rows, width))))
    squares, found = Y * Y, np.empty((len(rows_of), n_targets), dtype=np.float32)
    for start in range(0, len(rows_of), step):
        batch = torch.as_tensor(rows_of[start : start + step], device=Y.device)
        n = len(batch)
        shares = weights.new_zeros(n, n_rows).scatter_(1, batch[:, held], share.expand(n, n_held))
        of_y = shares @ squares - (shares @ Y) ** 2
        # few targets are permuted themselves; for many targets, the weights are permuted instead
        permuted = Y[batch[:, train]] if few else _permuted_weights(weights, batch, train, n_rows)
        for first in range(0, n_targets, width):
            columns = slice(first, first + width)
            x = weights @ permuted if few else (permuted @ Y[:, columns]).view(n, n_held, -1)
            y = Y[:, columns][batch[:, held]].mul_(x)
            r = _over(share, y) / (_over(share, x.square_()) * of_y[:, columns]).sqrt_()
            found[start : start + step, columns] = r.cpu().numpy()
    return np.where(np.isfinite(found), np.clip(found, -1, 1), np.nan)


def _permuted_weights(weights: torch.Tensor, batch: torch.Tensor, train: np.ndarray, n_rows: int) -> torch.Tensor:
    """Return each permutation's weights of the rows that its training targets come from: (n * n_held, n_rows)."""
    shape = (len(batch), *weights.shape)
    spread = weights.new_zeros(*shape[:2], n_rows)
    spread.scatter_(2, batch[:, None, train].expand(shape), weights.expand(shape))
    return spread.view(-1, n_rows)


def _over(share: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return weighted sums over the held-out rows: (n, n_held, n_targets) -> (n, n_targets)."""
    return torch.einsum("h,pht->pt", share, values)
