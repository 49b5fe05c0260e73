"""Paired comparison, leaderboard and layer profiles on arrays whose answer is known."""

import numpy as np
import pytest

from src.analysis.leaderboard import rank
from src.analysis.paired import compare
from src.analysis.profiles import chosen_layers, layer_profiles
from src.utils import BadInput

LAYERS = np.array(["early", "late"])


def arrays(base, seed, *, common, n_targets=6, n_splits=10, samples="s", individual=0.02):
    """Return a stored score around `base`; models share `common` (n_splits,) and the deviations of the samples."""
    rng = np.random.default_rng(seed)
    test = base + common + individual * rng.standard_normal((2, n_targets, n_splits))
    test[1] -= 0.3
    deviations = 0.05 * np.random.default_rng(11).standard_normal(400)
    bootstrap = base + common.mean() + deviations + individual / 3 * rng.standard_normal(400)
    return {
        "layers": LAYERS,
        "valid": test + 0.01,
        "test": test,
        "bootstrap": bootstrap,
        "resampled": np.array(["segments", samples]),
    }


COMMON = 0.1 * np.random.default_rng(7).standard_normal(10)


def test_a_small_difference_on_the_same_samples_is_found():
    a, b = arrays(0.44, 1, common=COMMON), arrays(0.40, 2, common=COMMON)
    found = compare(a, b)
    assert found["paired"]
    assert found["difference"] == pytest.approx(0.04, abs=0.015)
    assert 0 < found["low"] < found["difference"] < found["high"] < 0.08
    assert found["p"] <= 0.01
    assert (found["targets_q"] < 0.05).mean() > 0.6
    unpaired = compare(a, arrays(0.40, 2, common=COMMON, samples="others"))
    assert not unpaired["paired"]
    assert unpaired["low"] < 0 < unpaired["high"]
    assert unpaired["p"] > 0.2
    assert unpaired["targets_q"] is None


def test_comparison_is_antisymmetric_and_a_model_equals_itself():
    a, b = arrays(0.44, 1, common=COMMON), arrays(0.40, 2, common=COMMON)
    found, opposite = compare(a, b), compare(b, a)
    assert found["difference"] == pytest.approx(-opposite["difference"])
    assert (found["low"], found["high"]) == pytest.approx((-opposite["high"], -opposite["low"]))
    same = compare(a, a)
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    np.testing.assert_array_equal(same["targets_p"], 1)


def test_the_paired_test_over_splits_keeps_its_level():
    """Differences of no model, as independent over splits as tests of disjoint rows: at most 5 % are found."""
    common = np.zeros(10)
    a, b = (arrays(0.4, s, common=common, n_targets=2000, individual=0.1) for s in (1, 2))
    p = compare(a, b)["targets_p"]
    assert (p < 0.05).mean() < 0.05


def test_scores_without_replicates_still_differ():
    a, b = arrays(0.44, 1, common=COMMON), arrays(0.40, 2, common=COMMON)
    del b["bootstrap"], b["resampled"]
    found = compare(a, b)
    assert (found["low"], found["high"], found["p"], found["paired"]) == (None, None, None, False)
    assert found["difference"] > 0
    with pytest.raises(BadInput, match=r"6 targets x 10 splits and of 5 x 10; expected the same datasets"):
        compare(a, arrays(0.4, 2, common=COMMON, n_targets=5))


def row(model, benchmark, value, spread=0.02):
    seed = sum(map(ord, model + benchmark))
    replicates = None if value is None else value + spread * np.random.default_rng(seed).standard_normal(4000)
    return {"model": model, "benchmark": benchmark, "normalised": value, "bootstrap_normalised": replicates}


def test_the_mean_may_leave_out_what_some_model_lacks():
    table = [row("a", "x", 0.8), row("a", "y", 0.4), row("a", "z", 0.0), row("b", "x", 0.6), row("b", "y", 0.7)]
    first, second = rank(table, only_shared=True)
    assert (first["model"], first["n"], first["of"], first["missing"]) == ("b", 2, 2, [])
    assert (second["model"], second["n"], second["missing"]) == ("a", 2, [])
    assert first["mean"] == pytest.approx(0.65)
    assert second["mean"] == pytest.approx(0.6)
    # two independent benchmarks of standard error 0.02 each
    assert first["high"] - first["low"] == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(2), rel=0.1)


def test_a_missing_cell_is_missing_and_never_zero():
    table = [row("a", "x", 0.5), row("a", "y", 0.5), row("b", "x", 0.4), row("b", "y", None), row("c", "z", 0.9)]
    ranked = {r["model"]: r for r in rank(table)}
    assert not any(r["shared"] for r in ranked.values())
    assert ranked["b"]["mean"] == pytest.approx(0.4)
    assert ranked["b"]["missing"] == ["y", "z"]
    assert next(iter(ranked)) == "a"
    assert rank(table, only_shared=True) == []
    nothing = rank([row("a", "x", None)])[0]
    assert (nothing["mean"], nothing["low"], nothing["n"], nothing["missing"]) == (None, None, 0, ["x"])


def test_a_model_with_one_score_does_not_take_the_others_from_the_mean():
    effects, levels = (
        {"a": 0.1, "b": 0.0, "c": -0.1, "few": 0.05},
        dict(zip("uvwxyz", np.linspace(0.2, 0.7, 6), strict=True)),
    )
    table = [row(m, k, r + level) for m, r in effects.items() for k, level in levels.items() if m != "few" or k == "z"]
    ranked = {r["model"]: r for r in rank(table)}
    # its mean over its own benchmark would be .75; without the others' benchmarks all means would be of one
    for model, effect in effects.items():
        assert ranked[model]["mean"] == pytest.approx(0.45 + effect)
    assert list(ranked) == ["a", "few", "b", "c"]
    assert (ranked["few"]["n"], ranked["few"]["of"], len(ranked["few"]["missing"])) == (1, 6, 5)
    assert ranked["a"]["n"] == 6
    width = {m: r["high"] - r["low"] for m, r in ranked.items()}
    assert width["a"] == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(6), rel=0.1)
    # its one score, and the errors of the benchmarks' effects
    assert width["few"] > 2 * 1.96 * 0.02
    assert ranked["few"]["q"] is not None


