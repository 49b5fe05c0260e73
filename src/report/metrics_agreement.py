"""Rankings of the same models on the same data by several metrics: does the conclusion survive the metric?"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..evaluate.metrics import METRICS
from .picture import Picture
from .scores import BenchmarkScores, StoredScore
from .text import count, number

LEAST_MODELS = 3  # of a ranking
ONE_METRIC = (
    "Only one metric is stored for each dataset and protocol, so that rankings by metric cannot be compared: add "
    "others with --metric, for example --metric pearson r2 rsa."
)
FEW_MODELS = f"Several metrics are stored, but none for {LEAST_MODELS} or more models on the same data: no rankings."


def by_data(benchmarks: Iterable[BenchmarkScores]) -> list[list[BenchmarkScores]]:
    """Return the benchmarks in groups of the same data and protocol, which differ in the metric and its options."""
    groups: dict[tuple, list[BenchmarkScores]] = {}
    for benchmark in benchmarks:
        first = benchmark.scores[0]
        key = (benchmark.benchmark, benchmark.datasets, tuple(first.item.key.get("data", ())))
        groups.setdefault((*key, first.facts["options"].get("protocol")), []).append(benchmark)
    return list(groups.values())


def primary(benchmarks: Sequence[BenchmarkScores]) -> list[BenchmarkScores]:
    """Return the benchmarks by the first metric of their data, so that means over benchmarks count data once.

    The first metric is that with the most models, of equals the first of `METRICS`.
    """
    order, kept = list(METRICS), []
    for group in by_data(benchmarks):
        models = {b.facts["metric"]: 0 for b in group}
        for b in group:
            models[b.facts["metric"]] = max(models[b.facts["metric"]], len(b.scores))
        place = {name: order.index(name) if name in order else len(order) for name in models}
        first = min(models, key=lambda name: (-models[name], place[name]))
        kept += [b for b in group if b.facts["metric"] == first]
    return [b for b in benchmarks if any(b is one for one in kept)]


def metric_rows(benchmarks: Iterable[BenchmarkScores]) -> list[dict[str, Any]]:
    """Return a row per pair of metrics of the same data: Kendall's tau of the models' rankings with its interval."""
    from ..analysis.agreement import ranking_agreement

    rows = []
    for group in by_data(benchmarks):
        for a, b in combinations(group, 2):
            if a.facts["metric"] == b.facts["metric"]:
                continue
            first, second = ({score.label: score for score in one.scores} for one in (a, b))
            shared = [name for name in first if name in second and _known(a, first[name]) and _known(b, second[name])]
            if len(shared) < LEAST_MODELS:
                continue
            values = [
                np.array([one.direction * scores[name].headline[one.key] for name in shared])
                for one, scores in ((a, first), (b, second))
            ]
            draws = [[_draws(one, scores[name]) for name in shared] for one, scores in ((a, first), (b, second))]
            sizes = {None if d is None else len(d) for of_metric in draws for d in of_metric}
            found = ranking_agreement(*values, tuple(draws) if len(sizes) == 1 and None not in sizes else None)
            best = [shared[int(of_metric.argmax())] for of_metric in values]
            rows.append(
                {
                    "benchmark": " + ".join(a.datasets),
                    "metric": a.facts["metric"],
                    "other": b.facts["metric"],
                    "models": len(shared),
                    **{name: None if v is None or not np.isfinite(v) else float(v) for name, v in found.items()},
                    "same_best": best[0] == best[1],
                }
            )
    return rows


def _known(benchmark: BenchmarkScores, score: StoredScore) -> bool:
    return score.headline[benchmark.key] is not None


def _draws(benchmark: BenchmarkScores, score: StoredScore) -> np.ndarray | None:
    draws = score.draws[benchmark.key]
    return None if draws is None or not np.isfinite(draws).all() else benchmark.direction * np.asarray(draws)


def sentence(benchmarks: Sequence[BenchmarkScores], rows: Sequence[dict[str, Any]]) -> str:
    """Return whether the ranking survives the metric, in a sentence; or why there is nothing to compare."""
    if not rows:
        several = any(len({b.facts["metric"] for b in group}) > 1 for group in by_data(benchmarks))
        return FEW_MODELS if several else ONE_METRIC
    least = min(rows, key=lambda row: 2.0 if row["tau"] is None else row["tau"])
    same = sum(row["same_best"] for row in rows)
    pairs = f"{count(len(rows))} pair{'s' if len(rows) > 1 else ''} of metrics"
    text = f"The best model is the same in {count(same)} of {pairs}"
    if least["tau"] is None:
        return f"{text}; the rankings have no order to compare."
    ends = "" if least["low"] is None else f" [{number(least['low'])}, {number(least['high'])}]"
    names = " and ".join(METRICS[n].title if n in METRICS else n for n in (least["metric"], least["other"]))
    lowest = ", the lowest of all pairs" if len(rows) > 1 else ""
    return (
        f"{text}; the rankings of {count(least['models'])} models by {names} on {least['benchmark']} have Kendall's "
        f"tau {number(least['tau'])}{ends}{lowest}."
    )


def picture(rows: Sequence[dict[str, Any]]) -> Picture | None:
    """Return Kendall's tau of each pair of metrics as dots with intervals; None without rows."""
    from .figures import dots

    if not rows:
        return None
    panels = []
    for name in dict.fromkeys(row["benchmark"] for row in rows):
        own = [row for row in rows if row["benchmark"] == name]
        panels.append(
            {
                "title": name,
                "rows": [f"{row['metric']}, {row['other']}" for row in own],
                "x": [[row["tau"] for row in own]],
                "low": [[row["low"] for row in own]],
                "high": [[row["high"] for row in own]],
            }
        )
    spec = dots(panels, [{"name": "tau"}], "Kendall's tau of the rankings", {"same order": 1.0}, "metrics")
    caption = (
        "Agreement of the rankings of the same models by two metrics; bars: 95 % over bootstrap samples of stimuli."
    )
    return Picture("metrics", "metrics", "Rankings by metric", caption, spec)
