"""VGGFace2: recognition of 100 identities of the test set from their faces.

Cao Q, Shen L, Xie W, Parkhi OM, Zisserman A (2018). VGGFace2: A dataset for recognising faces across pose and age. FG,
arXiv:1710.08092. The official site has been withdrawn; mirrors state CC BY-NC 4.0. These are photographs of real
people: check consent and ethics rules before using them. Layout: <DATA_HOME>/vggface2/test/<identity>/*.jpg.

100 identities and 50 images of each, sampled after sorting; identities with fewer are left out and counted.
"""

from ...records import Labels
from ..declare import Task
from ..release import ByHand, Need, Release
from . import sampling

N_CLASSES, N_ITEMS = 100, 50
PATTERN = "test/*/*.*"
NEEDS = (
    Need(
        "test images",
        PATTERN,
        ByHand(
            "get VGGFace2's test set from a mirror whose terms you may accept, unpack it to test/<identity>/*.jpg", 2
        ),
    ),
)


def read(release: Release) -> Labels:
    """Return images and their identities."""
    sampled, notes = sampling.sample(
        release,
        lambda notes: sampling.class_folders(release, PATTERN, (".jpg", ".jpeg", ".png"), notes),
        sampling.whole_image,
        n_items=N_ITEMS,
        n_classes=N_CLASSES,
    )
    return sampling.labelled(sampling.stimuli(release, sampled, image=True), "identity", notes)


DATASETS = [
    Task(
        name="vggface2",
        study="vggface2",
        read=read,
        needs=NEEDS,
        citation="Cao et al. 2018, FG, arXiv:1710.08092",
        licence="CC BY-NC 4.0 (mirrors)",
        access="registration",
        source="the official site is withdrawn; mirrors",
        static=True,
        note="faces of real people",
        expected={"stimuli": N_CLASSES * N_ITEMS, "labels": 1, "classes": N_CLASSES},
    )
]
