"""Checks of a dataset against its declaration: counts, time bins, values not recorded, duplicates, damaged files."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import Labels, Responses, Stimuli
from ..utils import BadInput, array_digest, file_digest
from ..video import check_film, piece, read_image
from .declare import Dataset, Electrodes, Fmri, Task, counts
from .notes import number_and_names


@dataclass(frozen=True)
class Finding:
    """Result of one check: its subject, found and expected value; fine: whether the data can be scored as they are."""

    what: str
    found: str
    expected: str
    fine: bool


def check(declared: Dataset, record: Any, expected: Mapping[str, int] | None = None) -> list[Finding]:
    """Return the findings on a dataset's record; expected: its counts, by default those of the declaration."""
    findings = list(_counts(record, declared.expected if expected is None else expected))
    findings += _films(record.stimuli)
    if isinstance(record, Responses):
        findings += _recorded(declared, record)
    if isinstance(record, Labels):
        findings += _labels(record)
    if getattr(record, "fitting", None) is not None:
        shared = sorted(set(record.stimuli.ids) & set(record.fitting.stimuli.ids))
        listed = number_and_names(shared, "none")
        findings.append(Finding("fitting stimuli that are also shown", listed, "none", not shared))
        findings += _films(record.fitting.stimuli, "fitting ")
    findings += [Finding(what, str(value), "", True) for what, value in record.notes.items()]
    return findings


def summary(declared: Dataset, record: Any) -> list[tuple[str, str]]:
    """Return (name, text) of the facts that a user compares with their own: counts, minutes, regions, evaluation."""
    found = [(what, str(n)) for what, n in counts(record).items()]
    found.insert(1, ("minutes", f"{np.sum(record.stimuli.duration_ms) / 60000:.3g}"))
    if isinstance(record, Responses):
        regions = Counter(map(str, record.units["region"])) if "region" in record.units else {}
        listed = ", ".join(f"{region} ({n} units)" for region, n in regions.items())
        found.append(("regions", listed or "none stated"))
    return [*found, ("scored as", _scored_as(declared, record))]


def _scored_as(declared: Dataset, record: Any) -> str:
    if isinstance(declared, Fmri):
        lag = "convolved with the haemodynamic response" if declared.lag else "without a haemodynamic lag"
        text = f"fMRI: Pearson r per unit, {lag}, TR {declared.tr_ms:g} ms"
    elif isinstance(declared, Electrodes):
        rows = "the clips of its own film" if declared.fit == "per unit" else "stimuli x bins"
        text = f"electrodes: Pearson r per unit over {rows}"
    elif isinstance(declared, Task):
        text = f"task: {declared.metric} of a {declared.decoder} read-out of the time mean"
    else:
        text = f"behaviour: {declared.metric}, confusions of a read-out against those of the subjects"
    single = isinstance(record, Responses) and len(record.subjects) < 2 and getattr(declared, "fit", "") != "per unit"
    return text + ("; 1 repetition, no noise ceiling: add --no-ceiling" if single else "")


def _counts(record: Any, expected: Mapping[str, int]) -> Iterator[Finding]:
    found = counts(record)
    for what in [*expected, *(name for name in found if name not in expected)]:
        wanted = expected.get(what)
        fine = wanted is None or found.get(what) == wanted
        yield Finding(what, str(found.get(what, "-")), "" if wanted is None else str(wanted), fine)


def _films(stimuli: Stimuli, role: str = "") -> Iterator[Finding]:
    broken, lasts = [], []
    for index in range(len(stimuli)):
        try:
            lasts.append(_length_ms(stimuli, index))
        except BadInput as error:
            broken.append(f"{stimuli.ids[index]}: {error}")
    yield Finding(f"{role}files that cannot be read", number_and_names(broken, "none"), "none", not broken)
    if lasts:
        yield Finding(f"{role}length of stimuli, s", f"{min(lasts) / 1000:.3g} to {max(lasts) / 1000:.3g}", "", True)
    pieces = [(file_digest(path), stimuli.piece_ms(index)) for index, path in enumerate(stimuli.paths)]
    seen = Counter(pieces)
    doubled = [i for i, content in zip(stimuli.ids, pieces, strict=True) if seen[content] > 1]
    yield Finding(f"{role}stimuli of the same content", number_and_names(doubled, "none"), "none", True)


def _length_ms(stimuli: Stimuli, index: int) -> float:
    if stimuli.kind[index] == "image":
        read_image(stimuli.paths[index])
        return float(stimuli.duration_ms[index])
    info, part = check_film(stimuli.paths[index]), stimuli.piece_ms(index)
    return (piece(info, *part) if part else info).duration_ms


def _recorded(declared: Dataset, record: Responses) -> Iterator[Finding]:
    values, time_ms = record.values, record.time_ms
    yield Finding("first bin starts at, ms", f"{time_ms[0, 0]:g}", "", True)
    yield Finding("bin width, ms", f"{time_ms[0, 1] - time_ms[0, 0]:g}", "", True)
    share = float(np.mean([np.isnan(stimulus).mean() for stimulus in values]))
    yield Finding("not recorded (NaN)", f"{share:.1%}", "", True)
    infinite = int(sum(np.isinf(stimulus).sum() for stimulus in values))
    yield Finding("infinite values", str(infinite), "0", infinite == 0)
    flat = int(_constant(values).sum())
    yield Finding("constant units", str(flat), "0", True)
    same = Counter(array_digest(values[:, k]) for k in range(values.shape[1]))
    doubled = sum(n for n in same.values() if n > 1)
    yield Finding("repetitions with equal values", str(doubled), "0", doubled == 0)
    if getattr(declared, "fit", "stimuli") == "stimuli":
        uncovered = _uncovered(record)
        yield Finding("stimuli shorter than what was recorded", number_and_names(uncovered, "none"), "none", True)


def _constant(values: np.ndarray) -> np.ndarray:
    """Return which units, the last axis, have the same value everywhere or none."""
    low, high = np.full(values.shape[-1], np.inf), np.full(values.shape[-1], -np.inf)
    for stimulus in values:
        low, high = (
            np.fmin(low, np.nanmin(stimulus, (0, 1), initial=np.inf)),
            np.fmax(high, np.nanmax(stimulus, (0, 1), initial=-np.inf)),
        )
    return high <= low


def _uncovered(record: Responses) -> list[str]:
    """Return the stimuli that end more than 1 s before the last bin with a response to them."""
    found = []
    for index, identity in enumerate(record.stimuli.ids):
        kept = np.flatnonzero(np.isfinite(record.values[index]).any(axis=(0, 2)))
        if len(kept) and record.time_ms[kept[-1], 1] > record.stimuli.duration_ms[index] + 1000:
            found.append(identity)
    return found


def _labels(record: Labels) -> Iterator[Finding]:
    if record.values.dtype.kind == "f":
        for name, column in zip(record.names, record.values.T, strict=True):
            yield Finding(f"label {name}", f"{column.min():.3g} to {column.max():.3g}", "", True)
        return
    of_class = Counter(record.values[:, 0].tolist())
    least, most = min(of_class.values()), max(of_class.values())
    yield Finding("stimuli of a class", f"{least}" if least == most else f"{least} to {most}", "at least 3", least >= 3)
