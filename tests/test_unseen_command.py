"""Datasets for test on the command line: printed, stored, and refused where they leave none to train on."""

import json

import pytest


def test_a_dataset_is_predicted_by_fits_to_another(cli, tmp_path):
    flags = ("-m", "fake-net", "--train", "fake-clips-fmri", "--test", "fake-fmri", "--subjects", "mean")
    done = cli("fmri", *flags, "--output", str(tmp_path / "s.json"))
    assert "fake-net on fake-fmri, fitted to fake-clips-fmri: pearson" in done.stdout
    assert "test film  test r  distance" in done.stdout
    (score,) = json.loads((tmp_path / "s.json").read_text())
    assert [row["film"] for row in score["films"]] == ["marbles", "ribbons", "embers", "lanterns", "tides"]
    assert min(row["test"] for row in score["films"]) > 0.7
    assert score["headline"]["normalised"] > 0.9
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
