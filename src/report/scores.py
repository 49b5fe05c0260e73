"""The stored scores, sorted into benchmarks; nothing is computed, and nothing in the store is touched."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..config import Config
from ..data import BY_BENCHMARK
from ..files import Damaged
from ..pipeline import Request
from ..store.entries import read_arrays
from ..store.search import Stored, everything
from ..utils import BadInput, unknown_name

DEFAULTS = {f.name: f.default for f in fields(Request)}
# options that add to a score what others may lack, and leave the score itself as it is
ADDITIONS = ("audit", "ceiling", "bootstrap", "permutations")
# what a dataset, not a user, decides
DECLARED = {"task": ("decoder", "metric"), "behaviour": ("metric",)}
WORDS = {"gap_ms": "gap", "clip_ms": "segments of", "layout": "split", "alpha_per_target": "penalty per target"}
METRICS = {"pearson": "Pearson r", "accuracy": "accuracy", "I2n": "I2n consistency (r)", "O2": "O2 consistency (r)"}


@dataclass(frozen=True)
class Scored:
    """One stored score: facts and key from its manifest, arrays when they are first asked for.

    label: the model and what sets this run of it apart from another; superseded: a fuller score took its place.
    """

    stored: Stored
    label: str
    superseded: bool = False

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.stored.manifest["facts"]

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The row of the layer with the best validation score."""
        return next(row for row in self.facts["layers"] if row["best"])

    @property
    def chosen_index(self) -> int:
        return next(i for i, row in enumerate(self.facts["layers"]) if row["best"])

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Everything that was stored of the score, by name; raises Damaged where its file is not what was written."""
        return read_arrays(self.stored.paths[1], self.stored.manifest)

    def release(self) -> None:
        """Forget the arrays: those of a whole cortex take 50 MB."""
        for name in ("arrays", "own"):
            self.__dict__.pop(name, None)

    @cached_property
    def own(self) -> Mapping[str, Any]:
        """What validation chooses for each target by itself, see `src.analysis.profiles.chosen_layers`."""
        from ..analysis.profiles import chosen_layers

        return chosen_layers(self.arrays)


@dataclass(frozen=True)
class Benchmark:
    """Scores that can be ranked: the same recordings under the same protocol, best first."""

    benchmark: str
    datasets: tuple[str, ...]
    title: str
    scores: tuple[Scored, ...]
    superseded: tuple[Scored, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts of the first score that has a ceiling, else of the first: what all of them share."""
        return next((s.facts for s in self.scores if s.facts["ceiling"] is not None), self.scores[0].facts)

    @property
    def metric(self) -> str:
        return METRICS.get(self.facts["metric"], self.facts["metric"])

    @property
    def slug(self) -> str:
        """The title as a part of a file name or an anchor."""
        kept = "".join(c if c.isalnum() else "-" for c in self.title.lower())
        return "-".join(part for part in kept.split("-") if part)

    @property
    def unit(self) -> str:
        """What one target is."""
        return {"task": "label", "behaviour": "confusion pattern"}.get(self.benchmark, "unit")


def collect(
    config: Config, models: Sequence[str] = (), datasets: Sequence[str] = ()
) -> tuple[list[Benchmark], list[str]]:
    """(the benchmarks, a line for everything that could not be read), from the stored scores alone.

    models, datasets: only scores of one of these models, and with one of these datasets, alone or in a joint score; all
    where none is named. Raises BadInput where nothing is left, or for a name that no stored score has.
    """
    things = list(everything(config.results_home, config.activations_home))
    scores = [s for s in things if s.kind == "score" and not s.problem and "facts" in s.manifest]
    problems = [f"{s.name}: {s.problem}" for s in things if s.kind == "score" and s.problem]
    if not scores:
        raise BadInput(f"no scores in {config.results_home}; run a score_*.py script first, or set RESULTCACHING_HOME")
    _check_names("model", models, {s.model for s in scores})
    _check_names("dataset", datasets, {name for s in scores for name in s.datasets})
    runs = {s.manifest.get("digest"): s.key for s in things if s.kind == "activations"}
    wanted = [s for s in scores if _is_wanted(s, models, datasets)]
    if not wanted:
        raise BadInput("no stored score has these models on these datasets; name fewer, or score them first")
    found = [Scored(s, _label(s, runs)) for s in wanted]
    found, damaged = _readable(found)
    return benchmarks(found), problems + damaged


def _check_names(kind: str, asked: Iterable[str], known: set[str]) -> None:
    for name in asked:
        if name not in known:
            raise unknown_name(f"stored {kind}", name, sorted(known))


def _is_wanted(stored: Stored, models: Sequence[str], datasets: Sequence[str]) -> bool:
    return (not models or stored.model in models) and (not datasets or not set(stored.datasets).isdisjoint(datasets))


def _readable(scores: list[Scored]) -> tuple[list[Scored], list[str]]:
    """The scores whose value file has the promised size, and what is wrong with the others."""
    good, bad = [], []
    for score in scores:
        path, expected = score.stored.paths[1], score.stored.manifest["value"]["bytes"]
        found = path.stat().st_size if path.is_file() else 0
        if found == expected:
            good.append(score)
        else:
            bad.append(f"{score.name}: its value has {found} bytes; expected {expected}")
    return good, bad


