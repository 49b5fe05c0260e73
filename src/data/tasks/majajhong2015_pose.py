"""Pose in the images of Majaj, Hong et al. 2015: size, three rotations and the place of an object.

The images of majajhong2015 (hvm-public, Brain-Score), of which 2,560 vary in pose (variation 3) and 640 do not
(variation 0). Labels: s (size), rxy, ryz, rxz (rotations about three axes, in degrees), tz and ty (place, as a share of
the image). The published task used all images; those of variation 0 have one pose and are recognisable by their look,
so they are left out unless `variation` is "all". Rotations are linear, or sine and cosine with `rotations` "circular".
Every split has equal shares of the 64 objects.
"""

import numpy as np

from ...records import Labels
from ...utils import BadInput
from ..brainio import from_brainscore, from_stimulus_set
from ..declare import Task
from ..electrodes.majajhong2015 import POSE, STIMULI, images
from ..release import Release

SHOWN_MS = 100.0
VARIED = 3


def read(release: Release) -> Labels:
    """Return the images and their poses; BadInput if Brain-Score's files can be neither found nor downloaded."""
    found = from_brainscore.stimulus_set(release.name, STIMULI)
    return convert(found, release.options.get("variation", "3"), release.options.get("rotations", "linear"))


def convert(stimulus_set, variation: str = "3", rotations: str = "linear") -> Labels:
    """Return the record of Brain-Score's stimulus set."""
    absent = [column for column in (*POSE, "variation", "object_name") if column not in stimulus_set]
    if absent:
        raise BadInput(f"majajhong2015-pose: {STIMULI} has no column {', '.join(absent)}; fetch it again")
    kept = stimulus_set["variation"].astype(int) == VARIED
    used = stimulus_set if variation == "all" else stimulus_set[kept]
    used.stimulus_paths, used.identifier = stimulus_set.stimulus_paths, stimulus_set.identifier
    columns = ("object_name", "category_name", "variation")
    stimuli = from_stimulus_set(from_brainscore.narrowed(used, columns), SHOWN_MS, "majajhong2015-pose")
    names, values = _labels({name: np.asarray(used[name], dtype=np.float64) for name in POSE}, rotations)
    strata = np.array(
        [f"{o} {v}" for o, v in zip(stimuli.table["object_name"], stimuli.table["variation"], strict=True)]
    )
    notes = {"images of one pose left out": int(len(stimulus_set) - len(used))}
    return Labels(stimuli, values, names, strata=strata, notes=notes)


def _labels(pose: dict[str, np.ndarray], rotations: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names and columns (n_images, n_labels) of the targets."""
    columns: dict[str, np.ndarray] = {}
    for name, values in pose.items():
        if rotations == "circular" and name.startswith("r"):
            columns |= {f"{name}-sin": np.sin(np.deg2rad(values)), f"{name}-cos": np.cos(np.deg2rad(values))}
        else:
            columns[name] = values
    return tuple(columns), np.stack(list(columns.values()), axis=1)


DATASETS = [
    Task(
        name="majajhong2015-pose",
        study="majajhong2015",
        read=read,
        needs=(images(),),
        options={"variation": ("3", "all"), "rotations": ("linear", "circular")},
        citation="Majaj, Hong, Solomon & DiCarlo 2015, J Neurosci 35:13402, doi:10.1523/JNEUROSCI.5181-14.2015",
        licence="not stated; research use",
        access="download",
        source=f"Brain-Score: {STIMULI}",
        decoder="ridge",
        metric="pearson",
        static=True,
        note="size, rotations and place of an object",
        expected={"stimuli": 2560, "labels": 6},
    )
]
