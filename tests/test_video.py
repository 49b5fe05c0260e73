from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from src.utils import BadInput
from src.video import decode, frames_at, piece, probe, read_frames, read_image, window_frames
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
    from PIL import Image

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
