"""What a score on resampled test rows takes, kept while the predictions pass by: sums over each unit of resampling.

A unit (a film segment, a stimulus) is drawn whole, any number of times. Correlation and accuracy of the rows that a
draw holds follow from each unit's sums and how often it was drawn, so that a thousand draws are a matrix product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ..utils import array_digest, digest

BLOCK = 256  # targets whose draws are worked on at a time: they stay in the processor's cache
CONSTANT = 1e-6  # a variance below this share of the mean square is rounding


@dataclass(frozen=True)
class Part:
    """The test rows of one split: units (m,) that have some, weight (m,) of their rows, sums (n_sums, m, n_targets)."""

    units: np.ndarray
    weight: torch.Tensor
    sums: torch.Tensor

    def take(self, columns: np.ndarray) -> "Part":
        """The same of some targets."""
        index = torch.as_tensor(columns, device=self.sums.device)
        return Part(self.units, self.weight, self.sums.index_select(2, index))


@dataclass(frozen=True)
class Moments:
    """One layer's sums: a part for each split. n_units: how many units there are to draw from."""

    parts: Sequence[Part]
    n_units: int

    def take(self, columns: np.ndarray) -> "Moments":
        """The same of some targets."""
        return Moments([part.take(columns) for part in self.parts], self.n_units)

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Split-mean scores of draws: counts (n_draws, n_units), how often each unit -> (n_draws, n_targets) float32.

        A split whose score a draw leaves undefined is left out of that draw's mean; NaN where all are.
        """
        sums = self.parts[0].sums
        counts = torch.as_tensor(np.asarray(counts, dtype=np.float32), device=sums.device)
        drawn = [(counts[:, torch.as_tensor(p.units, device=sums.device)], p) for p in self.parts]
        sizes = [draw @ part.weight for draw, part in drawn]
        found = np.empty((len(counts), sums.shape[2]), dtype=np.float32)
        for start in range(0, sums.shape[2], BLOCK):
            columns = slice(start, start + BLOCK)
            total = sums.new_zeros(len(counts), len(found[0, columns]))
            defined = torch.zeros_like(total)
            for (draw, part), size in zip(drawn, sizes, strict=True):
                score = _score(draw, size, part.sums[:, :, columns])
                known = torch.isfinite(score)
                defined += known
                total += torch.where(known, score, 0.0)
            found[:, columns] = (total / defined).cpu().numpy()
        return found


def _score(draw: torch.Tensor, size: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Accuracy (one sum) or Pearson's r (five sums) of draws: (n_draws, n_targets)."""
    means = [(draw @ one).div_(size[:, None]) for one in sums]
    if len(means) == 1:
        return means[0]
    x, y, xx, yy, xy = means
    covariance = xy.addcmul_(x, y, value=-1)
    of_x, of_y = (square - mean * mean for square, mean in ((xx, x), (yy, y)))
    constant = (of_x <= CONSTANT * xx) | (of_y <= CONSTANT * yy)
    return covariance.div_(of_x.mul_(of_y).sqrt_()).clamp_(-1, 1).masked_fill_(constant, torch.nan)


class Sums:
    """The sums of a layer's predictions, split by split; what depends on the targets alone is computed once.

    metric: "pearson" or "accuracy"; units: (n_rows,) int, the unit of each row; weights: (n_rows,) or None.
    """

    def __init__(self, metric: str, units: np.ndarray, weights: np.ndarray | None):
        self.metric, self.units, self.n_units = metric, np.asarray(units), int(np.max(units)) + 1
        self.weights = np.ones(len(units)) if weights is None else weights
        self._of_truth: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}

    def batch(self, rows: np.ndarray, columns: slice, predicted, truth) -> torch.Tensor:
        """The sums of some targets over the test rows of a split: (n_sums, m, n_columns) float32."""
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
        """(mean (n_columns,), sums of what is left of the targets and of its squares (2, m, n_columns))."""
        if key not in self._of_truth:
            mean = share @ y.float()
            left = y.float() - mean
            self._of_truth[key] = mean, torch.stack([members @ left, members @ left.square()])
        return self._of_truth[key]

    def _members(self, rows: np.ndarray, device) -> torch.Tensor:
        """(m, n_test) float32: the weight of each test row in the unit that it belongs to, 0 elsewhere."""
        present, place = np.unique(self.units[rows], return_inverse=True)
        members = np.zeros((len(present), len(rows)), dtype=np.float32)
        members[place.reshape(-1), np.arange(len(rows))] = self.weights[rows]
        return torch.from_numpy(members).to(device)

    def moments(self, splits: Sequence, batches: Sequence[Sequence[torch.Tensor]]) -> Moments:
        """The moments of a layer from its batches of targets, in their order, of each split."""
        parts = []
        for split, of_split in zip(splits, batches, strict=True):
            weight = self._members(split.test, of_split[0].device).sum(1)
            parts.append(Part(np.unique(self.units[split.test]), weight, torch.cat(list(of_split), dim=2)))
        return Moments(parts, self.n_units)


