import numpy as np
import pytest
import torch
from PIL import Image

from src.extraction import loader
from src.extraction.assembly import Assembler
from src.extraction.extract import make_settings
from src.extraction.loader import load_packs, make_reader
from src.extraction.plans import Viewer, make_plan
from src.extraction.reads import DistinctInput, reads, same_frame
from src.extraction.transfer import Transfer
from src.extraction.workers import Item, can_fork
from src.models.preprocessing import FramePreprocessing
from src.records import Stimuli
from src.utils import BadInput, regular_bins
from tests.extraction.test_extraction import assert_same, run
from tests.models.films import as_pixels, clip_model, drifting_frames, frame_model, make_films, write_film

forked = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")
BINS_MS = regular_bins(2000, 200)


def scaled(frames: torch.Tensor) -> torch.Tensor:
    """Images (n, 3, height, width) in [-1, 1], on the device of the frames."""
    return frames.float() / 127.5 - 1


def by_frame(model):
    """The model with the same preprocessing, declared as one of single frames."""
    axes = "CTHW" if model.kind == "video" else "CHW"
    return type(model)(**{**model.__dict__, "preprocess": FramePreprocessing(scaled, axes)})


@pytest.fixture
def films(tmp_path) -> Stimuli:
    """Three films at 25 fps of 1.2, 0.6 and 2 s."""
    return make_films(tmp_path, [30, 15, 50])


@forked
@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
@pytest.mark.parametrize("declared", [True, False])
def test_processes_give_what_threads_give(films, make, mode, declared):
    """Declared preprocessing runs where the network is; any other in the processes."""
    own = make()
    other = by_frame(make()) if declared else make()
    options = {"mode": mode, "context_ms": 480.0}
    threads = run(own, films, BINS_MS, **options)
    for n_workers in (1, 2):
        assert_same(run(other, films, BINS_MS, processes=True, n_workers=n_workers, **options), threads, 1e-6)


@pytest.mark.parametrize("mode", ["block", "causal"])
def test_declared_preprocessing_treats_every_picture_once(films, mode):
    seen = []

    def counted(frames):
        seen.append(len(frames))
        return scaled(frames)

    model = clip_model(25.0)
    declared = type(model)(**{**model.__dict__, "preprocess": FramePreprocessing(counted, "CTHW")})
    sink = run(declared, films, BINS_MS, mode=mode, context_ms=400.0)
    assert sum(seen) == 29 + 14 + 49
    assert_same(sink, run(model, films, BINS_MS, mode=mode, context_ms=400.0), 1e-6)


@forked
def test_images_of_several_sizes_through_processes(tmp_path):
    paths = tuple(tmp_path / f"{i}.png" for i in range(40))
    for i, path in enumerate(paths):
        Image.fromarray(drifting_frames(1, 48, 64 if i % 3 else 72, seed=i)[0]).save(path)
    stimuli = Stimuli("images", tuple(map(str, range(40))), paths, np.full(40, 100.0), ("image",) * 40)
    model = by_frame(frame_model())
    model = type(model)(**{**model.__dict__, "layers": {"readout": "C"}})
    bins_ms = np.array([[0, 100.0]])
    sinks = [run(model, stimuli, bins_ms, processes=processes, n_workers=3) for processes in (True, False)]
    assert_same(*sinks, 1e-6)
    with torch.inference_mode():
        expected = model.module(as_pixels(np.array(Image.open(paths[3]))[None])).numpy()
    np.testing.assert_allclose(sinks[0].values["readout"][3], expected, atol=1e-6)


@forked
def test_frames_too_large_for_the_shared_memory_are_read(films, monkeypatch):
    monkeypatch.setattr("src.extraction.workers.PART_BYTES", 10_000)
    expected = run(by_frame(clip_model()), films, BINS_MS, context_ms=400.0)
    assert_same(run(by_frame(clip_model()), films, BINS_MS, context_ms=400.0, processes=True), expected, 1e-6)


@forked
def test_little_shared_memory_delays_but_changes_nothing(films, monkeypatch):
    monkeypatch.setattr("src.extraction.workers.PART_BYTES", 2 * 16 * 48 * 64 * 3)
    expected = run(by_frame(frame_model()), films, BINS_MS)
    assert_same(run(by_frame(frame_model()), films, BINS_MS, processes=True, n_workers=3), expected, 1e-6)


@forked
def test_errors_in_a_process_name_the_stimulus(films):
    broken = films.paths[1]
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(BadInput, match=rf"stimulus 'films-1' of films: .*{broken.name}: cannot be read"):
        run(frame_model(), films, BINS_MS, processes=True)


