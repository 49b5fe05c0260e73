"""Steps are placed within a quarter of a frame of their centres by changes of every frame."""

import pytest

from benchmarks.step_times import differences
from src import models
from src.models.extras import missing
from src.models.inspect.centres import CROP

QUICK = ("VideoMAE-V1-B", "TSM")
# {name: (frames of the reference's clip, which hold whole fields, and side of its pictures, px)}
LARGER = {
    "TimeSformer": (64, CROP),
    "ViViT": (64, CROP),
    "swin3d_t": (64, CROP),
    "AVID-Kinetics400": (64, CROP),
    "UniFormer-V1": (64, CROP),
    "I3D-R50": (64, CROP),
    "SlowFast": (160, CROP),
    "r3d_18": (112, CROP // 2),
}


def check(name: str, n_frames: int = 64, crop: int = CROP) -> None:
    if missing(models.MODELS[name].extra):
        pytest.skip(missing(models.MODELS[name].extra))
    found = list(differences(models.load(name, reduced=True, limit=6), n_frames, crop))
    assert len(found) >= 2
    assert max(placed for _, _, placed, _ in found) <= 0.25, found


@pytest.mark.parametrize("name", QUICK)
def test_steps_are_placed_at_their_centres(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_steps_of_larger_networks_are_placed_at_their_centres(name):
    check(name, *LARGER[name])
