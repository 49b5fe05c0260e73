import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.films import write_lossless
from src.extraction import reads
from src.extraction.assembly import Pack
from src.extraction.batching import BATCH_BYTES, Batcher
from src.extraction.extract import ArraySink, extract, feature_sizes
from src.extraction.projection import make_projection
from src.records import Stimuli
from src.utils import BadInput, regular_bins
from src.video import VideoInfo, decode
from tests.models.films import as_pixels, clip_model, drifting_frames, frame_model, make_films, write_film

CLIPS = sorted((Path(__file__).resolve().parents[2] / "../shared/realdata/kinetics400/videos").glob("*.*"))


def run(model, stimuli, bins_ms, sink=None, **options) -> ArraySink:
    sink = ArraySink(len(stimuli), len(bins_ms)) if sink is None else sink
    extract(model, stimuli, bins_ms, sink, **{"n_components": None, **options})
    return sink


def assert_same(sink: ArraySink, other: ArraySink, tolerance: float = 1e-5) -> None:
    np.testing.assert_array_equal(sink.n_valid, other.n_valid)
    for layer in other.values:
        np.testing.assert_allclose(sink.values[layer], other.values[layer], atol=tolerance, err_msg=layer)


def count_inputs(model) -> list[int]:
    """The batch sizes that the network is given, one entry per forward pass, as they come."""
    seen = []
    model.module.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    return seen


def pictures(folder: Path, n: int, shown_ms: float) -> Stimuli:
    paths = tuple(folder / f"{i}.png" for i in range(n))
    for i, path in enumerate(paths):
        Image.fromarray(drifting_frames(1, seed=i)[0]).save(path)
    return Stimuli("pictures", tuple(map(str, range(n))), paths, np.full(n, shown_ms), ("image",) * n)


def film_frames(path: Path, n_frames: int) -> np.ndarray:
    return np.stack([frame for _, frame in decode(path, range(n_frames), VideoInfo(0, n_frames, 1, 0, 0))])


@pytest.fixture
def films(tmp_path) -> Stimuli:
    """Three films at 25 fps of 1.2, 0.6 and 2 s."""
    return make_films(tmp_path, [30, 15, 50])


BINS_MS = regular_bins(2000, 200)


def test_static_model_is_the_mean_over_frames(films):
    model, sink = frame_model(), run(frame_model(), films, BINS_MS)
    np.testing.assert_array_equal(sink.n_valid, [6, 3, 10])
    with torch.inference_mode():
        expected = model.module(as_pixels(film_frames(films.paths[0], 30))).numpy()
    expected[29] = expected[28]
    np.testing.assert_allclose(sink.values["readout"][0, :6], expected.reshape(6, 5, -1).mean(axis=1), atol=1e-6)
    assert np.isnan(sink.values["readout"][0, 6:]).all()
    assert not np.isnan(sink.values["readout"][2]).any()


@pytest.mark.parametrize("make", [frame_model, clip_model])
@pytest.mark.parametrize("mode", ["block", "causal"])
def test_a_piece_of_a_video_equals_a_video_cut_there(tmp_path, make, mode):
    frames, names, lasts = drifting_frames(60), ("whole.mkv", "cut.mkv"), np.array([1000.0])
    whole, cut = (write_lossless(tmp_path / n, f, 25) for n, f in zip(names, (frames, frames[10:35]), strict=True))
    piece = Stimuli("film", ("a",), (whole,), lasts, ("video",), start_ms=np.array([400.0]))
    film = Stimuli("film", ("a",), (cut,), lasts, ("video",))
    assert len({piece.digest, film.digest, replace(piece, start_ms=np.array([440.0])).digest}) == 3
    bins = regular_bins(800, 200)
    assert_same(*(run(make(), stimuli, bins, mode=mode, context_ms=400.0) for stimuli in (piece, film)), 0)


