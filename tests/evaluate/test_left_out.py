"""Rows that are left out together: predictions and the penalty chosen by them, against fits without these rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from src.evaluate.decoders import ALPHAS, BandedRidge, LeftOut, Ridge
from src.evaluate.decoders.base import Split
from src.evaluate.decoders.left_out import Partition, restricted
from src.utils import BadInput

N_HELD = 6
SHAPES = {
    "wide": (40, 90, 4),
    "wide, many targets": (40, 90, 70),
    "tall": (70, 9, 3),
    "tall, many targets": (60, 9, 90),
}


def make(shape, noise=1.0, seed=0):
    """Return features, targets and one split; the held-out rows come last."""
    n, p, t = shape
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n + N_HELD, p)) * rng.uniform(0.1, 3, p) + 5).astype(np.float32)
    Y = StandardScaler().fit_transform(X) @ rng.normal(size=(p, t)) / np.sqrt(p)
    rows = np.arange(n + N_HELD)
    return X, Y + noise * rng.normal(size=Y.shape) + 7, Split(rows[:n], rows[:0], rows[n:])


def blocks(n_rows, size=5, gap=2):
    """Return blocks of `size` rows (the last one smaller) with the `gap` rows on both sides."""
    found = []
    for start in range(0, n_rows, size):
        rows = np.arange(start, min(start + size, n_rows))
        around = np.r_[start - gap : start, rows[-1] + 1 : rows[-1] + 1 + gap]
        found.append(LeftOut(rows, around[(around >= 0) & (around < n_rows)]))
    return found


def refitted(X, Y, split, left_out, penalty, weights=None):
    """Return the predictions of each training row by scikit-learn's fit without its block and gap."""
    w = np.ones(len(X)) if weights is None else weights
    Z = StandardScaler().fit(X[split.train].astype(float), sample_weight=w[split.train]).transform(X.astype(float))
    predicted = np.full(Y.shape, np.nan)
    for one in left_out:
        rows = np.intersect1d(one.rows, split.train)
        rest = np.setdiff1d(split.train, np.r_[one.rows, one.gap])
        if len(rows):
            model = SklearnRidge(penalty).fit(Z[rest], Y[rest], sample_weight=w[rest])
            predicted[rows] = model.predict(Z[rows]).reshape(len(rows), -1)
    return predicted[split.train]


