"""The four command lines that the project was asked for first, as typed, on miniatures of the releases.

The weights are those of seeded random networks under the published file names. Each line runs through fetching from
local servers, preparation, extraction, evaluation and report, and a second time from the store alone.
"""

import importlib
import re
import shlex
import sys
from contextlib import ExitStack, nullcontext

import pytest
import torch

from src import models
from src.cli import run_command, run_score
from src.data.release import BrainScore
from src.models.checkpoints import checkpoint_path
from src.models.sources import published
from tests.data.loopback import serving
from tests.data.test_public_datasets import bucket, declared, fetched_over_loopback, released  # noqa: F401
from tests.models import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LINES = {
    "score_behaviour.py --model alexnet --tasks rajalingham2018": ("rajalingham2018",),
    "score_electrodes.py --model resnet50_imagenet_full --datasets majajhong2015-V4 crcns-pvc1": (
        *("majajhong2015", "crcns_pvc1"),
    ),
    "score_fmri.py --model r3d_18 --datasets mcmahon2023-fmri keles2024-fmri": ("mcmahon2023", "keles2024"),
    "score_task.py --model resnet50_imagenet_full --tasks imagenet2012 selfmotion": ("imagenet2012", "selfmotion"),
}

# less film for a network of 40 GFLOP a window
SMALLER = {"keles2024": {"FILM_S": 60.0}, "mcmahon2023": {"N_CLIPS": {"train": 16, "test": 4}}}


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """Homes with the checkpoints of the three models."""
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("BRAINIO_HOME", str(tmp_path / "brainio"))
    for variable in ("DATA_HOME", "MMAP_HOME", "RESULTCACHING_HOME"):
        monkeypatch.delenv(variable, raising=False)
    checkpoints.write(tmp_path / "torch", "alexnet", "r3d_18")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = published.build("image_nets:resnet50").module.state_dict()
    path = checkpoint_path(models.MODELS["resnet50_imagenet_full"].weights)
    torch.save({"state": {"model": {f"module.{name}": value for name, value in state.items()}}}, path)
    return tmp_path


@pytest.mark.parametrize("line", LINES)
def test_a_line_runs_as_typed_and_again_from_the_store(line, homes, bucket, monkeypatch, capsys):  # noqa: F811
    script, *arguments = shlex.split(line)
    names = arguments[3:]
    benchmark = script.removeprefix("score_").removesuffix(".py")
    with serving({}) as server, ExitStack() as stack:
        for name, module in zip(names, LINES[line], strict=True):
            miniature = importlib.import_module(f"tests.data.miniatures.{module}")
            for constant, value in SMALLER.get(module, {}).items():
                monkeypatch.setattr(miniature, constant, value)
            folder = released(homes, miniature)
            stack.enter_context(getattr(miniature, "around", lambda *_: nullcontext())(folder))
            if not any(isinstance(need.origin, BrainScore) for need in declared(name).needs):
                monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
                fetched_over_loopback(declared(name), folder, server, bucket, monkeypatch)
            assert run_command("data", ["prepare", name, "--quiet"]) == 0
        capsys.readouterr()
        printed = run_as_typed(benchmark, arguments, monkeypatch, capsys)[0]
    titles = re.findall(rf"^{re.escape(arguments[1])} on (.+): ", printed, re.M)
    # a joint score does not depend on the order of its datasets
    assert titles == ([" + ".join(sorted(names))] if benchmark == "fmri" else names)
    # servers and Brain-Score's storage are gone
    again, messages = run_as_typed(benchmark, arguments, monkeypatch, capsys)
    assert again == printed
    assert not re.search("loading|regression|read-out|computing|Warning", messages)
    assert run_command("report", ["--output", str(homes / "report"), "--quiet"]) == 0
    page = (homes / "report" / "index.html").read_text()
    assert all(name in page for name in (arguments[1], *names))


def run_as_typed(benchmark, arguments, monkeypatch, capsys):
    """Run a script with these arguments on its command line; return what it prints, and its messages."""
    monkeypatch.setattr(sys, "argv", [f"score_{benchmark}.py", *arguments])
    assert run_score(benchmark) == 0
    return capsys.readouterr()


def test_an_area_that_a_study_lacks_is_answered_with_those_that_it_has(homes, capsys):
    assert run_score("electrodes", ["--model", "alexnet", "--datasets", "freemanziemba2013-V4"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "freemanziemba2013-V1" in line
    assert "freemanziemba2013-V2" in line
    assert "majajhong2015-V4" in line
