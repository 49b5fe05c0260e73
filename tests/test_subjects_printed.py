"""Scores of single subjects, printed and in files."""

import json

import numpy as np
import pandas as pd
import pytest

from src.pipeline.score import Score
from src.pipeline.score_text import score_html, score_text
from src.pipeline.summary import summarise


def score_of(n_subjects, kind="split-half"):
    """Return a score of two layers, six units and three splits with single subjects."""
    rng = np.random.default_rng(0)
    test = rng.uniform(0.3, 0.6, (2, 6, 3))
    arrays = {"layers": np.array(["early", "late"]), "test": test, "valid": test - 0.01}
    arrays |= {"layer_choice": np.array(["nested", "per target"]), "target_target_id": np.arange(6).astype(str)}
    arrays |= {"ceiling": np.full(6, 0.9), "reliability": np.full(6, 0.8), "masked": np.zeros(6, bool)}
    arrays |= {"subjects": np.array([f"p{k}" for k in range(n_subjects)]), "widening": np.array(1.4)}
    arrays |= {"subject_test": rng.uniform(0.1, 0.3, (n_subjects, 6, 3)), "subject_shown": np.array([2, 0, 12.5])}
    arrays |= {"subject_segments": 0.2 + 0.1 * rng.standard_normal((n_subjects, 30))}
    arrays |= {"subject_ceiling": np.full((n_subjects, 6), 0.5), "subject_ceiling_kind": np.full(n_subjects, kind)}
    facts = {"benchmark": "fmri", "model": "net", "datasets": ["films"], "metric": "pearson", "data": {}}
    facts |= {"options": {"protocol": "default 2", "splits": 3, "layer_choice": "nested", "bootstrap": 0}}
    return Score(facts | summarise(arrays, {}), arrays, "key", {})


def test_people_films_minutes_and_both_intervals_are_printed():
    text = score_text(score_of(7).facts)
    assert "7 people, 2 films, 12.5 minutes: mean of single subjects 0." in text
    assert "new films, these people 0." in text
    assert "new films, new people 0." in text
    assert "weak" not in text
    assert "inter-subject" not in text
    assert text.count("split-half\n") == 7
    assert "p6" in score_html(score_of(7).facts)


def test_few_people_and_ceilings_by_others_are_said():
    text = score_text(score_of(5, "inter-subject").facts)
    assert "5 people: the interval for new people is weak; expected six or more" in text
    assert "inter-subject ceiling: r of a subject with the mean of the others, which a model may exceed" in text


def test_each_ceiling_is_printed_with_its_error():
    score = score_of(7)
    of_units = {"ceiling_error": 0.02, "ceiling_ridge": 0.4, "ceiling_ridge_error": 0.03}
    for name, value in of_units.items():
        score.arrays[f"subject_{name}"] = np.full((7, 6), value)
    text = score_text(score.facts | summarise(score.arrays, {}))
    assert text.count("0.500 ±0.020") == text.count("0.400 ±0.030") == 7
    assert "kind of ceiling  ridge from the others" in text


def test_scores_that_are_undefined_are_counted():
    score = score_of(7)
    assert "undefined" not in score_text(score.facts)
    score.arrays["subject_test"][2, :4] = np.nan
    facts = score.facts | summarise(score.arrays, {})
    assert "4 of 42 scores of single subjects are undefined" in score_text(facts)


def test_layers_whose_predictions_do_not_vary_are_named_with_the_remedy():
    score = score_of(7)
    score.arrays["test"][0] = np.nan
    one = score_text(score.facts | summarise(score.arrays, {}))
    assert "no test score of early: predictions that do not vary, as of features alike for all stimuli\n" in one
    # such a layer is chosen
    score.arrays["valid"][0] = 1.0
    chosen = score_text(score.facts | summarise(score.arrays, {}))
    assert "stimuli; splits that choose such a layer leave the headline undefined; give --layers late\n" in chosen


def test_many_people_have_no_row_each():
    text = score_text(score_of(20).facts)
    assert "20 people, 2 films" in text
    assert "p13" not in text


def test_files_hold_every_subject_in_the_rows_that_count(tmp_path):
    score = score_of(3)
    score.write(tmp_path / "s.csv")
    table = pd.read_csv(tmp_path / "s.csv")
    of_one = table.pivot_table(index="target_id", columns="split", values="subject_p1")
    np.testing.assert_allclose(of_one, score.arrays["subject_test"][1], atol=1e-6)
    assert table.loc[~table["chosen"], "subject_p1"].isna().all()
    score.write(tmp_path / "s.json")
    (content,) = json.loads((tmp_path / "s.json").read_text())
    assert [row["subject"] for row in content["subjects"]["rows"]] == ["p0", "p1", "p2"]
    assert content["subjects"]["rows"][0]["ceiling"] == pytest.approx(0.5)
    xarray = score.to_xarray()
    assert xarray["subject_test"].dims == ("subject", "target", "split")
    assert xarray["subject_test"].sel(subject="p2").shape == (6, 3)
    assert str(xarray["subject_ceiling_kind"].sel(subject="p2").item()) == "split-half"