def pooled_r(Y, predicted, weights):
    """Return the correlation over all rows and targets, about the weighted mean of the rows."""
    mean = np.average(Y, axis=0, weights=weights)
    y, x, w = Y - mean, predicted - mean, weights[:, None]
    return (w * x * y).sum() / np.sqrt((w * x * x).sum() * (w * y * y).sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_predictions_of_left_out_rows_equal_refitting(shape, weighted):
    X, Y, split = make(shape)
    weights = np.random.default_rng(1).choice([1.0, 3.0], len(X)) if weighted else None
    left_out = blocks(len(X))
    for per_target in (False, True):
        decoder = Ridge(alphas=[7.0], penalty="blocks", alpha_per_target=per_target)
        session = decoder.session(Y, weights, [split], left_out, inside=True)
        found = (
            np.concatenate([np.asarray(p.inside) for p in session.predict(session.load(X), [split])], axis=1)
            + session.targets.offset
        )
        expected = refitted(X, Y, split, left_out, 7.0, weights)
        np.testing.assert_allclose(found, expected, atol=1e-8 if shape[2] <= shape[0] else 2e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_penalty_has_the_highest_pooled_r(shape, weighted):
    X, Y, split = make(shape, noise=3.0)
    weights = np.random.default_rng(1).choice([1.0, 3.0], len(X)) if weighted else np.ones(len(X))
    left_out, varying = blocks(len(X)), X.shape[1]
    grid = [1e-2, 1e-1, 1.0, 10.0]
    of_train = weights[split.train]
    r = [
        pooled_r(Y[split.train], refitted(X, Y, split, left_out, alpha * varying, weights), of_train) for alpha in grid
    ]
    session = Ridge(alphas=grid, penalty="blocks", scaled=True).session(Y, weights, [split], left_out)
    (first, *_) = session.predict(session.load(X), [split])
    assert first.alpha == grid[int(np.argmax(r))]
    assert first.inside is None
    fitted = Ridge(alphas=grid, penalty="blocks", scaled=True).fit(
        X[split.train], Y[split.train], of_train, restricted(left_out, split.train, len(X))
    )
    assert fitted.alpha_ == first.alpha
    per_target = Ridge(alphas=grid, penalty="blocks", scaled=True, alpha_per_target=True)
    chosen = per_target.fit(X[split.train], Y[split.train], of_train, restricted(left_out, split.train, len(X))).alpha_
    for t in range(0, Y.shape[1], 20):
        of_target = [
            pooled_r(
                Y[split.train, t, None], refitted(X, Y[:, t, None], split, left_out, a * varying, weights), of_train
            )
            for a in grid
        ]
        assert chosen[t] == grid[int(np.argmax(of_target))]


def test_scaled_penalties_fit_any_number_of_features():
    """Features that are repeated, or doubled, change neither alpha nor predictions."""
    X, Y, _ = make((40, 20, 3))
    once = Ridge(scaled=True, penalty="blocks").fit(X, Y)
    often = Ridge(scaled=True, penalty="blocks").fit(np.tile(2 * X, (1, 6)), Y)
    assert once.alpha_ == often.alpha_
    np.testing.assert_allclose(often.predict(np.tile(2 * X, (1, 6))), once.predict(X), rtol=1e-6)
    other = np.random.default_rng(1).normal(size=(len(X), 10))
    for per_target in (False, True):
        decoder = lambda n, t=per_target: BandedRidge((n, 10), ALPHAS[3:7], "blocks", t, scaled=True)  # noqa: E731
        few, many = decoder(20).fit(np.hstack([X, other]), Y), decoder(120).fit(np.hstack([np.tile(X, 6), other]), Y)
        np.testing.assert_array_equal(many.alpha_, few.alpha_)


def test_smooth_noise_needs_blocks():
    """Leaving out single rows of a smooth time series chooses the least penalty, and predicts worse."""
    n, difference = 600, []
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def smooth(n_columns, rng=rng):
            white = rng.normal(size=(n + 108, n_columns))
            return np.apply_along_axis(np.convolve, 0, white, np.hanning(11)[1:-1], "valid")

        latent = smooth(20)
        X, signal, noise = latent @ rng.normal(size=(20, 600)), latent @ rng.normal(size=(20, 30)), smooth(30)
        X += 2 * smooth(600)
        Y = signal / signal.std() + 2 * noise / noise.std()
        left_out, train, test = blocks(n, size=15, gap=10), np.arange(n), np.arange(n + 10, n + 100)
        r = {}
        for penalty in ("rows", "blocks"):
            predicted = Ridge(penalty=penalty, scaled=True).fit(X[train], Y[train], left_out=left_out).predict(X[test])
            r[penalty] = np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(predicted.T, Y[test].T, strict=True)])
        difference.append(r["blocks"] - r["rows"])
    assert np.mean(difference) > 0.05, difference


def test_a_block_without_any_other_row_is_predicted_by_the_mean():
    X, Y, split = make((20, 30, 3))
    everything = [LeftOut(np.arange(20))]
    session = Ridge(alphas=[1.0]).session(Y, None, [split], everything, inside=True)
    (found,) = session.predict(session.load(X), [split])
    np.testing.assert_allclose(found.inside + session.targets.offset, np.tile(Y[:20].mean(axis=0), (20, 1)))


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ([LeftOut(np.array([0, 30]))], "left-out rows reach from 0 to 30; expected 0 to 29"),
        ([LeftOut(np.array([0])), LeftOut(np.array([0, 1]))], "expected disjoint blocks"),
    ],
)
def test_blocks_are_checked(left_out, message):
    with pytest.raises(BadInput, match=message):
        Partition(left_out, 30)
