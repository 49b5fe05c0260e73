"""A store with synthetic scores: input of a report without a model or a recording."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from src.config import Config
from src.evaluate.protocol import Protocol
from src.pipeline.summary import summarise
from src.store import Entry, ScoreKey, Store, key_name
from src.utils import digest

PROTOCOL = Protocol().title

METRIC = {"fmri": "pearson", "electrodes": "pearson", "task": "accuracy", "behaviour": "O2"}
OPTIONS = {
    "protocol": PROTOCOL,
    "splits": 4,
    "seed": 0,
    "audit": False,
    "ceiling": True,
    "bootstrap": 50,
    "permutations": 20,
}
REGIONS = ("V1", "V2", "MT")


@dataclass(frozen=True)
class SyntheticScore:
    """Score without a model: `level` is its expected test score; dataset "a+b" is a joint score; old: of an earlier
    version, without bootstrap and permutations."""

    benchmark: str = "fmri"
    model: str = "good"
    dataset: str = "films"
    level: float = 0.6
    n_targets: int = 30
    n_layers: int = 3
    ceiling: bool = True
    regions: tuple[str, ...] = REGIONS
    old: bool = False
    options: tuple[tuple[str, object], ...] = ()
    confusions: bool = False
    extra: tuple[tuple[str, object], ...] = ()
    context_ms: float | None = None

    @property
    def all_options(self) -> dict:
        options = dict(OPTIONS) | dict(self.options)
        return {k: v for k, v in options.items() if not self.old or k not in ("bootstrap", "permutations")}

    @property
    def key(self) -> ScoreKey:
        return ScoreKey(
            benchmark=self.benchmark,
            model=self.model,
            datasets=tuple(self.dataset.split("+")),
            activations=(digest([self.model, self.dataset, *([self.context_ms] if self.context_ms else [])]),),
            data=(digest(self.dataset),),
            options=tuple(self.all_options.items()),
            version=1 if self.old else ScoreKey.version,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(int(digest([self.model, self.dataset])[:8], 16))
        slope = np.linspace(-0.2, 0, self.n_layers)[:, None, None]
        per_target = rng.normal(self.level, 0.08, (1, self.n_targets, 1))
        test, valid = (slope + per_target + rng.normal(0, 0.02, (self.n_layers, self.n_targets, 4)) for _ in "ab")
        arrays = {"layers": np.array([f"block.{i}" for i in range(self.n_layers)]), "test": test, "valid": valid}
        per_unit = self.benchmark in ("fmri", "electrodes")
        arrays["layer_choice"] = np.array(["nested", "per target" if per_unit else "one layer"])
        arrays["target_target_id"] = np.array([f"unit-{i}" for i in range(self.n_targets)])
        if self.regions:
            arrays["target_region"] = np.array(self.regions)[
                np.arange(self.n_targets) * len(self.regions) // self.n_targets
            ]
        if self.ceiling:
            arrays |= {"ceiling": np.full(self.n_targets, 0.9), "reliability": np.full(self.n_targets, 0.81)}
            arrays["masked"] = np.arange(self.n_targets) < min(2, self.n_targets - 1)
        if self.confusions:
            matrix = np.where(np.eye(3, dtype=bool), np.nan, 0.3)
            arrays |= {"classes": np.array(["ba", "de", "go"]), "confusion_human": matrix}
            arrays["confusion_model"] = np.stack([matrix * (i + 1) / self.n_layers for i in range(self.n_layers)])
        if not self.old:
            arrays |= self._statistics(test[-1].mean(axis=1))
        return arrays | dict(self.extra)

    def _statistics(self, test: np.ndarray) -> dict[str, np.ndarray]:
        samples = np.median(test) + np.random.default_rng(7).normal(0, 0.03, 50)
        arrays = {"low": test - 0.05, "high": test + 0.05, "bootstrap": samples}
        arrays["resampled"] = np.array(["segments", digest([self.dataset, self.all_options["splits"]])])
        arrays |= {"p": np.full(len(test), 1 / 21), "q": np.full(len(test), 0.04), "null": np.zeros(20)}
        return arrays | ({"bootstrap_normalised": samples / 0.9} if self.ceiling else {})

    def facts(self, arrays) -> dict:
        facts = summarise(arrays, {"chance": 0.25, "human accuracy": 0.9, "trials": 100})
        facts |= {
            "benchmark": self.benchmark,
            "model": self.model,
            "datasets": self.dataset.split("+"),
            "options": self.all_options,
            "context_ms": self.context_ms,
        }
        facts |= {"metric": self.all_options.get("metric", METRIC[self.benchmark])}
        for name in ("interval", "permutation"):
            facts.pop(name, None)
        if not self.old:
            low, high = np.percentile(arrays["bootstrap"], [2.5, 97.5])
            facts["interval"] = {"low": low, "high": high, "n": 50, "unit": "segments"}
            normalised = (low / 0.9, high / 0.9) if self.ceiling else (None, None)
            facts["interval"] |= dict(zip(("low_normalised", "high_normalised"), normalised, strict=True))
            facts["headline"] |= facts["interval"]
            facts["permutation"] = {"p": 1 / 21, "n": 20, "significant": self.n_targets, "of": self.n_targets}
        if self.benchmark == "behaviour":
            for row in facts["layers"]:
                row["accuracy"] = 0.8
        return facts


class ScoreStore:
    """Store of a test, with a method that adds synthetic scores."""

    def __init__(self, config: Config):
        self.config, self.store = config, Store(config)

    def add(self, score: SyntheticScore | None = None, **changes):
        """Store a score and return it."""
        score = replace(score or SyntheticScore(), **changes)
        arrays = score.arrays()
        self.store.fetch(score.key, lambda: Entry(arrays, score.facts(arrays)))
        return score

    def path(self, score: SyntheticScore, suffix: str):
        """Return the file of a score with the suffix ".nc" or ".json"."""
        return self.config.results_home / "dynamic_vision.score" / f"{key_name(score.key)}{suffix}"


@pytest.fixture
def score_store(tmp_path, monkeypatch) -> ScoreStore:
    """Empty store, to which the environment variables point as well."""
    for variable in ("RESULTCACHING_DISABLE", "RESULTCACHING_CACHEDONLY", "DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("RESULTCACHING_HOME", str(tmp_path / "results"))
    monkeypatch.setenv("MMAP_HOME", str(tmp_path / "activations"))
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path))
    return ScoreStore(Config.from_env())
