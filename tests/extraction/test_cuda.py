"""Extraction on GPUs against that on the CPU. Skipped without a GPU."""

import numpy as np
import pytest
import torch

from src.extraction.extract import _Network
from src.records import Stimuli
from src.utils import regular_bins
from tests.extraction.coded_films import write_coded
from tests.extraction.test_extraction import assert_same, run
from tests.extraction.test_loader import by_frame
from tests.models.films import clip_model, frame_model, make_films

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
BINS_MS = regular_bins(2000, 200)


@pytest.fixture
def films(tmp_path):
    """Three films at 25 fps of 1.2, 0.6 and 2 s."""
    return make_films(tmp_path, [30, 15, 50])


@pytest.mark.parametrize("processes", [True, False])
@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize("make", [frame_model, clip_model])
def test_every_gpu_gives_what_the_cpu_gives(films, make, mode, processes):
    expected = run(make(), films, BINS_MS, mode=mode, n_components=30)
    for index in range(torch.cuda.device_count()):
        options = {"device": f"cuda:{index}", "processes": processes, "gpu_video": False}
        assert_same(run(make(), films, BINS_MS, mode=mode, n_components=30, **options), expected, 1e-3)


@pytest.mark.parametrize("make", [frame_model, clip_model])
def test_a_batch_does_not_wait_for_the_gpu(films, make, monkeypatch):
    """From the second batch on: the first one makes the projections."""
    whole, seen = _Network._run, []

    def watched(self, batch):
        torch.cuda.set_sync_debug_mode("error" if seen else "default")
        seen.append(len(batch.rows))
        whole(self, batch)
        torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(_Network, "_run", watched)
    sink = run(make(), films, BINS_MS, device="cuda", batch_size=2, n_components=30, gpu_video=False)
    assert len(seen) > 3
    assert all(np.isfinite(values[2]).all() for values in sink.values.values())


def test_sections_of_a_film_give_what_the_whole_film_gives_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("src.extraction.loader.SECTION_MS", 1000.0)
    path = write_coded(tmp_path / "long", n_frames=150, options={"g": "12", "bf": "2"})
    film = Stimuli("long", ("long",), (path,), np.array([6000.0]), ("video",))
    for model in (by_frame(frame_model()), by_frame(clip_model())):
        expected = run(model, film, BINS_MS, n_components=30, context_ms=240.0)
        options = {"device": "cuda", "gpu_video": False, "n_workers": 3}
        assert_same(run(model, film, BINS_MS, n_components=30, context_ms=240.0, **options), expected, 1e-3)
