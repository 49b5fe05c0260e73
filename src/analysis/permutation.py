"""p values: how often chance alone, with the link between stimulus and response cut, scores as well.

Responses to films are turned round in time (as smooth as before, elsewhere), others are exchanged between stimuli.
Every permutation runs the whole design on the same splits: fit, choose the layer on validation, score the test. For
ridge regression the predictions of a permutation are the same weights, from one eigendecomposition a layer and split,
times turned targets; the penalty stays the one that the true training rows chose. Other decoders are fitted anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from ..evaluate.cross_validate import Problem, cross_validate_problem
from ..evaluate.decoders.base import Split
from ..evaluate.decoders.ridge import RidgeSession
from ..utils import BadInput, seed_from
from .aggregate import chosen_layer, nan_median

SAMPLE = 512  # targets whose validation scores choose a permutation's layer
BLOCK_BYTES = 2**25  # predictions of several permutations worked on at a time


@dataclass(frozen=True)
class Null:
    """test: (n, n_targets) float32 split-mean test scores of n permutations, each of the layer that it chose."""

    test: np.ndarray

    @property
    def headline(self) -> np.ndarray:
        """(n,) median over targets."""
        return nan_median(self.test, axis=1).astype(np.float64)


def p_values(null: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """One-sided p, (1 + permutations not below the score) / (1 + n): (n, ...), (...) -> (...); NaN stays NaN."""
    p = (1 + np.sum(~(null < observed), axis=0)) / (1 + len(null))
    return np.where(np.isfinite(observed), p, np.nan)


def orders(problem: Problem, n: int, seed: int) -> np.ndarray:
    """Where each row's permuted response comes from: int array (at most n, n_rows).

    A film is turned by a quarter to three quarters of its length, rows in their order; few films allow fewer than n
    different turns, and then each is taken once. Other stimuli are exchanged with stimuli of as many rows. Raises
    BadInput where nothing can be moved.
    """
    rng = np.random.default_rng(seed_from("permutation", seed))
    films = [np.flatnonzero(problem.stimulus == s) for s in np.unique(problem.stimulus[problem.rolled])]
    films = [film for film in films if len(film) > 1]
    groups = _exchangeable(problem)
    if not films and not any(len(group) > 1 for group in groups):
        raise BadInput("no two stimuli have equally many rows; expected some to exchange: use --permutations 0")
    turns = _turns([len(film) for film in films], n, rng, alone=not groups)
    found = np.tile(np.arange(len(problem.stimulus)), (len(turns) if films else n, 1))
    for order, turn in zip(found, turns if films else [()] * n, strict=True):
        for film, by in zip(films, turn, strict=True):
            order[film] = np.roll(film, by)
        for group in groups:
            order[group] = group[rng.permutation(len(group))]
    return found


def _turns(lengths: Sequence[int], n: int, rng: np.random.Generator, alone: bool) -> list[tuple[int, ...]]:
    """How far each film is turned in each permutation."""
    spans = [range(max(1, k // 4), max(2, 3 * k // 4)) for k in lengths]
    possible = np.prod([float(len(span)) for span in spans])
    if alone and possible <= 4 * n:
        every = list(product(*spans))
        return [every[i] for i in rng.permutation(len(every))[:n]]
    return [tuple(int(rng.integers(span.start, span.stop)) for span in spans) for _ in range(n)]


def _exchangeable(problem: Problem) -> list[np.ndarray]:
    """Rows (n_stimuli, n_rows each) of the stimuli that are not turned, those of as many rows together."""
    fixed = problem.stimulus[~problem.rolled]
    rows = [np.flatnonzero(problem.stimulus == s) for s in np.unique(fixed)]
    sizes = {len(r) for r in rows}
    return [np.stack([r for r in rows if len(r) == size]) for size in sorted(sizes)]


def null(
    problems: Sequence[Callable[[], Problem]],
    decoder,
    metric: str,
    n: int,
    *,
    seed: int = 0,
    progress: Callable | None = None,
) -> Null:
    """Scores of n permutations of problems of the same layers and number of splits, targets side by side.

    Ridge chooses each permutation's layer on at most 512 evenly spaced targets of a problem.
    """
    made = [_finite(make()) for make in problems]
    moved = [orders(problem, n, seed_from(seed, i)) for i, problem in enumerate(made)]
    n = min(len(order) for order in moved)
    works = [_Work.of(problem, order[:n], decoder) for problem, order in zip(made, moved, strict=True)]
    if all(isinstance(work.session, RidgeSession) for work in works):
        return Null(_linear(works, n, progress))
    return Null(_refitted(works, n, decoder, metric, progress))


def _finite(problem: Problem) -> Problem:
    """The problem without the rows whose targets are not finite; never-finite targets are 0."""
    targets = problem.targets
    if targets.dtype.kind != "f" or np.isfinite(targets).all():
        return problem
    known = np.isfinite(targets)
    keep = np.flatnonzero(known[:, known.any(axis=0)].all(axis=1))
    place = np.full(len(targets), -1)
    place[keep] = np.arange(len(keep))

    def restricted(rows: np.ndarray) -> np.ndarray:
        return place[rows][place[rows] >= 0]

    return replace(
        problem,
        layers={name: lambda load=load: load()[keep] for name, load in problem.layers.items()},
        targets=np.where(known, targets, 0)[keep],
        splits=[Split(*(restricted(rows) for rows in (s.train, s.valid, s.test))) for s in problem.splits],
        weights=None if problem.weights is None else problem.weights[keep],
        stimulus=problem.stimulus[keep],
        rolled=problem.rolled[keep],
    )


@dataclass(frozen=True)
class _Work:
    """A problem, its permutations (n, n_rows) and the decoder's session on the true targets."""

    problem: Problem
    orders: np.ndarray
    session: object

    @classmethod
    def of(cls, problem: Problem, moved: np.ndarray, decoder) -> "_Work":
        given = (problem.targets, problem.weights, problem.splits)
        return cls(problem, moved, decoder.session(*given) if hasattr(decoder, "session") else None)

    @property
    def n_targets(self) -> int:
        return self.problem.targets.shape[1]


