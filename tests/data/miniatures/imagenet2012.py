"""Miniature of ImageNet's validation set: three synsets of 50 images in one folder, and the kit's two files."""

from pathlib import Path

import numpy as np

from tests.data.small_items import image_of, write_image

STUDY = "imagenet2012"
SYNSETS = {490: "n01440764", 361: "n01443537", 171: "n01484850"}
N_ITEMS = 50
EXPECTED = {"imagenet2012": {"stimuli": 150, "labels": 1, "classes": 3}}


def truth() -> list[int]:
    """Return the number of the synset of every image."""
    return np.random.default_rng(2012).permutation(np.repeat(list(SYNSETS), N_ITEMS)).tolist()


def write_devkit(folder: Path) -> None:
    """Write data/ of the development kit."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in truth()))
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = [(float(number), wnid, f"a thing, {number}") for number, wnid in SYNSETS.items()]
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=fields)[:, None]})


def write(folder: Path) -> None:
    """Write images and development kit."""
    for k, number in enumerate(truth(), start=1):
        image = image_of(list(SYNSETS).index(number), k)
        write_image(folder / "val" / f"ILSVRC2012_val_{k:08d}.JPEG", image)
    write_devkit(folder / "ILSVRC2012_devkit_t12" / "data")
