"""Films decoded once for several models, and recurrent networks that carry their state, against calls of their own.

    python -m benchmarks.shared_films
    python -m benchmarks.shared_films --size 1920x1080 --device cuda --models Random-resnet18 Random-r3d_18

Several models over two films in one pass, and one after the other.
State: ConvLSTM of four layers of 4 channels in causal inference whose context covers the film of 4 s, with its state
carried, and with a window per frame. Both sides run in turn; printed: seconds of each, and the ratio of the medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.extraction import load_films, write_films
from src import models
from src.extraction import ArraySink
from src.extraction.extract import Part, extract_parts
from src.models.spec import Model
from src.records import Stimuli
from src.utils import regular_bins

MODELS = ("Random-alexnet", "fake-image-net", "pixels")
BIN_MS, COMPONENTS = 1000.0, 200


class Windowed(nn.Module):
    """A recurrent network without the method that carries its state."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.network(frames)


def made_films(folder: Path, size: str, n_films: int, seconds: float) -> Stimuli:
    """Return films of `size` (width x height)."""
    width, height = map(int, size.split("x"))
    write_films(folder, n_films, seconds, (height, width))
    return load_films(folder)


def recurrent() -> Model:
    """Return a small ConvLSTM with its preprocessing."""
    from src.models.networks.convlstm import ConvLSTM

    torch.manual_seed(0)
    model = models.load("Random-ConvLSTM", "cpu")
    return replace(model, module=ConvLSTM((4, 4, 4, 4)).eval())


def without_state(model: Model) -> Model:
    """Return the model without its state, with a window for each frame."""
    layers = {f"network.{name}": axes for name, axes in model.layers.items()}
    return replace(model, module=Windowed(model.module).eval(), layers=layers)


def sinks(stimuli: Stimuli, bins_ms: np.ndarray, n: int) -> list[ArraySink]:
    """Return `n` sinks in memory."""
    return [ArraySink(len(stimuli), len(bins_ms)) for _ in range(n)]


def extracted(networks: list[Model], stimuli: Stimuli, together: bool, device: str, **options) -> None:
    """Extract the models in one pass, or one after the other."""
    bins_ms = regular_bins(float(stimuli.duration_ms.max()), BIN_MS)
    context_ms = options.pop("context_ms", 1000.0)
    parts = [
        Part(network, sink, context_ms, COMPONENTS)
        for network, sink in zip(networks, sinks(stimuli, bins_ms, len(networks)), strict=True)
    ]
    for group in [parts] if together else [[part] for part in parts]:
        extract_parts(group, stimuli, bins_ms, device=device, partial=True, **options)


def ratio(label: str, apart: Callable[[], None], ours: Callable[[], None], repeats: int) -> None:
    """Print the seconds of both sides, in turn, and the ratio of the medians."""
    seconds = np.zeros((repeats, 2))
    for k in range(repeats):
        for side, run in enumerate((apart, ours)):
            began = time.perf_counter()
            run()
            seconds[k, side] = time.perf_counter() - began
    before, after = np.median(seconds, axis=0)
    print(f"{label:<34} {before:8.1f} s {after:8.1f} s   {before / after:.2f} x", flush=True)


def main() -> None:
    """Print two lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--size", default="1280x720", help="width x height of the films (default: 1280x720)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each of two films (default: 20)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        films = made_films(Path(folder, "long"), options.size, 2, options.seconds)
        networks = [models.load(name, options.device) for name in options.models]
        sides = [lambda t=t: extracted(networks, films, t, options.device) for t in (False, True)]
        ratio(f"{len(networks)} models, films of {options.size}", *sides, options.repeats)
        film, model = made_films(Path(folder, "short"), "320x240", 1, 4.0), recurrent()
        causal = {"mode": "causal", "context_ms": 1e6}
        sides = [
            lambda one=one: extracted([one], film, True, options.device, **causal)
            for one in (without_state(model), model)
        ]
        ratio("a recurrent network, causal", *sides, options.repeats)


if __name__ == "__main__":
    main()