@forked
def test_an_error_in_a_users_preprocessing_is_raised(films):
    def broken(frames):
        raise ZeroDivisionError("in preprocess")

    with pytest.raises(ZeroDivisionError, match="in preprocess"):
        run(frame_model(preprocess=broken), films, BINS_MS, processes=True)


def test_a_few_images_are_shared_among_workers(tmp_path):
    stimuli = make_films(tmp_path, [5])
    path = tmp_path / "p.png"
    Image.fromarray(drifting_frames(1)[0]).save(path)
    kinds = ("image",) * 20 + ("video",) + ("image",) * 5
    paths = tuple(stimuli.paths[0] if kind == "video" else path for kind in kinds)
    mixed = Stimuli("mixed", tuple(map(str, range(26))), paths, np.full(26, 200.0), kinds)
    settings = make_settings(BINS_MS, "block", 400.0, True)
    reader = make_reader([Viewer(frame_model(), settings)], mixed, {i: [0] for i in range(26)}, 2, True)
    groups = [[section.stimulus for section in group] for group in reader.groups]
    assert [index for group in groups for index in group] == list(range(26))
    assert [20] in groups
    assert max(map(len, groups)) == 6


def test_a_read_is_limited_in_pictures_and_bytes(films, monkeypatch):
    plan = make_plan(frame_model(), films, 2, make_settings(BINS_MS, "block", 400.0, False))
    sizes = [len(read.pictures) for read in reads(plan)]
    assert sizes == [16, 16, 16, 1]
    monkeypatch.setattr("src.extraction.reads.READ_BYTES", 5 * 48 * 64 * 3)
    sizes = [len(read.pictures) for read in reads(plan)]
    assert sizes == [5] * 9 + [4]
    inputs = [each for read in reads(plan) for each in read.inputs]
    assert [each.pictures for each in inputs] == [(i,) for i in range(49)]
    assert [each.last for each in inputs] == [*range(48), 49]


def test_an_assembler_forgets_pictures_that_no_later_input_shows():
    assembler = Assembler(by_frame(clip_model()), plans=[None])
    inputs = [DistinctInput(i, i, tuple(range(i, i + 4)), i) for i in range(12)]
    frames = torch.from_numpy(drifting_frames(16))
    packs = list(assembler.add(frames[:10], inputs[:7])) + list(assembler.add(frames[10:], inputs[7:]))
    assert len(assembler._parts[0]) == 5
    rows = torch.cat([pack.tensor for pack in packs])
    expected = torch.stack([scaled(frames[i : i + 4].permute(3, 0, 1, 2)) for i in range(12)])
    torch.testing.assert_close(rows, expected)


def test_equal_frames_are_found():
    frame = drifting_frames(1)[0]
    assert same_frame(frame, frame.copy())
    for row in range(48):
        other = frame.copy()
        other[row, 5, 1] ^= 1
        assert not same_frame(frame, other)


class LateCopies(Transfer):
    """Copies to a made-up device, of which each is done when the next but one is started."""

    class Event:
        def __init__(self, done):
            self.queries, self.done = 0, done

        def query(self):
            self.queries += 1
            return self.queries > 2

        def synchronize(self):
            self.done.append(self)

    def __init__(self, device, memory):
        super().__init__(device, memory)
        self.waited = []

    def __call__(self, item: Item) -> torch.Tensor:
        copy = torch.from_numpy(item.array).clone()
        self._running.append((self.Event(self.waited), item, copy))
        self.release_copied()
        return copy


@forked
@pytest.mark.parametrize("part_bytes", [64 << 20, 2 * 16 * 48 * 64 * 3, 3 * 48 * 64 * 3])
def test_memory_of_copies_that_are_not_done_is_kept(films, monkeypatch, part_bytes):
    monkeypatch.setattr("src.extraction.workers.PART_BYTES", part_bytes)
    expected = run(by_frame(frame_model()), films, BINS_MS)
    monkeypatch.setattr(loader, "Transfer", LateCopies)
    assert_same(run(by_frame(frame_model()), films, BINS_MS, processes=True, n_workers=2), expected, 1e-6)


def test_a_frozen_film_is_one_input_through_processes(tmp_path):
    path = write_film(tmp_path / "f.mp4", drifting_frames(1).repeat(50, axis=0))
    frozen = Stimuli("frozen", ("f",), (path,), np.array([2000.0]), ("video",))
    settings = make_settings(BINS_MS, "block", 400.0, False)
    for processes in (False, True):
        items = list(load_packs([Viewer(by_frame(frame_model()), settings)], frozen, {0: [0]}, 1, processes=processes))
        assert sum(len(pack.spans) for pack in items[1:]) <= 10
