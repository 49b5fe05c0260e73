"""If we got it right, would we know? Films with planted responses, scored as a user scores them."""

import json
import re

import numpy as np
import pandas as pd
import pytest

# the closed forms hold for responses as they were planted, over whole films
PLANTED = ("-m", "fake-net", "-d", "fake-fmri", "--audit", "--runs", "averaged", "--high-pass", "0")
PLANTED += ("--ceiling-rows", "all")


def scores(cli, script, *arguments, name="scores.parquet", **environment):
    """The tidy table that a script writes, and what it prints."""
    path = cli.home / name
    done = cli(script, *arguments, "--output", path, **environment)
    return pd.read_parquet(path), done.stdout


@pytest.fixture(scope="session")
def planted(cli):
    """fake-net on fake-fmri, with the null beside it."""
    return scores(cli, "fmri", *PLANTED, name="planted.parquet")


def per_unit(table, column="test"):
    """Mean over splits: a row per unit, a column per layer."""
    return table.pivot_table(index="target_id", columns="layer", values=column, sort=False, dropna=False)


def units(table):
    return table.drop_duplicates("target_id").set_index("target_id")


def test_the_planted_layer_reaches_the_closed_form_best_in_every_region(planted):
    table, _ = planted
    facts, test = units(table), per_unit(table)
    for region, members in facts[facts["target_planted_layer"] != ""].groupby("target_region"):
        right = members["target_planted_layer"].iloc[0]
        reached = test.loc[members.index]
        gap = (members["target_best_r"] - reached[right]).median()
        assert abs(gap) < 0.05, f"{region}: {right} misses the best possible r by {gap:.3f}"
        wrong = reached.drop(columns=right).median()
        assert wrong.max() < reached[right].median() - 0.1, f"{region}: {wrong.idxmax()} reaches {wrong.max():.3f}"


def test_the_planted_model_reaches_the_ceiling_and_leads_pixels(cli):
    """By the default protocol; the best single layer of the planted model is no better than pixels."""
    headline = {}
    for model in ("fake-net", "pixels"):
        path = cli.home / f"{model}.json"
        cli("fmri", "-m", model, "-d", "fake-fmri", "--output", path)
        (score,) = json.loads(path.read_text())
        headline[model] = score["headline"]
    assert headline["fake-net"]["layer"] == "best layer per unit"
    assert 0.95 < headline["fake-net"]["normalised"] < 1.03
    assert headline["fake-net"]["low"] > headline["pixels"]["high"]
    assert headline["pixels"]["normalised"] < 0.25


def test_units_without_signal_and_parted_responses_score_zero(planted):
    table, _ = planted
    facts = units(table)
    silent = facts.index[facts["target_best_r"] == 0]
    assert len(silent) >= 5
    assert per_unit(table).loc[silent].median().abs().max() < 0.06
    assert per_unit(table, "null_test").median().abs().max() < 0.06


def test_the_ceiling_is_the_closed_form_one(planted):
    facts = units(planted[0])
    heard = facts[facts["target_best_r"] > 0.5]
    np.testing.assert_allclose(heard["ceiling"], heard["target_best_r"], atol=0.06)
    assert facts.loc[facts["target_best_r"] == 0, "masked"].mean() > 0.8
    assert not heard["masked"].any()


def test_the_printed_table_names_the_planted_layer_of_each_region(planted):
    table, printed = planted
    facts = units(table)
    for region, layer in (
        facts.loc[facts["target_best_r"] > 0, ["target_region", "target_planted_layer"]].drop_duplicates().values
    ):
        assert re.search(rf"^{re.escape(region)}\s+{re.escape(layer)}\s", printed, re.M), printed


def test_a_second_run_computes_nothing_prints_the_same_and_imports_nothing_heavy(cli, planted):
    again = cli("fmri", *PLANTED, RESULTCACHING_CACHEDONLY="1")
    assert again.stdout == planted[1]
    assert again.stderr == ""
    imports = cli("fmri", *PLANTED, PYTHONPROFILEIMPORTTIME="1").stderr
    for package in ("torch", "xarray", "pandas", "sklearn", "scipy", "brainscore_vision"):
        assert not re.search(rf"\| +{package}$", imports, re.M), f"a cached run imports {package}"


@pytest.mark.slow
def test_processes_with_other_hash_seeds_give_identical_scores(cli, tmp_path):
    from tests.conftest import Cli

    tables = []
    for seed in ("1", "2"):
        own = Cli.at(tmp_path / seed)
        arguments = ["-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "3", "--layers", "motion", "colour"]
        tables.append(scores(own, "fmri", *arguments, PYTHONHASHSEED=seed)[0])
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_films_and_clips_are_scored_in_one_regression(cli):
    table, printed = scores(cli, "fmri", "-m", "fake-net", "-d", "fake-fmri", "fake-clips-fmri", "--layers", "motion")
    assert "fake-clips-fmri + fake-fmri" in printed
    facts = units(table)
    motion = facts.index[facts["target_planted_layer"] == "motion"]
    reached = per_unit(table).loc[motion, "motion"]
    assert np.median(facts.loc[motion, "ceiling"] - reached) < 0.12


def test_every_output_format_holds_the_same_scores(cli, tmp_path):
    import xarray as xr

    arguments = ["fmri", "-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "3", "--layers", "motion"]
    table = scores(cli, *arguments)[0]
    for suffix in (".csv", ".json", ".nc"):
        cli(*arguments, "--output", tmp_path / f"scores{suffix}")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "scores.csv")["test"], table["test"])
    written = json.loads((tmp_path / "scores.json").read_text())
    np.testing.assert_allclose([row["test"] for row in written[0]["scores"]], table["test"], atol=1e-9)
    assert written[0]["model"] == "fake-net"
    with xr.open_dataset(tmp_path / "scores.nc") as stored:
        np.testing.assert_allclose(stored["test"].values.ravel(), table["test"])
        assert list(stored["target_region"].values[:1]) == [table["target_region"].iloc[0]]
