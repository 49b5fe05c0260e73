"""`bids:DERIVATIVES?task=..&space=..&film=..`: responses to films in a tree of fMRIPrep, of any of its versions.

The names of BIDS are read here: the libraries for it index whole trees in a database (pybids) or in Arrow tables
(bids2table), for which a dataset of one task is too small, and neither reads the names before version 1.2 of fMRIPrep.

A run's series is cleaned by its confounds and averaged by overlap into bins since the onset of each film. Nothing is
left out that is not stated: a run that cannot be used is a fault, and `exclude=` leaves it out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...files import safe_name
from ...records import Responses, Stimuli
from ...utils import BadInput, first_names, regular_bins
from ..declare import Dataset, Fmri
from ..fmri import atlas, confounds
from ..fmri.fmriprep import to_bins
from ..fmri.subjects import fill_empty
from ..own.problems import Problems
from ..own.tables import number
from . import images
from .bids_tree import SERIES, Inheritance, Item, run_name, walk
from .reference import Reference, parse, plain_name
from .shown import find_files, read_stimuli

FILTERS = ("sub", "ses", "run", "acq", "dir", "echo", "res", "den")
OPTIONS = (
    *("task", "space", "desc", *FILTERS, "film", "stimuli", "event", "onset", "tr", "bin", "confounds"),
    *("mask", "parcels", "raw", "exclude"),
)
TR_TOLERANCE = 0.01
UNCOVERED = 3  # bins at the end of a film that a run may lack


def parsed(name: str) -> Reference:
    """Return the reference of a name."""
    return parse(name, OPTIONS)


@dataclass(frozen=True)
class Run:
    """Run of a subject with the files of its series: one, or the two hemispheres of a surface."""

    name: str
    entities: Mapping[str, str]
    files: Mapping[str, Path]
    extension: str

    @property
    def first(self) -> Path:
        """File of the series, of surfaces that of the left hemisphere."""
        return self.files.get("L") or next(iter(self.files.values()))

    @property
    def subject(self) -> str:
        """Name of the subject, sub-LABEL."""
        return f"sub-{self.entities['sub']}"


@dataclass(frozen=True)
class Shown:
    """Presentation of a film in a run: its name, and onset and length in ms; length: None for the whole film."""

    run: Run
    film: str
    onset_ms: float
    length_ms: float | None


@dataclass(frozen=True)
class Tree:
    """Content of the derivatives that belongs to a reference: runs of a task in a space, and what describes them."""

    reference: Reference
    items: list[Item]
    runs: list[Run]
    task: str
    space: str | None
    raw: list[Path]
    beside: Inheritance
    said: list[str]


def read(
    reference: Reference, problems: Problems, folder: Path | None, load: Callable[[Path], Any]
) -> tuple[Dataset | None, Any, list[str]]:
    """Return (declaration, record, assumptions); None for what faults, which are added, prevent.

    folder: DATA_HOME/<study>, beside which the areas of fsaverage may lie; None reads only what the declaration needs.
    """
    preset = reference.choice("confounds", confounds.PRESETS) or confounds.PRESETS[0]
    onset_ms, bin_ms = reference.ms("onset", least=-np.inf), reference.ms("bin")
    tree = _tree(reference, problems)
    if tree is None:
        return None, None, []
    trs = _repetition_times(tree, problems)
    if trs is None:
        return None, None, []
    same = np.ptp(list(trs.values())) < 1
    width_ms = bin_ms or (next(iter(trs.values())) if same else 1000.0)
    declared = _declared(tree, width_ms, load)
    if folder is None:
        return declared, None, []
    said = list(tree.said)
    said += (
        [f"TR is {' and '.join(sorted({f'{tr:g}' for tr in trs.values()}))} ms"]
        if "tr" not in reference.options
        else []
    )
    shown = _shown(tree, onset_ms, said, problems)
    if shown is None:
        return declared, None, said
    stimuli = _stimuli(tree, declared.name, shown, problems)
    if stimuli is None:
        return declared, None, said
    record = _record(tree, stimuli, shown, trs, width_ms, preset, folder, problems)
    return declared, record, said


def _tree(reference: Reference, problems: Problems) -> Tree | None:
    """Return the tree of a reference; None, with the faults added, where no run is found."""
    root = reference.paths[0]
    if not root.is_dir():
        problems.add(root.name, "there is no such folder", "name the folder with fMRIPrep's sub-*/ folders")
        return None
    items = walk(root)
    series = [item for item in items if item.suffix == "bold" and item.extension in SERIES and "task" in item.entities]
    if not series:
        got = f"has no series sub-*_task-*_bold of GIFTI, CIFTI or NIfTI in its {len(items)} files"
        problems.add(root.name, got, "name the folder with fMRIPrep's sub-*/ folders")
        return None
    said: list[str] = []
    for option in ("task", "space"):
        stated = reference.get(option)
        known = sorted({item.get(option) or "none" for item in series})
        if stated is None and len(known) > 1:
            problems.add(root.name, f"has several of {option}: {', '.join(known)}", f"state {option}={known[0]}")
            return None
        if stated is not None and stated not in known:
            problems.add(
                root.name, f"has no {option} {stated}, only {', '.join(known)}", f"correct the option {option}"
            )
            return None
        if stated is None:
            said.append(f"{option} is {known[0]}")
        series = [item for item in series if (item.get(option) or "none") == (stated or known[0])]
    series = _filtered(reference, root, series, problems)
    if series is None:
        return None
    runs = _runs(root, series, problems)
    if runs is None:
        return None
    raw = _raw_roots(reference, root, problems)
    kept = runs[0].entities
    tree = Tree(reference, items, runs, kept["task"], kept.get("space"), raw, Inheritance([root, *raw]), said)
    return None if len(problems) else tree


def _filtered(reference: Reference, root: Path, series: list[Item], problems: Problems) -> list[Item] | None:
    """Return the series of the stated entities and desc, without the excluded ones; None, with a fault, for none."""
    for entity in FILTERS:
        stated = reference.get(entity)
        if stated is not None:
            wanted = [one.removeprefix(f"{entity}-") for one in stated.split(",")]
            known = sorted({item.get(entity) or "none" for item in series})
            unknown = [one for one in wanted if one not in known]
            if unknown:
                got = f"has no {entity} {first_names(unknown)}, only {first_names(known, 10)}"
                problems.add(root.name, got, f"correct the option {entity}")
                return None
            series = [item for item in series if (item.get(entity) or "none") in wanted]
    known = sorted({item.get("desc") or "none" for item in series})
    desc = reference.get("desc") or (known[0] if len(known) == 1 else "preproc")
    if desc not in known:
        problems.add(root.name, f"has no desc {desc}, only {', '.join(known)}", "state desc=, or correct it")
        return None
    series = [item for item in series if (item.get("desc") or "none") == desc]
    for excluded in filter(None, (reference.get("exclude") or "").split(",")):
        parts = dict(piece.partition("-")[::2] for piece in excluded.split("_"))
        left = [item for item in series if any(item.get(key) != value for key, value in parts.items())]
        if len(left) == len(series):
            problems.add(
                root.name, f"exclude={excluded} is no subject or run of it", "write it as sub-01 or sub-01_run-2"
            )
            return None
        series = left
    if not series:
        problems.add(root.name, "has no run that is not excluded", "correct the option exclude")
        return None
    return series


def _runs(root: Path, series: Sequence[Item], problems: Problems) -> list[Run] | None:
    """Return the runs, sorted; None, with the faults added, for several series of a run and absent hemispheres."""
    found: dict[str, Run] = {}
    for item in series:
        run = found.setdefault(item.run, Run(item.run, item.entities, {}, item.extension))
        hemi = item.get("hemi") or ""
        if hemi in run.files or item.extension != run.extension:
            other = run.files.get(hemi, run.first)
            theirs = next(one for one in series if one.path == other)
            apart = [key for key in ("res", "den") if item.get(key) != theirs.get(key)]
            remedy = f"state {' or '.join(f'{key}=' for key in apart)}" if apart else "keep one of them"
            problems.add(root.name, f"{other.name} and {item.path.name} are the same run", remedy)
            return None
        run.files[hemi] = item.path
    for run in found.values():
        absent = [hemi for hemi in atlas.HEMISPHERES if hemi not in run.files] if run.extension == ".func.gii" else []
        if absent:
            problems.add(run.name, f"has no series of hemi-{absent[0]}", f"get it, or state exclude={run.name}")
    return None if len(problems) else [found[name] for name in sorted(found)]


def _raw_roots(reference: Reference, root: Path, problems: Problems) -> list[Path]:
    """Return the raw trees: stated, or those near the derivatives that have folders of subjects."""
    stated = reference.path("raw")
    if stated is not None:
        if not stated.is_dir():
            problems.add(stated.name, "raw= is no folder", "name the folder of the raw BIDS tree")
        return [stated]
    near = [root / "sourcedata" / "raw", *list(root.parents)[:2], root.parent / "rawdata", root.parent / "raw"]
    return [folder for folder in near if (folder / "dataset_description.json").is_file() or any(folder.glob("sub-*/"))]


def _declared(tree: Tree, width_ms: float, load: Callable[[Path], Any]) -> Dataset:
    reference = tree.reference
    name = reference.stated_name() or plain_name(f"{tree.task}-{tree.space or 'native'}")
    facts = {"citation": reference.get("citation", "not stated"), "licence": reference.get("licence", "not stated")}
    facts |= {"access": "own", "source": "own files (BIDS derivatives)"}
    return Fmri(name=name, study=safe_name(name), load=load, tr_ms=width_ms, **facts)


def _repetition_times(tree: Tree, problems: Problems) -> dict[str, float] | None:
    """Return {run: TR in ms}: stated, of the sidecars, or of the image's header; None, with the faults added."""
    stated_ms, found = tree.reference.ms("tr"), {}
    for run in tree.runs:
        try:
            sidecar = None if stated_ms else tree.beside.stated(run.entities, "RepetitionTime")
            header_ms = None if stated_ms or run.extension == ".func.gii" else _header_tr_ms(run)
        except (ValueError, BadInput) as error:
            _add(problems, run, str(error))
            continue
        tr_ms = stated_ms or (1000 * sidecar[0] if sidecar else header_ms)
        if tr_ms is None or not 50 < tr_ms < 60000:
            got = "states no RepetitionTime" if tr_ms is None else f"states a RepetitionTime of {tr_ms / 1000:g} s"
            problems.add(f"{run.name}_bold.json", got, "write it in s into the sidecar, or state tr=1.5s")
        elif sidecar and header_ms and abs(header_ms - tr_ms) > TR_TOLERANCE * tr_ms:
            got = f"states a TR of {tr_ms / 1000:g} s, but the headers of the series {header_ms / 1000:g} s"
            _once(problems, sidecar[1].name, got, "correct one of them, or state tr=1.5s")
        else:
            found[run.name] = tr_ms
    return None if len(problems) else found


