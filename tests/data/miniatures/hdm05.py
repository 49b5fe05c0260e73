"""Miniature of HDM05's cut clips: two classes in three folders, three actors, 80 markers at 120 Hz, some of them lost.

One class rises and the other sinks, which is visible in every view.
"""

from pathlib import Path

import numpy as np

STUDY = "hdm05"
SIZES = {"rise1Reps": 8, "rise3Reps": 6, "sinkDown": 14, "sit2": 2}
ACTORS = ("bd", "bk", "dg")
N_MARKERS, RATE = 80, 120
EXPECTED = {"hdm05": {"stimuli": 100, "labels": 1, "classes": 2}}


def motion(folder: str, seed: int, n_samples: int) -> np.ndarray:
    """Return marker positions (3, 80, n_samples) in mm, the third axis up."""
    rng = np.random.default_rng(seed)
    body = rng.uniform(-1, 1, (3, N_MARKERS)) * np.array([[400], [400], [600]])
    t = np.arange(n_samples) / RATE
    up = (500 if folder.startswith("rise") else -500) * t
    return body[..., None] + np.stack([0 * t, 30 * np.sin(9 * t), up])[:, None]


def write_c3d(path: Path, positions: np.ndarray, rate: float = RATE, lost: np.ndarray | None = None) -> None:
    """Write positions (3, n_markers, n_samples) as C3D; lost (n_markers, n_samples): flagged and at the origin."""
    import ezc3d

    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = tuple(f"M{k}" for k in range(positions.shape[1]))
    points = np.concatenate([positions, np.ones((1, *positions.shape[1:]))])
    residuals = np.zeros((1, *positions.shape[1:]))
    if lost is not None:
        points[:3, lost] = 0
        residuals[0, lost] = -1
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = residuals
    path.parent.mkdir(parents=True, exist_ok=True)
    # the writer appends the suffix in lower case unless it is given so
    file.write(str(path.with_suffix(".c3d")))
    path.with_suffix(".c3d").rename(path)


def write(folder: Path) -> None:
    """Write HDM05_cut_c3d/<class>/HDM_<actor>_<class>_<take>_120.C3D."""
    for number, (label, n) in enumerate(SIZES.items()):
        for k in range(n):
            name = f"HDM_{ACTORS[k % 3]}_{label}_{k + 1:03d}_120.C3D"
            positions = motion(label, 100 * number + k, 200 + 10 * k)
            lost = np.zeros(positions.shape[1:], dtype=bool)
            lost[k % N_MARKERS, 30:60] = True
            write_c3d(folder / "HDM05_cut_c3d" / label / name, positions, lost=lost)
