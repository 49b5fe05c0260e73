"""The steps of the default protocol on small regressions: missing data, copies of stimuli, classes, runs."""

from dataclasses import replace

import numpy as np
import pytest

from src.evaluate import behaviour, electrodes, fmri, task
from src.evaluate.cross_validate import LeftOut, Rule, cross_validate
from src.evaluate.decoders import Logistic, Ridge
from src.evaluate.protocol import PUBLISHED, SCALED_ALPHAS, Protocol
from src.evaluate.splits import item_splits
from src.pipeline import Request
from src.records import Activations, Choices, Labels, Responses, Stimuli
from src.utils import BadInput, regular_bins

RIDGE = Ridge(penalty="blocks", scaled=True)


@pytest.fixture
def stimuli(tmp_path):
    def make(name, contents, kind="video"):
        """Stimuli whose files hold the given texts; equal texts are copies of one stimulus."""
        paths = tuple(tmp_path / f"{name}-{i}" for i in range(len(contents)))
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content)
        return Stimuli(name, tuple(p.name for p in paths), paths, np.full(len(paths), 3000.0), (kind,) * len(paths))

    return make


def clips(made, X, Y):
    """Return activations and responses of clips, one bin each."""
    bins_ms = regular_bins(3000.0, 3000.0)
    activations = Activations({"layer": X[:, None].astype(np.float32)}, bins_ms, np.ones(len(X), int), made.ids)
    units = {"unit_id": [str(u) for u in range(Y.shape[1])]}
    return activations, Responses(made, Y[:, None, None].astype(np.float32), bins_ms, units, ("mean",))


def test_units_that_miss_different_stimuli_are_scored_on_their_own(stimuli):
    """Ten units that each miss a random fifth of 100 images: on the common rows next to none would be left."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 8))
    Y = X @ rng.standard_normal((8, 10)) + 2 * rng.standard_normal((100, 10))
    whole = clips(stimuli("all", [str(i) for i in range(100)]), X, Y)
    Y = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    part = clips(stimuli("some", [str(i) for i in range(100)]), X, Y)
    protocol = Protocol(n_splits=5)
    expected, found = (electrodes.score(*data, RIDGE, protocol).test.mean(axis=2) for data in (whole, part))
    np.testing.assert_allclose(found, expected, atol=0.25)
    assert abs(np.median(found) - np.median(expected)) < 0.05
    with_common_rows = electrodes.score(*part, RIDGE, replace(protocol, missing="rows"))
    assert with_common_rows.notes["rows dropped"] > 80


def test_disjoint_sessions_and_silent_units_are_scored_and_counted(stimuli):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    Y = X @ rng.standard_normal((5, 6)) + 0.2 * rng.standard_normal((200, 6))
    Y[:100, :2] = Y[100:, 2:4] = np.nan
    Y[30:, 4] = Y[12:, 5] = np.nan  # too few test rows
    score = electrodes.score(*clips(stimuli("x", [str(i) for i in range(200)]), X, Y), RIDGE, Protocol(n_splits=5))
    assert np.all(score.test[0, :4] > 0.8)
    assert np.isnan(score.test[0, 4:]).all()
    assert score.notes["test parts with fewer than 10 rows"] == 10


@pytest.mark.parametrize("missing", ["a tenth", "other sessions"])
def test_few_stimuli_are_split_by_the_rows_that_a_unit_has(stimuli, missing):
    """60 images, of which each unit saw 54 or 30: no test part of 10 rows would be left in six splits."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    Y = X + 0.1 * rng.standard_normal((60, 4))
    gone = rng.random((60, 4)) < 0.1
    if missing == "other sessions":
        gone = (np.arange(60)[:, None] + np.arange(4)) % 2 == 0
    data = clips(stimuli("x", [str(i) for i in range(60)]), X, np.where(gone, np.nan, Y))
    score = electrodes.score(*data, RIDGE, Protocol())
    assert score.test.shape[2] == {"a tenth": 5, "other sessions": 3}[missing]
    assert np.nanmean(score.test[0], axis=1).min() > 0.95


