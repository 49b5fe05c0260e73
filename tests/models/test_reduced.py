"""Every name of the catalogue passes `models check`, which by default builds the network at reduced size."""

import pytest

from src import models
from src.cli import run_command
from src.models.extras import missing

QUICK = ("fake-net", "AVID-Kinetics400", "DINOv2-B", "VideoMAE-V1-B", "PE-Core-B")


def check(name: str, capsys) -> str:
    """Return what the command prints; skip a name whose packages are absent."""
    entry = models.MODELS[name]
    if entry.unavailable or missing(entry.extra):
        pytest.skip(entry.unavailable or missing(entry.extra))
    code = run_command("models", ["check", name, "--quiet", "--device", "cpu"])
    out = capsys.readouterr().out
    assert code == 0, out
    return out


@pytest.mark.parametrize("name", QUICK)
def test_a_reduced_network_passes(name, capsys):
    assert ("at reduced size" in check(name, capsys)) == (name != "fake-net")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in models.MODELS if name not in QUICK])
def test_every_other_name_passes_at_reduced_size(name, capsys):
    check(name, capsys)


def test_a_reduced_network_is_small_and_repeatable():
    model, again = (models.load("DINOv2-B", reduced=True) for _ in range(2))
    assert sum(part.numel() for part in model.module.parameters()) < 10**6
    assert model.digest == again.digest
    assert list(model.layers) == ["embeddings", "encoder.layer.0", "encoder.layer.1", "layernorm"]
