"""Miniature of the AirSim flights: two conditions of two batches, whose films drift with heading and speed."""

from pathlib import Path

import numpy as np

from src.data.synthetic.scenes import Waves, to_uint8

STUDY = "selfmotion"
ANGLES = ("rotation_pitch", "rotation_yaw", "heading_pitch", "heading_yaw", "pitch", "yaw")
CONDITIONS, N_CLIPS, N_FRAMES = ("city_day", "forest"), 60, 10
EXPECTED = {"selfmotion": {"stimuli": 120, "labels": 11}}


def labels(condition: str, batch: str) -> np.ndarray:
    """Return the table of a batch; pitch is 0, as for a camera that looks ahead."""
    rng = np.random.default_rng([ord(letter) for letter in condition + batch])
    table = np.zeros(N_CLIPS, dtype=[(name, "<f4") for name in (*ANGLES, "speed")])
    heading = rng.uniform(-np.pi, np.pi, N_CLIPS)
    for name in (*ANGLES[:4], "yaw"):
        table[name] = heading + rng.normal(0, 0.3, N_CLIPS)
    table["speed"] = rng.uniform(0.5, 3, N_CLIPS)
    return table


def film(table: np.ndarray, k: int) -> np.ndarray:
    """Return clip k, uint8 (10, 3, 64, 64), that drifts along `heading_yaw`; its tint differs in RGB and BGR."""
    rng = np.random.default_rng([k, int(1e6 * table["speed"][k])])
    angle = table["heading_yaw"][k]
    shifts = np.arange(N_FRAMES)[:, None] * 2.0 * np.array([np.cos(angle), np.sin(angle)])
    grey = Waves.sample(rng, 10, 0.5).film(shifts)[:, None]
    return to_uint8(grey.repeat(3, axis=1), np.array([0.3, 0, -0.3])[:, None, None])


def write(folder: Path) -> None:
    """Write batch2/<condition>/<batch>/output.h5."""
    import h5py

    for condition in CONDITIONS:
        for batch in ("batch_0", "batch_1"):
            table = labels(condition, batch)
            path = folder / "batch2" / condition / batch / "output.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["labels"] = table
                file["short_videos"] = np.stack([film(table, k) for k in range(N_CLIPS)])
                file["depth"] = np.zeros((N_CLIPS, 4, 4), np.float32)