def _header_tr_ms(run: Run) -> float | None:
    """Return the TR in the header of a CIFTI or NIfTI series, in ms; None where it states none."""
    image = images.opened(run.first)
    if run.extension == ".dtseries.nii":
        try:
            return 1000 * float(image.header.get_axis(0).step)
        except (AttributeError, ValueError, KeyError) as error:
            raise BadInput(f"{run.first.name}: is no dense CIFTI series ({error}); get or make it again") from error
    zooms = image.header.get_zooms()
    unit = image.header.get_xyzt_units()[1]
    if len(zooms) < 4 or zooms[3] <= 0 or (unit == "unknown" and zooms[3] == 1):
        return None
    return float(zooms[3]) * {"msec": 1.0, "usec": 0.001}.get(unit, 1000.0)


def _add(problems: Problems, run: Run, message: str) -> None:
    """Add the message of an error, which may name files with their folders, as a fault of a run."""
    for path in run.files.values():
        message = message.replace(f"{path.parent}/", "")
    file, colon, rest = message.partition(": ")
    if not colon or " " in file:
        file, rest = run.name, message
    found, _, remedy = rest.partition("; ")
    _once(problems, file, found, remedy or f"correct it, or state exclude={run.name}")


def _once(problems: Problems, file: str, found: str, remedy: str, line: int | None = None) -> None:
    """Add a fault of a file that may describe several runs, once."""
    if not any((known.file, known.found) == (file, found) for known in problems.found):
        problems.add(file, found, remedy, line)


