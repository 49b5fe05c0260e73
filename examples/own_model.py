"""Score a network of your own on films and responses of your own.

    python examples/own_model.py

The responses here are made up (each unit follows the brightness of one quadrant); put your recording in their place.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from src.cli import main
from src.data.declare import Electrodes
from src.data.films import write_lossless
from src.records import Responses, Stimuli
from src.utils import regular_bins


def network() -> nn.Module:
    """Any torch.nn.Module that takes images (batch, 3, 224, 224) or clips (batch, 3, T, 224, 224)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())


def load(folder: Path) -> Responses:
    """40 films of 1 s and 4 units, recorded twice in bins of 100 ms: values (film, repetition, bin, unit)."""
    rng, paths = np.random.default_rng(0), [folder / f"film-{i}.mkv" for i in range(40)]
    brightness = rng.uniform(0, 1, (40, 10, 2, 2))
    for path, film in zip(paths, brightness, strict=True):
        frames = (255 * film).astype(np.uint8).repeat(3, axis=0)
        write_lossless(path, frames.repeat(32, axis=1).repeat(32, axis=2), fps=30)
    values = brightness.reshape(40, 1, 10, 4) + rng.normal(0, 0.1, (40, 2, 10, 4))
    stimuli = Stimuli("my films", tuple(p.stem for p in paths), tuple(paths), np.full(40, 1000.0), ("video",) * 40)
    units = {"unit_id": ["upper left", "upper right", "lower left", "lower right"]}
    return Responses(stimuli, values.astype(np.float32), regular_bins(1000, 100), units, ("me", "me"))


def recording() -> Electrodes:
    """What is known of the data; the fields are printed and stored with every score."""
    card = {"citation": "mine", "licence": "mine", "access": "own", "source": "my laboratory"}
    return Electrodes(name="mine", study="mine", load=load, **card)


if __name__ == "__main__":
    here = os.path.relpath(__file__)
    sys.exit(main("electrodes", ["--model", f"{here}:network", "--datasets", f"{here}:recording"]))
