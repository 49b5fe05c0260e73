import numpy as np
import pytest

from src.data.brainio import from_brainscore
from src.data.electrodes import freemanziemba2013
from src.data.release import Release
from src.utils import BadInput
from tests.data.miniatures import freemanziemba2013 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

DATASETS = {d.name: d for d in freemanziemba2013.DATASETS}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("freemanziemba2013")
    study = home / "data" / miniature.STUDY
    miniature.write(study)
    with miniature.around(study, brainio_home=home / "brainio"):
        yield home


def read(home, name):
    return DATASETS[name].read(Release(name, home / "data" / miniature.STUDY))


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_is_read_and_kept(home, name, tmp_path):
    record = read(home, name)
    assert_holds(DATASETS[name], record, miniature.EXPECTED[name])
    assert_comes_back(record, tmp_path / name)
    assert set(record.units["region"]) == {name[-2:]}
    assert record.time_ms.tolist() == [[50, 200]]
    assert set(record.stimuli.table["texture_type"]) == {"texture", "noise"}


def test_the_window_is_averaged_as_brainscore_averages_it(home):
    found = from_brainscore.assembly("freemanziemba2013-V2", freemanziemba2013.ASSEMBLY)
    record = freemanziemba2013.convert(found, "V2")
    theirs = found.values[:, found["region"].values == "V2", 50:200].mean(axis=2)
    row = {name: i for i, name in enumerate(record.stimuli.ids)}
    at = [row[name] for name in found["stimulus_id"].values]
    np.testing.assert_allclose(record.values[at, found["repetition"].values, 0], theirs, atol=1e-5)
    assert record.units["unit_id"].tolist() == [str(k) for k in range(7, 12)]


def test_a_recording_that_ends_before_the_window_is_refused(home):
    found = from_brainscore.assembly("freemanziemba2013-V1", freemanziemba2013.ASSEMBLY)
    short = found.isel(time_bin=np.arange(150))
    short.attrs = found.attrs
    with pytest.raises(BadInput, match=r"bins from 0 to 150 ms; expected them to cover 50 to 200 ms"):
        freemanziemba2013.convert(short, "V1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"), [("freemanziemba2013-V1", "orientation"), ("freemanziemba2013-V2", "colour")]
)
def test_the_planted_layer_wins(home, name, layer):
    test, printed = scores("electrodes", DATASETS[name], home)
    assert max(test, key=test.get) == layer
    assert test[layer] > 0.5
    assert printed["ceiling"] > 0.8
