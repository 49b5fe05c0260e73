"""The bundle in the package: it is found by its name, and is that of the present protocol and data.

After a change of scores these tests fail until `make baselines` was run again. A change of the sources of a stage that
leaves the scores as they are does not concern them: a key holds versions, protocol and digests of the inputs.
"""

import re
from dataclasses import replace

import pytest

from src import data
from src.config import Config
from src.pipeline import keys
from src.report.against import list_of, rank_against, request_of
from src.report.bundle import SHIPPED, read_bundle, row_name, write_bundle
from src.report.scores import collect
from src.store import ScoreKey
from tests.conftest import ROOT

REMEDY = "run `make baselines` and commit src/report/baselines"
MODELS = re.search(r"for model in (.*); do", (ROOT / "Makefile").read_text())[1].split()


@pytest.fixture(scope="module")
def bundle():
    return read_bundle("baselines")


def stale(bundle, key_of) -> dict[str, list[str]]:
    """Return the rows that differ from their present key, {field with both values: names}."""
    found: dict[str, list[str]] = {}
    for row in bundle.scores:
        key = key_of(row)
        options = dict(key.options)
        pairs = {name: (row[name], list_of(getattr(key, name))) for name in ("version", "data", "activations")}
        pairs["protocol"] = (row["protocol"], options["protocol"])
        pairs["options"] = (dict(row["options"]), options)
        for name, (theirs, ours) in pairs.items():
            if theirs != ours:
                found.setdefault(name, []).append(row_name(row))
    return found


@pytest.mark.slow
def test_it_is_that_of_the_present_protocol_and_data(bundle, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    config = replace(
        Config.from_env(), data_home=home / "data", results_home=home / "results", activations_home=home / "activations"
    )

    def key_of(row):
        (key,) = (key for key in keys(request_of(row), config) if isinstance(key, ScoreKey))
        return key

    found = {field: f"{len(names)} rows, first {names[0]}" for field, names in stale(bundle, key_of).items()}
    assert not found, f"the shipped bundle is of another {', '.join(f'{k} ({v})' for k, v in found.items())}; {REMEDY}"


def test_it_has_every_embedded_dataset_and_every_model_of_its_target(bundle):
    embedded = {name for known in data.BY_BENCHMARK.values() for name, one in known.items() if one.access == "embedded"}
    wanted = {(model, dataset) for model in MODELS for dataset in embedded}
    there = {(row["model"], *row["datasets"]) for row in bundle.scores}
    missing = sorted(wanted - there)
    assert not missing, f"the shipped bundle lacks {len(missing)} scores, first {missing[0]}; {REMEDY}"
    assert there <= wanted


def test_the_right_model_is_the_best_on_what_was_planted_from_it(bundle):
    for dataset in ("fake-fmri", "fake-clips-fmri", "fake-electrodes", "fake-behaviour"):
        rows = [row for row in bundle.scores if row["datasets"] == [dataset]]
        assert max(rows, key=lambda row: row["test"])["model"] == "fake-net", dataset


def test_it_is_small_and_names_no_place(bundle):
    size = sum(file.stat().st_size for file in SHIPPED["baselines"].iterdir())
    assert size < 200_000
    for file in SHIPPED["baselines"].iterdir():
        assert not re.search(rb"/(home|root|work|tmp|Users)/", file.read_bytes()), file.name


def test_a_folder_of_the_same_name_comes_first(score_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    score_store.add(), score_store.add(model="poor", level=0.2)
    write_bundle(score_store.config, "baselines", models=["poor"], replicates=False)
    assert set(read_bundle("baselines").tables) == {"scores", "regions", "layers"}
    ranking = rank_against(collect(score_store.config)[0], ["baselines"])
    assert [row["model"] for row in ranking.rows] == ["good", "poor"]
