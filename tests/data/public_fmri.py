"""How the tests of the public fMRI datasets read, store and score a miniature."""

import os
import shutil
from pathlib import Path

import numpy as np

from src import data, fakenet
from src.config import Config
from src.data import brainio
from src.data.checking import check
from src.data.declare import Fmri
from src.data.release import Release
from src.pipeline import Request, score
from src.records import Responses


def read(declared: Fmri, folder: Path, **options: str) -> Responses:
    """The record that a study's reader makes of its release, with the default options but for those named."""
    chosen = {name: options.get(name, values[0]) for name, values in declared.options.items()}
    return declared.read(Release(declared.name, folder, chosen, jobs=2))


def stored(record: Responses, place: Path) -> Responses:
    """The record after BrainIO's way to the disk and back."""
    return brainio.read(brainio.write(record, place))


def assert_equal(a: Responses, b: Responses) -> None:
    """Two records hold the same."""
    assert a.digest == b.digest
    assert a.stimuli.digest == b.stimuli.digest
    assert a.subjects == b.subjects
    assert dict(a.notes) == dict(b.notes)
    assert list(a.units) == list(b.units)
    assert all(np.array_equal(a.units[name], b.units[name]) for name in a.units)


def assert_passes(declared: Fmri, record: Responses, expected: dict[str, int]) -> None:
    """Nothing that `check` looks at is wrong."""
    wrong = [f"{f.what}: {f.found}, expected {f.expected}" for f in check(declared, record, expected) if not f.fine]
    assert not wrong, wrong


def scored(monkeypatch, declared: Fmri, data_home: Path, home: Path, **request) -> dict:
    """The facts of the embedded network's score on a miniature under `data_home`."""
    monkeypatch.setitem(data.DATASETS, declared.name, declared)
    config = Config(data_home, home / "activations", home / "results", home / "weights", 2)
    asked = {"splits": 2, "clip_ms": 5000.0, "gap_ms": 3000.0, "bootstrap": 0, **request}
    [result] = score(Request(benchmark="fmri", model="fake-net", names=(declared.name,), **asked), config)
    return dict(result.facts) | {"arrays": result.arrays}


def copied(folder: Path, place: Path) -> Path:
    """A copy of a miniature that a test may damage, its large files linked."""
    return Path(shutil.copytree(folder, place, copy_function=_link, ignore=shutil.ignore_patterns("prepared")))


def _link(source: str, target: str) -> None:
    os.link(source, target)


def assert_needs_are_found(declared: Fmri, folder: Path) -> None:
    """Every file that the reader cannot do without is one that the declaration says it needs."""
    absent = [need.what for need in declared.needs if not need.optional and not need.found(folder)]
    assert not absent, absent


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r per column over the rows where both are finite: (n_columns,)."""
    rows = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a, b = (x[rows] - x[rows].mean(axis=0) for x in (a, b))
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def assert_planted_layers_win(facts: dict, group: np.ndarray, n_groups: int) -> None:
    """Of all layers, a vertex's planted one predicts it best, on average over the vertices of the layer."""
    layers = list(facts["arrays"]["layers"])
    test = np.nanmean(facts["arrays"]["test"], axis=2)
    for k, layer in enumerate(fakenet.LAYERS):
        mine = np.flatnonzero(group // (n_groups // len(fakenet.LAYERS)) == k)
        means = {str(name): float(np.nanmean(row[mine])) for name, row in zip(layers, test, strict=True)}
        assert max(means, key=means.get) == layer, means
