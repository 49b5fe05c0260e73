"""The stored scores of a grid as one table; arrays are read only to write single targets."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import tables
from ..files import safe_name
from ..pipeline import BEST_PER_UNIT, write_scores
from .states import State

COLUMNS = (
    "cell", "benchmark", "model", "datasets", "flags", "metric", "region", "layer", "headline", "best",
    "valid", "valid_sd", "test", "test_sd", "normalised", "null", "accuracy", "ceiling", "targets",
)  # fmt: skip


def rows(states: Iterable[State]) -> Iterator[dict[str, Any]]:
    """Yield a row per score and layer (region "": all targets), those of chosen layers, and one per region.

    The column "headline" marks the row that models are ranked by.
    """
    for state in states:
        for score in state.scores:
            facts = score.facts
            head = {
                "cell": state.cell.id,
                "benchmark": facts["benchmark"],
                "model": facts["model"],
                "datasets": "+".join(facts["datasets"]),
                "flags": " ".join(state.cell.flags),
                "metric": facts["metric"],
            }
            everywhere = {"region": "", "targets": facts["targets"], "ceiling": facts["ceiling"]}
            one_layer = facts["one_layer"] | {"layer": f"one layer ({facts['one_layer']['layer']})"}
            chosen = [one_layer] if facts["best_per_unit"] is None else [one_layer, facts["best_per_unit"]]
            per_unit = facts["headline"]["layer"] == BEST_PER_UNIT
            chosen = [row | {"headline": (row["layer"] == BEST_PER_UNIT) == per_unit} for row in chosen]
            for row in [*(everywhere | layer for layer in [*facts["layers"], *chosen]), *facts["regions"]]:
                yield {column: ({"headline": False} | head | row).get(column) for column in COLUMNS}


def scores_text(states: Iterable[State]) -> str:
    """Return a line per score: its headline."""
    header = ["model", "datasets", "layer", "valid", "test", "test/ceiling", "targets"]
    best = [row for row in rows(states) if row["headline"]]
    flags = any(row["flags"] for row in best)
    lines = [
        [row["model"], row["datasets"], row["layer"], *map(_number, (row["valid"], row["test"], row["normalised"]))]
        + [str(row["targets"])] + ([row["flags"]] if flags else [])
        for row in best
    ]  # fmt: skip
    return tables.aligned(header + (["flags"] if flags else []), lines, left=3)


def write_rows(states: Iterable[State], path: str) -> None:
    """Write `rows` to a .csv, .json or .parquet file, completely or not at all."""
    found = list(rows(states))
    if not found:
        import pandas as pd

        found = pd.DataFrame(columns=list(COLUMNS))
    tables.write_rows(found, path)


def write_targets(states: Iterable[State], folder: str) -> int:
    """Write a .parquet file per score, a row per layer, target and split, and return the number of files."""
    written = 0
    Path(folder).mkdir(exist_ok=True)
    for state in states:
        for score in state.scores:
            name = "-".join([score.model, "+".join(score.facts["datasets"]), state.cell.id])
            write_scores([score], Path(folder) / f"{safe_name(name, 200)}.parquet")
            written += 1
    return written


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
