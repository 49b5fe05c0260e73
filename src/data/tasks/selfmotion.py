"""Self-motion: velocity and rotation of a camera in simulated scenes, from the first second of its view.

Mineault PJ, Bakhtiari S, Richards BA, Pack CC (2021). Your head is there to move you around: goal-driven models of the
primate dorsal pathway. NeurIPS, bioRxiv 2021.07.09.451701. The authors' AirSim flights, "batch2", by way of
github.com/patrickmineault/your-head-is-there-to-move-you-around (MIT); the data state no licence. Layout:
<DATA_HOME>/selfmotion/airsim/batch2/<condition>/<batch>/output.h5 (or without `airsim`) with `labels`, a table of
angles in radians and of speed, and `short_videos` (clips, 10 frames, 3 colours, 112, 112).

The first batch by name of every condition and its first 500 clips, shown at 10 frames per second as published; frames
are stored without loss and in colour. By default an angle gives two targets, its sine and its cosine, which are
continuous at pi (`--angles sincos`); `--angles linear` keeps the published seven columns.
"""

from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput
from ..declare import Task
from ..films import write_lossless
from ..notes import number_and_names
from ..release import ByHand, Need, Release
from .rendering import rendered

N_CLIPS, N_FRAMES, FPS, LIMIT_MS = 500, 10, 10.0, 1000.0
ANGLES = ("rotation_pitch", "rotation_yaw", "heading_pitch", "heading_yaw", "pitch", "yaw")
SPEED = "speed"
FRAMES = "short_videos"
FLIGHTS = "batch2/*/*/output.h5"
NEEDS = (
    Need(
        "flights",
        f"**/{FLIGHTS}",
        ByHand("follow the README of github.com/patrickmineault/your-head-is-there-to-move-you-around (AirSim batch2)"),
    ),
)


def first_batches(release: Release) -> dict[str, Path]:
    """Return {condition: file} of the first batch by name of each condition."""
    found: dict[str, Path] = {}
    for path in release.files(f"**/{FLIGHTS}"):
        condition = path.parent.parent.name
        if condition != "videos":
            found.setdefault(condition, path)
    return found


def read_labels(path: Path) -> np.ndarray:
    """Return the published seven columns of a batch's first clips, (n_clips, 7); BadInput for another file."""
    import h5py

    columns = (*ANGLES, SPEED)
    try:
        with h5py.File(path, "r") as file:
            labels, shape = file["labels"][:N_CLIPS], file[FRAMES].shape
            values = np.stack([labels[column] for column in columns], axis=1).astype(np.float64)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise BadInput(
            f"{path}: cannot be read ({error}); expected HDF5 with labels ({', '.join(columns)}) and {FRAMES}; "
            f"get it again"
        ) from error
    if len(shape) != 5 or shape[1:3] != (N_FRAMES, 3) or min(shape[0], N_CLIPS) != len(values):
        raise BadInput(
            f"{path}: {FRAMES} of shape {shape} for {len(values)} labels; expected (clips, {N_FRAMES}, 3, height, "
            f"width), as many clips as labels; get it again"
        )
    return values


def targets(values: np.ndarray, angles: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the seven columns as targets (n, n_targets), and their names; angles: "sincos" or "linear"."""
    if angles == "linear":
        return values, (*ANGLES, SPEED)
    circular = [f(values[:, k]) for k in range(len(ANGLES)) for f in (np.sin, np.cos)]
    names = [f"{f} {angle}" for angle in ANGLES for f in ("sin", "cos")]
    return np.stack([*circular, values[:, -1]], axis=1), (*names, SPEED)


def read(release: Release) -> Labels:
    """Return clips, written unless they exist, and the motion of the camera in them."""
    batches = first_batches(release)
    tables = {condition: read_labels(path) for condition, path in batches.items()}
    clips = [(c, k) for c, table in tables.items() for k in np.flatnonzero(np.isfinite(table).all(axis=1)).tolist()]
    if not clips:
        raise BadInput(f"{release.folder / 'batch2'}: no clip of a condition has labels; expected some; get it again")
    rows = np.stack([tables[condition][k] for condition, k in clips])
    Y, names = targets(rows, release.options.get("angles", "sincos"))
    varied = np.ptp(Y, axis=0) > 0
    notes: dict[str, object] = {"batches": number_and_names([f"{c}/{p.parent.name}" for c, p in batches.items()])}
    if unlabelled := sum(map(len, tables.values())) - len(clips):
        notes["clips without labels, left out"] = unlabelled
    if not varied.all():
        notes["constant targets, left out"] = ", ".join(np.array(names)[~varied])
    kept = tuple(np.array(names)[varied].tolist())
    strata = np.array([condition for condition, _ in clips])
    return Labels(_stimuli(release, batches, clips), Y[:, varied], kept, strata=strata, notes=notes)


def _stimuli(release: Release, batches: dict[str, Path], clips: list[tuple[str, int]]) -> Stimuli:
    import h5py

    def make(index: int, path: Path) -> None:
        condition, k = clips[index]
        with h5py.File(batches[condition], "r") as file:
            frames = file[FRAMES][k].transpose(0, 2, 3, 1)
        write_lossless(path, frames, FPS)

    state = {c: [p.parent.name, p.stat().st_size, p.stat().st_mtime_ns] for c, p in batches.items()}
    recipe = {"version": 1, "fps": FPS, "batches": state}
    ids = [f"{condition}/{k:04d}" for condition, k in clips]
    paths = rendered(release, "selfmotion-films", recipe, [f"{identity}.mkv" for identity in ids], make)
    return Stimuli(
        name=release.name,
        ids=tuple(ids),
        paths=tuple(paths),
        duration_ms=np.full(len(ids), 1000 * N_FRAMES / FPS),
        kind=("video",) * len(ids),
        table={"condition": [condition for condition, _ in clips]},
    )


DATASETS = [
    Task(
        name="selfmotion",
        study="selfmotion",
        read=read,
        needs=NEEDS,
        options={"angles": ("sincos", "linear")},
        citation="Mineault et al. 2021, NeurIPS, doi:10.1101/2021.07.09.451701",
        licence="not stated (data); MIT (code)",
        access="download",
        source="github.com/patrickmineault/your-head-is-there-to-move-you-around",
        decoder="ridge",
        metric="pearson",
        limit_ms=LIMIT_MS,
        expected={"labels": 2 * len(ANGLES) + 1},
    )
]
