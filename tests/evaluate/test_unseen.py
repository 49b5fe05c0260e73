"""Scores of datasets that a fit has not seen: splits, distances, and a shortcut that fails outside its films."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.evaluate import fmri
from src.evaluate.decoders import Ridge
from src.evaluate.fmri import Part
from src.evaluate.novelty import distances
from src.evaluate.protocol import Protocol
from src.evaluate.splits import segment_splits, unseen_splits
from src.records import Activations, Responses, Stimuli
from src.utils import BadInput, regular_bins

N_BINS, UNITS = 120, 10
PROTOCOL = Protocol(hrf="none", n_splits=5, subjects="mean")


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    n_trained=st.integers(1, 7),
    validate=st.booleans(),
    n_splits=st.integers(1, 10),
)
def test_all_splits_train_on_the_same_films_and_test_each_other_one_once(lengths, n_trained, validate, n_splits):
    n_trained = min(n_trained, len(lengths) - 1)
    film = np.repeat(np.arange(len(lengths)), lengths)
    time_ms = np.concatenate([regular_bins(n * 1000.0, 1000.0) for n in lengths])
    tested = film >= n_trained
    options = {"gap_ms": 10_000.0, "validate": validate, "n_splits": n_splits}
    if validate and n_trained == 1:
        with pytest.raises(BadInput, match="no training rows"):
            unseen_splits(film, time_ms, tested, **options)
        return
    splits = unseen_splits(film, time_ms, tested, **options)
    assert len(splits) <= n_splits
    np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in splits])), np.flatnonzero(tested))
    for split in splits:
        np.testing.assert_array_equal(np.union1d(split.train, split.valid), np.flatnonzero(~tested))
        assert len(split.valid) > 0 if validate else len(split.valid) == 0
        assert not np.intersect1d(film[split.train], film[split.valid]).size
    whole = [np.unique(film[split.test]) for split in splits]
    assert sum(map(len, whole)) == len(lengths) - n_trained, "a film is in one test part"


def test_what_two_datasets_share_does_not_train():
    film, time_ms = np.array([0] * 30 + [1] * 30 + [0] * 30), np.tile(regular_bins(30_000.0, 1000.0), (3, 1))
    tested = np.arange(90) >= 60
    (split,) = unseen_splits(film, time_ms, tested, gap_ms=5_000.0)
    np.testing.assert_array_equal(np.unique(split.train), np.arange(30, 60))


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_part_without_rows_is_refused(all_of_them):
    with pytest.raises(BadInput, match="rows for test; expected some, and others to train on"):
        unseen_splits(np.zeros(20, int), regular_bins(20_000.0, 1000.0), np.full(20, all_of_them), gap_ms=0.0)


def test_distances_agree_with_all_pairs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((160, 400)).astype(np.float32)
    film = np.repeat(np.arange(4), 40)
    X[film == 3] += 1.5 * rng.standard_normal(400)
    splits = segment_splits(
        film, np.tile(regular_bins(40_000.0, 1000.0), (4, 1)), segment_ms=15_000.0, gap_ms=0.0,
        layout="leave-one-film-out",
    )  # fmt: skip
    for split, found in zip(splits, distances(X, splits, film, film), strict=True):
        mean, deviation = X[split.train].mean(axis=0), X[split.train].std(axis=0)
        Z = (X - mean) / deviation
        among = np.linalg.norm(Z[split.train][:, None] - Z[split.train], axis=2)
        among[film[split.train][:, None] == film[split.train]] = np.inf
        nearest = np.linalg.norm(Z[split.test][:, None] - Z[split.train], axis=2).min(axis=1)
        # the nearest of many projected distances is lower in both
        assert found == pytest.approx(np.median(nearest) / np.median(among.min(axis=1)), rel=0.1)


@pytest.fixture
def dataset(tmp_path):
    """A function from a name, features by layer and responses (n_rows, n_units) of two films to a part."""

    def make(name, layers, values, **traits):
        paths = tuple(tmp_path / f"{name}-{k}" for k in range(2))
        for path in paths:
            path.write_text(path.name)
        films = Stimuli(name, tuple(p.name for p in paths), paths, np.full(2, N_BINS * 1000.0), ("video",) * 2)
        time_ms = regular_bins(N_BINS * 1000.0, 1000.0)
        units = {"unit_id": np.arange(UNITS).astype(str)}
        shaped = {layer: x.reshape(2, N_BINS, -1).astype(np.float32) for layer, x in layers.items()}
        recording = values.reshape(2, 1, N_BINS, UNITS).astype(np.float32)
        activations = Activations(shaped, time_ms, np.full(2, N_BINS), films.ids)
        return Part(activations, Responses(films, recording, time_ms, units, ("s",)), **traits)

    return make


def test_a_shortcut_wins_on_the_films_it_was_fitted_to_and_falls_outside(dataset):
    """Model B sees a cue that follows the responses in the training films alone."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((6, UNITS))
    signal = {name: rng.standard_normal((2 * N_BINS, 6)) for name in ("near", "far")}
    recorded = {k: s @ weights + rng.standard_normal((2 * N_BINS, UNITS)) for k, s in signal.items()}
    # the right features, seen through noise, and a cue without it
    of_model = {"a": {k: s + 0.5 * rng.standard_normal(s.shape) for k, s in signal.items()}}
    of_model["b"] = {"near": signal["near"], "far": rng.standard_normal(signal["far"].shape)}

    def r_of(model, *tested):
        parts = [
            dataset(f"{model}-{k}", {"layer": of_model[model][k]}, recorded[k], tested=k in tested)
            for k in ("near", *tested)
        ]
        found = fmri.score(parts, Ridge(penalty="blocks", scaled=True), PROTOCOL)
        return np.median(found.test[0], axis=0).mean(), found

    inside = {model: r_of(model)[0] for model in of_model}
    outside = {model: r_of(model, "far") for model in of_model}
    assert inside["b"] > inside["a"] + 0.03
    closed_form = np.median(np.sqrt((weights**2).sum(0) / ((weights**2).sum(0) + 1)))
    assert inside["b"] == pytest.approx(closed_form, abs=0.02)
    assert outside["a"][0] == pytest.approx(inside["a"], abs=0.04)
    assert abs(outside["b"][0]) < 0.06
    assert outside["a"][1].test.shape[2] == 2, "a split for each film of the test"


