"""A network and a recording of your own, with nothing to register.

    dynamic-vision score electrodes --model examples/own_model.py:network --datasets examples/own_model.py:recording

The responses here are made up (each unit follows the brightness of one quadrant): put your recording in their place.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import dynamic_vision as dv
from dynamic_vision.data.films import write_lossless


def network() -> nn.Module:
    """Return any torch.nn.Module that takes images (batch, 3, 224, 224) or clips (batch, 3, T, 224, 224)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())


def load(folder: Path) -> dv.Responses:
    """Return 40 films of 1 s and 4 units that were recorded twice in bins of 100 ms."""
    rng, paths = np.random.default_rng(0), [folder / f"film-{i}.mkv" for i in range(40)]
    brightness = rng.uniform(0, 1, (40, 10, 2, 2))
    for path, film in zip(paths, brightness, strict=True):
        frames = (255 * film).astype(np.uint8).repeat(3, axis=0)
        write_lossless(path, frames.repeat(32, axis=1).repeat(32, axis=2), fps=30)
    values = brightness.reshape(40, 1, 10, 4) + rng.normal(0, 0.1, (40, 2, 10, 4))
    units = {"unit_id": ["upper left", "upper right", "lower left", "lower right"]}
    return dv.responses(paths, values, bin_ms=100, units=units)


def recording() -> dv.Electrodes:
    """Return the declaration of the data; its fields are printed and stored with every score."""
    facts = {"citation": "mine", "licence": "mine", "access": "own", "source": "my laboratory"}
    return dv.Electrodes(name="mine", study="mine", load=load, **facts)
