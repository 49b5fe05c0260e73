"""Ours equals Brain-Score's BlockInferencer and CausalInferencer on the same model, films and bins, projection off."""

import numpy as np
import pytest

from src.extraction.extract import ArraySink, extract
from src.models.spec import Model
from src.utils import regular_bins
from tests.models.films import clip_model, frame_model, make_films

pytest.importorskip("brainscore_vision")


def brainscore(
    model: Model, stimuli, bins_ms: np.ndarray, mode: str, context_ms: float, dtype
) -> dict[str, np.ndarray]:
    """{layer: (n_stimuli, n_bins, n_features)} by Brain-Score's wrapper, film by film (its bins follow the longest)."""
    from brainscore_vision.model_helpers.activations.temporal.core.inferencer.video import (
        BlockInferencer,
        CausalInferencer,
    )
    from brainscore_vision.model_helpers.activations.temporal.model import PytorchWrapper
    from brainscore_vision.model_helpers.brain_transformation.temporal import assembly_time_align

    static = model.kind == "image"
    frames = (1, 1) if static else model.num_frames
    wrapper = PytorchWrapper(
        "reference",
        model.module,
        lambda film: model.preprocess(film.to_numpy())[0] if static else model.preprocess(film.to_numpy()),
        inferencer_cls={"block": BlockInferencer, "causal": CausalInferencer}[mode],
        fps=model.fps,
        layer_activation_format=dict(model.layers),
        num_frames=frames,
        duration=(0.0, 1000 / model.fps if static else context_ms),
        batch_size=4,
        max_workers=1,
        dtype=dtype,
    )
    inferencer = wrapper._extractor.inferencer
    values = {layer: [] for layer in model.layers}
    for path in stimuli.paths:
        assembly = inferencer([str(path)], list(model.layers))
        aligned = assembly_time_align(assembly, [tuple(b) for b in bins_ms.tolist()])
        for layer in model.layers:
            values[layer].append(
                aligned.isel(neuroid=aligned["layer"].values == layer)
                .transpose("stimulus_path", "time_bin", "neuroid")
                .values[0]
            )
    return {layer: np.stack(arrays) for layer, arrays in values.items()}


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative to the layer's largest activation."""
    return float(np.abs(ours - theirs.astype(np.float64)).max() / np.abs(theirs).max())


EXACT, HALF = (np.float32, 1e-5), (np.float16, 1e-3)
CASES = [
    (clip_model(12.5), 25, 960.0, 240.0, EXACT),
    (clip_model(12.5), 30, 800.0, 300.0, EXACT),
    (clip_model(25.0), 24, 1000.0, 100.0, HALF),
    (clip_model(12.5, num_frames=(8, 8)), 25, 4000.0, 200.0, EXACT),
    (frame_model(25.0), 30, 4000.0, 200.0, HALF),
    (frame_model(25.0), 12, 4000.0, 40.0, EXACT),
]


@pytest.mark.parametrize("mode", ["block", "causal"])
@pytest.mark.parametrize(("model", "film_fps", "context_ms", "width_ms", "accuracy"), CASES)
def test_equals_brainscore(tmp_path, mode, model, film_fps, context_ms, width_ms, accuracy):
    dtype, tolerance = accuracy
    stimuli = make_films(tmp_path, [int(1.4 * film_fps), int(1.2 * film_fps)], film_fps)
    bins_ms = regular_bins(float(stimuli.duration_ms.min()), width_ms)
    theirs = brainscore(model, stimuli, bins_ms, mode, context_ms, dtype)
    sink = ArraySink(len(stimuli), len(bins_ms))
    extract(model, stimuli, bins_ms, sink, mode=mode, context_ms=context_ms, n_components=None)
    assert set(sink.values) == set(model.layers)
    for layer, values in sink.values.items():
        assert values.shape == theirs[layer].shape
        assert largest_difference(values, theirs[layer]) < tolerance, layer
