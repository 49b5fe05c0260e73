"""Networks at full size with sampled weights pass the checks."""

import pytest

from src import models
from src.models.extras import missing
from src.models.inspect.check import failed_checks

NAMES = ("SlowFast", "X3D", "TimeSformer", "DINOv2-B", "SigLIP2-B", "Hiera-Video-B")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_passes_every_check(name):
    if missing(models.MODELS[name].extra):
        pytest.skip(missing(models.MODELS[name].extra))
    assert failed_checks(models.load(f"Random-{name}", limit=4)) == []
