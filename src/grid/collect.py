"""The scores of a grid as one table, from what the store prints of them; arrays are read for single targets only."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..cli.output import write_output
from ..cli.table import aligned
from ..files import write_atomic
from ..store.keys import readable
from ..utils import BadInput
from .states import State

COLUMNS = (
    "cell", "benchmark", "model", "datasets", "flags", "metric", "region", "layer", "best", "valid", "valid_sd", "test",
    "test_sd", "normalised", "null", "accuracy", "ceiling", "targets",
)  # fmt: skip
SUFFIXES = (".csv", ".json", ".parquet")


def rows(states: Iterable[State]) -> Iterator[dict[str, Any]]:
    """A row per score and layer (region "": all targets) and one per region with the best layer there."""
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
            for row in [*(everywhere | layer for layer in facts["layers"]), *facts["regions"]]:
                yield {column: (head | row).get(column) for column in COLUMNS}


def scores_text(states: Iterable[State]) -> str:
    """A line per score: its best layer over all targets."""
    header = ["model", "datasets", "best layer", "valid", "test", "test/ceiling", "targets"]
    best = [row for row in rows(states) if row["best"] and row["region"] == ""]
    flags = any(row["flags"] for row in best)
    lines = [
        [row["model"], row["datasets"], row["layer"], *map(_number, (row["valid"], row["test"], row["normalised"]))]
        + [str(row["targets"])] + ([row["flags"]] if flags else [])
        for row in best
    ]  # fmt: skip
    return aligned(header + (["flags"] if flags else []), lines, left=3)


def write_rows(states: Iterable[State], path: str) -> None:
    """Write `rows` to a .csv, .json or .parquet file, wholly or not at all."""
    table = list(rows(states))
    write_atomic(Path(path).absolute(), _ENCODERS[Path(path).suffix](table))


def write_targets(states: Iterable[State], folder: str) -> int:
    """Write a .parquet file per score into `folder`, a row per layer, target and split; returns how many."""
    written = 0
    Path(folder).mkdir(exist_ok=True)
    for state in states:
        for score in state.scores:
            name = "-".join([state.cell.model, "+".join(score.facts["datasets"]), state.cell.id])
            write_output([score], str(Path(folder) / f"{readable(name, 200)}.parquet"))
            written += 1
    return written


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _csv(table: Sequence[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode()


def _parquet(table: Sequence[dict]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise BadInput(
            f"a .parquet file needs pyarrow, which does not load ({error}); install it, or write .csv"
        ) from error

    numbers = {"valid", "valid_sd", "test", "test_sd", "normalised", "null", "accuracy", "ceiling"}
    types = {"best": pa.bool_(), "targets": pa.int64()} | dict.fromkeys(numbers, pa.float64())
    schema = pa.schema([(column, types.get(column, pa.string())) for column in COLUMNS])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(table), schema=schema), sink)
    return sink.getvalue().to_pybytes()


_ENCODERS = {
    ".csv": _csv,
    ".json": lambda table: json.dumps(table, indent=1).encode(),
    ".parquet": _parquet,
}
