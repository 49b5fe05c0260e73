"""Datasets for test on the command line: printed, stored, and refused where they leave none to train on."""

import json

import numpy as np
import pytest
import xarray as xr


@pytest.mark.slow
def test_a_dataset_is_predicted_by_fits_to_another(cli, tmp_path):
    flags = ("-m", "fake-net", "--train", "fake-clips-fmri", "--test", "fake-fmri", "--subjects", "mean")
    done = cli("fmri", *flags, "--output", str(tmp_path / "s.json"))
    assert "fake-net on fake-fmri, fitted to fake-clips-fmri: pearson" in done.stdout
    assert "test film  test r  distance  low-level distance" in done.stdout
    assert "in luminance, contrast, cuts and motion energy " in done.stdout
    (score,) = json.loads((tmp_path / "s.json").read_text())
    assert [row["film"] for row in score["films"]] == ["marbles", "ribbons", "embers", "lanterns", "tides"]
    assert min(row["test"] for row in score["films"]) > 0.7
    assert score["headline"]["normalised"] > 0.9
    assert all(0 < row["distance_low_level"] < 100 for row in score["films"])
    assert score["options"]["test"] == "fake-fmri"
    # another score than the joint one, and found again
    again = cli("fmri", "-m", "fake-net", "-d", "fake-fmri", "fake-clips-fmri", *flags[4:], "--dry-run")
    assert " stored " in again.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-d", "fake-fmri", "--test", "fake-fmri"), "all datasets are for test; expected one or more others"),
        (("--train", "fake-fmri", "--test", "nosuch"), "nosuch"),
    ],
)
def test_datasets_that_cannot_be_tested_are_refused(cli, flags, told):
    done = cli("fmri", "-m", "fake-net", *flags, expect=2)
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_each_person_is_scored_without_their_mean(cli, tmp_path):
    flags = ("-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "4", "--subjects", "each")
    done = cli("fmri", *flags, "--output", str(tmp_path / "s.json"))
    assert "pearson, mean of single subjects, median of" in done.stdout
    assert "new films, new people" in done.stdout
    (score,) = json.loads((tmp_path / "s.json").read_text())
    assert score["ceiling"] is None
    assert score["interval"] is None
    assert len(score["subjects"]["rows"]) == 6
    for row in score["subjects"]["rows"]:
        assert row["ceiling_kind"] == "inter-subject"
        assert 0 < row["ceiling_ridge_error"] < 0.1
    cli("fmri", *flags, "--output", str(tmp_path / "s.nc"))
    with xr.open_dataset(tmp_path / "s.nc") as data:
        of_people = data["subject_test"].values
    assert score["headline"]["test"] == pytest.approx(float(np.median(of_people.mean(axis=0), axis=0).mean()), abs=1e-6)
    assert score["subjects"]["score"] == pytest.approx(np.median(of_people, axis=1).mean(), abs=1e-6)
    told = cli("fmri", *flags, "--permutations", "20", expect=2).stderr
    assert "subjects each with permutations; expected ridge regression and Pearson's r alone" in told