def _label(stored: Stored, runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The model and how it was run where that is not the default; runs: {digest: key} of the stored activations."""
    keys = [runs[digest] for digest in stored.key.get("activations", []) if digest in runs]
    if not keys:
        return stored.model
    key, notes = keys[0], []
    if key["mode"] not in (DEFAULTS["mode"], "frames"):
        notes.append(key["mode"])
    if key["mode"] != "frames" and key["context_ms"] != DEFAULTS["context_ms"]:
        notes.append(f"{key['context_ms'] / 1000:g} s context")
    if key["precision"] != DEFAULTS["precision"]:
        notes.append(key["precision"])
    return f"{stored.model} ({', '.join(notes)})" if notes else stored.model


def benchmarks(scores: Iterable[Scored]) -> list[Benchmark]:
    """The scores grouped by recordings and protocol, in the order fMRI, electrodes, task, behaviour and by name."""
    groups: dict[tuple, list[Scored]] = {}
    for score in scores:
        groups.setdefault(_identity(score), []).append(score)
    order = list(BY_BENCHMARK)
    made = [_benchmark(group) for _, group in sorted(groups.items(), key=lambda pair: str(pair[0]))]
    made.sort(key=lambda b: (order.index(b.benchmark) if b.benchmark in order else len(order), b.title))
    return _told_apart(made)


def _identity(score: Scored) -> tuple:
    key, facts = score.stored.key, score.facts
    options = tuple((n, str(v)) for n, v in sorted(facts["options"].items()) if n not in ADDITIONS)
    return facts["benchmark"], tuple(facts["datasets"]), tuple(key.get("data", ())), options


def _benchmark(group: list[Scored]) -> Benchmark:
    facts = group[0].facts
    current, superseded = _current(group)
    current.sort(key=lambda s: (-_number(s.chosen["test"]), s.label))
    title = " + ".join(facts["datasets"])
    deviations = _deviations(facts)
    title = f"{title} ({', '.join(deviations)})" if deviations else title
    return Benchmark(facts["benchmark"], tuple(facts["datasets"]), title, tuple(current), tuple(superseded))


def _current(group: list[Scored]) -> tuple[list[Scored], list[Scored]]:
    """The fullest score of every run of a model, and those that it supersedes; runs of one name are told apart."""
    runs: dict[tuple, list[Scored]] = {}
    for score in sorted(group, key=_fullness):
        runs.setdefault((score.stored.model, tuple(score.stored.key.get("activations", ()))), []).append(score)
    current = [run[-1] for run in runs.values()]
    labels = [s.label for s in current]
    current = [
        replace(s, label=f"{s.label} [{s.name[-6:]}]") if labels.count(s.label) > 1 else s
        for s in sorted(current, key=lambda s: s.stored.created)
    ]
    return current, [replace(s, superseded=True) for run in runs.values() for s in run[:-1]]


def _fullness(score: Scored) -> tuple:
    """More is fuller: a later version, then what was added to the score, then the date."""
    options = score.facts["options"]
    added = [float(options.get(name) or 0) for name in ("ceiling", "permutations", "bootstrap", "audit")]
    return (score.stored.key.get("version", 0), *added, score.stored.created)


def _deviations(facts: Mapping[str, Any]) -> list[str]:
    """In words, the options that are not the default."""
    skip = {*ADDITIONS, *DECLARED.get(facts["benchmark"], ())}
    return [
        _option_words(name, value)
        for name, value in facts["options"].items()
        if name in DEFAULTS and name not in skip and value != DEFAULTS[name]
    ]


def _option_words(name: str, value: Any) -> str:
    if name == "hrf":
        return "no HRF"
    if name == "splits":
        return f"{value:g} splits"
    if name.endswith("_ms"):
        return f"{WORDS.get(name, name[:-3])} {value / 1000:g} s"
    return f"{WORDS.get(name, name)} {value}"


def _told_apart(made: list[Benchmark]) -> list[Benchmark]:
    """The same with the data's digest, and at last a number, in titles that would be equal."""
    titled = _numbered(made, lambda b, _: f"[data {'-'.join(d[:6] for d in b.scores[0].stored.key.get('data', ()))}]")
    return _numbered(titled, lambda _, number: f"#{number}")


def _numbered(made: list[Benchmark], more: Callable[[Benchmark, int], str]) -> list[Benchmark]:
    titles = [b.title for b in made]
    return [
        replace(b, title=f"{b.title} {more(b, titles[:i].count(b.title) + 1)}") if titles.count(b.title) > 1 else b
        for i, b in enumerate(made)
    ]


def sound(benchmark: Benchmark, n: int) -> tuple[list[Scored], list[str]]:
    """The first `n` scores whose arrays can be read, and a line for each that cannot."""
    good, bad = [], []
    for score in benchmark.scores:
        if len(good) == n:
            break
        try:
            len(score.arrays)
            good.append(score)
        except Damaged as damage:
            bad.append(f"{score.name}: {damage}")
    return good, bad


def _number(value: float | None) -> float:
    return -np.inf if value is None else float(value)


def file_name(label: str) -> str:
    """A label as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
