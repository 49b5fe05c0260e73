"""Logistic regression of many splits in one batch: L-BFGS in torch, for CUDA and CPU.

The objective is scikit-learn's, per split: mean row loss (softmax, or one logit for two classes) plus
||W||^2 / (2 C sum of weights), the intercept free. The splits share one copy of the features: standardisation by each
split's training rows is folded into its coefficients, and rows outside a split's training part have weight 0.
L-BFGS: Nocedal and Wright 2006, Numerical Optimization, algorithm 7.4, with Armijo backtracking.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

MEMORY = 10
ARMIJO = 1e-4
LEAST_STEP = 2.0**-30
CONSTANT = 1e-12  # a variance below this share of the mean square is rounding

Objective = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Fits:
    """Fitted logistic regressions of n_splits splits.

    W: (n_splits, n_features, n_logits) for standardised features; b: (n_splits, n_logits); mean, inverse:
    (n_splits, n_features), standardised = (x - mean) * inverse; absent: (n_splits, n_classes), whether a class has
    no training row; n_iter: number of iterations. Two classes have one logit, that of the second.
    """

    W: torch.Tensor
    b: torch.Tensor
    mean: torch.Tensor
    inverse: torch.Tensor
    absent: torch.Tensor
    n_iter: int

    def probabilities(self, X: torch.Tensor, split: int = 0) -> torch.Tensor:
        """Return the class probabilities (n_rows, n_classes) of one split."""
        Z = (X.double() - self.mean[split]) * self.inverse[split]
        return _log_probabilities(Z @ self.W[split] + self.b[split], self.absent[split]).exp()


def fit_splits(
    X: torch.Tensor,
    codes: torch.Tensor,
    n_classes: int,
    weights: torch.Tensor,
    *,
    C: float,
    max_iter: int,
    tol: float = 1e-6,
) -> Fits:
    """Fit one logistic regression per split, in float64.

    X: (n_rows, n_features); codes: (n_rows,) class numbers; weights: (n_splits, n_rows), 0 outside the split's training
    rows; C: inverse penalty; tol: a split has converged when no component of its gradient is larger.
    """
    centre = X.double().mean(0)
    X = X.double() - centre
    share, penalty = weights / weights.sum(1, keepdim=True), 1 / (C * weights.sum(1))
    mean, inverse = _standardisation(X, share)
    truth = torch.nn.functional.one_hot(codes, n_classes).double()
    absent = weights @ truth == 0
    # of two classes, softmax has two opposite coefficients where scikit-learn has one, twice as large
    penalty = torch.where((~absent).sum(1) == 2, 2 * penalty, penalty) if n_classes > 2 else penalty
    n_logits = 1 if n_classes == 2 else n_classes

    def objective(theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        W, b = theta[:, :-1], theta[:, -1]
        scaled = inverse[:, :, None] * W
        shift = b - (mean[:, :, None] * scaled).sum(1)
        logits = torch.einsum("np,spc->snc", X, scaled) + shift[:, None]
        log_p = _log_probabilities(logits, absent[:, None])
        row_loss = -(log_p.masked_fill(absent[:, None], 0) * truth).sum(2)
        residual = share[:, :, None] * (log_p.exp() - truth)[:, :, -n_logits:]
        total = residual.sum(1)
        slope = torch.einsum("np,snc->spc", X, residual) - mean[:, :, None] * total[:, None]
        gradient = torch.cat([inverse[:, :, None] * slope + penalty[:, None, None] * W, total[:, None]], dim=1)
        return (share * row_loss).sum(1) + penalty / 2 * (W * W).sum((1, 2)), gradient

    theta, n_iter = minimise(objective, X.new_zeros(len(weights), X.shape[1] + 1, n_logits), max_iter, tol)
    return Fits(theta[:, :-1], theta[:, -1], mean + centre, inverse, absent, n_iter)


def minimise(objective: Objective, start: torch.Tensor, max_iter: int, tol: float) -> tuple[torch.Tensor, int]:
    """Return the minima of independent smooth convex functions, one per leading entry of `start`, and iterations.

    objective: points -> (values (n,), gradients like the points). A function has converged, and its point is kept, when
    its gradient's largest component is at most `tol` or no step lowers its value.
    """
    n = len(start)
    shape, theta = start.shape, start.reshape(n, -1)
    value, gradient = _flat(objective, theta, shape)
    active = gradient.abs().amax(1) > tol
    history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    n_iter = 0
    while n_iter < max_iter and active.any():
        n_iter += 1
        direction = -_two_loop(history, gradient) * active[:, None]
        found, step_value, step_gradient, moved = _backtrack(
            objective, theta, value, gradient, direction, shape, active
        )
        s, y = found - theta, step_gradient - gradient
        curvature = (s * y).sum(1)
        # a pair without curvature has the weight 0 in the history of its function
        rho = torch.where(curvature > 1e-14 * (y * y).sum(1), 1 / curvature, 0.0)
        history = [*history, (s, y, rho)][-MEMORY:]
        theta, value, gradient = found, step_value, step_gradient
        active &= moved & (gradient.abs().amax(1) > tol)
    return theta.reshape(shape), n_iter


def _two_loop(history: Sequence, gradient: torch.Tensor) -> torch.Tensor:
    """Return the estimated inverse Hessian times the gradient; without history, the gradient at a norm of at most 1."""
    q, used = gradient.clone(), []
    for s, y, rho in reversed(history):
        weight = rho * (s * q).sum(1)
        q -= weight[:, None] * y
        used.append(weight)
    scale = 1 / gradient.norm(dim=1).clamp(min=1.0)
    for s, y, rho in history:
        scale = torch.where(rho > 0, (s * y).sum(1) / (y * y).sum(1), scale)
    q *= scale[:, None]
    for (s, y, rho), weight in zip(history, reversed(used), strict=True):
        q += (weight - rho * (y * q).sum(1))[:, None] * s
    return q


def _backtrack(objective, theta, value, gradient, direction, shape, active):
    """Halve each step until its function is lowered enough; return points, values, gradients, mask of those moved."""
    slope = (gradient * direction).sum(1)
    step = torch.where(active, 1.0, 0.0).to(theta)
    searching = active.clone()
    while True:
        found = theta + step[:, None] * direction
        found_value, found_gradient = _flat(objective, found, shape)
        rounding = 1e-15 * value.abs()
        searching &= ~(found_value <= value + ARMIJO * step * slope + rounding)
        if not searching.any():
            return found, found_value, found_gradient, step > 0
        step = torch.where(searching, step / 2, step)
        lost = searching & (step < LEAST_STEP)
        step, searching = torch.where(lost, 0.0, step), searching & ~lost


def _flat(objective: Objective, theta: torch.Tensor, shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values (n,) and gradients (n, size) at flat points (n, size)."""
    value, gradient = objective(theta.reshape(shape))
    return value, gradient.reshape(len(theta), -1)


def _log_probabilities(logits: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
    """Return log softmax over the classes that are not absent; a single logit belongs to the second of two classes."""
    if logits.shape[-1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=-1)
    return logits.masked_fill(absent, -torch.inf).log_softmax(-1)


def _standardisation(X: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and 1 / deviation of each split's training rows (n_splits, n_features), 0 for constant columns."""
    mean, square = share @ X, share @ (X * X)
    variance = square - mean**2
    constant = variance <= CONSTANT * square
    return mean, torch.where(constant, 0.0, variance.clamp(min=1e-300).rsqrt())
