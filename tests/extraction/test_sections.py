"""Long films whose sections several processes decode: the activations are those of the whole film."""

import time

import numpy as np
import pytest
from PIL import Image

from src import video
from src.extraction import loader, reads
from src.extraction.extract import ArraySink, Part, extract_parts, make_settings
from src.extraction.loader import make_reader
from src.extraction.plans import Viewer, make_plan
from src.extraction.workers import can_fork
from src.records import Stimuli
from src.utils import BadInput, regular_bins
from src.video import probe
from tests.extraction.coded_films import write_coded
from tests.extraction.test_extraction import assert_same, run
from tests.extraction.test_loader import by_frame
from tests.extraction.test_streams import FPS, recurrent
from tests.models.films import clip_model, frame_model

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")
BINS_MS = regular_bins(6400, 200)
ENTRIES_MS = np.arange(480.0, 6000.0, 480.0)  # of the first film


def stimuli_of(paths) -> Stimuli:
    durations = np.array([probe(path).duration_ms for path in paths])
    return Stimuli("long", tuple(path.stem for path in paths), tuple(paths), durations, ("video",) * len(paths))


@pytest.fixture
def films(tmp_path, monkeypatch) -> Stimuli:
    """Films of 6 s, of variable rate, of 2.4 s, and without an index, of which more than 2 s are long."""
    monkeypatch.setattr(loader, "SECTION_MS", 1000.0)
    options = {"g": "12", "bf": "2"}
    paths = [
        write_coded(tmp_path / "a", n_frames=150, options=options),
        write_coded(tmp_path / "b", n_frames=48, options=options, uneven=True),
        write_coded(tmp_path / "c", n_frames=60, options=options),
        write_coded(tmp_path / "d", n_frames=100, options=options, suffix="ts"),
    ]
    return stimuli_of(paths)


def sections_of(films: Stimuli, model, n_workers: int = 3, **settings) -> list[list[tuple[float, float]]]:
    """Return the limits of the sections of every film."""
    viewer = Viewer(
        model, make_settings(BINS_MS, settings.get("mode", "block"), settings.get("context_ms", 200.0), True)
    )
    groups = make_reader([viewer], films, {i: [0] for i in range(len(films))}, n_workers, True, True).groups
    limits = [[] for _ in films.ids]
    for (section,) in groups:
        limits[section.stimulus].append((section.start_ms, section.end_ms))
    return limits


def test_sections_begin_with_entries(films):
    first, second, third, fourth = sections_of(films, by_frame(frame_model()))
    cuts = [end for _, end in first[:-1]]
    assert len(first) == 6
    np.testing.assert_allclose(np.array(cuts) - 20, ENTRIES_MS[[1, 3, 5, 7, 9]])
    assert [start for start, _ in first] == [-np.inf, *cuts]
    assert first[-1][1] == np.inf
    assert [len(second), len(third), len(fourth)] == [4, 2, 1]  # of the second, one behind each of its entries


def test_a_film_is_one_section_for_one_worker_for_long_windows_and_for_a_carried_state(films):
    model = by_frame(clip_model(25.0))
    assert all(len(each) == 1 for each in sections_of(films, model, n_workers=1))
    assert len(sections_of(films, model, context_ms=480.0)[0]) == 3
    assert len(sections_of(films, model, context_ms=3000.0)[0]) == 1
    assert len(sections_of(films, by_frame(frame_model()), mode="causal")[0]) == 6
    assert len(sections_of(films, recurrent(duration_ms=(0.0, np.inf)), mode="causal", context_ms=np.inf)[0]) == 1


def test_a_section_is_decoded_from_its_entry_on(films, monkeypatch):
    begun, display = [], video._Display

    def noted(path, stream, first, threads=0):
        begun.append(round(float(first.pts * stream.time_base) * 1000))
        return display(path, stream, first, threads)

    monkeypatch.setattr(video, "_Display", noted)
    viewer = Viewer(by_frame(frame_model()), make_settings(BINS_MS, "block", 200.0, True))
    reader = make_reader([viewer], films, {0: [0]}, 2, True, True)
    found = [[item for item in reader(number, np.empty) if item[1] is not None] for number in range(len(reader.groups))]
    assert begun == [0, *ENTRIES_MS[[1, 3, 5, 7, 9]]]
    assert sum(len(array) for items in found for _, array in items) == 149


@pytest.mark.parametrize(("mode", "context_ms"), [("block", 200.0), ("block", 480.0), ("causal", 240.0)])
@pytest.mark.parametrize("make", [frame_model, clip_model])
@pytest.mark.parametrize("declared", [True, False])
def test_activations_are_those_of_whole_films(films, make, mode, context_ms, declared):
    own = make()
    options = {"mode": mode, "context_ms": context_ms, "partial": True}
    whole = run(own, films, BINS_MS, **options)
    assert whole.done.all()
    for n_workers in (2, 5):
        model = by_frame(make()) if declared else own
        assert_same(run(model, films, BINS_MS, processes=True, n_workers=n_workers, **options), whole, 1e-6)


