"""Users' models, the checks of a Model, and the command `dynamic-vision models`."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from src import models
from src.cli import run_command
from src.extraction.check import failed_extraction_checks
from src.models import extras
from src.models.inspect.check import failed_checks
from src.models.spec import Model
from src.utils import BadInput

ROOT = Path(__file__).resolve().parents[2]

IMAGES = """
import torch
from helper import WIDTH

def build():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, WIDTH, 7, stride=8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(WIDTH, 5))

def clips():
    return torch.nn.Sequential(torch.nn.Conv3d(3, 4, (3, 9, 9), stride=(1, 16, 16), padding=(1, 0, 0)), torch.nn.ReLU())

def number():
    return 3

def picky():
    return torch.nn.Linear(7, 3)

def unbuilt():
    import no_such_package
"""

SPEC = """
import torch
from src.models.spec import Model

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = torch.nn.AvgPool3d((2, 8, 8))

    def forward(self, x):
        return self.pool(x)

def model(**changes):
    facts = dict(
        name="own", module=Own().eval(), kind="video", fps=10.0, layers={"pool": "CTHW"}, digest="",
        preprocess=lambda frames: torch.from_numpy(frames).permute(3, 0, 1, 2).float(), num_frames=(2, 64))
    return Model(**{**facts, **changes})

def broken():
    return model(fps=0, layers={"hafl": "CTHW", "pool": "CTTX"}, num_frames=(9, 3))
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "helper.py").write_text("WIDTH = 6\n")
    (tmp_path / "mine.py").write_text(IMAGES)
    (tmp_path / "spec.py").write_text(SPEC)
    return tmp_path / "mine.py"


def test_a_network_of_images_from_a_file(file):
    model = models.load(f"{file}:build")
    assert (model.kind, model.fps, model.num_frames) == ("image", 25.0, (1, np.inf))
    assert model.layers == {"0": "CHW", "1": "CHW", "3": "CCC", "4": "C", "5": "C"}
    assert model.preprocess(np.zeros((2, 30, 40, 3), np.uint8)).shape == (2, 3, 224, 224)
    assert failed_checks(model) == []
    assert file in models.source_files(f"{file}:build")
    assert file.with_name("helper.py") in models.source_files(f"{file}:build")


def test_a_network_of_clips_from_a_file(file):
    model = models.load(f"{file}:clips")
    assert (model.kind, model.num_frames) == ("video", (1, np.inf))
    assert model.layers == {"0": "CTHW", "1": "CTHW"}
    assert model.preprocess(np.zeros((5, 30, 40, 3), np.uint8)).shape == (3, 5, 224, 224)
    assert failed_checks(model) == []


def test_the_digest_follows_weights_and_file(file):
    first = models.load(f"{file}:build")
    assert models.load(f"{file}:build").digest == first.digest
    variant = models.load(f"Random-{file}:build")
    assert variant.digest != first.digest
    assert models.load(f"Random-{file}:build").digest == variant.digest
    file.write_text(IMAGES.replace("manual_seed(1)", "manual_seed(2)"))
    assert models.load(f"{file}:build").digest != first.digest


def test_a_model_from_a_module_on_the_path(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    model = models.load("spec:model")
    assert (model.name, model.fps, model.layers) == ("spec:model", 10.0, {"pool": "CTHW"})
    assert len(model.digest) == 64
    assert failed_checks(model) == []


def test_a_digest_given_by_the_user_is_kept(file):
    (file.parent / "spec.py").write_text(SPEC + f"\ndef named():\n    return model(digest='{'a' * 64}')\n")
    assert models.load(f"{file.with_name('spec.py')}:named").digest == "a" * 64


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("bulid", "unknown function in .*mine.py: 'bulid'; did you mean build"),
        ("number", "is of type int; expected a torch.nn.Module or a Model record"),
        ("picky", r"takes none of images \(batch, 3, 224, 224\) \(RuntimeError"),
        ("unbuilt", "needs the package 'no_such_package'"),
    ],
)
def test_other_results_than_models_are_refused(function, message, file):
    with pytest.raises(BadInput, match=message):
        models.load(f"{file}:{function}")


def test_a_file_that_is_not_python_is_refused(tmp_path):
    (tmp_path / "bad.py").write_text("def build(:\n")
    with pytest.raises(BadInput, match=r"bad.py, line 1"):
        models.resolve(f"{tmp_path / 'bad.py'}:build")


def test_a_users_model_lists_its_failed_checks(file):
    with pytest.raises(BadInput, match="fails 4 checks of a model") as error:
        models.load(f"{file.with_name('spec.py')}:broken")
    for failure in ("fps is 0", "layer hafl is no module", "axes 'CTTX'", r"num_frames is (9, 3)"):
        assert failure in str(error.value)


class Faulty(nn.Module):
    """A linear layer with one fault at a time."""

    def __init__(self, fault: str):
        super().__init__()
        self.fault = fault
        self.out = nn.Identity()
        self.unused = nn.Identity()

    def forward(self, x):
        features = x.mean(dim=(1, 2))
        if self.fault == "infinite":
            features = features / 0
        if self.fault == "noisy":
            features = features + torch.rand_like(features)
        if self.fault == "batch":
            features = features - features.mean(dim=0)
        if self.fault == "tuple":
            features = (features, features)
        if self.fault == "shape":
            features = features[..., None]
        if self.fault == "crash":
            raise RuntimeError("no such size")
        return self.out(features)


