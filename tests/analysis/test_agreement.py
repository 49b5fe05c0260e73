"""Agreement of rankings: Kendall's tau of another implementation, and intervals that follow from the draws."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from src.analysis.agreement import kendall, ranking_agreement


@pytest.mark.parametrize("decimals", [1, 6])
def test_tau_equals_scipy_with_and_without_ties(decimals):
    for seed in range(20):
        a, b = np.round(np.random.default_rng(seed).standard_normal((2, 12)), decimals)
        assert kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)
    assert np.isnan(kendall(np.ones(3), np.arange(3.0)))


def test_unrelated_rankings_have_a_tau_of_0():
    rng = np.random.default_rng(0)
    found = [kendall(*rng.standard_normal((2, 10))) for _ in range(400)]
    assert abs(np.mean(found)) < 0.04


def test_the_interval_is_a_point_for_models_far_apart_and_wide_for_equal_ones():
    rng = np.random.default_rng(0)
    a = np.arange(6.0)
    apart = [[x + 0.01 * rng.standard_normal(200) for x in a] for _ in range(2)]
    assert ranking_agreement(a, a, tuple(apart)) == {"tau": 1.0, "low": 1.0, "high": 1.0}
    close = [[0.001 * x + rng.standard_normal(200) for x in a] for _ in range(2)]
    found = ranking_agreement(a, a, tuple(close))
    assert found["low"] < -0.2
    assert found["high"] == found["tau"] == 1.0
    assert ranking_agreement(a, -a)["tau"] == -1
