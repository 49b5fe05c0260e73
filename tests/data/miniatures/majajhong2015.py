"""Miniature of Majaj & Hong et al. 2015: 92 images of a blob on a background, eight V4 and six IT sites, 4 repetitions.

The V4 sites are planted in the layer colour of the embedded network, the IT sites in its layer orientation. The blob's
place and size are the pose, its colour the rotations.
"""

from functools import partial
from pathlib import Path

import numpy as np

from src.data.synthetic.files import write_image
from src.data.synthetic.scenes import Waves, to_uint8
from tests.data.miniatures import brainscore_bucket

STUDY = "majajhong2015"
OBJECTS = ("bear", "car_astra", "apple", "face0")
IMAGES_OF = {0: 3, 3: 20}
SITES = {"V4": 8, "IT": 6}
LAYER = {"V4": "colour", "IT": "orientation"}
REPETITIONS = 4
EXPECTED = {
    "majajhong2015-V4": {"stimuli": 92, "subjects": 1, "repetitions": 4, "bins": 1, "units": 8},
    "majajhong2015-IT": {"stimuli": 92, "subjects": 1, "repetitions": 4, "bins": 1, "units": 6},
    "majajhong2015-pose": {"stimuli": 80, "labels": 6},
}
around = partial(brainscore_bucket.hosted, plugin="majajhong2015")


def table() -> dict[str, list]:
    """Return the stimulus set's columns: object, variation and pose."""
    rng = np.random.default_rng(2015)
    rows = [(name, variation) for name in OBJECTS for variation, n in IMAGES_OF.items() for _ in range(n)]
    pose = rng.uniform(-1, 1, (len(rows), 6)) * np.array([[variation > 0] for _, variation in rows])
    columns = {
        "image_id": [f"{i:040x}" for i in range(len(rows))],
        "object_name": [name for name, _ in rows],
        "category_name": [name.split("_")[0].title() for name, _ in rows],
        "variation": [variation for _, variation in rows],
        "s": (1 + 0.3 * pose[:, 0]).tolist(),
    }
    columns |= {name: (45 * pose[:, k]).tolist() for k, name in enumerate(("rxy", "ryz", "rxz"), start=1)}
    return columns | {name: (0.3 * pose[:, k]).tolist() for k, name in enumerate(("tz", "ty"), start=4)}


def render(columns: dict[str, list], index: int) -> np.ndarray:
    """Return one image, uint8 (64, 64, 3)."""
    s, ty, tz = (columns[name][index] for name in ("s", "ty", "tz"))
    rotation = np.array([columns[name][index] for name in ("rxy", "ryz", "rxz")]) / 45
    y, x = np.mgrid[:64, :64] / 32 - 1
    blob = np.exp(-((x - ty) ** 2 + (y - tz) ** 2) / (0.25 * s**2))
    texture = Waves.sample(np.random.default_rng(index), 3, 0.3).film(np.zeros((1, 2)))
    return to_uint8(texture[..., None], blob[..., None] * (0.4 + 0.3 * rotation))[0]


def write(folder: Path) -> None:
    """Write the packaged files of the public assembly and its images, as in Brain-Score's bucket."""
    columns = table()
    images = [render(columns, i) for i in range(len(columns["image_id"]))]
    files = folder / "images"
    files.mkdir(parents=True, exist_ok=True)
    paths = {name: files / f"{name}.png" for name in columns["image_id"]}
    for path, image in zip(paths.values(), images, strict=True):
        write_image(path, image)
    brainscore_bucket.pack_stimuli(folder, "hvm-public", columns, paths)
    brainscore_bucket.pack_assembly(folder, "dicarlo.MajajHong2015.public", assembly(columns["image_id"], images))


def assembly(ids: list[str], images: list[np.ndarray]):
    """Return presentations in a shuffled order, of which one in ten is missing."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly

    rng = np.random.default_rng(40)
    signal = [brainscore_bucket.planted(images, LAYER[r], (70, 170), n, rng) for r, n in SITES.items()]
    image, repetition = (axis.ravel() for axis in np.indices((len(ids), REPETITIONS)))
    order = rng.permutation(len(image))
    order = order[(repetition[order] == 0) | (rng.random(len(order)) > 0.1)]
    image, repetition = image[order], repetition[order]
    values = np.concatenate(signal, axis=1)[image]
    values = values + 0.5 * rng.standard_normal(values.shape)
    region = np.array([name for name, n in SITES.items() for _ in range(n)])
    n = len(region)
    return NeuronRecordingAssembly(
        values.astype(np.float32)[..., None],
        coords={
            "image_id": ("presentation", np.array(ids)[image]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", np.array([f"Chabo_L_M_{i}_{i}" for i in range(n)])),
            "region": ("neuroid", region),
            "animal": ("neuroid", np.where(np.arange(n) % 2, "Chabo", "Tito")),
            "x": ("neuroid", np.arange(n) / 10),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    )
