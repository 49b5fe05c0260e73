"""Miniature of Freeman & Ziemba et al. 2013: 60 images, six V1 and five V2 units, four repetitions, 300 bins.

V1 is planted in the layer orientation of the embedded network, V2 in its layer colour, from 50 to 200 ms; outside this
window the responses are noise.
"""

from functools import partial
from pathlib import Path

import numpy as np

from src.data.synthetic.files import write_image
from src.data.synthetic.scenes import moving_scenes
from tests.data.miniatures import brainscore_bucket

STUDY = "freemanziemba2013"
FAMILIES, TYPES, SAMPLES = (13, 18, 48, 52, 60), ("texture", "noise"), 6
UNITS, LAYER = {"V1": 6, "V2": 5}, {"V1": "orientation", "V2": "colour"}
REPETITIONS, BINS = 4, 300
EXPECTED = {
    f"freemanziemba2013-{region}": {"stimuli": 60, "subjects": 1, "repetitions": 4, "bins": 1, "units": n}
    for region, n in UNITS.items()
}
around = partial(brainscore_bucket.hosted, plugin="freemanziemba2013")


def write(folder: Path) -> None:
    """Write the packaged files of the public assembly and its images, as in Brain-Score's bucket."""
    rows = [(family, kind, k) for family in FAMILIES for kind in TYPES for k in range(1, SAMPLES + 1)]
    images = [moving_scenes(np.random.default_rng(i), 1)[0] for i in range(len(rows))]
    ids = [f"{i:040x}" for i in range(len(rows))]
    files = folder / "images"
    files.mkdir(parents=True, exist_ok=True)
    for name, image in zip(ids, images, strict=True):
        write_image(files / f"{name}.png", image)
    columns = dict(zip(("texture_family", "texture_type", "sample"), map(list, zip(*rows, strict=True)), strict=True))
    columns = {"image_id": ids, **columns, "degrees": [4] * len(ids)}
    paths = {name: files / f"{name}.png" for name in ids}
    brainscore_bucket.pack_stimuli(folder, "FreemanZiemba2013.aperture-public", columns, paths)
    brainscore_bucket.pack_assembly(folder, "movshon.FreemanZiemba2013.public", assembly(ids, images))


def assembly(ids: list[str], images: list[np.ndarray]):
    """Return the recording of every image four times, in a shuffled order."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly

    rng = np.random.default_rng(102)
    signal = [brainscore_bucket.planted(images, LAYER[r], (50, 200), n, rng) for r, n in UNITS.items()]
    image, repetition = (axis.ravel()[::-1] for axis in np.indices((len(ids), REPETITIONS)))
    level = np.concatenate(signal, axis=1)[image]
    values = 5 * rng.standard_normal((*level.shape, BINS))
    values[..., 50:200] += (level + 0.3 * rng.standard_normal(level.shape))[..., None]
    region = [name for name, n in UNITS.items() for _ in range(n)]
    return NeuronRecordingAssembly(
        values.astype(np.float32),
        coords={
            "image_id": ("presentation", np.array(ids)[image]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", np.arange(1, len(region) + 1)),
            "region": ("neuroid", np.array(region)),
            "time_bin_start": ("time_bin", np.arange(BINS)),
            "time_bin_end": ("time_bin", np.arange(1, BINS + 1)),
        },
        dims=["presentation", "neuroid", "time_bin"],
    )