def faulty(fault: str, **changes) -> Model:
    facts = {
        "name": fault,
        "module": Faulty(fault).eval(),
        "preprocess": lambda frames: torch.from_numpy(frames).float(),
        "layers": {"out": "C"},
        "kind": "image",
        "fps": 25.0,
        "digest": "0" * 64,
    }
    return Model(**{**facts, **changes})


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("infinite", "layer out has values that are not finite"),
        ("noisy", "layer out differs between two equal passes"),
        ("batch", "layer out depends on the batch"),
        ("tuple", "layer out gives tuple, expected a tensor"),
        ("shape", "layer out has shape (2, 3, 1) for a batch of 2, expected batch + C"),
        ("crash", "the network fails on noise: RuntimeError: no such size"),
    ],
)
def test_each_failed_check_is_named(fault, failure):
    (line,) = failed_checks(faulty(fault))
    assert failure in line


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"digest": ""}, "digest is ''"),
        ({"module": Faulty("none").train()}, "not in eval mode"),
        ({"layers": {"unused": "C"}}, "layer unused gives nothing: it did not run"),
        ({"layers": {}}, "layers is empty"),
        ({"layers": {"out": "TC"}}, "has a time axis"),
        ({"kind": "film"}, "kind is 'film'"),
        ({"preprocess": lambda frames: torch.from_numpy(frames)}, "preprocess gives torch.uint8"),
        ({"preprocess": lambda frames: torch.zeros(1, 4, 4, 3)}, "preprocess gives 1 rows for 2 frames"),
        ({"preprocess": 3}, "preprocess cannot be called"),
        ({"module": 3}, "module is int"),
    ],
)
def test_each_failed_record_check_is_named(changes, failure):
    lines = failed_checks(replace(faulty("none"), **changes))
    assert any(failure in line for line in lines), lines


def test_a_correct_model_passes_all_checks():
    assert failed_checks(faulty("none")) == []


@pytest.mark.parametrize("name", ["fake-net", "fake-image-net"])
def test_a_correct_model_passes_the_extraction_checks(name):
    assert failed_extraction_checks(models.load(name)) == []


class FaultyVideo(nn.Module):
    """A clip network whose output is NaN for the last frame, or that refuses clips of other lengths."""

    def __init__(self, fault: str):
        super().__init__()
        self.fault, self.out = fault, nn.Identity()

    def forward(self, clips):
        if self.fault == "length" and clips.shape[1] != 16:
            raise ValueError("16 frames, please")
        features = clips.mean(dim=(2, 3))
        if self.fault == "hole":
            features[:, -1] = float("nan")
        return self.out(features)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [("hole", "layer out lacks"), ("length", "block inference fails: ValueError: 16 frames, please")],
)
def test_a_fault_in_extraction_is_named(fault, failure):
    facts = {"kind": "video", "layers": {"out": "TC"}, "module": FaultyVideo(fault).eval()}
    broken = failed_extraction_checks(faulty(fault, **facts))
    assert any(failure in line for line in broken), broken


def test_list_is_fast_and_loads_no_torch():
    code = (
        "import sys, time\nfrom src.cli import run_command\nrun_command('models', ['list', '--all'])\n"
        "assert not {'torch', 'brainscore_vision', 'pandas'} & set(sys.modules)\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stderr) < 2
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "group", "kind", "params", "fps", "frames", "layers", "source", "ready"]
    assert len(lines) > 500
    pixels = next(line for line in lines if line.startswith("pixels "))
    assert pixels.split() == ["pixels", "control", "image", "0.0M", "25", "1+", "1", "control", "yes"]


def test_list_names_what_is_missing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setitem(extras.EXTRAS, "pytorchvideo", ("no_such_package",))
    gone = replace(models.MODELS["X3D"], name="gone", unavailable="lost; nearest: X3D")
    monkeypatch.setitem(models.MODELS, "gone", gone)
    assert run_command("models", ["list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["alexnet"].endswith("fetches alexnet-owt-7be5be79.pth")
    assert rows["TimeSformer"].endswith("fetches facebook/timesformer-base-finetuned-k400")
    assert rows["SlowFast"].endswith("needs pip install 'dynamic-vision[pytorchvideo]'")
    needed = "needs hmax_universal_patch_set.safetensors: see `dynamic-vision models check hmax --full`"
    assert rows["hmax"].endswith(needed)
    assert rows["gone"].endswith("unavailable: lost; nearest: X3D")
    assert rows["fake-net"].endswith("yes")


def test_check_exits_0_or_2(capsys, file):
    assert run_command("models", ["check", "fake-image-net"]) == 0
    out, log = capsys.readouterr()
    assert [line.split(": ")[1][:3] for line in log.splitlines()] == ["1/4", "2/4", "3/4", "4/4"]
    assert "all checks passed (conv1 CHW" in out
    assert f"digest {models.load('fake-image-net').digest}" in out
    noisy = "import torch\n\nclass Noisy(torch.nn.Conv2d):\n    def forward(self, x):\n"
    noisy += "        return super().forward(x) + torch.rand(1)\n\n"
    noisy += "def build():\n    return torch.nn.Sequential(Noisy(3, 2, 9, stride=16), torch.nn.ReLU())\n"
    file.write_text(noisy)
    assert run_command("models", ["check", f"{file}:build"]) == 2
    out, log = capsys.readouterr()
    assert "3/4" not in log
    assert "layer 0 differs between two equal passes" in out
    assert "2 checks failed" in out
    assert run_command("models", ["check", "alexnett"]) == 2
    assert "did you mean alexnet" in capsys.readouterr().err
