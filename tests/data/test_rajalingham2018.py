import numpy as np
import pytest

from src.data.behaviour import rajalingham2018
from src.data.brainio import from_brainscore
from src.data.release import Release
from src.utils import BadInput
from tests.data.miniatures import rajalingham2018 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

(DECLARED,) = rajalingham2018.DATASETS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("rajalingham2018")
    study = home / "data" / miniature.STUDY
    miniature.write(study)
    with miniature.around(study, brainio_home=home / "brainio"):
        yield home


def test_trials_and_images_are_read(home, tmp_path):
    record = DECLARED.read(Release(DECLARED.name, home / "data" / miniature.STUDY))
    assert_holds(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert_comes_back(record, tmp_path / DECLARED.name)
    assembly = from_brainscore.assembly(DECLARED.name, rajalingham2018.ASSEMBLY)
    assert record.classes == ("ELEPHANT_M", "bear", "car", "wrench")
    assert set(record.stimuli.kind) == {"image"}
    assert record.fitting is None
    for ours, theirs in {"truth": "sample_obj", "distractor": "dist_obj", "subject": "WorkerId"}.items():
        assert list(record.trials[ours]) == list(assembly[theirs].values)
    assert list(record.trials["choice"]) == list(assembly.values)


@pytest.mark.slow
def test_the_observers_layer_agrees_with_it(home):
    test, printed = scores("behaviour", DECLARED, home)
    assert max(test, key=test.get) == "colour"
    assert test["colour"] > 0.3
    assert 0.6 < printed["notes"]["human accuracy"] < 1


def test_without_a_network_the_message_names_the_remedy(monkeypatch):
    def unreachable(_name):
        raise Exception(["NoCredentialsError", "EndpointConnectionError"])

    monkeypatch.setattr("brainscore_vision.load_dataset", unreachable)
    expected = (
        r"rajalingham2018 cannot be read .*EndpointConnectionError.*; expected Rajalingham2018.public .*BRAINIO_HOME"
    )
    with pytest.raises(BadInput, match=expected) as caught:
        DECLARED.read(Release(DECLARED.name, None))
    assert "\n" not in str(caught.value)


def test_stimulus_columns_are_narrowed_to_the_given_ones(home):
    found = from_brainscore.stimulus_set(DECLARED.name, "objectome.public")
    narrow = from_brainscore.narrowed(found, ("image_label", "nothing"))
    assert list(narrow.columns) == ["stimulus_id", "image_label"]
    assert np.array_equal(narrow["stimulus_id"], found["image_id"])
    assert narrow.stimulus_paths == found.stimulus_paths
