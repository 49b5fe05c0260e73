"""Ridge regression of many targets: choice of alpha and predictions, from an eigendecomposition and targets.

The leave-one-out residual of a linear smoother is its residual over 1 - leverage (Allen 1974, Technometrics 16:125);
the generalised error takes the mean leverage instead (Golub, Heath and Wahba 1979, Technometrics 21:215). Rows that
depend on each other are left out together (`left_out`), and their predictions are compared by their correlation, which
does not depend on how much a penalty shrinks them.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ...utils import BadInput
from ..protocol import PENALTIES
from .eigendecomposition import Eigendecomposition
from .left_out import Blocks, predictions
from .targets import Targets, centred

RESOLUTION = 1e-6  # errors closer than this share of the targets' sum of squares are compared in float64
NOISE_FREE = 1e-5  # a residual below this share of a target's sum of squares is computed in float64
MARGIN = 1e-3  # relative excess of a lower bound over the least error that rules an alpha out
CRITERIA = (*PENALTIES, "block errors")  # squared errors of the predictions without their block, in place of their r
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
    A = U.T @ L
    A, outside, rest = (A, None, L.new_zeros(1)) if eigen.outside is None else _reduced(A, L - U @ A)
    unexplained, free = eigen.unexplained(alphas), eigen.one_minus_leverage(alphas)
    total = (
        unexplained**2 @ A.double().square().sum(1) + rest.sum() + (0 if outside is None else outside.square().sum())
    )
    least = total / free.amax(1) ** 2
    errors = torch.full_like(alphas, torch.inf)
    for i in (total / free.sum(1) ** 2).argsort().tolist():
        if least[i] > errors.min() * (1 + MARGIN):
            continue
        residual = (U * unexplained[i].to(dtype)) @ A
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

    penalty: "blocks" (pooled r of predictions without their block), "block errors" (their squared error), "rows"
    (leave-one-out error, as RidgeCV) or "gcv" (generalised error); blocks: those of the training rows.
    """
    if len(alphas) == 1:
        return 0
    if penalty == "rows":
        return _least_row_error(eigen, targets, train, alphas)
    L, _ = centred(targets.surrogates(exact=False)[train], eigen.root)
    L = L.float() if penalty in ("blocks", "block errors") and not targets.few else L
    return int(shared_losses(eigen, L, alphas, penalty, blocks).argmin())


def shared_losses(
    eigen: Eigendecomposition,
    L: torch.Tensor,
    alphas: torch.Tensor,
    penalty: str,
    blocks: Sequence[Blocks] | None = None,
) -> torch.Tensor:
    """Return the loss of each alpha over all targets: squared leave-out or generalised error, or 1 - pooled r.

    L: targets of the training rows, or their surrogates, centred and times the root weights.
    """
    if penalty == "rows":
        return squared_errors(eigen, L, alphas)
    if penalty == "gcv":
        return _total_squares(eigen, L, alphas) * len(L) / eigen.one_minus_leverage(alphas).sum(1) ** 2
    if penalty == "block errors":
        A = eigen.U.T.to(L.dtype) @ L
        return torch.stack([(predictions(eigen, A, L, a, blocks) - L).double().square().sum() for a in alphas])
    return 1 - _finite_last(_pooled_r(eigen, L, alphas, blocks))


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


def _pooled_r(
    eigen: Eigendecomposition, L: torch.Tensor, alphas: torch.Tensor, blocks: Sequence[Blocks]
) -> torch.Tensor:
    """Return the correlation of L with its predictions without their block, over all rows and columns: (n_alphas,).

    It equals that of the targets Y for any L with L L^T = Y Y^T, since both sums follow from Y Y^T and the smoother.
    """
    A, found = eigen.U.T.to(L.dtype) @ L, torch.empty_like(alphas)
    for i, penalty in enumerate(alphas):
        predicted = predictions(eigen, A, L, penalty, blocks)
        found[i] = (predicted * L).sum().double() / predicted.norm().double()
    return found / L.norm().double()


def _r_per_target(
    eigen: Eigendecomposition, A: torch.Tensor, y: torch.Tensor, alphas: torch.Tensor, blocks: Sequence[Blocks]
) -> torch.Tensor:
    """Return the correlation of each target with its predictions without their block: (n_alphas, n_targets)."""
    found = torch.empty(len(alphas), y.shape[1], dtype=torch.float64, device=y.device)
    for i, penalty in enumerate(alphas):
        predicted = predictions(eigen, A, y, penalty, blocks)
        found[i] = (predicted * y).sum(0).double() / (predicted.norm(dim=0) * y.norm(dim=0)).double()
    return found


def _finite_last(r: torch.Tensor) -> torch.Tensor:
    """Return correlations with -1 in place of NaN, which predictions without variance have."""
    return torch.nan_to_num(r, nan=-1.0)


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
    A = eigen.U.T.to(y.dtype) @ y
    if penalty == "blocks":
        least, choice = (1 - _finite_last(_r_per_target(eigen, A, y, alphas, blocks))).min(0)
        return A, choice, least
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
    return weights.to(values.dtype) @ values


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


def smoother(eigen: Eigendecomposition, alpha: torch.Tensor) -> torch.Tensor:
    """Return the weights (n_held, n_train) of training targets in predictions without the mean; each row sums to 0."""
    weights = (eigen.P / (eigen.values + alpha)) @ (eigen.U.T * eigen.root)
    return weights - weights.sum(1, keepdim=True) * (eigen.root**2 / (eigen.root @ eigen.root))
