"""Trees of fMRIPrep of three eras in miniature, with planted responses to films and planted motion artefacts."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np

from src.evaluate.hrf import convolve
from tests.data.own_folders import films

TR_S, ONSET_S, N_VOLUMES, SECONDS = 2.0, 5.0, 126, 240
GRID, AFFINE = (4, 4, 3), np.diag([3.0, 3, 3, 1])
AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FIRST = {"trans_x": "X", "trans_y": "Y", "trans_z": "Z", "rot_x": "RotX", "rot_y": "RotY", "rot_z": "RotZ"}
MNI, FSLR, MESH = "MNI152NLin2009cAsym", "fsLR", "fsmini"
# {era: {kind of file: name behind that of the run}}
NAMES = {
    "1.0": {
        "nifti": f"bold_space-{MNI}_preproc.nii.gz",
        "mask": f"bold_space-{MNI}_brainmask.nii.gz",
        "gifti": "bold_space-{space}.{hemi}.func.gii",
        "confounds": "bold_confounds.tsv",
    },
    "1.5": {
        "nifti": f"space-{MNI}_desc-preproc_bold.nii.gz",
        "mask": f"space-{MNI}_desc-brain_mask.nii.gz",
        "gifti": "space-{space}_hemi-{hemi}.func.gii",
        "cifti": f"space-{FSLR}_bold.dtseries.nii",
        "confounds": "desc-confounds_regressors.tsv",
    },
    "24": {
        "nifti": f"space-{MNI}_desc-preproc_bold.nii.gz",
        "mask": f"space-{MNI}_desc-brain_mask.nii.gz",
        "gifti": "hemi-{hemi}_space-{space}_bold.func.gii",
        "cifti": f"space-{FSLR}_den-91k_bold.dtseries.nii",
        "confounds": "desc-confounds_timeseries.tsv",
    },
}


def study(root: Path, era: str, kind: str, sessions: bool = False, n_films: int = 2, artefact: float = 3.0) -> None:
    """Write a raw tree and, in derivatives/fmriprep, the series of two subjects, a run per film.

    The films lie in the raw tree's stimuli/ and are named by the events; the TR is stated once, for all runs.
    """
    (root / "stimuli").mkdir(parents=True)
    brightness, contents = rendered(n_films)
    for film, content in enumerate(contents):
        (root / "stimuli" / f"film-{film}.mkv").write_bytes(content)
    (root / "dataset_description.json").write_text('{"Name": "films", "BIDSVersion": "1.8.0"}')
    (root / "task-movie_bold.json").write_text(json.dumps({"RepetitionTime": TR_S}))
    for subject in ("01", "02"):
        for film in range(n_films):
            session = f"_ses-{film + 1}" if sessions else ""
            name = f"sub-{subject}{session}_task-movie_run-{film + 1}"
            place = Path(f"sub-{subject}", *([session[1:]] if sessions else []), "func")
            events = "onset\tduration\ttrial_type\tstim_file\n0\t5\tfixation\tn/a\n"
            write(root / place / f"{name}_events.tsv", f"{events}{ONSET_S}\t{SECONDS}\tfilm\tfilm-{film}.mkv\n")
            series(root / "derivatives" / "fmriprep" / place, name, brightness[film], era, kind, artefact)


@cache
def rendered(n_films: int) -> tuple[np.ndarray, list[bytes]]:
    """Return the brightness of the films' quadrants (n_films, SECONDS, 4) and the contents of their files."""
    with TemporaryDirectory() as folder:
        brightness = films(Path(folder), n_films, SECONDS, per_bin=4, fps=4)
        return brightness, [Path(folder, f"film-{film}.mkv").read_bytes() for film in range(n_films)]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def signals(brightness: np.ndarray) -> np.ndarray:
    """Return the lagged quadrants of a film at the volumes of a run: (N_VOLUMES, 4), of variance 1."""
    lagged = convolve(brightness, 1000.0)
    times = TR_S * (np.arange(N_VOLUMES) + 0.5) - ONSET_S
    found = np.stack([np.interp(times, np.arange(SECONDS) + 0.5, column) for column in lagged.T], axis=1)
    return (found - found.mean(axis=0)) / found.std(axis=0)


