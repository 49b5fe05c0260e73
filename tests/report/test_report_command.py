import json
from functools import partial

import pandas as pd
import pytest

from src.cli import run_command

main = partial(run_command, "report")


@pytest.fixture
def filled_store(score_store):
    score_store.add(n_layers=2), score_store.add(model="poor", level=0.2, n_layers=2, old=True)
    return score_store


def test_one_file_is_written_and_named(filled_store, tmp_path, capsys):
    assert main(["--output", str(tmp_path / "a" / "report")]) == 0
    path = tmp_path / "a" / "report" / "index.html"
    output = capsys.readouterr()
    assert f"2 scores on 1 benchmark: open {path}" in output.out
    assert "plotting films" in output.err
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_become_files(filled_store, tmp_path, suffix, start):
    assert main(["-q", "-o", str(tmp_path / "r"), "--format", suffix, "--models", "good"]) == 0
    files = sorted((tmp_path / "r" / "figures" / "films-4-splits").iterdir())
    assert [f.name for f in files] == [
        f"{name}.{suffix}" for name in ("profiles", "ranking", "region-layers", "regions-ratio", "units")
    ]
    assert all(f.read_bytes().startswith(start) for f in files)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_tables_become_files_with_the_same_numbers(filled_store, tmp_path, suffix, capsys):
    assert main(["-q", "-o", str(tmp_path / "r"), "--tables", suffix]) == 0
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}[suffix]
    folder = tmp_path / "r" / "tables"
    assert {f.stem for f in folder.glob(f"*.{suffix}")} == {
        "scores",
        "layers",
        "regions",
        "pairs",
        "leaderboard",
        "provenance",
    }
    scores, regions = read(folder / f"scores.{suffix}"), read(folder / f"regions.{suffix}")
    assert scores["model"].tolist() == ["good", "poor"]
    assert scores["low"].notna().tolist() == [True, False]
    assert len(regions) == 6
    record = read(folder / f"provenance.{suffix}").iloc[0]
    options = record["options"] if suffix == "json" else json.loads(record["options"])
    assert options["splits"] == 4
    assert "tables scores" in capsys.readouterr().out


def test_the_same_store_gives_the_same_figures(score_store, tmp_path):
    score_store.add(n_layers=2, regions=())
    for folder in ("a", "b"):
        assert main(["-q", "-o", str(tmp_path / folder), "--format", "svg"]) == 0
    for one in (tmp_path / "a" / "figures").rglob("*.svg"):
        other = tmp_path / "b" / one.relative_to(tmp_path / "a")
        assert one.read_bytes() == other.read_bytes()


def test_bad_input_is_reported_in_one_line(score_store, tmp_path, capsys):
    assert main(["-o", str(tmp_path / "r")]) == 2
    assert "no scores in" in capsys.readouterr().err
    score_store.add()
    (tmp_path / "file").touch()
    assert main(["-o", str(tmp_path / "file")]) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err
    assert main(["-o", str(tmp_path / "r"), "--models", "god"]) == 2
    assert "did you mean good?" in capsys.readouterr().err


def test_left_out_scores_are_named(filled_store, tmp_path, capsys):
    score = filled_store.add(model="bad")
    filled_store.path(score, ".nc").unlink()
    assert main(["-q", "-o", str(tmp_path / "r")]) == 0
    assert "left out: fmri-bad-films" in capsys.readouterr().err
    assert "fmri-bad-films" in (tmp_path / "r" / "index.html").read_text()