def _shown(tree: Tree, onset_ms: float | None, said: list[str], problems: Problems) -> list[Shown] | None:
    """Return the presentations of films in all runs; None, with the faults added, otherwise."""
    film, found = tree.reference.get("film"), []
    for run in tree.runs:
        stated = None if film is None else _film_of(film, run)
        events = None if onset_ms is not None and stated else _events(tree, run, problems)
        if onset_ms is not None and stated:
            found.append(Shown(run, stated, onset_ms, None))
        elif events is None and stated:
            found.append(Shown(run, stated, 0.0, None))
            said += [f"{run.name} has no events: its film starts with the first volume"]
        elif events is None:
            problems.add(run.name, "has no events.tsv, which names its films", "state film=FILE, or raw=FOLDER")
        else:
            found += _of_events(tree, run, events, stated, problems)
    return None if len(problems) else found


def _film_of(pattern: str, run: Run) -> str:
    """Return the film of a run, the entities in braces filled in: film-{run}.mp4."""
    try:
        return pattern.format_map(dict(run.entities))
    except (KeyError, ValueError, IndexError) as error:
        raise BadInput(f"film={pattern}: {run.name} has no entity {error}; expected {{run}}, {{ses}}, ...") from error


def _events(tree: Tree, run: Run, problems: Problems) -> dict[str, list[str]] | None:
    """Return the nearest table of events of a run; None where there is none."""
    paths = tree.beside.files(run.entities, "events", ".tsv")
    if not paths:
        return None
    try:
        lines = [line.split("\t") for line in paths[0].read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError):
        _once(problems, paths[0].name, "is no UTF-8 text", "save it as UTF-8, separated by tabs")
        return {}
    if not lines or not {"onset", "duration"} <= set(lines[0]):
        got = f"has the columns {', '.join(lines[0])}" if lines else "is empty"
        _once(problems, paths[0].name, got, "write onset and duration in s, separated by tabs")
        return {}
    uneven = next((k for k, line in enumerate(lines) if len(line) != len(lines[0])), None)
    if uneven is not None:
        got = f"{len(lines[uneven])} cells, but the header has {len(lines[0])}"
        _once(problems, paths[0].name, got, "write one cell per column, separated by tabs", uneven + 1)
        return {}
    return {name: [line[k] for line in lines[1:]] for k, name in enumerate(lines[0])} | {"file": [paths[0].name]}


