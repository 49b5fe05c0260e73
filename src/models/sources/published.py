"""Source of models: the networks of models/networks with their published weights; an argument is "<file>:<name>"."""

import importlib
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...stages import source_digest
from ...utils import BadInput, digest, unknown_name
from ..catalogue import entry_of
from ..catalogue.entry import ModelEntry
from ..checkpoints import fetched, plain_state, put, read_state, ready_text
from ..extras import EXTRAS
from ..preprocessing import preprocessor
from ..spec import Model

if TYPE_CHECKING:
    from ..networks.built import Built

FOLDER = Path(__file__).parents[1] / "networks"
SIBLING = re.compile(r"^\s*from \.(\w+) import", re.MULTILINE)


def source_files(argument: str) -> tuple[Path, ...]:
    """Return the files that determine the output of the network, and the one that reads its weights."""
    return (*defining_files(argument), FOLDER.parent / "checkpoints.py")


def defining_files(argument: str) -> tuple[Path, ...]:
    """Return the network's file, the files beside it that it imports, and the preprocessing."""
    found, waiting = [], [argument.split(":")[0]]
    while waiting:
        path = FOLDER / f"{waiting.pop()}.py"
        if path not in found and path.is_file():
            found.append(path)
            waiting += SIBLING.findall(path.read_text(encoding="utf-8"))
    return (*sorted(found), FOLDER.parent / "preprocessing.py")


def packages(argument: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    extra = EXTRAS.get(entry_of("network", argument).extra, ())
    return ("torchvision", "numpy", *extra[:1])  # its further packages fetch and read files


def ready(argument: str) -> str:
    """Return "yes", or the weight file that loading fetches or that is missing."""
    return ready_text(entry_of("network", argument))


def build(argument: str, reduced: bool = False) -> "Built":
    """Return the network with its initial values."""
    file, _, name = argument.partition(":")
    if not (FOLDER / f"{file}.py").is_file():
        raise unknown_name("file of networks", file, sorted(path.stem for path in FOLDER.glob("[!_]*.py")))
    builders = importlib.import_module(f"...networks.{file}", __name__).BUILDERS
    if name not in builders:
        raise unknown_name(f"network in {file}.py", name, builders)
    return builders[name](reduced=reduced)


def load(argument: str, device: str, weights: bool = True, reduced: bool = False) -> tuple[Model, str]:
    """Return the network, with its weights or its initial values, and the digest of its code and preprocessing.

    reduced: few blocks of few channels, without weights.
    """
    entry = entry_of("network", argument)
    built = build(entry.argument, reduced)
    if weights:
        put_weights(entry, built)
    return wrapped(entry, built, device), recipe(entry)


def put_weights(entry: ModelEntry, built: "Built") -> None:
    """Find, read and load the published weights; raise BadInput if the file is missing or does not fit."""
    if entry.weights is None:
        return
    path = fetched(entry)
    state = plain_state(read_state(path, entry.weights.key))
    try:
        renamed = built.rename(state)
    except KeyError as error:
        raise BadInput(f"{entry.name}: the weight file {path} lacks {error}; replace it") from error
    put(built.module, renamed, f"{entry.name}: the weight file {path}")


def wrapped(entry: ModelEntry, built: "Built", device: str) -> Model:
    """Return the network as a Model; the axes of layers that declare none are detected."""
    from ..inspect.probe import detected

    model = Model(
        name=entry.name,
        module=built.module.eval().to(device),
        preprocess=preprocessor(entry.preprocessing),
        layers=dict(built.layers),
        kind=entry.kind,
        fps=float(entry.fps),
        digest="",
        num_frames=entry.frames or (1, np.inf),
        process_output=built.process_output,
    )
    return model if all(model.layers.values()) else detected(model, device)


def recipe(entry: ModelEntry) -> str:
    """Return the digest of all but the weights: the source files and the preprocessing."""
    files = [[path.name, source_digest(path.read_bytes(), docstrings=False)] for path in defining_files(entry.argument)]
    return digest([entry.argument, asdict(entry.preprocessing), files])
