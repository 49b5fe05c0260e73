import numpy as np
import pytest

from src.ceiling import repetition_mean
from src.evaluate.align import align, codes, match_ids, to_bins
from src.records import Activations, Responses, Stimuli
from src.utils import BadInput, overlap_weights, regular_bins


@pytest.fixture
def stimuli(tmp_path):
    def make(n, name="films"):
        paths = [tmp_path / f"{name}{i}" for i in range(n)]
        for path in paths:
            path.write_text(path.name)
        return Stimuli(name, tuple(p.name for p in paths), tuple(paths), np.full(n, 1000.0), ("video",) * n)

    return make


def test_overlap_weights_are_brainscores_time_align():
    from brainscore_vision.model_helpers.brain_transformation.temporal import time_align

    source = np.stack([np.linspace(0, 1000, 8)[:-1], np.linspace(0, 1000, 8)[1:]], axis=1)
    for target in ([[0, 100], [100, 350], [999, 1000]], [[500, 1000.0]], [[900, 1100], [0, 10]]):
        theirs = time_align(source, target)
        total = theirs.sum(axis=1, keepdims=True)
        expected = np.divide(theirs, total, out=np.zeros_like(theirs), where=total > 0)
        np.testing.assert_allclose(overlap_weights(source, np.array(target, float)), expected, atol=1e-12)


def test_to_bins_repeats_the_last_bin_once():
    values = np.arange(4, dtype=np.float32)[None, :, None]
    source = regular_bins(160, 40)
    np.testing.assert_allclose(to_bins(values, source, regular_bins(200, 20))[0, :, 0], np.repeat([0, 1, 2, 3, 3], 2))
    assert np.isnan(to_bins(values, source, np.array([[190.0, 210.0]]))).all()
    np.testing.assert_allclose(to_bins(values, source, np.array([[20.0, 60.0]]))[0, 0, 0], 0.5)


def test_rows_are_matched_by_id_and_only_where_something_was_recorded(stimuli):
    shown = stimuli(3)
    values = np.ones((3, 2, 4, 2), np.float32)
    values[1, :, 2:] = np.nan
    values[2, 0, 0] = np.nan
    responses = Responses(shown, values, regular_bins(400, 100), {"unit_id": ["a", "b"]}, ("s1", "s2"))
    answers = np.arange(3, dtype=np.float32)[:, None, None] + np.zeros((3, 4, 5), np.float32)
    backwards = Activations({"l": answers[::-1]}, regular_bins(400, 100), np.array([3, 4, 4]), shown.ids[::-1])
    aligned = align(backwards, responses)
    np.testing.assert_array_equal(aligned.rows.take(aligned.layer("l"))[:, 0], aligned.rows.stimulus)
    assert [(aligned.rows.stimulus == i).sum() for i in range(3)] == [4, 2, 3]
    assert aligned.rows.n_skipped == 1
    assert np.isfinite(aligned.rows.take(aligned.targets)).all()


def test_the_repetition_mean_leaves_out_what_was_not_recorded():
    values = np.array([1, np.nan, 3, np.nan], np.float32).reshape(2, 2, 1, 1)
    values = np.concatenate([values, np.ones_like(values)], axis=3)
    np.testing.assert_array_equal(repetition_mean(values)[:, 0, 0], [1, 3])


def test_one_repetition_recorded_throughout_is_not_copied(stimuli):
    values = np.random.default_rng(0).standard_normal((3, 1, 4, 2)).astype(np.float32)
    shown = stimuli(3)
    answers = Activations({"l": np.zeros((3, 4, 5), np.float32)}, regular_bins(400, 100), np.full(3, 4), shown.ids)

    def rows(values):
        aligned = align(answers, Responses(shown, values, regular_bins(400, 100), {"unit_id": ["a", "b"]}, ("s",)))
        return aligned.rows.take(aligned.targets)

    assert np.shares_memory(rows(values), values)
    np.testing.assert_array_equal(rows(values), values.reshape(12, 2))
    values[1, 0, 2] = np.nan
    assert not np.shares_memory(rows(values), values)
    np.testing.assert_array_equal(rows(values), np.delete(values.reshape(12, 2), 6, axis=0))


def test_a_missing_stimulus_is_named():
    with pytest.raises(BadInput, match=r"films: no activations for 1 stimuli, first c"):
        match_ids(["a", "b"], ["a", "c"], "films")


def test_codes_number_values_in_the_order_of_first_occurrence():
    found, distinct = codes(["b", "a", "b", "c"])
    np.testing.assert_array_equal(found, [0, 1, 0, 2])
    assert distinct == ["b", "a", "c"]
    np.testing.assert_array_equal(codes(np.array([7, 3, 7]))[0], [0, 1, 0])
