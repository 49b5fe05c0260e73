"""Long tables of the page as compact JSON; templates/tables.js makes their rows when a reader opens them.

A table has "caption", "columns" ({"name", "note", "kind"}) and "rows". Kinds: "text", "number", "spread" (value and
standard deviation), "interval" (low and high), "count", "p" and "flag".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import plain
from .rows import Row
from .scores import BenchmarkScores
from .text import as_text, number

Table = dict[str, Any]


def tables(benchmark: BenchmarkScores, rows: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    """Return the tables that have rows of "pairs", "regions" and "layers"."""
    made = {"pairs": _pairs, "regions": _regions, "layers": _layers}
    return {name: make(benchmark, rows[name]) for name, make in made.items() if rows[name]}


def _table(columns: Sequence[tuple[str, str, str, Any]], rows: Sequence[Row], caption: str = "") -> Table:
    """Return a table of columns (name, note, kind, name of the value or function of the row)."""
    heads = [{"name": name, "note": note, "kind": kind} for name, note, kind, _ in columns]
    return {
        "caption": caption,
        "columns": heads,
        "rows": [[get(row) if callable(get) else _cell(row[get]) for *_, get in columns] for row in rows],
    }


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, float) else value


def _spread(name: str):
    return lambda row: plain([row[name], row[f"{name}_sd"]])


def _interval(row: Row) -> list:
    return plain([row["low"], row["high"]])


def _pairs(benchmark: BenchmarkScores, rows: Sequence[Row]) -> Table:
    noun = benchmark.target_noun
    caption = f"Difference of the test scores ({benchmark.aggregation}) of model A minus model B, over the same "
    caption += "bootstrap samples of the same splits; “unpaired”: the bootstrap samples differ. q: Benjamini-Hochberg "
    caption += "over these pairs."
    if benchmark.facts["targets"] > 1:
        caption += f" {noun.capitalize()}s that differ: corrected resampled t test over splits (Nadeau and Bengio "
        caption += f"2003), q over {noun}s."
    columns = [
        ("model A", "", "text", "model"),
        ("model B", "", "text", lambda r: r["other"] + ("" if r["p"] is None or r["paired"] else " (unpaired)")),
        ("difference", "A − B", "number", "difference"),
        ("95 % interval", "", "interval", _interval),
        ("p", "", "p", "p"),
        ("q", "", "p", "q"),
        (f"{noun}s that differ", "q < 0.05", "count", "targets"),
    ]
    return _table(columns, rows, caption)


def _regions(benchmark: BenchmarkScores, rows: Sequence[Row]) -> Table:
    has_ceiling = benchmark.facts["ceiling"] is not None
    columns = [("model", "", "text", "model"), ("region", "", "text", "region"), ("units", "", "count", "targets")]
    columns += [("ceiling", "", "number", "ceiling")] if has_ceiling else []
    columns += [("layer", "most chosen", "text", "layer"), ("validation", "± s.d.", "spread", _spread("valid"))]
    columns += [("test", "± s.d.", "spread", _spread("test")), ("95 % interval", "of test", "interval", _interval)]
    columns += [("test / ceiling", "", "number", "normalised")] if has_ceiling else []
    return _table(columns, rows)


def _layers(benchmark: BenchmarkScores, rows: Sequence[Row]) -> Table:
    columns = [("model", "", "text", "model"), ("layer", "", "text", "layer")]
    columns += [("validation", "± s.d.", "spread", _spread("valid")), ("test", "± s.d.", "spread", _spread("test"))]
    columns += [("test / ceiling", "", "number", "normalised")] if benchmark.facts["ceiling"] is not None else []
    return _table([*columns, ("chosen", "", "flag", lambda r: bool(r["best"]))], rows)


def provenance(rows: Sequence[Row]) -> tuple[Table, list[str]]:
    """Return the records as a table of indices into the list of strings, which is the second value."""
    names = ("name in the store", "benchmark", "model", "key (SHA-256)", "value (SHA-256)", "date", "seed")
    names += (
        "version of the score",
        "options",
        "activations (keys)",
        "data (digests)",
        "commit",
        "device",
        "wall time",
    )
    names += ("made by other code", "Python", "packages", "counts")
    strings: dict[str, int] = {}
    records = []
    for row in rows:
        seconds = None if row["seconds"] is None else f"{number(row['seconds'], 1)} s"
        superseded = " (superseded)" if row["superseded"] else ""
        values = (
            row["score"],
            row["benchmark"],
            row["model"] + superseded,
            row["digest"],
            row["sha256"],
            row["created"],
        )
        values += (row["seed"], row["version"], row["options"], row["activations"], row["data"], row["commit"])
        values += (row["device"], seconds, row["outdated"], row["python"], row["packages"], row["notes"])
        texts = ["–" if value is None or value in ({}, []) else as_text(value) for value in values]
        records.append([strings.setdefault(text, len(strings)) for text in texts])
    columns = [{"name": name, "note": "", "kind": "text"} for name in names]
    return {"caption": "", "columns": columns, "rows": records}, list(strings)
