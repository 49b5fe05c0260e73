"""Stored scores, grouped into benchmarks. The store is read only and no score is computed."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..config import RESULTS_VARIABLE, Config
from ..data import BY_BENCHMARK
from ..evaluate.metrics import METRICS
from ..evaluate.protocol import PROTOCOLS
from ..files import DamagedFile
from ..pipeline import ADDED_OPTIONS, Request, changed_options, option_text, stored_name
from ..store import Store, StoredItem
from ..utils import BadInput, first_names, unknown_name

DEFAULTS = {f.name: f.default for f in fields(Request)}
# options that the dataset declares, by benchmark
DATASET_OPTIONS = {"task": ("decoder", "metric"), "behaviour": ("metric",)}


@dataclass(frozen=True)
class StoredScore:
    """One stored score: facts and key from its manifest, arrays from its netCDF file when first accessed.

    Attributes
    ----------
    item : StoredItem
        The score in the store.
    label : str
        The model, with the options of its activations that differ from the defaults.
    superseded : bool
        True if a more complete score of the same model replaces it in the ranking.
    """

    item: StoredItem
    label: str
    superseded: bool = False

    @property
    def facts(self) -> Mapping[str, Any]:
        """Printed summary of the score, see `pipeline.summary.summarise`."""
        return self.item.facts

    @property
    def name(self) -> str:
        """Name in the store; the digits at its end alone if it contains folders of an own model or dataset."""
        names = (self.item.model, *self.item.datasets)
        return self.item.name if all(public_name(name) == name for name in names) else self.item.name[-16:]

    @property
    def label_without_context(self) -> str:
        """The label without the context, which scores of one sweep do not share."""
        text = _context_text(self.facts["context_ms"])
        return self.label.replace(f", {text}", "").replace(f"{text}, ", "").replace(f" ({text})", "")

    @property
    def headline(self) -> Mapping[str, Any]:
        """Row of the score that models are ranked by, with its interval."""
        return self.facts["headline"]

    @property
    def chosen_index(self) -> int:
        """Index of the layer that most splits choose for all targets."""
        return next(i for i, row in enumerate(self.facts["layers"]) if row["best"])

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Stored arrays by name; raises DamagedFile if the file differs from what was written."""
        return self.item.read_arrays()

    @cached_property
    def best_per_unit(self) -> Mapping[str, Any]:
        """Layers chosen for each target, see `analysis.profiles.chosen_layers`."""
        from ..analysis.profiles import chosen_layers

        return chosen_layers(self.arrays)

    @cached_property
    def draws(self) -> Mapping[str, Any]:
        """Bootstrap draws of the headline, "test" and "normalised" (n_samples,), and "resampled", their identity.

        "people": scores of single subjects, as `analysis.leaderboard.people_apart` takes them. Missing entries are
        None, and so are those of a damaged file. The other arrays are not kept in memory.
        """
        empty = {"test": None, "normalised": None, "resampled": None, "people": None}
        if not (self.facts.get("interval") or self.facts.get("subjects")):
            return empty
        names = ("bootstrap", "bootstrap_normalised", "resampled")
        try:
            arrays = self.item.read_arrays((*names, "subjects", "subject_segments", "subject_rows", "widening"))
        except DamagedFile:
            return empty
        found = {"test": arrays.get("bootstrap"), "normalised": arrays.get("bootstrap_normalised")}
        found["people"] = _people(arrays)
        found["resampled"] = tuple(np.asarray(arrays["resampled"]).tolist()) if "resampled" in arrays else None
        return found

    def release(self) -> None:
        """Drop the arrays from memory (50 MB for a whole cortex)."""
        for name in ("arrays", "best_per_unit"):
            self.__dict__.pop(name, None)


