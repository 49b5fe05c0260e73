"""Appearance-free actions: UCF101's 101 actions in films of noise whose single frames contain no information.

Ilic F, Pock T, Wildes RP (2022). Is Appearance Free Action Recognition Possible? ECCV, arXiv:2207.06261; base videos:
UCF101, Soomro K, Zamir AR, Shah M (2012), arXiv:1212.0402. From github.com/f-ilic/afd (where its address
fails: cloud.tugraz.at/index.php/s/BMfNRLPLsXs5qsM); code MIT, videos without a stated licence. Layout:
<DATA_HOME>/afd2022/afd101/<Class>/v_<Class>_gNN_cNN.avi, 13,320 clips of 320 x 240.

Clips of 3 to 8 s, 50 per class: a random window of four seconds of longer ones, the last frame held at the end of
shorter ones. The files are shown as they are, at their frame rate; the published loader reads 25 frames per second as
30 and encodes the noise again, which destroys it. Clips of one gNN are cut from one video: by default they stay in the
same part of a split (`--groups source`); `--groups none` splits clip by clip, as published.
"""

import re
from pathlib import Path

import numpy as np

from ...records import Labels
from ...utils import BadInput
from ..declare import Task
from ..release import Http, Need, Release
from . import sampling

N_ITEMS = 50
SHORTEST_MS, LONGEST_MS, WINDOW_MS = 3000.0, 8000.0, 4000.0
PATTERN = "afd101/*/v_*.*"
_ARCHIVE = Http({"afd101.zip": "https://files.icg.tugraz.at/f/9b501254b9b0499cbec9/?dl=1"}, 0.0, unpack=("afd101.zip",))
NEEDS = (Need("clips of AFD101", PATTERN, _ARCHIVE, count=13320),)
_NAME = re.compile(r"(v_.+_g\d+)_c\d+$")


def source_video(stem: str) -> str:
    """Return the video that a clip was cut from, by UCF101's naming; BadInput for a name of another form."""
    found = _NAME.match(stem)
    if not found:
        raise BadInput(f"'{stem}' is no clip of UCF101; expected a name like v_PullUps_g03_c01; remove the file")
    return found[1]


def read(release: Release) -> Labels:
    """Return windows of four seconds and their actions."""
    sampled, notes = sampling.sample(
        release,
        lambda notes: sampling.class_folders(release, PATTERN, (".avi", ".mp4"), notes),
        sampling.film_of(SHORTEST_MS, LONGEST_MS, WINDOW_MS, seed="afd2022"),
        n_items=N_ITEMS,
    )
    sources = np.array([source_video(Path(item.file).stem) for item in sampled])
    together = release.options.get("groups", "source") == "source"
    notes |= {"splits": "clips of one video stay together" if together else "clip by clip"}
    shown = sampling.stimuli(release, sampled, image=False)
    return sampling.labelled(shown, "action", notes, groups=sources if together else None)


DATASETS = [
    Task(
        name="afd2022",
        study="afd2022",
        read=read,
        needs=NEEDS,
        options={"groups": ("source", "none")},
        citation="Ilic et al. 2022, ECCV, arXiv:2207.06261",
        licence="not stated (videos); MIT (code)",
        access="download",
        source="github.com/f-ilic/afd, afd101.zip",
        note="windows of 4 s; actions without appearance",
        expected={"labels": 1},
    )
]
