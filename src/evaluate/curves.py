"""Scores along an axis: by time bin of a recording, or by delay of a finite impulse response.

Both are made of the predictions that are scored as a whole, with the layers of the headline: nothing is fitted or
chosen anew. A noise ceiling, an interval and a figure go with each point of the axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from .axis import DELAY_PROFILE, TIME_COURSE
from .bootstrap_statistics import PartStatistics, PooledStatistics, Resampling, SplitStatistics, Statistics
from .layer_choice import PER_TARGET, Rule
from .metrics import METRICS, Moments, PredictionMetric
from .protocol import LEAST_TEST_ROWS

if TYPE_CHECKING:
    from .cross_validate import Problem, Result


@dataclass(frozen=True)
class Curve:
    """A score along an axis.

    Parameters
    ----------
    name : {"time_course", "delay_profile"}
    points_ms : array of shape (n_points, 2)
        Half-open intervals of the axis.
    test : float32 array of shape (n_targets, n_points)
        Test scores, NaN = undefined.
    points : sequence of Statistics
        Input of a bootstrap, one per point.
    """

    name: str
    points_ms: np.ndarray
    test: np.ndarray
    points: Sequence[Statistics]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays that are stored with the score."""
        return {self.name: self.test, f"{self.name}_ms": self.points_ms}


class TimeBins:
    """Score in each time bin: agreement of predictions with responses over the stimuli.

    Predictions and responses of a bin are centred within each test part before they are pooled over the splits, since
    the mean of a training part is low where that of its test part is high. Bins with fewer than 10 stimuli have no
    score.

    Parameters
    ----------
    problem : Problem
        With blocks: those of the stimuli.
    time_bin : int array of shape (n_rows,)
        Time bin of each row.
    bins_ms : array of shape (n_bins, 2)
    """

    n_parts = 0

    def __init__(self, problem: "Problem", time_bin: np.ndarray, bins_ms: np.ndarray):
        self.problem, self.time_bin, self.bins_ms = problem, np.asarray(time_bin), np.asarray(bins_ms)
        self.n_blocks = int(np.max(problem.blocks)) + 1

    def shape(self, split: int) -> tuple[int, ...]:
        """Return the shape of the values of a split, without the axis of targets."""
        return 2, len(self.problem.splits[split].test)

    def of_batch(self, split: int, rows: np.ndarray, predicted, truth, parts=None) -> np.ndarray:
        """Return predictions and truth of the test rows of a split: (2, n_test, n_columns), NaN = not predicted."""
        test = np.asarray(self.problem.splits[split].test)
        order = np.argsort(test)
        found = np.full((2, len(test), predicted.shape[1]), np.nan, dtype=np.float32)
        place = order[np.searchsorted(test, rows, sorter=order)]
        found[:, place] = [_numpy(predicted), _numpy(truth)]
        return found

    def curve(self, metric: PredictionMetric, kept: Sequence[np.ndarray]) -> Curve:
        """Return the time course; kept: of the headline's layers, (2, n_test, n_targets) per split."""
        bins = range(len(self.bins_ms))
        points = [PooledStatistics(self._of_bin(b, kept), self.n_blocks, metric.statistic) for b in bins]
        once = np.ones((1, self.n_blocks))
        test = np.stack([point.replicates(once)[0] for point in points], axis=1)
        return Curve(TIME_COURSE, self.bins_ms, test, points)

    def _of_bin(self, time_bin: int, kept: Sequence[np.ndarray]) -> list[SplitStatistics]:
        parts = []
        for split, values in zip(self.problem.splits, kept, strict=True):
            test = np.asarray(split.test)
            chosen = self.time_bin[test] == time_bin
            weights = None if self.problem.weights is None else np.asarray(self.problem.weights)[test[chosen]]
            parts.append((np.asarray(self.problem.blocks)[test[chosen]], values[:, chosen], weights))
        n_stimuli = sum(np.isfinite(values).all(axis=0).sum(axis=0) for _, values, _ in parts)
        found = [_sums(blocks, values[0], values[1][None], weights) for blocks, values, weights in parts]
        few = torch.from_numpy(np.asarray(n_stimuli < LEAST_TEST_ROWS))
        # without weight a score is undefined
        return [SplitStatistics(b, w.masked_fill(few, 0.0), torch.cat([x, y])) for b, w, x, y in found]


