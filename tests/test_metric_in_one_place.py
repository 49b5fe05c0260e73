"""A metric that is added as one entry of METRICS works in scores, intervals, p, tables, the report and exports."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import src as dv
from src.config import Config
from src.data.films import write_lossless
from src.evaluate.metrics import METRICS, PredictionMetric, RowMeans
from src.pipeline.run import Run
from src.report.export import write_report
from src.utils import BadInput

OPTIONS = {"splits": 3, "bootstrap": 60, "permutations": 19, "device": "cpu"}
FACTS = {"citation": "mine", "licence": "mine", "access": "own", "source": "mine"}


def mean_error(predicted, true, weights=None):
    return np.average(np.abs(np.asarray(predicted) - np.asarray(true)), axis=0, weights=weights)


SIMPLE = PredictionMetric(
    *("mean_error", "error", "mean absolute error", "numbers"),
    bounds=(0.0, float("inf")),
    direction=-1,
    value=mean_error,
    statistic=RowMeans(lambda predicted, true: np.abs(np.asarray(predicted) - np.asarray(true))[None]),
)
BARE = PredictionMetric(
    *("third", "third", "a third", "numbers"), value=lambda predicted, true, weights: np.full(true.shape[1], 0.123)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Homes, and a declared recording of four units that follow the brightness of a quadrant each."""
    home, rng = tmp_path_factory.mktemp("metric"), np.random.default_rng(0)
    config = Config(home, home / "activations", home / "results", home, cores=1)
    brightness = rng.uniform(0, 1, (24, 6, 2, 2))
    frames = [(255 * film).astype(np.uint8).repeat(3, axis=0).repeat(16, 1).repeat(16, 2) for film in brightness]
    films = [write_lossless(home / f"{i}.mkv", film, fps=30) for i, film in enumerate(frames)]
    values = brightness.reshape(24, 1, 6, 4) + rng.normal(0, 0.05, (24, 2, 6, 4))
    units = {"unit_id": list("abcd"), "region": list("AABB")}
    load = lambda folder: dv.responses(films, values, bin_ms=100, units=units)  # noqa: E731
    return config, dv.Electrodes(name="mine", study="mine", load=load, **FACTS)


def scored(place, metric, model="fake-image-net", **options):
    config, declared = place
    return dv.score(model, declared, config=config, metric=metric, **OPTIONS | options)


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(METRICS, "mean_error", SIMPLE)
    monkeypatch.setitem(METRICS, "third", BARE)


def test_it_works_throughout(place, added, tmp_path):
    plain, error = scored(place, ["pearson", "mean_error"])
    assert (plain.facts["metric"], error.facts["metric"]) == ("pearson", "mean_error")
    # the smallest error is the best layer, its interval is above 0 and holds it, and permutations are worse
    best = min(error.facts["layers"], key=lambda row: row["valid"])
    assert best["best"]
    headline, interval = error.facts["headline"], error.facts["interval"]
    assert 0 < interval["low"] < headline["test"] < interval["high"] < 0.3
    assert np.all(error.arrays["null"] > headline["test"])
    assert error.facts["permutation"]["p"] == 0.05
    text = error.summary()
    for expected in ("mean_error, median of 4 units", "test error", "95 %", "0.05"):
        assert expected in text
    assert "<b>" in error._repr_html_()
    assert f"test error {headline['test']:.3f}" in repr(error)
    for suffix in ("csv", "nc", "json"):
        error.write(tmp_path / f"s.{suffix}")
    assert set(pd.read_csv(tmp_path / "s.csv")["metric"]) == {"mean_error"}
    with xr.open_dataset(tmp_path / "s.nc") as data:
        assert json.loads(data.attrs["facts"])["metric"] == "mean_error"
    # stored: nothing is computed again, and the default is the score without the option
    assert scored(place, "mean_error").key == error.key
    assert scored(place, ()).key == scored(place, "pearson").key == plain.key


