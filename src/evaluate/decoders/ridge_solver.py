"""Ridge regression of many targets: choice of alpha and predictions, from an eigendecomposition and targets.

The leave-one-out residual of a linear smoother is its residual over 1 - leverage (Allen 1974, Technometrics 16:125);
the generalised error takes the mean leverage instead (Golub, Heath and Wahba 1979, Technometrics 21:215).

Rows that depend on each other are left out together (`left_out`), and their predictions are compared by their
correlation, which does not depend on how much a penalty shrinks them. For one alpha for all targets it is squared, with
its sign, and averaged: targets that the features do not predict, and scales of targets, then count little. Few blocks
choose with error; so of the alphas within one standard error of the highest (Breiman et al. 1984, Classification and
Regression Trees, section 3.4.3), that with the least squared error is chosen, which punishes too small a penalty. The
standard error is that of the difference between two alphas over blocks (infinitesimal jackknife; Efron 1982, CBMS-NSF
38, chapter 6).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from ...utils import BadInput
from ..protocol import PENALTIES
from .eigendecomposition import Eigendecomposition
from .left_out import Blocks, predictions
from .targets import Targets, centred
from .tensors import matmul

RESOLUTION = 1e-6  # of float32: errors nearer than this share of the squared targets, and correlations, are alike
NOISE_FREE = 1e-5  # a residual below this share of a target's sum of squares is computed in float64
MARGIN = 1e-3  # relative excess of a lower bound over the least error that rules an alpha out
CRITERIA = (*PENALTIES, "block errors")  # squared errors of the predictions without their block, in place of their r
N_SAMPLED = 1000  # targets that choose one alpha for all by correlation
COARSE = 3  # each of so many alphas is tried first in the choice of one for all targets by correlation
N_GROUPS = 50  # of blocks, at most, for the standard error of a correlation
EXTRAPOLATION = 30.0  # predictions that sum their targets with weights of a larger norm are computed in float64


def check_alphas(alphas, penalty: str) -> np.ndarray:
    """Return `alphas` as a float64 array; raise BadInput for one that is not above 0, or an unknown criterion."""
    alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if alphas.ndim != 1 or not len(alphas) or not np.isfinite(alphas).all() or not (alphas > 0).all():
        raise BadInput(f"alphas are {alphas}; expected one or more finite numbers above 0")
    if penalty not in CRITERIA:
        raise BadInput(f"penalty is {penalty!r}; expected one of {', '.join(CRITERIA)}")
    return alphas


def kernel_scale(eigen: Eigendecomposition) -> torch.Tensor:
    """Return trace(K) / n of the kernel of the training rows, the number of features that vary; 1 if none does."""
    scale = eigen.values.sum() / (eigen.root @ eigen.root)
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def squared_errors(
    eigen: Eigendecomposition, L: torch.Tensor, alphas: torch.Tensor, dtype=torch.float64
) -> torch.Tensor:
    """Return the leave-one-out squared errors of all alphas, weighted, summed over rows and columns of L: (n_alphas,).

    L: targets of the training rows, or their surrogates, centred and times the root weights; dtype: of the products.
    An alpha that cannot be the best gets infinity: its squared residual over the largest 1 - leverage, a lower bound
    that takes no product, exceeds the error of another alpha.
    """
    U, L = eigen.U.to(dtype), L.to(dtype)
    A = matmul(U.T, L)
    A, outside, rest = (A, None, L.new_zeros(1)) if eigen.outside is None else _reduced(A, L - matmul(U, A))
    unexplained, free = eigen.unexplained(alphas), eigen.one_minus_leverage(alphas)
    total = (
        unexplained**2 @ A.double().square().sum(1) + rest.sum() + (0 if outside is None else outside.square().sum())
    )
    least = total / free.amax(1) ** 2
    errors = torch.full_like(alphas, torch.inf)
    for i in (total / free.sum(1) ** 2).argsort().tolist():
        if least[i] > errors.min() * (1 + MARGIN):
            continue
        residual = matmul(U * unexplained[i].to(dtype), A)
        if outside is not None:
            residual += outside
        squares = torch.linalg.vector_norm(residual, dim=1).double() ** 2 + rest
        errors[i] = (squares / free[i] ** 2).sum()
    return errors


def _reduced(A: torch.Tensor, outside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (A, outside, rest) with no more columns than A has rows.

    k directions explain at most k combinations of the targets; the contribution of all other combinations to each
    row's squared residual, `rest`, is the same for all alphas.
    """
    if A.shape[1] <= A.shape[0]:
        return A, outside, outside.new_zeros(1)
    basis, R = torch.linalg.qr(A.T)
    within = outside @ basis
    return R.T, within, (outside.double().square().sum(1) - within.double().square().sum(1)).clamp(min=0)