def test_a_layer_that_is_not_finite_is_left_out_and_named(stimuli):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 5))
    activations, responses = clips(stimuli("x", [str(i) for i in range(100)]), X, X @ rng.standard_normal((5, 3)))
    broken = activations.layers["layer"].copy()
    broken[3, 0, 1] = np.inf
    layers = {"broken": broken, "layer": activations.layers["layer"]}
    score = electrodes.score(replace(activations, layers=layers), responses, RIDGE, Protocol())
    assert np.isnan(score.test[0]).all()
    assert np.all(score.test[1] > 0.99)
    assert score.notes["layers that are not finite"] == "broken"
    with pytest.raises(BadInput, match="no layer is finite, first broken"):
        electrodes.score(replace(activations, layers={"broken": broken}), responses, RIDGE, Protocol())


def test_a_clip_that_two_datasets_share_never_trains_in_one_and_tests_in_the_other(stimuli):
    """Each clip has a response of its own, which its features identify: only copies predict it."""
    rng = np.random.default_rng(0)
    contents = [str(i) for i in range(60)]
    X, Y = rng.standard_normal((60, 300)), rng.standard_normal((60, 40))
    parts = []
    for name in ("a", "b"):
        activations, responses = clips(stimuli(name, contents), X, Y + 0.1 * rng.standard_normal(Y.shape))
        parts.append(fmri.Part(activations, responses, lag=False))
    protocol = Protocol(segment_ms=3000.0)
    assert np.mean(fmri.score(parts, RIDGE, replace(protocol, tied=False)).test) > 0.3
    assert abs(np.mean(fmri.score(parts, RIDGE, protocol).test)) < 0.1
    for split in fmri.problem(parts, protocol)[0].splits:
        assert not {i % 60 for i in split.train} & {i % 60 for i in split.test}


def test_the_chance_of_the_commonest_class_is_printed(stimuli):
    rng = np.random.default_rng(0)
    values = np.array(["often"] * 90 + ["seldom"] * 10)[:, None]
    labels = Labels(stimuli("x", [str(i) for i in range(100)]), values, ("kind",))
    X = rng.standard_normal((100, 1, 4)).astype(np.float32)
    activations = Activations({"layer": X}, np.array([[0.0, np.inf]]), np.ones(100, int), labels.stimuli.ids)
    notes = task.score(activations, labels, Logistic(), "accuracy", Protocol()).notes
    assert (notes["chance"], notes["chance of always the commonest class"]) == (0.5, 0.9)


def test_o2_of_two_classes_is_refused(stimuli):
    trials = {"stimulus_id": ["x-0", "x-1"], "truth": ["a", "b"], "choice": ["a", "b"], "subject": ["s"] * 2}
    choices = Choices(stimuli("x", ["0", "1"], "image"), trials, ("a", "b"), None)
    with pytest.raises(
        BadInput,
        match=r"O2 of x has 2 classes.*expected at least 3 classes: give --metric I2n, or declare metric=\"I2n\"",
    ):
        behaviour.check(choices, "O2", PUBLISHED)
    behaviour.check(choices, "I2n", PUBLISHED)


def test_each_row_is_tested_once_and_few_rows_make_fewer_splits():
    protocol = Protocol()
    assert (protocol.splits_of(1000), protocol.splits_of(60), protocol.splits_of(5)) == (10, 6, 2)
    assert PUBLISHED.splits_of(60) == 10
    splits = item_splits(95, layout="tiled", n_splits=10)
    np.testing.assert_array_equal(np.bincount(np.concatenate([s.test for s in splits])), 1)


def test_a_request_takes_the_choices_of_its_protocol_and_each_can_be_changed():
    published = Request("fmri", "m", ("d",), protocol="published")
    assert (published.layout, published.gap_ms, published.penalty, published.high_pass_s) == ("scattered", 0, "rows", 0)
    changed = Request("fmri", "m", ("d",), protocol="published", gap_ms=5000.0)
    assert (changed.layout, changed.gap_ms) == ("scattered", 5000.0)
    default = Request("fmri", "m", ("d",))
    assert (default.layout, default.penalty, default.headline) == ("tiled", "blocks", "per target")
    with pytest.raises(BadInput, match="penalty 'row'; expected one of blocks, rows, gcv"):
        Request("fmri", "m", ("d",), penalty="row")


