"""Public datasets as they are kept after reading: BrainIO's netCDF and a stimulus table, made once from the release."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils import BadInput
from .declare import Dataset
from .release import Progress, Release

log = logging.getLogger(__name__)
STATED = "provenance.json"


def home(declared: Dataset, folder: Path) -> Path:
    """Where the prepared data of a dataset lie; folder: DATA_HOME/<study>."""
    return folder / "prepared" / declared.name


def stated(declared: Dataset, folder: Path) -> dict[str, Any] | None:
    """What the prepared data say of their making, None where there are none."""
    try:
        return json.loads((home(declared, folder) / STATED).read_text())
    except (OSError, ValueError):
        return None


def census(declared: Dataset, folder: Path) -> dict[str, int]:
    """{what: files of it that are there}, by which prepared data are seen to be older than the release."""
    return {need.what: len(need.found(folder)) for need in declared.needs}


def checked_options(declared: Dataset, options: Mapping[str, str]) -> dict[str, str]:
    """Every option of the preparation, the default where it is not asked for; BadInput for one that is unknown."""
    for name, value in options.items():
        allowed = declared.options.get(name)
        if allowed is None:
            has = ", ".join(declared.options) or "none"
            raise BadInput(f"{declared.name} has no option '{name}'; it has: {has}; leave it out")
        if value not in allowed:
            raise BadInput(f"{declared.name}: {name} '{value}'; expected one of {', '.join(allowed)}")
    return {name: options.get(name, allowed[0]) for name, allowed in declared.options.items()}


def prepare(
    declared: Dataset,
    folder: Path,
    options: Mapping[str, str],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    force: bool = False,
) -> bool:
    """Read the release and store the record, unless it is there with these options; whether anything was made.

    Raises BadInput where files are missing or wrong, and where the folder cannot be written; what is prepared already
    stays as it is then.
    """
    from filelock import FileLock

    from . import brainio

    options = checked_options(declared, options)
    _require_here(declared, folder)
    place = home(declared, folder)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / f".{declared.name}.lock"):
            if not force and is_current(declared, folder, options):
                return False
            release = Release(declared.name, folder, options, jobs, *([progress] if progress else []))
            record = declared.read(release)
            brainio.write(record, place, {"options": options, "census": census(declared, folder)})
            release.discard_parts()
    except OSError as error:
        raise BadInput(
            f"cannot write {place} ({error.strerror or error}); expected a writable DATA_HOME with room; free some"
        ) from error
    return True


def _require_here(declared: Dataset, folder: Path) -> None:
    if not folder.is_dir() and any(need.missing(folder) and not need.optional for need in declared.needs):
        raise BadInput(f"{declared.name} is not in {folder}; run: python -m src.data fetch {declared.name}")


def is_current(declared: Dataset, folder: Path, options: Mapping[str, str]) -> bool:
    """Whether what is prepared was made with these options from as many files as there are."""
    was = stated(declared, folder)
    return was is not None and was.get("options") == dict(options) and was.get("census") == census(declared, folder)


def load(declared: Dataset, folder: Path) -> Any:
    """The prepared record, whatever options it was made with; made with the default ones where there is none."""
    from . import brainio

    was = stated(declared, folder)
    if was is None:
        _require_here(declared, folder)
        log.warning("preparing %s from %s (`python -m src.data prepare` shows how far it is)", declared.name, folder)
        prepare(declared, folder, {})
    elif was.get("census") != census(declared, folder):
        log.warning(
            "%s: the release in %s has changed since it was prepared; run: python -m src.data prepare %s",
            *(declared.name, folder, declared.name),
        )
    return brainio.read(home(declared, folder))
