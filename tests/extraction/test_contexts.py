"""Several contexts and models in one pass over the films: what each gives alone, and each film decoded once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.extraction import reads
from src.extraction.extract import ArraySink, Part, extract_parts, make_settings
from src.extraction.plans import make_plan
from src.extraction.reads import _pictures_and_inputs
from src.extraction.workers import can_fork
from src.models.preprocessing import FramePreprocessing
from src.records import Stimuli
from src.utils import regular_bins
from tests.extraction.test_extraction import assert_same, pictures, run
from tests.extraction.test_loader import by_frame, scaled
from tests.models.films import clip_model, drifting_frames, frame_model, make_films, write_film

BINS_MS = regular_bins(2000, 200)
CONTEXTS_MS = (160.0, 400.0, 1200.0)


@pytest.fixture
def films(tmp_path) -> Stimuli:
    """Three films at 25 fps, of which one stands still in its middle, and a picture."""
    found = make_films(tmp_path, [30, 15, 50])
    frames = drifting_frames(40, seed=5)
    frames[8:30] = frames[8]
    still = pictures(tmp_path, 1, 1000.0)
    paths = (*found.paths, write_film(tmp_path / "still.mp4", frames), *still.paths)
    durations = np.array([*found.duration_ms, 1600.0, 1000.0])
    return Stimuli("mixed", tuple("abcde"), paths, durations, ("video",) * 4 + ("image",))


def together(model, stimuli, sinks=None, **options):
    sinks = sinks or [ArraySink(len(stimuli), len(BINS_MS)) for _ in CONTEXTS_MS]
    parts = [Part(model, sink, context_ms, None) for sink, context_ms in zip(sinks, CONTEXTS_MS, strict=True)]
    extract_parts(parts, stimuli, BINS_MS, **options)
    return sinks


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    "processes", [False, pytest.param(True, marks=pytest.mark.skipif(not can_fork(), reason="no fork"))]
)
def test_several_contexts_give_what_each_gives_alone(films, mode, declared, processes):
    model = by_frame(clip_model()) if declared else clip_model()
    found = together(model, films, mode=mode, processes=processes, n_workers=2)
    for context_ms, sink in zip(CONTEXTS_MS, found, strict=True):
        assert sink.done.all()
        assert_same(sink, run(clip_model(), films, BINS_MS, mode=mode, context_ms=context_ms), 1e-6)


@pytest.mark.parametrize("mode", ["block", "causal"])
def test_each_film_is_decoded_once_for_all_contexts(films, monkeypatch, mode):
    decoded, decode = [], reads.decode

    def counted(path, numbers, *rest):
        decoded.append(str(path))
        return decode(path, numbers, *rest)

    monkeypatch.setattr(reads, "decode", counted)
    together(clip_model(), films, mode=mode)
    assert sorted(decoded) == sorted(map(str, films.paths[:4]))


def test_contexts_that_are_done_are_skipped(films):
    sinks = [ArraySink(len(films), len(BINS_MS)) for _ in CONTEXTS_MS]
    sinks[0].done[:] = True
    sinks[1].done[[0, 3]] = True
    together(clip_model(), films, sinks)
    alone = run(clip_model(), films, BINS_MS, context_ms=CONTEXTS_MS[1])
    assert not sinks[0].values
    for layer, values in sinks[1].values.items():
        assert np.isnan(values[[0, 3]]).all()
        np.testing.assert_allclose(values[[1, 2, 4]], alone.values[layer][[1, 2, 4]], atol=1e-6)
    assert sinks[2].done.all()


def with_rate(model, fps):
    return replace(model, fps=fps)


def of_models():
    """A model of frames, and two of clips at other rates, of which one declares its preprocessing."""
    return [frame_model(), by_frame(clip_model()), with_rate(clip_model(), 5.0)]


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize(
    "processes", [False, pytest.param(True, marks=pytest.mark.skipif(not can_fork(), reason="no fork"))]
)
@pytest.mark.parametrize("declared", [True, False])
def test_several_models_give_what_each_gives_alone(films, mode, processes, declared):
    """Whether their preprocessing runs in the workers, on the device, or in both."""
    networks = [by_frame(one) for one in of_models()] if declared else of_models()
    sinks = [ArraySink(len(films), len(BINS_MS)) for _ in networks]
    parts = [Part(network, sink, 400.0, None) for network, sink in zip(networks, sinks, strict=True)]
    extract_parts(parts, films, BINS_MS, mode=mode, processes=processes, n_workers=2)
    for network, sink in zip(of_models(), sinks, strict=True):
        assert sink.done.all()
        assert_same(sink, run(network, films, BINS_MS, mode=mode, context_ms=400.0), 1e-6)


def test_each_film_is_decoded_once_for_all_models_and_only_the_frames_they_see(films, monkeypatch):
    decoded, decode = [], reads.decode

    def counted(path, numbers, *rest):
        decoded.append((str(path), list(numbers)))
        return decode(path, numbers, *rest)

    monkeypatch.setattr(reads, "decode", counted)
    networks = [with_rate(clip_model(), 10.0), with_rate(clip_model(), 5.0)]
    parts = [Part(network, ArraySink(len(films), len(BINS_MS)), 400.0, None) for network in networks]
    extract_parts(parts, films, BINS_MS, n_workers=1)
    assert sorted(path for path, _ in decoded) == sorted(map(str, films.paths[:4]))
    assert len(decoded[2][1]) == 20, "of 50 frames at 25 fps those that are seen at 10 fps, or at 5"


def test_a_model_does_not_preprocess_pictures_that_only_others_see(films):
    seen = []

    def counted(frames):
        seen.append(len(frames))
        return scaled(frames)

    slow, fast = with_rate(clip_model(), 5.0), by_frame(frame_model())
    slow = replace(slow, preprocess=FramePreprocessing(counted, "CTHW"))
    sinks = [ArraySink(len(films), len(BINS_MS)) for _ in range(2)]
    extract_parts([Part(m, s, 400.0, None) for m, s in zip((slow, fast), sinks, strict=True)], films, BINS_MS)
    alone, seen[:] = sum(seen), []
    run(slow, films, BINS_MS, context_ms=400.0)
    assert alone == sum(seen)


@settings(max_examples=25, deadline=None)
@given(
    contexts=st.lists(st.sampled_from([80.0, 200.0, 360.0, 1000.0]), min_size=1, max_size=3, unique=True),
    changes=st.lists(st.booleans(), min_size=24, max_size=24),
    mode=st.sampled_from(["block", "causal"]),
)
def test_no_input_shows_a_picture_that_was_forgotten(tmp_path_factory, contexts, changes, mode):
    """The oldest picture of an input is no newer than those of all inputs behind it."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    frames = drifting_frames(24)
    for k, changed in enumerate(changes[1:], start=1):
        frames[k] = frames[k] if changed else frames[k - 1]
    write_film(path, frames, codec="ffv1")
    stimuli = Stimuli("film", ("film",), (path,), np.full(1, 960.0), ("video",))
    bins_ms = regular_bins(960.0, 80.0)
    plans = [make_plan(clip_model(), stimuli, 0, make_settings(bins_ms, mode, one, True)) for one in contexts]
    events = list(_pictures_and_inputs(plans, reads.Decoder(plans[0])))
    oldest, n_pictures, windows = 0, 0, [[] for _ in plans]
    for event in events:
        if isinstance(event, tuple):
            n_pictures += 1
            continue
        assert min(event.pictures) >= oldest
        assert max(event.pictures) < n_pictures
        assert event.oldest >= oldest, "memory is given back in order"
        oldest = event.oldest
        windows[event.plan] += range(event.first, event.last + 1)
    assert windows == [plan.needed.tolist() for plan in plans]
