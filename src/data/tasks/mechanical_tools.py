"""Mechanical tools: which of eight tools a photograph shows.

"Mechanical Tools Classification Dataset" by Salma Eunus on Kaggle (salmaneunus/mechanical-tools-dataset); no paper;
licence as stated there. Layout: <DATA_HOME>/mechanical_tools/train_data/train_data/<class>/, as the archive unpacks;
the folders of its second version, train_data_V2/train_data_V2, are read where these are not there. jpg, jpeg and png of
either case count.

All classes, 50 images of each, drawn after sorting.
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
    """Images and tools."""
    version = next((v for v in VERSIONS if (release.folder / v).is_dir()), VERSIONS[0])
    drawn, notes = sampling.draw(
        release,
        lambda notes: sampling.class_folders(release, f"{version}/*/*.*", (".jpg", ".jpeg", ".png"), notes),
        sampling.whole_image,
        n_items=N_ITEMS,
    )
    return sampling.labelled(sampling.stimuli(release, drawn, image=True), "tool", notes)


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
