import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

import src.data as data
from src.data.behaviour import rajalingham2018
from src.data.synthetic.files import write_image
from src.utils import BadInput


@pytest.fixture
def assembly(tmp_path):
    """Four images of two objects and eight trials, laid out as Brain-Score's."""
    ids, objects = ["i0", "i1", "i2", "i3"], ["bear", "ELEPHANT_M", "bear", "ELEPHANT_M"]
    for name in ids:
        write_image(tmp_path / f"{name}.png", np.full((4, 4, 3), int(name[1]), np.uint8))
    stimulus_set = StimulusSet({"image_id": ids, "stimulus_id": ids, "image_label": objects})
    stimulus_set.stimulus_paths = {name: tmp_path / f"{name}.png" for name in ids}
    stimulus_set.identifier = "objectome.public"
    shown = np.tile(np.arange(4), 2)
    sample = np.array(objects)[shown]
    distractor = np.where(sample == "bear", "ELEPHANT_M", "bear")
    choice = np.where(np.arange(8) % 3 == 0, distractor, sample)
    found = BehavioralAssembly(
        choice,
        coords={
            "image_id": ("presentation", np.array(ids)[shown]),
            "stimulus_id": ("presentation", np.array(ids)[shown]),
            "sample_obj": ("presentation", sample),
            "dist_obj": ("presentation", distractor),
            "truth": ("presentation", sample),
            "WorkerId": ("presentation", np.array([f"w{i % 3}" for i in range(8)])),
            "enough_human_data": ("presentation", np.zeros(8, bool)),
        },
        dims=["presentation"],
    )
    found.attrs["stimulus_set"] = stimulus_set
    return found


def test_trials_and_images_come_over(assembly, monkeypatch, tmp_path):
    monkeypatch.setattr(rajalingham2018, "fetch", lambda: assembly)
    record = data.declaration("behaviour", "rajalingham2018").load(tmp_path / "rajalingham2018")
    assert record.classes == ("ELEPHANT_M", "bear")
    assert record.stimuli.ids == ("i0", "i1", "i2", "i3")
    assert set(record.stimuli.kind) == {"image"}
    assert record.fitting is None
    assert list(record.trials["choice"]) == list(assembly.values)
    assert list(record.trials["truth"]) == list(assembly["sample_obj"].values)
    assert list(record.trials["distractor"]) == list(assembly["dist_obj"].values)
    assert list(record.trials["subject"])[:4] == ["w0", "w1", "w2", "w0"]


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    def unreachable(_name):
        raise Exception(["NoCredentialsError", "EndpointConnectionError"])

    monkeypatch.setattr("brainscore_vision.load_dataset", unreachable)
    expected = (
        r"rajalingham2018 cannot be had .*EndpointConnectionError.*; expected Rajalingham2018.public .*BRAINIO_HOME"
    )
    with pytest.raises(BadInput, match=expected) as caught:
        rajalingham2018.fetch()
    assert "\n" not in str(caught.value)
