"""Confound presets on real fMRIPrep tables, if available, and on synthetic ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from src.data.fmri import confounds
from src.utils import BadInput
from tests.data.fmriprep_files import make_table, write_confounds
from tests.data.planted_fmri import rng

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/lahner2024/ds005165/derivatives/versionB/fmriprep"
RUNS = {"test_run-1": (268, 239, 100), "test_run-2": (268, 245, 101), "train_run-1": (238, 221, 90)}
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared real files are not beside the checkout")


def real_table(run):
    return REAL / f"sub-01/ses-02/func/sub-01_ses-02_task-{run}_desc-confounds_timeseries.tsv"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "sub-1_task-film_desc-confounds_timeseries.tsv"
    write_confounds(path, make_table(rng("confounds"), 80))
    return path


def described(path, place):
    """Return a copy of a real table with the description that fMRIPrep writes beside it."""
    copy = Path(shutil.copy(path, place))
    columns = path.read_text().splitlines()[0].split("\t")
    masks = {"a_": "combined", "c_": "CSF", "w_": "WM"}
    known = [c for c in columns if c[1:].startswith("_comp_cor_") and c[:2] in masks]
    stated = {c: {"Method": "aCompCor", "Mask": masks[c[:2]], "Retained": True} for c in known}
    copy.with_suffix(".json").write_text(json.dumps(stated))
    return copy


@needs_real
@pytest.mark.parametrize(("run", "shape"), RUNS.items())
def test_published_components_of_real_tables(run, shape):
    n_rows, n_columns, n_components = shape
    columns = confounds._columns(real_table(run), confounds.n_rows(real_table(run)))
    assert columns.shape == (n_rows, n_columns)
    assert confounds.components(columns).shape == (n_rows, n_components)


@needs_real
@pytest.mark.parametrize(("preset", "n_regressors"), [("motion6", 6), ("motion24", 24), ("motion24+acompcor", 34)])
def test_presets_of_a_real_table(tmp_path, preset, n_regressors):
    path = described(real_table("test_run-1"), tmp_path)
    regressors, steady = confounds._regressors(path, preset, 268)
    assert regressors.shape == (268, n_regressors + 6)  # and six cosines
    assert np.flatnonzero(~steady).tolist() == [0, 1]
    assert np.isfinite(regressors).all()


def test_components_agree_with_sklearn():
    columns = rng("pca").standard_normal((60, 30)) @ rng("mix").standard_normal((30, 30))
    columns[0, :4] = np.nan
    filled = np.where(np.isnan(columns), np.nanmean(columns, axis=0), columns)
    z = (filled - filled.mean(axis=0)) / (filled.std(axis=0) + 1e-8)
    expected = PCA(n_components=0.95, svd_solver="full").fit_transform(z)
    ours = confounds.components(columns)
    series = rng("series").standard_normal((60, 5)) + 7
    fitted = expected @ np.linalg.lstsq(expected, series, rcond=None)[0]
    np.testing.assert_allclose(confounds.regress_components(series, ours), series - fitted, atol=1e-5)


@pytest.mark.parametrize("preset", confounds.PRESETS)
def test_explained_variance_is_removed_and_the_mean_preserved(table, preset):
    columns = dict(zip(table.read_text().splitlines()[0].split("\t"), confounds._columns(table, 80).T, strict=True))
    moved = columns["trans_x"] + 0.5 * columns["rot_z"]
    series = (500 + 20 * np.stack([moved, rng("other").standard_normal(80)], axis=1)).astype(np.float32)
    found = confounds.clean(series, table, preset)
    kept = np.isfinite(found[:, 0])
    assert kept.sum() == (80 if preset in ("none", "pca95") else 79)
    explained = 1 - np.nanvar(found, axis=0) / series.var(axis=0)
    if preset == "none":
        assert np.array_equal(found, series)
    else:
        assert explained[0] > (0.9 if preset == "pca95" else 0.999)
        assert explained[1] < 0.9
        np.testing.assert_allclose(np.nanmean(found, axis=0), 500, atol=8)


@pytest.mark.parametrize("preset", confounds.PRESETS)
def test_a_vertex_without_data_does_not_affect_the_others(table, preset):
    series = rng("wall").standard_normal((80, 3)).astype(np.float32)
    without = series.copy()
    without[:, 1] = np.nan
    found, expected = confounds.clean(without, table, preset), confounds.clean(series, table, preset)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, [0, 2]], expected[:, [0, 2]], atol=1e-5)


def test_a_table_without_its_description_cannot_give_acompcor(table):
    table.with_suffix(".json").unlink()
    series = np.zeros((80, 2), np.float32)
    with pytest.raises(
        BadInput, match=r"'motion24\+acompcor' cannot be read .*json.*choose --confounds motion6 or none"
    ):
        confounds.clean(series, table, "motion24+acompcor")
    assert np.isfinite(confounds.clean(series, table, "motion24")[1:]).all()


@pytest.mark.parametrize("preset", ["motion24", "pca95"])
def test_another_number_of_rows_is_named(table, preset):
    with pytest.raises(BadInput, match=r"confounds_timeseries\.tsv: 80 rows for 81 volumes; expected as many"):
        confounds.clean(np.zeros((81, 2), np.float32), table, preset)


def test_a_table_of_texts_is_named(table):
    table.write_text("a\tb\nx\ty\n")
    with pytest.raises(BadInput, match="no table of confounds"):
        confounds.clean(np.zeros((1, 2), np.float32), table, "pca95")


def test_a_run_too_short_for_its_confounds_is_said(tmp_path, caplog):
    path = tmp_path / "sub-1_task-film_desc-confounds_timeseries.tsv"
    write_confounds(path, make_table(rng("short"), 30))
    series = rng("series").normal(size=(30, 3)).astype(np.float32)
    confounds.clean(series, path, "motion24")
    assert "regressors of 'motion24' for 29 volumes leave 10 %" in caplog.text
    assert "choose --confounds motion6 or none" in caplog.text
    caplog.clear()
    confounds.clean(series, path, "motion6")
    assert not caplog.text
