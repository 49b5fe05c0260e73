"""Films decoded on a device by torchcodec.

torchcodec decodes on the CPU with the interface that it has for a GPU. Where it is not installed, PyAV stands in its
place behind the same interface, which shows that the frames, time stamps and faults that it gives are treated
correctly, and not that torchcodec gives them. `python -m benchmarks.gpu_video` tells how to run these tests with it.
"""

import gc
import importlib.machinery
import importlib.util
import os
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from src.extraction import gpu_video
from src.extraction.extract import ArraySink, Part, extract_parts, make_settings
from src.extraction.gpu_video import GpuDecoder, choose_films, sample, stacked
from src.extraction.planes import rgb_of_planes, stacked_planes
from src.extraction.plans import make_plan
from src.extraction.reads import reads, same_frame
from src.records import Stimuli
from src.utils import BadInput, regular_bins
from src.video import decode, piece, probe
from tests.extraction.coded_films import DECODED, OTHERS, write_coded
from tests.extraction.test_extraction import assert_same, run
from tests.extraction.test_loader import by_frame
from tests.extraction.test_planes import noise_frame
from tests.models.films import clip_model, drifting_frames, frame_model, make_films, write_film

CPU = torch.device("cpu")
BINS_MS = regular_bins(2400, 200)


def usable() -> bool:
    return importlib.util.find_spec("torchcodec") is not None and not gpu_video.not_usable()


class Demuxer:
    """PyAV behind the interface of torchcodec's Demuxer, VideoStream and VideoPacketDecoder; frames are NV12."""

    def __init__(self, path):
        import av

        self.stream = av.open(path).streams.video[0]
        self.streams = [self]

    def __iter__(self):
        return (packet for packet in self.stream.container.demux(self.stream) if packet.size)

    def make_decoder(self, device):
        return self

    def decode(self, packet):
        return [raw_frame(frame, self.stream.time_base) for frame in self.stream.decode(packet)]

    def drain(self):
        return self.decode(None)


