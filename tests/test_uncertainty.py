"""Uncertainty of a stored score: arrays, facts, and the columns that are printed."""

import numpy as np
import pytest

from src.analysis.permutation import Null
from src.evaluate.cross_validate import cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import PER_TARGET, Rule
from src.evaluate.protocol import Protocol
from src.pipeline import Score
from src.pipeline.flags import parse
from src.pipeline.summary import summarise
from src.pipeline.uncertainty import interval_arrays, permutation_arrays
from tests.analysis.fmri_like import problem

PROTOCOL = Protocol().title

REGIONS = np.array(["V1"] * 3 + ["MT"] * 3)


@pytest.fixture(scope="module")
def arrays():
    made = problem(0, films_s=(120, 90), n_layers=2, n_targets=6, n_features=5, signal=1.0, n_splits=3)
    groups = {region: np.flatnonzero(region == REGIONS) for region in ("V1", "MT")}
    result = cross_validate_problem(made, Ridge(), "pearson", groups=groups)
    found = {"layers": np.array(["early", "late"]), "valid": result.valid, "test": result.test}
    found |= {"target_target_id": np.arange(6), "target_region": REGIONS, "ceiling": np.full(6, 0.8)}
    found["masked"] = np.arange(6) == 5
    found |= interval_arrays(result.resampling, found, 80, 0)
    null = Null(0.1 * np.random.default_rng(0).standard_normal((99, 6)))
    return found | permutation_arrays(null, found)


@pytest.fixture
def facts(arrays):
    header = {"benchmark": "fmri", "model": "m", "datasets": ["d"], "metric": "pearson"}
    header["options"] = {"splits": 3, "protocol": "published 1", "layer_choice": "over splits"}
    return header | summarise(arrays, {})


def test_the_facts_hold_interval_and_p_of_the_best_layer(arrays, facts):
    interval, best = facts["interval"], next(row for row in facts["layers"] if row["best"])
    assert facts["headline"] == facts["one_layer"]
    assert facts["headline"]["layer"] == best["layer"] == "early"
    assert facts["headline"]["low"] == interval["low"]
    assert interval["low"] < best["test"] < interval["high"]
    assert interval["low_normalised"] < best["normalised"] < interval["high_normalised"]
    assert (interval["n"], interval["unit"]) == (80, "segments")
    assert facts["permutation"] == {"p": 0.01, "n": 99, "significant": 6, "of": 6}
    for row in facts["regions"]:
        assert row["low"] < row["test"] < row["high"]
    assert arrays["low"].shape == arrays["q"].shape == (6,)
    assert np.all(arrays["q"] >= arrays["p"])


def test_interval_and_p_are_printed_for_the_best_layer_only(arrays, facts):
    text = Score(facts, arrays).summary()
    chosen, other = (
        next(line for line in text.splitlines() if line.startswith(f"{mark} ")) for mark in (">", "  late")
    )
    assert "95 %  95 % of test/ceiling     p" in text
    assert f"{facts['interval']['low']:.3f} to {facts['interval']['high']:.3f}" in chosen
    assert " to " not in other
    assert "80 samples of segments" in text
    assert "99 permutations; 6 of 6 units above chance at q < 0.05 (BH-FDR)" in text


def test_a_score_without_interval_and_p_prints_neither(arrays, facts):
    bare = {k: v for k, v in arrays.items() if k not in ("bootstrap", "null", "p", "q", "low", "high", "resampled")}
    bare = {k: v for k, v in bare.items() if not k.startswith("bootstrap")}
    found = summarise(bare, {})
    assert (found["interval"], found["interval_one_layer"], found["permutation"]) == (None, None, None)
    text = Score(facts | found, bare).summary()
    assert "95 %" not in text
    assert "  p" not in text.splitlines()[1]
    assert "low" not in found["regions"][0]


def test_the_table_has_interval_and_p_for_the_best_layer_only(arrays, facts):
    table = Score(facts, arrays).to_dataframe()
    chosen = table["layer"] == "early"
    for column in ("low", "high", "p", "q"):
        assert table.loc[chosen, column].notna().all()
        assert table.loc[~chosen, column].isna().all()
    np.testing.assert_allclose(table[chosen & (table["split"] == 0)]["low"], arrays["low"])


def test_the_flags_reach_the_request(capsys):
    request = parse("fmri", ["-m", "x", "--bootstrap", "200", "--permutations", "50"]).request
    assert (request.bootstrap, request.permutations) == (200, 50)
    assert parse("behaviour", ["-m", "x", "--bootstrap", "0"]).request.bootstrap == 0
    with pytest.raises(SystemExit):
        parse("fmri", ["-m", "x", "--bootstrap", "10"])
    assert "--bootstrap: 10; expected 0, or at least 40" in capsys.readouterr().err


def test_a_layer_per_unit_is_the_headline_and_has_its_own_interval(arrays):
    made = problem(0, films_s=(120, 90), n_layers=2, n_targets=6, n_features=5, signal=1.0, n_splits=3)
    rule = Rule(headline=PER_TARGET)
    result = cross_validate_problem(made, Ridge(penalty="blocks", scaled=True), "pearson", rule=rule)
    found = {"layers": np.array(["early", "late"]), "valid": result.valid, "test": result.test}
    found |= {"target_target_id": np.arange(6), "target_region": REGIONS, "layer_choice": rule.to_array()}
    found["crossed"] = np.full((6, 3), 0.8)
    found["ceiling"] = np.full(6, 0.8)
    found |= interval_arrays(result.resampling, found, 80, 0)
    facts = summarise(found, {})
    assert facts["headline"] == facts["best_per_unit"]
    expected = np.median(rule.test(found), axis=0).mean()
    assert facts["headline"]["test"] == pytest.approx(expected)
    for row in (facts["headline"], facts["one_layer"], *facts["regions"]):
        assert row["low"] < row["test"] < row["high"]
    assert facts["one_layer"]["low_normalised"] < facts["one_layer"]["normalised"]
    facts |= {"benchmark": "fmri", "model": "m", "datasets": ["d"], "metric": "pearson"}
    facts["options"] = {"splits": 3, "protocol": PROTOCOL, "layer_choice": "nested"}
    text = Score(facts, found).summary()
    assert "> best layer per unit" in text
    assert f"protocol {PROTOCOL}" in text
    table = Score(facts, found).to_dataframe()
    assert (table.groupby(["target_id", "split"])["chosen"].sum() == 1).all()
