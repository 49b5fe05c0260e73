import numpy as np
import pytest

from src.analysis.aggregate import headline_test
from src.report.rows import leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from src.report.scores import collect
from src.store import ScoreKey


def benchmarks(score_store):
    return {b.title.partition(" (")[0]: b for b in collect(score_store.config)[0]}


def test_a_score_row_has_the_stored_values(score_store):
    score = score_store.add()
    (row,) = score_rows(benchmarks(score_store)["films"])
    arrays = score.arrays()
    assert row["test"] == pytest.approx(np.median(headline_test(arrays), axis=0).mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.percentile(arrays["bootstrap"], [2.5, 97.5])))
    assert (row["p"], row["significant"], row["layer"], row["rank"]) == (
        pytest.approx(1 / 21),
        30,
        "best layer per unit",
        1,
    )
    assert row["one_layer"] == pytest.approx(row["test"], abs=0.02)
    assert row["one_layer_name"] == "block.2"


def test_values_missing_in_an_old_score_are_none(score_store):
    score_store.add(old=True)
    (row,) = score_rows(benchmarks(score_store)["films"])
    assert row["test"] > 0.3
    assert all(row[name] is None for name in ("low", "high", "normalised_low", "p", "significant", "accuracy", "null"))


def test_a_superseded_score_has_no_rank(score_store):
    score_store.add(old=True)
    score_store.add()
    assert [row["rank"] for row in score_rows(benchmarks(score_store)["films"])] == [1, None]


def test_a_region_row_has_the_best_layer_of_the_region(score_store):
    score_store.add()
    rows = region_rows(benchmarks(score_store)["films"])
    assert [(row["region"], row["targets"]) for row in rows] == [("V1", 10), ("V2", 10), ("MT", 10)]
    assert {row["layer"] for row in rows} == {"block.2"}


def test_pairs_share_bootstrap_samples_and_q_is_over_the_pairs(score_store):
    for model, level in (("good", 0.6), ("fair", 0.5), ("poor", 0.2)):
        score_store.add(model=model, level=level)
    benchmark = benchmarks(score_store)["films"]
    rows = pair_rows(benchmark, benchmark.scores)
    assert [(row["model"], row["other"]) for row in rows] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    # the bootstrap samples of all synthetic scores have the same deviations, which cancel in the difference
    for row in rows:
        assert row["low"] == pytest.approx(row["difference"], abs=0.02) == row["high"]
        assert row["paired"]
        assert row["difference"] > 0
        assert row["p"] <= row["q"] <= 3 * row["p"] + 1e-9


def test_scores_with_different_bootstrap_samples_are_unpaired(score_store):
    score_store.add(model="old", level=0.2, old=True)
    score_store.add(model="good")
    score_store.add(model="other", level=0.4, extra=(("resampled", np.array(["segments", "others"])),))
    benchmark = benchmarks(score_store)["films"]
    rows = {(row["model"], row["other"]): row for row in pair_rows(benchmark, benchmark.scores)}
    assert not any(row["paired"] for row in rows.values())
    assert rows["good", "other"]["low"] < rows["good", "other"]["difference"] - 0.01
    for pair in (("good", "old"), ("other", "old")):
        assert rows[pair]["difference"] > 0
        assert all(rows[pair][name] is None for name in ("low", "high", "p", "q", "targets"))


def test_the_leaderboard_lists_missing_scores(score_store):
    score_store.add(model="good"), score_store.add(model="poor", level=0.3)
    score_store.add(model="good", dataset="clips")
    score_store.add(model="good", benchmark="task", dataset="labels", ceiling=False)
    rows = leaderboard_rows(collect(score_store.config)[0])
    cells = {row["model"]: row["cells"] for row in rows}
    assert [row["model"] for row in rows] == ["good", "poor"]
    # a benchmark without a ceiling is left out
    assert list(cells["good"]) == ["clips (4 splits)", "films (4 splits)"]
    assert cells["poor"]["clips (4 splits)"] is None
    poor = next(row for row in rows if row["model"] == "poor")
    assert poor["missing"] == ["clips (4 splits)"]
    # the lacking score is estimated from the difference of the models on the other benchmark
    films, good = cells["poor"]["films (4 splits)"]["normalised"], [c["normalised"] for c in cells["good"].values()]
    assert poor["mean"] == pytest.approx(films + (good[0] - good[1]) / 2)
    assert poor["low"] < poor["mean"] < poor["high"]
    assert (poor["n"], poor["of"]) == (1, 2)


def test_no_leaderboard_without_ceilings(score_store):
    score_store.add(benchmark="task", dataset="labels", ceiling=False)
    assert leaderboard_rows(collect(score_store.config)[0]) == []


def test_every_stored_score_has_a_provenance_row(score_store):
    score = score_store.add()
    score_store.add(old=True)
    rows = provenance_rows(collect(score_store.config)[0])
    assert [row["superseded"] for row in rows] == [False, True]
    row = rows[0]
    assert (row["seed"], row["version"], row["options"]["splits"]) == (0, ScoreKey.version, 4)
    assert row["data"] == list(score.key.data)
    assert "numpy" in row["packages"]
    assert row["created"]
    assert len(row["digest"]) == len(row["sha256"]) == 64
