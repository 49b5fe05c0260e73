import numpy as np
import pytest
from nilearn.glm.first_level import glover_hrf as nilearn_glover_hrf
from nilearn.glm.first_level import spm_hrf as nilearn_spm_hrf
from scipy.signal import lfilter

from src.evaluate import hrf
from src.utils import BadInput

NILEARN = {"spm": nilearn_spm_hrf, "glover": nilearn_glover_hrf}
WIDTHS_S = [0.5, 0.72, 1.0, 1.49, 2.0, 3.0]


@pytest.mark.parametrize("tr_s", [0.5, 1.0, 1.49, 2.0])
def test_the_sampled_response_is_nilearns(tr_s):
    np.testing.assert_allclose(hrf.spm_hrf(tr_s), nilearn_spm_hrf(tr_s, oversampling=1), atol=1e-12)


@pytest.mark.parametrize("width_s", WIDTHS_S)
@pytest.mark.parametrize("name", ["spm", "glover"])
def test_the_response_is_nilearns_to_one_bin_averaged_into_bins(name, width_s):
    # nilearn's fine grid starts one fine sample late
    oversampling = 500
    kernel = hrf.response(name, width_s)
    fine = NILEARN[name](width_s, oversampling=oversampling)
    on = np.zeros(len(kernel) * oversampling)
    on[:oversampling] = 1
    binned = np.convolve(on, fine)[: len(on)].reshape(-1, oversampling).mean(axis=1)
    assert np.corrcoef(binned, kernel)[0, 1] > 0.99999
    np.testing.assert_allclose(binned / binned.sum(), kernel, atol=2e-3)
    assert kernel.sum() == pytest.approx(1)


def test_the_response_to_two_bins_is_that_of_one_bin_of_twice_the_width():
    short, long = hrf.response("spm", 1.0), hrf.response("spm", 2.0)
    two = np.convolve(short, [1, 1])[:32].reshape(-1, 2).mean(axis=1)
    np.testing.assert_allclose(two / two.sum(), long[:16] / long[:16].sum(), atol=1e-4)


def films(width_s, n_films=20, oversampling=50):
    """Return random walks averaged into bins and the finely simulated responses to them: (n_time, n_films) each."""
    n = int(478 / width_s)
    walk = np.cumsum(np.random.default_rng(0).standard_normal((n * oversampling, n_films)), axis=0)
    walk -= walk.mean(axis=0)
    bold = lfilter(nilearn_spm_hrf(width_s, oversampling=oversampling), 1.0, walk, axis=0)
    return tuple(part.reshape(n, oversampling, n_films).mean(axis=1) for part in (walk, bold))


def correlations(a, b):
    return [np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)]


@pytest.mark.parametrize("width_s", WIDTHS_S)
def test_convolved_features_are_the_finely_simulated_response(width_s):
    features, bold = films(width_s)
    found = min(correlations(hrf.convolve(features, 1000 * width_s, "spm"), bold))
    sampled = min(correlations(hrf.convolve(features, 1000 * width_s), bold))
    assert found >= 0.998
    assert found > sampled  # one bin late
    if width_s == 3.0:
        assert sampled < 0.97


@pytest.mark.parametrize("kernel", ["spm", "glover"])
def test_convolution_moves_with_the_mean_of_the_features(kernel):
    features, _ = films(1.0)
    centred = hrf.convolve(features, 1000.0, kernel)
    np.testing.assert_allclose(hrf.convolve(features + 10, 1000.0, kernel), centred + 10, rtol=1e-4, atol=1e-4)
    kept = hrf.convolve(np.full((40, 2), 10.0), 1000.0, kernel)
    np.testing.assert_allclose(kept, 10)
    assert kept.dtype == np.float32


def test_bins_after_the_end_of_a_film_change_nothing_before():
    features, _ = films(1.0)
    longer = np.concatenate([features, np.full((30, features.shape[1]), np.nan)])
    found = hrf.convolve(longer, 1000.0, "spm")
    np.testing.assert_allclose(found[: len(features)], hrf.convolve(features, 1000.0, "spm"), rtol=1e-5)
    assert np.isnan(found[len(features) :]).all()
    for copy, whole in zip(hrf.delayed(longer, [0, 4]), hrf.delayed(features, [0, 4]), strict=True):
        np.testing.assert_allclose(copy[: len(features)], whole, rtol=1e-5)


def test_convolution_is_causal_and_that_of_numpy():
    features, _ = films(1.0)
    kernel, mean = hrf.response("glover", 1.0), features.mean(axis=0)
    expected = np.stack([np.convolve(column, kernel)[: len(features)] for column in (features - mean).T], axis=1)
    found = hrf.convolve(features, 1000.0, "glover")
    np.testing.assert_allclose(found, expected + mean, rtol=1e-5, atol=1e-4)
    later = features.copy()
    later[30:] = features[:29:-1]  # of equal mean
    np.testing.assert_allclose(hrf.convolve(later, 1000.0, "glover")[:30], found[:30], rtol=1e-5, atol=1e-4)


def test_no_kernel_and_an_unknown_one():
    features = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    np.testing.assert_array_equal(hrf.convolve(features, 1000.0, "none"), features)
    with pytest.raises(BadInput, match="response function 'boynton'; expected one of spm, glover"):
        hrf.convolve(features, 1000.0, "boynton")


def test_the_sampled_convolution_is_causal_and_that_of_numpy():
    features = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    kernel = nilearn_spm_hrf(1.0, oversampling=1)
    expected = np.stack([np.convolve(column, kernel)[:50] for column in features.T], axis=1)
    np.testing.assert_allclose(hrf.convolve(features, 1000.0), expected, atol=1e-5)
    later = features.copy()
    later[30:] = 7
    np.testing.assert_array_equal(hrf.convolve(later, 1000.0)[:30], hrf.convolve(features, 1000.0)[:30])


def test_delay_moves_features_to_later_bins():
    features = np.arange(8, dtype=np.float32)[:, None]
    late = hrf.delay(features, 1000.0, 5000.0)
    assert np.isnan(late[:5]).all()
    np.testing.assert_array_equal(late[5:, 0], [0, 1, 2])
    assert np.isnan(hrf.delay(features[:3], 1000.0)).all()


@pytest.mark.parametrize(
    ("width_ms", "expected"),
    [(500.0, range(4, 21)), (1000.0, range(2, 11)), (1490.0, range(1, 8)), (3000.0, (1, 2, 3)), (30_000.0, (0,))],
)
def test_delays_span_2_to_10_s(width_ms, expected):
    assert hrf.delay_bins(width_ms) == tuple(expected)


def test_delayed_copies_explain_a_response_of_any_shape():
    rng = np.random.default_rng(0)
    features = 10 + rng.standard_normal((300, 4))
    centred = features - features.mean(axis=0)
    shape = rng.standard_normal((4, 9))
    delays = hrf.delay_bins(1000.0)
    signal = sum(
        np.convolve(np.r_[0, 0, weights], column)[:300] for weights, column in zip(shape, centred.T, strict=True)
    )
    copies = list(hrf.delayed(features, delays))
    assert all(copy.shape == (300, 4) and copy.dtype == np.float32 for copy in copies)
    X = np.hstack(copies)
    weights, *_ = np.linalg.lstsq(X, signal, rcond=None)
    np.testing.assert_allclose(X @ weights, signal, atol=1e-4)
    np.testing.assert_allclose(weights.reshape(9, 4).T, shape, atol=1e-5)
