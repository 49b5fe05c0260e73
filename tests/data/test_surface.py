"""Resampling of volumes and full surfaces to fsaverage5."""

import gzip
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from nilearn.surface import load_surf_mesh, vol_to_surf

from src.data.fmri import subjects, surface
from src.utils import BadInput
from tests.data.miniatures import lahner2024
from tests.data.planted_fmri import AFFINE, N_GROUPS, SHAPE, rng, write_volumes


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    path = tmp_path_factory.mktemp("volumes") / "volumes.nii.gz"
    write_volumes(path, rng("volumes").standard_normal((3, N_GROUPS)), tr_s=1.5)
    return path


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    lahner2024.write_meshes(home / "study" / "fsaverage")
    return SimpleNamespace(name="study-fmri", folder=home / "study")


def test_sampling_is_nilearns_left_first(volumes, monkeypatch):
    monkeypatch.setattr(surface, "VOLUMES_AT_A_TIME", 2)
    meshes, image = surface.fsaverage5(), nibabel.load(volumes)
    ours = surface.sample_volumes(volumes)
    assert ours.shape == (3, 20484)
    left = vol_to_surf(image, meshes["pial_left"], inner_mesh=meshes["white_left"])
    np.testing.assert_allclose(ours[:, :10242].T, left, rtol=1e-5)
    ball = surface.sample_volumes(volumes, "pial-ball")
    right = vol_to_surf(image, meshes["pial_right"], kind="ball", radius=3.0)
    np.testing.assert_allclose(ball[:, 10242:].T, right, rtol=1e-5)
    assert not np.allclose(ours, ball)


def test_a_vertex_samples_its_own_place(tmp_path):
    place = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    image = nibabel.Nifti1Image(place.reshape(*SHAPE, 3).astype(np.float32), AFFINE)
    nibabel.save(image, tmp_path / "place.nii.gz")
    sampled = surface.sample_volumes(tmp_path / "place.nii.gz")
    for side, half in (("left", sampled[:, :10242]), ("right", sampled[:, 10242:])):
        pial, white = (load_surf_mesh(surface.fsaverage5()[f"{m}_{side}"]).coordinates for m in ("pial", "white"))
        assert np.abs(half.T - (pial + white) / 2).max() < 1.0


def test_vertices_outside_the_volume_have_no_data(tmp_path):
    low = AFFINE.copy()
    low[2, 3] = -200  # the slab ends below the brain's upper half
    values = rng("slab").standard_normal((*SHAPE, 2)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, low), tmp_path / "slab.nii.gz")
    for sampling in surface.SAMPLING:
        seen = surface.sample_volumes(tmp_path / "slab.nii.gz", sampling)
        outside = ~np.isfinite(seen).all(axis=0) | (np.ptp(seen, axis=0) == 0)
        assert 0.3 < outside.mean() < 1.0
        assert subjects.fill_empty(seen)["vertices without data"] == outside.sum()
        assert np.isfinite(seen).all()


@pytest.mark.parametrize(("zoom", "unit", "tr_ms"), [(1.5, "sec", 1500), (608, "msec", 608), (0, "sec", None)])
def test_repetition_times_of_headers(zoom, unit, tr_ms):
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.float32), AFFINE)
    image.header.set_zooms((8, 8, 8, zoom))
    image.header.set_xyzt_units("mm", unit)
    assert surface.tr_ms(image) == tr_ms


def test_damaged_volumes_are_named(tmp_path, volumes):
    whole = volumes.read_bytes()
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"broken\.nii\.gz ends at volume 0 or later .*damaged: get it again"):
        surface.sample_volumes(broken)
    broken.write_bytes(gzip.compress(b"no image"))
    with pytest.raises(BadInput, match=r"broken\.nii\.gz cannot be read as NIfTI"):
        surface.sample_volumes(broken)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), AFFINE), broken)
    with pytest.raises(BadInput, match=r"an image of shape \(4, 4, 4\); expected volumes \(x, y, z, n\)"):
        surface.sample_volumes(broken)


@pytest.mark.parametrize("method", surface.DOWNSAMPLING)
def test_fsaverage_to_fsaverage5(release, method):
    nearest = lahner2024.nearest()
    of_vertex = rng("of vertex").standard_normal(10242)
    noise = 0.1 * rng("noise").standard_normal((2, 163842))
    down = surface.Downsampling(release, method)
    found = down(of_vertex[nearest] + noise, "R")
    assert found.shape == (2, 10242)
    assert found.dtype == np.float32
    if method == "nested":
        np.testing.assert_allclose(found, (of_vertex[nearest] + noise)[:, :10242], rtol=1e-5)
    else:
        # the miniature's pial neighbours are fewer than ten for some
        share = np.mean(np.abs(found - of_vertex) < 0.15)
        assert share > (0.95 if method == "sphere" else 0.85)


def test_the_mean_on_the_sphere_uses_every_vertex(release):
    down = surface.Downsampling(release, "sphere")
    weights = down._maps["L"]
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights.nnz == 163842


def test_missing_meshes_are_named_with_the_command(tmp_path):
    release = SimpleNamespace(name="study-fmri", folder=tmp_path / "study")
    with pytest.raises(BadInput, match=r"sphere_left\.gii\.gz of fsaverage is not in .*--downsampling nested"):
        surface.Downsampling(release)
    assert surface.Downsampling(release, "nested")(np.ones((1, 163842)), "L").shape == (1, 10242)


def test_another_mesh_is_refused(release):
    path = release.folder / "fsaverage" / "zz" / "flat_left.gii.gz"
    path.parent.mkdir()
    points = nibabel.gifti.GiftiDataArray(np.zeros((12, 3), np.float32), intent="NIFTI_INTENT_POINTSET")
    nibabel.save(nibabel.gifti.GiftiImage(darrays=[points]), path)
    with pytest.raises(BadInput, match=r"\(12, 3\) coordinates; expected \(163842, 3\)"):
        surface.full_mesh(release, "flat", "L")
    with pytest.raises(BadInput, match="40962 vertices; expected 163842"):
        surface.check_width(path, 40962)