def test_bins_that_cover_a_part_of_the_film_and_a_stretch_between_them(films):
    bins_ms = np.array([[100.0, 700.0], [900.0, 1000.0], [3050.0, 4111.0], [3300.0, 5000.0]])
    whole = run(frame_model(), films, bins_ms)
    assert_same(run(by_frame(frame_model()), films, bins_ms, processes=True, n_workers=3), whole, 1e-6)


def test_several_models_and_contexts_see_the_sections_of_one_film(films):
    def together(processes: bool) -> list[ArraySink]:
        models = [by_frame(frame_model()), by_frame(clip_model(25.0)), recurrent()]
        parts = [Part(model, ArraySink(len(films), len(BINS_MS)), 400.0, 50) for model in models]
        parts.append(Part(models[1], ArraySink(len(films), len(BINS_MS)), 200.0, 50))
        extract_parts(parts, films, BINS_MS, partial=True, processes=processes, n_workers=3)
        return [part.sink for part in parts]

    for found, expected in zip(together(True), together(False), strict=True):
        assert_same(found, expected, 1e-6)


def test_a_model_without_windows_that_are_needed_is_finished_once(films):
    """The bin is covered by the frames of the slower model only in part, and by no whole one."""
    finished = []

    class Sink(ArraySink):
        def finish(self, stimulus, n_valid):
            assert not self.done[stimulus]
            finished.append((stimulus, n_valid))
            super().finish(stimulus, n_valid)

    film = stimuli_of(films.paths[:1])
    models = [by_frame(frame_model(25.0)), by_frame(frame_model(5.0))]
    parts = [Part(model, Sink(1, 1), 400.0, None) for model in models]
    extract_parts(parts, film, np.array([[0.0, 6050.0]]), processes=True, n_workers=3)
    assert sorted(finished) == [(0, 0), (0, 1)]


def test_a_film_that_cannot_be_read_is_named_by_its_worker_after_those_before_it(films):
    films.paths[1].write_bytes(films.paths[1].read_bytes()[:2000])
    assert len(sections_of(films, by_frame(frame_model()))[1]) == 1
    with pytest.raises(BadInput, match="stimulus 'b' of long"):
        run(by_frame(frame_model()), films, BINS_MS, processes=True, n_workers=2)


def test_batches_are_full_where_images_come_in_turns(tmp_path):
    sizes, rng = [], np.random.default_rng(0)
    paths = []
    for i in range(200):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (48, 64 + 8 * (i == 20), 3), dtype=np.uint8)).save(paths[-1])
    images = Stimuli("images", tuple(map(str, range(200))), tuple(paths), np.full(200, 200.0), ("image",) * 200)
    model = by_frame(frame_model())
    model = type(model)(**{**model.__dict__, "layers": {"readout": "C"}})
    model.module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    run(model, images, np.array([[0.0, 200.0]]), processes=True, n_workers=6, batch_size=32)
    assert sorted(sizes)[::-1][:6] == [32] * 6
    assert len(sizes) <= 9


def test_a_state_is_carried_through_films_that_are_read_at_once(films):
    options = {"mode": "causal", "context_ms": np.inf, "partial": True}
    bins_ms = regular_bins(4000, 1000 / FPS)
    whole = run(recurrent(duration_ms=(0.0, np.inf)), films, bins_ms, **options)
    found = run(recurrent(duration_ms=(0.0, np.inf)), films, bins_ms, processes=True, n_workers=2, **options)
    assert_same(found, whole, 1e-6)


def test_the_order_of_results_does_not_depend_on_how_fast_the_processes_are(films, monkeypatch):
    decode = reads.decode

    class Sink(ArraySink):
        def write(self, stimulus, layer, first_bin, values):
            rows.append((stimulus, layer, first_bin, values.tobytes()))

    def rows_with_pauses(first: int) -> list[tuple]:
        def uneven(path, numbers, *rest):
            for number, frame in decode(path, numbers, *rest):
                time.sleep(0.004 if (number + first) % 40 < 10 else 0)
                yield number, frame

        monkeypatch.setattr(reads, "decode", uneven)
        rows.clear()
        sink = Sink(len(films), len(BINS_MS))
        run(by_frame(clip_model()), films, BINS_MS, sink=sink, processes=True, n_workers=3)
        return list(rows)

    rows: list[tuple] = []
    assert rows_with_pauses(0) == rows_with_pauses(20)


def test_windows_that_begin_before_their_section_see_all_of_their_frames(films):
    model = by_frame(clip_model(25.0))
    settings = make_settings(BINS_MS, "causal", 240.0, True)
    plan = make_plan(model, films, 0, settings)
    parts = [plan.within(*limits) for limits in sections_of(films, model, mode="causal", context_ms=240.0)[0]]
    assert np.concatenate([part.needed for part in parts]).tolist() == plan.needed.tolist()
    for part in parts[1:]:
        (first,) = part.needed[:1]
        assert next(iter(reads.reads(part))).inputs[0].pictures == tuple(range(6))
        np.testing.assert_allclose(np.ptp(part.windows_ms[first]), 240.0)
