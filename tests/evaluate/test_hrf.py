import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf as nilearn_spm_hrf

from src.evaluate import hrf


@pytest.mark.parametrize("tr_s", [0.5, 1.0, 1.49, 2.0])
def test_the_response_is_nilearns(tr_s):
    np.testing.assert_allclose(hrf.spm_hrf(tr_s), nilearn_spm_hrf(tr_s, oversampling=1), atol=1e-12)


def test_convolution_is_causal_and_that_of_numpy():
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
