"""Reduced builds of the networks of models/networks, at few pixels, and the published names of full ones."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from src.models.catalogue import MODELS
from src.models.catalogue.entry import ModelEntry
from src.models.loading import reinitialise
from src.models.networks.built import Built
from src.models.sources import published
from src.models.spec import Model

Shapes = dict[str, tuple[int, ...]]


def small_entry(name: str, size: int = 0) -> ModelEntry:
    """The catalogue's entry, its frames cropped to `size` px (0: as they are)."""
    entry = MODELS[name]
    if not size:
        return entry
    resize = size + 8 if entry.preprocessing.resize else 0
    return replace(entry, preprocessing=replace(entry.preprocessing, size=size, resize=resize))


def model(name: str, size: int = 0) -> Model:
    """The reduced network with seeded weights, as a Model."""
    entry = small_entry(name, size)
    built = published.build(entry.argument, reduced=True)
    reinitialise(built.module, 0)
    return replace(published.wrapped(entry, built, "cpu"), digest="0" * 64)


def meta(name: str) -> Built:
    """The full network without memory for its weights."""
    with torch.device("meta"):
        return published.build(MODELS[name].argument)


def shapes(module: torch.nn.Module) -> Shapes:
    """{name: shape} of a state dict, without the counters of batch norms."""
    state = module.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def norm(name: str, width: int, running: bool = True) -> Shapes:
    """The tensors of a normalisation layer."""
    kinds = ("weight", "bias", "running_mean", "running_var") if running else ("weight", "bias")
    return {f"{name}.{kind}": (width,) for kind in kinds}


def sampled_state(names: Mapping[str, tuple[int, ...]], prefix: str = "", seed: int = 0) -> dict[str, torch.Tensor]:
    """A seeded state dict of these names and shapes; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    return {f"{prefix}{name}": torch.rand(shape, generator=generator) for name, shape in names.items()}


def put_checkpoint(monkeypatch, home: Path, name: str, content: object) -> Path:
    """Store a checkpoint under the published file name, with any digest; `load` builds the reduced network."""
    entry = MODELS[name]
    path = home / "hub" / "checkpoints" / entry.weights.file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    plain = replace(entry, weights=replace(entry.weights, sha256=""))
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(published, "entry_of", lambda _source, _argument: plain)
    whole = published.build
    monkeypatch.setattr(published, "build", lambda argument, reduced=False: whole(argument, reduced=True))
    return path
