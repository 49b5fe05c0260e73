import numpy as np
import pytest

from src.data.brainio import from_brainscore
from src.data.electrodes import majajhong2015
from src.data.fetching import fetch
from src.data.release import Release
from src.data.tasks import majajhong2015_pose
from src.utils import BadInput
from tests.data.miniatures import majajhong2015 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

DATASETS = {d.name: d for d in (*majajhong2015.DATASETS, *majajhong2015_pose.DATASETS)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Home with the miniature as Brain-Score's storage, on a local server."""
    home = tmp_path_factory.mktemp("majajhong2015")
    study = home / "data" / miniature.STUDY
    miniature.write(study)
    with miniature.around(study, brainio_home=home / "brainio"):
        yield home


def read(home, name, **options):
    return DATASETS[name].read(Release(name, home / "data" / miniature.STUDY, options))


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_is_read_and_kept(home, name, tmp_path):
    record = read(home, name)
    assert_holds(DATASETS[name], record, miniature.EXPECTED[name])
    assert_comes_back(record, tmp_path / name)


def test_downloads_are_found_at_the_places_of_the_needs(home):
    for name in DATASETS:
        assert fetch(DATASETS[name], home / "data" / miniature.STUDY) == []
    for need in DATASETS["majajhong2015-V4"].needs:
        assert len(need.found(home / "brainio")) == 1


def test_a_region_has_its_units_and_all_trials(home):
    record = read(home, "majajhong2015-V4")
    assert set(record.units["region"]) == {"V4"}
    assert {"animal", "x"} <= set(record.units)
    assert record.time_ms.tolist() == [[70, 170]]
    assert set(record.stimuli.kind) == {"image"}
    assert record.stimuli.duration_ms.tolist() == [170] * 92
    assert record.subjects == ("Chabo+Tito",) * 4
    missing = np.isnan(record.values).any(axis=(2, 3))
    assert 0.03 < missing.mean() < 0.15
    assert np.isfinite(record.values[:, 0]).all()
    columns = miniature.table()
    assert record.stimuli.ids == tuple(columns["image_id"])
    np.testing.assert_allclose(record.stimuli.table["ty"], columns["ty"], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "layer", "least"),
    [
        ("majajhong2015-V4", "electrodes", "colour", 0.8),
        ("majajhong2015-IT", "electrodes", "orientation", 0.6),
        ("majajhong2015-pose", "task", "colour", 0.6),
    ],
)
def test_the_planted_layer_wins(home, name, kind, layer, least):
    test, _ = scores(kind, DATASETS[name], home)
    assert max(test, key=test.get) == layer
    assert test[layer] > least


def test_repetitions_with_equal_numbers_are_renumbered(home):
    found = from_brainscore.assembly("majajhong2015-V4", majajhong2015.ASSEMBLY)
    plain = type(found)(
        found.reset_index("presentation").assign_coords(
            repetition=("presentation", np.zeros(found.sizes["presentation"], int))
        )
    )
    plain.attrs = found.attrs
    record = majajhong2015.convert(plain, "V4")
    assert record.values.shape[1] == 4
    assert np.isfinite(record.values).sum() == found.sizes["presentation"] * 8


@pytest.mark.parametrize(
    ("identifier", "kind"),
    [("hvm-public", "stimuli"), ("MajajHong2015.public", "data"), ("FreemanZiemba2013.public", "data")],
)
def test_a_set_is_loaded_by_the_loader_of_its_kind(monkeypatch, identifier, kind):
    import brainscore_vision

    loaded = []
    monkeypatch.setattr(brainscore_vision, "stimulus_set_registry", {})
    monkeypatch.setattr(brainscore_vision, "load_stimulus_set", lambda name: loaded.append(("stimuli", name)))
    monkeypatch.setattr(brainscore_vision, "load_dataset", lambda name: loaded.append(("data", name)))
    from_brainscore.get("majajhong2015-V4", identifier)
    assert loaded == [(kind, identifier)]


def test_a_missing_region_is_named(home):
    found = from_brainscore.assembly("majajhong2015-V4", majajhong2015.ASSEMBLY)
    with pytest.raises(BadInput, match=r"regions IT, V4; expected PIT"):
        majajhong2015.convert(found, "PIT")


def test_a_damaged_file_is_distinguished_from_a_missing_network(home, monkeypatch):
    (kept,) = (home / "brainio").glob("*/assy_dicarlo_MajajHong2015_public.nc")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-100])
    with pytest.raises(BadInput, match=r"SHA1 mismatch.*MajajHong2015.public.*damaged: remove it"):
        read(home, "majajhong2015-V4")
    kept.write_bytes(whole)


def test_images_of_one_pose_are_left_out(home):
    record = read(home, "majajhong2015-pose")
    assert record.names == ("s", "rxy", "ryz", "rxz", "tz", "ty")
    assert record.notes["images of one pose left out"] == 12
    assert set(record.stimuli.table["variation"]) == {3}
    everything = read(home, "majajhong2015-pose", variation="all", rotations="circular")
    assert len(everything.stimuli) == 92
    assert everything.names == ("s", "rxy-sin", "rxy-cos", "ryz-sin", "ryz-cos", "rxz-sin", "rxz-cos", "tz", "ty")
    sine, cosine = everything.values[:, 1], everything.values[:, 2]
    np.testing.assert_allclose(sine**2 + cosine**2, 1)
    assert len(set(everything.strata)) == 8


def test_a_stimulus_set_without_poses_is_refused(home):
    found = from_brainscore.stimulus_set("majajhong2015-pose", majajhong2015.STIMULI)
    with pytest.raises(BadInput, match="hvm-public has no column rxy"):
        majajhong2015_pose.convert(found.drop(columns="rxy"))
