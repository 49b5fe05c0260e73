"""Scores and plans as aligned text."""

from collections.abc import Mapping, Sequence
from typing import Any

from src.pipeline import Result
from src.store import key_name

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


def result_text(result: Result) -> str:
    """A score as a table per layer, one per region where there are some, and what stands behind the numbers."""
    facts = result.facts
    parts = [_title(facts), _layers(facts), *_regions(facts), _small_print(facts)]
    return "\n".join(parts) + "\n"


def _target(facts: Mapping[str, Any]) -> str:
    return "label" if facts["script"] == "task" else "unit"


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
    rows = [[("* " if r["best"] else "  ") + r["layer"], *_cells(r, columns)] for r in facts["layers"]]
    if facts["own"] is not None:
        rows.append(["  each its own", *_cells(facts["own"], columns)])
    return aligned(["  layer", *(title for title, _ in columns)], rows)


def _regions(facts: Mapping[str, Any]) -> list[str]:
    if not facts["regions"]:
        return []
    columns = [("ceiling", "ceiling"), *_columns(facts)] if facts["ceiling"] is not None else _columns(facts)
    rows = [[r["region"], r["layer"], str(r["targets"]), *_cells(r, columns)] for r in facts["regions"]]
    return ["", aligned(["region", "best layer", "units", *(title for title, _ in columns)], rows, left=2)]


def _small_print(facts: Mapping[str, Any]) -> str:
    lines = ["", "* the layer with the best validation score"]
    if facts["own"] is not None:
        lines[-1] += f"; each its own: chosen so for every {_target(facts)}"
    if facts["ceiling"] is not None:
        lines.append(f"ceiling {facts['ceiling']:.3f}: {_ceiling_words(facts)}")
    if facts["masked"]:
        lines.append(
            f"{facts['masked']} of {facts['targets']} units are left out of test/ceiling: "
            "reliability below 0.4 or not significant (BH-FDR 0.05)"
        )
    if facts["undefined"]:
        lines.append(f"{facts['undefined']} targets have no score: constant or never recorded")
    notes = [f"{name} {_short(value)}" for name, value in facts["notes"].items() if not isinstance(value, Mapping)]
    return "\n".join([*lines, *([", ".join(notes)] if notes else [])])


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
