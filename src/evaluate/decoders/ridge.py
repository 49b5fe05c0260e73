"""Ridge regression of many targets: the choice of alpha and the predictions, from a spectrum and targets.

The leave-one-out residual of a linear smoother is its residual over 1 - leverage (Allen 1974, Technometrics 16); the
generalised error takes the mean leverage instead (Golub, Heath and Wahba 1979, Technometrics 21).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ...utils import BadInput
from .base import Prediction, Split
from .eigendecomposition import Spectrum, decompose
from .targets import Targets, centred

MODES = (None, "gcv", "loo")
RESOLUTION = 1e-6  # errors closer than this share of the targets' sum of squares are compared again in float64
NOISE_FREE = 1e-5  # a residual below this share of a target's sum of squares is computed in float64
BEYOND_DOUBT = 1e-3  # how far above the least error a lower bound must lie
EXTRAPOLATION = 30.0  # predictions that sum their targets with weights of a larger norm are computed in float64


def checked(alphas, alpha_per_target: str | None) -> np.ndarray:
    """`alphas` as a float64 array; BadInput unless all are above 0 and `alpha_per_target` is None, "gcv" or "loo"."""
    alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if alphas.ndim != 1 or not len(alphas) or not np.isfinite(alphas).all() or not (alphas > 0).all():
        raise BadInput(f"alphas are {alphas}; expected one or more finite numbers above 0")
    if alpha_per_target not in MODES:
        raise BadInput(f"alpha_per_target is {alpha_per_target!r}; expected None, 'gcv' or 'loo'")
    return alphas


def squared_errors(spectrum: Spectrum, L: torch.Tensor, alphas: torch.Tensor, dtype=torch.float64) -> torch.Tensor:
    """Leave-one-out squared errors, times the row's weight, summed over rows and columns of L: (n_alphas,) float64.

    L: targets of the training rows, or their surrogates, centred and times the root weights; dtype: of the products.
    An alpha that cannot be the best has infinity instead: its squared residual over the largest 1 - leverage, which
    takes no product, is more than another's error.
    """
    U, L = spectrum.U.to(dtype), L.to(dtype)
    A = U.T @ L
    A, outside, rest = (A, None, L.new_zeros(1)) if spectrum.outside is None else _reduced(A, L - U @ A)
    kept, free = spectrum.kept(alphas), spectrum.free(alphas)
    total = kept**2 @ A.double().square().sum(1) + rest.sum() + (0 if outside is None else outside.square().sum())
    least = total / free.amax(1) ** 2
    errors = torch.full_like(alphas, torch.inf)
    for i in (total / free.sum(1) ** 2).argsort().tolist():
        if least[i] > errors.min() * (1 + BEYOND_DOUBT):
            continue
        residual = (U * kept[i].to(dtype)) @ A
        if outside is not None:
            residual += outside
        squares = torch.linalg.vector_norm(residual, dim=1).double() ** 2 + rest
        errors[i] = (squares / free[i] ** 2).sum()
    return errors


def _reduced(A: torch.Tensor, outside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(A, outside, rest) with no more columns than A has rows.

    The directions explain as many combinations of the targets; what the other combinations add to each row's squared
    residual, `rest`, is the same for all alphas.
    """
    if A.shape[1] <= A.shape[0]:
        return A, outside, outside.new_zeros(1)
    basis, R = torch.linalg.qr(A.T)
    within = outside @ basis
    return R.T, within, (outside.double().square().sum(1) - within.double().square().sum(1)).clamp(min=0)


def shared_alpha(spectrum: Spectrum, targets: Targets, train: torch.Tensor, alphas: torch.Tensor) -> float:
    """The alpha of the least summed leave-one-out error, the first of equals; as scikit-learn's RidgeCV."""
    near = torch.arange(len(alphas), device=alphas.device)
    if not targets.few and len(near) > 1:
        L, _ = centred(targets.surrogates(exact=False)[train], spectrum.root)
        errors = squared_errors(spectrum, L, alphas, torch.float32)
        near = near[errors <= errors.min() + RESOLUTION * torch.maximum((L**2).sum(), errors.min())]
    if len(near) > 1:
        L, _ = centred(targets.surrogates(exact=True)[train], spectrum.root)
        near = near[squared_errors(spectrum, L, alphas[near]).argmin()][None]
    return float(alphas[near[0]])


