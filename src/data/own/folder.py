"""A folder as a dataset: `dataset.toml`, `stimuli.csv` and the tables of its kind become a declaration and a record."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...files import safe_name
from ...records import Choices, Labels, Responses, Stimuli
from ...utils import BadInput
from ..declare import Behaviour, Dataset, Electrodes, Fmri, Task
from . import choices, responses, stimuli
from .problems import Problems
from .settings import Settings, read_settings
from .tables import Rows

IMAGE_MS = 1000.0


def declare(folder: Path) -> Dataset:
    """Return the declaration of a folder; BadInput with the first fault and the number of the others."""
    declared, _, _ = _read(folder, Problems(), with_stimuli=False, every_image=False)
    if declared is None:
        load(folder)
    return declared


def load(folder: Path, data_home: Path | None = None) -> Responses | Labels | Choices:
    """Return the record of a folder; BadInput with the first fault and the number of the others."""
    problems = Problems()
    _, record, _ = _read(folder, problems, with_stimuli=True, every_image=False)
    if record is None:
        raise _bad_input(folder, problems)
    return record


def examine(folder: Path) -> tuple[Dataset | None, Any, list[str], list[str]]:
    """Return (declaration, record, faults, assumptions) of a folder, with every image and film opened."""
    problems = Problems()
    declared, record, said = _read(folder, problems, with_stimuli=True, every_image=True)
    return declared, record, problems.lines(), said


def _bad_input(folder: Path, problems: Problems) -> BadInput:
    first, *others = problems.lines()
    more = f" ({len(others)} more faults: `data check {folder}` lists them)" if others else ""
    return BadInput(f"{folder.name}/{first}{more}")


def _read(
    folder: Path, problems: Problems, with_stimuli: bool, every_image: bool
) -> tuple[Dataset | None, Any, list[str]]:
    """Return (declaration, record, assumptions); None for what faults, which are added, prevent.

    with_stimuli: False reads only what the declaration needs.
    """
    settings = read_settings(folder, problems)
    rows = stimuli.read_table(folder, problems) if with_stimuli else None
    if settings is None:
        return None, None, []
    part = _PARTS[settings.kind](folder, settings, rows, problems, with_stimuli)
    shown = None
    if rows is not None:
        shown = stimuli.read_stimuli(folder, rows, settings, part.image_ms, problems, every_image)
    record = part.make(shown) if part.make is not None and shown is not None else None
    declared = None if part.traits is None or len(problems) else _declared(folder, settings, part.traits)
    return declared, None if len(problems) else record, part.said


def _declared(folder: Path, settings: Settings, traits: dict[str, Any]) -> Dataset:
    kind = {"fmri": Fmri, "electrodes": Electrodes, "task": Task, "behaviour": Behaviour}[settings.kind]
    facts = {key: settings.get(key, "not stated") for key in ("citation", "licence")}
    facts |= {"access": "own", "source": settings.get("source", "own files"), "note": settings.get("note", "")}
    return kind(name=settings.name, study=safe_name(settings.name), load=partial(load, folder), **facts, **traits)


@dataclass(frozen=True)
class _Part:
    """Content of a folder besides its stimuli: traits, the function that makes the record, time of an image."""

    traits: dict[str, Any] | None
    make: Callable[[Stimuli], Any] | None
    image_ms: float
    said: list[str]


def _recording(folder: Path, settings: Settings, rows: Rows | None, problems: Problems, whole: bool) -> _Part:
    recorded = responses.read_recorded(folder, settings, problems)
    if recorded is None:
        return _Part(None, None, IMAGE_MS, [])
    end_ms = float(responses.bins_ms(settings, recorded)[-1, 1])
    image_ms = settings.get("image_duration", end_ms)
    if settings.kind == "fmri":
        lag = settings.get("lag", "time" in recorded.axes)
        traits = {"tr_ms": settings.width_ms, "lag": lag, "row_weight": settings.get("row_weight", 1.0)}
    else:
        traits = {"fit": settings.get("fit", "stimuli"), "clip_ms": settings.get("clip", 5000.0)}
    if not whole:
        return _Part(traits, None, image_ms, recorded.said)
    ids = None if rows is None else rows["stimulus_id"]
    read = responses.read_responses(folder, settings, recorded, ids, problems)

    def make(shown: Stimuli) -> Any:
        if read is None:
            return None
        responses.check_length(recorded, settings, read[0], shown, problems)
        return None if len(problems) else responses.record(shown, settings, recorded, read)

    said = list(recorded.said)
    if settings.kind == "fmri" and "lag" not in settings.values:
        said.append(
            f"lag is {str(traits['lag']).lower()}: " + ("a time axis" if traits["lag"] else "one value per film")
        )
    return _Part(traits, make, image_ms, said)


def _task(folder: Path, settings: Settings, rows: Rows | None, problems: Problems, whole: bool) -> _Part:
    image_ms = settings.get("image_duration", IMAGE_MS)
    labels = choices.read_labels_table(folder, problems)
    if labels is None:
        return _Part(None, None, image_ms, [])
    metric = choices.metric_of(labels, settings)
    decoder = settings.get("decoder", "logistic" if metric == "accuracy" else "ridge")
    traits = {"metric": metric, "decoder": decoder, "limit_ms": settings.get("limit")}
    traits |= {"static": settings.get("static", False)}
    said = (
        [] if settings.get("metric") else [f"labels are {'classes' if metric == 'accuracy' else 'numbers'}: {metric}"]
    )
    if not whole:
        return _Part(traits, None, image_ms, said)
    read = choices.read_labels(labels, settings, None if rows is None else rows["stimulus_id"], problems)

    def make(shown: Stimuli) -> Any:
        if read is None:
            return None
        values, extra = read
        values = values.astype(np.float64) if metric == "pearson" else values
        names = choices.label_columns(labels)
        return Labels(shown, values, tuple(names), extra.get("stratum"), extra.get("group"))

    return _Part(traits, make, image_ms, said)


def _behaviour(folder: Path, settings: Settings, rows: Rows | None, problems: Problems, whole: bool) -> _Part:
    image_ms = settings.get("image_duration", IMAGE_MS)
    traits = {"metric": settings.get("metric", "O2"), "static": settings.get("static", False)}
    if not whole:
        return _Part(traits, None, image_ms, [])
    ids = None if rows is None else rows["stimulus_id"]
    read = choices.read_trials(folder, settings, ids, problems)
    fitting = None
    if (folder / choices.FITTING).is_file() or list(folder.glob("fitting.*")):
        table = stimuli.read_table(folder, problems, choices.FITTING, ("label",))
        if table is not None:
            choices.check_fitting(table, read[1] if read else None, ids, problems)
            found = stimuli.read_stimuli(folder, table, settings, image_ms, problems, every_image=False)
            fitting = None if found is None else choices.fitting_labels(table, found)
    said = [] if fitting else ["the read-out is fitted on the shown stimuli, out of fold"]

    def make(shown: Stimuli) -> Any:
        if read is None:
            return None
        trials, classes = read
        return None if len(problems) else Choices(shown, trials, classes, fitting)

    return _Part(traits, make, image_ms, said)


_PARTS = {"fmri": _recording, "electrodes": _recording, "task": _task, "behaviour": _behaviour}
