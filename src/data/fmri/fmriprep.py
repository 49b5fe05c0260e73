"""fMRI responses to films as preprocessed by fMRIPrep: GIFTI series on fsaverage5 and confound tables, per run.

A run's volumes are averaged by overlap into seconds of the film, from the onset that its events state, so that runs of
different repetition times have the same time bins. Runs that cannot be used are left out by name.
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
from ..notes import first_reasons, left_out_note
from ..parallel import with_progress
from ..release import ByHand, Need, Release
from . import atlas, confounds
from .subjects import fill_empty

BIN_MS = 1000.0
TR_TOLERANCE_MS = 1.0
OPTIONS = {"confounds": confounds.PRESETS}
# order of the entities since version 20.2 of fMRIPrep, and before it
_FILE = re.compile(
    r"(?P<run>sub-(?P<subject>[A-Za-z0-9]+)_[A-Za-z0-9_-]+?)_"
    r"(?:hemi-(?P<new>[LR])_space-fsaverage5|space-fsaverage5_hemi-(?P<old>[LR]))_bold\.func\.gii"
)
_TABLES = ("timeseries", "regressors")


def needs(task: str, n_runs: int, accession: str) -> tuple[Need, ...]:
    """Return the needed output of fMRIPrep, anywhere below the study's folder, for `n_runs` runs of `task`."""
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
    """Run of one subject; name: the BIDS entities at the beginning of its file names."""

    subject: str
    name: str
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def table(self) -> Path | None:
        """Confound table, under either of fMRIPrep's names for it; None if there is none."""
        series = next(iter(self.files.values()))
        names = [f"{self.name}_desc-confounds_{kind}.tsv" for kind in _TABLES]
        return next((path for path in map(series.with_name, names) if path.is_file()), None)

    @property
    def inputs(self) -> list[Path]:
        """Surface series, left first, the confound table and its description."""
        tables = [] if self.table is None else [self.table, self.table.with_suffix(".json")]
        return [self.files[hemi] for hemi in atlas.HEMISPHERES] + [path for path in tables if path.is_file()]


def find_runs(release: Release, task: str) -> list[Run]:
    """Return the runs of a task with any file, sorted by name; BadInput for none, and for a run found twice."""
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


def without_output(subjects: Sequence[str], runs: Sequence[Run]) -> dict[str, str]:
    """Return {"sub-<subject>": reason} of the subjects without any run."""
    return dict.fromkeys(sorted(set(subjects) - {f"sub-{run.subject}" for run in runs}), "no fMRIPrep output")


def read_series(run: Run) -> np.ndarray:
    """Return the volumes of both hemispheres, left first: float32 (n_volumes, 20484).

    Raises BadInput for a damaged file, another mesh, and hemispheres of different length.
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
    """Return volumes (n_volumes, n_vertices) averaged by overlap into seconds from `onset_ms` on: (n_bins, n_vertices).

    A second is NaN if it overlaps a volume of NaN only (before the steady state), or if the run does not cover it.
    """
    return to_bins(series, tr_ms, onset_ms + regular_bins(n_bins * BIN_MS, BIN_MS))


def to_bins(series: np.ndarray, tr_ms: float, bins_ms: np.ndarray) -> np.ndarray:
    """Return volumes (n_volumes, n_units) averaged by overlap into bins since the first volume: (n_bins, n_units).

    A bin is NaN if it overlaps a volume of NaN, or if the run does not cover it.
    """
    weights = overlap_weights(regular_bins(len(series) * tr_ms, tr_ms), bins_ms)
    absent = np.isnan(series).all(axis=1)
    binned = weights.astype(np.float32) @ np.where(absent[:, None], 0, series)
    binned[(weights[:, absent] > 0).any(axis=1) | ~weights.any(axis=1)] = np.nan
    return binned


def raw_file(release: Release, run: Run, what: str) -> Path:
    """Return a run's file in the raw BIDS tree, by the end of its name."""
    session = run.name.split("_")[1]
    return release.folder / f"sub-{run.subject}" / session / "func" / f"{run.name}_{what}"


def sidecar_tr_ms(path: Path) -> float:
    """Return the repetition time that a BIDS sidecar states, in ms; BadInput if it states none."""
    try:
        return 1000 * float(json.loads(path.read_text())["RepetitionTime"])
    except (ValueError, KeyError, OSError) as error:
        raise BadInput(f"{path}: no RepetitionTime ({error}); expected a BIDS sidecar; fetch it again") from error


def read_table(path: Path) -> dict[str, list[str]]:
    """Return a tab-separated BIDS table as {column: texts}; BadInput if it is empty or has rows of different length."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise BadInput(f"{path}: no table of equally long rows; expected BIDS events or participants; fetch it again")
    return {name: [line[k] for line in lines[1:]] for k, name in enumerate(lines[0])}


@dataclass(frozen=True)
class Timing:
    """Repetition time of a run, and the film's onset since the first volume, in ms.

    n_volumes: required number of volumes; None if the run only has to cover the film.
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
    """Return the responses to one film in seconds, one repetition per run.

    timing: run -> Timing, or the reason why it cannot be used; left_out: {subject: reason} to list beside the runs that
    cannot be used. Raises BadInput if no run can be used.
    """
    left_out = {} if left_out is None else dict(left_out)

    def one(run: Run) -> np.ndarray | str:
        return _unusable(release, run) or _run_seconds(release, run, n_bins, timing)

    found = dict(zip(runs, with_progress(release, one, runs, lambda run: run.name), strict=True))
    left_out |= {run.name: reason for run, reason in found.items() if isinstance(reason, str)}
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
    """Return which files of a run are missing, empty if none is."""
    absent = [f"hemi-{hemi}" for hemi in atlas.HEMISPHERES if hemi not in run.files]
    if run.table is None and release.options.get("confounds", confounds.PRESETS[0]) != "none":
        absent.append("confound table")
    return f"no {' and no '.join(absent)}" if absent else ""


class _Unusable(Exception):
    """Reason why a run cannot be used, found while it is read."""


def _run_seconds(release: Release, run: Run, n_bins: int, timing: Callable[[Run], Timing | str]) -> np.ndarray | str:
    found = timing(run)
    if isinstance(found, str):
        return found

    def make() -> np.ndarray:
        series = read_series(run)
        if found.n_volumes not in (None, len(series)):
            raise _Unusable(f"{len(series)} volumes, expected {found.n_volumes}")
        end_s, length_s = (found.onset_ms + n_bins * BIN_MS) / 1000, len(series) * found.tr_ms / 1000
        if length_s < end_s - 1e-6:
            raise _Unusable(f"{len(series)} volumes, {length_s:.1f} s; the film ends at {end_s:.1f} s")
        preset = release.options.get("confounds", confounds.PRESETS[0])
        if preset != "none" and confounds.n_rows(run.table) != len(series):
            raise _Unusable(f"{confounds.n_rows(run.table)} rows of confounds for {len(series)} volumes")
        return to_seconds(confounds.clean(series, run.table, preset), found.tr_ms, found.onset_ms, n_bins)

    try:
        return release.part(f"{run.name}-{digest([found.tr_ms, found.onset_ms, n_bins])[:8]}", run.inputs, make)
    except _Unusable as reason:
        return str(reason)