def test_penalties_at_the_edge_of_the_grid_are_counted():
    rng = np.random.default_rng(0)
    X, left_out = (
        rng.standard_normal((60, 5)).astype(np.float32),
        [LeftOut(np.arange(k, k + 5)) for k in range(0, 60, 5)],
    )
    Y = (X @ rng.standard_normal((5, 3))).astype(np.float32)
    splits = item_splits(60, layout="tiled", n_splits=3)
    notes = cross_validate({"x": lambda: X}, Y, splits, RIDGE, "pearson", left_out=left_out, rule=Rule()).notes
    assert notes["penalty"] == pytest.approx(1e-7)
    assert notes["penalties at the edge of the grid"] == 1.0


@pytest.mark.parametrize("layout", ["tiled", "scattered"])
@pytest.mark.parametrize("layer_choice", ["nested", "over splits"])
@pytest.mark.parametrize("benchmark", ["fmri", "electrodes", "per unit", "task"])
def test_every_choice_of_layers_finds_the_planted_one(stimuli, benchmark, layer_choice, layout):
    """Chosen on validation rows or inside the training rows: the second layer, never the first for want of a score."""
    rng = np.random.default_rng(0)
    protocol = Protocol(layer_choice=layer_choice, layout=layout, segment_ms=3000.0)
    if benchmark == "per unit":
        protocol = replace(protocol, segment_ms=15000.0)
        n_stimuli, bins_ms = 2, regular_bins(300_000.0, 1000.0)
    else:
        n_stimuli, bins_ms = 120, regular_bins(3000.0, 3000.0)
    made = replace(
        stimuli("x", [str(i) for i in range(n_stimuli)]), duration_ms=np.full(n_stimuli, float(bins_ms[-1, 1]))
    )
    planted = rng.standard_normal((n_stimuli, len(bins_ms), 6)).astype(np.float32)
    layers = {"noise": rng.standard_normal(planted.shape).astype(np.float32), "planted": planted}
    Y = planted @ rng.standard_normal((6, 4)) + 0.5 * rng.standard_normal((n_stimuli, len(bins_ms), 4))
    activations = Activations(layers, bins_ms, np.full(n_stimuli, len(bins_ms)), made.ids)
    responses = Responses(made, Y[:, None].astype(np.float32), bins_ms, {"unit_id": list("abcd")}, ("mean",))
    if benchmark == "fmri":
        score = fmri.score([fmri.Part(activations, responses, lag=False)], RIDGE, protocol)
    elif benchmark == "task":
        score = task.score(activations, Labels(made, Y[:, 0], tuple("abcd")), RIDGE, "pearson", protocol)
    else:
        scores = electrodes.scores_per_unit if benchmark == "per unit" else electrodes.scores
        score = scores(activations, responses, RIDGE, protocol)["pearson"]
    rule = Rule(protocol.nested)
    assert np.isfinite(score.valid).all()
    assert (rule.layers(score.valid) == 1).all()
    assert np.median(rule.test({"valid": score.valid, "test": score.test})) > 0.8
    alphas = score.extra["alpha_per_target"][:, 0] if benchmark == "per unit" else score.extra["alpha"]
    assert alphas.shape == (2, score.test.shape[2])
    assert set(alphas.ravel()) <= set(np.array(SCALED_ALPHAS).astype(alphas.dtype))


def test_a_film_shown_under_two_names_never_trains_and_tests_one_unit(stimuli):
    """Responses of a unit that only the same seconds of the same film predict."""
    rng = np.random.default_rng(0)
    made, bins_ms = stimuli("x", ["film", "film"]), regular_bins(200_000.0, 1000.0)
    X = np.repeat(rng.standard_normal((1, 200, 300)), 2, axis=0).astype(np.float32)
    Y = np.repeat(rng.standard_normal((1, 1, 200, 1)), 2, axis=0).astype(np.float32)
    activations = Activations({"layer": X}, bins_ms, np.full(2, 200), made.ids)
    responses = Responses(made, Y, bins_ms, {"unit_id": ["a"]}, ("mean",))
    makers, _ = electrodes.unit_problems(activations, responses, Protocol())
    for split in makers[0]().splits:
        assert not {i % 200 for i in split.train} & {i % 200 for i in split.test}
    found = {t: electrodes.scores_per_unit(activations, responses, RIDGE, Protocol(tied=t)) for t in (True, False)}
    assert np.nanmean(found[False]["pearson"].test) > 0.3
    assert abs(np.nanmean(found[True]["pearson"].test)) < 0.15
