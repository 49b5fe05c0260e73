"""Time courses and delay profiles: planted times are found, noise scores 0, the parts sum to the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from src.evaluate import electrodes, fmri
from src.evaluate.cross_validate import Problem
from src.evaluate.curves import TimeBins
from src.evaluate.decoders import PLS, Ridge, StackedRidge
from src.evaluate.decoders.base import Split
from src.evaluate.layer_choice import Rule
from src.evaluate.metrics import METRICS
from src.evaluate.protocol import Protocol
from src.pipeline.statistics import read_statistics, statistics_arrays
from src.pipeline.summary import score_arrays
from src.pipeline.uncertainty import interval_arrays
from src.records import Activations, Responses, Stimuli
from src.utils import regular_bins

PROTOCOL = Protocol(n_splits=5, subjects="mean")
N_STIMULI, N_NOISE = 80, 150
BINS_MS = regular_bins(160.0, 20.0)
DELAYS = (1, 2, 3, 4, 5)  # in bins of 2 s


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    def make(n, duration_ms):
        folder = tmp_path_factory.mktemp("shown")
        paths = tuple(folder / f"s{i:03d}" for i in range(n))
        for path in paths:
            path.write_text(path.name)
        return Stimuli("shown", tuple(p.name for p in paths), paths, np.full(n, duration_ms), ("video",) * n)

    return make


@pytest.fixture(scope="module")
def recorded(shown):
    """Static and changing features; units that respond early, late, always, and noise; two noisy repetitions."""
    rng = np.random.default_rng(0)
    stimuli = shown(N_STIMULI, 160.0)
    static = np.repeat(rng.standard_normal((N_STIMULI, 1, 12)), 8, axis=1).astype(np.float32)
    moving = rng.standard_normal((N_STIMULI, 8, 12)).astype(np.float32)
    early, late = np.arange(8) < 4, np.arange(8) >= 4

    def made(features):
        signal = features @ rng.standard_normal((12, 3)).astype(np.float32) / np.sqrt(12)
        signal[..., 0] *= early
        signal[..., 1] *= late
        units = np.concatenate([signal, np.zeros((N_STIMULI, 8, N_NOISE))], axis=2)[:, None]
        values = units + 0.5 * rng.standard_normal((N_STIMULI, 2, 8, 3 + N_NOISE))
        values[..., 3:] += 0.5 * rng.standard_normal((N_STIMULI, 1, 8, N_NOISE))
        names = np.array([f"u{i}" for i in range(3 + N_NOISE)])
        regions = np.array(["early", "late", "both"] + ["noise"] * N_NOISE)
        table = {"unit_id": names, "region": regions}
        responses = Responses(stimuli, values.astype(np.float32), BINS_MS, table, ("a", "b"))
        noise = rng.standard_normal(features.shape).astype(np.float32)
        layers = {"noise": noise, "signal": features}
        return Activations(layers, BINS_MS, np.full(N_STIMULI, 8), stimuli.ids), responses

    return {"static": made(static), "moving": made(moving)}


def stored(found, rule, n_samples=200):
    arrays = score_arrays(found, None, rule)
    resampling = read_statistics(statistics_arrays(found.resampling))
    return arrays | interval_arrays(resampling, arrays, n_samples, 0)


@pytest.mark.parametrize("kind", ["static", "moving"])
def test_early_and_late_units_are_told_apart_and_noise_scores_0(recorded, kind):
    found = electrodes.score(*recorded[kind], Ridge(penalty="blocks", scaled=True), PROTOCOL, resample=True)
    arrays = stored(found, Rule(True, "per target"))
    course, low, high = (arrays[name] for name in ("time_course", "time_course_low", "time_course_high"))
    assert course.shape == low.shape == high.shape == (3 + N_NOISE, 8)
    np.testing.assert_array_equal(arrays["time_course_ms"], BINS_MS)
    assert course[0, :4].min() > 0.7
    assert course[1, 4:].min() > 0.7
    assert course[2].min() > 0.7
    assert (low[0, :4] > 0).all()
    assert (low[1, 4:] > 0).all()
    assert (low[2] > 0).all()
    silent = np.concatenate([course[0, 4:], course[1, :4]])
    assert np.abs(silent).max() < 0.35
    assert abs(course[3:].mean()) < 0.02
    inside = (low[3:] <= 0) & (high[3:] >= 0)
    assert 0.88 < inside.mean() <= 1, "95 % intervals of noise"
    ends = arrays["time_course_ends"]
    assert ends.shape == (5, 8, 2)
    assert (ends[1, :4, 0] > 0).all()
    assert (ends[2, :4, 0] < 0.3).all()
    assert (ends[4, :, 0] < 0.05).all()
    assert (ends[4, :, 1] > -0.05).all()


def test_a_bin_pools_the_moments_within_the_splits(recorded):
    """An oracle: predictions and responses, centred within each test part, correlated over all stimuli."""
    activations, responses = recorded["moving"]
    decoder = PLS(n_components=3)
    one = replace(activations, layers={"signal": activations.layers["signal"]})
    protocol = replace(PROTOCOL, missing="rows")
    found = electrodes.score(one, responses, decoder, protocol, resample=True)
    problem, _ = electrodes.problem(one, responses, protocol, validate=True)
    X, Y = problem.layers["signal"](), problem.targets
    time_bin = electrodes.recordings(one, responses)[0].time_bin
    predicted, truth = [], []
    for split in problem.splits:
        values = PLS(n_components=3).fit(X[split.train], Y[split.train]).predict(X[split.test])
        chosen = time_bin[split.test] == 2
        predicted.append(values[chosen, 0] - values[chosen, 0].mean())
        truth.append(Y[split.test][chosen, 0] - Y[split.test][chosen, 0].mean())
    expected = pearsonr(np.concatenate(predicted), np.concatenate(truth)).statistic
    assert found.extra["time_course"][0, 2] == pytest.approx(expected, abs=1e-5)


def test_a_bin_with_few_stimuli_has_no_score():
    rng = np.random.default_rng(0)
    n = 30
    splits = [
        Split(np.arange(10, n), np.zeros(0, int), np.arange(10)),
        Split(np.arange(20), np.zeros(0, int), np.arange(20, n)),
    ]
    time_bin = np.where(np.arange(n) % 3 == 0, 0, 1)
    targets = rng.standard_normal((n, 2))
    problem = Problem({}, targets, splits, blocks=np.arange(n))
    along = TimeBins(problem, time_bin, regular_bins(40.0, 20.0))
    kept = [along.of_batch(k, s.test, targets[s.test], targets[s.test]) for k, s in enumerate(splits)]
    test = along.curve(METRICS["pearson"], kept).test
    assert np.isnan(test[:, 0]).all()
    assert test[:, 1] == pytest.approx(1)


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["white", "slow"])
def films(shown, request):
    """Two films with units that follow the features after 2 to 10 s, and noise."""
    rng, n_bins = np.random.default_rng(1), 150
    stimuli, bins_ms = shown(2, 2000.0 * n_bins), regular_bins(2000.0 * n_bins, 2000.0)
    features = rng.standard_normal((2, n_bins, 15)).astype(np.float32)
    for t in range(1, n_bins):
        features[:, t] = request.param * features[:, t - 1] + np.sqrt(1 - request.param**2) * features[:, t]
    values = rng.standard_normal((2, 1, n_bins, len(DELAYS) + 40)).astype(np.float32)
    for unit, delay in enumerate(DELAYS):
        late = np.zeros((2, n_bins))
        late[:, delay:] = (features @ rng.standard_normal(15) / np.sqrt(15))[:, : n_bins - delay]
        values[:, 0, :, unit] = late + 0.5 * values[:, 0, :, unit]
    table = {"unit_id": np.arange(values.shape[3]).astype(str), "region": np.array(["A"] * 5 + ["noise"] * 40)}
    layers = {"noise": rng.standard_normal(features.shape).astype(np.float32), "signal": features}
    activations = Activations(layers, bins_ms, np.full(2, n_bins), stimuli.ids)
    return fmri.Part(activations, Responses(stimuli, values, bins_ms, table, ("a",)))


@pytest.mark.parametrize("per_target", [False, True])
def test_planted_delays_are_found_and_sum_to_the_score(films, per_target):
    decoder = Ridge(penalty="blocks", scaled=True, alpha_per_target=per_target)
    protocol, rule = replace(PROTOCOL, hrf="fir"), Rule(True, "per target")
    found = fmri.score([films], decoder, protocol, resample=True)
    arrays = stored(found, rule)
    profile = arrays["delay_profile"]
    np.testing.assert_array_equal(arrays["delay_profile_ms"][:, 0], 2000.0 * np.array(DELAYS))
    assert np.abs(profile[:5].argmax(axis=1) - np.arange(5)).max() <= 1
    score = rule.test(arrays).mean(axis=1)
    np.testing.assert_allclose(profile.sum(axis=1), score, atol=1e-4)
    assert score[:5].min() > 0.6
    assert abs(profile[5:].mean()) < 0.01
    assert (arrays["delay_profile_low"][np.arange(5), np.arange(5)] > 0).all()


def test_other_fits_have_no_profile(films):
    rule = {"resample": True}
    assert "delay_profile" not in fmri.score([films], Ridge(), PROTOCOL, **rule).extra
    assert "delay_profile" not in fmri.score([films], PLS(n_components=2), replace(PROTOCOL, hrf="fir"), **rule).extra


def test_summands_of_a_ridge_regression_sum_to_its_predictions():
    rng = np.random.default_rng(0)
    for n_rows, n_features in ((40, 60), (60, 9)):
        X, Y = rng.standard_normal((n_rows, n_features)), rng.standard_normal((n_rows, 3))
        split = Split(np.arange(5, n_rows), np.zeros(0, int), np.arange(5))
        session = Ridge(alpha_per_target=True).session(Y, np.ones(n_rows) + np.arange(n_rows), [split], n_parts=3)
        (found,) = session.predict(session.load(X), [split])
        Z = (X - X[5:].T @ (np.arange(5, n_rows) + 1) / (np.arange(5, n_rows) + 1).sum())[:5]
        fit = Ridge(alpha_per_target=True).fit(X[5:], Y[5:], np.arange(5, n_rows) + 1.0)
        third, scaled = n_features // 3, Z * fit.standardisation_[1]
        for part in range(3):
            columns = slice(part * third, (part + 1) * third)
            expected = scaled[:, columns] @ fit.coef_[:, columns].T
            torch.testing.assert_close(found.parts[part].double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_a_joint_fit_has_a_time_course(recorded):
    decoder, bands = StackedRidge(bands=(12, 12), penalty="blocks", scaled=True), [["noise"], ["signal"]]
    found = electrodes.score(*recorded["moving"], decoder, PROTOCOL, resample=True, bands=bands)
    course = found.extra["time_course"]
    assert course[0, :4].min() > 0.7
    assert course[1, 4:].min() > 0.7
    assert abs(course[3:].mean()) < 0.02