def best_shared_alpha(
    eigen: Eigendecomposition,
    targets: Targets,
    train: torch.Tensor,
    alphas: torch.Tensor,
    penalty: str,
    blocks: Sequence[Blocks] | None = None,
) -> int:
    """Return the index of the best alpha for all targets together, the first of equals.

    penalty: "blocks" (correlation of predictions without their block), "block errors" (their squared error), "rows"
    (leave-one-out error, as RidgeCV) or "gcv" (generalised error); blocks: those of the training rows.
    """
    if len(alphas) == 1:
        return 0
    if penalty == "rows":
        return _least_row_error(eigen, targets, train, alphas)
    return int(shared_choice(eigen, to_choose_by(targets, train, eigen.root, penalty), alphas, penalty, blocks)[0])


def to_choose_by(
    targets: Targets, train: torch.Tensor, root: torch.Tensor, penalty: str, exact: bool = False
) -> torch.Tensor:
    """Return columns (n_train, n) that stand for all targets in the choice of one alpha, centred and weighted.

    "blocks": at most N_SAMPLED targets, evenly spaced. Else surrogates of the targets, of the same squared errors.
    """
    if penalty == "blocks":
        step = -(-targets.values.shape[1] // N_SAMPLED)
        return centred(targets.values[:, ::step].index_select(0, train), root)[0]
    L = centred(targets.surrogates(exact=exact)[train], root)[0]
    return L.float() if penalty == "block errors" and not targets.few and not exact else L


def shared_choice(
    eigen: Eigendecomposition,
    L: torch.Tensor,
    alphas: torch.Tensor,
    penalty: str,
    blocks: Sequence[Blocks] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index of the best alpha over all targets () and its loss (): a squared error, or 1 - mean signed r^2.

    L: columns of `to_choose_by`.
    """
    if penalty == "blocks":
        choice, value = _by_correlation(eigen, matmul(eigen.U.T.to(L.dtype), L), L, alphas, blocks, shared=True)
        return choice[0], 1 - value[0]
    losses = _losses(eigen, L, alphas, penalty, blocks)
    return losses.argmin(), losses.min()


def _losses(
    eigen: Eigendecomposition, L: torch.Tensor, alphas: torch.Tensor, penalty: str, blocks: Sequence[Blocks] | None
) -> torch.Tensor:
    """Return the squared error of each alpha, over all columns of L: (n_alphas,)."""
    if penalty == "rows":
        return squared_errors(eigen, L, alphas)
    if penalty == "gcv":
        return _total_squares(eigen, L, alphas) * len(L) / eigen.one_minus_leverage(alphas).sum(1) ** 2
    A = matmul(eigen.U.T.to(L.dtype), L)
    return torch.stack([(predictions(eigen, A, L, a, blocks) - L).double().square().sum() for a in alphas])


def _least_row_error(eigen: Eigendecomposition, targets: Targets, train: torch.Tensor, alphas: torch.Tensor) -> int:
    """Return the index of the alpha with the least leave-one-out error summed over targets (RidgeCV)."""
    candidates = torch.arange(len(alphas), device=alphas.device)
    if not targets.few:
        L, _ = centred(targets.surrogates(exact=False)[train], eigen.root)
        errors = squared_errors(eigen, L, alphas, torch.float32)
        candidates = candidates[errors <= errors.min() + RESOLUTION * torch.maximum((L**2).sum(), errors.min())]
    if len(candidates) > 1:
        L, _ = centred(targets.surrogates(exact=True)[train], eigen.root)
        candidates = candidates[squared_errors(eigen, L, alphas[candidates]).argmin()][None]
    return int(candidates[0])


def _total_squares(eigen: Eigendecomposition, L: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
    """Return the squared residuals of all alphas, summed over rows and columns of L: (n_alphas,)."""
    A = eigen.U.T @ L
    squares = eigen.unexplained(alphas) ** 2 @ A.square().sum(1)
    return squares if eigen.outside is None else squares + (L.square().sum() - A.square().sum()).clamp(min=0)


def _by_correlation(
    eigen: Eigendecomposition,
    A: torch.Tensor,
    y: torch.Tensor,
    alphas: torch.Tensor,
    blocks: Sequence[Blocks],
    shared: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index of the alpha chosen by predictions without their block, and its value: see `within_one_error`.

    One alpha for all targets is looked for among every third of the alphas, then beside each that is within one
    standard error of the highest value, until no such neighbour is left. y: (n_train, n_targets), A = U^T y.
    """
    groups, found = _Groups(blocks), {}
    order, of_y = alphas.argsort().tolist(), groups.sums(y.square())
    todo = order[1::COARSE] if shared and len(order) > 2 else order
    while todo:
        for i in todo:
            predicted = predictions(eigen, A, y, alphas[i], blocks)
            error = groups.sums((predicted - y).square()).sum(0)
            found[i] = groups.sums(predicted * y), groups.sums(predicted.square()), error
        # in the order of the candidates: of equal ones the first is chosen
        tried = sorted(found)
        products, squares, errors = (torch.stack([found[i][part] for i in tried]) for part in range(3))
        choice, value, within = within_one_error(products, squares, of_y, errors, shared)
        near = {tried[i] for i in within.any(1).nonzero()[:, 0].tolist()}
        beside = {i for pair in pairwise(order) if near & {*pair} for i in pair}
        todo = sorted(beside - {*found})
    return torch.tensor(tried, device=y.device)[choice], value


class _Groups:
    """Neighbouring blocks of equal size, pooled to at most N_GROUPS groups in all."""

    def __init__(self, blocks: Sequence[Blocks]):
        n_blocks = sum(len(one.members) for one in blocks)
        self.blocks, self.n = blocks, min(n_blocks, N_GROUPS)
        self.of_block = torch.arange(n_blocks) * self.n // max(1, n_blocks)

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sums of rows (n_rows, n_columns) over each group: (n_groups, n_columns) float64."""
        of_blocks = torch.cat([values[one.scored].double().sum(1) for one in self.blocks])
        found = of_blocks.new_zeros(self.n, values.shape[1])
        return found.index_add_(0, self.of_block.to(values.device), of_blocks)


def within_one_error(
    products: torch.Tensor, squares: torch.Tensor, of_targets: torch.Tensor, errors: torch.Tensor, shared: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the alpha of least squared error of those within one standard error of the highest value, and its value.

    Parameters
    ----------
    products, squares : float64 tensors of shape (n_alphas, n_groups, n_targets)
        Sums over each group of rows of predictions times targets, and of squared predictions.
    of_targets : float64 tensor of shape (n_groups, n_targets)
        Sums of squared targets.
    errors : float64 tensor of shape (n_alphas, n_targets)
        Squared errors, over all rows.
    shared : bool
        One alpha for all targets: its value is the mean over targets of r |r|, and the errors of targets are weighted
        by their r^2 over their sum of squares. Otherwise one per target, whose value is r.

    Returns
    -------
    index : int64 tensor of shape (n_targets,), or (1,) if shared
        Index of the alpha; without an error, for a single group, one of the highest value.
    value : float64 tensor of the same shape
        Its value, -1 for predictions without variance.
    within : bool tensor of shape (n_alphas, n_targets), or (n_alphas, 1) if shared
        True for an alpha within one standard error of the highest value.
    """
    n_groups = products.shape[1]
    total, of_all = squares.sum(1), of_targets.sum(0)
    scale = (total * of_all).sqrt()
    r = products.sum(1) / scale
    influence = products / scale[:, None]
    influence -= r[:, None] / 2 * (squares / total[:, None] + of_targets / of_all)
    value = r = torch.nan_to_num(r, nan=-1.0)
    if shared:
        influence = (2 * r.abs()[:, None] * torch.nan_to_num(influence, nan=0.0)).mean(2, keepdim=True)
        value = (r * r.abs()).mean(1, keepdim=True)
        weights = r[value.argmax()].square() / of_all
        errors = errors @ torch.nan_to_num(weights, posinf=0.0)[:, None]
    best, columns = value.argmax(0), torch.arange(value.shape[1], device=r.device)
    influence = influence - influence[best, :, columns].T
    error = (influence.square().sum(1) * (n_groups / max(1, n_groups - 1))).sqrt()
    within = value >= value[best, columns] - (error if n_groups > 1 else 0.0) - RESOLUTION
    within[best, columns] = True
    choice = torch.where(within, errors, torch.inf).argmin(0)
    return choice, value[choice, columns], within


def best_alpha_per_target(
    eigen: Eigendecomposition,
    y: torch.Tensor,
    alphas: torch.Tensor,
    penalty: str,
    blocks: Sequence[Blocks] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return U^T y (k, n_targets), the index of the best alpha (n_targets,) and its loss (n_targets,).

    y: (n_train, n_targets) centred and times the root weights. The loss is the leave-one-out error ("rows"), the
    generalised error ("gcv"), 1 - r ("blocks") or the squared error ("block errors"). "gcv" costs O(n) per target and
    alpha, the others O(n^2); "rows" is computed in float64, "gcv" only if a residual is below the resolution of
    float32.
    """
    y = y.double() if penalty == "rows" else y
    A = matmul(eigen.U.T.to(y.dtype), y)
    if penalty == "blocks":
        choice, r = _by_correlation(eigen, A, y, alphas, blocks)
        return A, choice, 1 - r
    if penalty == "block errors":
        errors = [(predictions(eigen, A, y, a, blocks) - y).double().square().sum(0) for a in alphas]
        least, choice = torch.stack(errors).min(0)
        return A, choice, least
    if penalty == "rows":
        least, choice = _leave_one_out(eigen, A, y, alphas).min(0)
        return A, choice, least
    total = (y * y).sum(0)
    squares = (eigen.unexplained(alphas) ** 2).to(y.dtype) @ (A * A)
    if eigen.outside is not None:
        squares += (total - (A * A).sum(0)).clamp(min=0)
    least, choice = (squares.double() * len(y) / eigen.one_minus_leverage(alphas).sum(1)[:, None] ** 2).min(0)
    noise_free = squares.gather(0, choice[None])[0] < NOISE_FREE * total
    if y.dtype == torch.float32 and noise_free.any():
        return best_alpha_per_target(eigen, y.double(), alphas, penalty)
    return A, choice, least


def _leave_one_out(eigen: Eigendecomposition, A: torch.Tensor, y: torch.Tensor, alphas: torch.Tensor) -> torch.Tensor:
    """Return the leave-one-out squared errors (n_alphas, n_targets)."""
    outside = 0.0 if eigen.outside is None else y - eigen.U @ A
    errors = []
    for unexplained, free in zip(eigen.unexplained(alphas), eigen.one_minus_leverage(alphas), strict=True):
        errors.append((((eigen.U * unexplained) @ A + outside) / free[:, None]).square_().sum(0))
    return torch.stack(errors)


def weighted_sum(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return weights (n, m) float64 @ values (m, n_targets), in float64 if the norm of a row of weights is large."""
    if values.dtype == torch.float32 and len(weights) and weights.norm(dim=1).max() > EXTRAPOLATION:
        return (weights @ values.double()).float()
    return matmul(weights.to(values.dtype), values)


def compact(weights: torch.Tensor) -> torch.Tensor:
    """Return weights (n, m) in float32, unless the norm of a row is large."""
    return weights if len(weights) and weights.norm(dim=1).max() > EXTRAPOLATION else weights.float()


def reconstruct(eigen: Eigendecomposition, P: torch.Tensor, A: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return predictions without the mean of rows P (n, k) from A = U^T y (k, n_targets); alpha: () or (n_targets,)."""
    if alpha.ndim == 0:
        return weighted_sum(P / (eigen.values + alpha), A)
    predicted = torch.empty(len(P), A.shape[1], dtype=A.dtype, device=A.device)
    for value in alpha.unique():
        chosen = (alpha == value).nonzero()[:, 0]
        predicted[:, chosen] = weighted_sum(P / (eigen.values + value), A[:, chosen])
    return predicted


def fitted_r(eigen: Eigendecomposition, A: torch.Tensor, y: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return r of the training rows with their predictions: (n_targets,) float64, NaN for constant ones.

    y: (n_train, n_targets) centred and times the root weights; A = U^T y; alpha: (n_targets,).
    """
    components = A.double()
    predicted = components * (eigen.values[:, None] / (eigen.values[:, None] + alpha))
    of_predicted, of_y = predicted.square().sum(0), y.double().square().sum(0)
    return (predicted * components).sum(0) / (of_predicted * of_y).sqrt()


def smoother(eigen: Eigendecomposition, alpha: torch.Tensor) -> torch.Tensor:
    """Return the weights (n_held, n_train) of training targets in predictions without the mean; each row sums to 0."""
    weights = (eigen.P / (eigen.values + alpha)) @ (eigen.U.T * eigen.root)
    return weights - weights.sum(1, keepdim=True) * (eigen.root**2 / (eigen.root @ eigen.root))