def _of_events(
    tree: Tree, run: Run, events: Mapping[str, list[str]], stated: str | None, problems: Problems
) -> list[Shown]:
    """Return the presentations in a table of events; those of the stated film, or of the films that it names."""
    if not events:
        return []
    file, event = events["file"][0], tree.reference.get("event")
    rows = list(range(len(events["onset"])))
    if event is not None:
        types = events.get("trial_type", [])
        rows = [k for k in rows if types and types[k] == event]
        if not rows:
            known = first_names(dict.fromkeys(types)) or "none"
            _once(problems, file, f"has no trial_type {event}, only {known}", "correct the option event")
            return []
    names = events.get("stim_file")
    if stated is None and names is None:
        _once(problems, file, "has no column stim_file, which names films", "state film=FILE, or add the column")
        return []
    if stated is None:
        rows = [k for k in rows if names[k] not in ("n/a", "")]
    elif names is not None and event is None:
        same = [k for k in rows if Path(names[k]).stem == Path(stated).stem]
        rows = same or rows
    if stated is not None and len(rows) != 1:
        types = first_names(dict.fromkeys(events.get("trial_type", []))) or "no trial_type"
        got = f"has {len(rows)} events for the film {Path(stated).name} ({types})"
        _once(problems, file, got, "state event=TRIAL_TYPE of the film, or onset=0s")
        return []
    found = []
    for k in rows:
        onset, length = number(events["onset"][k]), number(events["duration"][k])
        if onset is None:
            _once(problems, file, f"onset is '{events['onset'][k]}'", "write a number of seconds", k + 2)
            continue
        length_ms = 1000 * length if length else None
        found.append(Shown(run, stated or names[k], 1000 * onset, length_ms))
    if not rows:
        _once(problems, file, "names no film", "state film=FILE, or name the films in the column stim_file")
    return found