def test_models_are_compared_over_people_on_one_benchmark_and_combined_over_several():
    rng = np.random.default_rng(0)
    common = {k: 0.4 + 0.1 * rng.standard_normal((12, 40)) + 0.1 * rng.standard_normal((12, 1)) for k in "xyz"}
    levels = {"best": 0.06, "same": 0.06, "near": 0.045, "far": 0.0}

    def board(benchmarks, identity="i"):
        rows = []
        for k in benchmarks:
            for model, level in levels.items():
                table = common[k] + level + 0.05 * rng.standard_normal((12, 40))
                people = {"table": table, "factor": 1.2, "identity": identity if model != "far" else "i"}
                rows.append(row(model, k, 0.7 + level, 0.002) | {"people": people})
        return {r["model"]: r for r in rank(rows)}

    one = board("x")
    assert one["best"]["people_tied"]
    assert one["far"]["people_q"] < 0.05
    assert one["far"]["people_n"] == 1
    assert one["same"]["people_tied"]
    several = board("xyz")
    assert several["far"]["people_q"] < one["far"]["people_q"]
    assert several["near"]["people_q"] < 0.05
    assert {r["people_n"] for r in several.values()} == {3}
    assert board("x", "others")["far"]["people_q"] is None
    assert {r["people_q"] for r in rank([row("a", "x", 0.5), row("b", "x", 0.4)])} == {None}


def test_a_mean_of_scores_without_replicates_has_no_interval():
    plain = row("a", "x", 0.5) | {"bootstrap_normalised": None}
    assert (rank([plain])[0]["low"], rank([plain])[0]["mean"]) == (None, 0.5)
    with pytest.raises(BadInput, match="two scores of a on x"):
        rank([plain, plain])


def profiled():
    rng = np.random.default_rng(0)
    test = np.zeros((2, 6, 4)) + 0.01 * rng.standard_normal((2, 6, 4))
    test[0, :3] += 0.5
    test[1, 3:] += 0.5
    test[:, 5] = np.nan
    return {"layers": LAYERS, "test": test, "valid": test, "target_region": np.array(["V1"] * 3 + ["MT"] * 3)}


def test_each_region_has_its_profile():
    found = layer_profiles(profiled())
    assert list(found) == ["all", "V1", "MT"]
    assert found["V1"]["layers"] == ["early", "late"]
    np.testing.assert_allclose(found["V1"]["test_mean"], [0.5, 0], atol=0.02)
    np.testing.assert_allclose(found["MT"]["test_mean"], [0, 0.5], atol=0.02)
    assert found["MT"]["n"] == 3
    assert np.all(found["all"]["test_sd"] < 0.3)


def test_layers_are_chosen_on_validation_per_region_and_target():
    found = chosen_layers(profiled())
    assert found["regions"] == {"V1": "early", "MT": "late"}
    np.testing.assert_array_equal(found["targets"], ["early"] * 3 + ["late"] * 2 + [""])
    np.testing.assert_allclose(found["agreement"][:5], 1)
    np.testing.assert_allclose(found["test"][:5], 0.5, atol=0.02)
    assert np.isnan(found["test"][5])


def test_the_nested_choice_gains_nothing_from_noise():
    """A score whose layer the other splits choose for each other rises above chance; the nested one does not."""
    rng = np.random.default_rng(0)
    test = rng.standard_normal((12, 3000, 4))
    arrays = {"layers": np.arange(12).astype(str), "test": test, "valid": np.roll(test, 1, axis=2)}
    found = [
        chosen_layers(arrays | {"layer_choice": np.array([rule, "per target"])})["test"].mean()
        for rule in ("over splits", "nested")
    ]
    assert found[0] > 0.3
    assert abs(found[1]) < 0.03


def board(levels, resampled=("segments", "one")):
    """Rank models of known levels on two benchmarks; their draws share the deviations of the samples."""
    shared = np.random.default_rng(0).normal(0, 0.1, (2, 400))
    own = np.random.default_rng(1)
    rows = [
        {
            "model": model,
            "benchmark": benchmark,
            "normalised": level,
            "bootstrap_normalised": level + shared[benchmark] + own.normal(0, 0.005, 400),
            "resampled": resampled,
        }
        for model, level in levels.items()
        for benchmark in (0, 1)
    ]
    return {row["model"]: row for row in rank(rows)}


def test_the_set_that_is_not_told_apart_from_the_best_uses_paired_draws():
    levels = {"best": 0.6, "same": 0.599, "near": 0.55, "far": 0.2}
    found = board(levels)
    assert [row["tied"] for row in found.values()] == [True, True, False, False]
    assert found["best"]["q"] is None
    assert found["near"]["q"] < 0.05 < found["same"]["q"]
    # samples that are not known to be the same are not paired, and the common part does not cancel
    assert [row["tied"] for row in board(levels, None).values()] == [True, True, True, False]


def test_without_draws_no_model_is_told_apart():
    rows = [
        {"model": m, "benchmark": "b", "normalised": r, "bootstrap_normalised": None} for m, r in (("a", 1), ("b", 0))
    ]
    assert [(row["q"], row["tied"]) for row in rank(rows)] == [(None, None)] * 2
