"""Conversion of published files: dispatch by model, arguments, and the place of the weight file."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.io import savemat

from src.models import MODELS
from src.models.checkpoints import checkpoint_path
from src.models.converters import CONVERTERS, convert
from src.utils import BadInput


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty TORCH_HOME."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path


def test_every_model_with_a_converter_names_the_command():
    named = {name for name, entry in MODELS.items() if entry.weights and "models convert" in entry.weights.how}
    assert named == set(CONVERTERS)
    for name in named:
        assert f"`dynamic-vision models convert {name} " in MODELS[name].weights.how


def test_a_published_file_is_converted_to_the_place_of_the_weights(home):
    patches = np.empty((1, 1), dtype=object)
    patches[0, 0] = np.arange(2 * 2 * 4 * 3.0).reshape(-1, 3)
    savemat(home / "patches.mat", {"patches": patches, "patchSizes": np.array([[2], [2], [4], [3]])})
    written = convert("hmax", home / "patches.mat")
    assert written == checkpoint_path(MODELS["hmax"].weights)
    assert load_file(written)["s2.0.weight"].shape == (3, 4, 2, 2)
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_two_published_files_are_joined(home):
    image, trained = {"patch_embed.proj.weight": torch.ones(2, 3, 4, 4)}, {"visual_encoder.gmhra.0.a": torch.ones(1)}
    torch.save(image, home / "eva_vit_g.pth")
    torch.save({"model": trained}, home / "stage1.pth")
    state = torch.load(convert("VideoChat-7B", home / "eva_vit_g.pth", home / "stage1.pth"), weights_only=True)
    assert set(state) == {"visual_encoder.patch_embed.proj.weight", "visual_encoder.gmhra.0.a"}


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("hmacks", ("a",), "unknown model with a converter 'hmacks'; did you mean hmax"),
        ("hmax", (), r"0 files for hmax; expected 1; fetch https://.*models convert hmax universal_patch_set.mat"),
        ("VideoChat-7B", ("a",), "1 files for VideoChat-7B; expected 2"),
        ("MotionNet", ("absent.h5",), "no file absent.h5; expected a published file of MotionNet"),
        ("hmax", (__file__,), "test_converters.py cannot be converted for hmax .*fetch it again"),
    ],
)
def test_wrong_arguments_are_refused(name, files, message, home):
    with pytest.raises(BadInput, match=message):
        convert(name, *files)
    assert not (home / "home").exists() or not list((home / "home").rglob("*.*"))
