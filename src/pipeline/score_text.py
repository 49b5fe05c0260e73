"""The printed form of a score: a table per layer, a table per region, and notes; as text and as HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..evaluate.axis import DELAY_PROFILE, TIME_COURSE
from ..evaluate.metrics import METRICS, Metric
from ..evaluate.metrics.base import NUMBERS
from ..evaluate.protocol import ONE_FILM
from ..tables import aligned
from ..utils import counted, first_names
from .request import changed_options, option_text
from .summary import BEST_PER_UNIT

HEADLINE = ">"
MAX_SUBJECTS = 12  # that have a row of their own
MAX_POINTS = 24  # of a curve that have a row of their own
MAX_CURVES = 5  # of regions that have a column of their own
CURVE_TITLES = {TIME_COURSE: "time course", DELAY_PROFILE: "delay profile"}
CURVE_POINTS = {TIME_COURSE: "ms after onset", DELAY_PROFILE: "delay in ms"}

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
    regions = [_region_table(facts)] if facts["regions"] else []
    people = facts.get("subjects")
    few = people is not None and len(people["rows"]) <= MAX_SUBJECTS
    films = facts.get("films")
    named = films is not None and any(row["film"] for row in films)
    optional = {
        _film_table: named,
        _subject_table: few,
        _partition_table: facts.get("partition"),
        _band_table: facts.get("bands"),
        _curve_table: facts.get("curve") and len(facts["curve"]["points_ms"]) <= MAX_POINTS,
    }
    return [_layer_table(facts), *regions, *(table(facts) for table, wanted in optional.items() if wanted)]


def _target(facts: Facts) -> str:
    if _metric(facts).of_regions:
        return "region"
    return "label" if facts["benchmark"] == "task" else "unit"


def metric_label(facts: Facts) -> str:
    """Return the metric of a score as a heading of columns; that of an unknown metric is its name."""
    return _metric(facts).label


def _metric(facts: Facts) -> Metric:
    name = facts["metric"]
    return METRICS.get(name) or Metric(name, name, name, NUMBERS)


def _title(facts: Facts) -> str:
    n = facts["targets"]
    over = f", median of {n} {_target(facts)}s" if n > 1 else ""
    what = f"{facts['model']} on {_datasets(facts)}"
    if facts["options"].get("reverse"):
        what = f"features of {facts['model']} by the responses to {_datasets(facts)}"
    if facts["options"].get("subjects") == "each":
        over = f", mean of single subjects{over}"
    return f"{what}: {facts['metric']}{over}, mean ± s.d. over {facts['splits']} splits"


def _datasets(facts: Facts) -> str:
    """Return the names of the datasets, those for test first."""
    tested = facts["options"].get("test")
    if not tested:
        return " + ".join(facts["datasets"])
    return f"{tested}, fitted to {' + '.join(name for name in facts['datasets'] if name not in tested.split(' + '))}"


def _columns(facts: Facts) -> list[tuple[str, str]]:
    """(title, key of a row) of the columns of scores."""
    label, base = metric_label(facts), _metric(facts).base
    of_valid = METRICS[base].label if base else label
    columns = [(f"valid {of_valid}", "valid"), (f"test {label}", "test")]
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
    columns, p = _columns(facts), facts.get("permutation")
    uncertain = [("95 %", "low", "high")] if facts["interval"] is not None else []
    if facts["interval"] is not None and facts["interval"]["low_normalised"] is not None:
        uncertain.append(("95 % of test/ceiling", "low_normalised", "high_normalised"))
    titles = [title for title, *_ in uncertain] + (["p"] if p is not None else [])

    def cells(mark: str, row: Mapping[str, Any], name: str) -> list[str]:
        name = name.replace("per unit", "per region") if _metric(facts).of_regions else name
        ends = [_interval(row[low], row[high]) if "low" in row else "" for _, low, high in uncertain]
        of_p = [] if p is None else [f"{p['p']:.3g}" if mark == HEADLINE else ""]
        return [f"{mark} {name}", *_cells(row, columns), *ends, *of_p]

    rows = [cells("*" if row["best"] else " ", row, row["layer"]) for row in facts["layers"]]
    one_layer, per_unit = facts["one_layer"], facts["best_per_unit"]
    if per_unit is not None:
        marks = (" ", HEADLINE) if _is_per_unit(facts) else (HEADLINE, " ")
        rows.append(cells(marks[0], one_layer, "one layer for all"))
        rows.append(cells(marks[1], per_unit, BEST_PER_UNIT))
    else:
        rows.append(cells(HEADLINE, one_layer, "chosen layer"))
    return Table(["  layer", *(title for title, _ in columns), *titles], rows)


def _is_per_unit(facts: Facts) -> bool:
    """Return whether the headline has a layer per unit."""
    return facts["headline"]["layer"] == BEST_PER_UNIT


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _region_table(facts: Facts) -> Table:
    columns = [("ceiling", "ceiling"), *_columns(facts)] if facts["ceiling"] is not None else _columns(facts)
    interval = ["95 %"] if facts["interval"] is not None else []
    per_unit = _is_per_unit(facts)
    one_layer = [f"one layer {metric_label(facts)}"] if per_unit else []
    rows = [
        [
            row["region"],
            row["layer"],
            str(row["targets"]),
            *_cells(row, columns),
            *(_interval(row.get("low"), row.get("high")) for _ in interval),
            *(_cells(row, [("", "one_layer")]) if per_unit else []),
        ]
        for row in facts["regions"]
    ]
    titles = [*(title for title, _ in columns), *interval, *one_layer]
    return Table(["region", "most chosen layer", "units", *titles], rows, left=2)


def _film_table(facts: Facts) -> Table:
    columns = [(f"test {metric_label(facts)}", "test"), ("distance", "distance")]
    columns += [("low-level distance", "distance_low_level")] if "distance_low_level" in facts["films"][0] else []
    rows = [[row["film"] or "several", *_cells(row, columns)] for row in facts["films"]]
    return Table(["test film", *(title for title, _ in columns)], rows)


def _film_notes(facts: Facts) -> list[str]:
    """Return what the distance of test films is, and that of test parts of several."""
    films = facts.get("films")
    if films is None:
        return []
    of = {"distance": "features", "distance_low_level": "luminance, contrast, cuts and motion energy"}
    ranges = []
    for name, what in of.items():
        known = [row[name] for row in films if row.get(name) is not None]
        ranges += [f"in {what} {min(known):.2f} to {max(known):.2f}"] if known else []
    if not ranges:
        return []
    meaning = "distance of test films from the training films; 1: as far as these are from each other"
    return [f"{meaning}; {'; '.join(ranges)}"]


def _partition_table(facts: Facts) -> Table:
    """Return the explained variance of all units and each region: joint, unique to each set, and shared."""
    found = facts["partition"]
    titles = [f"unique to {name}" for name in found["sets"]]
    header = ["R²", "units", "joint", *(text for title in titles for text in (title, "95 %")), "shared"]
    rows = []
    for row in found["rows"]:
        unique = [
            text
            for part in row["unique"].values()
            for text in (_number(part["value"]), _interval(part["low"], part["high"]))
        ]
        rows.append([row["region"], str(row["targets"]), _number(row["joint"]), *unique, _number(row["shared"])])
    return Table(header, rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _partition_notes(facts: Facts) -> list[str]:
    """Return how the variance was partitioned, and how much lies beyond the confounds."""
    found = facts.get("partition")
    if found is None:
        return []
    of_all = found["rows"][0]
    counts = ", ".join(f"{part['significant']} {name}" for name, part in of_all["unique"].items())
    lines = [f"R²: explained variance, mean over units; units with a unique part at q < 0.05 (BH-FDR): {counts}"]
    if found["confounds"] and len(found["sets"]) == 2:
        part = of_all["unique"][found["sets"][0]]
        lines.append(
            f"beyond confounds: R² {_number(part['value'])} (95 %: {_interval(part['low'], part['high'])}) of "
            f"{_number(of_all['alone'][found['sets'][0]])}; the confounds alone {_number(of_all['alone']['confounds'])}"
        )
    return lines


def _band_table(facts: Facts) -> Table:
    rows = [[row["band"], _number(row["weight"])] for row in facts["bands"]]
    return Table(["features", f"weight, median over {_target(facts)}s"], rows)


def _curve_table(facts: Facts) -> Table:
    """Return the score at each point of a curve: of all units, and of the regions where they are few."""
    curve = facts["curve"]
    of_all, *of_regions = curve["rows"]
    of_regions = of_regions if 1 < len(of_regions) <= MAX_CURVES else []
    has_interval, has_ceiling = of_all["low"] is not None, of_all["ceiling"] is not None
    header = [CURVE_POINTS[curve["name"]], f"test {metric_label(facts)}", *(["95 %"] if has_interval else [])]
    header += [*(["ceiling"] if has_ceiling else []), *(row["region"] for row in of_regions)]
    rows = []
    for p, (start, end) in enumerate(curve["points_ms"]):
        cells = [f"{start:g} to {end:g}" if curve["name"] == TIME_COURSE else f"{start:g}", _number(of_all["test"][p])]
        cells += [_interval(of_all["low"][p], of_all["high"][p])] if has_interval else []
        cells += [_number(of_all["ceiling"][p])] if has_ceiling else []
        rows.append(cells + [_number(row["test"][p]) for row in of_regions])
    return Table(header, rows)


def _curve_notes(facts: Facts) -> list[str]:
    """Return what a curve is, and where it is highest."""
    curve = facts.get("curve")
    if curve is None:
        return []
    meaning = {
        TIME_COURSE: "over the stimuli within each time bin, by the fits of the headline",
        DELAY_PROFILE: "part of the score that each delay contributes; all delays sum to the score of a unit",
    }[curve["name"]]
    names = [f"all {_target(facts)}s", *(row["region"] for row in curve["rows"][1:])]
    peaks = zip(names, (row["peak_ms"] for row in curve["rows"]), strict=True)
    texts = [f"{peak:g} ms ({name})" for name, peak in peaks if peak is not None]
    where = f"; largest at {', '.join(texts[: 1 + MAX_CURVES])}" if texts else ""
    return [f"{CURVE_TITLES[curve['name']]}: {meaning}{where}"]


def _subject_table(facts: Facts) -> Table:
    label, rows = metric_label(facts), facts["subjects"]["rows"]
    if "ceiling" not in rows[0]:
        return Table(["subject", f"test {label}"], [[row["subject"], *_cells(row, [("", "test")])] for row in rows])
    ridge = "ceiling_ridge" in rows[0]
    cells = [
        [
            row["subject"],
            *_cells(row, [("", "test")]),
            _with_error(row, "ceiling"),
            row["ceiling_kind"],
            *([_with_error(row, "ceiling_ridge")] if ridge else []),
        ]
        for row in rows
    ]
    header = ["subject", f"test {label}", "ceiling", "kind of ceiling", *(["ridge from the others"] if ridge else [])]
    return Table(header, cells)


def _with_error(row: Mapping[str, Any], name: str) -> str:
    """Return a number with its standard error."""
    error = row.get(f"{name}_error")
    return _number(row.get(name)) + (f" ±{error:.3f}" if error is not None else "")


def _subject_notes(facts: Facts) -> list[str]:
    """Return the mean over subjects with its two intervals, and the numbers of people, films and minutes."""
    people = facts.get("subjects")
    if people is None:
        return []
    n, scores = len(people["rows"]), [row["test"] for row in people["rows"] if row["test"] is not None]
    kinds = [counted(people[f"n_{kind}s"], kind) for kind in ("film", "clip") if people[f"n_{kind}s"]]
    shown = ", ".join([f"{n} people", *kinds, f"{people['minutes']:.1f} minutes"])
    if not scores or people.get("score") is None:
        return [f"{shown}: no score of single subjects"]
    lines = [f"{shown}: mean of single subjects {people['score']:.3f}, from {min(scores):.3f} to {max(scores):.3f}"]
    ends = [f"new films, these people {_interval(*people['films'])}"] if people["films"] else []
    ends += [f"new films, new people {_interval(*people['people'])}"] if people["people"] else []
    ends[-1:] = [f"{ends[-1]} (p {people['p']:.3g})"] if people["people"] and people["p"] is not None else ends[-1:]
    lines += [f"95 % of this mean: {'; '.join(ends)}"] if ends else []
    if people["undefined"]:
        lines.append(f"{people['undefined']} of {n * facts['targets']} scores of single subjects are undefined")
    if any(row.get("ceiling_kind") == "inter-subject" for row in people["rows"]):
        label = metric_label(facts)
        lines.append(
            f"inter-subject ceiling: {label} of a subject with the mean of the others, which a model may exceed"
        )
    if "ceiling_ridge" in people["rows"][0]:
        lines.append(
            "ridge from the others: test r of a regression from their mean in the splits of the score; "
            "± of a ceiling: standard error of a unit"
        )
    if people["weak"]:
        lines.append(f"{n} people: the interval for new people is weak; expected six or more")
    return lines


def _notes(facts: Facts) -> list[str]:
    choice, one = _choice(facts), facts["one_layer"]
    of_all = f" for all {_target(facts)}s" if facts["targets"] > 1 else ""
    lines = [f"* the layer that {one['share']:.0%} of the splits choose{of_all}, {choice}"]
    lines[0] += f"; {HEADLINE} the headline"
    if _is_per_unit(facts):
        lines[0] += f": a layer for each {_target(facts)} and split"
    if facts["ceiling"] is not None:
        ends = facts.get("ceiling_interval")
        spread = f" (95 %: {_interval(*ends)})" if ends is not None and None not in ends else ""
        lines.append(f"ceiling {facts['ceiling']:.3f}{spread}: {_ceiling_source(facts)}")
    lines += _uncertainty_notes(facts) + _film_notes(facts) + _subject_notes(facts) + _partition_notes(facts)
    lines += _curve_notes(facts)
    if facts["masked"]:
        lines.append(
            f"{facts['masked']} of {facts['targets']} units are left out of test/ceiling: "
            "reliability below 0.4 or not significant (BH-FDR 0.05)"
        )
    if facts["undefined"]:
        lines.append(f"{facts['undefined']} targets have no score: constant, never recorded or recorded too briefly")
    lines += _constant_notes(facts)
    asked = facts["options"]["splits"]
    if facts["splits"] < asked and facts["options"].get("layout") != ONE_FILM and "test" not in facts["options"]:
        sampled = facts["options"].get("layout") in ("runs", "scattered")
        why = "no further one differs from these" if sampled else "a test part has at least 10 rows and one segment"
        lines.append(f"{facts['splits']} splits instead of {asked}: {why}")
    lines += _penalty_warning(facts["notes"])
    for name, notes in (facts.get("data") or {}).items():
        lines += [f"{name}: {what}: {value}" for what, value in notes.items()]
    counts = [f"{name} {_short(value)}" for name, value in facts["notes"].items() if not isinstance(value, Mapping)]
    return [*lines, *([", ".join(counts)] if counts else []), _protocol(facts)]


def _constant_notes(facts: Facts) -> list[str]:
    """Return the layers whose predictions do not vary, and what to do where they leave the headline undefined."""
    names = [row["layer"] for row in facts["layers"] if row["test"] is None]
    others = [row["layer"] for row in facts["layers"] if row["test"] is not None]
    if not names or not others or "layers that are not finite" in facts["notes"]:
        return []
    line = f"no test score of {first_names(names)}: predictions that do not vary, as of features alike for all stimuli"
    if facts["headline"]["test"] is not None:
        return [line]
    return [f"{line}; splits that choose such a layer leave the headline undefined; give --layers {' '.join(others)}"]


def _choice(facts: Facts) -> str:
    """Return the data that layers are chosen by, in words."""
    if facts["options"]["layer_choice"] != "nested":
        return "by validation scores averaged over splits"
    if facts["benchmark"] == "behaviour":
        return "by the other half of the images"
    return (
        "by its validation rows"
        if facts["options"].get("decoder") in ("pls", "logistic")
        else "inside its training rows"
    )


def _protocol(facts: Facts) -> str:
    """Return the protocol and the options that differ from its own."""
    changed = changed_options(facts["benchmark"], facts["options"])
    # these are said elsewhere, or depend on the dataset
    skipped = ("metric", "reverse", "test", "splits", "seed", "audit")
    skipped += ("ceiling", "bootstrap", "permutations", "decoder")
    texts = [option_text(name, value) for name, value in changed.items() if name not in skipped]
    return f"protocol {facts['options']['protocol']}" + (f", but {', '.join(texts)}" if texts else "")


def _penalty_warning(notes: Mapping[str, Any]) -> list[str]:
    share = notes.get("penalties at the edge of the grid", 0)
    if share <= 0.1:
        return []
    return [f"warning: {share:.0%} of the penalties lie at an end of the grid; the scores may be too low"]


def _uncertainty_notes(facts: Facts) -> list[str]:
    lines, interval, permutation = [], facts.get("interval"), facts.get("permutation")
    if interval is not None:
        lines.append(f"95 %: bootstrap interval of the test score, {interval['n']} samples of {interval['unit']}")
    if permutation is not None:
        lines.append(
            f"p of the headline: {permutation['n']} permutations; {permutation['significant']} of {permutation['of']} "
            f"{_target(facts)}s above chance at q < 0.05 (BH-FDR)"
        )
    return lines


def _ceiling_source(facts: Facts) -> str:
    source = _metric(facts).ceiling_is
    if facts["reliability"] is not None:
        return f"{source} {facts['reliability']:.3f} (Spearman-Brown), median over units"
    return f"{source}, median over regions" if _metric(facts).of_regions else source


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
