"""Sufficient statistics for a block bootstrap of scores, accumulated while the predictions are made.

A block (a film segment, a stimulus) is resampled whole, any number of times. Correlation and accuracy of the rows of a
bootstrap sample follow from the sums over each block and the number of its copies, so that a thousand samples are a
matrix product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from ..utils import array_digest, digest
from .decoders.base import Split
from .layer_choice import layer_scores

BATCH = 256  # targets per batch of replicates: they fit into the processor's cache
CONSTANT = 1e-6  # a variance below this share of the mean square is rounding


class Statistics(Protocol):
    """Statistics of one layer, sufficient for its scores in bootstrap samples."""

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the split-mean scores of bootstrap samples: counts (n_samples, n_blocks) -> (n_samples, n_targets)."""


@dataclass(frozen=True)
class SplitStatistics:
    """Sums over the test rows of one split.

    blocks: (m,) those with test rows; weight: (m,) of their rows; sums: (n_sums, m, n_targets).
    """

    blocks: np.ndarray
    weight: torch.Tensor
    sums: torch.Tensor

    def take(self, columns: np.ndarray) -> "SplitStatistics":
        """Return the statistics of some targets."""
        index = torch.as_tensor(columns, device=self.sums.device)
        return SplitStatistics(self.blocks, self.weight, self.sums.index_select(2, index))


@dataclass(frozen=True)
class BootstrapStatistics:
    """Statistics of one layer for all splits, with the number of blocks to sample from."""

    splits: Sequence[SplitStatistics]
    n_blocks: int

    def take(self, columns: np.ndarray) -> "BootstrapStatistics":
        """Return the statistics of some targets."""
        return BootstrapStatistics([split.take(columns) for split in self.splits], self.n_blocks)

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the split-mean scores of bootstrap samples: (n_samples, n_targets) float32.

        counts: (n_samples, n_blocks), number of copies of each block. A split whose score is undefined in a sample is
        left out of the mean; NaN if all are.
        """
        sums = self.splits[0].sums
        counts = torch.as_tensor(np.asarray(counts, dtype=np.float32), device=sums.device)
        sampled = [(counts[:, torch.as_tensor(s.blocks, device=sums.device)], s) for s in self.splits]
        sizes = [copies @ split.weight for copies, split in sampled]
        found = np.empty((len(counts), sums.shape[2]), dtype=np.float32)
        for start in range(0, sums.shape[2], BATCH):
            columns = slice(start, start + BATCH)
            total = sums.new_zeros(len(counts), len(found[0, columns]))
            defined = torch.zeros_like(total)
            for (copies, split), size in zip(sampled, sizes, strict=True):
                score = _score(copies, size, split.sums[:, :, columns])
                known = torch.isfinite(score)
                defined += known
                total += torch.where(known, score, 0.0)
            found[:, columns] = (total / defined).cpu().numpy()
        return found


def _score(copies: torch.Tensor, size: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Return accuracy (one sum) or Pearson's r (five sums) of bootstrap samples: (n_samples, n_targets)."""
    means = [(copies @ one).div_(size[:, None]) for one in sums]
    if len(means) == 1:
        return means[0]
    x, y, xx, yy, xy = means
    covariance = xy.addcmul_(x, y, value=-1)
    of_x, of_y = (square - mean * mean for square, mean in ((xx, x), (yy, y)))
    constant = (of_x <= CONSTANT * xx) | (of_y <= CONSTANT * yy)
    return covariance.div_(of_x.mul_(of_y).sqrt_()).clamp_(-1, 1).masked_fill_(constant, torch.nan)


class BlockSums:
    """Sums of predictions and targets over each block; the sums of the targets are computed once for all layers.

    metric: "pearson" or "accuracy"; blocks: (n_rows,) int, the block of each row; weights: (n_rows,) or None.
    """

    def __init__(self, metric: str, blocks: np.ndarray, weights: np.ndarray | None):
        self.metric, self.blocks, self.n_blocks = metric, np.asarray(blocks), int(np.max(blocks)) + 1
        self.weights = np.ones(len(blocks)) if weights is None else weights
        self._of_truth: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}

    def batch(self, rows: np.ndarray, columns: slice, predicted, truth) -> torch.Tensor:
        """Return the sums of some targets over the test rows of a split: (n_sums, m, n_columns) float32."""
        if self.metric == "accuracy":
            right = torch.as_tensor(np.asarray(predicted) == np.asarray(truth)).float()
            return (self._members(rows, right.device) @ right)[None]
        x, y = (torch.as_tensor(values) for values in (predicted, truth))
        y = y.to(x.device)
        members = self._members(rows, x.device)
        share = members.sum(0) / members.sum()
        x = x.float() - share @ x.float()
        mean, (of_y, of_yy) = self._truth((array_digest(rows), columns.start, columns.stop), y, members, share)
        of_x = members @ x
        of_xy = members @ (x * y.float()) - mean * of_x
        return torch.stack([of_x, of_y, members @ x.square_(), of_yy, of_xy])

    def _truth(self, key: tuple, y: torch.Tensor, members: torch.Tensor, share: torch.Tensor):
        """Return the targets' mean (n_columns,) and the sums of their deviations and squares (2, m, n_columns)."""
        if key not in self._of_truth:
            mean = share @ y.float()
            left = y.float() - mean
            self._of_truth[key] = mean, torch.stack([members @ left, members @ left.square()])
        return self._of_truth[key]

    def _members(self, rows: np.ndarray, device) -> torch.Tensor:
        """Return the weight of each test row in its block, 0 in others: (m, n_test) float32."""
        present, place = np.unique(self.blocks[rows], return_inverse=True)
        members = np.zeros((len(present), len(rows)), dtype=np.float32)
        members[place.reshape(-1), np.arange(len(rows))] = self.weights[rows]
        return torch.from_numpy(members).to(device)

    def statistics(self, splits: Sequence[Split], batches: Sequence[Sequence[torch.Tensor]]) -> BootstrapStatistics:
        """Return the statistics of a layer from the batches of targets of each split, in their order."""
        found = []
        for split, of_split in zip(splits, batches, strict=True):
            weight = self._members(split.test, of_split[0].device).sum(1)
            found.append(SplitStatistics(np.unique(self.blocks[split.test]), weight, torch.cat(list(of_split), dim=2)))
        return BootstrapStatistics(found, self.n_blocks)