def series(folder: Path, name: str, brightness: np.ndarray, era: str, kind: str, artefact: float = 3.0) -> None:
    """Write a run: its series, of which unit k follows quadrant k % 4, and its confounds."""
    rng = np.random.default_rng(sum(map(ord, name)))
    folder.mkdir(parents=True, exist_ok=True)
    n_units = {"nifti": int(np.prod(GRID)), "gifti": 40, "cifti": 24}[kind]
    motion = rng.standard_normal((N_VOLUMES, 6))
    values = signals(brightness)[:, np.arange(n_units) % 4] + 0.3 * rng.standard_normal((N_VOLUMES, n_units))
    values += artefact * motion @ rng.standard_normal((6, n_units)) / np.sqrt(6)
    values = (1000 + 10 * values).astype(np.float32)
    names = NAMES[era]
    confounds(folder / f"{name}_{names['confounds']}", era, motion, rng)
    if kind == "nifti":
        volumes(folder / f"{name}_{names['nifti']}", values.T.reshape(*GRID, N_VOLUMES))
        mask = np.ones(GRID, dtype=np.uint8)
        mask[0, 0, 0] = 0
        nibabel.save(nibabel.Nifti1Image(mask, AFFINE), folder / f"{name}_{names['mask']}")
    elif kind == "cifti":
        dense(folder / f"{name}_{names['cifti']}", values)
    else:
        for hemi, half in zip("LR", np.split(values, 2, axis=1), strict=True):
            surface(folder / f"{name}_{names['gifti'].format(hemi=hemi, space=MESH)}", half)


def volumes(path: Path, values: np.ndarray, tr_s: float = TR_S) -> None:
    image = nibabel.Nifti1Image(values.astype(np.float32), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, tr_s))
    nibabel.save(image, path)


def surface(path: Path, values: np.ndarray) -> None:
    arrays = [nibabel.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES") for row in values]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)


def models(n: int):
    """Return the axis of `n` grayordinates, half of them on the left cortex and half in the right hippocampus."""
    left = nibabel.cifti2.BrainModelAxis.from_surface(np.arange(n // 2), 100, "CortexLeft")
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask.ravel()[: n - n // 2] = True
    return left + nibabel.cifti2.BrainModelAxis.from_mask(mask, "hippocampus_right", np.eye(4))


def dense(path: Path, values: np.ndarray) -> None:
    axes = (nibabel.cifti2.SeriesAxis(0, TR_S, len(values)), models(values.shape[1]))
    nibabel.save(nibabel.Cifti2Image(values, header=axes), path)


def confounds(path: Path, era: str, motion: np.ndarray, rng: np.random.Generator) -> None:
    """Write a table of confounds with the columns of its era and, since 1.4, its description."""
    n = len(motion)
    table = dict(zip(AXES, motion.T, strict=True))
    kinds = "aw" if era == "1.0" else "acw"
    table |= {f"{kind}_comp_cor_{k:02d}": rng.standard_normal(n) for kind in kinds for k in range(5)}
    table["cosine00"] = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    table["non_steady_state_outlier00"] = (np.arange(n) == 0).astype(float)
    if era == "1.0":
        first = {f"a_comp_cor_{k:02d}": f"aCompCor{k:02d}" for k in range(5)}
        first |= FIRST | {"cosine00": "Cosine00", "non_steady_state_outlier00": "NonSteadyStateOutlier00"}
        table = {first[column]: values for column, values in table.items() if column in first}
    else:
        for axis in AXES:
            change = np.concatenate([[np.nan], np.diff(table[axis])])
            table |= {f"{axis}_derivative1": change, f"{axis}_power2": table[axis] ** 2}
            table[f"{axis}_derivative1_power2"] = change**2
        masks = {"a": "combined", "c": "CSF", "w": "WM"}
        stated = {
            column: {"Method": "aCompCor", "Mask": masks[column[0]], "Retained": True, "SingularValue": 1.0}
            for column in table
            if "_comp_cor_" in column
        }
        path.with_suffix(".json").write_text(json.dumps(stated))
    rows = zip(*table.values(), strict=True)
    lines = ["\t".join(table), *("\t".join("n/a" if np.isnan(x) else f"{x:.9g}" for x in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
