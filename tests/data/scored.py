"""Reading, storing and scoring of a miniature release, as in a user's run."""

from pathlib import Path
from unittest import mock

import numpy as np

from src import data, pipeline
from src.config import Config
from src.data import brainio
from src.data.checking import check
from src.data.declare import counts
from src.pipeline.request import Request


def homes(home: Path) -> Config:
    """Return a configuration with all homes in `home`; the releases are in `home`/data."""
    return Config(home / "data", home / "activations", home / "results", home / "torch", 1)


def scores(benchmark: str, declared, home: Path, splits: int = 5) -> tuple[dict[str, float], dict]:
    """Return ({layer of the embedded network: median test score}, printed facts) on a declared dataset."""
    request = Request(benchmark=benchmark, model="fake-net", datasets=(declared.name,), splits=splits)
    with mock.patch.dict(data.BY_BENCHMARK[benchmark], {declared.name: declared}):
        (result,) = pipeline.score(request, homes(home))
    layers = [str(layer) for layer in result.arrays["layers"]]
    test = np.median(np.nan_to_num(result.arrays["test"]).mean(axis=2), axis=1)
    return dict(zip(layers, test.tolist(), strict=True)), dict(result.facts)


def assert_comes_back(record, folder: Path) -> None:
    """Check that a record is the same after it was stored as prepared data."""
    again = brainio.read(brainio.write(record, folder))
    assert again.digest == record.digest
    assert again.stimuli.digest == record.stimuli.digest
    assert again.stimuli.ids == record.stimuli.ids
    assert dict(again.notes) == dict(record.notes)
    assert list(again.stimuli.table) == list(record.stimuli.table)
    for name, column in record.stimuli.table.items():
        np.testing.assert_array_equal(again.stimuli.table[name], column)
    if getattr(record, "fitting", None) is not None:
        assert again.fitting.digest == record.fitting.digest
    if hasattr(record, "units"):
        assert {k: list(map(str, v)) for k, v in again.units.items()} == {
            k: list(map(str, v)) for k, v in record.units.items()
        }
        assert again.subjects == record.subjects


def assert_holds(declared, record, expected: dict[str, int]) -> None:
    """Check that a record has the expected counts, and that `check` finds nothing wrong with it."""
    found = counts(record)
    assert {what: found[what] for what in expected} == expected
    wrong = [finding for finding in check(declared, record, expected) if not finding.fine]
    assert not wrong
