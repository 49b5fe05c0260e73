"""Temporal windows: planted ones are found in their order, noise has none, and the choice raises no score."""

import numpy as np
import pytest

from src.analysis.windows import enough, unit_windows, windows
from src.evaluate import fmri
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import Protocol
from src.pipeline.summary import score_arrays
from src.pipeline.uncertainty import interval_arrays
from src.records import Activations, Responses, Stimuli
from src.utils import BadInput, regular_bins

CONTEXTS_S = (0.5, 1, 2, 4, 8, 16)
PLANTED_S, EACH, N_NOISE, N_BINS = (1, 4, 16), 8, 40, 1200  # bins of 0.5 s


def averaged(series, context_s):
    """The mean over the last seconds of each feature: what a model with this context sees."""
    n = round(context_s / 0.5)
    sums = np.cumsum(np.concatenate([np.zeros((1, series.shape[1])), series]), axis=0)
    first = np.maximum(np.arange(1, len(series) + 1) - n, 0)
    return (sums[1:] - sums[first]) / np.minimum(np.arange(1, len(series) + 1), n)[:, None]


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Arrays of a score per context: units that average over 1, 4 and 16 s, and noise."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("film") / "film"
    path.write_text("film")
    stimuli = Stimuli("film", ("film",), (path,), np.full(1, 500.0 * N_BINS), ("video",))
    bins_ms = regular_bins(500.0 * N_BINS, 500.0)
    series = rng.standard_normal((N_BINS, 10))
    units = []
    for planted in PLANTED_S:
        signal = averaged(series, planted) @ rng.standard_normal((10, EACH))
        units.append(signal / signal.std(axis=0) + 0.7 * rng.standard_normal(signal.shape))
    noise = rng.standard_normal((N_BINS, N_NOISE))
    values = np.concatenate([*units, averaged(noise, 4) / averaged(noise, 4).std()], axis=1)
    region = np.repeat([*(f"{planted} s" for planted in PLANTED_S), "noise"], [EACH] * 3 + [N_NOISE])
    table = {"unit_id": np.arange(len(region)).astype(str), "region": region}
    responses = Responses(stimuli, values[None, None].astype(np.float32), bins_ms, table, ("a",))
    protocol = Protocol(n_splits=6, hrf="none", subjects="mean", gap_ms=16_000.0)
    found = []
    for context in CONTEXTS_S:
        layers = {"mean": averaged(series, context)[None].astype(np.float32)}
        part = fmri.Part(Activations(layers, bins_ms, np.full(1, N_BINS), ("film",)), responses)
        evaluation = fmri.score([part], Ridge(penalty="blocks", scaled=True), protocol, resample=True)
        arrays = score_arrays(evaluation, None, Rule(True, "per target"))
        found.append(arrays | interval_arrays(evaluation.resampling, arrays, 200, 0))
    return found


CONTEXTS_MS = [1000.0 * context for context in CONTEXTS_S]


def test_planted_windows_are_found_in_their_order_and_noise_has_none(scores):
    rows = {row["region"]: row for row in windows(scores, CONTEXTS_MS)}
    found = [rows[f"{planted} s"]["window_ms"] / 1000 for planted in PLANTED_S]
    # a context between neighbours of the sweep
    assert np.abs(np.log2(np.array(found) / PLANTED_S)).max() < 1
    assert found[0] < found[1] < found[2]
    for planted in PLANTED_S:
        row = rows[f"{planted} s"]
        assert row["low_ms"] <= row["window_ms"] * 1.01
        assert row["high_ms"] >= row["window_ms"] * 0.99
        assert row["units"] == EACH
    noise = rows["noise"]
    assert (noise["window_ms"], noise["low_ms"]) == (None, None)
    assert noise["units"] <= 0.1 * N_NOISE
    assert len(rows["all"]["test"]) == len(CONTEXTS_S)
    of_units, _ = unit_windows(scores, CONTEXTS_MS)
    medians = [np.nanmedian(of_units[EACH * k : EACH * (k + 1)]) for k in range(3)]
    assert medians == sorted(medians)


def test_the_choice_of_a_context_raises_no_score_of_noise(scores):
    _, chosen = unit_windows(scores, CONTEXTS_MS)
    assert abs(np.nanmean(chosen[3 * EACH :])) < 0.03
    best = np.max([arrays["test"][0].mean(axis=1) for arrays in scores], axis=0)
    assert best[3 * EACH :].mean() > np.nanmean(chosen[3 * EACH :]) + 0.01, "the largest of the test scores is biased"


def test_without_intervals_a_score_above_0_is_enough_and_pairs_are_needed_for_ends(scores):
    bare = [{name: a[name] for name in ("valid", "test", "layer_choice", "target_region")} for a in scores]
    rows = windows(bare, CONTEXTS_MS)
    assert rows[1]["window_ms"] is not None
    assert rows[1]["low_ms"] is None
    unpaired = [arrays | {"resampled": np.array(["segments", str(k)])} for k, arrays in enumerate(scores)]
    assert windows(unpaired, CONTEXTS_MS)[1]["low_ms"] is None


def test_the_first_context_that_is_enough():
    assert enough(np.array([0.45, 0.5, 0.3])) == 0
    assert enough(np.array([0.44, 0.5, 0.49])) == 1
    assert enough(np.array([np.nan, np.nan])) == -1
    assert enough(np.array([-0.1, 0.0])) == -1


def test_scores_that_cannot_be_compared_are_refused(scores):
    fewer = scores[1] | {name: scores[1][name][:, :5] for name in ("valid", "test")}
    with pytest.raises(BadInput, match="different targets or splits"):
        windows([scores[0], fewer], CONTEXTS_MS[:2])
    lowest = scores[0] | {"layer_choice": np.array(["nested", "per target", "lowest"])}
    with pytest.raises(BadInput, match="less is better"):
        windows([lowest, lowest], CONTEXTS_MS[:2])
