import numpy as np
import pytest

from src.report.rows import leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from src.report.scores import collect


def benchmarks(shelf):
    return {b.title.partition(" (")[0]: b for b in collect(shelf.config)[0]}


def test_a_score_row_is_what_was_stored(shelf):
    made = shelf.add()
    (row,) = score_rows(benchmarks(shelf)["films"])
    arrays = made.arrays()
    assert row["test"] == pytest.approx(np.median(arrays["test"][2], axis=0).mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.percentile(arrays["bootstrap"], [2.5, 97.5])))
    assert (row["p"], row["significant"], row["layer"], row["rank"]) == (pytest.approx(1 / 21), 30, "block.2", 1)


def test_what_an_old_score_lacks_is_none_and_never_zero(shelf):
    shelf.add(old=True)
    (row,) = score_rows(benchmarks(shelf)["films"])
    assert row["test"] > 0.3
    assert all(row[name] is None for name in ("low", "high", "normalised_low", "p", "significant", "accuracy", "null"))


def test_a_superseded_score_has_no_rank(shelf):
    shelf.add(old=True)
    shelf.add()
    assert [row["rank"] for row in score_rows(benchmarks(shelf)["films"])] == [1, None]


def test_regions_are_rows_with_their_own_layer(shelf):
    shelf.add()
    rows = region_rows(benchmarks(shelf)["films"])
    assert [(row["region"], row["targets"]) for row in rows] == [("V1", 10), ("V2", 10), ("MT", 10)]
    assert {row["layer"] for row in rows} == {"block.2"}


def test_pairs_are_compared_on_the_same_draws_and_q_is_over_the_pairs(shelf):
    for model, skill in (("good", 0.6), ("fair", 0.5), ("poor", 0.2)):
        shelf.add(model=model, skill=skill)
    benchmark = benchmarks(shelf)["films"]
    rows = pair_rows(benchmark, benchmark.scores)
    assert [(row["model"], row["other"]) for row in rows] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    # the draws of all made-up scores deviate alike, so that their differences do not
    for row in rows:
        assert row["low"] == pytest.approx(row["difference"], abs=0.02) == row["high"]
        assert row["paired"]
        assert row["difference"] > 0
        assert row["p"] <= row["q"] <= 3 * row["p"] + 1e-9


def test_scores_without_the_same_draws_are_not_compared_as_pairs(shelf):
    shelf.add(model="old", skill=0.2, old=True)
    shelf.add(model="good")
    shelf.add(model="other", skill=0.4, extra=(("resampled", np.array(["segments", "others"])),))
    benchmark = benchmarks(shelf)["films"]
    rows = {(row["model"], row["other"]): row for row in pair_rows(benchmark, benchmark.scores)}
    assert not any(row["paired"] for row in rows.values())
    assert rows["good", "other"]["low"] < rows["good", "other"]["difference"] - 0.01
    for pair in (("good", "old"), ("other", "old")):
        assert rows[pair]["difference"] > 0
        assert all(rows[pair][name] is None for name in ("low", "high", "p", "q", "targets"))


def test_the_leaderboard_shows_what_is_missing_as_missing(shelf):
    shelf.add(model="good"), shelf.add(model="poor", skill=0.3)
    shelf.add(model="good", dataset="clips")
    shelf.add(model="good", benchmark="task", dataset="labels", ceiling=False)
    rows = leaderboard_rows(collect(shelf.config)[0])
    cells = {row["model"]: row["cells"] for row in rows}
    assert [row["model"] for row in rows] == ["good", "poor"]
    # a benchmark without a ceiling is not on it
    assert list(cells["good"]) == ["clips (4 splits)", "films (4 splits)"]
    assert cells["poor"]["clips (4 splits)"] is None
    poor = next(row for row in rows if row["model"] == "poor")
    assert poor["missing"] == ["clips (4 splits)"]
    assert poor["mean"] == pytest.approx(cells["poor"]["films (4 splits)"]["normalised"])
    assert poor["low"] < poor["mean"] < poor["high"]
    assert (poor["n"], poor["of"]) == (1, 2)


def test_no_leaderboard_without_ceilings(shelf):
    shelf.add(benchmark="task", dataset="labels", ceiling=False)
    assert leaderboard_rows(collect(shelf.config)[0]) == []


def test_every_stored_score_has_its_record(shelf):
    made = shelf.add()
    shelf.add(old=True)
    rows = provenance_rows(collect(shelf.config)[0])
    assert [row["superseded"] for row in rows] == [False, True]
    row = rows[0]
    assert (row["seed"], row["version"], row["options"]["splits"]) == (0, 2, 4)
    assert row["data"] == list(made.key.data)
    assert "numpy" in row["packages"]
    assert row["created"]
    assert len(row["digest"]) == len(row["sha256"]) == 64