@dataclass(frozen=True)
class JoinedStatistics:
    """Statistics of several problems, each with its blocks and targets; columns: some of all their targets, or None."""

    members: Sequence[BootstrapStatistics]
    columns: np.ndarray | None = None

    def take(self, columns: np.ndarray) -> "JoinedStatistics":
        """Return the statistics of some targets."""
        return JoinedStatistics(self.members, columns)

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores as `BootstrapStatistics.replicates` does; counts: (n_samples, blocks of all problems)."""
        edges = np.cumsum([0] + [member.n_blocks for member in self.members])
        found = np.hstack(
            [m.replicates(counts[:, a:b]) for m, (a, b) in zip(self.members, pairwise(edges), strict=True)]
        )
        return found if self.columns is None else found[:, self.columns]


@dataclass(frozen=True)
class Resampling:
    """Input of a block bootstrap of a score.

    block_name: name of the blocks in the plural ("segments", "stimuli"); strata: (n_blocks,) int, blocks are sampled
    within theirs; statistics: {None: of all targets, region: of its targets}, each of the layer chosen for these;
    widening: factor on the spread of the replicates (see `widening`); layer: index of the layer chosen over all
    targets; identity: digest of blocks and splits, equal for two models scored on the same rows.
    """

    block_name: str
    strata: np.ndarray
    statistics: Mapping[str | None, Statistics]
    widening: float
    layer: int
    identity: str


class BestLayers:
    """Statistics of the best layer so far, over all targets and over each group of them.

    groups: {name: column indices}; the criterion is `layer_scores` of the validation scores, the first of equals.
    kept: {name, or None for all targets: (layer index, statistics)}.
    """

    def __init__(self, groups: Mapping[str, np.ndarray] | None = None):
        self.groups = {None: None, **(groups or {})}
        self.kept: dict[str | int | None, tuple[int, Statistics]] = {}
        self._best: dict[str | None, float] = {}

    def add(self, layer: int, valid: np.ndarray, statistics) -> None:
        """Keep the statistics of a layer where its validation scores (n_targets, n_splits) are the best so far."""
        for name, columns in self.groups.items():
            score = layer_scores((valid if columns is None else valid[columns])[None])[0]
            if name not in self._best or score > self._best[name]:
                self._best[name] = score
                self.kept[name] = (layer, statistics if columns is None else statistics.take(columns))

    def resampling(self, block_name: str, strata: np.ndarray, widening: float, identity: str) -> Resampling:
        """Return the input of a bootstrap."""
        statistics = {name: found for name, (_, found) in self.kept.items()}
        return Resampling(block_name, strata, statistics, widening, self.kept[None][0], identity)


class AllLayers(BestLayers):
    """Statistics of every layer, under its index."""

    def add(self, layer: int, valid: np.ndarray, statistics) -> None:
        """Keep the statistics of a layer."""
        self.kept[layer] = (layer, statistics)
        self.kept.setdefault(None, (layer, statistics))


def join(resamplings: Sequence[Resampling | None], groups, valid: np.ndarray) -> Resampling | None:
    """Join the resamplings of problems that kept all layers; valid: (n_layers, targets of all problems, n_splits)."""
    if any(one is None for one in resamplings):
        return None
    best = BestLayers(groups)
    for layer, scores in enumerate(valid):
        best.add(layer, scores, JoinedStatistics([one.statistics[layer] for one in resamplings]))
    strata = np.concatenate([np.full(len(one.strata), i) for i, one in enumerate(resamplings)])
    factor = float(np.mean([one.widening for one in resamplings]))
    return best.resampling(resamplings[0].block_name, strata, factor, digest([one.identity for one in resamplings]))


def widening(splits: Sequence[Split], weights: np.ndarray) -> float:
    """Return the ratio of the score's standard deviation to that over bootstrap samples, because of its training rows.

    A bootstrap sample varies the test rows only, but the training rows are a sample too. Test rows alone give the mean
    over splits a variance of s^2 times the share of rows that the test parts of two splits have in common, on average
    over all pairs; training adds s^2 n_test / n_train (Nadeau and Bengio 2003, Machine Learning 52:239).
    weights: (n_rows,).
    """
    tests = np.zeros((len(splits), len(weights)))
    for row, split in zip(tests, splits, strict=True):
        row[split.test] = np.sqrt(weights[split.test])
    common = tests @ tests.T
    size = common.diagonal()
    trained = np.mean([weights[split.train].sum() for split in splits])
    return float(np.sqrt(1 + size.mean() / trained / (common / np.sqrt(np.outer(size, size))).mean()))


def identity(blocks: np.ndarray, splits: Sequence[Split]) -> str:
    """Return a digest of the blocks and of each split's test rows."""
    return digest([array_digest(np.asarray(blocks)), [array_digest(np.asarray(split.test)) for split in splits]])