@dataclass(frozen=True)
class BenchmarkScores:
    """Scores that can be ranked: of all models on the same data under the same protocol.

    Attributes
    ----------
    benchmark : str
        "fmri", "electrodes", "task" or "behaviour".
    datasets : tuple of str
        One dataset, or the datasets of a joint score.
    title : str
        The datasets and the options that differ from the defaults; unique within a report.
    scores : tuple of StoredScore
        One per model and activations, best headline first.
    superseded : tuple of StoredScore
        Less complete scores of the same models.
    """

    benchmark: str
    datasets: tuple[str, ...]
    title: str
    scores: tuple[StoredScore, ...]
    superseded: tuple[StoredScore, ...] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """Facts shared by all scores, from the first score with a noise ceiling, else from the first."""
        return next((s.facts for s in self.scores if s.facts["ceiling"] is not None), self.scores[0].facts)

    @property
    def metric(self) -> str:
        """Name of the metric for axis labels and headings."""
        name = self.facts["metric"]
        return METRICS[name].title if name in METRICS else name

    @property
    def direction(self) -> int:
        """1 if a larger score is better, -1 if a smaller one is."""
        return _direction(self.facts)

    @property
    def chance(self) -> float | None:
        """Score of a guess, None for a metric without one."""
        name = self.facts["metric"]
        guessed = name in METRICS and METRICS[name].chance is not None
        return self.facts.get("notes", {}).get("chance") if guessed else None

    @property
    def key(self) -> str:
        """Name of the headline that orders the models everywhere.

        "normalised" (test / ceiling) if a score has it, and scores without it are last; else "test".
        """
        return _key(self.scores)

    @property
    def key_name(self) -> str:
        """Name of the headline for axis labels and sentences."""
        return "test / ceiling" if self.key == "normalised" else f"test {self.metric}"

    def value(self, score: StoredScore) -> tuple[float | None, float | None, float | None]:
        """Return the headline of a score and the ends of its 95 % interval, None where they are not stored."""
        ends = ("low_normalised", "high_normalised") if self.key == "normalised" else ("low", "high")
        return score.headline[self.key], *(score.headline.get(end) for end in ends)

    @property
    def slug(self) -> str:
        """Title as part of a file name or an HTML id."""
        kept = "".join(c if c.isalnum() else "-" for c in self.title.lower())
        return "-".join(part for part in kept.split("-") if part)

    @property
    def target_noun(self) -> str:
        """Noun for one target."""
        name = self.facts["metric"]
        if name in METRICS and METRICS[name].of_regions:
            return "region"
        return {"task": "label", "behaviour": "confusion pattern"}.get(self.benchmark, "unit")

    @property
    def aggregation(self) -> str:
        """Aggregation over targets in words, for example "median of 75 units"."""
        n = self.facts["targets"]
        return f"median of {n:,} {self.target_noun}s" if n > 1 else f"1 {self.target_noun}"


