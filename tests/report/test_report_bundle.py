"""Bundles: what is written is read, what was edited is refused with the field, and nothing private travels."""

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest

from src.cli import run_command
from src.evaluate.protocol import Protocol
from src.report.against import different_fields, rank_against
from src.report.bundle import Bundle, file_name_only, merge_bundles, read_bundle, row_digest, write_bundle
from src.report.scores import collect
from src.utils import BadInput

PROTOCOL = Protocol().title

main = partial(run_command, "report")


@pytest.fixture
def bundle(score_store, tmp_path):
    """Folder of a bundle with two models on films and one on choices; the store still holds them."""
    score_store.add(n_layers=2), score_store.add(model="poor", level=0.2, n_layers=2)
    score_store.add(benchmark="behaviour", dataset="choices", n_targets=1, regions=())
    write_bundle(score_store.config, tmp_path / "bundle")
    return tmp_path / "bundle"


def edit(folder, table, change):
    """Change a table of a bundle as a user of pandas would."""
    path = folder / f"{table}.parquet"
    frame = pd.read_parquet(path)
    change(frame)
    frame.to_parquet(path, index=False)


def test_a_bundle_holds_the_scores_and_what_they_rest_on(bundle, score_store):
    found = read_bundle(bundle)
    rows = {(row["model"], *row["datasets"]): row for row in found.scores}
    stored = {(s.label, *b.datasets): s for b in collect(score_store.config)[0] for s in b.scores}
    assert set(rows) == set(stored)
    for name, row in rows.items():
        score = stored[name]
        assert row["test"] == score.headline["test"]
        assert row["normalised"] == score.headline["normalised"]
        assert row["data"] == list(score.item.key["data"])
        assert row["protocol"] == PROTOCOL
        draws = found.tables["replicates"].query("digest == @row['digest']")
        np.testing.assert_array_equal(draws["test"], score.arrays["bootstrap"])
        assert len(found.tables["layers"].query("digest == @row['digest']")) == len(score.facts["layers"])
    assert found.card["protocols"] == [PROTOCOL]
    assert set(found.card["data"]) == {"films", "choices"}
    readme = (bundle / "README.md").read_text()
    assert readme.startswith("---\npretty_name")
    assert re.findall(r"data_files: (.*)", readme) == [f"{n}.parquet" for n in ("scores", "regions", "layers")] + [
        "replicates.parquet"
    ]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("scores", "test", 0.99),
        ("scores", "protocol", "published 1"),
        ("scores", "data", '["0"]'),
        ("regions", "test", 0.9),
        ("layers", "layer", "other"),
        ("replicates", "normalised", 1.0),
    ],
)
def test_an_edited_value_is_refused_and_named(bundle, table, column, value):
    edit(bundle, table, lambda frame: frame.__setitem__(column, [value, *frame[column][1:]]))
    with pytest.raises(BadInput, match=rf"{table}\.parquet was edited: {column}") as error:
        read_bundle(bundle)
    if table == "scores":
        assert "in the row good on films" in str(error.value) or "in the row good on choices" in str(error.value)


def test_added_rows_and_an_edited_card_are_refused(bundle, tmp_path):
    edit(bundle, "regions", lambda frame: frame.drop(index=0, inplace=True))
    with pytest.raises(BadInput, match=r"regions\.parquet has 5 rows .*; expected 6"):
        read_bundle(bundle)
    card = bundle / "card.json"
    card.write_text(card.read_text().replace(PROTOCOL, "default 99"))
    with pytest.raises(BadInput, match=r"card\.json was edited"):
        read_bundle(bundle)
    with pytest.raises(BadInput, match=r"holds no card\.json"):
        read_bundle(tmp_path)


def test_a_file_of_scores_alone_is_checked_by_rows(bundle, tmp_path):
    path = bundle / "scores.parquet"
    assert len(read_bundle(path).scores) == 3

    def forge(frame):
        frame.loc[0, "test"] = 0.99

    edit(bundle, "scores", forge)
    with pytest.raises(BadInput, match="was edited: it differs from its sha256"):
        read_bundle(path)

    def rename(frame):
        """Name another model, and make the row's checksum fit."""
        frame.loc[0, "model"] = "mine"
        frame.loc[0, "sha256"] = row_digest(Bundle("", {}, {"scores": frame}).scores[0])

    edit(bundle, "scores", rename)
    with pytest.raises(BadInput, match="digest is not that of benchmark, model, datasets"):
        read_bundle(path)


def test_rows_of_other_data_or_protocol_are_refused_by_field(score_store, bundle, tmp_path):
    other = tmp_path / "other"
    foreign = score_store.add(model="theirs", level=0.9, options=(("gap_ms", 5.0),))
    write_bundle(score_store.config, other, models=["theirs"])
    for suffix in (".nc", ".json"):
        score_store.path(foreign, suffix).unlink()
    benchmarks, _ = collect(score_store.config)
    with pytest.raises(BadInput, match=r"no row .*\(theirs on films of other: options\.gap_ms 5, yours None"):
        rank_against(benchmarks, [other])
    ranking = rank_against(benchmarks, [bundle, other])
    assert ranking.refused == ["theirs on films of other: options.gap_ms 5, yours None"]
    films = next(b for b in benchmarks if b.datasets == ("films",))
    row = next(row for row in read_bundle(bundle).scores if row["datasets"] == ["films"])
    assert different_fields(films, row) == []
    changes = {"protocol": "published 1", "data": ["1" * 64], "metric": "accuracy", "version": 3}
    for field, value in changes.items():
        (text,) = different_fields(films, row | {field: value})
        assert text.startswith(f"{field} ")