def _refitted(works: Sequence[_Work], n: int, decoder, metric: str, progress) -> np.ndarray:
    """Every permutation cross-validated anew: (n, n_targets of all problems)."""
    test = np.empty((n, sum(work.n_targets for work in works)), dtype=np.float32)
    for i in range(n):
        results = []
        for work in works:
            turned = replace(work.problem, targets=work.problem.targets[work.orders[i]], units=None)
            results.append(cross_validate_problem(turned, decoder, metric))
        valid = np.concatenate([result.valid for result in results], axis=1)
        best = chosen_layer(valid)
        test[i] = np.concatenate([result.test[best].mean(axis=1) for result in results])
        if progress:
            progress(i + 1, n, "permutations")
    return test


def _linear(works: Sequence[_Work], n: int, progress) -> np.ndarray:
    """The same for ridge regression, all permutations of a layer and split at once."""
    names = list(works[0].problem.layers)
    steps = _Steps(progress, len(names) * len(works) * (2 if len(names) > 1 else 1))
    chosen = np.zeros(n, dtype=int)
    if len(names) > 1:
        score = [_medians([list(_validation(work, name)) for work in steps(works)]) for name in names]
        chosen = np.nan_to_num(np.stack(score), nan=-np.inf).argmax(axis=0)
    test = np.full((n, sum(work.n_targets for work in works)), np.nan, dtype=np.float32)
    for i, name in enumerate(names):
        mine = np.flatnonzero(chosen == i)
        if len(mine):
            test[mine] = np.hstack([_test(work, name, mine) for work in steps(works)])
    return test


class _Steps:
    """Tells how far the work is, one problem of one layer after the other."""

    def __init__(self, progress: Callable | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, works: Sequence[_Work]) -> Iterator[_Work]:
        for work in works:
            yield work
            self.done += 1
            if self.progress:
                self.progress(self.done, self.total, "permutations")


