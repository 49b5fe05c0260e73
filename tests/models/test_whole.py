"""Controls of whole stimuli, and video models that see held or shuffled frames."""

import av
import numpy as np
import pytest

from src import models
from src.extraction.extract import ArraySink, extract
from src.models.groups import membership
from src.records import Stimuli
from src.utils import BadInput, regular_bins

FPS, SIDE = 25, 32


def film(path, frames, sound=None):
    """Write grey levels (n_frames,), or pictures, at 25 frames per second, losslessly, and a sound of 16 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "bgr0"
        audio = None
        if sound is not None:
            audio = container.add_stream("pcm_s16le", rate=16_000)
            audio.layout = "mono"
        for frame in frames:
            picture = np.broadcast_to(np.asarray(frame, dtype=np.uint8), (SIDE, SIDE, 3)).copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        if audio is not None:
            part = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16)[None], format="s16", layout="mono")
            part.sample_rate = 16_000
            container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


def stimuli(*paths, ids=None):
    n = len(paths)
    ids = ids or tuple(f"s{k}" for k in range(n))
    lengths = [1000 * 100 / FPS] * n
    return Stimuli("films", ids, paths, np.array(lengths), ("video",) * n)


def activations(name, shown, bin_ms=40.0, **options):
    bins_ms = regular_bins(4000.0, bin_ms)
    sink = ArraySink(len(shown), len(bins_ms))
    extract(models.load(name), shown, bins_ms, sink, **options)
    return sink


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("films")


def test_low_level_features_are_those_of_the_frames(folder):
    levels = np.where(np.arange(100) < 40, 50, 200)
    loud = np.where(np.arange(64_000) < 32_000, 0.0, 0.5)
    tone = loud * np.sin(np.arange(64_000) / 5)
    values = activations("low-level", stimuli(film(folder / "levels.mkv", levels, tone))).values
    luminance = values["luminance"][0, :, 0]
    np.testing.assert_allclose(luminance[5:35], 50 / 255, atol=0.01)
    np.testing.assert_allclose(luminance[45:95], 200 / 255, atol=0.01)
    assert np.flatnonzero(values["cuts"][0, :, 1]).tolist() == [40]
    np.testing.assert_allclose(values["contrast"], 0, atol=1e-3)
    sound = values["sound"][0, :, 0]
    assert (sound[2:48] == -60).all()
    np.testing.assert_allclose(sound[52:98], 20 * np.log10(0.5 / np.sqrt(2)), atol=0.3)
    minutes = values["position"][0, :, 0]
    np.testing.assert_allclose(np.diff(minutes), 0.04 / 60, rtol=1e-3)


def test_a_film_without_sound_has_none(folder):
    assert (activations("low-level", stimuli(film(folder / "mute.mkv", np.arange(100)))).values["sound"] == 0).all()


def test_low_level_features_are_averaged_within_bins(folder):
    shown = stimuli(film(folder / "ramp.mkv", 2 * np.arange(100)))
    fine, coarse = (activations("low-level", shown, bin_ms).values["luminance"][0] for bin_ms in (40.0, 1000.0))
    np.testing.assert_allclose(coarse, fine.reshape(4, 25, 1).mean(axis=1), atol=1e-6)


def test_autocorrelation_sees_only_the_rows_near_it(folder):
    one, other = film(folder / "one.mkv", np.arange(100)), film(folder / "other.mkv", np.arange(100))
    values = activations("autocorrelation", stimuli(one, other), 200.0).values["time"]
    likeness = np.corrcoef(values.reshape(40, -1))
    near, far = likeness[0, 1], [likeness[0, 19], *likeness[0, 20:]]
    assert near > 0.95
    assert abs(likeness[0, 20:]).max() < 0.25
    assert max(far) < 0.5
    again = activations("autocorrelation", stimuli(other, one, ids=("s1", "s0")), 200.0).values["time"]
    np.testing.assert_array_equal(values, again[::-1])


@pytest.mark.parametrize("mode", ["block", "causal"])
def test_a_frozen_model_sees_the_middle_frame_held(folder, mode):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (100, SIDE, SIDE, 3))
    moving = stimuli(film(folder / f"moving-{mode}.mkv", frames))
    options = {"mode": mode, "context_ms": 400.0, "n_components": None}
    frozen = activations("Frozen-fake-net", moving, 400.0, **options)
    if mode == "block":
        held = film(folder / "held.mkv", np.repeat(frames[5::10], 10, axis=0))
        expected = activations("fake-net", stimuli(held), 400.0, **options)
        for layer, values in expected.values.items():
            np.testing.assert_allclose(frozen.values[layer], values, atol=1e-5)
    as_it_is = activations("fake-net", moving, 400.0, **options)
    assert max(abs(frozen.values[layer] - as_it_is.values[layer]).max() for layer in frozen.values) > 0.01


def test_a_shuffled_model_sees_the_same_frames_in_another_order(folder):
    frames = np.random.default_rng(1).integers(0, 255, (100, SIDE, SIDE, 3))
    shown = stimuli(film(folder / "shuffled.mkv", frames))
    options = {"context_ms": 400.0, "n_components": None}
    plain, shuffled, again = (
        activations(name, shown, 400.0, **options).values
        for name in ("fake-net", "Shuffled-fake-net", "Shuffled-fake-net")
    )
    for layer in plain:
        np.testing.assert_array_equal(shuffled[layer], again[layer])
    # colour is a mean over the frames of a window, motion is not
    np.testing.assert_allclose(shuffled["colour"], plain["colour"], atol=1e-4)
    assert abs(shuffled["motion"] - plain["motion"]).max() > 0.01


def test_variants_have_digests_of_their_own_and_are_controls():
    names = ["fake-net", "Frozen-fake-net", "Shuffled-fake-net"]
    assert len({models.load(name).digest for name in names}) == 3
    assert models.load("fake-net").order == ""
    assert membership("Frozen-r3d_18") == membership("Frozen-r3d_18").__class__("control", "R3D", False)
    assert membership("Shuffled-r3d_18").dynamic
    assert membership("Random-Frozen-r3d_18").group == "untrained"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Frozen-resnet18", "sees single frames, which have no order; expected a video model"),
        ("Frozen-Shuffled-r3d_18", "two orders of frames; expected one of Frozen- and Shuffled-"),
        ("Frozen-pixels", "sees single frames"),
    ],
)
def test_what_has_no_order_is_refused(name, message):
    with pytest.raises(BadInput, match=message):
        models.resolve(name)
