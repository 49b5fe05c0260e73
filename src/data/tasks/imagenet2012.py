"""ImageNet: classification of 100 objects in images of the validation set.

Russakovsky O, Deng J, Su H, ... Fei-Fei L (2015). ImageNet Large Scale Visual Recognition Challenge. Int J Comput Vis
115:211-252. From image-net.org with an account, for non-commercial research. Layout: <DATA_HOME>/imagenet2012/, at any
depth, ILSVRC2012_val_00000001.JPEG to ..50000.JPEG, and their classes, from the first of these that exists:

- a csv at the top with the columns filename and synset or label, or Kaggle's LOC_val_solution.csv,
- the development kit: ILSVRC2012_validation_ground_truth.txt and meta.mat, which names the synset of each number,
- one folder per synset, as many copies are sorted.

100 of the 1,000 synsets, sampled after sorting, with all their 50 images; the manifest names them. The published loader
samples in the order of a csv file that is not public.
"""

import csv
import re
from pathlib import Path

from ...records import Labels
from ...utils import BadInput, first_names
from ..declare import Task
from ..release import ByHand, Need, Release
from . import sampling

N_CLASSES, N_ITEMS = 100, 50
PATTERN = "**/ILSVRC2012_val_*.JPEG"
TRUTH = "**/ILSVRC2012_validation_ground_truth.txt"
CSV_COLUMNS = (("filename", "synset"), ("filename", "label"), ("ImageId", "PredictionString"))
_ACCOUNT = "with an account at image-net.org: "
NEEDS = (
    Need("validation images", PATTERN, ByHand(f"{_ACCOUNT}ILSVRC2012_img_val.tar, unpacked to val/", 6.7), count=50000),
    Need(
        "classes, unless the images lie in folders of synsets",
        TRUTH,
        ByHand(f"{_ACCOUNT}ILSVRC2012_devkit_t12.tar.gz, unpacked here; or a csv with the columns filename, label"),
        count=1,
        optional=True,
    ),
)
_SYNSET = re.compile(r"n\d{8}")


def items(release: Release) -> sampling.Items:
    """Return {synset: {id: path}} of all validation images."""
    paths = {path.stem: path for path in release.files(PATTERN)}
    labels = _from_csv(release.folder) or _from_devkit(release.folder) or _from_folders(paths)
    unlabelled = sorted(set(paths) - set(labels))
    if unlabelled:
        raise BadInput(
            f"{release.name}: {len(unlabelled)} of {len(paths)} images in {release.folder} have no class "
            f"({first_names(unlabelled, 3)}); expected a csv with the columns filename and label, the development kit, "
            f"or folders of synsets; run: dynamic-vision data list {release.name}"
        )
    found: dict[str, dict[str, Path]] = {}
    for stem, path in paths.items():
        found.setdefault(labels[stem], {})[stem] = path
    return found


def _from_csv(folder: Path) -> dict[str, str]:
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="", encoding="utf-8-sig") as handle:
            rows = csv.DictReader(handle)
            for file, label in CSV_COLUMNS:
                if {file, label} <= set(rows.fieldnames or ()):
                    # Kaggle's column also lists the boxes around the objects
                    boxes = label == "PredictionString"
                    return {Path(row[file]).stem: row[label].split()[0] if boxes else row[label] for row in rows}
    return {}


def _from_devkit(folder: Path) -> dict[str, str]:
    truth, meta = next(iter(sorted(folder.glob(TRUTH))), None), next(iter(sorted(folder.glob("**/meta.mat"))), None)
    if truth is None:
        return {}
    if meta is None:
        raise BadInput(f"{truth} exists, but no meta.mat that names its numbers; expected both; unpack the kit again")
    names, numbers = read_synsets(meta), [int(number) for number in truth.read_text().split()]
    unknown = next((number for number in numbers if number not in names), None)
    if unknown is not None:
        raise BadInput(f"{truth} lists {unknown}, which is not in {meta}; expected both of one kit; unpack it again")
    return {f"ILSVRC2012_val_{k:08d}": names[number] for k, number in enumerate(numbers, start=1)}


def read_synsets(meta: Path) -> dict[int, str]:
    """Return {ILSVRC2012 number: synset} of the development kit's meta.mat; BadInput for another file."""
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damaged = (MatReadError, zlib.error, OSError, EOFError, IndexError, ValueError, NotImplementedError)
    try:
        synsets = loadmat(meta, struct_as_record=False, squeeze_me=True)["synsets"]
        return {int(one.ILSVRC2012_ID): str(one.WNID) for one in synsets}
    except (*damaged, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{meta}: no list of synsets ({error}); expected the development kit's; unpack it again"
        ) from error


def _from_folders(paths: dict[str, Path]) -> dict[str, str]:
    return {stem: path.parent.name for stem, path in paths.items() if _SYNSET.fullmatch(path.parent.name)}


def read(release: Release) -> Labels:
    """Return images and their synsets."""
    sampled, notes = sampling.sample(
        release, lambda notes: items(release), sampling.whole_image, n_items=N_ITEMS, n_classes=N_CLASSES
    )
    return sampling.labelled(sampling.stimuli(release, sampled, image=True), "object", notes)


DATASETS = [
    Task(
        name="imagenet2012",
        study="imagenet2012",
        read=read,
        needs=NEEDS,
        citation="Russakovsky et al. 2015, Int J Comput Vis 115:211, doi:10.1007/s11263-015-0816-y",
        licence="non-commercial research",
        access="registration",
        source="image-net.org, validation set of ILSVRC2012",
        static=True,
        expected={"stimuli": N_CLASSES * N_ITEMS, "labels": 1, "classes": N_CLASSES},
    )
]
