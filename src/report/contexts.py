"""Temporal windows of models that were scored with several contexts, as a figure and rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..evaluate.layer_choice import stored_rule
from ..files import DamagedFile
from .curves import best_regions, lines
from .picture import Picture
from .scores import BenchmarkScores, StoredScore

Row = dict[str, Any]


def window_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return a row per model with several contexts and region ("all" for all units)."""
    return [
        {"benchmark": benchmark.title, "model": model}
        | {name: row[name] for name in ("region", "targets", "window_ms", "low_ms", "high_ms", "units", "score")}
        | {"contexts_ms": ", ".join(f"{context:g}" for context in contexts_ms)}
        for model, contexts_ms, rows in _windows(benchmark)
        for row in rows
    ]


def pictures(benchmark: BenchmarkScores) -> Iterator[Picture]:
    """Yield the score by context of each model with several, of all units and of the best predicted regions."""
    found = _windows(benchmark)
    if not found:
        return
    regions = best_regions((row["region"], row["score"]) for *_, rows in found for row in rows[1:])
    series = [{"name": f"all {benchmark.target_noun}s", "colour": 0}]
    series += [{"name": region, "colour": k + 1} for k, region in enumerate(regions)]
    panels = []
    for model, contexts_ms, rows in found:
        of_regions = {row["region"]: row for row in rows}
        kept = [rows[0], *(of_regions.get(region) for region in regions)]
        none = [None] * len(contexts_ms)
        window = _window(rows[0], contexts_ms)
        panel: Row = {"title": f"{model}: {'' if rows[0]['window_ms'] is None else 'window '}{window}", "model": model}
        panel["x"] = [context / 1000 for context in contexts_ms]
        for part, name in (("y", "test"), ("low", "low"), ("high", "high")):
            panel[part] = [none if row is None else row[name] for row in kept]
        panels.append(panel)
    first, contexts_ms, rows = found[0]
    texts = [f"{row['region']} {_window(row, contexts_ms)}" for row in rows[1:] if row["region"] in regions]
    caption = f"Test score by the length of the model's window, median over {benchmark.target_noun}s; bands: 95 % "
    caption += "bootstrap interval. In the title the window that all units need: the shortest that reaches 90 % of the "
    caption += "best score, chosen inside the training rows of each split."
    caption += f" Regions of {first}: {', '.join(texts)}." if texts else ""
    spec = lines(panels, series, "context (s)", f"test {benchmark.metric}", log=True)
    yield Picture("contexts", "contexts", "Temporal windows", caption, spec)


def _window(row: Row, contexts_ms: Sequence[float]) -> str:
    from ..analysis.windows import window_text

    if row["window_ms"] is None:
        return "no window"
    ends = [window_text(row[name], contexts_ms) for name in ("low_ms", "high_ms")]
    interval = "" if row["low_ms"] is None else f" [{', '.join(ends)}]"
    return f"{window_text(row['window_ms'], contexts_ms)} s{interval}"


def _windows(benchmark: BenchmarkScores) -> list[tuple[str, list[float], list[Row]]]:
    """Return (model, contexts in ms, rows of `analysis.windows.windows`) of the models with several contexts."""
    from ..analysis.windows import windows

    groups: dict[str, list[StoredScore]] = {}
    for score in benchmark.scores:
        if score.facts.get("context_ms") is not None:
            groups.setdefault(score.label_without_context, []).append(score)
    found = []
    for model, scores in groups.items():
        scores = sorted(scores, key=_context)
        contexts_ms = [_context(score) for score in scores]
        if len(scores) < 2 or len(set(contexts_ms)) < len(scores):
            continue
        try:
            arrays = [score.arrays for score in scores]
            if stored_rule(arrays[0]).direction > 0:
                found.append((model, contexts_ms, windows(arrays, contexts_ms)))
        except DamagedFile:
            # the score is reported as damaged with the other figures
            continue
    return found


def _context(score: StoredScore) -> float:
    return score.facts["context_ms"]
