"""Reading, storing and scoring of a miniature in the tests of the public fMRI datasets."""

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
    """Return the record that a study's reader makes of its release, with default options except for those given."""
    chosen = {name: options.get(name, values[0]) for name, values in declared.options.items()}
    return declared.read(Release(declared.name, folder, chosen, jobs=2))


def stored(record: Responses, place: Path) -> Responses:
    """Return the record after it was written to disk and read back."""
    return brainio.read(brainio.write(record, place))


# options of a score on films of seconds
SHORT_FILMS = {"clip_ms": 5000.0, "gap_ms": 3000.0}


def assert_equal(a: Responses, b: Responses) -> None:
    """Check that two records are equal."""
    assert a.digest == b.digest
    assert a.stimuli.digest == b.stimuli.digest
    assert a.subjects == b.subjects
    assert dict(a.notes) == dict(b.notes)
    assert list(a.units) == list(b.units)
    assert all(np.array_equal(a.units[name], b.units[name]) for name in a.units)


def assert_passes(declared: Fmri, record: Responses, expected: dict[str, int]) -> None:
    """Check that `check` finds nothing wrong."""
    wrong = [f"{f.what}: {f.found}, expected {f.expected}" for f in check(declared, record, expected) if not f.fine]
    assert not wrong, wrong


def scored(monkeypatch, declared: Fmri, data_home: Path, home: Path, **request) -> dict:
    """Return the facts of the embedded network's score on a miniature under `data_home`."""
    monkeypatch.setitem(data.FMRI, declared.name, declared)
    config = Config(data_home, home / "activations", home / "results", home / "weights", 2)
    options = {"splits": 2, "bootstrap": 0, **request}
    [result] = score(Request(benchmark="fmri", model="fake-net", datasets=(declared.name,), **options), config)
    return dict(result.facts) | {"arrays": result.arrays}


def copied(folder: Path, place: Path) -> Path:
    """Return a copy of a miniature that a test may damage, its large files linked."""
    return Path(shutil.copytree(folder, place, copy_function=_link, ignore=shutil.ignore_patterns("prepared")))


def _link(source: str, target: str) -> None:
    os.link(source, target)


def assert_needs_are_found(declared: Fmri, folder: Path) -> None:
    """Check that the miniature has the files of every need that is not optional."""
    absent = [need.what for need in declared.needs if not need.optional and not need.found(folder)]
    assert not absent, absent


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r per column over the rows where both are finite: (n_columns,)."""
    rows = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a, b = (x[rows] - x[rows].mean(axis=0) for x in (a, b))
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def assert_planted_layers_win(facts: dict, group: np.ndarray, n_groups: int) -> None:
    """Check that each layer is the best one for the vertices planted in it, on average over these."""
    layers = list(facts["arrays"]["layers"])
    test = np.nanmean(facts["arrays"]["test"], axis=2)
    for k, layer in enumerate(fakenet.LAYERS):
        planted = np.flatnonzero(group // (n_groups // len(fakenet.LAYERS)) == k)
        means = {str(name): float(np.nanmean(row[planted])) for name, row in zip(layers, test, strict=True)}
        assert max(means, key=means.get) == layer, means
