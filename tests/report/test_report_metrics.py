"""Rankings by several metrics: their rows, the sentence about them, and means that count data once."""

from src.report.metrics_agreement import FEW_MODELS, ONE_METRIC, metric_rows, picture, primary, sentence
from src.report.rows import leaderboard_rows
from src.report.scores import collect

R2 = (("metric", "r2"),)


def found(score_store):
    benchmarks, problems = collect(score_store.config)
    assert not problems
    return benchmarks, metric_rows(benchmarks)


def test_one_metric_is_said(score_store):
    for model in "abc":
        score_store.add(model=model)
    benchmarks, rows = found(score_store)
    assert rows == []
    assert picture(rows) is None
    assert sentence(benchmarks, rows) == ONE_METRIC


def test_too_few_models_are_said(score_store):
    for model in "ab":
        score_store.add(model=model)
        score_store.add(model=model, options=R2)
    benchmarks, rows = found(score_store)
    assert sentence(benchmarks, rows) == FEW_MODELS


def test_the_same_order_survives_and_the_reverse_does_not(score_store):
    for i, model in enumerate("abcd"):
        level = 0.3 + 0.15 * i
        score_store.add(model=model, level=level)
        score_store.add(model=model, level=level, options=R2)
        score_store.add(model=model, level=1 - level, options=(("metric", "cka"),))
    benchmarks, rows = found(score_store)
    tau = {(row["metric"], row["other"]): row for row in rows}
    assert tau["pearson", "r2"]["tau"] == tau["pearson", "r2"]["high"] == 1
    assert tau["pearson", "r2"]["same_best"]
    assert tau["pearson", "cka"]["tau"] == -1
    assert not tau["pearson", "cka"]["same_best"]
    assert {row["models"] for row in rows} == {4}
    text = sentence(benchmarks, rows)
    assert text.startswith("The best model is the same in 1 of 3 pairs of metrics; the rankings of 4 models by ")
    assert "Kendall's tau −1.000 [−1.000" in text
    assert picture(rows).spec["panels"][0]["title"] == "films"


def test_means_over_benchmarks_count_data_once(score_store):
    for model, level in (("a", 0.3), ("b", 0.6)):
        for dataset in ("films", "clips"):
            score_store.add(model=model, level=level, dataset=dataset)
        score_store.add(model=model, level=level, options=R2)
    benchmarks, _ = found(score_store)
    assert [b.facts["metric"] for b in benchmarks] == ["pearson", "pearson", "r2"]
    assert {b.title for b in primary(benchmarks)} == {"films (4 splits)", "clips (4 splits)"}
    assert set(leaderboard_rows(benchmarks)[0]["cells"]) == {"films (4 splits)", "clips (4 splits)"}
