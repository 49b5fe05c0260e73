"""Something-Something v2: classification of 100 actions with objects, by their motion rather than by the objects.

Goyal R, Kahou SE, Michalski V, ... Memisevic R (2017). The "something something" video database for learning and
evaluating visual common sense. ICCV, arXiv:1706.04261. From Qualcomm after registration, for research. 174 classes.
Layout, either: the official one, <DATA_HOME>/smthsmthv2/<any folder>/<number>.webm with labels.json, train.json and
validation.json; or films sorted into videos/<class>/<number>.webm.

A clip's class is its template without brackets ("Putting [something] on [something]" is Putting something on
something). 100 classes with 50 clips that last 3 to 4.5 s; four seconds from the start are shown, the last frame held.
Classes and clips are sampled after sorting; the published loader takes them in the order of the directory.
"""

import json
import re
from pathlib import Path

from ...records import Labels
from ...utils import BadInput
from ..declare import Task
from ..release import ByHand, Need, Release
from . import sampling

N_CLASSES, N_ITEMS = 100, 50
SHORTEST_MS, LONGEST_MS, SHOWN_MS = 3000.0, 4500.0, 4000.0
PATTERN = "**/*.webm"
LISTS = ("train", "validation")
_SITE = "register at Qualcomm's developer site for Something-Something V2: "
NEEDS = (
    Need("clips", PATTERN, ByHand(f"{_SITE}unpack the films' archive here", 19.4)),
    Need(
        "classes, unless the clips lie in folders of classes",
        "**/*labels.json",
        ByHand(f"{_SITE}labels.json, train.json and validation.json, in labels/"),
        optional=True,
    ),
)


def class_name(template: str) -> str:
    """Return the class of a template: its words without the brackets around the placeholders of objects."""
    return re.sub(r"[\[\]]", "", template).strip()


def items(release: Release, notes: sampling.Notes) -> sampling.Items:
    """Return {class: {id: path}}, from the official lists if they exist, else from the folders."""
    lists = {name: _list_file(release.folder, name) for name in (*LISTS, "labels")}
    if not any(lists.values()):
        folders = sampling.class_folders(release, "videos/*/*.webm", (".webm",), notes)
        return {class_name(name): {path.stem: path for path in of.values()} for name, of in folders.items()}
    release.require([path or release.folder / f"labels/{name}.json" for name, path in lists.items()])
    clips = {path.stem: path for path in release.files(PATTERN)}
    found: dict[str, dict[str, Path]] = {name: {} for name in map(class_name, _json(lists["labels"]))}
    for name in LISTS:
        for clip in _json(lists[name]):
            label = class_name(clip["template"])
            if label not in found:
                raise BadInput(f"{lists[name]}: class '{label}' is not in {lists['labels']}; fetch the labels again")
            if clip["id"] in clips:
                found[label][clip["id"]] = clips.pop(clip["id"])
    # the archive also contains the films of the test set
    notes |= {"clips of no class": len(clips)} if clips else {}
    return found


def _list_file(folder: Path, name: str) -> Path | None:
    """Return the file <name>.json or <dataset>-<name>.json, at the top or in a folder; None if there is none."""
    found = {
        path for depth in ("", "*/") for end in (f"{name}.json", f"*-{name}.json") for path in folder.glob(depth + end)
    }
    return next((path for path in sorted(found) if path.parent.name != "prepared"), None)


def _json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path}: no JSON ({error}); fetch it again") from error


def read(release: Release) -> Labels:
    """Return the first four seconds of clips and their actions."""
    sampled, notes = sampling.sample(
        release,
        lambda notes: items(release, notes),
        sampling.film_of(SHORTEST_MS, LONGEST_MS, SHOWN_MS, seed=None),
        n_items=N_ITEMS,
        n_classes=N_CLASSES,
    )
    return sampling.labelled(sampling.stimuli(release, sampled, image=False), "action", notes)


DATASETS = [
    Task(
        name="smthsmthv2",
        study="smthsmthv2",
        read=read,
        needs=NEEDS,
        citation="Goyal et al. 2017, ICCV, arXiv:1706.04261",
        licence="Qualcomm's research licence",
        access="registration",
        source="Qualcomm AI datasets: Something-Something V2",
        note="the first 4 s",
        expected={"stimuli": N_CLASSES * N_ITEMS, "labels": 1, "classes": N_CLASSES},
    )
]