def test_video_model_is_the_mean_over_steps(films):
    model, sink = clip_model(25.0), run(clip_model(25.0), films, BINS_MS, context_ms=400.0)
    frames = film_frames(films.paths[2], 50)
    with torch.inference_mode():
        early = model.module.early(model.preprocess(frames[10:20])[None])[0]
    expected = early.transpose(0, 1).flatten(1).reshape(2, 5, -1).mean(dim=1)
    np.testing.assert_allclose(sink.values["early"][2, 2:4], expected, atol=1e-5)


def test_causal_equals_block_for_static_models_and_costs_the_same(films):
    models = frame_model(), frame_model()
    seen = [count_inputs(model) for model in models]
    assert_same(run(models[0], films, BINS_MS, mode="causal"), run(models[1], films, BINS_MS, mode="block"), 0)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
@pytest.mark.parametrize(("batch_size", "n_workers"), [(1, 1), (3, 4), (64, 2)])
def test_batches_and_workers_change_nothing(films, mode, make, batch_size, n_workers):
    options = {"mode": mode, "context_ms": 480.0}
    one = run(make(), films, BINS_MS, batch_size=batch_size, n_workers=n_workers, **options)
    assert_same(one, run(make(), films, BINS_MS, **options))


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
@pytest.mark.parametrize("width_ms", [10.0, 200.0])
def test_projection_before_or_after_binning_is_the_same(films, mode, make, width_ms):
    bins_ms = regular_bins(1000, width_ms)
    full = run(make(), films, bins_ms, mode=mode)
    projected = run(make(), films, bins_ms, mode=mode, n_components=50)
    for layer, values in full.values.items():
        projection = make_projection(layer, values.shape[2], 50)
        rows = torch.from_numpy(values).flatten(0, 1)
        expected = rows if projection is None else projection(rows)
        np.testing.assert_allclose(projected.values[layer], expected.unflatten(0, values.shape[:2]), atol=1e-5)


def test_two_runs_are_identical_to_the_last_bit(films):
    assert_same(*(run(clip_model(), films, BINS_MS, mode="causal", n_components=50) for _ in range(2)), 0)


