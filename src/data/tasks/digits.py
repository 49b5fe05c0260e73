"""Handwritten digits as still images: scikit-learn's copy of the test set of UCI's optical recognition data.

1,797 images of 8 x 8 pixels and 16 levels in ten classes, written as PNG files of 64 x 64 pixels, each pixel a square.
Alpaydin E, Kaynak C (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository.
"""

from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ..declare import Task
from ..synthetic.files import write_image
from ..synthetic.study import ensure_study

VERSION = 1
STUDY = "digits"
SHOWN_MS = 1000.0


def render(folder: Path) -> None:
    """Write the images and `labels.npy` to `folder`."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    levels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for i, image in enumerate(levels.repeat(8, axis=1).repeat(8, axis=2)):
        write_image(folder / f"digit-{i:04d}.png", image[..., None].repeat(3, axis=2))
    np.save(folder / "labels.npy", classes.astype(str))


def load(folder: Path) -> Labels:
    """Return the images and their digits."""
    ensure_study(folder, {"study": STUDY, "version": VERSION}, render)
    classes = np.load(folder / "labels.npy")
    ids = tuple(f"digit-{i:04d}" for i in range(len(classes)))
    stimuli = Stimuli(
        name=STUDY,
        ids=ids,
        paths=tuple(folder / f"{i}.png" for i in ids),
        duration_ms=np.full(len(ids), SHOWN_MS),
        kind=("image",) * len(ids),
    )
    return Labels(stimuli, classes[:, None], ("digit",))


DATASETS = [
    Task(
        name="digits",
        study=STUDY,
        load=load,
        citation="Alpaydin & Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49",
        licence="CC BY 4.0",
        access="embedded",
        source="sklearn.datasets.load_digits",
        static=True,
        expected={"stimuli": 1797, "labels": 1, "classes": 10},
    )
]
