"""Labels and choices of a user's folder: `labels.csv` of a task, `trials.csv` and `fitting.csv` of behaviour."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import first_names
from .problems import Problems
from .settings import FILE as SETTINGS_FILE
from .settings import Settings
from .stimuli import FILE as STIMULI_FILE
from .tables import Rows, check_ids, check_known, number, numbers, read_rows

LABELS, TRIALS, FITTING = "labels.csv", "trials.csv", "fitting.csv"
LEAST = 3  # stimuli of a class: one each to train, validate and test


def read_labels_table(folder: Path, problems: Problems) -> Rows | None:
    """Return `labels.csv` with a label column; None, with the faults added, otherwise."""
    rows = read_rows(folder, LABELS, problems, ("stimulus_id",), ("group", "stratum"))
    if rows is None:
        return None
    if not label_columns(rows):
        problems.add(LABELS, "has no column of labels", "add a column with the label of every stimulus", 1)
        return None
    return rows if check_ids(rows, "stimulus_id", problems) else None


def label_columns(rows: Rows) -> list[str]:
    """Return the names of the columns that are labels."""
    return list(rows.others("stimulus_id", "group", "stratum"))


def metric_of(rows: Rows, settings: Settings) -> str:
    """Return the metric: stated, or accuracy unless all labels are numbers and some have a fraction."""
    stated = settings.get("metric") or {"ridge": "pearson", "logistic": "accuracy"}.get(settings.get("decoder"))
    cells = [number(cell) for name in label_columns(rows) for cell in rows[name] if cell]
    fractions = all(cell is not None for cell in cells) and any(cell != int(cell) for cell in cells)
    return stated or ("pearson" if fractions else "accuracy")


def read_labels(
    rows: Rows, settings: Settings, ids: Sequence[str] | None, problems: Problems
) -> tuple[np.ndarray, dict] | None:
    """Return (labels in the order of the stimuli, groups and strata); None, with the faults added, otherwise."""
    before = len(problems)
    names = label_columns(rows)
    if metric_of(rows, settings) == "pearson":
        columns = [numbers(rows, name, problems) for name in names]
    else:
        columns = [rows[name] if _complete(rows, name, problems) else None for name in names]
    for name, values in zip(names, columns, strict=True):
        if values is not None and len(set(values)) < 2:
            problems.add(LABELS, f"all of {name} are {values[0]}", "remove the column, or add other stimuli")
    extra = {name: rows[name] for name in ("group", "stratum") if name in rows and _complete(rows, name, problems)}
    if ids is not None and check_known(rows, "stimulus_id", ids, STIMULI_FILE, problems):
        labelled = set(rows["stimulus_id"])
        for name in [i for i in ids if i not in labelled]:
            problems.add(STIMULI_FILE, f"stimulus {name} has no label in {LABELS}", "label it, or remove it")
    if metric_of(rows, settings) == "accuracy" and columns[0] is not None:
        _check_classes(rows, columns[0], extra, problems)
    if ids is None or len(problems) > before:
        return None
    place = {name: k for k, name in enumerate(rows["stimulus_id"])}
    order = [place[name] for name in ids]
    values = np.array(columns).T[order]
    return values, {name: np.array(of_row)[order] for name, of_row in extra.items()}


def _complete(rows: Rows, column: str, problems: Problems) -> bool:
    empty = [line for line, cell in zip(rows.lines, rows[column], strict=True) if cell in ("", "nan", "NaN", "NA")]
    for line in empty:
        problems.add(rows.file, f"{column} is empty", f"write a {column}, or remove the row and its stimulus", line)
    return not empty


def _check_classes(rows: Rows, labels: Sequence[str], extra: dict, problems: Problems) -> None:
    """Add a fault for each class, in each stratum, that is too small to be split."""
    strata = extra.get("stratum", [""] * len(rows))
    groups = extra.get("group", rows["stimulus_id"])
    distinct = set(zip(labels, strata, groups, strict=True))
    for (label, stratum), n in Counter((label, stratum) for label, stratum, _ in distinct).items():
        if n < LEAST:
            of = f" in stratum {stratum}" if stratum else ""
            what = "groups of stimuli" if "group" in extra else "stimuli"
            problems.add(
                rows.file,
                f"class {label}{of} has {n} {what}; expected at least {LEAST}, one each to train, validate and test",
                "add stimuli of this class, or remove it",
            )


def read_trials(
    folder: Path, settings: Settings, ids: Sequence[str] | None, problems: Problems
) -> tuple[dict[str, list[str]], tuple[str, ...]] | None:
    """Return (trials, classes); None, with the faults added, otherwise."""
    rows = read_rows(folder, TRIALS, problems, ("stimulus_id", "truth", "choice"), ("distractor", "subject"))
    if rows is None:
        return None
    before = len(problems)
    names = ["truth", "choice", *(["distractor"] if "distractor" in rows else [])]
    for column in ("stimulus_id", *names):
        check_ids(rows, column, problems, unique=False)
    if len(problems) > before:
        return None
    if ids is not None:
        check_known(rows, "stimulus_id", ids, STIMULI_FILE, problems)
    classes = tuple(settings.get("classes") or sorted({*rows["truth"], *rows.columns.get("distractor", [])}))
    where = f"the classes of {SETTINGS_FILE}" if settings.get("classes") else "the classes (truth and distractor)"
    for column in names:
        check_known(rows, column, classes, where, problems)
    _check_trials(rows, problems)
    _check_number_of_classes(classes, settings, problems)
    if not (folder / FITTING).is_file():
        _check_fitted_on_shown(rows, problems)
    table = {"subject": ["subject"] * len(rows)} | rows.columns
    return (table, classes) if len(problems) == before else None


def _check_trials(rows: Rows, problems: Problems) -> None:
    """Add the faults of single trials: a second class of a stimulus, a choice that was not offered."""
    first: dict[str, tuple[str, int]] = {}
    distractors = rows.columns.get("distractor")
    for k, line in enumerate(rows.lines):
        stimulus, truth, choice = rows["stimulus_id"][k], rows["truth"][k], rows["choice"][k]
        before, where = first.setdefault(stimulus, (truth, line))
        if before != truth:
            got = f"stimulus {stimulus} has truth {truth}, but {before} in line {where}"
            problems.add(rows.file, got, "give every stimulus one class", line)
        if distractors is None:
            continue
        if distractors[k] == truth:
            problems.add(rows.file, f"truth and distractor are both {truth}", "write the other alternative", line)
        elif choice not in (truth, distractors[k]):
            got = f"choice {choice} is neither truth {truth} nor distractor {distractors[k]}"
            problems.add(rows.file, got, "write one of the two alternatives", line)


def _check_number_of_classes(classes: Sequence[str], settings: Settings, problems: Problems) -> None:
    least = 3 if settings.get("metric", "O2") == "O2" else 2
    if len(classes) < least:
        got = f"{len(classes)} classes ({first_names(classes)}); expected at least {least}"
        hint = ' or write metric = "I2n"' if len(classes) == 2 else ""
        problems.add(TRIALS, got, f"add trials of other classes{hint}")


def _check_fitted_on_shown(rows: Rows, problems: Problems) -> None:
    of_class = Counter(dict(zip(rows["stimulus_id"], rows["truth"], strict=True)).values())
    for name, n in of_class.items():
        if n < 2:
            problems.add(
                rows.file,
                f"class {name} has 1 stimulus; expected at least 2, to fit a read-out on one and test it on the other",
                f"add stimuli of this class, or labelled stimuli in {FITTING}",
            )


def check_fitting(rows: Rows, classes: Sequence[str] | None, shown: Sequence[str] | None, problems: Problems) -> None:
    """Add the faults of the fitting stimuli: unknown or uncovered classes, stimuli that are also shown."""
    check_ids(rows, "label", problems, unique=False)
    if classes is not None and check_known(rows, "label", classes, TRIALS, problems):
        for name in sorted(set(classes) - set(rows["label"])):
            problems.add(FITTING, f"has no stimulus of class {name}", "add fitting stimuli of every class")
    also = set(shown or ())
    for line, name in zip(rows.lines, rows["stimulus_id"], strict=True):
        if name in also:
            remedy = "fit on other stimuli than those that are shown"
            problems.add(FITTING, f"stimulus {name} is also in {STIMULI_FILE}", remedy, line)


def fitting_labels(rows: Rows, stimuli: Stimuli) -> Labels:
    """Return the labels of the fitting stimuli."""
    return Labels(stimuli, np.array(rows["label"])[:, None], ("class",))
