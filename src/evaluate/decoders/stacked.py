"""Stacked ridge regression: a convex combination of the predictions of several groups of features (layers).

Each group has a ridge regression of its own. The weights of a target, 0 or above and summing to 1, minimise the squared
error of the combined predictions of the training rows, each by the fits without its block; no row that is predicted
takes part (Wolpert 1992, Neural Networks 5:241; Breiman 1996, Machine Learning 24:49).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from .banded import band_edges
from .base import LeftOut, Prediction, Session, Split
from .estimator import Regression
from .ridge import Ridge, RidgeSession
from .targets import MAX_BYTES

STEPS = 2000  # of the projected gradient at most
CONVERGED = 1e-9  # largest change of a weight in a step


class StackedRidge(Regression):
    """Convex combination of one ridge regression per group of features, with its own weights for each target.

    Parameters
    ----------
    bands : sequence of int, optional
        Number of features of each group, in the order of X's columns. By default all features are one group.
    alphas : sequence of float, optional
        Candidate penalties, above 0, the same for every group; default: those of `Ridge`.
    penalty : {"rows", "blocks", "block errors", "gcv"}, default "rows"
        Criterion of the penalty of each group, see `Ridge`.
    alpha_per_target : bool, default False
        Choose one alpha per group and target; otherwise one per group.
    scaled : bool, default False
        Multiply the alphas by trace(K) / n of each group's kernel, see `Ridge`.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    max_bytes : int, default 256 MiB
        Memory of temporaries over targets.

    Attributes
    ----------
    alpha_ : array of shape (n_bands, n_targets)
        Penalties chosen.
    stack_weights_ : array of shape (n_bands, n_targets)
        Weights of the groups, 0 or above, with sum 1.
    coef_ : array of shape (n_targets, n_features)
        Coefficients of the standardised features, computed when read.

    References
    ----------
    Breiman 1996, Machine Learning 24:49. Lin, Naselaris, Kay and Wehbe 2024, bioRxiv 2023.08.31.555694.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal, noise = rng.standard_normal((60, 5)), rng.standard_normal((60, 30))
    >>> Y = signal @ rng.standard_normal((5, 2))
    >>> StackedRidge(bands=(5, 30)).fit(np.hstack([signal, noise]), Y).stack_weights_.round(1)
    array([[1., 1.],
           [0., 0.]])
    """

    leaves_out = True

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        alphas: Sequence[float] | None = None,
        penalty: str = "rows",
        alpha_per_target: bool = False,
        scaled: bool = False,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.bands, self.alphas, self.penalty = bands, alphas, penalty
        self.alpha_per_target, self.scaled = alpha_per_target, scaled
        self.device, self.max_bytes = device, max_bytes

    def ridge(self) -> Ridge:
        """Return the regression of one group, not fitted yet."""
        return Ridge(self.alphas, self.penalty, self.alpha_per_target, self.scaled, self.device, self.max_bytes)

    @property
    def grid(self) -> np.ndarray:
        """The alphas (n_alphas,) float64; raises BadInput for one that is not above 0, or an unknown criterion."""
        return self.ridge().grid

    def session(
        self,
        Y: np.ndarray,
        weights: np.ndarray | None,
        splits: Sequence[Split],
        left_out: Sequence[LeftOut] | None = None,
        inside: bool = False,
    ) -> Session:
        """Return a session that shares the work on targets (n_rows, n_targets) between splits; see `Ridge.session`."""
        return StackedSession(self, self.ridge().session(Y, weights, splits, left_out, inside=True), weights, inside)

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        left_out: Sequence[LeftOut] | None = None,
    ) -> "StackedRidge":
        """Fit each group's regression, choose the weights and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows, n_targets) or (n_rows,)
            Targets.
        sample_weight : array of shape (n_rows,), optional
            Row weights; rows of weight 0 are left out.
        left_out : sequence of LeftOut, optional
            Blocks of rows that are left out together; by default each row is one.

        Raises
        ------
        BadInput
            If blocks share a row, or the groups do not sum to n_features.
        """
        data = self._rows(X, y, sample_weight, left_out)
        X, n = data.X, len(data.X)
        self._edges = band_edges(self.bands, X.shape[1])
        none = np.zeros(0, dtype=np.int64)
        split = Split(np.arange(n), none, none)
        session = self.session(data.Y, data.weights, [split], data.left_out)
        self.stack_weights_ = session.combine(session.load(X), split)[0].cpu().numpy()
        parts = [slice(*ends) for ends in pairwise(self._edges)]
        self._fits = [self.ridge().fit(X[:, part], data.Y, data.weights, data.left_out) for part in parts]
        alphas = [np.broadcast_to(fit.alpha_, data.Y.shape[1]) for fit in self._fits]
        self.alpha_ = np.stack(alphas)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n_rows, n_targets) of features (n_rows, n_features)."""
        X = self._checked(X)
        parts = zip(self._fits, pairwise(self._edges), self.stack_weights_, strict=True)
        found = sum(fit.predict(X[:, start:stop]) * weights for fit, (start, stop), weights in parts)
        return self._shaped(found)

    @property
    def intercept_(self) -> np.ndarray:
        """Predictions at the mean of the features: (n_targets,)."""
        return sum(fit.intercept_ * weights for fit, weights in zip(self._fits, self.stack_weights_, strict=True))

    @property
    def standardisation_(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation of the features in training: twice (n_features,) float64."""
        mean, inverse = zip(*(fit.standardisation_ for fit in self._fits), strict=True)
        return np.concatenate(mean), np.concatenate(inverse)

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the standardised features: (n_targets, n_features) float64."""
        parts = zip(self._fits, self.stack_weights_, strict=True)
        return np.concatenate([fit.coef_ * weights[:, None] for fit, weights in parts], axis=1)


class StackedSession:
    """Stacked ridge regression over splits (see `base.Session`)."""

    batch = 1

    def __init__(self, decoder: StackedRidge, ridge: RidgeSession, weights: np.ndarray | None, inside: bool):
        self.decoder, self.ridge, self.inside = decoder, ridge, inside
        self.weights = ridge.weights

    def load(self, X: np.ndarray) -> torch.Tensor:
        """Return the features on the device."""
        return self.ridge.load(X)

    def truth(self, rows: np.ndarray, columns: slice) -> torch.Tensor:
        """Return the shifted targets of some rows and columns."""
        return self.ridge.truth(rows, columns)

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and yield the predictions of its held-out rows, in batches of targets."""
        for k, split in enumerate(splits):
            shares, held, inside, alpha = self.combine(X, split)
            for columns in self.ridge.targets.batches():
                yield Prediction(
                    k,
                    columns,
                    held[:, columns],
                    alpha[:, columns],
                    inside[:, columns] if self.inside else None,
                    shares=shares[:, columns].cpu().numpy(),
                )

    def combine(self, X: torch.Tensor, split: Split) -> tuple:
        """Return weights (n_bands, n_targets), predictions of held and of training rows, and penalties of a split."""
        edges = band_edges(self.decoder.bands, X.shape[1])
        n_targets = self.ridge.targets.values.shape[1]
        held, inside, alpha = [], [], np.empty((len(edges) - 1, n_targets))
        for b, (start, stop) in enumerate(pairwise(edges)):
            parts = list(self.ridge.predict(X[:, start:stop].contiguous(), [split]))
            held.append(torch.cat([part.values for part in parts], dim=1))
            inside.append(torch.cat([part.inside for part in parts], dim=1))
            for part in parts:
                alpha[b, part.columns] = part.alpha
        share = self.weights[torch.as_tensor(split.train, device=self.weights.device)]
        found = held[0].new_empty(len(held), n_targets)
        for columns in self.ridge.targets.batches():
            truth = self.ridge.truth(split.train, columns)
            residuals = torch.stack([(truth - part[:, columns]).double() for part in inside])
            found[:, columns] = convex_weights(torch.einsum("lnt,n,mnt->tlm", residuals, share, residuals)).T.to(found)
        combined = [sum(weight * part for weight, part in zip(found, parts, strict=True)) for parts in (held, inside)]
        return found, *combined, alpha


def convex_weights(G: torch.Tensor) -> torch.Tensor:
    """Return the weights w (n, m), 0 or above with sum 1, that minimise w^T G w for positive G (n, m, m).

    Accelerated projected gradient with restarts (Beck and Teboulle 2009, SIAM J Imaging Sciences 2:183; O'Donoghue and
    Candès 2015, Foundations of Computational Mathematics 15:715).
    """
    n, m = G.shape[:2]
    G = G.double()
    largest = torch.linalg.eigvalsh(G)[:, -1].clamp(min=1e-300) if m > 1 else G.new_ones(n)
    G = G / largest[:, None, None]
    w = G.new_full((n, m), 1 / m)
    ahead, t = w.clone(), G.new_ones(n)
    for _ in range(STEPS if m > 1 else 0):
        new = on_simplex(ahead - torch.einsum("nij,nj->ni", G, ahead))
        moved = new - w
        # momentum that points uphill is dropped
        t = torch.where(((ahead - new) * moved).sum(1) > 0, torch.ones_like(t), t)
        later = (1 + torch.sqrt(1 + 4 * t * t)) / 2
        ahead, w, t = new + ((t - 1) / later)[:, None] * moved, new, later
        if moved.abs().max() < CONVERGED:
            break
    return w


def on_simplex(v: torch.Tensor) -> torch.Tensor:
    """Return the nearest points (n, m) to v that are 0 or above and sum to 1.

    Held, Wolfe and Crowder 1974, Mathematical Programming 6:62.
    """
    ordered = v.sort(dim=1, descending=True).values
    excess = (ordered.cumsum(1) - 1) / torch.arange(1, v.shape[1] + 1, dtype=v.dtype, device=v.device)
    last = (ordered > excess).sum(1, keepdim=True) - 1
    return (v - excess.gather(1, last)).clamp(min=0)
