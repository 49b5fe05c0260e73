"""Whole networks at full size, drawn from a seed: they build, take a film's frames, and keep their promises."""

import pytest

from src import models
from src.models.extras import missing
from src.models.inspect.check import broken_promises

NAMES = ("SlowFast", "X3D", "TimeSformer", "DINOv2-B", "SigLIP2-B", "Hiera-Video-B")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_keeps_every_promise(name):
    if missing(models.MODELS[name].extra):
        pytest.skip(missing(models.MODELS[name].extra))
    assert broken_promises(models.load(f"Random-{name}", limit=4)) == []