def _medians(of_problems: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Mean over splits of the median over the targets of all problems: [problem][split] (n, n_targets) -> (n,)."""
    return np.mean([nan_median(np.hstack(parts), axis=1) for parts in zip(*of_problems, strict=True)], axis=0)


def _validation(work: _Work, name: str) -> Iterator[np.ndarray]:
    """Validation scores of all permutations, split by split: (n, at most SAMPLE targets)."""
    sample = np.unique(np.linspace(0, work.n_targets - 1, min(SAMPLE, work.n_targets)).astype(int))
    for split, smoothers in _fits(work, name):
        yield _permuted(work, smoothers, split, slice(None, len(split.valid)), work.orders, sample)


def _test(work: _Work, name: str, mine: np.ndarray) -> np.ndarray:
    """Split-mean test scores of some permutations: (n_mine, n_targets)."""
    total, defined, everywhere = 0.0, 0, np.arange(work.n_targets)
    for split, smoothers in _fits(work, name):
        r = _permuted(work, smoothers, split, slice(len(split.valid), None), work.orders[mine], everywhere)
        known = np.isfinite(r)
        total, defined = total + np.where(known, r, 0), defined + known
    return np.where(defined > 0, total / np.maximum(defined, 1), np.nan)


def _fits(work: _Work, name: str) -> Iterator[tuple[Split, list]]:
    """Each split without the rows that the layer lacks, and its smoothers (see `RidgeSession.smoothers`)."""
    X = np.array(work.problem.layers[name](), dtype=np.float32)
    usable = np.isfinite(X).all(axis=1)
    features = work.session.load(X)
    for split in work.problem.splits:
        kept = Split(*(rows[usable[rows]] for rows in (split.train, split.valid, split.test)))
        yield kept, list(work.session.smoothers(features, kept))


def _permuted(work: _Work, smoothers, split: Split, part: slice, moved: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """r of the held-out rows in `part` for each permutation and target: (n, n_targets) float32."""
    device, held = work.session.device, split.held[part]
    wanted = torch.as_tensor(targets, device=device)
    found = np.full((len(moved), len(targets)), np.nan, dtype=np.float32)
    if len(held) < 2:
        return found
    share = work.session.weights[torch.as_tensor(held, device=device)].float()
    share /= share.sum()
    place = torch.full((work.n_targets,), -1, dtype=torch.long, device=device)
    place[wanted] = torch.arange(len(wanted), device=device)
    for columns, weights in smoothers:
        columns = columns[place[columns] >= 0]
        weights = weights[part].float()
        # predictions centred on the held-out rows, so that neither means nor intercepts are needed
        weights = weights - share @ weights
        Y = work.session.targets.values[:, columns].float()
        r = _correlations(weights, share, held, split.train, moved, Y)
        found[:, place[columns].cpu().numpy()] = r
    return found


def _correlations(weights, share, held, train, moved: np.ndarray, Y: torch.Tensor) -> np.ndarray:
    """weights (n_held, n_train), share (n_held,), moved (n, n_rows), Y (n_rows, n_targets) -> r (n, n_targets)."""
    n_held, n_rows, n_targets = len(held), len(Y), Y.shape[1]
    few = n_targets <= n_held
    width = min(n_targets, 1024 if Y.device.type == "cpu" else 4096)
    step = max(1, BLOCK_BYTES // (4 * (n_rows * n_targets if few else n_held * max(n_rows, width))))
    squares, found = Y * Y, np.empty((len(moved), n_targets), dtype=np.float32)
    for start in range(0, len(moved), step):
        batch = torch.as_tensor(moved[start : start + step], device=Y.device)
        n = len(batch)
        shares = weights.new_zeros(n, n_rows).scatter_(1, batch[:, held], share.expand(n, n_held))
        of_y = shares @ squares - (shares @ Y) ** 2
        # of few targets the turned copies are made; of many, the weights are turned instead
        turned = Y[batch[:, train]] if few else _turned(weights, batch, train, n_rows)
        for first in range(0, n_targets, width):
            columns = slice(first, first + width)
            x = weights @ turned if few else (turned @ Y[:, columns]).view(n, n_held, -1)
            y = Y[:, columns][batch[:, held]].mul_(x)
            r = _over(share, y) / (_over(share, x.square_()) * of_y[:, columns]).sqrt_()
            found[start : start + step, columns] = r.cpu().numpy()
    return np.where(np.isfinite(found), np.clip(found, -1, 1), np.nan)


def _turned(weights: torch.Tensor, batch: torch.Tensor, train: np.ndarray, n_rows: int) -> torch.Tensor:
    """For each permutation, the weights of the rows that its training targets come from: (n n_held, n_rows)."""
    shape = (len(batch), *weights.shape)
    spread = weights.new_zeros(*shape[:2], n_rows)
    spread.scatter_(2, batch[:, None, train].expand(shape), weights.expand(shape))
    return spread.view(-1, n_rows)


def _over(share: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Weighted sums over the held-out rows: (n, n_held, n_targets) -> (n, n_targets)."""
    return torch.einsum("h,pht->pt", share, values)
