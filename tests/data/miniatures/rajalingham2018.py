"""Miniature of Rajalingham et al. 2018: 48 images of four objects, 1,440 trials of an observer who decides by colour.

The observer decodes the object from the layer colour of the embedded network, cross-validated on the images shown.
"""

from functools import partial
from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.files import write_image
from src.data.synthetic.scenes import Waves, to_uint8
from tests.data.miniatures import brainscore_bucket

STUDY = "rajalingham2018"
OBJECTS = ("bear", "ELEPHANT_M", "car", "wrench")
HUES_DEG = (0, 50, 110, 170)
PER_OBJECT, N_SUBJECTS = 12, 10
EXPECTED = {"rajalingham2018": {"stimuli": 48, "trials": 1440, "classes": 4, "subjects": 10, "fitting": 0}}
around = partial(brainscore_bucket.hosted, plugin="rajalingham2018")


def render(label: str, rng: np.random.Generator) -> np.ndarray:
    """Return an image, uint8 (64, 64, 3): a texture in the object's hue with jitter."""
    hue = np.deg2rad(HUES_DEG[OBJECTS.index(label)] + 35 * rng.standard_normal())
    colour = 0.4 * np.cos(hue - np.deg2rad([0, 120, 240]))
    return to_uint8(Waves.sample(rng, 6, 0.5).film(np.zeros((1, 2)))[..., None], colour)[0]


def observer(activations: np.ndarray, truth: list[str]) -> np.ndarray:
    """Return probabilities (n_images, n_objects), cross-validated over the images."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    read_out = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    found = cross_val_predict(read_out, activations, truth, cv=6, method="predict_proba")
    return found[:, [sorted(OBJECTS).index(name) for name in OBJECTS]]


def write(folder: Path) -> None:
    """Write the packaged files of the public assembly and its images, as in Brain-Score's bucket."""
    rng = np.random.default_rng(2018)
    labels = [name for name in OBJECTS for _ in range(PER_OBJECT)]
    images = [render(label, rng) for label in labels]
    ids = [f"{i:040x}" for i in range(len(labels))]
    files = folder / "images"
    files.mkdir(parents=True, exist_ok=True)
    for name, image in zip(ids, images, strict=True):
        write_image(files / f"{name}.png", image)
    columns = {"image_id": ids, "image_label": labels, "rxy": rng.uniform(-90, 90, len(ids)).tolist()}
    brainscore_bucket.pack_stimuli(folder, "objectome.public", columns, {name: files / f"{name}.png" for name in ids})
    bins = [np.array([[0.0, 1000.0]])] * len(images)
    activations = np.concatenate([film["colour"] for film in plant.binned([i[None] for i in images], bins)])
    trials = assembly(ids, labels, observer(activations, labels), rng)
    brainscore_bucket.pack_assembly(folder, "dicarlo.Rajalingham2018.public", trials)


def assembly(ids: list[str], labels: list[str], probabilities: np.ndarray, rng: np.random.Generator):
    """Return trials in which each subject sees each image with each distractor."""
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly

    subject, image, step = (axis.ravel() for axis in np.indices((N_SUBJECTS, len(ids), len(OBJECTS) - 1)))
    truth = np.array([OBJECTS.index(label) for label in labels])[image]
    distractor = (truth + 1 + step) % len(OBJECTS)
    p_truth, p_other = probabilities[image, truth], probabilities[image, distractor]
    right = rng.random(len(image)) < p_truth / (p_truth + p_other)
    names = np.array(OBJECTS)
    columns = {
        "image_id": np.array(ids)[image],
        "sample_obj": names[truth],
        "dist_obj": names[distractor],
        "truth": names[truth],
        "WorkerId": np.array([f"w{k}" for k in range(N_SUBJECTS)])[subject],
        "enough_human_data": np.ones(len(image), bool),
    }
    return BehavioralAssembly(
        names[np.where(right, truth, distractor)],
        coords={name: ("presentation", column) for name, column in columns.items()},
        dims=["presentation"],
    )
