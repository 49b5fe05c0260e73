import av
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter

from src.extraction.extract import make_settings
from src.extraction.planes import Planes, rgb_of_planes, stacked_planes
from src.extraction.plans import make_plan
from src.extraction.reads import Decoder, reads
from src.records import Stimuli
from src.utils import regular_bins
from tests.models.films import drifting_frames, frame_model, make_films, write_film


def noise_frame(height: int, width: int, pix_fmt: str = "yuv420p", space: int = 2, full: bool = False):
    """A frame of every value of Y, U and V, legal or not."""
    shape = {"yuv420p": (height * 3 // 2, width), "yuv444p": (3, height, width), "gray": (height, width)}[pix_fmt]
    values = np.random.default_rng(height).integers(0, 256, shape, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(values, format=pix_fmt)
    frame.colorspace, frame.color_range = space, 2 if full else 0
    return frame


def to_rgb(frame):
    return VideoReformatter().reformat(frame, frame.width, frame.height, format="rgb24").to_ndarray()


@pytest.mark.parametrize("size", [(48, 64), (50, 70), (240, 320), (2, 2)])
@pytest.mark.parametrize("space", [1, 2, 5, 6])
def test_rgb_is_that_of_pyav_to_the_last_bit(size, space):
    frame = noise_frame(*size, space=space)
    rgb = rgb_of_planes(torch.from_numpy(stacked_planes(frame))[None], space)[0]
    np.testing.assert_array_equal(rgb.numpy(), to_rgb(frame))


@pytest.mark.parametrize(
    "frame", [noise_frame(48, 64, "yuv444p"), noise_frame(48, 64, "gray"), noise_frame(48, 64, full=True)]
)
def test_other_formats_are_converted_by_pyav(frame):
    np.testing.assert_array_equal(Planes(to_rgb)(frame), to_rgb(frame))


def test_a_conversion_that_differs_is_left_to_pyav():
    """As for a frame that is turned, scaled, or converted by another rule."""
    planes, turned = Planes(lambda frame: to_rgb(frame)[::-1]), noise_frame(48, 64)
    for _ in range(3):
        np.testing.assert_array_equal(planes(turned), to_rgb(turned)[::-1])
    changing = Planes(to_rgb)
    assert changing(noise_frame(48, 64)).shape == (72, 64)
    assert changing(noise_frame(48, 64, space=1)).shape == (48, 64, 3)


@pytest.mark.parametrize(("codec", "exact"), [("libx264", True), ("mpeg4", True), ("ffv1", True), ("gif", False)])
def test_reads_of_planes_are_those_of_rgb(tmp_path, codec, exact):
    if codec == "gif":
        path = write_film(tmp_path / "film.gif", drifting_frames(20), codec="gif")
        films = Stimuli("films", ("a",), (path,), np.array([800.0]), ("video",))
    else:
        path = write_film(tmp_path / "film.mkv", drifting_frames(20), codec=codec)
        films = Stimuli("films", ("a",), (path,), np.array([800.0]), ("video",))
    plan = make_plan(frame_model(), films, 0, make_settings(regular_bins(800, 80), "block", 400.0, True))
    rgb = np.concatenate([read.pictures for read in reads(plan)])
    found = list(reads(plan, decoder=Decoder(plan, planes=True)))
    assert all((read.pictures.ndim == 3) == exact for read in found)
    if exact:
        converted = [rgb_of_planes(torch.from_numpy(read.pictures), read.space).numpy() for read in found]
    else:
        converted = [read.pictures for read in found]
    np.testing.assert_array_equal(np.concatenate(converted), rgb)


def test_planes_are_half_as_large(tmp_path):
    films = make_films(tmp_path, [20])
    plan = make_plan(frame_model(), films, 0, make_settings(regular_bins(800, 80), "block", 400.0, True))
    assert next(reads(plan, decoder=Decoder(plan, planes=True))).pictures.shape == (16, 72, 64)
