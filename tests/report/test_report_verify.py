"""`report verify` computes rows again and finds a bundle whose tables and checksums were all forged."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from src.cli import run_command
from src.config import Config
from src.pipeline import Score
from src.report import against
from src.report.bundle import Bundle, _write, read_bundle, row_digest, write_bundle
from tests.conftest import Cli
from tests.report.conftest import SyntheticScore

main = partial(run_command, "report")


def forged(bundle, folder, column, value):
    """Write a bundle with a changed first row and all checksums made to fit."""
    found = read_bundle(bundle)
    scores = found.tables["scores"].copy()
    scores.loc[0, column] = value
    scores.loc[0, "sha256"] = row_digest(Bundle("", {}, {"scores": scores}).scores[0])
    _write({**found.tables, "scores": scores}, folder)
    return folder


@pytest.fixture
def recomputed(score_store, tmp_path, monkeypatch):
    """Bundle of two models; computing a score returns what the store holds."""
    score_store.add(n_layers=2), score_store.add(model="poor", level=0.2, n_layers=2)
    write_bundle(score_store.config, tmp_path / "bundle")
    stored = {item.model: item for item in score_store.store.items() if item.kind == "score"}
    requests = []

    def score(request, config, report):
        requests.append((request, config))
        return iter([Score(stored[request.model].facts, {})])

    monkeypatch.setattr(against, "keys", lambda request, config: [SyntheticScore(model=request.model).key])
    monkeypatch.setattr(against, "score", score)
    return tmp_path / "bundle", requests


def test_the_same_results_are_confirmed(recomputed, capsys):
    bundle, requests = recomputed
    assert main(["verify", str(bundle), "--rows", "5", "-q"]) == 0
    assert "2 of 2 rows computed again with the same results" in capsys.readouterr().out
    request, config = requests[0]
    assert (request.benchmark, request.datasets, request.protocol, request.splits) == ("fmri", ("films",), "default", 4)
    assert request.bootstrap == 50
    # in a store of its own, so that nothing is read back
    assert config.results_home != Config.from_env().results_home


def test_a_forged_result_is_found_and_named(recomputed, tmp_path, capsys):
    bundle, _ = recomputed
    first = read_bundle(bundle).scores[0]
    folder = forged(bundle, tmp_path / "forged", "test", first["test"] + 0.05)
    read_bundle(folder)
    assert main(["verify", str(folder), "--rows", "2", "-q"]) == 2
    printed = capsys.readouterr().out
    assert f"test {first['test'] + 0.05:g}, computed again {first['test']:g}" in printed
    assert "1 of 2 rows computed again with the same results" in printed


def test_other_data_here_are_named(recomputed, monkeypatch, capsys):
    bundle, _ = recomputed
    made = against.keys
    monkeypatch.setattr(against, "keys", lambda *args: [replace(key, data=("0" * 64,)) for key in made(*args)])
    assert main(["verify", str(bundle), "--rows", "1", "-q"]) == 2
    assert "data is not that of this installation" in capsys.readouterr().out


def test_rows_are_chosen_by_the_seed(recomputed):
    bundle, _ = recomputed
    config = Config.from_env()
    chosen = {against.verify_bundle(config, bundle, 1, seed)[0].row["model"] for seed in range(8)}
    assert chosen == {"good", "poor"}
    again = [against.verify_bundle(config, bundle, 1, 3)[0].row["model"] for _ in range(3)]
    assert len(set(again)) == 1


@pytest.mark.slow
def test_scores_of_the_embedded_data_are_computed_again(embedded_home, tmp_path):
    cli = Cli.at(tmp_path / "home", embedded_home)
    cli("electrodes", "-m", "pixels", "-d", "fake-electrodes", "--splits", "3", "--bootstrap", "0")
    # options of the model, which are in the key of its activations alone
    options = ("--layers", "motion", "--inference-mode", "causal", "--context-duration", "200")
    cli("fmri", "-m", "fake-net", "-d", "fake-fmri", "--splits", "3", "--bootstrap", "0", "--no-ceiling", *options)
    cli("fmri", "-m", "pixels", "-d", "fake-fmri", "--splits", "3", "--bootstrap", "0", "--no-ceiling", "--fps", "10")

    def report(*arguments):
        command = [sys.executable, "-m", "src", "report", *map(str, arguments)]
        return subprocess.run(command, env=cli.environment(), capture_output=True, text=True)

    assert report("bundle", "-o", tmp_path / "bundle").returncode == 0
    done = report("verify", tmp_path / "bundle")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 rows computed again with the same results" in done.stdout
    first = float(pd.read_parquet(tmp_path / "bundle" / "scores.parquet")["test"].iloc[0])
    done = report("verify", forged(tmp_path / "bundle", tmp_path / "forged", "test", first + 0.01))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "computed again" in done.stdout
    assert "2 of 3 rows computed again with the same results" in done.stdout