@dataclass(frozen=True)
class SideBySide:
    """Moments of several problems with units and targets of their own; columns: some of all their targets, or None."""

    members: Sequence[Moments]
    columns: np.ndarray | None = None

    def take(self, columns: np.ndarray) -> "SideBySide":
        """The same of some targets."""
        return SideBySide(self.members, columns)

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """As `Moments.replicates`; counts: (n_draws, units of all problems)."""
        edges = np.cumsum([0] + [member.n_units for member in self.members])
        found = np.hstack(
            [m.replicates(counts[:, a:b]) for m, (a, b) in zip(self.members, pairwise(edges), strict=True)]
        )
        return found if self.columns is None else found[:, self.columns]


@dataclass(frozen=True)
class Resampling:
    """What a bootstrap of a score asks for.

    unit: what is drawn ("segments", "stimuli"); strata: (n_units,) int, units are drawn within theirs; parts: for each
    {None: all targets, or region: its targets} something with `replicates(counts)`; widening: what the spread of draws
    is multiplied by (see `widening`); layer: the number of the layer chosen over all targets; identity: of the units
    and splits, the same for two models that were scored on the same.
    """

    unit: str
    strata: np.ndarray
    parts: Mapping[object, object]
    widening: float
    layer: int
    identity: str


class Keeper:
    """Keeps the moments of the layer that is best so far, over all targets and over each group of them.

    groups: {name: column indices}; what counts is the validation score (see `layer_score`), the first of equals.
    kept: {None or name: (layer number, moments)}; None stands for all targets.
    """

    def __init__(self, groups: Mapping[str, np.ndarray] | None = None):
        self.groups = {None: None, **(groups or {})}
        self.kept: dict[str | None, tuple[int, Moments | SideBySide]] = {}
        self._best: dict[str | None, float] = {}

    def offer(self, layer: int, valid: np.ndarray, moments: Moments | SideBySide) -> None:
        """Take note of a layer with validation scores (n_targets, n_splits)."""
        for name, columns in self.groups.items():
            score = layer_score(valid if columns is None else valid[columns])
            if name not in self._best or score > self._best[name]:
                self._best[name] = score
                self.kept[name] = (layer, moments if columns is None else moments.take(columns))

    def resampling(self, unit: str, strata: np.ndarray, widening: float, identity: str) -> Resampling:
        """What was kept, with what a bootstrap must know besides."""
        parts = {name: moments for name, (_, moments) in self.kept.items()}
        return Resampling(unit, strata, parts, widening, self.kept[None][0], identity)


class KeepAll(Keeper):
    """Keeps every layer's moments, under its number."""

    def offer(self, layer: int, valid: np.ndarray, moments: Moments) -> None:
        self.kept[layer] = (layer, moments)
        self.kept.setdefault(None, (layer, moments))


def side_by_side(results: Sequence, groups: Mapping[str, np.ndarray] | None, valid: np.ndarray) -> Resampling | None:
    """The resamplings of problems that kept all layers as one; valid: (n_layers, targets of all problems, n_splits)."""
    found = [result.resampling for result in results]
    if any(one is None for one in found):
        return None
    keeper = Keeper(groups)
    for layer, scores in enumerate(valid):
        keeper.offer(layer, scores, SideBySide([one.parts[layer] for one in found]))
    strata = np.concatenate([np.full(len(one.strata), i) for i, one in enumerate(found)])
    wide = float(np.mean([one.widening for one in found]))
    return keeper.resampling(found[0].unit, strata, wide, digest([one.identity for one in found]))


def layer_score(valid: np.ndarray) -> float:
    """What layers are chosen by: the median over targets of (n_targets, n_splits), then the mean; NaN as -inf."""
    medians = np.ma.median(np.ma.masked_invalid(valid), axis=0).filled(np.nan)
    return float(np.nan_to_num(medians.mean(), nan=-np.inf))


def widening(splits: Sequence, weights: np.ndarray) -> float:
    """How much wider than the draws of test rows the score itself spreads, because its training rows are chance too.

    Test rows alone let the mean over splits vary by s^2 times the share of rows that two splits' tests have in common,
    on average over all pairs; training adds s^2 n_test / n_train (Nadeau and Bengio 2003, Machine Learning 52:239).
    weights: (n_rows,).
    """
    tests = np.zeros((len(splits), len(weights)))
    for row, split in zip(tests, splits, strict=True):
        row[split.test] = np.sqrt(weights[split.test])
    common = tests @ tests.T
    size = common.diagonal()
    trained = np.mean([weights[split.train].sum() for split in splits])
    return float(np.sqrt(1 + size.mean() / trained / (common / np.sqrt(np.outer(size, size))).mean()))


def identity(units: np.ndarray, splits: Sequence) -> str:
    """A digest of which units there are and what each split tests."""
    return digest([array_digest(np.asarray(units)), [array_digest(np.asarray(split.test)) for split in splits]])
