"""Scores and plans as aligned text."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..pipeline import Score
from ..store import key_name

METRIC = {"pearson": "r", "accuracy": "accuracy", "I2n": "I2n", "O2": "O2"}


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows under a header, columns as wide as they must be; the first `left` columns flush left, the others right."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            f"{cell:<{w}}" if i < left else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same rows as a table for a document."""
    lines = [header, ["---"] * len(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def result_text(result: Score) -> str:
    """A score as a table per layer, one per region where there are some, and what stands behind the numbers."""
    facts = result.facts
    parts = [_title(facts), _layers(facts), *_regions(facts), _small_print(facts)]
    return "\n".join(parts) + "\n"


def _target(facts: Mapping[str, Any]) -> str:
    return "label" if facts["benchmark"] == "task" else "unit"


def _title(facts: Mapping[str, Any]) -> str:
    n = facts["targets"]
    over = f", median of {n} {_target(facts)}s" if n > 1 else ""
    splits = facts["options"]["splits"]
    return (
        f"{facts['model']} on {' + '.join(facts['datasets'])}: {facts['metric']}{over}, "
        f"mean and deviation over {splits} splits"
    )


def _columns(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = METRIC[facts["metric"]]
    columns = [(f"valid {name}", "valid"), (f"test {name}", "test")]
    if facts["ceiling"] is not None:
        columns += [("test/ceiling", "normalised")]
    columns += [(f"null {name}", "null")] if facts["options"].get("audit") else []
    columns += [("accuracy", "accuracy")] if any("accuracy" in row for row in facts["layers"]) else []
    return columns


def _cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    cells = []
    for _, name in columns:
        spread = f" ±{row[name + '_sd']:.3f}" if row.get(name + "_sd") is not None else ""
        cells.append("-" if row.get(name) is None else f"{row[name]:.3f}{spread}")
    return cells


def _layers(facts: Mapping[str, Any]) -> str:
    columns = _columns(facts)
    trust = _trust_columns(facts)
    rows = [
        [("* " if r["best"] else "  ") + r["layer"], *_cells(r, columns), *_trust(facts, trust, r["best"])]
        for r in facts["layers"]
    ]
    if facts["best_per_unit"] is not None:
        rows.append(["  best layer per unit", *_cells(facts["best_per_unit"], columns), *_trust(facts, trust, False)])
    return aligned(["  layer", *(title for title, _ in columns), *trust], rows)


def _trust_columns(facts: Mapping[str, Any]) -> list[str]:
    """The columns that only the chosen layer fills."""
    interval, permutation = facts.get("interval"), facts.get("permutation")
    scaled = interval is not None and interval["low_normalised"] is not None
    names = {"95 %": interval is not None, "95 % of test/ceiling": scaled, "p": permutation is not None}
    return [name for name, there in names.items() if there]


def _trust(facts: Mapping[str, Any], columns: Sequence[str], chosen: bool) -> list[str]:
    if not chosen:
        return [""] * len(columns)
    interval, permutation = facts.get("interval") or {}, facts.get("permutation") or {}
    cells = {
        "95 %": _ends(interval.get("low"), interval.get("high")),
        "95 % of test/ceiling": _ends(interval.get("low_normalised"), interval.get("high_normalised")),
        "p": f"{permutation['p']:.3g}" if permutation else "-",
    }
    return [cells[name] for name in columns]


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _regions(facts: Mapping[str, Any]) -> list[str]:
    if not facts["regions"]:
        return []
    columns = [("ceiling", "ceiling"), *_columns(facts)] if facts["ceiling"] is not None else _columns(facts)
    ends = ["95 %"] if facts.get("interval") is not None else []
    rows = [
        [
            r["region"],
            r["layer"],
            str(r["targets"]),
            *_cells(r, columns),
            *(_ends(r.get("low"), r.get("high")) for _ in ends),
        ]
        for r in facts["regions"]
    ]
    return ["", aligned(["region", "best layer", "units", *(title for title, _ in columns), *ends], rows, left=2)]


def _small_print(facts: Mapping[str, Any]) -> str:
    lines = ["", "* the layer with the best validation score"]
    if facts["best_per_unit"] is not None:
        lines[-1] += f"; each its own: chosen so for every {_target(facts)}"
    if facts["ceiling"] is not None:
        lines.append(f"ceiling {facts['ceiling']:.3f}: {_ceiling_words(facts)}")
    lines += _trust_words(facts)
    if facts["masked"]:
        lines.append(
            f"{facts['masked']} of {facts['targets']} units are left out of test/ceiling: "
            "reliability below 0.4 or not significant (BH-FDR 0.05)"
        )
    if facts["undefined"]:
        lines.append(f"{facts['undefined']} targets have no score: constant or never recorded")
    for name, notes in (facts.get("data") or {}).items():
        lines += [f"{name}: {what}: {value}" for what, value in notes.items()]
    notes = [f"{name} {_short(value)}" for name, value in facts["notes"].items() if not isinstance(value, Mapping)]
    return "\n".join([*lines, *([", ".join(notes)] if notes else [])])


def _trust_words(facts: Mapping[str, Any]) -> list[str]:
    lines, interval, permutation = [], facts.get("interval"), facts.get("permutation")
    if interval is not None:
        lines.append(
            f"95 %: bootstrap interval of the chosen layer's test score, {interval['n']} draws of {interval['unit']}"
        )
    if permutation is not None:
        lines.append(
            f"p: {permutation['n']} permutations; {permutation['significant']} of {permutation['of']} "
            f"{_target(facts)}s above chance at q < 0.05 (BH-FDR)"
        )
    return lines


def _ceiling_words(facts: Mapping[str, Any]) -> str:
    if facts["reliability"] is not None:
        return f"sqrt of the split-half reliability {facts['reliability']:.3f} (Spearman-Brown), median"
    return "sqrt of the agreement of the two halves of the human trials"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def plan_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """What a run would do, a row a step."""
    rows = [
        [
            step["what"],
            "stored" if step["stored"] else "to compute",
            f"{step['bytes'] / 1e9:.3f}",
            key_name(step["key"]),
        ]
        for step in steps
    ]
    return aligned(["step", "state", "size", "name in the store"], rows, left=2)
