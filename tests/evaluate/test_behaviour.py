"""Human choices: noise scores 0, a planted layer is found, and copies of an image never help."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.noise import choices, measure_choices, noise_layers
from src.evaluate import behaviour
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import PUBLISHED, Protocol
from src.records import Labels
from src.utils import BadInput


@pytest.fixture
def world(tmp_path):
    """Return choices of people, with or without fitting stimuli, and activations of both kinds of stimuli."""

    def make(with_fitting=True, seed=0, **sizes):
        made, rng = choices(tmp_path, seed, with_fitting, **sizes)
        fitting = noise_layers(made.fitting.stimuli, rng) if with_fitting else None
        return made, noise_layers(made.stimuli, rng), fitting, rng

    return make


def read_out(shown, layer, fitting, made, protocol):
    """Return the answers of one layer, and the design."""
    trials = behaviour.coded_trials(made)
    content = np.arange(len(made.stimuli))
    plan = behaviour.design(trials, content, protocol)
    X, truth = shown.layers[layer][:, 0], trials.truth_of_image
    return behaviour.read_out(X, layer, fitting, made, truth, plan.parts, protocol), plan


def with_signal(activations, truth, rng, n_classes=6):
    """Return the activations with overlapping classes in "layer 3"."""
    means = np.random.default_rng(7).standard_normal((n_classes, 3))
    layers = dict(activations.layers)
    layers["layer 3"] = (means[truth] + rng.standard_normal((len(truth), 3)))[:, None].astype(np.float32)
    return replace(activations, layers=layers)


def answered_by(made, probabilities, rng):
    """Return choices between the truth and one distractor, drawn from probabilities (n_images, n_classes)."""
    trials, names = behaviour.coded_trials(made), np.array(made.classes)
    distractor = (trials.truth + rng.integers(1, len(names), len(trials))) % len(names)
    odds = probabilities[trials.image, distractor] / probabilities[trials.image, trials.truth]
    choice = np.where(rng.random(len(trials)) < odds / (1 + odds), distractor, trials.truth)
    return replace(made, trials={**made.trials, "choice": names[choice], "distractor": names[distractor]})


def duplicated(made, n):
    """Return the choices with the second half of `n` images being copies of the first."""
    paths = made.stimuli.paths
    return replace(made, stimuli=replace(made.stimuli, paths=(*paths[: n // 2], *paths[: n // 2])))


@pytest.mark.parametrize("with_fitting", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_layers_of_noise_score_zero_and_did_not_where_all_images_chose(with_fitting):
    found = np.array([measure_choices(seed, Protocol(), with_fitting)[:2] for seed in range(40)])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert error.max() < 0.04
    assert np.all(np.abs(found.mean(axis=0)) < 3.5 * error), found.mean(axis=0)
    chosen_over_splits = [measure_choices(seed, PUBLISHED, with_fitting)[0] for seed in range(10)]
    assert np.mean(chosen_over_splits) > 0.3


@pytest.mark.slow
def test_permutations_reject_as_much_noise_as_they_say():
    p = np.array([measure_choices(seed, Protocol(), True, 19)[2] for seed in range(50)])
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.1)
    assert p.mean() == pytest.approx(0.525, abs=3.5 * 0.29 / np.sqrt(50))


@pytest.mark.parametrize("with_fitting", [True, False])
@pytest.mark.parametrize("metric", ["O2", "I2n"])
def test_a_planted_layer_is_found_and_reaches_the_ceiling(world, with_fitting, metric):
    made, shown, fitting, rng = world(with_fitting, n_images=240, n_each=200)
    shown = with_signal(shown, behaviour.coded_trials(made).truth_of_image, rng)
    if with_fitting:
        labels = [made.classes.index(name) for name in made.fitting.values[:, 0]]
        fitting = with_signal(fitting, np.array(labels), rng)
    answers, _ = read_out(shown, "layer 3", fitting, made, Protocol())
    made = answered_by(made, answers.test, rng)
    found = behaviour.score(shown, fitting, made, metric, Protocol(), resample=True)
    assert (Rule().layers(found.valid) == 3).all()
    score = Rule().test({"valid": found.valid, "test": found.test}).mean()
    assert score / found.ceiling.item() == pytest.approx(1, abs=0.06)
    # each image once: the bootstrap's statistic is the score
    statistic = found.resampling.one_layer.replicates(np.ones((1, len(made.stimuli)))).item()
    assert statistic == pytest.approx(score, abs=1e-9)
    null = behaviour.null(shown, fitting, made, metric, 19, Protocol())
    assert null.max() < score


def test_each_image_is_tested_in_half_of_the_splits_and_never_chooses_there(world):
    made, *_ = world()
    plan = behaviour.design(behaviour.coded_trials(made), np.arange(60), Protocol())
    first, second = plan.parts
    np.testing.assert_array_equal(first, ~second)
    truth = behaviour.coded_trials(made).truth_of_image
    np.testing.assert_array_equal(np.bincount(truth[first]), 5)
    tested = np.zeros(60)
    for one in plan.splits:
        seen = {name: np.isfinite(getattr(one, name)).any(axis=1) for name in ("test", "other", "valid")}
        assert not (seen["test"] & seen["valid"]).any()
        np.testing.assert_array_equal(seen["valid"], ~plan.parts[one.tested])
        assert not (seen["other"] & ~plan.parts[one.tested]).any()
        tested += plan.parts[one.tested]
    np.testing.assert_array_equal(tested, 5)


def test_classes_of_odd_size_make_halves_of_equal_size():
    first, second = behaviour.image_halves(np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, -1]), None, 0)
    assert (first.sum(), second.sum()) == (5, 5)
    assert not (first | second)[-1]


def test_copies_of_an_image_are_in_one_half_and_its_read_out_knows_none(world):
    """Each image stands there twice: a read-out that saw the other copy would know the class."""
    made, shown, _, _ = world(with_fitting=False)
    layers = {name: np.concatenate([values[:30], values[:30]]) for name, values in shown.layers.items()}
    made, shown = duplicated(made, 60), replace(shown, layers=layers)
    [*tied] = behaviour.scores(shown, None, made, ["O2"], Protocol())["O2"].notes["model accuracy"].values()
    [*loose] = behaviour.scores(shown, None, made, ["O2"], PUBLISHED)["O2"].notes["model accuracy"].values()
    assert np.mean(tied) < 1 / 6 + 0.05
    assert np.mean(loose) > 0.5
    content = np.tile(np.arange(30), 2)
    first, _ = behaviour.image_halves(np.arange(60) % 6, content, 0)
    np.testing.assert_array_equal(first[:30], first[30:])


def test_fitting_stimuli_that_are_shown_are_left_out_and_counted(world):
    made, shown, fitting, _ = world()
    paths = (*made.stimuli.paths[:12], *made.fitting.stimuli.paths[12:])
    labels = replace(made.fitting, stimuli=replace(made.fitting.stimuli, paths=paths))
    made = replace(made, fitting=labels)
    layers = {n: np.concatenate([shown.layers[n][:12], values[12:]]) for n, values in fitting.layers.items()}
    known, note = replace(fitting, layers=layers), "fitting stimuli left out, as they are shown"
    found = behaviour.score(shown, known, made, "O2", Protocol())
    assert found.notes[note] == 12
    answers, _ = read_out(shown, "layer 0", known, made, Protocol())
    loose, _ = read_out(shown, "layer 0", known, made, PUBLISHED)
    truth = np.arange(60) % 6
    assert (loose.test.argmax(axis=1) == truth)[:12].mean() > 0.9
    assert (answers.test.argmax(axis=1) == truth)[:12].mean() < 0.6
    assert note not in behaviour.score(shown, known, made, "O2", PUBLISHED).notes


def test_a_class_whose_fitting_stimuli_are_all_shown_is_refused(world):
    made, *_ = world()
    paths = (made.stimuli.paths[0], *made.fitting.stimuli.paths[1:6])
    ids = made.fitting.stimuli.ids[:6]
    few = replace(made.fitting.stimuli, ids=ids, paths=paths, duration_ms=np.ones(6), kind=("image",) * 6)
    made = replace(made, fitting=Labels(few, np.array(made.classes)[:, None], ("class",)))
    with pytest.raises(BadInput, match="shown: all fitting stimuli of class a are also shown; expected others"):
        behaviour.check(made, "O2", Protocol())
    behaviour.check(made, "O2", PUBLISHED)


@pytest.mark.parametrize(
    ("n_images", "with_fitting", "metric", "least"),
    [(6, True, "O2", 2), (18, True, "I2n", 4), (18, False, "O2", 4), (6, True, "error_consistency", 2)],
)
def test_a_class_with_too_few_images_for_two_halves_is_refused(world, n_images, with_fitting, metric, least):
    made, *_ = world(with_fitting, n_images=n_images)
    message = rf"class a has {n_images // 6} different images; expected at least {least}, .*--layer-choice over-splits"
    with pytest.raises(BadInput, match=message):
        behaviour.check(made, metric, Protocol())
    behaviour.check(made, metric, replace(Protocol(), layer_choice="over splits"))
    enough, *_ = world(with_fitting, n_images=6 * least)
    behaviour.check(enough, metric, Protocol())
    with pytest.raises(BadInput, match=rf"class a has {least // 2} different images"):
        behaviour.check(duplicated(enough, 6 * least), metric, Protocol())
