"""Prepared data: the record of a public dataset, read once from its release and stored as netCDF and stimulus table."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import unchecked_json, writing
from ..locks import locked
from ..stages import differing, sources, study_stage
from ..utils import BadInput
from .declare import Dataset
from .release import Progress, Release, fetch_hint

log = logging.getLogger(__name__)
PROVENANCE = "provenance.json"


def home(declared: Dataset, folder: Path) -> Path:
    """Return the folder of a dataset's prepared data; folder: DATA_HOME/<study>."""
    return folder / "prepared" / declared.name


def stated(declared: Dataset, folder: Path) -> dict[str, Any] | None:
    """Return the provenance stored with the prepared data, None if there are none."""
    return unchecked_json(home(declared, folder) / PROVENANCE)


def census(declared: Dataset, folder: Path) -> dict[str, int]:
    """Return {need: number of its files}, which shows whether prepared data are older than the release."""
    return {need.what: len(need.found(folder)) for need in declared.needs}


def checked_options(declared: Dataset, options: Mapping[str, str]) -> dict[str, str]:
    """Return every option of the preparation, with defaults filled in; BadInput for an unknown option or value."""
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
    """Read the release and store the record unless it is stored with these options; return whether it was read.

    Raises BadInput if files are missing or wrong, or if the folder cannot be written; existing prepared data are kept
    in that case.
    """
    from . import brainio

    options = checked_options(declared, options)
    _require_folder(declared, folder)
    place = home(declared, folder)
    with writing(place, "DATA_HOME"), locked(place.parent / f".{declared.name}.lock", "DATA_HOME"):
        if not force and is_current(declared, folder, options):
            return False
        release = Release(declared.name, folder, options, jobs, *([progress] if progress else []))
        record = declared.read(release)
        stated_facts = {"options": options, "census": census(declared, folder), "version": declared.version}
        brainio.write(record, place, stated_facts | {"sources": sources(stage(declared))})
        release.discard_parts()
    return True


def _require_folder(declared: Dataset, folder: Path) -> None:
    """Raise BadInput if the folder of a study is absent and files are needed from it."""
    if not folder.is_dir() and any(need.missing(folder) and not need.optional for need in declared.needs):
        raise BadInput(f"{declared.name} is not in {folder}; {fetch_hint(declared.name)}")


def is_current(declared: Dataset, folder: Path, options: Mapping[str, str]) -> bool:
    """Return whether the prepared data were made by this version, with these options, from all files that are here."""
    found = stated(declared, folder)
    return found is not None and found.get("options") == dict(options) and not outdated(declared, folder, found)


def stage(declared: Dataset) -> str:
    """Return the stage of the computation that reads a release, see `stages`."""
    return study_stage(getattr(declared.read, "func", declared.read).__module__)


def outdated(declared: Dataset, folder: Path, found: Mapping[str, Any]) -> str:
    """Return the reason why prepared data should be prepared again, "" if there is none."""
    if found.get("census") != census(declared, folder):
        return f"the release in {folder} has changed since it was prepared"
    if found.get("version", 1) != declared.version:
        return f"it was prepared by version {found.get('version', 1)} of its reader, this is {declared.version}"
    return ""


def load(declared: Dataset, folder: Path) -> Any:
    """Return the prepared record, with whatever options it was made; made with the defaults if there is none."""
    from . import brainio

    found = stated(declared, folder)
    if found is None:
        _require_folder(declared, folder)
        log.warning("preparing %s from %s (`dynamic-vision data prepare` shows progress)", declared.name, folder)
        prepare(declared, folder, {})
    elif reason := outdated(declared, folder, found):
        log.warning("%s: %s; run: dynamic-vision data prepare %s", declared.name, reason, declared.name)
    elif differing(found.get("sources", {})):
        reason = "it was prepared by other sources of its reader than the present ones"
        log.warning("%s: %s; run: dynamic-vision data prepare %s --force", declared.name, reason, declared.name)
    return brainio.read(home(declared, folder))
