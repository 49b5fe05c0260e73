"""One call with several contexts: planted temporal windows are found through the whole path; models are loaded once."""

import re

import pandas as pd
import pytest

from tests.conftest import Cli

NETWORK = """
import torch
from src.models.spec import Model

class Recent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Identity()

    def forward(self, clips):
        return self.mean(clips.mean(dim=2).flatten(1))

def preprocess(frames):
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    return torch.nn.functional.adaptive_avg_pool2d(pictures, (2, 6)).transpose(0, 1)

def net():
    network = Recent().eval()
    return Model("recent", network, preprocess, {"mean": "C"}, kind="video", fps=2.0, digest="")
"""
RECORDING = """
import av
import numpy as np
from src.data.declare import Fmri
from src.records import Responses, Stimuli
from src.utils import regular_bins

N = 320  # frames of 0.5 s

def averaged(series, n):
    return np.stack([series[max(0, t - n + 1) : t + 1].mean(axis=0) for t in range(len(series))])

def load(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng, values = np.random.default_rng(0), []
    paths = [folder / f"film{k}.mkv" for k in range(3)]
    weights = rng.standard_normal((12, 3))
    for path in paths:
        grey = rng.integers(30, 220, (N, 2, 6))
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=2)
            stream.width, stream.height, stream.pix_fmt = 48, 16, "bgr0"
            for image in grey.repeat(8, 1).repeat(8, 2).astype(np.uint8):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image[..., None].repeat(3, 2), format="rgb24")))
            out.mux(stream.encode())
        series = grey.reshape(N, 12) / 255
        units = [averaged(series, n) @ weights for n in (2, 8, 32)]
        units = np.concatenate([u / u.std(axis=0) for u in units], axis=1)
        noisy = units + 0.7 * rng.standard_normal(units.shape)
        values.append(np.concatenate([noisy, rng.standard_normal((N, 6))], axis=1))
    bins_ms = regular_bins(500.0 * N, 500.0)
    table = {"unit_id": np.arange(15).astype(str), "region": ["1 s"] * 3 + ["4 s"] * 3 + ["16 s"] * 3 + ["noise"] * 6}
    stimuli = Stimuli("films", tuple(p.stem for p in paths), tuple(paths), np.full(3, 500.0 * N), ("video",) * 3)
    return Responses(stimuli, np.stack(values)[:, None].astype(np.float32), bins_ms, table, ("a",))

def data():
    terms = dict.fromkeys(("citation", "licence", "access", "source"), "own")
    return Fmri(name="windows", study="windows", load=load, tr_ms=500.0, high_passed=True, **terms)
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Printed text, messages and table of a sweep in causal windows."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "net.py").write_text(NETWORK)
    (folder / "rec.py").write_text(RECORDING)
    options = ("--model", folder / "net.py:net", "--datasets", folder / "rec.py:data", "--inference-mode", "causal")
    options += ("--context-duration", "16000", "1000", "4000", "500", "--hrf", "none", "--no-ceiling")
    options += ("--bootstrap", "100", "--splits", "5", "--gap", "16", "--output", folder / "s.csv")
    done = Cli.at(folder / "home")("fmri", *options)
    return done.stdout, done.stderr, pd.read_csv(folder / "s.csv", float_precision="round_trip")


@pytest.mark.slow
def test_planted_windows_are_found_through_the_whole_path(swept):
    text, _, table = swept
    chosen = table[table["chosen"]]
    assert sorted(table["context_ms"].unique()) == [500, 1000, 4000, 16000]
    windows = chosen.groupby("target_region")["window_ms"].median()
    assert windows[["1 s", "4 s", "16 s"]].tolist() == [1000, 4000, 16000]
    found = dict(re.findall(r"^(1 s|4 s|16 s|noise|all) +(\S+) ", text[text.index("temporal window") :], re.MULTILINE))
    assert [found[name] for name in ("1 s", "4 s", "16 s", "noise")] == ["1", "4", "≥16", "-"]


@pytest.mark.slow
def test_model_and_data_are_loaded_once(swept):
    _, messages, _ = swept
    assert messages.count("loading rec.py:data") == 1
    assert messages.count("loading net.py:net") == 1


def test_contexts_beyond_the_windows_of_a_model_are_said(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK.replace("fps=2.0", "fps=2.0, num_frames=(2, 4)"))
    (tmp_path / "rec.py").write_text(RECORDING)
    options = ("--model", tmp_path / "net.py:net", "--datasets", tmp_path / "rec.py:data", "--dry-run")
    cli = Cli.at(tmp_path / "home")
    done = cli("fmri", *options, "--context-duration", "500", "1500", "4000", "16000")
    expected = (
        "net.py:net: windows of 1 to 2 s; it sees contexts of 0.5 s as 1 s and of 4, 16 s as 2 s, and equal windows"
    )
    assert f"{expected} give equal scores\n" in done.stderr
    assert done.stdout.count(", context 16 s ") == 2
    assert "windows of" not in cli("fmri", *options, "--context-duration", "1000", "2000").stderr