def _stimuli(tree: Tree, name: str, shown: Sequence[Shown], problems: Problems) -> Stimuli | None:
    """Return the films; None, with the faults added, otherwise."""
    reference, names = tree.reference, dict.fromkeys(one.film for one in shown)
    folder, files = reference.path("stimuli", *tree.raw), {}
    near = [*([folder] if folder else []), Path.cwd(), *(root / "stimuli" for root in tree.raw)]
    near += [tree.reference.paths[0]]
    for film in names:
        direct = [place / Path(film).expanduser() for place in near]
        found = next((path for path in direct if path.is_file()), None)
        if found is not None:
            files[film] = found
    missing = [film for film in names if film not in files]
    if missing:
        place = folder or next((root / "stimuli" for root in tree.raw if (root / "stimuli").is_dir()), None)
        remedy = "correct film=, or state stimuli=FOLDER with the films"
        if place is None:
            for film in missing:
                problems.add(reference.paths[0].name, f"there is no film {film}", remedy)
            return None
        files |= find_files(missing, place, problems, reference.paths[0].name, remedy)
    if len(problems):
        return None
    return read_stimuli(name, {Path(film).name: files[film] for film in names}, 1000.0, problems)


def _record(
    tree: Tree,
    stimuli: Stimuli,
    shown: Sequence[Shown],
    trs: Mapping[str, float],
    width_ms: float,
    preset: str,
    folder: Path,
    problems: Problems,
) -> Responses | None:
    """Return the record: a repetition per subject and presentation; None, with the faults added, otherwise."""
    place = {film: k for k, film in enumerate(stimuli.ids)}
    bins_ms = regular_bins(float(np.max(stimuli.duration_ms)), width_ms)
    if not len(bins_ms):
        got = f"the films last {np.max(stimuli.duration_ms) / 1000:g} s, less than a bin of {width_ms / 1000:g} s"
        problems.add(tree.reference.paths[0].name, got, "state a shorter bin=, or other films")
        return None
    reader = _reader(tree, problems)
    if reader is None:
        return None
    parts: list[tuple[str, int, np.ndarray]] = []
    units, geometry = None, None
    for run in tree.runs:
        try:
            series = reader(run)
            values = _cleaned(tree, run, series.values, preset)
        except BadInput as error:
            _add(problems, run, str(error))
            continue
        if units is None:
            units, geometry, first = series.units, series.geometry, run
        elif series.geometry != geometry:
            got = f"has other units than {first.name}: {_sizes(series.geometry)}, not {_sizes(geometry)}"
            problems.add(run.name, got, f"make both in one space, or state exclude={run.name}")
            continue
        for one in shown:
            if one.run is run:
                row = place[Path(one.film).name]
                binned = _film_bins(one, values, trs[run.name], bins_ms, float(stimuli.duration_ms[row]), problems)
                parts += [] if binned is None else [(run.subject, row, binned)]
    if len(problems) or units is None:
        return None
    values, subjects = _repetitions(parts, len(stimuli))
    table, notes = dict(units), {"confounds": preset, "runs": len(tree.runs)}
    if tree.space in images.FSAVERAGE and "vertex" in table:
        regions = atlas.regions(folder.parent / "atlas")
        table |= {} if regions is None else {"region": regions}
    empty = fill_empty(values)
    notes |= {what.replace("vertices", "units"): n for what, n in empty.items()}
    return Responses(stimuli, values, bins_ms, table, subjects, notes)


def _sizes(geometry: Any) -> str:
    return " ".join(map(str, geometry[:3]))


def _reader(tree: Tree, problems: Problems) -> Callable[[Run], images.Series] | None:
    """Return the function that reads the series of a run; None, with a fault added, where masks cannot be read."""
    reference, runs = tree.reference, tree.runs
    extension = runs[0].extension
    stated = {name: reference.path(name, *tree.raw) for name in ("mask", "parcels")}
    parcels = None if stated["parcels"] is None else images.Parcels(stated["parcels"])
    volumes = extension in (".nii.gz", ".nii")
    unread = [
        name for name, path in stated.items() if path and not volumes and (name == "mask" or extension != SERIES[1])
    ]
    if unread:
        what = "GIFTI" if extension == SERIES[0] else "CIFTI"
        problems.add(reference.paths[0].name, f"{unread[0]}= is for volumes, not for {what}", f"remove {unread[0]}=")
        return None
    if extension == SERIES[0]:
        return lambda run: images.read_surfaces(run.files, tree.space or "")
    if extension == SERIES[1]:
        return lambda run: images.read_cifti(run.first, parcels)
    try:
        grid = images.grid_of(runs[0].first)
        mask = _mask(tree, grid, stated["mask"], parcels, problems)
    except BadInput as error:
        _add(problems, runs[0], str(error))
        return None
    if mask is None:
        return None

    def read_run(run: Run) -> images.Series:
        own = images.grid_of(run.first)
        if own != grid:
            raise BadInput(
                f"{run.first.name}: its grid, {own}, is not that of {runs[0].first.name}, {grid}; "
                f"resample it, or state exclude={run.name}"
            )
        return images.read_volumes(run.first, mask, grid, parcels)

    return read_run


