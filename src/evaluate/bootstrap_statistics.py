"""Sufficient statistics for a block bootstrap of scores, accumulated while the predictions are made.

A block (a film segment, a stimulus) is resampled whole, any number of times. The score of the rows of a bootstrap
sample follows from sums over each block and the number of its copies, so that a thousand samples are a matrix product.
A metric states its sums as `metrics.Moments` or `metrics.RowMeans`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from ..utils import array_digest, digest, nan_mean
from .decoders.base import Split
from .layer_choice import PER_TARGET, Rule
from .metrics import Moments, RowMeans
from .metrics.base import FISHER, LIMIT
from .sample_medians import sample_medians

BATCH = 256  # targets per batch of replicates: they fit into the processor's cache
CONSTANT = 1e-6  # a variance below this share of the mean square is rounding


class Statistics(Protocol):
    """Statistics of one layer, sufficient for its scores in bootstrap samples."""

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the split-mean scores of bootstrap samples: counts (n_samples, n_blocks) -> (n_samples, n_targets)."""


@dataclass(frozen=True)
class SplitStatistics:
    """Sums over the test rows of one split.

    blocks: (m,) those with test rows; weight: (m, 1) of their rows or, if targets lack different rows, (m, n_targets);
    sums: (n_sums, m, n_targets), or each of them: layers share those of the targets.
    """

    blocks: np.ndarray
    weight: torch.Tensor
    sums: Sequence[torch.Tensor]

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.sums[0].shape[1]

    def take(self, columns: np.ndarray) -> "SplitStatistics":
        """Return the statistics of some targets."""
        index = torch.as_tensor(columns, device=self.weight.device)
        weight = self.weight if self.weight.shape[1] == 1 else self.weight.index_select(1, index)
        return SplitStatistics(self.blocks, weight, [one.index_select(1, index) for one in self.sums])

    def replaced(self, other: "SplitStatistics", columns: np.ndarray) -> "SplitStatistics":
        """Return the statistics with the targets in the mask `columns` from another layer of the same split."""
        mask = torch.tensor(columns, device=self.weight.device)
        weight = self.weight
        if weight.shape[1] > 1 or not torch.equal(weight, other.weight):
            weight = torch.where(mask, other.weight, weight)
        pairs = zip(self.sums, other.sums, strict=True)
        sums = [mine if mine is theirs else torch.where(mask, theirs, mine) for mine, theirs in pairs]
        return SplitStatistics(self.blocks, weight, sums)


@dataclass(frozen=True)
class BootstrapStatistics:
    """Statistics of one layer for all splits, with the number of blocks to sample from and the metric's statistic."""

    splits: Sequence[SplitStatistics]
    n_blocks: int
    of_metric: Moments | RowMeans

    def take(self, columns: np.ndarray) -> "BootstrapStatistics":
        """Return the statistics of some targets."""
        return replace(self, splits=[split.take(columns) for split in self.splits])

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the split-mean scores of bootstrap samples: (n_samples, n_targets) float32.

        counts: (n_samples, n_blocks), number of copies of each block. A split whose score is undefined in a sample is
        left out of the mean; NaN if all are.
        """
        n_targets, device = self.splits[0].n_targets, self.splits[0].weight.device
        counts = torch.as_tensor(np.asarray(counts, dtype=np.float32), device=device)
        sampled = [(counts[:, torch.as_tensor(s.blocks, device=device)], s) for s in self.splits]
        sizes = [copies @ split.weight for copies, split in sampled]
        found = np.empty((len(counts), n_targets), dtype=np.float32)
        for start in range(0, n_targets, BATCH):
            columns = slice(start, start + BATCH)
            total = counts.new_zeros(len(counts), len(found[0, columns]))
            defined = torch.zeros_like(total)
            for (copies, split), size in zip(sampled, sizes, strict=True):
                size = size if size.shape[1] == 1 else size[:, columns]
                score = _score(self.of_metric, copies, size, [one[:, columns] for one in split.sums])
                known = torch.isfinite(score)
                defined += known
                total += torch.where(known, score, 0.0)
            found[:, columns] = (total / defined).cpu().numpy()
        return found


def _score(
    of_metric: Moments | RowMeans, copies: torch.Tensor, size: torch.Tensor, sums: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the scores of bootstrap samples: (n_samples, n_targets)."""
    means = [(copies @ one).div_(size) for one in sums]
    if isinstance(of_metric, RowMeans):
        return of_metric.score(means)
    x, y, xx, yy, xy = means
    covariance = xy.addcmul_(x, y, value=-1)
    of_x, of_y = (square - mean * mean for square, mean in ((xx, x), (yy, y)))
    constant = of_y <= CONSTANT * yy
    if of_metric.means:
        return of_metric.score(x, y, of_x, of_y, covariance).masked_fill_(constant, torch.nan)
    constant |= of_x <= CONSTANT * xx
    return of_metric.score(x, y, of_x, of_y, covariance).clamp_(-1, 1).masked_fill_(constant, torch.nan)


