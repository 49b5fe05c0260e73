"""Steps are placed within a quarter of a frame of their centres by changes of every frame."""

import pytest

from benchmarks.step_times import DRAWS, differences
from src import models
from src.models.extras import missing
from src.models.inspect.centres import CROP

QUICK = ("VideoMAE-V1-B", "TSM", "UMT-B", "VideoMamba-Ti", "InternVideo2-1B-Kinetics400", "V-JEPA-L", "VideoPrism-L")
# {name: (frames of the reference's clip, side of its pictures in px, draws of clips in a row)}
LARGER = {
    "TimeSformer": (64, CROP, DRAWS),
    "ViViT": (64, CROP, DRAWS),
    "swin3d_t": (64, CROP, DRAWS),
    "AVID-Kinetics400": (64, CROP, DRAWS),
    "Hiera-Video-B": (64, CROP, DRAWS),
    "r3d_18": (112, CROP // 2, DRAWS),
    "I3D-R50": (64, CROP, 12),
}
# few channels leave a standard deviation of .08 frame in the measure and of .10 in the reference, step by step; the
# whole network is within .16 (benchmarks/RESULTS.md)
NOISY = {"SlowFast": (160, CROP, DRAWS)}


def check(name: str, n_frames: int = 64, crop: int = CROP, draws: int = DRAWS) -> None:
    if missing(models.MODELS[name].extra):
        pytest.skip(missing(models.MODELS[name].extra))
    found = list(differences(models.load(name, reduced=True, limit=6), n_frames, crop, draws))
    assert len(found) >= 2
    assert max(placed for _, _, placed, _ in found) <= 0.25, found


@pytest.mark.parametrize("name", QUICK)
def test_steps_are_placed_at_their_centres(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_steps_of_larger_networks_are_placed_at_their_centres(name):
    check(name, *LARGER[name])


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="0.32 frames")
@pytest.mark.parametrize("name", NOISY)
def test_steps_of_noisy_networks_are_placed_at_their_centres(name):
    check(name, *NOISY[name])