def raw_frame(frame, time_base=Fraction(1, 25)):
    """A frame as torchcodec gives it on a GPU: views into planes with longer rows, U and V interleaved."""
    height, width = frame.height, frame.width
    planes = stacked_planes(frame)
    surface = torch.full((height * 3 // 2, width + 30), 7, dtype=torch.uint8)
    surface[:height, :width] = torch.from_numpy(planes[:height])
    colour = surface[height:, :width].unflatten(1, (width // 2, 2))
    for k, plane in enumerate(planes[height:].reshape(2, height // 2, width // 2)):
        colour[..., k] = torch.from_numpy(plane)
    return SimpleNamespace(
        pixel_format="nv12",
        height=height,
        width=width,
        pts_seconds=float((frame.pts or 0) * time_base),
        planes=(surface[:height, :width], colour[..., 0], colour[..., 1]),
    )


class Header(SimpleNamespace):
    """Header of a video stream."""


def metadata(path):
    import av

    try:
        with av.open(path) as container:
            names = [stream.codec_context.codec.canonical_name for stream in container.streams.video]
    except av.error.FFmpegError as error:
        raise RuntimeError(f"Could not open input file: {error}") from error
    return SimpleNamespace(streams=[Header(codec=name) for name in names])


@pytest.fixture(params=["torchcodec", "PyAV in its place"])
def torchcodec(request, monkeypatch):
    """torchcodec, skipped without it, or PyAV in its place."""
    if request.param == "torchcodec":
        if not usable():
            pytest.skip("torchcodec is not installed, or finds no shared libraries of FFmpeg")
        return
    in_its_place(monkeypatch)


def in_its_place(monkeypatch, **attributes):
    module, decoders = ModuleType("torchcodec"), ModuleType("torchcodec.decoders")
    module.__spec__ = importlib.machinery.ModuleSpec("torchcodec", None)
    vars(module).update({"ffmpeg_major_version": 8, "decoders": decoders, **attributes})
    vars(decoders).update(Demuxer=Demuxer, VideoStreamHeaderMetadata=Header, get_container_metadata=metadata)
    monkeypatch.setitem(sys.modules, "torchcodec", module)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)


def whole(path, name="films", kind="video") -> Stimuli:
    return Stimuli(name, ("a",), (path,), np.array([probe(path).duration_ms]), (kind,))


def decoder_of(path, info=None) -> GpuDecoder:
    return GpuDecoder(str(path), info or probe(path), sample(str(path)), CPU)


def shown(decoder: GpuDecoder, numbers) -> tuple[list[int], np.ndarray]:
    """Numbers and RGB of the frames."""
    found = list(decoder.frames(list(numbers)))
    rgb = [rgb_of_planes(frame[None], decoder.space)[0] if frame.ndim == 2 else frame for _, frame in found]
    return [number for number, _ in found], torch.stack(rgb).numpy()


def of_pyav(path, numbers, info=None) -> np.ndarray:
    return np.stack([frame for _, frame in decode(path, numbers, info or probe(path))])


@pytest.mark.parametrize("kind", DECODED)
def test_frames_and_time_stamps_are_those_of_pyav(tmp_path, torchcodec, kind):
    path = write_coded(tmp_path / "film", **DECODED[kind])
    info = probe(path)
    decoder = decoder_of(path)
    numbers, frames = shown(decoder, range(info.n_frames))
    assert (numbers, decoder.left) == (list(range(info.n_frames)), "")
    np.testing.assert_array_equal(frames, of_pyav(path, range(info.n_frames)))
    # time stamps of the wrong frames would be found
    assert not gpu_video.on_time(info, 3, 4 * 1000 / info.fps)


@pytest.mark.parametrize("kind", OTHERS)
def test_films_whose_frames_may_differ_are_left_to_the_workers(tmp_path, torchcodec, kind):
    assert isinstance(sample(str(write_coded(tmp_path / "film", **OTHERS[kind]))), str)


def test_some_frames_of_a_piece(tmp_path, torchcodec):
    path = write_coded(tmp_path / "film", **DECODED["h264, variable rate"])
    part = piece(probe(path), 1100.0, 800.0)
    assert part.first > 0
    numbers = [0, 2, 4, part.n_frames - 1]
    decoder = decoder_of(path, part)
    found, frames = shown(decoder, numbers)
    assert (found, decoder.left) == (numbers, "")
    np.testing.assert_array_equal(frames, of_pyav(path, numbers, part))


@pytest.mark.parametrize("size", [(48, 64), (50, 70), (2, 2)])
def test_planes_of_a_gpu_are_stacked_as_those_of_pyav(size):
    frame = noise_frame(*size)
    np.testing.assert_array_equal(stacked(*raw_frame(frame).planes).numpy(), stacked_planes(frame))


def test_equal_frames_on_a_device_are_one_picture():
    frame = torch.zeros(72, 64, dtype=torch.uint8)
    assert same_frame(frame, frame.clone())
    assert not same_frame(frame, frame + 1)
    assert not same_frame(frame, torch.zeros(48, 64, 3, dtype=torch.uint8))


def changed(frames, number, **values):
    """The frames of torchcodec, one of them with other values."""
    for k, raw in enumerate(frames):
        yield SimpleNamespace(**{**vars(raw), **values}) if k == number else raw


def ended(frames, number, error=None):
    for k, raw in enumerate(frames):
        if k == number:
            if error:
                raise error
            return
        yield raw


FAULTS = {
    "frame 5 differs": lambda frames: changed(frames, 5, planes=[torch.zeros(48, 64), *[torch.zeros(24, 32)] * 2]),
    "frame 15 differs": lambda frames: changed(frames, 15, pixel_format="p010le"),
    "frame 30 differs": lambda frames: changed(frames, 30, height=96),
    "frame 31 has another time stamp": lambda frames: ended((raw for k, raw in enumerate(frames) if k != 31), 59),
    "frame 3 has another time stamp": lambda frames: changed(frames, 3, pts_seconds=float("nan")),
    "frames are missing": lambda frames: ended(frames, 40),
    "the decoder failed": lambda frames: ended(frames, 25, RuntimeError("the decoder failed\nin C++")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_pyav_decodes_the_rest_of_a_film_from_a_frame_on_that_differs(tmp_path, monkeypatch, fault):
    in_its_place(monkeypatch)
    path = write_coded(tmp_path / "film", **DECODED["h264, B-frames"])
    decoder, raw_frames = decoder_of(path), gpu_video.raw_frames
    monkeypatch.setattr(gpu_video, "raw_frames", lambda *arguments: FAULTS[fault](raw_frames(*arguments)))
    numbers, frames = shown(decoder, range(0, 60, 2))
    assert (numbers, decoder.left) == (list(range(0, 60, 2)), fault)
    np.testing.assert_array_equal(frames, of_pyav(path, range(0, 60, 2)))


@pytest.fixture
def mixed(tmp_path) -> Stimuli:
    """Films that a device decodes, others, and images, in turns."""
    films = make_films(tmp_path, [30, 45])
    others = [write_coded(tmp_path / name, **OTHERS[name]) for name in ("mpeg4", "h264, turned")]
    picture = tmp_path / "p.png"
    Image.fromarray(drifting_frames(1)[0]).save(picture)
    paths = (others[0], films.paths[0], picture, others[1], films.paths[1], picture)
    kinds = ("video", "video", "image", "video", "video", "image")
    durations = [probe(path).duration_ms if kind == "video" else 400.0 for path, kind in zip(paths, kinds, strict=True)]
    return Stimuli("mixed", tuple("abcdef"), paths, np.array(durations), kinds)


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize(
    ("make", "options"), [(frame_model, {}), (clip_model, {"mode": "causal", "context_ms": 480.0})]
)
def test_activations_are_those_of_the_workers(mixed, torchcodec, make, options, processes):
    model = by_frame(make())
    model = replace(model, layers={"readout": model.layers["readout"]})
    notices = []
    expected = run(model, mixed, BINS_MS, processes=True, gpu_video=False, **options)
    found = run(model, mixed, BINS_MS, processes=processes, gpu_video=True, notice=notices.append, **options)
    assert_same(found, expected, 1e-6)
    text = "gpu-video: the workers decode 2 of 4 films: 1 in mpeg4, 1 turned or with pixels that are not square"
    assert notices == [text]


def test_films_are_decoded_on_the_device_in_their_order(mixed, torchcodec, monkeypatch):
    seen, frames = [], GpuDecoder.frames
    monkeypatch.setattr(GpuDecoder, "frames", lambda self, numbers: (seen.append(self._path), frames(self, numbers))[1])
    finished = []

    class Sink(ArraySink):
        def finish(self, stimulus, n_valid):
            finished.append(stimulus)

    run(by_frame(frame_model()), mixed, BINS_MS, sink=Sink(6, len(BINS_MS)), batch_size=1, gpu_video=True)
    assert sorted(seen) == sorted(str(mixed.paths[i]) for i in (1, 4))
    # beside the stimuli that the workers decode, in an order of their own
    assert [index for index in finished if index in (1, 4)] == [1, 4]
    assert [index for index in finished if index not in (1, 4)] == [0, 2, 3, 5]


def test_several_models_share_a_film(tmp_path, torchcodec):
    films = make_films(tmp_path, [30, 45])

    def together(gpu_video):
        sinks = [ArraySink(2, len(BINS_MS)) for _ in range(2)]
        models = by_frame(frame_model()), by_frame(clip_model(12.5))
        parts = [Part(model, sink, 480.0, None) for model, sink in zip(models, sinks, strict=True)]
        extract_parts(parts, films, BINS_MS, processes=True, gpu_video=gpu_video)
        return sinks

    for found, expected in zip(together(True), together(False), strict=True):
        assert_same(found, expected, 1e-6)


def test_a_preprocessing_of_ones_own_is_left_to_the_workers(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("src.extraction.loader.choose_films", lambda *_: asked.append(True))
    films = make_films(tmp_path, [10])
    run(frame_model(), films, BINS_MS, gpu_video=True)
    assert not asked
    run(by_frame(frame_model()), films, BINS_MS, gpu_video=True)
    assert asked


@pytest.mark.skipif(not usable(), reason="of torchcodec alone: that in its place is not closed")
def test_a_file_is_closed_behind_its_last_frame(tmp_path):
    path = write_coded(tmp_path / "film", **DECODED["h264"])
    gc.disable()
    try:
        shown(decoder_of(path), range(60))
        opened = [Path(f"/proc/self/fd/{name}").resolve() for name in os.listdir("/proc/self/fd")]
    finally:
        gc.enable()
    assert path not in opened


def test_equal_frames_are_merged_on_the_device(tmp_path, torchcodec):
    frames = drifting_frames(4).repeat(10, axis=0)
    films = whole(write_film(tmp_path / "film.mkv", frames, codec="libx264"))
    plan = make_plan(by_frame(frame_model()), films, 0, make_settings(BINS_MS, "block", 400.0, True))
    decoder = decoder_of(plan.path, plan.info)
    on_device = list(reads(plan, lambda shape, _: torch.empty(shape, dtype=torch.uint8), decoder))
    expected = list(reads(plan))
    assert [read.inputs for read in on_device] == [read.inputs for read in expected]
    assert sum(len(read.inputs) for read in expected) < 39


def test_a_fault_is_said_in_one_line(tmp_path, monkeypatch):
    in_its_place(monkeypatch)
    films, raw_frames, notices = make_films(tmp_path, [30, 30]), gpu_video.raw_frames, []
    expected = run(by_frame(frame_model()), films, BINS_MS, processes=True)
    monkeypatch.setattr(gpu_video, "raw_frames", lambda *arguments: FAULTS["frame 5 differs"](raw_frames(*arguments)))
    found = run(by_frame(frame_model()), films, BINS_MS, gpu_video=True, notice=notices.append)
    assert_same(found, expected, 1e-6)
    where = "first in stimulus 'films-0' of films: frame 5 differs"
    assert notices == [f"gpu-video: PyAV takes over where torchcodec does not give its frames, {where}"]


def test_a_damaged_start_is_refused_as_without_it(tmp_path, torchcodec):
    films = make_films(tmp_path, [30, 30])
    films.paths[1].write_bytes(films.paths[1].read_bytes()[:300])
    with pytest.raises(BadInput, match=r"stimulus 'films-1' of films: .*: cannot be read"):
        run(by_frame(frame_model()), films, BINS_MS, gpu_video=True)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("missing", r"torchcodec 0\.17 or newer cannot be imported \(.*torchcodec.*\)"),
        ("old", r"torchcodec 0\.17 or newer cannot be imported \(cannot import name 'Demuxer'.*\)"),
        ("no FFmpeg", r"torchcodec finds no shared libraries of FFmpeg, or was built for another torch"),
    ],
)
def test_without_a_usable_torchcodec_the_workers_decode_after_one_line(tmp_path, monkeypatch, state, reason):
    in_its_place(monkeypatch, **({"ffmpeg_major_version": None} if state == "no FFmpeg" else {}))
    if state == "missing":
        monkeypatch.setitem(sys.modules, "torchcodec", None)
    if state == "old":
        del sys.modules["torchcodec.decoders"].Demuxer
    films, notices = make_films(tmp_path, [30, 20]), []
    found = run(by_frame(frame_model()), films, BINS_MS, gpu_video=True, notice=notices.append)
    assert_same(found, run(by_frame(frame_model()), films, BINS_MS), 1e-6)
    assert len(notices) == 1
    assert re.fullmatch(rf"gpu-video: {reason}; films are decoded by the workers", notices[0])


def test_a_gpu_that_cannot_decode_a_codec_is_named_once(tmp_path, monkeypatch):
    in_its_place(monkeypatch)
    asked = []

    class VideoDecoder:
        metadata = SimpleNamespace(codec="h264")
        cpu_fallback = True

        def __init__(self, path, **options):
            asked.append(path)

    sys.modules["torchcodec.decoders"].VideoDecoder = VideoDecoder
    films, notices = make_films(tmp_path, [10, 12, 14]), []
    assert choose_films(films, range(3), torch.device("cuda"), 2, True, notices.append) is None
    assert asked == [str(films.paths[0])]
    assert notices == ["gpu-video: the workers decode 3 of 3 films: 3 in h264, which this GPU cannot decode"]


@pytest.mark.parametrize(("device", "installed"), [("cuda", False), ("cpu", True), ("cpu", False)])
def test_nothing_is_said_or_read_without_the_extra_or_a_gpu(tmp_path, monkeypatch, device, installed):
    in_its_place(monkeypatch)
    if not installed:
        monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setattr(gpu_video, "sample", pytest.fail)
    assert choose_films(make_films(tmp_path, [10]), [0], torch.device(device), 1, False, pytest.fail) is None


@pytest.mark.skipif(not (torch.cuda.is_available() and usable()), reason="needs a GPU and torchcodec")
@pytest.mark.parametrize("kind", DECODED)
def test_frames_of_nvdec_are_those_of_pyav(tmp_path, kind):
    path = write_coded(tmp_path / "film", **{**DECODED[kind], "size": (240, 320)})
    films, notices = whole(path), []
    chosen = choose_films(films, [0], torch.device("cuda"), 1, False, notices.append)
    if chosen is None:
        pytest.skip(notices[0])
    decoder = chosen.decoder(0, str(path), probe(path))
    found = list(decoder.frames(list(range(60))))
    assert decoder.left == ""
    rgb = np.stack([rgb_of_planes(frame[None], decoder.space)[0].cpu().numpy() for _, frame in found])
    np.testing.assert_array_equal(rgb, of_pyav(path, range(60)))
    expected = run(by_frame(frame_model()), films, BINS_MS)
    assert_same(run(by_frame(frame_model()), films, BINS_MS, device="cuda", notice=notices.append), expected, 1e-3)
    assert notices == []