@dataclass(frozen=True)
class BatchSums:
    """Sums over the test rows of one split, of a batch of targets.

    columns: (n_columns,) indices of the targets; weight: (m,) of the rows of each block; sums: each (m, n_columns), of
    predictions x, of x^2 and of x y, or of the terms of `RowMeans`; truth: key of the sums of the targets, if any.
    """

    columns: np.ndarray
    weight: torch.Tensor
    sums: Sequence[torch.Tensor]
    truth: tuple | None = None


class BlockSums:
    """Sums of predictions and targets over each block; the sums of the targets are computed once for all layers.

    of_metric: statistic of the metric; blocks: (n_rows,) int, the block of each row; splits: those of all rows;
    weights: (n_rows,) or None.
    """

    def __init__(
        self,
        of_metric: Moments | RowMeans,
        blocks: np.ndarray,
        splits: Sequence[Split],
        weights: np.ndarray | None,
    ):
        self.of_metric, self.blocks, self.n_blocks = of_metric, np.asarray(blocks), int(np.max(blocks)) + 1
        self.of_split = [np.unique(self.blocks[split.test]) for split in splits]
        self.weights = np.ones(len(blocks)) if weights is None else weights
        self._of_truth: dict[tuple, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        self._joined_truth: dict[int, tuple[list[tuple], list[torch.Tensor]]] = {}

    def batch(self, split: int, rows: np.ndarray, columns: np.ndarray, predicted, truth) -> BatchSums:
        """Return the sums over some test rows of a split, of some targets, as a part of `statistics`.

        rows: test rows behind `predicted` and `truth` (n_test, n_columns); columns: indices of their targets.
        """
        x, y = predicted, truth
        if isinstance(self.of_metric, RowMeans):
            terms = torch.as_tensor(np.asarray(self.of_metric.terms(x, y))).float()
            members = self._members(split, rows, terms.device)
            return BatchSums(columns, members.sum(1), [*(members @ terms)])
        x, y = (torch.as_tensor(values) for values in (x, y))
        y = y.to(x.device)
        members = self._members(split, rows, x.device)
        share = members.sum(0) / members.sum()
        key = (split, array_digest(rows), int(columns[0]), len(columns))
        if key not in self._of_truth:
            self._of_truth[key] = _deviations(y.float(), members, share)
        mean = self._of_truth[key][0]
        # one shift of predictions and truth keeps the difference of their means
        x = x.float() - (mean if self.of_metric.means else share @ x.float())
        of_x = members @ x
        of_xy = members @ (x * y.float()) - mean * of_x
        return BatchSums(columns, members.sum(1), [of_x, members @ x.square_(), of_xy], key)

    def _members(self, split: int, rows: np.ndarray, device) -> torch.Tensor:
        """Return the weight of each row in its block, 0 in others: (m, n_rows) float32, m blocks of the split."""
        members = np.zeros((len(self.of_split[split]), len(rows)), dtype=np.float32)
        members[np.searchsorted(self.of_split[split], self.blocks[rows]), np.arange(len(rows))] = self.weights[rows]
        return torch.from_numpy(members).to(device)

    def statistics(self, batches: Sequence[list[BatchSums]], n_targets: int) -> BootstrapStatistics:
        """Return the statistics of a layer from the batches of each split, which are emptied to free their memory.

        A target without any counts nowhere.
        """
        found = []
        for k, (blocks, of_split) in enumerate(zip(self.of_split, batches, strict=True)):
            if not of_split:
                n_sums = 5 if isinstance(self.of_metric, Moments) else 1
                empty = torch.zeros(len(blocks), 1), torch.zeros(n_sums, len(blocks), n_targets)
                found.append(SplitStatistics(blocks, *empty))
                continue
            columns, first = [batch.columns for batch in of_split], of_split[0].weight
            if all(torch.equal(batch.weight, first) for batch in of_split):
                weight = first[:, None]
            else:
                of_columns = [batch.weight[:, None].expand(-1, len(batch.columns)) for batch in of_split]
                weight = _side_by_side(columns, of_columns, n_targets)
            sums = [
                _side_by_side(columns, of_each, n_targets) for of_each in zip(*(b.sums for b in of_split), strict=True)
            ]
            if isinstance(self.of_metric, Moments):
                of_x, of_xx, of_xy = sums
                of_y, of_yy = self._truth(k, of_split, n_targets)
                sums = [of_x, of_y, of_xx, of_yy, of_xy]
            found.append(SplitStatistics(blocks, weight, sums))
            of_split.clear()
        return BootstrapStatistics(found, self.n_blocks, self.of_metric)

    def _truth(self, split: int, batches: Sequence[BatchSums], n_targets: int) -> list[torch.Tensor]:
        """Return the sums of all targets and of their squares (m, n_targets), the same for layers of the same rows."""
        keys = [batch.truth for batch in batches]
        if self._joined_truth.get(split, (None,))[0] != keys:
            columns, parts = [batch.columns for batch in batches], [self._of_truth[key][1] for key in keys]
            self._joined_truth[split] = (
                keys,
                [_side_by_side(columns, of_each, n_targets) for of_each in zip(*parts, strict=True)],
            )
        return self._joined_truth[split][1]


def _deviations(y: torch.Tensor, members: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the targets' mean (n_columns,) and the sums of their deviations and squares, each (m, n_columns)."""
    mean = share @ y
    left = y - mean
    return mean, [members @ left, members @ left.square()]


def _side_by_side(columns: Sequence[np.ndarray], parts: Sequence[torch.Tensor], n_targets: int) -> torch.Tensor:
    """Return the values (m, n_columns) of batches of targets as (m, n_targets), 0 for other targets."""
    found = parts[0].new_zeros(len(parts[0]), n_targets)
    for of_batch, part in zip(columns, parts, strict=True):
        found[:, torch.as_tensor(of_batch, device=found.device)] = part
    return found


@dataclass(frozen=True)
class JoinedStatistics:
    """Statistics of several problems, each with its blocks and targets; columns: some of all their targets, or None."""

    members: Sequence[BootstrapStatistics]
    columns: np.ndarray | None = None

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores as `BootstrapStatistics.replicates` does; counts: (n_samples, blocks of all problems)."""
        edges = np.cumsum([0] + [member.n_blocks for member in self.members])
        found = np.hstack(
            [m.replicates(counts[:, a:b]) for m, (a, b) in zip(self.members, pairwise(edges), strict=True)]
        )
        return found if self.columns is None else found[:, self.columns]


@dataclass(frozen=True)
class MedianOfTargets:
    """Statistics of the median over targets in each split, which counts as one target.

    The targets of a split may be others than those of the next.
    """

    targets: BootstrapStatistics

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the mean over splits of the median over targets, of each bootstrap sample: (n_samples, 1)."""
        splits = [replace(self.targets, splits=[split]) for split in self.targets.splits]
        medians = np.stack([sample_medians(split.replicates(counts)) for split in splits])
        return nan_mean(medians, axis=0).astype(np.float32)[:, None]


@dataclass(frozen=True)
class PooledStatistics:
    """Statistics of a correlation whose moments, around the means of each split, are pooled over the splits.

    splits: with the sums x, x^2, y, y^2 and x y.
    """

    splits: Sequence[SplitStatistics]
    n_blocks: int
    of_metric: Moments

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores as `BootstrapStatistics.replicates` does."""
        counts, size, total = torch.as_tensor(np.asarray(counts, dtype=np.float32)), 0.0, 0.0
        for split in self.splits:
            copies = counts[:, torch.as_tensor(split.blocks)]
            weight = copies @ split.weight
            x, xx, y, yy, xy = (torch.where(weight > 0, copies @ one / weight, 0.0) for one in split.sums)
            moments = torch.stack([xx - x * x, yy - y * y, xy - x * y, xx, yy])
            size, total = size + weight, total + weight * moments
        of_x, of_y, covariance, xx, yy = total / size
        constant = (of_x <= CONSTANT * xx) | (of_y <= CONSTANT * yy)
        none = torch.zeros_like(of_x)
        score = self.of_metric.score(none, none, of_x, of_y, covariance).clamp_(-1, 1)
        return score.masked_fill_(constant | ~torch.isfinite(score), torch.nan).numpy()


@dataclass(frozen=True)
class PartStatistics:
    """Statistics of the part of a correlation that one of several summands of the prediction contributes.

    shared: with the sums y, y^2, x and x^2 of truth and prediction; parts: with the sums p and p y of the summand.
    """

    shared: Sequence[SplitStatistics]
    parts: Sequence[SplitStatistics]
    n_blocks: int

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return cov(p, y) / (sd(x) sd(y)), mean over splits, as `BootstrapStatistics.replicates` does."""
        counts, total, defined = torch.as_tensor(np.asarray(counts, dtype=np.float32)), 0.0, 0.0
        for split, part in zip(self.shared, self.parts, strict=True):
            copies = counts[:, torch.as_tensor(split.blocks)]
            weight = copies @ split.weight
            y, yy, x, xx = (copies @ one / weight for one in split.sums)
            p, py = (copies @ one / weight for one in part.sums)
            of_x, of_y = xx - x * x, yy - y * y
            score = (py - p * y) / (of_x * of_y).sqrt()
            known = torch.isfinite(score) & (of_x > CONSTANT * xx) & (of_y > CONSTANT * yy)
            total, defined = total + torch.where(known, score, 0.0), defined + known.float()
        return (total / defined).numpy()


@dataclass(frozen=True)
class Resampling:
    """Input of a block bootstrap of a score.

    block_name: name of the blocks in the plural ("segments", "stimuli"); strata: (n_blocks,) int, blocks are sampled
    within theirs; widening: factor on the spread of the replicates of a score of 0 (see `widening`); identity: digest
    of blocks and splits, equal for two models scored on the same rows; one_layer, per_target: statistics of the layer
    chosen for all targets, and of the layers chosen for each (None unless the headline reports them); regions:
    {region: statistics of its targets with the layer chosen for these}, empty if the headline has a layer per target;
    curve: statistics of each point of a curve of the score, see `curves`; block_run: number of neighbouring blocks that
    are sampled together.
    """

    block_name: str
    strata: np.ndarray
    widening: float
    identity: str
    one_layer: Statistics
    per_target: Statistics | None = None
    regions: Mapping[str, Statistics] = field(default_factory=dict)
    curve: Sequence[Statistics] = ()
    block_run: int = 1


class ChosenLayers:
    """Statistics of the layers chosen so far by a rule: for all targets, for each target, and for groups of targets.

    groups: {name: column indices}.
    """

    def __init__(self, rule: Rule, groups: Mapping[str, np.ndarray] | None = None):
        self.rule, self.per_target = rule, rule.headline == PER_TARGET
        self._columns = {None: slice(None), **({} if self.per_target else groups or {})}
        self._best: dict[object, np.ndarray] = {}
        self._kept: dict[object, BootstrapStatistics] = {}

    def add(self, layer: int, valid: np.ndarray, statistics: BootstrapStatistics) -> None:
        """Keep the statistics of a layer where its validation scores (n_targets, n_splits) are the best so far."""
        for name, columns in self._columns.items():
            part = statistics if name is None else statistics.take(columns)
            self._keep(name, self.rule.criterion(valid[columns], False), part)
        if self.per_target:
            self._keep(PER_TARGET, self.rule.criterion(valid, True), statistics)

    def _keep(self, name: object, score: np.ndarray, statistics: BootstrapStatistics) -> None:
        """Replace the splits and targets in which a score (n_targets or 1, n_splits or 1) is the best so far."""
        if name not in self._best:
            self._best[name], self._kept[name] = score, statistics
            return
        better = score > self._best[name]
        self._best[name] = np.where(better, score, self._best[name])
        before = self._kept[name]
        better = np.broadcast_to(better, (len(better), len(before.splits)))
        splits = [
            old if not of_split.any() else new if of_split.all() else old.replaced(new, of_split)
            for old, new, of_split in zip(before.splits, statistics.splits, better.T, strict=True)
        ]
        self._kept[name] = replace(before, splits=splits)

    def resampling(self, block_name: str, strata: np.ndarray, widening: float, identity: str) -> Resampling:
        """Return the input of a bootstrap."""
        regions = {name: kept for name, kept in self._kept.items() if name not in (None, PER_TARGET)}
        chosen = self._kept[None], self._kept.get(PER_TARGET) if self.per_target else None
        return Resampling(block_name, strata, widening, identity, *chosen, regions)


class AllLayers:
    """Statistics of every layer, for a choice over the targets of several problems."""

    def __init__(self):
        self.layers: dict[int, BootstrapStatistics] = {}

    def add(self, layer: int, valid: np.ndarray, statistics: BootstrapStatistics) -> None:
        """Keep the statistics of a layer."""
        self.layers[layer] = statistics

    def resampling(self, block_name: str, strata: np.ndarray, widening: float, identity: str) -> "AllResampling":
        """Return the statistics of all layers with the facts about their blocks."""
        return AllResampling(block_name, strata, widening, identity, self.layers)


@dataclass(frozen=True)
class AllResampling:
    """Statistics of all layers of one problem, see `Resampling`; layers: {index: statistics}."""

    block_name: str
    strata: np.ndarray
    widening: float
    identity: str
    layers: Mapping[int, BootstrapStatistics]
    block_run: int = 1

    def chosen(self, layers: np.ndarray) -> BootstrapStatistics:
        """Return the statistics of each target's and split's layer, (n_targets, at least n_splits)."""
        first = next(iter(self.layers.values()))
        splits = []
        for k, split in enumerate(first.splits):
            for layer in np.unique(layers[:, k]):
                if layer in self.layers:
                    split = split.replaced(self.layers[layer].splits[k], layers[:, k] == layer)
            splits.append(split)
        return replace(first, splits=splits)


def join(resamplings: Sequence[AllResampling], rule: Rule, groups, valid: np.ndarray) -> Resampling:
    """Join the resamplings of problems that kept all layers; valid: (n_layers, targets of all problems, n_splits)."""
    edges = np.cumsum([0] + [next(iter(one.layers.values())).splits[0].n_targets for one in resamplings])

    def joined(layers: np.ndarray, columns: np.ndarray | None = None) -> JoinedStatistics:
        parts = zip(resamplings, pairwise(edges), strict=True)
        return JoinedStatistics([one.chosen(layers[a:b]) for one, (a, b) in parts], columns)

    def of_group(columns: np.ndarray) -> JoinedStatistics:
        chosen = rule.layers(valid[:, columns], per_target=False)[:1]
        return joined(np.repeat(chosen, edges[-1], axis=0), columns)

    per_target = rule.headline == PER_TARGET
    return Resampling(
        resamplings[0].block_name,
        np.concatenate([np.full(len(one.strata), i) for i, one in enumerate(resamplings)]),
        float(np.mean([one.widening for one in resamplings])),
        digest([one.identity for one in resamplings]),
        joined(rule.layers(valid, per_target=False)),
        joined(rule.layers(valid, per_target=True)) if per_target else None,
        {} if per_target else {name: of_group(columns) for name, columns in (groups or {}).items()},
        block_run=resamplings[0].block_run,
    )


def widening(splits: Sequence[Split], weights: np.ndarray) -> float:
    """Return the ratio of the standard deviation of a score without effect to that over bootstrap samples.

    A bootstrap sample varies the test rows only, but the training rows are a sample too. Test rows alone give the mean
    over splits a variance of s^2 times the share of rows that the test parts of two splits have in common, on average
    over all pairs; training adds s^2 n_test / n_train (Nadeau and Bengio 2003, Machine Learning 52:239), less for a
    score above 0 (`analysis.bootstrap.training_factor`). weights: (n_rows,).
    """
    tests = np.zeros((len(splits), len(weights)))
    for row, split in zip(tests, splits, strict=True):
        row[split.test] = np.sqrt(weights[split.test])
    common = tests @ tests.T
    size = common.diagonal()
    trained = np.mean([weights[split.train].sum() for split in splits])
    return float(np.sqrt(1 + size.mean() / trained / (common / np.sqrt(np.outer(size, size))).mean()))


def fitted_widening(widening: float, score: float, fitted: float) -> float:
    """Return the `widening` of a score of single fits whose r in training is known, for `analysis.training_factor`.

    Training rows matter by the share of the predictions' variance that is noise of the fit, s. With n rows and p
    orthogonal features of which each weight has signal and noise in the ratio 1 : q, s = q / (1 + q); r is, in test,
    that of the best weights over the root of 1 + q and, in training, times it, so that s = 1 - r_test / r_train. The
    added variance is s / (1 - r_test^2) of that of a score without effect, in units of the test rows' own;
    `training_factor` takes it to be 1 - r_test^2, which is too much where few features predict well, but not
    perfectly. fitted: r in training.
    """
    noise = 1 - min(1.0, max(0.0, score) / fitted) if fitted > 0 else 1.0
    return float(np.sqrt(1 + (widening**2 - 1) * noise / FISHER.unexplained(min(score, LIMIT)) ** 2))


def identity(blocks: np.ndarray, splits: Sequence[Split]) -> str:
    """Return a digest of the blocks and of each split's test rows."""
    return digest([array_digest(np.asarray(blocks)), [array_digest(np.asarray(split.test)) for split in splits]])