def _people(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the scores of single subjects as `analysis.leaderboard.people_apart` takes them, None without."""
    if "subject_segments" not in arrays:
        return None
    from ..analysis.paired import subject_factor

    identity = (tuple(np.asarray(arrays["subjects"]).tolist()), str(np.asarray(arrays["subject_rows"])))
    return {
        "table": np.asarray(arrays["subject_segments"], dtype=np.float64),
        "factor": subject_factor(arrays),
        "identity": identity,
    }


def collect(
    config: Config, models: Sequence[str] = (), datasets: Sequence[str] = ()
) -> tuple[list[BenchmarkScores], list[str]]:
    """Return the stored scores, grouped by benchmark and protocol.

    Parameters
    ----------
    config : Config
        The homes of results and activations.
    models : sequence of str
        Names of stored models; empty for all.
    datasets : sequence of str
        Names of stored datasets; a joint score matches each of its datasets. Empty for all.

    Returns
    -------
    benchmarks : list of BenchmarkScores
        In the order fMRI, electrodes, task, behaviour, then by title.
    problems : list of str
        One line for each score that cannot be read.

    Raises
    ------
    BadInput
        For a name without a stored score, or if no score matches or can be read.
    """
    items = list(Store(config, read_only=True).items())
    scores = [item for item in items if item.kind == "score"]
    if not scores:
        raise BadInput(
            f"no scores in {config.results_home}; run `dynamic-vision score` first, or set {RESULTS_VARIABLE}"
        )
    models, datasets = list(map(stored_name, models)), list(map(stored_name, datasets))
    _check_names("model", models, {item.model for item in scores if item.key})
    _check_names("dataset", datasets, {name for item in scores for name in item.datasets})
    matching = [item for item in scores if item.key and _matches(item, models, datasets)]
    if not matching and (models or datasets):
        raise BadInput("no stored score has these models on these datasets; name fewer, or score them first")
    # an unreadable manifest has no key, so that its score is listed whatever the filters
    candidates = [item for item in scores if not item.key] + matching
    problems = [f"{item.name}: {problem}" for item in candidates if (problem := _problem(item))]
    readable = [item for item in matching if _problem(item) is None]
    if not readable:
        raise BadInput(f"no score can be read ({first_names(problems, 3)}); run `dynamic-vision store verify`")
    activation_keys = {item.digest: item.key for item in items if item.kind == "activations"}
    return group_scores([StoredScore(item, _label(item, activation_keys)) for item in readable]), problems


def _problem(item: StoredItem) -> str | None:
    """Return the reason why a score is left out of the report, None if there is none."""
    if item.problem or "headline" in item.facts:
        return item.problem
    return "stored in an earlier format, without a headline; score the model again"


def _check_names(noun: str, names: Iterable[str], stored: set[str]) -> None:
    """Raise BadInput for the first name that is not stored."""
    for name in names:
        if name not in stored:
            raise unknown_name(f"stored {noun}", name, sorted(stored))


def _matches(item: StoredItem, models: Sequence[str], datasets: Sequence[str]) -> bool:
    return (not models or item.model in models) and (not datasets or not set(item.datasets).isdisjoint(datasets))


def _label(item: StoredItem, activation_keys: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the model and the options of its activations that differ from the defaults.

    activation_keys: {digest: key} of the stored activations.
    """
    model = public_name(item.model)
    keys = [activation_keys[digest] for digest in item.key.get("activations", []) if digest in activation_keys]
    # what the score says of activations that are deleted
    context_ms = item.facts.get("context_ms")
    known = {"mode": "frames" if context_ms is None else DEFAULTS["mode"], "context_ms": context_ms}
    key, options = keys[0] if keys else known | {"precision": DEFAULTS["precision"]}, []
    if key["mode"] not in (DEFAULTS["mode"], "frames"):
        options.append(key["mode"])
    if key["mode"] != "frames" and key["context_ms"] != DEFAULTS["context_ms"]:
        options.append(_context_text(key["context_ms"]))
    if key["precision"] != DEFAULTS["precision"]:
        options.append(key["precision"])
    return f"{model} ({', '.join(options)})" if options else model


def _context_text(context_ms: float) -> str:
    return f"{context_ms / 1000:g} s context"


def public_name(name: str) -> str:
    """Return a name without the folders of an absolute path in it, which are nobody else's concern.

    >>> public_name("/home/me/nets/net.py:make"), public_name("Finetune-r3d_18=~/runs/best.pt"), public_name("hf:a/b")
    ('net.py:make', 'Finetune-r3d_18=best.pt', 'hf:a/b')
    """
    return re.sub(r"(^|=)(?:~|[A-Za-z]:)?[/\\\\](?:[^/\\\\]*[/\\\\])*", r"\1", name)


def group_scores(scores: Iterable[StoredScore]) -> list[BenchmarkScores]:
    """Return the scores grouped by data and protocol, in the order fMRI, electrodes, task, behaviour and by title."""
    groups: dict[tuple, list[StoredScore]] = {}
    for score in scores:
        groups.setdefault(_protocol(score), []).append(score)
    order = list(BY_BENCHMARK)
    benchmarks = [_benchmark_scores(group) for _, group in sorted(groups.items(), key=lambda pair: str(pair[0]))]
    benchmarks.sort(key=lambda b: (order.index(b.benchmark) if b.benchmark in order else len(order), b.title))
    return _with_unique_titles(benchmarks)


def _protocol(score: StoredScore) -> tuple:
    """Return what scores of one ranking have in common: benchmark, datasets, data digests and options."""
    facts = score.facts
    options = tuple((n, str(v)) for n, v in sorted(facts["options"].items()) if n not in ADDED_OPTIONS)
    return facts["benchmark"], tuple(facts["datasets"]), tuple(score.item.key.get("data", ())), options


def _benchmark_scores(group: list[StoredScore]) -> BenchmarkScores:
    facts = group[0].facts
    current, superseded = _split_superseded(group)
    key, direction = _key(current), _direction(facts)
    current.sort(key=lambda s: (-_sortable(s.headline[key], direction), s.label))
    title = " + ".join(map(public_name, facts["datasets"]))
    options = _changed_options(facts)
    title = f"{title} ({', '.join(options)})" if options else title
    return BenchmarkScores(facts["benchmark"], tuple(facts["datasets"]), title, tuple(current), tuple(superseded))


def _key(scores: Sequence[StoredScore]) -> str:
    return "normalised" if any(s.headline["normalised"] is not None for s in scores) else "test"


def _split_superseded(group: list[StoredScore]) -> tuple[list[StoredScore], list[StoredScore]]:
    """Return the most complete score of each model and activations, and the other scores.

    Equal labels get the last digits of the score's name.
    """
    by_activations: dict[tuple, list[StoredScore]] = {}
    for score in sorted(group, key=_completeness):
        key = (score.item.model, _scored_activations(score))
        by_activations.setdefault(key, []).append(score)
    current = [scores[-1] for scores in by_activations.values()]
    labels = [s.label for s in current]
    current = [
        replace(s, label=f"{s.label} [{s.name[-6:]}]") if labels.count(s.label) > 1 else s
        for s in sorted(current, key=lambda s: s.item.created)
    ]
    return current, [replace(s, superseded=True) for scores in by_activations.values() for s in scores[:-1]]


def _scored_activations(score: StoredScore) -> tuple:
    """Return the digests of the activations behind the headline: those of a partition alone come after them."""
    found, options = tuple(score.item.key.get("activations", ())), score.facts["options"]
    added = (options.get("partition") or options.get("confounds")) and not options.get("features")
    return found[: len(score.facts["datasets"])] if added else found


def _completeness(score: StoredScore) -> tuple:
    """Return a sort key: version of the score, then its added options, then its date."""
    options = score.facts["options"]
    values = (options.get(name) or 0 for name in ADDED_OPTIONS)
    added = [float(bool(value) if isinstance(value, str | list | tuple) else value) for value in values]
    return (score.item.key.get("version", 0), *added, score.item.created)


def _changed_options(facts: Mapping[str, Any]) -> list[str]:
    """Return the options that differ from those of the default protocol, in words.

    Of another protocol, its name and the options that differ from its own.
    """
    options = facts["options"]
    skip = {*ADDED_OPTIONS, *DATASET_OPTIONS.get(facts["benchmark"], ())}
    found = changed_options(facts["benchmark"], options)
    changed = [option_text(name, value) for name, value in found.items() if name not in skip]
    return changed if options["protocol"] == _default_protocol() else [f"protocol {options['protocol']}", *changed]


def _default_protocol() -> str:
    """Return the default protocol's name and version, as scores state it."""
    return PROTOCOLS[DEFAULTS["protocol"]].title


def _with_unique_titles(benchmarks: list[BenchmarkScores]) -> list[BenchmarkScores]:
    """Return the benchmarks with the metric, then the data digest, then a number, appended to equal titles."""
    metrics = {(b.title, b.facts["metric"]) for b in benchmarks}
    several = {title for title, _ in metrics if sum(title == other for other, _ in metrics) > 1}
    with_metric = [
        replace(b, title=f"{b.title} ({b.facts['metric']})") if b.title in several else b for b in benchmarks
    ]
    with_data = _append_to_equal_titles(
        with_metric, lambda b, _: f"[data {'-'.join(d[:6] for d in b.scores[0].item.key.get('data', ()))}]"
    )
    return _append_to_equal_titles(with_data, lambda _, number: f"#{number}")


def _append_to_equal_titles(
    benchmarks: list[BenchmarkScores], suffix: Callable[[BenchmarkScores, int], str]
) -> list[BenchmarkScores]:
    titles = [b.title for b in benchmarks]
    return [
        replace(b, title=f"{b.title} {suffix(b, titles[:i].count(b.title) + 1)}") if titles.count(b.title) > 1 else b
        for i, b in enumerate(benchmarks)
    ]


def readable_scores(benchmark: BenchmarkScores, n: int) -> tuple[list[StoredScore], list[str]]:
    """Return the first `n` scores with readable arrays, and a line for each score before them that is damaged."""
    readable, problems = [], []
    for score in benchmark.scores:
        if len(readable) == n:
            break
        try:
            len(score.arrays)
            readable.append(score)
        except DamagedFile as damage:
            problems.append(f"{score.name}: {damage}")
    return readable, problems


def _direction(facts: Mapping[str, Any]) -> int:
    return METRICS[facts["metric"]].direction if facts["metric"] in METRICS else 1


def _sortable(value: float | None, direction: int) -> float:
    return -np.inf if value is None else direction * float(value)


def file_name(label: str) -> str:
    """Return a label as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
