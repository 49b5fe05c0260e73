"""Several contexts in one pass over the films: the same activations as one by one, each film decoded once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.extraction import loader
from src.extraction.extract import ArraySink, Part, extract_parts, make_settings
from src.extraction.loader import _pictures_and_inputs, make_plan
from src.extraction.workers import can_fork
from src.records import Stimuli
from src.utils import regular_bins
from tests.extraction.test_extraction import assert_same, pictures, run
from tests.extraction.test_loader import by_frame
from tests.models.films import clip_model, drifting_frames, make_films, write_film

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
    decoded, decode = [], loader.decode

    def counted(path, numbers, *rest):
        decoded.append(str(path))
        return decode(path, numbers, *rest)

    monkeypatch.setattr(loader, "decode", counted)
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
    events = list(_pictures_and_inputs(plans, loader._Decoder(plans[0], 1, False)))
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
