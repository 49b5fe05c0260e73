"""The printed form of a score: a table per layer, a table per region, and notes; as text and as HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..tables import aligned

METRIC_LABELS = {"pearson": "r", "accuracy": "accuracy", "I2n": "I2n", "O2": "O2"}
BEST_PER_UNIT = "best layer per unit"

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first `left` columns are flush left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


def score_text(facts: Facts) -> str:
    """Return a score as aligned text, for a terminal."""
    layers, *regions = (aligned(table.header, table.rows, table.left) for table in _tables(facts))
    parts = [_title(facts), layers, *(f"\n{region}" for region in regions), "", *_notes(facts)]
    return "\n".join(parts) + "\n"


def score_html(facts: Facts) -> str:
    """Return a score as HTML, for a notebook."""
    parts = [f"<p><b>{escape(_title(facts))}</b></p>"]
    for table in _tables(facts):
        styles = [
            f"text-align:{'left' if i < table.left else 'right'};padding:2px 8px" for i in range(len(table.header))
        ]
        head, *body = (
            _html_row(tag, row, styles) for tag, row in [("th", table.header), *(("td", r) for r in table.rows)]
        )
        parts.append(f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>")
    parts.append(f'<p style="font-size:small">{"<br>".join(map(escape, _notes(facts)))}</p>')
    return "\n".join(parts)


def _html_row(tag: str, cells: Sequence[str], styles: Sequence[str]) -> str:
    inner = (f'<{tag} style="{style}">{escape(cell)}</{tag}>' for cell, style in zip(cells, styles, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def _tables(facts: Facts) -> list[Table]:
    return [_layer_table(facts), *([_region_table(facts)] if facts["regions"] else [])]


def _target(facts: Facts) -> str:
    return "label" if facts["benchmark"] == "task" else "unit"


def _title(facts: Facts) -> str:
    n = facts["targets"]
    over = f", median of {n} {_target(facts)}s" if n > 1 else ""
    return (
        f"{facts['model']} on {' + '.join(facts['datasets'])}: {facts['metric']}{over}, "
        f"mean ± s.d. over {facts['options']['splits']} splits"
    )


def _columns(facts: Facts) -> list[tuple[str, str]]:
    """(title, key of a row) of the columns of scores."""
    label = METRIC_LABELS[facts["metric"]]
    columns = [(f"valid {label}", "valid"), (f"test {label}", "test")]
    if facts["ceiling"] is not None:
        columns += [("test/ceiling", "normalised")]
    columns += [(f"null {label}", "null")] if facts["options"].get("audit") else []
    columns += [("accuracy", "accuracy")] if any("accuracy" in row for row in facts["layers"]) else []
    return columns


def _cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    cells = []
    for _, name in columns:
        spread = f" ±{row[name + '_sd']:.3f}" if row.get(name + "_sd") is not None else ""
        cells.append("-" if row.get(name) is None else f"{row[name]:.3f}{spread}")
    return cells


def _layer_table(facts: Facts) -> Table:
    columns, uncertainty = _columns(facts), _uncertainty(facts)
    rows = [
        [
            ("* " if row["best"] else "  ") + row["layer"],
            *_cells(row, columns),
            *(uncertainty.values() if row["best"] else [""] * len(uncertainty)),
        ]
        for row in facts["layers"]
    ]
    if facts["best_per_unit"] is not None:
        rows.append([f"  {BEST_PER_UNIT}", *_cells(facts["best_per_unit"], columns), *[""] * len(uncertainty)])
    return Table(["  layer", *(title for title, _ in columns), *uncertainty], rows)


def _uncertainty(facts: Facts) -> dict[str, str]:
    """{title: cell} of the columns that only the chosen layer has."""
    cells, interval, permutation = {}, facts.get("interval"), facts.get("permutation")
    if interval is not None:
        cells["95 %"] = _interval(interval["low"], interval["high"])
        if interval["low_normalised"] is not None:
            cells["95 % of test/ceiling"] = _interval(interval["low_normalised"], interval["high_normalised"])
    if permutation is not None:
        cells["p"] = f"{permutation['p']:.3g}"
    return cells


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _region_table(facts: Facts) -> Table:
    columns = [("ceiling", "ceiling"), *_columns(facts)] if facts["ceiling"] is not None else _columns(facts)
    interval = ["95 %"] if facts.get("interval") is not None else []
    rows = [
        [
            row["region"],
            row["layer"],
            str(row["targets"]),
            *_cells(row, columns),
            *(_interval(row.get("low"), row.get("high")) for _ in interval),
        ]
        for row in facts["regions"]
    ]
    return Table(["region", "best layer", "units", *(title for title, _ in columns), *interval], rows, left=2)


def _notes(facts: Facts) -> list[str]:
    lines = ["* the layer with the best validation score"]
    if facts["best_per_unit"] is not None:
        lines[0] += f"; {BEST_PER_UNIT}: chosen in the same way for each {_target(facts)}"
    if facts["ceiling"] is not None:
        lines.append(f"ceiling {facts['ceiling']:.3f}: {_ceiling_source(facts)}")
    lines += _uncertainty_notes(facts)
    if facts["masked"]:
        lines.append(
            f"{facts['masked']} of {facts['targets']} units are left out of test/ceiling: "
            "reliability below 0.4 or not significant (BH-FDR 0.05)"
        )
    if facts["undefined"]:
        lines.append(f"{facts['undefined']} targets have no score: constant or never recorded")
    for name, notes in (facts.get("data") or {}).items():
        lines += [f"{name}: {what}: {value}" for what, value in notes.items()]
    counts = [f"{name} {_short(value)}" for name, value in facts["notes"].items() if not isinstance(value, Mapping)]
    return [*lines, *([", ".join(counts)] if counts else [])]


def _uncertainty_notes(facts: Facts) -> list[str]:
    lines, interval, permutation = [], facts.get("interval"), facts.get("permutation")
    if interval is not None:
        lines.append(
            f"95 %: bootstrap interval of the chosen layer's test score, {interval['n']} samples of {interval['unit']}"
        )
    if permutation is not None:
        lines.append(
            f"p: {permutation['n']} permutations; {permutation['significant']} of {permutation['of']} "
            f"{_target(facts)}s above chance at q < 0.05 (BH-FDR)"
        )
    return lines


def _ceiling_source(facts: Facts) -> str:
    if facts["reliability"] is not None:
        return f"sqrt of the split-half reliability {facts['reliability']:.3f} (Spearman-Brown), median"
    return "sqrt of the agreement of the two halves of the human trials"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