def test_a_limit_or_an_open_end_is_the_mean_over_the_covered_part(films):
    whole = run(frame_model(), films, np.array([[0, np.inf]]), partial=True)
    limited = run(frame_model(), films, np.array([[0, 1000.0]]), partial=True)
    fine = run(frame_model(), films, regular_bins(2000, 40.0))
    assert whole.n_valid.tolist() == limited.n_valid.tolist() == [1, 1, 1]
    for i, (n, n_limited) in enumerate([(30, 25), (15, 15), (50, 25)]):
        frames = fine.values["early"][i]
        np.testing.assert_allclose(whole.values["early"][i, 0], frames[:n].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(limited.values["early"][i, 0], frames[:n_limited].mean(axis=0), atol=1e-5)


def test_windows_after_the_last_bin_are_not_computed(films):
    model = clip_model(25.0)
    seen = count_inputs(model)
    run(model, films, np.array([[0, 400.0]]), partial=True, context_ms=400.0)
    assert sum(seen) == 3


def test_a_video_shorter_than_one_bin_has_no_valid_bin(films):
    model = frame_model()
    seen = count_inputs(model)
    sink = run(model, films, regular_bins(1000, 1000.0))
    assert sink.n_valid.tolist() == [1, 0, 1]
    assert sink.done.all()
    assert sum(seen) <= 52


def test_distinct_frames_are_computed_once(tmp_path):
    slow = make_films(tmp_path, [24], fps=12, name="slow")
    frozen = Stimuli(
        "frozen", ("f",), (write_film(tmp_path / "f.mp4", drifting_frames(1).repeat(50, axis=0)),), [2000.0], ("video",)
    )
    for stimuli, most in ((slow, 23), (frozen, 10), (pictures(tmp_path, 2, 1500.0), 2)):
        model = frame_model()
        seen = count_inputs(model)
        sink = run(model, stimuli, BINS_MS)
        assert 1 <= sum(seen) <= most
        assert sink.done.all()


@pytest.mark.parametrize("mode", ["block", "causal"])
def test_a_still_image_is_a_still_video(tmp_path, mode):
    stimuli, model = pictures(tmp_path, 2, 1600.0), clip_model(25.0)
    seen = count_inputs(model)
    sink = run(model, stimuli, BINS_MS, mode=mode, context_ms=400.0)
    assert sum(seen) == 2 * {"block": 1, "causal": 10}[mode]
    assert sink.n_valid.tolist() == [8, 8]
    with torch.inference_mode():
        clip = model.preprocess(drifting_frames(1, seed=1).repeat(10, axis=0))[None]
        expected = model.module(clip)[0].numpy()
    np.testing.assert_allclose(sink.values["readout"][1, 2:8], np.tile(expected, (6, 1)), atol=1e-5)


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
def test_each_video_is_decoded_once(films, monkeypatch, mode, make):
    opened = []
    monkeypatch.setattr(reads, "decode", lambda path, *rest: opened.append(path) or decode(path, *rest))
    run(make(), films, BINS_MS, mode=mode, context_ms=400.0)
    assert sorted(opened) == sorted(map(str, films.paths))


def test_bins_are_written_during_the_video(tmp_path):
    stimuli, model = make_films(tmp_path, [200]), frame_model()
    events = []
    model.module.register_forward_pre_hook(lambda *_: events.append("forward"))

    class Noting(ArraySink):
        def write(self, *arguments):
            events.append("write")
            super().write(*arguments)

    run(model, stimuli, regular_bins(8000, 400.0), Noting(1, 20), batch_size=10)
    first_write, last_forward = events.index("write"), len(events) - 1 - events[::-1].index("forward")
    assert events.count("forward") == 20
    assert events[:first_write].count("forward") <= 3
    assert "write" in events[last_forward:]


def test_done_stimuli_are_skipped(films):
    model, sink = frame_model(), ArraySink(3, 10)
    sink.done[[0, 2]] = True
    seen = count_inputs(model)
    run(model, films, BINS_MS, sink)
    assert 0 < sum(seen) <= 15
    assert np.isnan(sink.values["early"][[0, 2]]).all()
    assert sink.n_valid.tolist() == [0, 3, 0]


def test_stopped_and_resumed_gives_the_same(films):
    sink, calls = ArraySink(3, 10), []
    before = threading.active_count()
    run(
        clip_model(),
        films,
        BINS_MS,
        sink,
        batch_size=1,
        context_ms=400.0,
        stop=lambda: len(calls.append(0) or calls) == 4,
    )
    assert sink.done.tolist() == [True, False, False]
    assert threading.active_count() == before
    run(clip_model(), films, BINS_MS, sink, context_ms=400.0)
    assert sink.done.all()
    assert_same(sink, run(clip_model(), films, BINS_MS, context_ms=400.0))


def test_larger_inputs_come_in_smaller_batches():
    """Windows that grow, as those of causal inference at the start of a film."""
    batcher, largest = Batcher(None, torch.device("cpu")), {}
    for n_frames in (1, 2, 100, 1, 100):
        rows = torch.zeros(20, 3, n_frames, 112, 112)
        plan = SimpleNamespace(stimulus=0, streamed=False)
        for batch in batcher.add(Pack(plan, [(0, 0)] * len(rows), rows)):
            largest[n_frames] = max(largest.get(n_frames, 0), batch.tensor.nbytes)
            assert len(batch.rows) == 1 or batch.tensor.nbytes <= BATCH_BYTES["cpu"]
    assert largest[100] == 3 * 100 * 112 * 112 * 4


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_batches_are_halved_where_memory_runs_out(films, error, batch_size):
    model, tried = frame_model(), []

    def small_only(_module, inputs):
        tried.append(len(inputs[0]))
        if len(inputs[0]) > 3:
            raise error

    model.module.readout.register_forward_pre_hook(lambda module, inputs: small_only(module, inputs))
    sink = run(model, films, BINS_MS, batch_size=batch_size)
    assert_same(sink, run(frame_model(), films, BINS_MS))
    assert max(tried) > 3
    too_large = [n for n in tried if n > 3]
    assert tried[: len(too_large)] == too_large


def test_a_window_too_large_for_the_memory_is_named(films):
    model = clip_model()

    def never(*_):
        raise RuntimeError("CUDA out of memory")

    model.module.register_forward_pre_hook(never)
    with pytest.raises(BadInput, match=r"stimulus 'films-0' of films: one window.*does not fit into the memory of cpu"):
        run(model, films, BINS_MS)


def test_other_errors_are_raised_and_remove_hooks_and_threads(films):
    model, before = clip_model(), threading.active_count()

    def broken(*_):
        raise RuntimeError("something else")

    handle = model.module.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(model, films, BINS_MS)
    handle.remove()
    assert all(not module._forward_hooks for module in model.module.modules())
    assert threading.active_count() == before


def test_a_damaged_video_is_reported_with_its_stimulus(films, tmp_path):
    broken = films.paths[1]
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(BadInput, match=rf"stimulus 'films-1' of films: .*{broken.name}: cannot be read"):
        run(frame_model(), films, BINS_MS)
    (tmp_path / "no.png").write_bytes(b"no picture")
    stimuli = Stimuli("pictures", ("p",), (tmp_path / "no.png",), np.array([100.0]), ("image",))
    with pytest.raises(BadInput, match=r"stimulus 'p' of pictures: .*no\.png: cannot be read as an image"):
        run(frame_model(), stimuli, np.array([[0, 100.0]]))


def test_progress_counts_seconds_of_video(films):
    reports = []
    run(frame_model(), films, BINS_MS, batch_size=8, progress=lambda *report: reports.append(report))
    done, total, names = zip(*reports, strict=True)
    assert total == pytest.approx([3.8] * len(reports))
    assert list(done) == sorted(done)
    assert done[-1] == pytest.approx(3.8)
    assert set(names) <= set(films.ids)


def test_sizes(films):
    assert feature_sizes(frame_model(), frame_size=(48, 64)) == {"early": 4 * 12 * 16, "readout": 5}
    model = clip_model(25.0)
    assert feature_sizes(model, frame_size=(48, 64)) == {"early": 4 * 12 * 16, "late": 6 * 6 * 8, "readout": 5}


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 1e-6), ("bf16", 0.03)])
def test_precision(films, precision, tolerance):
    exact, rough = run(frame_model(), films, BINS_MS), run(frame_model(), films, BINS_MS, precision=precision)
    assert rough.values["early"].dtype == np.float32
    assert_same(rough, exact, tolerance)


