from pathlib import Path

import numpy as np
import pytest

from src.config import Config
from src.store import ActivationKey, CeilingKey, Entry, ScoreKey, Store


@pytest.fixture(autouse=True)
def no_cache_variables(monkeypatch):
    for variable in ("RESULTCACHING_DISABLE", "RESULTCACHING_CACHEDONLY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def config(tmp_path) -> Config:
    return Config(tmp_path, tmp_path / "activations", tmp_path / "results", tmp_path, 1)


@pytest.fixture
def store(config) -> Store:
    return Store(config)


@pytest.fixture
def ceiling_key() -> CeilingKey:
    return CeilingKey(("fake-fmri",), ("d" * 64,), splits=10, seed=1)


@pytest.fixture
def score_key() -> ScoreKey:
    return ScoreKey("fmri", "r3d", ("a", "b"), ("x" * 64,), ("d" * 64,), (("gap_ms", 10000), ("seed", 3)))


@pytest.fixture
def activation_key() -> ActivationKey:
    bins = ((0, 1000), (1000, 2000), (2000, 3000))
    return ActivationKey("r3d", "m", ("conv.1", "head/2"), "s", bins, False, "block", 4000, "fp32", None, 25)


class Extractor:
    """Callable that fills a sink with known numbers and records the stimuli; it stops before `stop_at`."""

    def __init__(self, stop_at: int | None = None):
        self.sizes = {"conv.1": 4, "head/2": 2}
        self.ids = ("one", "two", "three", "four", "five")
        self.stop_at, self.computed = stop_at, []

    def n_valid(self, i: int) -> int:
        return 1 + i % 3

    def values(self, i: int, layer: str) -> np.ndarray:
        return np.random.default_rng([i, self.sizes[layer]]).normal(size=(self.n_valid(i), self.sizes[layer]))

    def __call__(self, sink) -> None:
        for i in np.flatnonzero(~sink.done).tolist():
            if i == self.stop_at:
                return
            self.computed.append(i)
            for layer in self.sizes:
                sink.write(i, layer, 0, self.values(i, layer))
            sink.finish(i, self.n_valid(i))

    def check(self, activations) -> None:
        assert activations.ids == self.ids
        for i in range(len(self.ids)):
            n = self.n_valid(i)
            assert activations.n_valid[i] == n
            for layer in self.sizes:
                np.testing.assert_array_equal(activations.layers[layer][i, :n], self.values(i, layer).astype("f4"))
                assert not activations.layers[layer][i, n:].any()


@pytest.fixture
def extractor() -> Extractor:
    return Extractor()


@pytest.fixture
def half_extractor() -> Extractor:
    return Extractor(stop_at=3)


@pytest.fixture
def entry() -> Entry:
    return Entry({"raw": np.arange(6.0).reshape(2, 3)}, {"z": 1, "summary": "median 0.3", "a": [0.1, None]})


@pytest.fixture
def only_file():
    """Function that returns the only file below a folder that matches a pattern."""

    def find(folder: Path, pattern: str) -> Path:
        (path,) = folder.rglob(pattern)
        return path

    return find