def components(
    spectrum: Spectrum, y: torch.Tensor, alphas: torch.Tensor, mode: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(U^T y (k, n_targets), index into alphas of each target's least error (n_targets,), that error).

    y: (n_train, n_targets) centred and times the root weights. Mode "gcv" costs O(n) per target and alpha, "loo"
    O(n^2) and is float64; "gcv" turns to float64 where a target is explained to within float32's reach.
    """
    y = y.double() if mode == "loo" else y
    A = spectrum.U.T.to(y.dtype) @ y
    if mode == "loo":
        least, choice = _leave_one_out(spectrum, A, y, alphas).min(0)
        return A, choice, least
    total = (y * y).sum(0)
    squares = (spectrum.kept(alphas) ** 2).to(y.dtype) @ (A * A)
    if spectrum.outside is not None:
        squares += (total - (A * A).sum(0)).clamp(min=0)
    least, choice = (squares.double() * len(y) / spectrum.free(alphas).sum(1)[:, None] ** 2).min(0)
    noise_free = squares.gather(0, choice[None])[0] < NOISE_FREE * total
    if y.dtype == torch.float32 and noise_free.any():
        return components(spectrum, y.double(), alphas, mode)
    return A, choice, least


def _leave_one_out(spectrum: Spectrum, A: torch.Tensor, y: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
    outside = 0.0 if spectrum.outside is None else y - spectrum.U @ A
    errors = []
    for kept, free in zip(spectrum.kept(alphas), spectrum.free(alphas), strict=True):
        errors.append((((spectrum.U * kept) @ A + outside) / free[:, None]).square_().sum(0))
    return torch.stack(errors)


def weighted_sum(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """weights (n, m) float64 @ values (m, n_targets), in the values' precision unless the weights ask for more."""
    if values.dtype == torch.float32 and len(weights) and weights.norm(dim=1).max() > EXTRAPOLATION:
        return (weights @ values.double()).float()
    return weights.to(values.dtype) @ values


def reconstruct(spectrum: Spectrum, P: torch.Tensor, A: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Predictions, without the mean, of rows P (n, k) from components A (k, n_targets); alpha: one, or one each."""
    if alpha.ndim == 0:
        return weighted_sum(P / (spectrum.values + alpha), A)
    predicted = torch.empty(len(P), A.shape[1], dtype=A.dtype, device=A.device)
    for value in alpha.unique():
        chosen = (alpha == value).nonzero()[:, 0]
        predicted[:, chosen] = weighted_sum(P / (spectrum.values + value), A[:, chosen])
    return predicted


def _smoother(spectrum: Spectrum, alpha: float) -> torch.Tensor:
    """Weights (n_held, n_train) of the training targets in predictions that lack their mean: rows that sum to 0."""
    smoother = (spectrum.P / (spectrum.values + alpha)) @ (spectrum.U.T * spectrum.root)
    return smoother - smoother.sum(1, keepdim=True) * (spectrum.root**2 / (spectrum.root @ spectrum.root))


class RidgeSession:
    """Ridge regression over layers and splits (see `session.Session`)."""

    batch = 1

    def __init__(self, targets: Targets, weights: np.ndarray | None, alphas: np.ndarray, mode: str | None):
        self.targets, self.mode = targets, mode
        self.device = targets.values.device
        n_rows = len(targets.values)
        self.weights = torch.as_tensor(np.ones(n_rows) if weights is None else weights, dtype=torch.float64).to(
            self.device
        )
        self.alphas = torch.as_tensor(alphas).to(self.device)

    def load(self, X: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(X).to(self.device)

    def truth(self, rows: np.ndarray, columns: slice) -> torch.Tensor:
        return self.targets.values[:, columns].index_select(0, self._index(rows))

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        for k, split in enumerate(splits):
            train = self._index(split.train)
            spectrum = decompose(X, train, self._index(split.held), self.weights[train])
            parts = self._shared(spectrum, train) if self.mode is None else self._per_target(spectrum, train)
            for columns, values, alpha in parts:
                yield Prediction(k, columns, values, alpha)

    def smoothers(self, X: torch.Tensor, split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(columns, weights (n_held, n_train) float64) for each penalty chosen.

        The columns' predictions of the held-out rows are the weights times their training rows, plus a constant.
        """
        train = self._index(split.train)
        spectrum = decompose(X, train, self._index(split.held), self.weights[train])
        n_targets = self.targets.values.shape[1]
        if self.mode is None:
            alpha = shared_alpha(spectrum, self.targets, train, self.alphas)
            yield torch.arange(n_targets, device=self.device), _smoother(spectrum, alpha)
            return
        chosen = torch.empty(n_targets, dtype=torch.long, device=self.device)
        for columns in self.targets.batches():
            y, _ = centred(self.targets.values[:, columns].index_select(0, train), spectrum.root)
            chosen[columns] = components(spectrum, y, self.alphas, self.mode)[1]
        for i in chosen.unique().tolist():
            yield (chosen == i).nonzero()[:, 0], _smoother(spectrum, float(self.alphas[i]))

    def _shared(self, spectrum: Spectrum, train: torch.Tensor):
        alpha = shared_alpha(spectrum, self.targets, train, self.alphas)
        smoother = _smoother(spectrum, alpha)
        # weights of all rows, 0 for those not trained on: no copy of the training targets is made
        weights = smoother.new_zeros(len(smoother) + 1, len(self.targets.values))
        weights[:-1, train] = smoother
        weights[-1, train] = spectrum.root**2 / (spectrum.root @ spectrum.root)
        constant = self.targets.constant(train)
        for columns in self.targets.batches():
            sums = weighted_sum(weights, self.targets.values[:, columns])
            yield columns, self._finished(sums[:-1], sums[-1], constant[columns]), alpha

    def _per_target(self, spectrum: Spectrum, train: torch.Tensor):
        constant = self.targets.constant(train)
        for columns in self.targets.batches():
            y, mean = centred(self.targets.values[:, columns].index_select(0, train), spectrum.root)
            A, choice, _ = components(spectrum, y, self.alphas, self.mode)
            predicted = reconstruct(spectrum, spectrum.P, A, self.alphas[choice])
            values = self._finished(predicted, mean, constant[columns])
            yield columns, values, self.alphas[choice].cpu().numpy()

    @staticmethod
    def _finished(predicted: torch.Tensor, mean: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        """Predictions with the training mean added; exactly the mean for a target that is constant in training."""
        return predicted.add_(mean) if not constant.any() else torch.where(constant, mean, predicted + mean)

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.asarray(rows, dtype=np.int64)).to(self.device)