class Delays:
    """Contribution of each delay of a finite impulse response to the score (product measure).

    The prediction of a ridge regression on delayed copies of the features is a sum of parts, one per delay. The
    contribution of a delay is cov(part, y) / (sd(prediction) sd(y)) over the test rows; those of all delays sum to r.
    Contributions of held-out rows are 0 on average for noise, unlike the size of weights. Features that change slowly
    share their contribution between neighbouring delays.

    Parameters
    ----------
    problem : Problem
        With blocks. The features of a layer are its copies side by side, one per delay.
    delays_ms : array of shape (n_delays,)
    width_ms : float
        Width of a time bin.

    References
    ----------
    Pratt 1987, Proceedings of the Second International Tampere Conference in Statistics: 245. Dupré la Tour et al.
    2022, NeuroImage 264:119728.
    """

    def __init__(self, problem: "Problem", delays_ms: Sequence[float], width_ms: float):
        self.problem, self.n_parts = problem, len(delays_ms)
        self.points_ms = np.asarray(delays_ms, dtype=np.float64)[:, None] + [0.0, width_ms]
        self.n_blocks = int(np.max(problem.blocks)) + 1
        self._of_split = [np.unique(np.asarray(problem.blocks)[split.test]) for split in problem.splits]

    def shape(self, split: int) -> tuple[int, ...]:
        """Return the shape of the values of a split, without the axis of targets."""
        return 5 + 2 * self.n_parts, len(self._of_split[split])

    def of_batch(self, split: int, rows: np.ndarray, predicted, truth, parts) -> np.ndarray:
        """Return the weight of each block and sums over it: (5 + 2 n_delays, n_blocks of the split, n_columns)."""
        weights = None if self.problem.weights is None else np.asarray(self.problem.weights)[rows]
        blocks = np.asarray(self.problem.blocks)[rows]
        every = np.concatenate([_numpy(predicted)[None], _numpy(parts)])
        _, weight, of_truth, of_parts = _sums(blocks, _numpy(truth), every, weights)
        found = np.zeros((*self.shape(split), predicted.shape[1]), dtype=np.float32)
        place = np.searchsorted(self._of_split[split], np.unique(blocks))
        y, yy = of_truth
        x, xx, xy = (of_parts[k::3] for k in range(3))
        found[:, place] = torch.cat([torch.stack([weight, y, yy, x[0], xx[0]]), x[1:], xy[1:]]).numpy()
        return found

    def curve(self, metric: PredictionMetric, kept: Sequence[np.ndarray]) -> Curve:
        """Return the profile; kept: of the headline's layers, see `of_batch`."""
        n, shared, parts = self.n_parts, [], [[] for _ in range(self.n_parts)]
        for blocks, values in zip(self._of_split, kept, strict=True):
            values = torch.from_numpy(np.nan_to_num(values))
            shared.append(SplitStatistics(blocks, values[0], values[1:5]))
            for d in range(n):
                parts[d].append(SplitStatistics(blocks, values[0], values[[5 + d, 5 + n + d]]))
        points = [PartStatistics(shared, of_delay, self.n_blocks) for of_delay in parts]
        once = np.ones((1, self.n_blocks))
        test = np.stack([point.replicates(once)[0] for point in points], axis=1)
        return Curve(DELAY_PROFILE, self.points_ms, test, points)


Along = TimeBins | Delays


def has_curve(metric: PredictionMetric) -> bool:
    """Return True for a correlation: the mean of a time bin, or of a prediction's part, is none of it."""
    return isinstance(metric.statistic, Moments) and not metric.statistic.means


class Kept:
    """Values behind a curve, of the layers of the headline: arrays (..., n_targets) per split, NaN = nothing."""

    def __init__(self, along: Along, rule: Rule, n_splits: int, n_targets: int):
        self.rule = rule
        self.values = [np.full((*along.shape(k), n_targets), np.nan, dtype=np.float32) for k in range(n_splits)]
        self._new = [np.full_like(values, np.nan) for values in self.values]
        self._best: np.ndarray | None = None

    def add(self, split: int, columns: np.ndarray, values: np.ndarray) -> None:
        """Add what is kept of some targets of the current layer."""
        self._new[split][..., columns] = values

    def end_layer(self, valid: np.ndarray) -> None:
        """Keep the current layer where its validation scores (n_targets, n_splits) are the best so far."""
        criterion = np.broadcast_to(self.rule.criterion(valid, self.rule.headline == PER_TARGET), valid.shape)
        better = np.ones(valid.shape, bool) if self._best is None else criterion > self._best
        self._best = criterion.copy() if self._best is None else np.where(better, criterion, self._best)
        for values, new, of_split in zip(self.values, self._new, better.T, strict=True):
            values[..., of_split] = new[..., of_split]
            new.fill(np.nan)


def with_curve(resampling: Resampling, curve: Curve | None) -> Resampling:
    """Return the input of a bootstrap with that of a curve, where there is one."""
    return resampling if curve is None or resampling is None else replace(resampling, curve=curve.points)


def curves(along: Along | None, results: "dict[str, Result]") -> dict[str, Curve]:
    """Return {metric: its curve} of the results that kept what a curve is made of."""
    return {
        name: along.curve(METRICS[name], result.kept) for name, result in results.items() if result.kept is not None
    }


def _numpy(values) -> np.ndarray:
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def _sums(blocks: np.ndarray, x: np.ndarray, others: np.ndarray, weights: np.ndarray | None) -> tuple:
    """Return (blocks, weight, of x, of others), sums over each block of deviations from the mean, in float32.

    x: (n_rows, n_columns); others: (n, n_rows, n_columns). weight: (m, n_columns); of x: (2, m, n_columns), sums of x
    and x^2; of others: (3 n, m, n_columns), of each other o, o^2 and o x. Rows where x or the first other is NaN do not
    count.
    """
    found, place = np.unique(blocks, return_inverse=True)
    members = np.zeros((len(found), len(blocks)))
    members[place, np.arange(len(blocks))] = 1 if weights is None else weights
    known = np.isfinite(x) & np.isfinite(others[0])
    share = members.sum(axis=0)[:, None] * known
    share = share / np.maximum(share.sum(axis=0), 1e-300)

    def centred(values: np.ndarray) -> np.ndarray:
        values = np.where(known, values, 0.0)
        return np.where(known, values - (share * values).sum(axis=0), 0.0)

    y = centred(x)
    of_others = []
    for other in others:
        o = centred(other)
        of_others += [members @ o, members @ o**2, members @ (o * y)]
    arrays = members @ known, np.stack([members @ y, members @ y**2]), np.stack(of_others)
    return found, *(torch.from_numpy(array.astype(np.float32)) for array in arrays)