def test_yours_are_ranked_among_theirs(score_store, bundle, tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine"
    monkeypatch.setenv("RESULTCACHING_HOME", str(mine / "results"))
    from src.config import Config
    from tests.report.conftest import ScoreStore

    own = ScoreStore(Config.from_env())
    own.add(model="new", level=0.4, n_layers=2)
    assert main(["-q", "-o", str(tmp_path / "r"), "--tables", "csv", "--against", str(bundle)]) == 0
    shown = capsys.readouterr()
    assert "1 row on datasets without a score of yours" in shown.err
    rows = pd.read_csv(tmp_path / "r" / "tables" / "against.csv")
    assert rows[["rank", "model", "source"]].to_numpy().tolist() == [
        [1, "good", "bundle"],
        [2, "new", "yours"],
        [3, "poor", "bundle"],
    ]
    assert rows["test"].is_monotonic_decreasing
    assert "> 2   new" in shown.out
    page = (tmp_path / "r" / "index.html").read_text()
    assert '<section id="against">' in page
    assert "<strong>new</strong>" in page


def test_rows_are_ranked_by_the_headline(score_store, tmp_path):
    score_store.add(model="theirs", level=0.5, extra=(("ceiling", np.full(30, 0.6)),))
    write_bundle(score_store.config, tmp_path / "theirs")
    score_store.add(model="mine", level=0.6)
    benchmarks, _ = collect(score_store.config, models=["mine"])
    first, second = rank_against(benchmarks, [tmp_path / "theirs"]).rows
    assert (first["model"], second["model"]) == ("theirs", "mine")
    assert first["normalised"] > second["normalised"]
    assert first["test"] < second["test"]


def test_the_same_score_is_listed_once_as_yours(score_store, bundle):
    benchmarks, _ = collect(score_store.config)
    ranking = rank_against(benchmarks, [bundle, bundle])
    films = [row for row in ranking.rows if row["benchmark"] == "films (4 splits)"]
    assert [(row["model"], row["source"]) for row in films] == [("good", "yours"), ("poor", "yours")]


def test_merged_bundles_hold_every_score_once(score_store, bundle, tmp_path, capsys):
    score_store.add(model="third", level=0.5, n_layers=2)
    write_bundle(score_store.config, tmp_path / "second", datasets=["films"])
    assert main(["merge", str(bundle), str(tmp_path / "second"), "-o", str(tmp_path / "all")]) == 0
    assert "4 scores on 2 benchmarks" in capsys.readouterr().out
    merged = read_bundle(tmp_path / "all")
    assert sorted(row["model"] for row in merged.scores) == ["good", "good", "poor", "third"]
    assert len(merged.tables["replicates"]) == 4 * 50
    with pytest.raises(BadInput, match="1 bundle to merge; expected two or more"):
        merge_bundles([bundle], tmp_path / "one")


def test_two_results_of_one_score_are_not_merged(score_store, bundle, tmp_path):
    changed = tmp_path / "changed"
    score_store.path(score_store.add(n_layers=2), ".json")
    for suffix in (".nc", ".json"):
        score_store.path(score_store.add(n_layers=2), suffix).unlink()
    score_store.add(n_layers=2, extra=(("test", np.full((2, 30, 4), 0.1)),))
    write_bundle(score_store.config, changed, datasets=["films"], models=["good"])
    with pytest.raises(BadInput, match=r"good on films has test 0\.\d+, but an earlier bundle has 0\.\d+ under the"):
        merge_bundles([bundle, changed], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_nothing_private_is_in_a_bundle(score_store, tmp_path):
    score_store.add(model="/home/someone/secret/net.py:make", dataset="/data/someone/films.py:load", n_layers=2)
    folder = tmp_path / "bundle"
    write_bundle(score_store.config, folder)
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"someone" not in content
    assert b"secret" not in content
    assert str(score_store.config.results_home).encode() not in content
    (row,) = read_bundle(folder).scores
    assert (row["model"], row["datasets"]) == ("net.py:make", ["films.py:load"])
    assert file_name_only("Finetune-r3d_18=/a/b.pt") == "Finetune-r3d_18=b.pt"
    assert file_name_only("hf:/a/b") == "b"


def test_messages(score_store, bundle, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for arguments, text in (
        (["bundle", "-o", str(tmp_path / "file")], "is a file; expected a folder"),
        (["bundle", "-o", str(tmp_path / "full")], "is a folder with other files"),
        (["verify", str(tmp_path / "full")], "holds no card.json"),
        (["--against", str(tmp_path / "none"), "-o", str(tmp_path / "r")], "holds no card.json"),
    ):
        assert main(arguments) == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    # a bundle is replaced as a whole
    assert main(["bundle", "-o", str(bundle), "--datasets", "choices"]) == 0
    assert "1 score on 1 benchmark" in capsys.readouterr().out
    assert json.loads((bundle / "card.json").read_text())["n_scores"] == 1


def test_parquet_tables_have_a_dataset_card(score_store, tmp_path):
    score_store.add(n_layers=2)
    assert main(["-q", "-o", str(tmp_path / "r"), "--tables", "parquet"]) == 0
    readme = (tmp_path / "r" / "tables" / "README.md").read_text()
    for file in (tmp_path / "r" / "tables").glob("*.parquet"):
        assert f"data_files: {file.name}" in readme
