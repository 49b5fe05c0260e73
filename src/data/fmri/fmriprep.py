"""Films watched in the scanner, as fMRIPrep leaves them: GIFTI series on fsaverage5 and confound tables, run by run.

A run's volumes are averaged by overlap into seconds of the film, from the onset that its events state, so that runs of
unlike repetition times stand side by side. Runs that cannot be used are left out by name.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, digest, overlap_weights, regular_bins
from ...video import probe
from ..release import ByHand, Need, Release
from . import atlas, confounds
from .subjects import counted, fill_empty, first_reasons, left_out_note

BIN_MS = 1000.0
TR_TOLERANCE_MS = 1.0
OPTIONS = {"confounds": confounds.PRESETS}
# entities in the order of fMRIPrep since version 20.2, and in the one before
_FILE = re.compile(
    r"(?P<run>sub-(?P<subject>[A-Za-z0-9]+)_[A-Za-z0-9_-]+?)_"
    r"(?:hemi-(?P<new>[LR])_space-fsaverage5|space-fsaverage5_hemi-(?P<old>[LR]))_bold\.func\.gii"
)
_TABLES = ("timeseries", "regressors")


def needs(task: str, n_runs: int, accession: str) -> tuple[Need, ...]:
    """What fMRIPrep has to leave anywhere below the study's folder, for `n_runs` runs of `task`."""
    made = ByHand(
        f"get the raw data (aws s3 sync --no-sign-request s3://openneuro.org/{accession} {accession}), run fMRIPrep on "
        "them with --output-spaces fsaverage5, and copy its sub-*/ folders (func.gii, desc-confounds tables and their "
        ".json) to derivatives/fmriprep/ in the study's folder",
        gigabytes=0.09 * n_runs,
    )
    surfaces = Need("fMRIPrep surface series (fsaverage5)", f"**/sub-*_task-{task}_*_bold.func.gii", made, 2 * n_runs)
    tables = Need("fMRIPrep confound tables", f"**/sub-*_task-{task}_*desc-confounds_*.tsv", made, n_runs)
    return surfaces, tables


@dataclass(frozen=True, eq=False)
class Run:
    """A run of one subject; name: the BIDS entities that its files begin with."""

    subject: str
    name: str
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def table(self) -> Path | None:
        """Its confound table, under either of the names that fMRIPrep has given it; None where there is none."""
        beside = [
            next(iter(self.files.values())).with_name(f"{self.name}_desc-confounds_{kind}.tsv") for kind in _TABLES
        ]
        return next((path for path in beside if path.is_file()), None)

    @property
    def inputs(self) -> list[Path]:
        """Its surface series, left first, its confound table and that one's description."""
        beside = [] if self.table is None else [self.table, self.table.with_suffix(".json")]
        return [self.files[hemi] for hemi in atlas.HEMISPHERES] + [path for path in beside if path.is_file()]


def find_runs(release: Release, task: str) -> list[Run]:
    """The runs of a task for which there is anything, sorted by name; BadInput for none, and for one found twice."""
    runs: dict[str, Run] = {}
    for path in release.files(f"**/sub-*_task-{task}_*_bold.func.gii"):
        match = _FILE.fullmatch(path.name)
        if match is None or "prepared" in path.relative_to(release.folder).parts:
            continue
        run = runs.setdefault(match["run"], Run(match["subject"], match["run"]))
        hemi = match["new"] or match["old"]
        if hemi in run.files:
            raise BadInput(f"{release.name}: {path} and {run.files[hemi]} are the same run; remove one of them")
        run.files[hemi] = path
    if not runs:
        raise BadInput(
            f"{release.name}: no func.gii in {release.folder} is on fsaverage5; run fMRIPrep with "
            f"--output-spaces fsaverage5"
        )
    return [runs[name] for name in sorted(runs)]


def read_series(run: Run) -> np.ndarray:
    """The volumes of both hemispheres, left first: float32 (n_volumes, 20484).

    Raises BadInput for a file that cannot be read, another mesh, and hemispheres of unlike length.
    """
    left, right = (_read_gifti(run.files[hemi]) for hemi in atlas.HEMISPHERES)
    if len(left) != len(right):
        raise BadInput(
            f"{run.name}: {len(left)} volumes left, {len(right)} right; expected as many; run fMRIPrep again"
        )
    return np.concatenate([left, right], axis=1)