def overflowing(exact: bool = False):
    """A model whose layer "early" exceeds the largest number of fp16, with `exact` that of fp32 too."""
    model = frame_model()
    with torch.no_grad():
        model.module.early.weight.mul_(1e38 if exact else 1e6)
        model.module.early.bias.fill_(3e38 if exact else 0)
    return model


def test_layers_that_overflow_in_half_precision_are_computed_in_fp32(films):
    notices = []
    exact = run(overflowing(), films, BINS_MS)
    half = run(overflowing(), films, BINS_MS, precision="fp16", batch_size=10, notice=notices.append)
    assert notices == ["frame-net: early, readout not finite in fp16; computed in fp32 instead"]
    assert_same(half, exact, 1.0)
    assert np.abs(exact.values["early"][0, 0]).max() > 65504
    run(frame_model(), films, BINS_MS, precision="fp16", notice=pytest.fail)


@pytest.mark.parametrize("make", [frame_model, clip_model])
def test_layers_that_overflow_are_computed_in_halves_where_memory_runs_out(films, make):
    def model(most: int):
        made = make()
        with torch.no_grad():
            made.module.early.weight.mul_(1e6)
            made.module.early.bias.fill_(0)

        def small_only(_module, inputs):
            if not torch.is_autocast_enabled("cpu"):
                tried.append(len(inputs[0]))
                if len(inputs[0]) > most:
                    raise RuntimeError("CUDA out of memory")

        made.module.early.register_forward_pre_hook(small_only)
        return made

    tried: list[int] = []
    options = {"context_ms": 240.0, "precision": "fp16", "batch_size": 7}
    expected = run(model(most=7), films, BINS_MS, **options)
    assert max(tried) == 7
    assert_same(run(model(most=2), films, BINS_MS, **options), expected, 1.0)


