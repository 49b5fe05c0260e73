"""Ridge regression of many targets, over layers and splits."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..protocol import ALPHAS, SCALED_ALPHAS
from . import left_out as without
from .base import LeftOut, Prediction, Session, Split
from .eigendecomposition import Eigendecomposition, basis, coordinates, decompose, kernels_of_parts
from .estimator import Regression
from .ridge_solver import (
    best_alpha_per_target,
    best_shared_alpha,
    check_alphas,
    compact,
    fitted_r,
    kernel_scale,
    reconstruct,
    smoother,
    weighted_sum,
)
from .targets import MAX_BYTES, Targets, centred
from .tensors import matmul, row_weights, to_tensor


class Ridge(Regression):
    """Ridge regression, equal to scikit-learn's StandardScaler and RidgeCV(alphas) in alpha, coefficients, predictions.

    Row weights enter the standardisation, the fit and the leave-one-out error as scikit-learn's `sample_weight` does in
    both steps: the squared error of a row counts times its weight, and the row is left out whole. Repeated rows give
    the same coefficients at a given alpha, but their leave-one-out error leaves out one copy at a time and may choose
    another alpha.

    Parameters
    ----------
    alphas : sequence of float, optional
        Candidate penalties, above 0; by default the powers of ten from 1e-4 to 1e4, scaled ones from 1e-7 on.
    penalty : {"rows", "blocks", "block errors", "gcv"}, default "rows"
        Criterion of the penalty. "rows": least squared leave-one-out error (RidgeCV's). "blocks": each block of rows is
        predicted by a fit without the block and its gap, for rows that depend on their neighbours; of the penalties
        whose correlation of predictions and targets is within one standard error of the highest, that with the least
        squared error; with one penalty for all targets, squared correlations with their sign are averaged over at most
        1,000 of them. "block errors": least squared error of these predictions. "gcv": least generalised error.
    alpha_per_target : bool, default False
        Choose one alpha per target; otherwise one for all targets, by the criterion over all of them.
    scaled : bool, default False
        Multiply the alphas by trace(K) / n of the kernel of the standardised training rows, which is the number of
        features that vary; the grid then fits any number of features.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    max_bytes : int, default 256 MiB
        Memory of temporaries over targets. About six float64 matrices of min(n_rows, n_features) squared are needed
        besides and, if rows outnumber features, two of (n_rows, n_features).

    Attributes
    ----------
    alpha_ : float, or array of shape (n_targets,)
        Penalties chosen, values of the grid.
    intercept_ : array of shape (n_targets,)
        Predictions at the mean of the features.
    coef_ : array of shape (n_targets, n_features)
        Coefficients of the standardised features, computed when read.

    References
    ----------
    Hoerl and Kennard 1970, Technometrics 12:55. Leave-one-out error: Allen 1974, Technometrics 16:125. Generalised
    cross-validation: Golub, Heath and Wahba 1979, Technometrics 21:215. One standard error: Breiman et al. 1984,
    Classification and Regression Trees, section 3.4.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((30, 50))
    >>> Y = X @ rng.standard_normal((50, 2))
    >>> decoder = Ridge().fit(X, Y)
    >>> decoder.predict(X[:5]).shape, decoder.coef_.shape
    ((5, 2), (2, 50))
    >>> Ridge(alphas=[10.0]).fit(X, Y).alpha_
    10.0
    """

    leaves_out = True

    def __init__(
        self,
        alphas: Sequence[float] | None = None,
        penalty: str = "rows",
        alpha_per_target: bool = False,
        scaled: bool = False,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.alphas, self.penalty, self.alpha_per_target, self.scaled = alphas, penalty, alpha_per_target, scaled
        self.device, self.max_bytes = device, max_bytes

    @property
    def grid(self) -> np.ndarray:
        """The alphas (n_alphas,) float64; raises BadInput for one that is not above 0, or an unknown criterion."""
        by_default = SCALED_ALPHAS if self.scaled else ALPHAS
        return check_alphas(by_default if self.alphas is None else self.alphas, self.penalty)

    def session(
        self,
        Y: np.ndarray,
        weights: np.ndarray | None,
        splits: Sequence[Split],
        left_out: Sequence[LeftOut] | None = None,
        inside: bool = False,
        other: np.ndarray | None = None,
        n_parts: int = 0,
    ) -> Session:
        """Return a session that shares the work on targets (n_rows, n_targets) between layers and splits.

        left_out: blocks of rows, restricted to the training rows of a split; without them each row is a block. inside:
        predict also the training rows, each by the fit without its block. other: further targets (n_rows, n), whose
        weights are kept of each fit, with one penalty chosen for all of them. n_parts: number of equal groups of
        features whose summands of the predictions are returned with them; 0: none are.
        """
        used = np.unique(np.concatenate([split.train for split in splits]))
        targets = Targets(Y, self.device, self.max_bytes, used)
        others = None if other is None else Targets(other, self.device, self.max_bytes, used)
        return RidgeSession(self, targets, weights, without.Partition(left_out, len(Y)), inside, others, n_parts)

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        left_out: Sequence[LeftOut] | None = None,
    ) -> "Ridge":
        """Choose the penalties, fit the regression and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows, n_targets) or (n_rows,)
            Targets.
        sample_weight : array of shape (n_rows,), optional
            Row weights; rows of weight 0 are left out.
        left_out : sequence of LeftOut, optional
            Blocks of the penalty "blocks"; by default each row is one.

        Raises
        ------
        BadInput
            For alphas that are not above 0, an unknown criterion, and blocks that share a row, or that have a row
            outside X.
        """
        self.grid  # noqa: B018  # an unusable parameter is told before the data are read
        data = self._rows(X, y, sample_weight, left_out)
        X, weights = data.X, data.weights
        features, targets = to_tensor(X, self.device), Targets(data.Y, self.device, self.max_bytes)
        rows = torch.arange(len(X), device=self.device)
        self._eigen = decompose(features, rows, rows[:0], row_weights(weights, len(X), self.device))
        self._basis = basis(features, rows, self._eigen)
        blocks = without.Partition(data.left_out, len(X)).of(np.arange(len(X)), self.device)
        penalties = self.penalties(self._eigen)
        choice = self._choose(targets, rows, penalties, blocks)
        self._penalty = penalties[torch.as_tensor(choice, device=penalties.device)]
        self.alpha_ = self.grid[choice] if self.alpha_per_target else float(self.grid[choice])
        self.intercept_ = targets.offset + self._mean.double().cpu().numpy()
        self._offset = targets.offset
        return self

    def penalties(self, eigen: Eigendecomposition) -> torch.Tensor:
        """Return the penalties of the alphas, scaled or not: (n_alphas,) float64."""
        alphas = torch.as_tensor(self.grid).to(self.device)
        return alphas * kernel_scale(eigen) if self.scaled else alphas

    def _choose(self, targets: Targets, rows: torch.Tensor, penalties: torch.Tensor, blocks) -> int | np.ndarray:
        """Fill the targets' means and components U^T y; return the index of the alpha, or one per target."""
        values, eigen = targets.values, self._eigen
        self._components = values.new_empty(len(eigen.values), values.shape[1])
        self._mean, chosen = torch.empty_like(values[0]), np.empty(values.shape[1], dtype=int)
        for columns in targets.batches():
            y, self._mean[columns] = centred(values[:, columns], eigen.root)
            if self.alpha_per_target:
                A, choice, _ = best_alpha_per_target(eigen, y, penalties, self.penalty, blocks)
                self._components[:, columns], chosen[columns] = A, choice.cpu().numpy()
            else:
                self._components[:, columns] = matmul(eigen.U.T.to(y.dtype), y)
        if self.alpha_per_target:
            return chosen
        return best_shared_alpha(eigen, targets, rows, penalties, self.penalty, blocks)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions of features (n_rows, n_features).

        Returns
        -------
        array of shape (n_rows, n_targets)
            float32 if the training set had more targets than rows, else float64.
        """
        P = coordinates(to_tensor(self._checked(X), self.device), self._basis, self._eigen)
        predicted = reconstruct(self._eigen, P, self._components, self._penalty) + self._mean
        predicted = predicted.cpu().numpy()
        np.add(predicted, self._offset, out=predicted, casting="same_kind")
        return self._shaped(predicted)

    @property
    def best_alphas_(self) -> np.ndarray:
        """Penalties chosen, of each target, under himalaya's name: (n_targets,)."""
        return np.broadcast_to(self.alpha_, len(self.intercept_)).copy()

    @property
    def standardisation_(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation of the features in training: twice (n_features,) float64."""
        return self._eigen.mean.cpu().numpy(), self._eigen.inverse.cpu().numpy()

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the standardised features: (n_targets, n_features) float64."""
        penalty = self._penalty if self._penalty.ndim else self._penalty[None]
        scaled = self._components.double() / (self._eigen.values[:, None] + penalty)
        return (self._basis @ scaled).T.cpu().numpy()


class RidgeSession:
    """Ridge regression over layers and splits (see `base.Session`)."""

    batch = 1

    def __init__(
        self,
        ridge: Ridge,
        targets: Targets,
        weights: np.ndarray | None,
        partition: without.Partition,
        inside: bool,
        other: Targets | None = None,
        n_parts: int = 0,
    ):
        self.ridge, self.targets, self.partition, self.inside, self.other = ridge, targets, partition, inside, other
        self.n_parts = n_parts
        self.device = targets.values.device
        self.weights = row_weights(weights, len(targets.values), self.device)

    def load(self, X: np.ndarray) -> torch.Tensor:
        """Return the features on the device."""
        return torch.from_numpy(X).to(self.device)

    def truth(self, rows: np.ndarray, columns: slice) -> torch.Tensor:
        """Return the shifted targets of some rows and columns."""
        return self.targets.values[:, columns].index_select(0, self._index(rows))

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and yield the predictions of its held-out rows, in batches of targets."""
        for k, split in enumerate(splits):
            fitted = self._decompose(X, split)
            parts = self._per_target(*fitted) if self.ridge.alpha_per_target else self._shared(*fitted)
            other = None if self.other is None else self._other(*fitted)
            kernels = kernels_of_parts(X, fitted[1], self._index(split.held), fitted[0], self.n_parts)
            for columns, held, alpha, inside, trained, fit in parts:
                summands = self._summands(kernels, fitted, columns, alpha) if self.n_parts else None
                yield Prediction(k, columns, held, alpha, inside, trained, other, parts=summands, fitted=fit)
                other = None

    def _summands(self, kernels: Sequence[torch.Tensor], fitted: tuple, columns: slice, alpha) -> torch.Tensor:
        """Return the summands of predictions by groups of features: (n_parts, n_held, n_columns)."""
        eigen, train, _, penalties = fitted
        y, _ = centred(self.targets.values[:, columns].index_select(0, train), eigen.root)
        index = np.abs(self.ridge.grid[:, None] - np.atleast_1d(alpha)).argmin(axis=0)
        penalty = penalties[torch.as_tensor(index, device=penalties.device)]
        # dual weights: those of the rows in the space of the kernel
        dual = eigen.U @ ((eigen.U.T @ y.double()) / (eigen.values[:, None] + penalty))
        return torch.stack([kernel @ dual for kernel in kernels]).to(y.dtype)

    def smoothers(self, X: torch.Tensor, split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield (columns, held (n_held, n_train), inside (n_train, n_train)) float64 for each penalty chosen.

        The predictions of the held-out rows, and those of the training rows without their block, are these weights
        times the training rows of these columns, plus a constant; inside is None in a session without.
        """
        eigen, train, blocks, penalties = self._decompose(X, split)
        n_targets = self.targets.values.shape[1]
        if self.ridge.alpha_per_target:
            chosen = torch.empty(n_targets, dtype=torch.long, device=self.device)
            for columns in self.targets.batches():
                y, _ = centred(self.targets.values[:, columns].index_select(0, train), eigen.root)
                chosen[columns] = best_alpha_per_target(eigen, y, penalties, self.ridge.penalty, blocks)[1]
        else:
            best = best_shared_alpha(eigen, self.targets, train, penalties, self.ridge.penalty, blocks)
            chosen = torch.full((n_targets,), best, dtype=torch.long, device=self.device)
        for index in chosen.unique():
            inside = without.smoother(eigen, penalties[index], blocks) if self.inside else None
            yield (chosen == index).nonzero()[:, 0], smoother(eigen, penalties[index]), inside

    def _other(self, eigen: Eigendecomposition, train: torch.Tensor, blocks, penalties: torch.Tensor) -> torch.Tensor:
        """Return the weights (n_held, n_train) of the fit to the other targets, float32 unless they are large."""
        best = best_shared_alpha(eigen, self.other, train, penalties, self.ridge.penalty, blocks)
        return compact(smoother(eigen, penalties[best]))

    def _decompose(self, X: torch.Tensor, split: Split) -> tuple:
        """Return the eigendecomposition of a split, its training rows, their blocks, and the candidate penalties."""
        train = self._index(split.train)
        eigen = decompose(X, train, self._index(split.held), self.weights[train])
        needs_blocks = self.inside or self.ridge.penalty in ("blocks", "block errors")
        blocks = self.partition.of(split.train, self.device) if needs_blocks else None
        return eigen, train, blocks, self.ridge.penalties(eigen)

    def _shared(self, eigen: Eigendecomposition, train: torch.Tensor, blocks, penalties: torch.Tensor):
        """Yield (columns, held, alpha, inside, targets, None) of each batch of targets with one alpha for all."""
        best = best_shared_alpha(eigen, self.targets, train, penalties, self.ridge.penalty, blocks)
        alpha, penalty = float(self.ridge.grid[best]), penalties[best]
        # one product for few rows and many targets; the weights of many training rows do not fit into memory
        through_weights = self.inside and not self.targets.few and eigen.outside is None
        parts = [smoother(eigen, penalty), (eigen.root**2 / (eigen.root @ eigen.root))[None]]
        parts += [without.smoother(eigen, penalty, blocks) + parts[1]] if through_weights else []
        weights, n_held, constant = torch.cat(parts), len(parts[0]), self.targets.constant(train)
        for columns in self.targets.batches():
            trained = self.targets.values[:, columns].index_select(0, train)
            sums = weighted_sum(weights, trained)
            inside = sums[n_held + 1 :] if through_weights else None
            if self.inside and not through_weights:
                y, mean = centred(trained, eigen.root)
                inside = self._inside(eigen, matmul(eigen.U.T.to(y.dtype), y), y, mean, penalty, blocks)
            held = self._with_mean(sums[:n_held], sums[n_held], constant[columns])
            yield columns, held, alpha, inside, trained, None

    def _per_target(self, eigen: Eigendecomposition, train: torch.Tensor, blocks, penalties: torch.Tensor):
        """Yield (columns, held, alphas, inside, targets, `fitted_r`) of each batch with an alpha per target."""
        constant = self.targets.constant(train)
        for columns in self.targets.batches():
            trained = self.targets.values[:, columns].index_select(0, train)
            y, mean = centred(trained, eigen.root)
            A, choice, _ = best_alpha_per_target(eigen, y, penalties, self.ridge.penalty, blocks)
            predicted, inside = reconstruct(eigen, eigen.P, A, penalties[choice]), None
            if self.inside:
                inside = torch.empty_like(y)
                for index in choice.unique():
                    of = (choice == index).nonzero()[:, 0]
                    part = (A[:, of], y.to(A.dtype)[:, of], mean[of], penalties[index], blocks)
                    inside[:, of] = self._inside(eigen, *part).to(inside.dtype)
            values = self._with_mean(predicted, mean, constant[columns])
            fit = fitted_r(eigen, A, y, penalties[choice]).cpu().numpy()
            yield columns, values, self.ridge.grid[choice.cpu().numpy()], inside, trained, fit

    @staticmethod
    def _inside(eigen: Eigendecomposition, A: torch.Tensor, y: torch.Tensor, mean, penalty, blocks) -> torch.Tensor:
        """Return the predictions of training rows y, centred and weighted, by the fits without their block."""
        return without.predictions(eigen, A, y, penalty, blocks) / eigen.root.to(y.dtype)[:, None] + mean

    @staticmethod
    def _with_mean(predicted: torch.Tensor, mean: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        """Return predictions plus the training mean; exactly the mean for a target that is constant in training."""
        return predicted.add_(mean) if not constant.any() else torch.where(constant, mean, predicted + mean)

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        """Return row indices as a tensor on the device."""
        return torch.as_tensor(np.asarray(rows, dtype=np.int64)).to(self.device)
