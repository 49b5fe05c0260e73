"""Questions across models: groups of models, static against dynamic ones, and the relevance of tasks.

Everything is computed from stored scores: the facts of their manifests and, for single units, their arrays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..analysis import relevance as analysis
from ..files import DamagedFile
from ..models import GROUP_NAMES, Membership, membership
from ..utils import BadInput, nan_mean
from .metrics_agreement import primary
from .rows import Row
from .scores import BenchmarkScores, StoredScore

BRAIN = ("fmri", "electrodes")
N_SAMPLES = 1000
EVERYWHERE = ""  # region of all targets of a benchmark
TABLES = ("models", "groups", "dynamics", "sets", "weights", "axes", "behaviour")


@dataclass(frozen=True)
class Models:
    """Models with a score on one benchmark.

    Parameters
    ----------
    scores : tuple of StoredScore, (n_models,)
    alignment : array of shape (n_models,)
        Ceiling-normalised headline; the test score where the benchmark has no ceiling. NaN: undefined.
    low, high : arrays of shape (n_models,)
        95 % interval, NaN where none is stored.
    normalised : bool
    """

    scores: tuple[StoredScore, ...]
    alignment: np.ndarray
    low: np.ndarray
    high: np.ndarray
    normalised: bool

    @cached_property
    def members(self) -> list[Membership]:
        """Group and family of each model."""
        return [membership(score.item.model) for score in self.scores]

    @property
    def families(self) -> list[str]:
        """Family of each model."""
        return [member.family for member in self.members]

    @property
    def labels(self) -> list[str]:
        """Label of each model."""
        return [score.label for score in self.scores]


@dataclass(frozen=True)
class Regression:
    """Regression of one benchmark's alignment on task scores, for models with all of them.

    Parameters
    ----------
    models : int array
        The models, among those of the benchmark.
    tasks : tuple of str
    scores : array of shape (n_models, n_tasks)
    regions : tuple of str
        EVERYWHERE, then the regions with an alignment of all models.
    sets : dict of {tuple of str: Relevance}
        For sets of tasks; targets are `regions`.
    axes : Axes
        Of regions; of units where these were read.
    units : UnitRelevance or None
    """

    models: np.ndarray
    tasks: tuple[str, ...]
    scores: np.ndarray
    regions: tuple[str, ...]
    sets: dict[tuple[str, ...], analysis.Relevance]
    axes: analysis.Axes
    units: "UnitRelevance | None" = None

    @property
    def full(self) -> analysis.Relevance:
        """The regression on all tasks."""
        return self.sets[self.tasks]


@dataclass(frozen=True)
class UnitRelevance:
    """Relevance of tasks for each unit.

    Parameters
    ----------
    alignment : array of shape (n_models, n_units)
    fit : Fit
        On all tasks.
    residuals : dict of {tuple of str: array of shape (n_units,)}
        Root mean square of the held-out residuals after each set of tasks.
    score : StoredScore
        Model from whose arrays the table of units is read.
    """

    alignment: np.ndarray
    fit: analysis.Fit
    residuals: dict[tuple[str, ...], np.ndarray]
    score: StoredScore


@dataclass(frozen=True)
class Study:
    """One benchmark across models.

    Parameters
    ----------
    benchmark : BenchmarkScores
    models : Models
    regression : Regression or None
    problem : str
        Reason why there is no regression, "" if there is one.
    """

    benchmark: BenchmarkScores
    models: Models
    regression: Regression | None
    problem: str

    @property
    def alignment_name(self) -> str:
        """Name of the alignment for axis labels."""
        return "test / ceiling" if self.models.normalised else f"test {self.benchmark.metric}"


@dataclass(frozen=True)
class Across:
    """Results across models.

    Parameters
    ----------
    studies : list of Study
        fMRI, electrodes and behaviour with at least two models.
    tables : dict of {str: list of Row}
        The results as rows, see docs/outputs.md.
    """

    studies: list[Study]
    tables: dict[str, list[Row]] = field(default_factory=dict)


def across_models(
    benchmarks: Sequence[BenchmarkScores],
    n_samples: int = N_SAMPLES,
    units: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> Across:
    """Return the results across models of all benchmarks with at least two.

    Parameters
    ----------
    benchmarks : sequence of BenchmarkScores
        Those of kind "task" are the predictors of all others.
    n_samples : int
        Samples of model families behind the intervals.
    units : bool
        Also regress every unit of fMRI and electrodes, whose arrays are then read (default: False).
    log : callable
        Called with a line per benchmark whose arrays are read.

    Returns
    -------
    Across
    """
    benchmarks = primary(benchmarks)
    tasks = [b for b in benchmarks if b.benchmark == "task"]
    studies = []
    for benchmark in benchmarks:
        if benchmark.benchmark == "task" or len(benchmark.scores) < 2:
            continue
        models = _models(benchmark)
        try:
            found, problem = _regression(benchmark, models, tasks, n_samples), ""
        except BadInput as error:
            found, problem = None, str(error)
        if units and found is not None and benchmark.benchmark in BRAIN:
            log(f"reading the units of {benchmark.title}")
            found = _with_units(models, found)
        studies.append(Study(benchmark, models, found, problem))
    return Across(studies, _tables(studies, n_samples))


def _models(benchmark: BenchmarkScores) -> Models:
    normalised = any(score.headline.get("normalised") is not None for score in benchmark.scores)
    names = ("normalised", "low_normalised", "high_normalised") if normalised else ("test", "low", "high")
    columns = [[score.headline.get(name) for score in benchmark.scores] for name in names]
    return Models(benchmark.scores, *(np.array(column, dtype=float) for column in columns), normalised)


def _regression(
    benchmark: BenchmarkScores, models: Models, tasks: Sequence[BenchmarkScores], n_samples: int
) -> Regression:
    """Return the regression on the tasks; raise BadInput for too few models, families or tasks."""
    scores = _task_scores(models, tasks)
    rows, columns = analysis.complete_cases(scores, models.alignment)
    families = [models.families[i] for i in rows]
    analysis.check_size(len(rows), len(columns), families)
    names, scores = _task_names([tasks[j].title for j in columns]), scores[np.ix_(rows, columns)]
    regions, alignment = _region_alignment(models, rows)
    unrelated, sets = analysis.permuted(alignment, families), {}
    for chosen in analysis.task_sets(scores, alignment[:, 0], families, names):
        used = scores[:, [names.index(name) for name in chosen]]
        sets[chosen] = analysis.relevance(used, alignment, families, n_samples, unrelated)
    weights = sets[names].fit.weights[:, 1:]
    return Regression(rows, names, scores, regions, sets, analysis.axes(weights))


def _task_names(titles: Sequence[str]) -> tuple[str, ...]:
    """Return the titles without the options in parentheses, where all tasks have the same."""
    names = tuple(title.partition(" (")[0] for title in titles)
    is_same = len({title.partition(" (")[2] for title in titles}) == 1
    return names if is_same and len(set(names)) == len(titles) else tuple(titles)


def _task_scores(models: Models, tasks: Sequence[BenchmarkScores]) -> np.ndarray:
    """Return the headline test scores of the models, (n_models, n_tasks), NaN where a model has none."""
    found = np.full((len(models.scores), len(tasks)), np.nan)
    for j, task in enumerate(tasks):
        known = {score.label: score.headline["test"] for score in task.scores}
        found[:, j] = [np.nan if known.get(label) is None else known[label] for label in models.labels]
    return found


def _region_alignment(models: Models, rows: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the regions and the alignment (n_models, n_regions), with all targets first.

    A region that a model has no alignment with, as one whose units are all masked, is left out.
    """
    name = "normalised" if models.normalised else "test"
    by_model = [{row["region"]: row[name] for row in models.scores[i].facts["regions"]} for i in rows]
    regions = [r for r in by_model[0] if all(one.get(r) is not None for one in by_model)] if by_model else []
    columns = [models.alignment[rows], *(np.array([one[r] for one in by_model], float) for r in regions)]
    return (EVERYWHERE, *regions), np.stack(columns, axis=1)


