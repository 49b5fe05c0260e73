"""Scores of single subjects: equal to fits of each alone, with pseudo-values that sum to them, and ceilings."""

from dataclasses import replace

import numpy as np
import pytest

from src.ceiling import inter_subject
from src.evaluate import fmri, subjects
from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.fmri import Part
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import Protocol
from src.evaluate.splits import segment_splits, segments
from src.records import Activations, Responses, Stimuli

N, UNITS, PEOPLE = 240, 12, 4
RNG = np.random.default_rng(3)
X = {name: RNG.standard_normal((N, 8)).astype(np.float32) for name in ("a", "b")}
SIGNAL = np.where(
    np.arange(UNITS) < 6, X["a"] @ RNG.standard_normal((8, UNITS)), X["b"] @ RNG.standard_normal((8, UNITS))
)
Y = (SIGNAL + 2 * RNG.standard_normal((PEOPLE, N, UNITS))).astype(np.float32)
TIME_MS = 1000.0 * np.arange(N)[:, None] + [0, 1000.0]
FILM = np.repeat([0, 1], N // 2)
BLOCKS = segments(FILM, TIME_MS[:, 0], 15_000.0)
SPLITS = segment_splits(FILM, TIME_MS, segment_ms=15_000.0, gap_ms=5_000.0, layout="tiled", n_splits=5)
ONE_PENALTY = Ridge(alphas=[10.0])


def scored(values, decoder=ONE_PENALTY):
    """Return the scores of subjects (n_subjects, n_rows, n_units), and the problem and layers of their mean."""
    people = subjects.People(tuple(map(str, range(len(values)))), lambda k, units: values[k][:, units])
    with np.errstate(invalid="ignore"):
        mean = np.nanmean(values, axis=0)
    other = subjects.sampled_targets(people, UNITS, N)
    problem = Problem({k: lambda k=k: X[k] for k in X}, mean, SPLITS, other=other if other.shape[1] else None)
    result = cross_validate_problem(problem, decoder, "pearson", rule=Rule(True), missing="units")
    rule = Rule(True, "per target")
    layers = rule.layers(result.valid)
    test = rule.test({"valid": result.valid, "test": result.test})
    return subjects.score(problem, decoder, people, result.other, layers, test, BLOCKS), problem, layers


def alone(values, layers, rows=None):
    """Return test r of one subject by a regression of its own, with given layers."""
    rows = np.ones(N, bool) if rows is None else rows
    splits = [split.restricted(rows) for split in SPLITS]
    problem = Problem({k: lambda k=k: X[k] for k in X}, np.where(rows[:, None], values, 0), splits)
    test = cross_validate_problem(problem, ONE_PENALTY, "pearson", rule=Rule(True)).test
    return np.take_along_axis(test, layers[None], axis=0)[0]


def test_a_subject_scores_as_in_a_regression_of_its_own():
    found, _, layers = scored(Y)
    for k in range(PEOPLE):
        np.testing.assert_allclose(found.test[k], alone(Y[k], layers), atol=1e-5)


def test_a_subject_without_a_part_of_the_films_is_scored_on_its_own_rows():
    values = Y.copy()
    values[1, :70] = np.nan
    values[2, 100:110, 3] = np.nan
    found, _, layers = scored(values)
    rows = np.arange(N) >= 70
    expected = alone(values[1], layers, rows)
    for k, split in enumerate(SPLITS):
        if rows[split.test].sum() >= 10:
            np.testing.assert_allclose(found.test[1, :, k], expected[:, k], atol=1e-5)
        else:
            assert np.isnan(found.test[1, :, k]).all()
    np.testing.assert_allclose(found.test[0], alone(values[0], layers), atol=1e-5)
    one = alone(values[2], layers, np.isfinite(values[2, :, 3]))[3]
    np.testing.assert_allclose(found.test[2, 3], one, atol=1e-5)
    lacking = np.setdiff1d(BLOCKS, BLOCKS[rows])
    assert len(lacking)
    assert np.isnan(found.segments[1, lacking]).all()
    assert np.isfinite(found.segments[0]).all()


def test_pseudo_values_average_to_the_score_and_follow_from_its_derivatives():
    found, problem, layers = scored(Y[:, :, :1].repeat(UNITS, axis=2))
    scores = np.median(found.test, axis=1).mean(axis=1)
    np.testing.assert_allclose(found.segments.mean(axis=1), scores, atol=1e-6)
    # all units are equal: the score is the mean over splits of one r, whose derivative is a difference of weighted r
    fits = cross_validate_problem(
        replace(problem, other=Y[0][:, :1].repeat(300, axis=1)), ONE_PENALTY, "pearson", rule=Rule(True)
    ).other
    block, step = 3, 1e-4

    def score_of(weight):
        rs = []
        for k, split in enumerate(SPLITS):
            fit = fits[int(layers[0, k]), k]
            predicted = fit.weights.numpy().astype(float) @ Y[0, :, 0]
            w = np.where(BLOCKS[split.test] == block, weight, 1.0)
            c = np.cov(predicted, Y[0, split.test, 0], aweights=w, ddof=0)
            rs.append(c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]))
        return np.mean(rs)

    slope = (score_of(1 + step) - score_of(1 - step)) / (2 * step)
    tested = np.array([(BLOCKS[split.test] == block).mean() for split in SPLITS])
    of_splits = np.median(found.test[0], axis=0) - scores[0]
    expected = scores[0] + (BLOCKS.max() + 1) * (slope + (of_splits * tested).mean())
    assert found.segments[0, block] == pytest.approx(expected, abs=1e-3)


