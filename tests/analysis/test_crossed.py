"""Inference over subjects and segments, on tables with planted effects of both."""

import numpy as np
import pytest

from src.analysis import crossed
from src.analysis.paired import compare
from src.utils import BadInput


def tables(n_worlds, n, m, *, subjects, films, cells, mean=0.0, seed=0):
    """Return tables of crossed random effects: (n_worlds, n, m)."""
    rng = np.random.default_rng(seed)
    of_subjects, of_films = rng.standard_normal((n_worlds, n, 1)), rng.standard_normal((n_worlds, 1, m))
    return mean + subjects * of_subjects + films * of_films + cells * rng.standard_normal((n_worlds, n, m))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_equal_models_are_told_apart_in_a_twentieth_of_the_worlds(n):
    """Those that resample segments alone, or subjects alone, are too liberal; without the correction, too strict."""
    made = tables(1000, n, 30, subjects=0.4, films=0.6, cells=1.0, seed=n)
    zero = np.zeros((n, 30))
    found = [crossed.compare(table, zero) for table in made]
    level = {k: np.mean([one[f"{k}_p"] < 0.05 for one in found]) for k in ("films", "people")}
    assert 0.03 <= level["people"] <= 0.07, level
    assert level["films"] > 0.1, level
    covered = np.mean([one["people"][0] <= 0 <= one["people"][1] for one in found])
    assert covered == pytest.approx(1 - level["people"])


def test_the_error_for_new_people_is_unbiased():
    n, m, effects = 12, 40, {"subjects": 0.3, "films": 0.6, "cells": 1.0}
    squares = np.mean([crossed.errors(t).people ** 2 for t in tables(600, n, m, **effects, seed=3)])
    assert squares == pytest.approx(0.3**2 / n + 0.6**2 / m + 1 / (n * m), rel=0.05)


def test_the_correction_equals_that_of_bootstrap_samples():
    """2 (var over subjects + var over segments) - var over both, of samples that are drawn."""
    table = tables(1, 8, 30, subjects=0.3, films=0.6, cells=1.0, seed=5)[0]
    rng = np.random.default_rng(0)
    rows, columns = (rng.multinomial(k, np.full(k, 1 / k), 40_000) / k for k in table.shape)
    of_subjects, of_films = rows @ table.mean(axis=1), columns @ table.mean(axis=0)
    of_both = np.einsum("bm,bm->b", rows @ table, columns)
    # the samples' variance lacks n / (n - 1)
    n, m = table.shape
    subjects, films = of_subjects.var() * n / (n - 1), of_films.var() * m / (m - 1)
    cells = (of_both.var() - of_subjects.var() - of_films.var()) * n * m / ((n - 1) * (m - 1))
    expected = 2 * (subjects + films) - (subjects + films + cells)
    assert crossed.errors(table).people ** 2 == pytest.approx(expected, rel=0.05)


def test_bounds_hold():
    for effects in ({"subjects": 0, "films": 0, "cells": 1.0}, {"subjects": 1.0, "films": 0, "cells": 0.1}):
        for table in tables(50, 6, 20, **effects, seed=7):
            found = crossed.errors(table)
            assert found.people >= found.films
            assert found.people >= table.mean(axis=1).std(ddof=1) / np.sqrt(6) - 1e-12


def test_the_factor_of_the_training_rows_widens_films_alone():
    table = tables(1, 6, 20, subjects=0.5, films=0.5, cells=0.2)[0]
    one, two = crossed.errors(table), crossed.errors(table, 2.0)
    assert two.films == pytest.approx(2 * one.films)
    of_people = one.people**2 - one.films**2
    assert one.people < two.people < np.sqrt(of_people + 4 * one.films**2) + 1e-9


def test_a_single_subject_has_no_interval_for_new_people():
    table = np.random.default_rng(0).normal(0.3, 0.1, (1, 20))
    found = crossed.intervals(table)
    assert found["people"] is None
    assert found["weak"]
    low, high = found["films"]
    assert low < found["score"] < high < 0.5
    with pytest.raises(BadInput, match="1 segments; expected at least two"):
        crossed.errors(table[:, :1])
    with pytest.raises(BadInput, match="expected the same subjects"):
        crossed.compare(table, table[:, :5])


def test_segments_that_a_subject_did_not_see_change_nothing_that_the_others_say():
    table = tables(1, 6, 20, subjects=0.5, films=0.5, cells=0.0, mean=0.3)[0]
    lacking = table.copy()
    lacking[2, 4:9] = np.nan
    filled = crossed.filled(lacking)
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[[0, 1, 3, 4, 5]], table[[0, 1, 3, 4, 5]])


def test_max_t_keeps_the_level_over_all_pairs_and_finds_the_best_set():
    rng, n_wrong = np.random.default_rng(1), 0
    for _ in range(150):
        common = rng.standard_normal((10, 1)) + rng.standard_normal((1, 24))
        equal = {k: common + 0.5 * rng.standard_normal((10, 24)) + 0.3 * rng.standard_normal((10, 1)) for k in "abcde"}
        found = crossed.compare_all(equal, n_samples=400)
        n_wrong += min(row["p_max"] for row in found["pairs"]) < 0.05
        assert all(row["p_max"] >= row["p"] for row in found["pairs"])
    assert n_wrong / 150 < 0.09
    found = crossed.compare_all(equal | {"best": equal["a"] + 1, "tie": equal["b"] + 1})
    assert set(found["best"]) == {"best", "tie"}
    with pytest.raises(BadInput, match="expected at least two for a conclusion about new people"):
        crossed.compare_all({k: v[:1] for k, v in equal.items()})


def test_effects_of_datasets_are_combined_by_their_precision():
    one, weak = {"difference": 0.1, "error": 0.04, "p": 0.0124}, {"difference": -0.1, "error": 1.0, "p": 0.92}
    found = crossed.combined([one, weak])
    assert found["difference"] == pytest.approx(0.1, abs=0.01)
    assert found["p"] == pytest.approx(0.0124, abs=0.005)
    assert crossed.combined([one] * 4)["p"] < 1e-5
    with pytest.raises(BadInput, match="expected differences with errors above 0"):
        crossed.combined([])


def test_stored_scores_of_the_same_subjects_are_compared_over_them():
    rng = np.random.default_rng(0)
    table = 0.3 + 0.1 * rng.standard_normal((7, 30))

    def stored(segments, rows="r"):
        test = np.full((1, 3, 5), segments.mean())
        arrays = {"valid": test, "test": test, "subject_segments": segments, "subjects": np.array(list("abcdefg"))}
        return arrays | {"subject_rows": np.array(rows), "widening": np.array(1.5)}

    found = compare(stored(table + 0.05 + 0.01 * rng.standard_normal(table.shape)), stored(table))["subjects"]
    assert found["difference"] == pytest.approx(0.05, abs=0.005)
    assert found["people_p"] < 1e-3
    assert compare(stored(table), stored(table, "others"))["subjects"] is None
    assert compare(stored(table), {k: v for k, v in stored(table).items() if "subj" not in k})["subjects"] is None
