"""The null model of autocorrelation: it predicts held-out noise from its neighbours, and nothing behind a gap."""

from pathlib import Path

import numpy as np
import pytest

from src.evaluate import hrf
from src.evaluate.cross_validate import cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.splits import segment_splits
from src.models.sources.whole import FPS, autocorrelation
from src.models.spec import Shown
from tests.analysis.fmri_like import FILMS_S, problem


def features():
    """The layer of the model in bins of 1 s, with the haemodynamic lag, for the films of the simulation."""
    model, _ = autocorrelation()
    found = []
    for k, seconds in enumerate(FILMS_S):
        shown = Shown(f"film-{k}", Path(), False, 0.0, float(FPS), seconds * FPS, lambda: iter(()))
        course = model.series(shown)["time"].reshape(seconds, FPS, -1).mean(axis=1)
        found.append(hrf.convolve(course, 1000.0, "spm"))
    return np.concatenate(found)


def scored(layout, gap_ms, seed):
    made = problem(seed, n_targets=20)
    time_ms = np.concatenate([1000.0 * np.arange(n)[:, None] + [0.0, 1000.0] for n in FILMS_S])
    splits = segment_splits(made.stimulus, time_ms, segment_ms=15_000.0, gap_ms=gap_ms, layout=layout, n_splits=10)
    X = features()
    simulated = type(made)({"time": lambda: X}, made.targets, splits, left_out=made.left_out)
    return float(np.median(cross_validate_problem(simulated, Ridge(penalty="rows", scaled=True), "pearson").test))


@pytest.mark.parametrize("seed", [0, 1])
def test_it_scores_autocorrelation_without_a_gap_and_nothing_behind_one(seed):
    assert scored("scattered", 0.0, seed) > 0.15
    assert abs(scored("tiled", 10_000.0, seed)) < 0.06