def test_the_report_ranks_the_smaller_score_first(place, added, tmp_path):
    for model in ("fake-image-net", "pixels", "motion-energy"):  # the third sees no brightness
        scored(place, ["pearson", "mean_error"], model)
    report = write_report(place[0], tmp_path / "report", tables="csv", figures="svg")
    rows = pd.read_csv(tmp_path / "report" / "tables" / "scores.csv")
    own = rows[rows["metric"] == "mean_error"]
    assert own["benchmark"].iloc[0] == "mine (3 splits, metric mean_error)"
    assert own.sort_values("rank")["test"].is_monotonic_increasing
    assert len(own) == 3
    page = report.page.read_text()
    assert "mean absolute error" in page
    assert "Kendall" in page
    agreed = pd.read_csv(tmp_path / "report" / "tables" / "metrics.csv")
    assert agreed[["metric", "other", "models"]].to_numpy().tolist() == [["pearson", "mean_error", 3]]
    assert agreed["low"][0] <= agreed["tau"][0] <= agreed["high"][0]
    assert agreed["tau"][0] > 0
    assert (tmp_path / "report" / "figures" / "metrics.svg").stat().st_size > 0


def test_a_metric_without_a_resampling_rule_says_so(place, added):
    score = scored(place, "third")
    assert score.facts["headline"]["test"] == pytest.approx(0.123)
    assert score.facts["interval"] is None
    assert "bootstrap" not in score.arrays
    # every permutation scores the same
    assert score.facts["permutation"]["p"] == 1
    assert "95 % interval none: the metric third has no resampling rule" in score.summary()


def test_metrics_in_units_of_the_ceiling_are_todays_test_over_ceiling(place):
    plain, divided, squared, of_squared = scored(place, ["pearson", "normalised_r", "r2", "normalised_r2"])
    for raw, scaled in ((plain, divided), (squared, of_squared)):
        assert scaled.facts["headline"]["test"] == pytest.approx(raw.facts["headline"]["normalised"], rel=1e-12)
        assert scaled.facts["one_layer"]["test"] == pytest.approx(raw.facts["one_layer"]["normalised"], rel=1e-12)
        ends = ("low_normalised", "high_normalised")
        assert [scaled.facts["interval"][n] for n in ("low", "high")] == [raw.facts["interval"][n] for n in ends]
        found, expected = (
            [row[n] for row in one.facts["regions"]] for one, n in ((scaled, "test"), (raw, "normalised"))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert scaled.facts["ceiling"] is None
        np.testing.assert_array_equal(scaled.arrays["p"], raw.arrays["p"])
        for row in scaled.facts["regions"]:
            assert row["low"] < row["test"] < row["high"]
    np.testing.assert_allclose(squared.arrays["ceiling"], plain.arrays["reliability"])
    assert "ceiling" in plain.summary()
    assert "test r / ceiling" in divided.summary()


def test_regions_are_compared_without_a_fit(place, tmp_path):
    rsa, cka = scored(place, ["rsa_whitened", "cka"])
    assert rsa.facts["targets"] == 2
    assert list(rsa.arrays["target_target_id"]) == ["A", "B"]
    assert "median of 2 regions" in rsa.summary()
    assert "> best layer per region" in rsa.summary()
    assert rsa.facts["interval"]["low"] < rsa.facts["headline"]["test"] < rsa.facts["interval"]["high"]
    assert rsa.facts["permutation"]["n"] == 19
    cka.write(tmp_path / "cka.csv")
    assert set(pd.read_csv(tmp_path / "cka.csv")["target_id"]) == {"A", "B"}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("spearman", r"unknown metric 'spearman'"),
        ("top5", r"--metric top5: not for predictions by the decoder ridge; expected one of: pearson, r2, .*rsa"),
        ("O2", r"--metric O2: not for predictions by the decoder ridge"),
    ],
)
def test_metrics_that_do_not_fit_are_refused_in_a_line(place, metric, message):
    with pytest.raises(BadInput, match=message) as error:
        scored(place, metric)
    assert "\n" not in str(error.value)


def test_a_score_in_units_of_the_ceiling_needs_one(place):
    with pytest.raises(BadInput, match="--metric normalised_r without a noise ceiling; expected data with one"):
        scored(place, "normalised_r", ceiling=False)


def test_a_metric_that_is_added_later_extracts_nothing_and_a_similarity_fits_nothing(place, monkeypatch):
    scored(place, "pearson")
    forbidden = lambda *inputs, **options: pytest.fail("computed again")  # noqa: E731
    monkeypatch.setattr(Run, "_extract", forbidden)
    assert scored(place, "r2").facts["headline"]["test"] > 0.5
    monkeypatch.setattr("src.evaluate.similarity.cross_validate_metrics", forbidden)
    assert scored(place, "soft_matching").facts["targets"] == 2