def _mask(
    tree: Tree, grid: images.Grid, stated: Path | None, parcels: images.Parcels | None, problems: Problems
) -> np.ndarray | None:
    """Return the voxels that are read: of the stated mask, of fMRIPrep's brain masks, or of a parcellation."""
    if stated is not None:
        return images.read_mask(stated, grid)
    found = [
        item.path
        for item in tree.items
        if item.suffix == "mask" and item.get("desc") == "brain" and item.get("space") == tree.space
        if any(item.run == run.name for run in tree.runs) and item.extension in (".nii.gz", ".nii")
    ]
    if found:
        return images.joined_mask(found, grid)
    if parcels is not None:
        return parcels.of_voxels(grid) > 0
    got = f"has no desc-brain_mask of the space {tree.space or 'native'}"
    problems.add(tree.reference.paths[0].name, got, "state mask=FILE or parcels=FILE")
    return None


def _cleaned(tree: Tree, run: Run, values: np.ndarray, preset: str) -> np.ndarray:
    """Return a series after confound regression; BadInput where its table cannot be used."""
    if preset == "none":
        return values
    table = next(
        (
            item.path
            for item in tree.items
            if item.suffix == "timeseries" and item.extension == ".tsv" and item.get("desc") == "confounds"
            if item.run == run_name({k: v for k, v in run.entities.items() if k != "echo"})
        ),
        None,
    )
    if table is None:
        raise BadInput(f"{run.name}: has no table of confounds; get it, or state confounds=none")
    finite = np.where(np.isfinite(values).all(axis=0), values, 0)
    try:
        found = confounds.clean(finite, table, preset)
    except BadInput as error:
        message = str(error).replace(f"{table.parent}/", "")
        raise BadInput(message.replace("--confounds ", "confounds=")) from error
    return np.where(np.isfinite(values).all(axis=0), found, np.nan)


def _film_bins(
    one: Shown, values: np.ndarray, tr_ms: float, bins_ms: np.ndarray, film_ms: float, problems: Problems
) -> np.ndarray | None:
    """Return the values in bins since the onset of a film, NaN after its end; None, with a fault added, otherwise."""
    length_ms = min(film_ms, one.length_ms or film_ms)
    run_ms = len(values) * tr_ms
    name = Path(one.film).name
    if one.length_ms and one.length_ms > 1.5 * film_ms + tr_ms:
        got = f"the event of {name} lasts {one.length_ms / 1000:g} s, but the film {film_ms / 1000:g} s"
        problems.add(one.run.name, got, "name the film that was shown, or correct the events")
        return None
    width_ms = bins_ms[0, 1] - bins_ms[0, 0]
    short_ms = one.onset_ms + length_ms - run_ms
    if short_ms > UNCOVERED * max(tr_ms, width_ms) or one.onset_ms < 0:
        got = f"{len(values)} volumes of {tr_ms / 1000:g} s end at {run_ms / 1000:g} s, but {name} lasts from "
        got += f"{one.onset_ms / 1000:g} to {(one.onset_ms + length_ms) / 1000:g} s"
        problems.add(one.run.name, got, f"correct tr=, the events or the film, or state exclude={one.run.name}")
        return None
    binned = to_bins(values, tr_ms, bins_ms + one.onset_ms)
    binned[bins_ms[:, 1] > length_ms + 1] = np.nan
    return binned


def _repetitions(parts: Sequence[tuple[str, int, np.ndarray]], n_stimuli: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (values (n_stimuli, n_repetitions, n_bins, n_units), subject of each repetition)."""
    counts: dict[tuple[str, int], int] = {}
    placed = []
    for subject, row, binned in parts:
        k = counts.get((subject, row), 0)
        counts[subject, row] = k + 1
        placed.append((subject, k, row, binned))
    columns = sorted({(subject, k) for subject, k, _, _ in placed})
    values = np.full((n_stimuli, len(columns), *placed[0][3].shape), np.nan, dtype=np.float32)
    for subject, k, row, binned in placed:
        values[row, columns.index((subject, k))] = binned
    return values, tuple(subject for subject, _ in columns)
