import io
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from src import video
from src.utils import BadInput
from src.video import check_film, decode, frames_at, has_entries, piece, probe, read_frames, read_image, window_frames
from tests.extraction.coded_films import DECODED, N_FRAMES, OTHERS, write_coded
from tests.models.films import drifting_frames, write_film

CLIPS = sorted((Path(__file__).resolve().parents[1] / "../shared/realdata/kinetics400/videos").glob("*.*"))
FORMATS = [
    ("film.mp4", "libx264", 25),
    ("film.mp4", "libx264", 30000 / 1001),
    ("film.mov", "libx264", 12),
    ("film.avi", "mpeg4", 25),
    ("film.webm", "libvpx-vp9", 30),
    ("film.mkv", "libx264", 24),
    ("film.gif", "gif", 25),
]


def decoded(path: Path) -> tuple[np.ndarray, list[int]]:
    """Return every frame and its time stamp, by a loop over the decoder."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), [frame.pts for frame in frames]


@pytest.fixture
def changing(tmp_path) -> tuple[Path, np.ndarray]:
    """Film of variable rate, and the onsets of its frames in ms."""
    stamps_ms = np.concatenate([[0], np.cumsum(np.random.default_rng(0).integers(20, 90, 29))])
    return write_film(tmp_path / "changing.mkv", drifting_frames(30), stamps_ms=stamps_ms), stamps_ms


@pytest.mark.parametrize(("name", "codec", "fps"), FORMATS)
def test_probe_agrees_with_decoding(tmp_path, name, codec, fps):
    path = write_film(tmp_path / name, drifting_frames(40), fps, codec)
    info = probe(path)
    frames, _ = decoded(path)
    assert (info.n_frames, info.height, info.width) == frames.shape[:3]
    assert info.fps == pytest.approx(fps, rel=1e-6)
    assert info.duration_ms == pytest.approx(40 / fps * 1000, rel=1e-6)
    assert info.starts_ms is None


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_probe_agrees_with_opencv_on_real_clips(path):
    cv2 = pytest.importorskip("cv2")
    capture, info = cv2.VideoCapture(str(path)), probe(path)
    assert info.n_frames == capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(decoded(path)[0])
    assert info.fps == capture.get(cv2.CAP_PROP_FPS)
    assert (info.width, info.height) == (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))


@pytest.mark.parametrize(("name", "codec", "fps"), FORMATS)
def test_constant_rate_is_read_by_frame_number(tmp_path, name, codec, fps):
    path = write_film(tmp_path / name, drifting_frames(40), fps, codec)
    times_ms = np.arange(-100, 40 / fps * 1000 + 200, 20.0)
    expected = np.clip((times_ms * fps / 1000 + 1e-9).astype(int), 0, 38)
    shown = np.stack(list(read_frames(path, times_ms)))
    np.testing.assert_array_equal(shown, decoded(path)[0][expected])


@pytest.mark.parametrize(("film_fps", "model_fps"), [(25, 25), (30, 25), (24, 12.5), (12, 25), (30000 / 1001, 25)])
def test_windows_take_the_frames_that_brainscore_takes(tmp_path, film_fps, model_fps):
    inputs = pytest.importorskip("brainscore_vision.model_helpers.activations.temporal.inputs")
    path = write_film(tmp_path / "film.mp4", drifting_frames(60), film_fps)
    taken = []
    film = inputs.Video.from_path(str(path)).set_fps(model_fps)
    film_type = type(
        "Noting", (type(film),), {"get_frames": lambda _, numbers: taken.append(numbers) or np.zeros((1, 48, 64, 3))}
    )
    info, interval = probe(path), 1000 / model_fps
    for start, end in [(0, 1000), (1000, 2000), (2000, 4000), (-400, 600), (7 * interval, 33 * interval)]:
        window = film.set_window(start, end)
        window.__class__ = film_type
        window.to_numpy()
        np.testing.assert_array_equal(window_frames(info, start, end, model_fps), taken[-1])


def test_variable_rate_is_read_by_time_stamps(changing):
    path, stamps_ms = changing
    info = probe(path)
    assert info.n_frames == 30
    np.testing.assert_allclose(info.starts_ms, stamps_ms, atol=info.tick_ms)
    for times_ms in (stamps_ms + 5.0, stamps_ms.astype(float), np.array([-10.0, 1e6])):
        expected = np.clip(np.searchsorted(stamps_ms, times_ms, side="right") - 1, 0, 29)
        np.testing.assert_array_equal(frames_at(info, times_ms), expected)
    np.testing.assert_array_equal(np.stack(list(read_frames(path, stamps_ms + 5.0))), decoded(path)[0])
    between = window_frames(info, stamps_ms[4] + 1.0, stamps_ms[4] + 200.0, 1000.0)
    np.testing.assert_array_equal(between, frames_at(info, stamps_ms[4] + 1.0 + np.arange(len(between))))


def test_only_wanted_frames_are_decoded(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(40))
    got = dict(decode(path, [3, 4, 20], probe(path)))
    assert list(got) == [3, 4, 20]
    np.testing.assert_array_equal(got[20], decoded(path)[0][20])


@pytest.mark.parametrize("name", DECODED | OTHERS)
def test_frames_behind_an_entry_are_those_of_the_whole_film(tmp_path, name):
    coding = DECODED.get(name) or OTHERS.get(name, {})
    path = write_coded(tmp_path / "film", **coding | {"options": {**coding.get("options", {}), "g": "12"}})
    info = probe(path)
    some_groups_are_open = name in ("h264, open GOP", "hevc")
    if path.suffix == ".ts":
        assert info.entries is None
    else:
        assert info.entries[:, 0].tolist() == ([12] if some_groups_are_open else [12, 24, 36, 48])
    whole = dict(decode(path, range(N_FRAMES), info))
    for first in (11, 12, 13, 30, 48, 59):
        (found,) = decode(path, [first], info)
        assert found[0] == first
        np.testing.assert_array_equal(found[1], whole[first])


@pytest.fixture
def begun(monkeypatch) -> list[int]:
    """Numbers of the frames of 25 frames/s with which decoding has begun."""
    numbers = []

    class Display(video._Display):
        def __init__(self, path, stream, first, threads=0):
            super().__init__(path, stream, first, threads)
            numbers.append(round(float(first.pts * stream.time_base) * 25))

    monkeypatch.setattr(video, "_Display", Display)
    return numbers


def test_decoding_begins_with_the_entry_before_the_first_frame(tmp_path, begun):
    path = write_coded(tmp_path / "film", options={"g": "12"})
    info = probe(path)
    for first in (0, 11, 12, 26, 59):
        assert [number for number, _ in decode(path, range(first, N_FRAMES), info)] == list(range(first, N_FRAMES))
    assert [number for number, _ in decode(path, range(4), piece(info, 1000.0, 200.0))] == list(range(4))
    assert begun == [0, 0, 12, 24, 48, 24]


def test_an_index_that_leads_to_another_frame_or_size_is_not_trusted(tmp_path, begun):
    path = write_coded(tmp_path / "film", options={"g": "12"})
    info = probe(path)
    whole = dict(decode(path, range(N_FRAMES), info))
    another_frame = replace(info, entries=np.array([[17, info.entries[0, 1] + 1]]))
    for wrong in (another_frame, replace(info, width=2 * info.width)):
        for number, frame in decode(path, iter([20, 30, 59]), wrong):
            np.testing.assert_array_equal(frame, whole[number])
    assert begun == [0, 0, 0]


def remuxed(path: Path, changed, name: str = "remuxed") -> Path:
    """A copy of a film with other packets: changed(number, bytes, is a key frame) -> (bytes, is a key frame)."""
    found = path.with_stem(name)
    with av.open(str(path)) as source, av.open(str(found), "w") as copy:
        stream = source.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in source.demux(stream) if packet.dts is not None):
            content, is_key = changed(number, bytes(packet), packet.is_keyframe)
            new = av.Packet(content)
            new.pts, new.dts, new.time_base, new.duration = packet.pts, packet.dts, packet.time_base, packet.duration
            new.is_keyframe, new.stream = is_key, target
            copy.mux(new)
    return found


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg4", "mp4"), ("msmpeg4", "mkv")])
def test_packets_wrongly_marked_as_key_frames_are_not_trusted(tmp_path, begun, codec, suffix):
    coded = write_coded(tmp_path / "film", codec=codec, suffix=suffix, options={"g": "12"})
    path = remuxed(coded, lambda number, content, _: (content, True))
    info = probe(path)
    assert len(info.entries) > 50
    whole = dict(decode(path, range(N_FRAMES), info))
    for first in (7, 29, 41):
        (found,) = decode(path, [first], info)
        np.testing.assert_array_equal(found[1], whole[first])
    assert not has_entries(path, info)
    assert has_entries(coded, probe(coded))
    assert begun == [0, 0, 0, 0]


def test_packets_without_a_frame_are_named_wherever_decoding_begins(tmp_path):
    def hidden(number, content, is_key):
        # bit 4 of a VP8 frame says whether it is shown
        return (bytes([content[0] & ~0x10]) + content[1:] if number == 17 else content), is_key

    path = remuxed(write_coded(tmp_path / "film", codec="libvpx", suffix="webm", options={"g": "12"}), hidden)
    info = probe(path)
    assert info.n_frames == N_FRAMES
    assert len(list(decode(path, range(12), info))) == 12
    assert len(list(decode(path, [30], info))) == 1
    for numbers in (range(12, 30), range(30), [13, 24]):
        with pytest.raises(BadInput, match="a packet before frame 24 holds no frame"):
            list(decode(path, numbers, info))


def test_a_piece_of_a_film_is_the_film_that_was_cut_there(tmp_path):
    frames = drifting_frames(40)
    whole = write_film(tmp_path / "film.mp4", frames, codec="libx264")
    info = piece(probe(whole), 400.0, 800.0)
    assert (info.duration_ms, info.first) == (800.0, 10)
    shown = window_frames(info, 0.0, 800.0, 25.0)
    np.testing.assert_array_equal(shown, np.arange(20))
    got = np.stack([frame for _, frame in decode(whole, range(20), info)])
    np.testing.assert_array_equal(got, decoded(whole)[0][10:30])


def test_a_piece_that_outlasts_its_film_holds_the_last_frame_that_is_shown(tmp_path):
    info = piece(probe(write_film(tmp_path / "film.mp4", drifting_frames(20))), 400.0, 800.0)
    np.testing.assert_array_equal(window_frames(info, 0.0, 800.0, 25.0), np.minimum(np.arange(20), 8))
    with pytest.raises(
        BadInput, match="a piece from 900 ms on; expected it to start within the film, which lasts 800 ms"
    ):
        piece(probe(tmp_path / "film.mp4"), 900.0, 100.0)


def test_a_piece_of_a_film_of_variable_rate(tmp_path):
    stamps_ms = np.cumsum(np.r_[0, np.tile([20, 60, 40], 10)])[:30]
    path = write_film(tmp_path / "film.mkv", drifting_frames(30), stamps_ms=stamps_ms)
    info = piece(probe(path), 300.0, 500.0)
    times_ms = np.arange(0.0, 500.0, 10.0)
    whole = frames_at(probe(path), times_ms + 300.0)
    np.testing.assert_array_equal(frames_at(info, times_ms) + info.first, whole)


def test_a_film_of_one_frame(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(1))
    assert probe(path).n_frames == 1
    assert len(list(read_frames(path, np.array([0.0, 40.0, 80.0])))) == 3


def cut(path: Path, share: float = 0.6) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("film.mp4", "libx264"), ("film.avi", "mpeg4"), ("film.webm", "libvpx-vp9"), ("film.gif", "gif")],
)
def test_a_truncated_film_is_named_with_its_frames(tmp_path, name, codec):
    path = cut(write_film(tmp_path / name, drifting_frames(60), codec=codec, faststart=name.endswith("mp4")))
    with pytest.raises(BadInput, match=rf"{name}: the film ends after \d+ frames; expected .*; it is truncated"):
        probe(path)
    with pytest.raises(BadInput, match=name):
        list(read_frames(path, np.arange(0, 2400, 40.0)))


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_a_truncated_real_clip_is_refused(tmp_path, path):
    broken = tmp_path / path.name
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match=path.name):
        probe(broken)


def test_a_film_with_fewer_frames_than_stated_is_refused(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(10))
    with pytest.raises(BadInput, match="ends after 10 frames; expected 12"):
        list(decode(path, [0, 11], replace(probe(path), n_frames=12)))


def test_a_film_damaged_in_the_middle_is_refused(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(60), faststart=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = np.random.default_rng(1).bytes(600)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"cannot be read as a film|the film ends after"):
        list(read_frames(path, np.arange(0, 2400, 40.0)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "the file is empty"), (b"no film at all", "cannot be read as a film")],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"film\.mp4: {message}.*expected"):
        probe(path)


def test_sound_alone_is_no_film(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(BadInput, match="has no video stream"):
        probe(path)


def test_times_must_not_decrease(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(5))
    with pytest.raises(BadInput, match="frame times decrease"):
        list(read_frames(path, np.array([80.0, 0.0])))


def test_images(tmp_path):

    picture = drifting_frames(1)[0]
    Image.fromarray(picture).save(tmp_path / "picture.png")
    np.testing.assert_array_equal(read_image(tmp_path / "picture.png"), picture)
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (48, 64, 3)
    (tmp_path / "broken.png").write_bytes((tmp_path / "picture.png").read_bytes()[:200])
    with pytest.raises(BadInput, match="cannot be read as an image"):
        read_image(tmp_path / "broken.png")
    with pytest.raises(BadInput, match="no such file"):
        read_image(tmp_path / "missing.png")


def save(array, path: Path, **options) -> Path:

    Image.fromarray(array).save(path, **options)
    return path


def quadrants(*values: float) -> np.ndarray:
    return np.array(values).reshape(2, 2).repeat(16, 0).repeat(16, 1)


def corners(picture: np.ndarray) -> list[int]:
    return [int(picture[row, column, 0]) for row, column in ((2, 2), (2, -3), (-3, 2), (-3, -3))]


def test_grey_of_16_bits_is_scaled(tmp_path):
    levels = quadrants(0, 84 * 257, 168 * 257, 65535).astype(np.uint16)
    for name in ("grey.png", "grey.tif"):
        assert corners(read_image(save(levels, tmp_path / name))) == [0, 84, 168, 255]


def test_transparent_pixels_are_shown_over_black(tmp_path):
    alpha = quadrants(0, 84, 168, 255).astype(np.uint8)
    white = np.full((*alpha.shape, 3), 255, np.uint8)
    assert corners(read_image(save(np.dstack([white, alpha]), tmp_path / "a.png"))) == [0, 84, 168, 255]
    assert corners(read_image(save(np.dstack([white[..., 0], alpha]), tmp_path / "la.png"))) == [0, 84, 168, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright_by_their_exif_orientation(tmp_path, orientation):
    from PIL import ImageOps

    levels = quadrants(0, 84, 168, 255).astype(np.uint8)[:24]
    exif = Image.Exif()
    exif[274] = orientation
    stored = {
        1: levels,
        2: levels[:, ::-1],
        3: levels[::-1, ::-1],
        4: levels[::-1],
        5: levels.T,
        6: np.rot90(levels),
        7: levels[::-1, ::-1].T,
        8: np.rot90(levels, -1),
    }[orientation]
    path = save(np.ascontiguousarray(stored), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(path)[..., 0], levels)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(ImageOps.exif_transpose(image)), levels)


def test_images_of_unstated_range_or_of_other_formats_are_refused(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"real\.tif: has values of type 'F', whose range is not stated; expected grey"):
        read_image(save(quadrants(0, 0.3, 0.6, 1).astype(np.float32), tmp_path / "real.tif"))
    with pytest.raises(BadInput, match=r"long\.tif: has values of type 'I'"):
        read_image(save(quadrants(0, 1, 2, 3).astype(np.int32), tmp_path / "long.tif"))
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(BadInput, match=r"script\.png: cannot be read as an image .*; expected png, jpeg"):
        read_image(tmp_path / "script.png")
    monkeypatch.setattr("src.video.MAX_PIXELS", 500)
    with pytest.raises(BadInput, match=r"big\.png: an image of 32 x 32 pixels; expected at most 500"):
        read_image(save(np.zeros((32, 32), np.uint8), tmp_path / "big.png"))
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadInput, match=r"big\.png: an image of several times as many pixels; expected at most 500"):
        read_image(tmp_path / "big.png")


@pytest.mark.parametrize("read", [read_image, probe])
def test_a_pipe_folder_or_loop_in_the_place_of_a_file_is_named(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a named pipe"), ("loop", "a loop of links"), ("folder", "a folder")):
        with pytest.raises(BadInput, match=rf"{name}: is {kind}; expected an? (image|film), in a file"):
            read(tmp_path / name)


def turned_film(path: Path, frames: np.ndarray, degrees: int, hflip: bool = False) -> Path:
    """Lossless film of full chroma with a display matrix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        stream.set_display_rotation(degrees, hflip=hflip)
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def by_ffmpeg(path: Path, size: tuple[int, int], *options: str) -> np.ndarray:
    """Frames as ffmpeg's command line shows them by default; skipped where it is not installed."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), *options, "-vsync", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, timeout=60)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, *size, 3)


def all_frames(path: Path) -> np.ndarray:
    info = probe(path)
    return np.stack([frame for _, frame in decode(path, range(info.n_frames), info)])


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_films_are_turned_as_their_display_matrix_says(tmp_path, degrees, turns, hflip):
    frames = drifting_frames(3)
    path = turned_film(tmp_path / "film.mp4", frames, degrees, hflip)
    shown = all_frames(path)
    if not hflip:
        # the matrix states a turn against the clock
        np.testing.assert_array_equal(shown, np.rot90(frames, turns, axes=(1, 2)))
    np.testing.assert_array_equal(shown, by_ffmpeg(path, shown.shape[1:3]))


def test_a_film_turned_by_another_angle_is_refused(tmp_path):
    path = turned_film(tmp_path / "film.mp4", drifting_frames(2), 30)
    with pytest.raises(BadInput, match=r"is turned by .* degrees; expected 0, 90, 180 or 270"):
        all_frames(path)


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 85), (Fraction(1, 2), 32), (Fraction(1), 64)])
def test_pixels_that_are_not_square_widen_the_frame(tmp_path, aspect, width):
    path = tmp_path / "film.mp4"
    bars = np.zeros((48, 64, 3), np.uint8)
    bars[:, 32:] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgb24"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bars, format="rgb24")))
        container.mux(stream.encode())
    shown = all_frames(path)
    assert shown.shape[1:] == (48, width, 3)
    assert abs(int((shown[0, 20, :, 0] > 127).sum()) - width / 2) <= 1
    scaled = by_ffmpeg(path, shown.shape[1:3], "-vf", f"scale={width}:48")
    np.testing.assert_allclose(shown.astype(float), scaled, atol=2)


def write_avi(path: Path, sizes_kept: list[bool]) -> Path:
    """Motion JPEG in AVI by hand; a frame that is not kept is a chunk of length zero."""
    jpeg = io.BytesIO()
    chunks, index, at = b"", b"", 4
    for number, kept in enumerate(sizes_kept):
        jpeg = io.BytesIO()
        Image.fromarray(np.full((16, 16, 3), 8 * number, np.uint8)).save(jpeg, format="JPEG", quality=95)
        body = jpeg.getvalue() if kept else b""
        index += b"00dc" + struct.pack("<III", 16, at, len(body))
        chunk = b"00dc" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        chunks, at = chunks + chunk, at + len(chunk)
    n = len(sizes_kept)
    header = struct.pack("<14I", 40000, 0, 0, 0x10, n, 0, 1, 0, 16, 16, 0, 0, 0, 0)
    stream = b"vids" + b"MJPG" + struct.pack("<10I4H", 0, 0, 0, 1, 25, 0, n, 0, 0, 0, 0, 0, 16, 16)
    picture = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, 24, 0x47504A4D, 768, 0, 0, 0, 0)

    def chunk_of(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body

    lists = chunk_of(b"LIST", b"strl" + chunk_of(b"strh", stream) + chunk_of(b"strf", picture))
    movie = chunk_of(b"LIST", b"movi" + chunks)
    whole = b"AVI " + chunk_of(b"LIST", b"hdrl" + chunk_of(b"avih", header) + lists) + movie + chunk_of(b"idx1", index)
    path.write_bytes(chunk_of(b"RIFF", whole))
    return path


@pytest.mark.parametrize("skipped", [(5, 6, 11), (18, 19), (3,)])
def test_frames_skipped_in_an_avi_are_held_and_not_missing(tmp_path, skipped):
    path = write_avi(tmp_path / "film.avi", [k not in skipped for k in range(20)])
    info = probe(path)
    assert (info.duration_ms, info.n_frames) == (800.0, 20 - len(skipped))
    shown = [round(int(frame[8, 8, 0]) / 8) for frame in read_frames(path, np.arange(20) * 40.0 + 1)]
    assert shown == [max(j for j in range(k + 1) if j not in skipped) for k in range(20)]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(BadInput, match=r"film\.avi: the film ends after"):
        probe(path)


def test_all_of_a_few_frames_are_shown_for_their_share(tmp_path):
    path = write_film(tmp_path / "four.mp4", drifting_frames(4), fps=Fraction(4, 3))
    info = probe(path)
    assert info.duration_ms == pytest.approx(3000)
    np.testing.assert_array_equal(np.bincount(window_frames(info, 0.0, 3000.0, 24.0)), [18] * 4)
    np.testing.assert_array_equal(frames_at(info, np.array([0.0, 2200.0, 2300.0, 5000.0])), [0, 2, 3, 3])
    ten = probe(write_film(tmp_path / "ten.mp4", drifting_frames(10)))
    assert window_frames(ten, 0.0, 400.0, 25.0).max() == 8


def test_the_frames_of_a_gif_last_what_they_say(tmp_path):
    pictures = [Image.fromarray(image) for image in drifting_frames(3)]
    pictures[0].save(tmp_path / "one.gif", duration=100)
    assert probe(tmp_path / "one.gif").duration_ms == 100
    pictures[0].save(tmp_path / "held.gif", save_all=True, append_images=pictures[1:], duration=[40, 40, 1000])
    info = probe(tmp_path / "held.gif")
    assert info.duration_ms == 1080
    np.testing.assert_array_equal(frames_at(info, np.array([0.0, 45.0, 90.0, 1000.0])), [0, 1, 2, 2])


def test_a_cut_or_joined_transport_stream_is_refused(tmp_path):
    whole = write_film(tmp_path / "whole.ts", drifting_frames(30)).read_bytes()
    assert probe(tmp_path / "whole.ts").n_frames == 30
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3 // 188 * 188 + 100])
    with pytest.raises(BadInput, match=r"cut\.ts: the film ends after \d+ frames; expected more than"):
        probe(tmp_path / "cut.ts")
    (tmp_path / "joined.ts").write_bytes(whole + whole)
    with pytest.raises(BadInput, match=r"joined\.ts: the time stamps start anew after \d+ frames; expected one film"):
        probe(tmp_path / "joined.ts")


def test_a_matroska_file_that_lacks_its_last_frame_is_refused(tmp_path):
    path = write_film(tmp_path / "film.mkv", drifting_frames(12), codec="ffv1")
    whole = path.read_bytes()
    assert probe(path).n_frames == 12
    for share in (0.5, 0.9, 0.95, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BadInput, match=r"film\.mkv: (the film ends after|cannot be read as a film|frame \d+ is)"):
            probe(path)


def test_a_raw_stream_is_named_as_one(tmp_path):
    with av.open(str(tmp_path / "film.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in drifting_frames(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(BadInput, match=r"its 5 frames have no time stamps \(a raw stream\); expected a container"):
        probe(tmp_path / "film.h264")


def test_the_full_check_finds_a_damaged_middle(tmp_path):
    path = write_film(tmp_path / "film.mp4", drifting_frames(60), faststart=True)
    assert check_film(path) == probe(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = np.random.default_rng(1).bytes(600)
    path.write_bytes(content)
    assert probe(path).n_frames == 60
    with pytest.raises(BadInput, match=r"cannot be read as a film|is damaged|can be decoded"):
        check_film(path)
