"""The areas of fsaverage5 from the pinned atlas, with the real files if available."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from src.data.fmri import atlas
from src.data.release import Release
from src.utils import BadInput, file_digest

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/atlas"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared real files are not beside the checkout")


@pytest.fixture
def release(tmp_path):
    (tmp_path / "study").mkdir()
    return Release("study-fmri", tmp_path / "study")


@pytest.fixture
def with_atlas(release):
    shutil.copytree(REAL / "fsaverage", release.folder.parent / "atlas")
    return release


@needs_real
def test_the_real_files_are_the_pinned_ones():
    for hemi, file in atlas.FILES.items():
        assert file_digest(REAL / "fsaverage" / file) == atlas.SHA256[hemi]


@needs_real
def test_areas_of_the_nested_vertices(with_atlas):
    units, notes = atlas.units(with_atlas)
    region = units["region"]
    assert [len(column) for column in units.values()] == [20484] * 4
    assert units["hemi"][[0, 10241, 10242, 20483]].tolist() == ["L", "L", "R", "R"]
    assert units["vertex"][10242] == 0
    assert (region == "L_V1").sum() == 259
    assert (region == "R_V1").sum() == 264
    left, right = set(region[:10242]) - {"none"}, set(region[10242:]) - {"none"}
    assert len(left) == len(right) == 180
    assert all(name.startswith("L_") for name in left)
    assert all(name.startswith("R_") for name in right)
    assert "figshare 3498446 v2" in notes["regions"]


@needs_real
def test_another_source_of_the_same_atlas_differs():
    ours = atlas.regions(REAL / "fsaverage")
    theirs = np.loadtxt(REAL / "enigma" / "glasser_360_fsa5.csv", delimiter=",").astype(int).ravel()
    assert [(theirs[:10242] == 1).sum(), (theirs[10242:] == 181).sum()] == [284, 299]
    for side, share in ((slice(0, 10242), 0.86), (slice(10242, None), 0.77)):
        both = (ours[side] != "none") & (theirs[side] > 0)
        numbers = theirs[side][both]
        names = {number: _most(ours[side][both][numbers == number]) for number in np.unique(numbers)}
        same = np.array([names[number] for number in numbers]) == ours[side][both]
        assert abs(same.mean() - share) < 0.02


def _most(names):
    values, counts = np.unique(names, return_counts=True)
    return values[counts.argmax()]


def test_without_the_atlas_regions_are_unknown_and_noted(release):
    units, notes = atlas.units(release)
    assert set(units["region"]) == {"unknown"}
    assert notes["regions"] == "unknown: no lh.HCP-MMP1.annot and rh.HCP-MMP1.annot in DATA_HOME/atlas"


@needs_real
def test_files_of_another_source_are_refused(with_atlas):
    left = with_atlas.folder.parent / "atlas" / "lh.HCP-MMP1.annot"
    shutil.copy(REAL / "enigma" / "fsa5_lh_glasser_360.annot", left)
    with pytest.raises(BadInput, match=r"lh\.HCP-MMP1\.annot is not HCP-MMP1 as published on figshare 3498446 v2"):
        atlas.units(with_atlas)
