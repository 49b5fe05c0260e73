"""Rows that are left out together: predictions and the penalty chosen by them, against fits without these rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from src.evaluate.decoders import ALPHAS, BandedRidge, LeftOut, Ridge
from src.evaluate.decoders.base import Split
from src.evaluate.decoders.left_out import Partition, restricted
from src.evaluate.protocol import SCALED_ALPHAS
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
    """Return the predictions of each training row by scikit-learn's fit without its block and gap.

    They differ from the mean of all training rows as those of the fit differ from its prediction at the mean features.
    """
    w = np.ones(len(X)) if weights is None else weights
    Z = StandardScaler().fit(X[split.train].astype(float), sample_weight=w[split.train]).transform(X.astype(float))
    predicted = np.full(Y.shape, np.nan)
    for one in left_out:
        rows = np.intersect1d(one.rows, split.train)
        rest = np.setdiff1d(split.train, np.r_[one.rows, one.gap])
        if len(rows):
            model = SklearnRidge(penalty).fit(Z[rest], Y[rest], sample_weight=w[rest])
            difference = (model.predict(Z[rows]) - model.predict(Z[:1] * 0)).reshape(len(rows), -1)
            predicted[rows] = difference + np.average(Y[split.train], axis=0, weights=w[split.train])
    return predicted[split.train]


def r_of(Y, predicted, weights, of_rows=None):
    """Return the correlation of each target, about the weighted mean of the rows; of_rows: counts of the rows."""
    mean = np.average(Y, axis=0, weights=weights)
    y, x, w = Y - mean, predicted - mean, (weights if of_rows is None else weights * of_rows)[:, None]
    return (w * x * y).sum(axis=0) / np.sqrt((w * x * x).sum(axis=0) * (w * y * y).sum(axis=0))


def mean_square(r):
    """Return the mean of squares with the sign of their root."""
    return float(np.mean(r * np.abs(r)))


def within_one_error(Y, predicted, weights, left_out, value=mean_square):
    """Return the index of the prediction of least error of those within one standard error of the highest value.

    value: of the correlations of all targets. The error is that of the difference, from the derivatives of the value by
    the count of each block (Efron 1982).
    """
    found, step = np.array([value(r_of(Y, each, weights)) for each in predicted]), 1e-5
    derivatives = []
    for one in left_out:
        more = np.ones(len(Y))
        more[one.rows] += step
        changed = np.array([value(r_of(Y, each, weights, more)) for each in predicted])
        derivatives.append((changed - found) / step)
    best, influence = int(np.argmax(found)), np.array(derivatives)
    difference = influence - influence[:, [best]]
    error = np.sqrt(len(left_out) / (len(left_out) - 1) * (difference**2).sum(axis=0))
    within = [k for k in range(len(found)) if k == best or found[k] >= found[best] - error[k]]
    mean = np.average(Y, axis=0, weights=weights)
    of_target = r_of(Y, predicted[best], weights) ** 2 / (weights[:, None] * (Y - mean) ** 2).sum(axis=0)
    return min(within, key=lambda k: (weights[:, None] * (predicted[k] - Y) ** 2).sum(axis=0) @ of_target)


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
def test_the_penalty_has_the_least_error_within_one_error_of_the_highest_r(shape, weighted):
    X, Y, split = make(shape, noise=3.0)
    weights = np.random.default_rng(1).choice([1.0, 3.0], len(X)) if weighted else np.ones(len(X))
    left_out, varying = blocks(len(X)), X.shape[1]
    grid = [1e-2, 1e-1, 1.0, 10.0]
    of_train = weights[split.train]
    of_blocks = restricted(left_out, split.train, len(X))
    predicted = [refitted(X, Y, split, left_out, alpha * varying, weights) for alpha in grid]
    expected = grid[within_one_error(Y[split.train], predicted, of_train, of_blocks)]
    session = Ridge(alphas=grid, penalty="blocks", scaled=True).session(Y, weights, [split], left_out)
    (first, *_) = session.predict(session.load(X), [split])
    assert first.alpha == expected
    assert first.inside is None
    fitted = Ridge(alphas=grid, penalty="blocks", scaled=True).fit(X[split.train], Y[split.train], of_train, of_blocks)
    assert fitted.alpha_ == first.alpha
    per_target = Ridge(alphas=grid, penalty="blocks", scaled=True, alpha_per_target=True)
    chosen = per_target.fit(X[split.train], Y[split.train], of_train, of_blocks).alpha_
    for t in range(0, Y.shape[1], 20):
        of_target = [each[:, [t]] for each in predicted]
        assert chosen[t] == grid[within_one_error(Y[split.train][:, [t]], of_target, of_train, of_blocks, np.mean)]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_search_finds_the_penalty_that_is_best_of_all(shape):
    """Twelve penalties, of which every third is tried first; the best one lies at several places of the grid."""
    grid, chosen = list(SCALED_ALPHAS), set()
    for seed, noise in enumerate((0.05, 0.5, 2.0, 5.0)):
        X, Y, split = make(shape, noise, seed)
        left_out = blocks(shape[0])
        predicted = [refitted(X, Y, split, left_out, alpha * shape[1]) for alpha in grid]
        expected = grid[within_one_error(Y[split.train], predicted, np.ones(shape[0]), left_out)]
        found = Ridge(penalty="blocks", scaled=True).fit(X[split.train], Y[split.train], left_out=left_out).alpha_
        assert found == expected, noise
        unordered = Ridge(grid[5:] + grid[:5], penalty="blocks", scaled=True)
        assert unordered.fit(X[split.train], Y[split.train], left_out=left_out).alpha_ == expected
        chosen.add(found)
    assert len(chosen) > 2, chosen


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


@pytest.mark.parametrize("per_target", [False, True])
def test_many_blocks_choose_in_groups(per_target):
    """200 single rows: the error is that over 50 groups of four neighbours."""
    X, Y, split = make((200, 30, 3), noise=4.0)
    grid, alone = [1e-2, 1.0, 100.0], [LeftOut(np.array([k]), np.zeros(0, int)) for k in range(200)]
    fours = [LeftOut(np.arange(k, k + 4), np.zeros(0, int)) for k in range(0, 200, 4)]
    predicted = [refitted(X, Y, split, alone, a * 30) for a in grid]
    decoder = Ridge(alphas=grid, penalty="blocks", scaled=True, alpha_per_target=per_target)
    found = np.broadcast_to(decoder.fit(X[:200], Y[:200]).alpha_, 3)
    targets = [[0], [1], [2]] if per_target else [[0, 1, 2]] * 3
    ones = np.ones(200)
    value = np.mean if per_target else mean_square
    expected = [grid[within_one_error(Y[:200, t], [p[:, t] for p in predicted], ones, fours, value)] for t in targets]
    assert found.tolist() == expected


def test_left_out_noise_is_not_anticorrelated_with_its_prediction():
    """200 worlds of noise, large penalty: r of left-out predictions is 0, and -.15 about the mean of the other rows."""
    rng, about_all, about_rest = np.random.default_rng(0), [], []
    for _ in range(200):
        X, Y = rng.normal(size=(80, 20)).astype(np.float32), rng.normal(size=(80, 3)).cumsum(axis=0)
        Y -= np.linspace(Y[0], Y[-1], 80)
        left_out = [LeftOut(np.arange(k, k + 20), np.zeros(0, int)) for k in range(0, 80, 20)]
        split = Split(np.arange(80), np.zeros(0, int), np.zeros(0, int))
        session = Ridge(alphas=[1e3], penalty="blocks", scaled=True).session(Y, None, [split], left_out, inside=True)
        (found,) = session.predict(session.load(X), [split])
        rest = np.repeat([np.delete(Y, one.rows, axis=0).mean(axis=0) for one in left_out], 20, axis=0)
        about_mean = np.asarray(found.inside) + session.targets.offset
        about_all.append(r_of(Y, about_mean, np.ones(80)).mean())
        about_rest.append(r_of(Y, about_mean - Y.mean(axis=0) + rest, np.ones(80)).mean())
    assert abs(np.mean(about_all)) < 3 * np.std(about_all) / np.sqrt(200) + 0.01
    assert np.mean(about_rest) < -0.1


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