def _read_gifti(path: Path) -> np.ndarray:
    import zlib
    from xml.parsers.expat import ExpatError

    import nibabel

    try:
        volumes = [array.data for array in nibabel.load(path).darrays]
    except (ExpatError, ValueError, OSError, EOFError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise BadInput(f"{path} cannot be read as GIFTI ({error}); the file is damaged: make it again") from error
    sizes = {volume.shape for volume in volumes}
    if sizes != {(atlas.N_HEMI,)}:
        raise BadInput(
            f"{path}: volumes of shape {sorted(sizes)}; expected ({atlas.N_HEMI},), a hemisphere of fsaverage5"
        )
    return np.stack(volumes).astype(np.float32)


def to_seconds(series: np.ndarray, tr_ms: float, onset_ms: float, n_bins: int) -> np.ndarray:
    """Volumes (n_volumes, n_vertices) averaged by overlap into seconds from `onset_ms` on: (n_bins, n_vertices).

    A second that touches a volume that is NaN throughout (not yet in the steady state), or that the run does not
    cover, is NaN.
    """
    weights = overlap_weights(
        regular_bins(len(series) * tr_ms, tr_ms), onset_ms + regular_bins(n_bins * BIN_MS, BIN_MS)
    )
    absent = np.isnan(series).all(axis=1)
    seconds = weights.astype(np.float32) @ np.where(absent[:, None], 0, series)
    seconds[(weights[:, absent] > 0).any(axis=1) | ~weights.any(axis=1)] = np.nan
    return seconds


def raw_file(release: Release, run: Run, what: str) -> Path:
    """A run's file in the raw BIDS tree, by what its name ends with."""
    session = run.name.split("_")[1]
    return release.folder / f"sub-{run.subject}" / session / "func" / f"{run.name}_{what}"


def sidecar_tr_ms(path: Path) -> float:
    """The repetition time that a BIDS sidecar states, in ms; BadInput where it states none."""
    try:
        return 1000 * float(json.loads(path.read_text())["RepetitionTime"])
    except (ValueError, KeyError, OSError) as error:
        raise BadInput(f"{path}: no RepetitionTime ({error}); expected a BIDS sidecar; fetch it again") from error


def read_table(path: Path) -> dict[str, list[str]]:
    """A tab-separated BIDS table as {column: texts}; BadInput where it has none or rows of unlike length."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise BadInput(f"{path}: no table of equally long rows; expected BIDS events or participants; fetch it again")
    return {name: [line[k] for line in lines[1:]] for k, name in enumerate(lines[0])}


@dataclass(frozen=True)
class Timing:
    """When a run showed the film: its repetition time, and the film's onset since the first volume, in ms.

    n_volumes: how many volumes the run has to have, None where it only has to cover the film.
    """

    tr_ms: float
    onset_ms: float
    n_volumes: int | None = None


def read_film(
    release: Release,
    film: Path,
    runs: Sequence[Run],
    n_bins: int,
    timing: Callable[[Run], Timing | str],
    left_out: dict[str, str] | None = None,
) -> Responses:
    """Everybody's seconds of one film, a repetition per run.

    timing: when a run showed the film, or why it cannot be used; left_out: {run or subject: why}, to which the runs
    that cannot be used are added. Raises BadInput where none can.
    """
    left_out = {} if left_out is None else dict(left_out)

    def one(run: Run) -> np.ndarray | str:
        return _unusable(release, run) or _run_seconds(release, run, n_bins, timing)

    found = dict(zip(runs, counted(release, one, {run.name: run for run in runs}), strict=True))
    left_out |= {run.name: why for run, why in found.items() if isinstance(why, str)}
    kept = {run: part for run, part in found.items() if not isinstance(part, str)}
    if not kept:
        raise BadInput(
            f"{release.name}: no run can be used: {first_reasons(left_out)}; expected fMRIPrep's output of whole runs"
        )
    values = np.stack(list(kept.values()))
    units, notes = atlas.units(release)
    notes |= {"confounds": release.options.get("confounds", confounds.PRESETS[0])}
    notes |= fill_empty(values) | left_out_note(left_out)
    stimuli = Stimuli(release.name, (film.name,), (film,), np.array([probe(film).duration_ms]), ("video",))
    subjects = tuple(f"sub-{run.subject}" for run in kept)
    return Responses(stimuli, values[None], regular_bins(n_bins * BIN_MS, BIN_MS), units, subjects, notes)


def _unusable(release: Release, run: Run) -> str:
    absent = [f"hemi-{hemi}" for hemi in atlas.HEMISPHERES if hemi not in run.files]
    if run.table is None and release.options.get("confounds", confounds.PRESETS[0]) != "none":
        absent.append("confound table")
    return f"no {' and no '.join(absent)}" if absent else ""


class _Unusable(Exception):
    """Why a run cannot be used, found while it was read."""


def _run_seconds(release: Release, run: Run, n_bins: int, timing: Callable[[Run], Timing | str]) -> np.ndarray | str:
    when = timing(run)
    if isinstance(when, str):
        return when

    def make() -> np.ndarray:
        series = read_series(run)
        if when.n_volumes not in (None, len(series)):
            raise _Unusable(f"{len(series)} volumes, expected {when.n_volumes}")
        end_s, lasts_s = (when.onset_ms + n_bins * BIN_MS) / 1000, len(series) * when.tr_ms / 1000
        if lasts_s < end_s - 1e-6:
            raise _Unusable(f"{len(series)} volumes, {lasts_s:.1f} s; the film ends at {end_s:.1f} s")
        preset = release.options.get("confounds", confounds.PRESETS[0])
        if preset != "none" and confounds.n_rows(run.table) != len(series):
            raise _Unusable(f"{confounds.n_rows(run.table)} rows of confounds for {len(series)} volumes")
        return to_seconds(confounds.clean(series, run.table, preset), when.tr_ms, when.onset_ms, n_bins)

    try:
        return release.part(f"{run.name}-{digest([when.tr_ms, when.onset_ms, n_bins])[:8]}", run.inputs, make)
    except _Unusable as reason:
        return str(reason)
