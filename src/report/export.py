"""The report's figures and tables as files for the next program."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..files import writing
from .figures import pictures
from .rows import Row, layer_rows, leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from .scores import Benchmark, sound
from .theme import PRINT, drawing, write

FIGURES = ("png", "svg", "pdf")
TABLES = ("csv", "parquet", "json")


def write_figures(benchmarks: Sequence[Benchmark], folder: Path, suffix: str, top: int) -> int:
    """Every figure as FOLDER/BENCHMARK/NAME.SUFFIX; returns how many."""
    n = 0
    for benchmark in benchmarks:
        shown, _ = sound(benchmark, top)
        place = folder / benchmark.slug
        with writing(place, "--output"), drawing(PRINT):
            place.mkdir(parents=True, exist_ok=True)
            for picture in pictures(benchmark, shown, pair_rows(benchmark, shown)):
                write(picture.draw(PRINT), place / f"{picture.name}.{suffix}")
                n += 1
        for score in shown:
            score.release()
    return n


def tables(benchmarks: Sequence[Benchmark], top: int) -> dict[str, list[Row]]:
    """{name: rows} of everything that the page says in numbers; pairs are those of the first `top` models."""
    pairs = []
    for benchmark in benchmarks:
        shown, _ = sound(benchmark, top)
        pairs += pair_rows(benchmark, shown)
        for score in shown:
            score.release()
    return {
        "scores": [row for b in benchmarks for row in score_rows(b)],
        "layers": [row for b in benchmarks for row in layer_rows(b)],
        "regions": [row for b in benchmarks for row in region_rows(b)],
        "pairs": pairs,
        "leaderboard": [_flat(row) for row in leaderboard_rows(benchmarks)],
        "provenance": provenance_rows(benchmarks),
    }


def _flat(row: Row) -> Row:
    """A leaderboard row with a column for each benchmark in the place of its cells."""
    cells = {name: None if cell is None else cell["normalised"] for name, cell in row["cells"].items()}
    return {name: value for name, value in row.items() if name != "cells"} | cells


def write_tables(benchmarks: Sequence[Benchmark], folder: Path, suffix: str, top: int) -> list[str]:
    """The tables that have rows as FOLDER/NAME.SUFFIX; returns their names."""
    made = {name: rows for name, rows in tables(benchmarks, top).items() if rows}
    with writing(folder, "--output"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in made.items():
            _write(rows, folder / f"{name}.{suffix}")
    return list(made)


def _write(rows: list[Row], path: Path) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
        return
    import pandas as pd

    table = pd.DataFrame([{name: _cell(value) for name, value in row.items()} for row in rows])
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)


def _cell(value):
    """What a column can hold: lists and tables as JSON text."""
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value
