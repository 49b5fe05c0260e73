"""Mechanical tools: classification of eight tools in photographs.

"Mechanical Tools Classification Dataset" by Salma Eunus on Kaggle (salmaneunus/mechanical-tools-dataset); no paper;
licence as stated there. Layout: <DATA_HOME>/mechanical_tools/train_data/train_data/<class>/, as the archive unpacks;
without them, the folders of its second version, train_data_V2/train_data_V2. Suffixes jpg, jpeg and png in either case.

All classes, 50 images of each, sampled after sorting.
"""

from ...records import Labels
from ..declare import Task
from ..release import ByHand, Need, Release
from . import sampling

N_CLASSES, N_ITEMS = 8, 50
VERSIONS = ("train_data/train_data", "train_data_V2/train_data_V2")
NEEDS = (
    Need(
        "images",
        "train_data*/train_data*/*/*.*",
        ByHand("with a Kaggle account: kaggle datasets download --unzip salmaneunus/mechanical-tools-dataset"),
    ),
)


def read(release: Release) -> Labels:
    """Return images and their tools."""
    version = next((v for v in VERSIONS if (release.folder / v).is_dir()), VERSIONS[0])
    sampled, notes = sampling.sample(
        release,
        lambda notes: sampling.class_folders(release, f"{version}/*/*.*", (".jpg", ".jpeg", ".png"), notes),
        sampling.whole_image,
        n_items=N_ITEMS,
    )
    return sampling.labelled(sampling.stimuli(release, sampled, image=True), "tool", notes)


DATASETS = [
    Task(
        name="mechanical_tools",
        study="mechanical_tools",
        read=read,
        needs=NEEDS,
        citation="Kaggle: Mechanical Tools Classification Dataset",
        licence="as stated on Kaggle",
        access="registration",
        source="kaggle.com/datasets/salmaneunus/mechanical-tools-dataset",
        static=True,
        expected={"stimuli": N_CLASSES * N_ITEMS, "labels": 1, "classes": N_CLASSES},
    )
]