def _with_units(models: Models, regression: Regression) -> Regression:
    """Return the regression with that of every unit, if all models have the same units."""
    read = list(_unit_alignment(models, regression.models))
    if len({values.shape for values in read}) != 1 or len(read) < len(regression.models):
        return regression
    alignment = np.stack(read)
    families = [models.families[i] for i in regression.models]
    names, fits = regression.tasks, {}
    for chosen in regression.sets:
        used = regression.scores[:, [names.index(name) for name in chosen]]
        fits[chosen] = analysis.fit(used, alignment, families)
    found = UnitRelevance(
        alignment,
        fits[names],
        {chosen: one.residual for chosen, one in fits.items()},
        models.scores[regression.models[0]],
    )
    axes = analysis.axes(found.fit.weights)
    return Regression(*(getattr(regression, n) for n in ("models", "tasks", "scores", "regions", "sets")), axes, found)


def _unit_alignment(models: Models, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the alignment of each model with every unit, (n_units,), NaN for a masked one; damaged scores are left out.

    The mean over splits of the headline's test scores, divided by the unit's ceiling where there is one.
    """
    from ..analysis.aggregate import headline_test, usable_ceiling

    for i in rows:
        score = models.scores[i]
        try:
            arrays = score.arrays
        except DamagedFile:
            continue
        test = nan_mean(headline_test(arrays), axis=1)
        ceiling = usable_ceiling(arrays)
        yield test if ceiling is None else test / ceiling
        if i != rows[0]:
            score.release()


def _tables(studies: Sequence[Study], n_samples: int) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {name: [] for name in TABLES}
    for study in studies:
        found["models"] += model_rows(study)
        found["groups"] += group_rows(study, n_samples)
        found["dynamics"] += dynamics_rows(study, n_samples)
        if study.regression is not None:
            found["sets"] += set_rows(study)
            found["weights"] += weight_rows(study)
            found["axes"] += axis_rows(study)
    found["behaviour"] = behaviour_rows(studies, n_samples)
    return found


def model_rows(study: Study) -> list[Row]:
    """Return a row per model: its group, its alignment, and the prediction from all tasks by other families."""
    predicted = np.full(len(study.models.scores), np.nan)
    if study.regression is not None:
        predicted[study.regression.models] = study.regression.full.fit.predicted[:, 0]
    models = study.models
    return [
        {
            "benchmark": study.benchmark.title,
            "model": score.label,
            "group": member.group,
            "family": member.family,
            "dynamic": member.dynamic,
            "alignment": _number(models.alignment[i]),
            "low": _number(models.low[i]),
            "high": _number(models.high[i]),
            "normalised": models.normalised,
            "predicted": _number(predicted[i]),
            "residual": _number(models.alignment[i] - predicted[i]),
            "score": score.name,
        }
        for i, (score, member) in enumerate(zip(models.scores, models.members, strict=True))
    ]


def group_rows(study: Study, n_samples: int = N_SAMPLES) -> list[Row]:
    """Return a row per group of models: mean alignment, and its interval over families."""
    rows = []
    for group in GROUP_NAMES:
        values, families = _of(study.models, lambda member, group=group: member.group == group)
        if len(values):
            found = analysis.mean_interval(values, families, n_samples)
            best = float(values.max())
            rows.append({"benchmark": study.benchmark.title, "group": group} | found | {"best": best})
    return rows


def dynamics_rows(study: Study, n_samples: int = N_SAMPLES) -> list[Row]:
    """Return the row of trained networks of films against those of single frames, none if one kind is missing."""
    parts = []
    for dynamic in (True, False):
        values, families = _of(
            study.models, lambda m, d=dynamic: m.dynamic is d and m.group not in ("control", "untrained")
        )
        parts.append({"values": values, "families": families})
    if not all(len(part["values"]) for part in parts):
        return []
    first, second = parts
    return [
        {
            "benchmark": study.benchmark.title,
            "dynamic": float(first["values"].mean()),
            "dynamic_models": len(first["values"]),
            "dynamic_families": len(set(first["families"])),
            "static": float(second["values"].mean()),
            "static_models": len(second["values"]),
            "static_families": len(set(second["families"])),
        }
        | analysis.difference(first, second, n_samples)
    ]


def _of(models: Models, wanted: Callable[[Membership], bool]) -> tuple[np.ndarray, list[str]]:
    """Return the alignments and the families of the wanted models that have one."""
    chosen = [i for i, member in enumerate(models.members) if wanted(member) and np.isfinite(models.alignment[i])]
    return models.alignment[chosen], [models.families[i] for i in chosen]


def set_rows(study: Study) -> list[Row]:
    """Return a row per set of tasks and region: share of variance explained, and the residual that it leaves."""
    found, rows = study.regression, []
    n_families = len({study.models.families[i] for i in found.models})
    for chosen, one in found.sets.items():
        for j, region in enumerate(found.regions):
            rows.append(
                {
                    "benchmark": study.benchmark.title,
                    "region": region,
                    "tasks": " + ".join(chosen),
                    "n_tasks": len(chosen),
                    "models": len(found.models),
                    "families": n_families,
                    "r2": _number(one.fit.r2[j]),
                    "adjusted_r2": _number(one.adjusted_r2[j]),
                    "low": _number(one.low[j]),
                    "high": _number(one.high[j]),
                    "p": _number(one.p[j]),
                    "held_out_r2": _number(one.fit.held_out_r2[j]),
                    "residual": _number(one.fit.residual[j]),
                }
            )
    return rows


def set_name(row: Row, rows: Sequence[Row]) -> str:
    """Return the name of a set of tasks: that of its task, what it adds to a smaller set, or that it has all.

    rows: all sets of the same benchmark and region.
    """
    names = row["tasks"].split(" + ")
    if len(names) == 1:
        return names[0]
    if row["n_tasks"] == max(one["n_tasks"] for one in rows):
        return f"all {row['n_tasks']} tasks"
    smaller = [one["tasks"].split(" + ") for one in rows if one["n_tasks"] == len(names) - 1 and len(names) > 2]
    before = next((one for one in smaller if set(one) < set(names)), None)
    return " + ".join(names) if before is None else f"   + {next(iter(set(names) - set(before)))}"


def weight_rows(study: Study) -> list[Row]:
    """Return a row per region and task: its weight in the regression on all tasks."""
    found, full = study.regression, study.regression.full
    alignment = _region_alignment(study.models, found.models)[1]
    return [
        {
            "benchmark": study.benchmark.title,
            "region": region,
            "task": task,
            "slope": _number(full.fit.slopes[i, j]),
            "weight": _number(full.fit.weights[i, j]),
            "low": _number(full.weights_low[i, j]),
            "high": _number(full.weights_high[i, j]),
            "standardised": _number(full.fit.weights[i, j] / (alignment[:, j].std() or np.nan)),
        }
        for j, region in enumerate(found.regions)
        for i, task in enumerate(found.tasks)
    ]


def axis_rows(study: Study) -> list[Row]:
    """Return a row per axis and task: its loading on the axes of units, or of regions where no unit was read."""
    found = study.regression
    return [
        {
            "benchmark": study.benchmark.title,
            "of": "units" if found.units else "regions",
            "axis": axis + 1,
            "share": _number(found.axes.share[axis]),
            "task": task,
            "loading": _number(found.axes.loadings[axis, i]),
        }
        for axis in range(len(found.axes.share))
        for i, task in enumerate(found.tasks)
    ]


def behaviour_rows(studies: Sequence[Study], n_samples: int = N_SAMPLES) -> list[Row]:
    """Return a row per brain benchmark and behaviour: correlation over the models that have both."""
    rows = []
    for brain in (study for study in studies if study.benchmark.benchmark in BRAIN):
        alignment = dict(zip(brain.models.labels, brain.models.alignment, strict=True))
        for other in (study for study in studies if study.benchmark.benchmark == "behaviour"):
            x = np.array([alignment.get(label, np.nan) for label in other.models.labels])
            found = analysis.correlation(x, other.models.alignment, other.models.families, n_samples)
            titles = {"benchmark": brain.benchmark.title, "behaviour": other.benchmark.title}
            rows.append(titles | found)
    return rows


def _number(value: float) -> float | None:
    """Return a number, None in place of NaN."""
    return None if value != value else float(value)