def test_penalties_of_subjects_are_chosen_by_their_own_noise():
    """Noise that cancels in the mean: its penalty is too small for single subjects."""
    rng = np.random.default_rng(5)
    wide = rng.standard_normal((N, 150)).astype(np.float32)
    noise = rng.standard_normal((PEOPLE, N, UNITS))
    signal = wide @ rng.standard_normal((150, UNITS)) / 12
    values = (signal + 3 * (noise - noise.mean(axis=0))).astype(np.float32)
    people = subjects.People(tuple("abcd"), lambda k, units: values[k][:, units])
    problem = Problem({"wide": lambda: wide}, values.mean(axis=0), SPLITS, other=values.swapaxes(0, 1).reshape(N, -1))

    def median_of(alphas):
        decoder, layers = Ridge(alphas=alphas, penalty="blocks"), np.zeros((UNITS, 5), int)
        result = cross_validate_problem(problem, decoder, "pearson", rule=Rule(True))
        found = subjects.score(problem, decoder, people, result.other, layers, result.test[0], BLOCKS)
        return np.median(found.test), np.median(result.alphas)

    alphas = np.logspace(-2, 4, 7)
    r, of_mean = median_of(alphas)
    assert r > median_of([of_mean])[0] + 0.02


@pytest.fixture
def recorded(tmp_path):
    """A function from values (n_films, n_repetitions, n_time, n_units) and subjects to a part of a regression."""

    def make(values, names):
        paths = tuple(tmp_path / f"film-{k}" for k in range(len(values)))
        for path in paths:
            path.write_text(path.name)
        films = Stimuli("films", tuple(p.name for p in paths), paths, np.full(len(paths), 120_000.0), ("video",) * 2)
        units = {"unit_id": np.arange(values.shape[3]).astype(str)}
        time_ms = TIME_MS[: values.shape[2]]
        layers = {k: x.reshape(2, N // 2, -1) for k, x in X.items()}
        activations = Activations(layers, time_ms, np.full(2, N // 2), films.ids)
        return Part(activations, Responses(films, values, time_ms, units, names))

    return make


def test_subjects_of_a_record_are_scored_with_their_runs_averaged(recorded):
    names = ("p", "p", "q", "q", "r", "r")
    values = (SIGNAL + 2 * RNG.standard_normal((6, N, UNITS))).reshape(6, 2, N // 2, UNITS).swapaxes(0, 1)
    protocol = Protocol(hrf="none", n_splits=5)
    part = recorded(values.astype(np.float32), names)
    found = fmri.score([part], Ridge(penalty="blocks", scaled=True), protocol, each_subject=True)
    assert found.extra["subjects"].tolist() == ["p", "q", "r"]
    assert found.extra["subject_test"].shape == (3, UNITS, 5)
    assert found.extra["subject_shown"].tolist() == [2, 0, 4.0]
    assert 0.3 < np.median(found.extra["subject_test"]) < 1
    ceilings = fmri.subject_ceilings([part], protocol)
    assert set(ceilings["subject_ceiling_kind"]) == {"split-half"}
    single = fmri.score([part], Ridge(penalty="blocks", scaled=True), protocol)
    np.testing.assert_array_equal(single.test, found.test)
    assert "subjects" not in single.extra


def test_a_record_of_single_runs_has_inter_subject_ceilings(recorded):
    values = Y[:3].reshape(3, 2, N // 2, UNITS).swapaxes(0, 1)
    ceilings = fmri.subject_ceilings([recorded(values, ("p", "q", "r"))], Protocol(hrf="none", n_splits=5))
    assert set(ceilings["subject_ceiling_kind"]) == {"inter-subject"}
    assert ceilings["subject_ceiling"].shape == ceilings["subject_ceiling_error"].shape == (3, UNITS)
    one = fmri.score([recorded(values[:, :1], ("p",))], Ridge(), Protocol(hrf="none", n_splits=5), each_subject=True)
    assert "subjects" not in one.extra


def test_ceilings_of_people_of_two_studies(recorded):
    """The people of one study have no run in the other one."""
    rng = np.random.default_rng(9)
    values = (SIGNAL + 2 * rng.standard_normal((6, N, UNITS))).reshape(6, 2, N // 2, UNITS).swapaxes(0, 1)
    one = recorded(values.astype(np.float32), ("p", "p", "q", "q", "r", "r"))
    other = recorded(values[:, :3].astype(np.float32), ("s", "t", "u"))
    protocol = Protocol(hrf="none", n_splits=5, tied=False)
    alone = fmri.subject_ceilings([one], protocol)
    found = fmri.subject_ceilings([one, other], protocol)
    assert found["subject_ceiling_kind"].tolist() == ["split-half"] * 3 + ["inter-subject"] * 3
    assert np.isfinite(found["subject_ceiling"]).all()
    # about the same runs, in other test parts
    np.testing.assert_allclose(
        np.median(found["subject_ceiling"][:3], axis=1), np.median(alone["subject_ceiling"], axis=1), atol=0.06
    )


@pytest.mark.parametrize("alike", [True, False])
def test_a_ridge_from_the_others_finds_what_they_share(recorded, alike):
    """Six people see one signal of four directions; in the second world each mixes them into units in another way."""
    rng = np.random.default_rng(11)
    latent = rng.standard_normal((N, 4))
    mixing = [rng.standard_normal((4, UNITS)) / 2 for _ in range(6)]
    values = [latent @ mixing[0 if alike else k] + rng.standard_normal((N, UNITS)) for k in range(6)]
    part = recorded(np.stack(values).reshape(6, 2, N // 2, UNITS).swapaxes(0, 1).astype(np.float32), tuple("pqrstu"))
    found = fmri.subject_ceilings([part], Protocol(hrf="none", n_splits=5, high_pass_s=0.0))
    signal = np.stack([(mixing[0 if alike else k] ** 2).sum(axis=0) for k in range(6)])
    perfect = np.sqrt(signal / (1 + signal))
    # of six people, the first and the last form a group
    for k in range(6):
        others = [j for j in range(6) if j not in ((0, 5) if k in (0, 5) else (k,))]
        seen = np.mean([mixing[0 if alike else j] for j in others], axis=0)
        left = np.linalg.inv(np.eye(4) + len(others) * seen @ seen.T)  # covariance of the signal, the others known
        own = mixing[0 if alike else k]
        r = perfect[k] * np.sqrt(1 - np.einsum("du,de,eu->u", own, left, own) / signal[k])
        assert np.median(found["subject_ceiling_ridge"][k] - r) == pytest.approx(-0.02, abs=0.07)
    own = np.stack([mixing[0 if alike else k] for k in range(6)])
    others = (own.sum(axis=0) - own) / 5
    by_mean = (own * others).sum(axis=1) / np.sqrt((1 + signal) * ((others**2).sum(axis=1) + 1 / 5))
    assert np.median(found["subject_ceiling"] - by_mean) == pytest.approx(0, abs=0.03)
    error = found["subject_ceiling_ridge_error"]
    assert error.shape == (6, UNITS)
    assert 0.005 < np.median(error) < 0.1


def test_a_ridge_from_unrelated_people_predicts_nothing(recorded):
    values = np.random.default_rng(12).standard_normal((2, 7, N // 2, UNITS)).astype(np.float32)
    found = fmri.subject_ceilings([recorded(values, tuple("pqrstuv"))], Protocol(hrf="none", n_splits=5))
    assert abs(np.median(found["subject_ceiling_ridge"])) < 0.03


def test_rows_that_nobody_else_saw_do_not_count_in_a_ridge_from_the_others(recorded):
    rng = np.random.default_rng(13)
    values = (SIGNAL + rng.standard_normal((3, N, UNITS))).reshape(3, 2, N // 2, UNITS).swapaxes(0, 1)
    whole = fmri.subject_ceilings([recorded(values.astype(np.float32), tuple("pqr"))], Protocol(hrf="none", n_splits=5))
    # one person alone saw the last minute of the second film
    values[1, 1:, -60:] = np.nan
    part = recorded(values.astype(np.float32), tuple("pqr"))
    found = fmri.subject_ceilings([part], Protocol(hrf="none", n_splits=5))
    np.testing.assert_allclose(
        np.median(found["subject_ceiling_ridge"], axis=1), np.median(whole["subject_ceiling_ridge"], axis=1), atol=0.05
    )


def test_unrelated_subjects_do_not_predict_each_other():
    values = RNG.standard_normal((5, N, 40)).astype(np.float32)
    r, error = inter_subject(lambda units: values[..., units], 40, [split.test for split in SPLITS])
    assert abs(r.mean()) < 0.03
    assert 0.02 < np.median(error) < 0.1


def test_the_benchmark_has_the_pseudo_values_of_the_package():
    from benchmarks import subjects as benchmark
    from benchmarks.intervals import Design

    design = Design.of((200, 150))
    blocks = design.blocks(15.0)
    expected = benchmark.score(design, blocks, 1, 1).tables
    models, values = benchmark.simulate(design, blocks, 1, 1, 0.0)
    people = subjects.People(tuple(map(str, range(len(values)))), lambda k, units: values[k][:, units])
    for X, table in zip(models, expected, strict=True):
        other = subjects.sampled_targets(people, benchmark.N_UNITS, len(X))
        problem = Problem({"layer": lambda X=X: X}, values.mean(axis=0), design.splits, other=other)
        decoder = Ridge(alphas=[benchmark.ALPHA * benchmark.N_FEATURES])
        result = cross_validate_problem(problem, decoder, "pearson", missing="units")
        layers = np.zeros((benchmark.N_UNITS, len(design.splits)), int)
        found = subjects.score(problem, decoder, people, result.other, layers, result.test[0], blocks)
        np.testing.assert_allclose(found.segments, table, atol=2e-3)


def test_scores_without_the_mean_subject_are_the_mean_of_single_ones(recorded):
    values = Y[:3].reshape(3, 2, N // 2, UNITS).swapaxes(0, 1)
    part, decoder = recorded(values, ("p", "q", "r")), Ridge(penalty="blocks", scaled=True)
    protocol = Protocol(hrf="none", n_splits=5)
    both = fmri.score([part], decoder, protocol, each_subject=True)
    each = fmri.score([part], decoder, protocol, each_subject=True, without_mean=True, resample=True)
    np.testing.assert_array_equal(each.valid, both.valid)
    np.testing.assert_array_equal(each.extra["subject_test"], both.extra["subject_test"])
    rule = Rule(True, "per target")
    chosen = rule.test({"valid": each.valid, "test": each.test})
    np.testing.assert_allclose(chosen, each.extra["subject_test"].mean(axis=0), atol=1e-6)
    assert each.resampling is None
    # a subject is noisier than their mean
    assert np.median(each.test.max(axis=0)) < np.median(both.test.max(axis=0)) - 0.1
