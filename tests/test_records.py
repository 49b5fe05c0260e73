from dataclasses import replace

import numpy as np
import pytest

from src.records import Activations, Choices, Evaluation, Labels, Responses, Stimuli
from src.utils import BadInput, regular_bins


@pytest.fixture
def stimuli(tmp_path):
    paths = tuple(tmp_path / f"{i}.mp4" for i in range(4))
    for path in paths:
        path.write_text(path.name)
    return Stimuli("films", ("a", "b", "c", "d"), paths, np.full(4, 1000.0), ("video",) * 4)


@pytest.fixture
def responses(stimuli):
    values = np.random.default_rng(0).standard_normal((4, 2, 3, 5)).astype(np.float32)
    return Responses(stimuli, values, regular_bins(3000, 1000), {"unit_id": list("vwxyz")}, ("s1", "s2"))


@pytest.fixture
def labels(stimuli):
    return Labels(stimuli, np.array([["x"], ["y"], ["x"], ["y"]]), ("class",))


def test_stimuli_refuse_doubles_missing_files_and_ragged_columns(stimuli, tmp_path):
    with pytest.raises(BadInput, match="films: stimulus ids repeated: a"):
        replace(stimuli, ids=("a", "a", "c", "d"))
    with pytest.raises(BadInput, match=r"films: 1 of 4 stimulus files are missing: .*gone.mp4.*DATA_HOME"):
        replace(stimuli, paths=(tmp_path / "gone.mp4", *stimuli.paths[1:]))
    with pytest.raises(BadInput, match="column 'speed' of the stimulus table has 3 rows; expected 4"):
        replace(stimuli, table={"speed": [1, 2, 3]})
    with pytest.raises(BadInput, match="no stimuli"):
        Stimuli("none", (), (), np.zeros(0), ())


def test_a_stimulus_digest_is_of_content_and_not_of_paths(stimuli, tmp_path):
    moved = tuple(tmp_path / f"moved{i}" for i in range(4))
    for old, path in zip(stimuli.paths, moved, strict=True):
        path.write_bytes(old.read_bytes())
    assert replace(stimuli, paths=moved).digest == stimuli.digest
    moved[2].write_text("other")
    assert replace(stimuli, paths=moved).digest != stimuli.digest
    images = replace(stimuli, kind=("image",) * 4)
    assert images.digest != stimuli.digest
    assert replace(images, duration_ms=np.full(4, 300.0)).digest != images.digest


def test_responses_refuse_empty_units_odd_bins_and_wrong_shapes(responses):
    values = responses.values.copy()
    values[..., 1] = np.nan
    with pytest.raises(BadInput, match=r"films: 1 units were never recorded \(w\)"):
        replace(responses, values=values)
    with pytest.raises(BadInput, match="unequal width"):
        replace(responses, time_ms=np.array([[0, 1000], [1000, 2000], [2000, 2500.0]]))
    with pytest.raises(BadInput, match="do not increase"):
        replace(responses, time_ms=responses.time_ms[::-1])
    with pytest.raises(BadInput, match=r"shape \(4, 2, 3, 5\); expected \(4, 1, 3, 5\)"):
        replace(responses, subjects=("s1",))


def test_labels_refuse_gaps_and_constants(labels):
    with pytest.raises(BadInput, match=r"1 stimuli have no label \(b\)"):
        replace(labels, values=np.array([["x"], [""], ["x"], ["y"]]))
    with pytest.raises(BadInput, match="label 'class' is constant"):
        replace(labels, values=np.array([["x"]] * 4))
    speeds = np.array([[1.0, 5], [2, 5], [3, 5], [4, 5]])
    with pytest.raises(BadInput, match="label 'y' is constant"):
        replace(labels, values=speeds, names=("x", "y"))
    speeds[1, 1] = np.nan
    with pytest.raises(BadInput, match=r"1 stimuli have no label \(b\)"):
        replace(labels, values=speeds, names=("x", "y"))
    with pytest.raises(BadInput, match="groups have the wrong length"):
        replace(labels, groups=np.arange(3))


def test_choices_refuse_strangers(stimuli, labels):
    trials = {"stimulus_id": ["a", "b"], "truth": ["x", "y"], "choice": ["x", "x"], "subject": ["s", "s"]}
    choices = Choices(stimuli, trials, ("x", "y"), labels)
    with pytest.raises(BadInput, match=r"choice 'q' is not a class; expected one of x, y"):
        replace(choices, trials=trials | {"choice": ["x", "q"]})
    with pytest.raises(BadInput, match=r"trials of stimuli that do not exist \(zz\)"):
        replace(choices, trials=trials | {"stimulus_id": ["a", "zz"]})
    with pytest.raises(BadInput, match="do not cover the classes z"):
        replace(choices, classes=("x", "y", "z"))


def test_activations_refuse_layers_of_other_shapes():
    with pytest.raises(BadInput, match=r"layer l have shape \(2, 4, 5\); expected \(3, 4\)"):
        Activations({"l": np.zeros((2, 4, 5))}, regular_bins(4, 1), np.full(3, 4), ("a", "b", "c"))


def test_evaluations_refuse_scores_of_other_shapes():
    scores = np.zeros((3, 2, 4))
    evaluation = Evaluation(("a", "b", "c"), {"target_id": [0, 1]}, scores, scores, "pearson")
    with pytest.raises(BadInput, match="test scores have shape"):
        replace(evaluation, test=scores[:2])