def test_the_distance_of_a_film_is_stored_beside_its_score(dataset):
    rng = np.random.default_rng(2)
    X = {k: rng.standard_normal((2 * N_BINS, 5)) for k in ("near", "far")}
    X["far"][N_BINS:] += 8
    values = {k: x @ rng.standard_normal((5, UNITS)) + rng.standard_normal((2 * N_BINS, UNITS)) for k, x in X.items()}
    parts = [dataset(k, {"layer": X[k], "flat": 0 * X[k] + 1}, values[k], tested=k == "far") for k in X]
    # the mean of a film's features is no part of its regression, but of what the model sees
    found = fmri.score(parts, Ridge(), replace(PROTOCOL, runs="averaged")).extra
    assert found["split_films"].tolist() == ["far-0", "far-1"]
    assert found["split_distance"].shape == (2, 2)
    assert found["split_distance"][0, 0] == pytest.approx(1, abs=0.15)
    assert found["split_distance"][0, 1] > 4
    assert np.isnan(found["split_distance"][1]).all()


def test_the_distance_in_low_level_statistics_is_beside_that_in_features(dataset):
    """The second film is as near as the first in features, and brighter."""
    rng = np.random.default_rng(6)
    X = {k: rng.standard_normal((2 * N_BINS, 5)) for k in ("near", "far")}
    light = {k: 0.1 * rng.standard_normal((2 * N_BINS, 1)) for k in X}
    light["far"][N_BINS:] += 2
    parts = []
    for k in X:
        part = dataset(k, {"layer": X[k]}, X[k] @ rng.standard_normal((5, UNITS)), tested=k == "far")
        statistics = {"luminance": light[k].reshape(2, N_BINS, 1).astype(np.float32)}
        parts.append(replace(part, low_level=replace(part.activations, layers=statistics)))
    found = fmri.score(parts, Ridge(), PROTOCOL).extra
    assert found["split_distance"][0] == pytest.approx(0.9, abs=0.2)
    in_light = found["split_distance_low_level"]
    assert in_light[0] == pytest.approx(1, abs=0.5)
    assert in_light[1] > 50