def test_layers_that_overflow_in_fp32_stay_so(films):
    model, one_bin = overflowing(exact=True), np.array([[0, 400.0]])
    sinks = [run(model, films, one_bin, precision=precision) for precision in ("fp32", "fp16")]
    for sink in sinks:
        assert not np.isfinite(sink.values["early"]).all()


def test_a_network_that_requires_channels_first_is_run_with_them(films):
    class Viewing(torch.nn.Module):
        def forward(self, maps):
            return maps.view(len(maps), -1)

    model = frame_model()
    model.module.early = torch.nn.Sequential(model.module.early, Viewing(), torch.nn.Unflatten(1, (4, 12, 16)))
    sink = run(replaced(model, layers={"early": "CHW"}), films, BINS_MS)
    np.testing.assert_allclose(sink.values["early"], run(frame_model(), films, BINS_MS).values["early"], atol=1e-5)


def replaced(model, **fields):
    return type(model)(**{**model.__dict__, **fields})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"layers": {"early": "HW"}}, {}, "layer early: output is .*expected a tensor of 3 axes"),
        ({"process_output": lambda _layer, output: output[:1]}, {}, "1 outputs for .* inputs; expected the batch"),
        ({"preprocess": lambda frames: as_pixels(frames)[:1]}, {}, "preprocess made 1 rows of 16 frames"),
        ({"module": torch.nn.Identity().train(), "layers": {"": "CHW"}}, {}, "training mode"),
        ({}, {"mode": "blocks"}, "inference mode 'blocks'; expected block or causal"),
        ({}, {"precision": "fp8"}, "precision 'fp8'; expected one of fp32"),
        ({}, {"batch_size": 0}, "batch size 0"),
        ({}, {"context_ms": 0}, "context of 0 ms"),
        ({}, {"bins_ms": np.array([[100.0, 200], [0, 100]])}, "in increasing order"),
        ({}, {"bins_ms": np.array([[-100.0, 0]])}, "none before 0"),
        ({}, {"bins_ms": np.zeros((0, 2))}, "at least one bin"),
    ],
)
def test_arguments_are_checked(films, change, options, message):
    options = {"bins_ms": BINS_MS, **options}
    with pytest.raises(BadInput, match=message):
        run(replaced(frame_model(), **change), films, **options)


def test_a_layer_whose_size_changes_is_named(tmp_path):
    paths = tuple(write_film(tmp_path / f"{h}.mp4", drifting_frames(10, height=h)) for h in (48, 64))
    stimuli = Stimuli("sizes", ("a", "b"), paths, np.array([400.0, 400.0]), ("video", "video"))
    with pytest.raises(BadInput, match="layer early: 1024 features, 768 before; expected one size"):
        run(frame_model(), stimuli, np.array([[0, 400.0]]))


@pytest.mark.skipif(not CLIPS, reason="the real clips are not beside the checkout")
@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
def test_real_clips(mode, make):
    def shrink(frames):
        return frames[:, ::8, ::8][:, :30, :40]

    model = make()
    model = replaced(model, preprocess=lambda frames: make().preprocess(shrink(frames)))
    stimuli = Stimuli(
        "clips", tuple(p.name for p in CLIPS), tuple(CLIPS), np.full(len(CLIPS), 1e4), ("video",) * len(CLIPS)
    )
    sink = run(model, stimuli, regular_bins(10_000, 1000.0), mode=mode, context_ms=640.0, n_components=100)
    assert sink.n_valid.tolist() == [10, 6, 10]
    for values in sink.values.values():
        assert np.isfinite(values[0]).all()
        assert np.ptp(values[0], axis=0).max() > 0
