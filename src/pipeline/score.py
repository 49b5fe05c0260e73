"""A score with its arrays: as a table, a DataFrame, an xarray Dataset, a figure and a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.aggregate import regions
from ..evaluate.axis import DELAY_PROFILE, TIME_COURSE, curve_name
from ..evaluate.layer_choice import stored_rule
from ..files import replacing_file, writing
from ..tables import SUFFIXES, check_output, write_rows
from ..utils import BadInput
from .parts import peaks_ms
from .score_text import metric_label, score_html, score_text
from .summary import BEST_PER_UNIT
from .windows import sweeps, temporal_windows

if TYPE_CHECKING:
    import matplotlib.axes
    import pandas as pd
    import xarray as xr

CHOSEN_ONLY = ("low", "high", "p", "q")
PER_TARGET = ("ceiling", "reliability", "masked", *CHOSEN_ONLY)
POINTS = {TIME_COURSE: "time_bin", DELAY_PROFILE: "delay"}  # dimension of the points of a curve
PER_TARGET_AND_SPLIT = ("valid", "test", "null_valid", "null_test")
DIMENSIONS = {
    **dict.fromkeys(PER_TARGET_AND_SPLIT, ("layer", "target", "split")),
    "confusion_human": ("shown", "answer"),
    "confusion_model": ("layer", "shown", "answer"),
    "bootstrap": ("draw",),
    "bootstrap_normalised": ("draw",),
    "bootstrap_one_layer": ("draw",),
    "bootstrap_one_layer_normalised": ("draw",),
    "bootstrap_regions": ("region", "draw"),
    "null": ("permutation",),
    "split_distance": ("layer", "split"),
    "split_distance_low_level": ("split",),
    "subject_test": ("subject", "target", "split"),
    "subject_segments": ("subject", "segment"),
    **dict.fromkeys(("subject_ceiling", "subject_ceiling_error"), ("subject", "target")),
    **dict.fromkeys(("subject_ceiling_ridge", "subject_ceiling_ridge_error"), ("subject", "target")),
    **dict.fromkeys(("unique", "unique_low", "unique_high", "unique_q", "alone"), ("set", "target")),
    **dict.fromkeys(("joint", "shared", "shared_low", "shared_high"), ("target",)),
    "alpha": ("layer", "split"),
    "alpha_per_target": ("layer", "target", "split"),
    **dict.fromkeys(("band_weight", "band_alpha"), ("band", "target", "split")),
    **{
        f"{name}{part}": ("target", point)
        for name, point in POINTS.items()
        for part in ("", "_low", "_high", "_ceiling")
    },
}


@dataclass(frozen=True, eq=False)
class Score:
    """Score of a model on a dataset, or on several datasets that were fitted together.

    Parameters
    ----------
    facts : mapping
        The printed part as plain JSON: model, datasets, options, a row per layer and per region.
    arrays : mapping of str to array
        `valid`, `test` (n_layers, n_targets, n_splits), `ceiling` (n_targets,), `bootstrap` (n_samples,), ...; read
        from the store when they are used.
    key : str
        Name of the score in the store; `load(key)` returns the same score. Empty for one that is not stored.
    provenance : mapping
        Commit, versions, device and time of the computation; empty for one that is not stored.

    Examples
    --------
    >>> import dynamic_vision as dv
    >>> score = dv.score("fake-net", "fake-fmri")  # doctest: +SKIP
    >>> score.to_xarray()["test"].sel(layer="motion").mean("split")  # doctest: +SKIP
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    key: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.facts["model"]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return tuple(self.facts["datasets"])

    @property
    def best_layer(self) -> str:
        """Name of the layer that most splits choose for all targets."""
        return self.facts["one_layer"]["layer"]

    def __repr__(self) -> str:
        headline = self.facts["headline"]
        test = "undefined" if headline["test"] is None else f"{headline['test']:.3f}"
        label = metric_label(self.facts)
        return f"<Score {self.model} on {'+'.join(self.datasets)}: test {label} {test}, {headline['layer']}>"

    def summary(self) -> str:
        """Return the printed tables: a row per layer, a row per region, the ceiling and the counts."""
        return score_text(self.facts)

    def _repr_html_(self) -> str:
        return score_html(self.facts)

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a table with a row per layer, target and split.

        Returns
        -------
        pandas.DataFrame
            Columns: benchmark, model, datasets, metric, layer; the columns of the target table with the prefix
            `target_`; split, valid, test; null_valid and null_test (null control); chosen, whether the headline counts
            the row; ceiling, reliability, masked; low, high (95 % interval), p and q of the target in these rows, NaN
            elsewhere, and so subject_NAME, the test score of each single subject, time_course_START or
            delay_profile_START, the score at each point of the curve by its start in ms, and peak_ms, the start of the
            largest; key, commit, and options as JSON.
            See docs/outputs.md.
        """
        import pandas as pd

        arrays, facts = self.arrays, self.facts
        layer, target, split = (index.ravel() for index in np.indices(np.shape(arrays["test"])))
        table = {
            "benchmark": facts["benchmark"],
            "model": facts["model"],
            "datasets": "+".join(facts["datasets"]),
            "metric": facts["metric"],
            "context_ms": np.nan if facts.get("context_ms") is None else float(facts["context_ms"]),
            "layer": np.asarray(arrays["layers"]).astype(str)[layer],
        }
        table |= {_column(name): np.asarray(arrays[name])[target] for name in arrays if name.startswith("target_")}
        table["split"] = split
        table |= {name: np.asarray(arrays[name]).ravel() for name in PER_TARGET_AND_SPLIT if name in arrays}
        layers = stored_rule(arrays).layers(np.asarray(arrays["valid"]))
        table["chosen"] = layers[target, split] == layer
        for name in PER_TARGET:
            if name in arrays:
                values = np.asarray(arrays[name])[target]
                table[name] = np.where(table["chosen"], values, np.nan) if name in CHOSEN_ONLY else values
        for k, subject in enumerate(np.asarray(arrays.get("subjects", ())).tolist()):
            # the layers of subjects are those that the headline counts
            values = np.asarray(arrays["subject_test"])[k][target, split]
            table[f"subject_{subject}"] = np.where(table["chosen"], values, np.nan).astype(np.float32)
        if (name := curve_name(arrays)) is not None:
            starts, of_targets = np.asarray(arrays[f"{name}_ms"])[:, 0], np.asarray(arrays[name])[target]
            columns = {f"{name}_{start:g}": of_targets[:, p] for p, start in enumerate(starts)}
            columns["peak_ms"] = peaks_ms(arrays)[target]
            table |= {column: np.where(table["chosen"], values, np.nan) for column, values in columns.items()}
        found = pd.DataFrame(table)
        return found.assign(**{name: pd.Categorical([text] * len(found)) for name, text in self._origin().items()})

    def _origin(self) -> dict[str, str]:
        """Return what a file of the score says about its origin: key, commit and options (JSON)."""
        options = json.dumps(self.facts.get("options", {}))
        return {"key": self.key, "commit": self.provenance.get("commit") or "", "options": options}

    def to_xarray(self) -> "xr.Dataset":
        """Return the arrays with the coordinates layer, target and split.

        Returns
        -------
        xarray.Dataset
            `valid` and `test` (layer, target, split); `unique` (set, target) and others of a partition.
            `time_course` (target, time_bin) and `delay_profile` (target, delay) with their intervals.
            Coordinates: layer, target (identifier of the target), split,
            draw, region, subject, classes shown and answer; of the dimension target also the columns of the target
            table with the prefix `target_`, `ceiling`, ... Attributes: key, commit, options and facts, as JSON.
            See docs/outputs.md.
        """
        import xarray as xr

        arrays = self.arrays
        variables = {name: (dims, np.asarray(arrays[name])) for name, dims in DIMENSIONS.items() if name in arrays}
        coords = {
            "layer": np.asarray(arrays["layers"]).astype(str),
            "target": np.asarray(arrays["target_target_id"]),
            "split": np.arange(np.shape(arrays["test"])[2]),
        }
        if "split_films" in arrays:
            coords["split_film"] = ("split", np.asarray(arrays["split_films"]).astype(str))
        if "subjects" in arrays:
            coords["subject"] = np.asarray(arrays["subjects"]).astype(str)
        if "subject_ceiling_kind" in arrays:
            coords["subject_ceiling_kind"] = ("subject", np.asarray(arrays["subject_ceiling_kind"]).astype(str))
        if "partition_sets" in arrays:
            coords["set"] = np.asarray(arrays["partition_sets"]).astype(str)
        if "bands" in arrays:
            coords["band"] = np.asarray(arrays["bands"]).astype(str)
        if (name := curve_name(arrays)) is not None:
            ends = zip(("start_ms", "end_ms"), np.asarray(arrays[f"{name}_ms"]).T, strict=True)
            coords |= {f"{POINTS[name]}_{end}": (POINTS[name], values) for end, values in ends}
            coords["peak_ms"] = ("target", peaks_ms(arrays))
        if "bootstrap" in arrays:
            coords["draw"] = np.arange(len(arrays["bootstrap"]))
        if "bootstrap_regions" in arrays:
            coords["region"] = list(regions(arrays))
        if "classes" in arrays:
            coords |= dict.fromkeys(("shown", "answer"), np.asarray(arrays["classes"]).astype(str))
        for name in arrays:
            if name in (*PER_TARGET, "ceiling_spread", "ceiling_error") or name.startswith("target_"):
                values = np.asarray(arrays[name])
                # netCDF has no truth values
                coords[_column(name)] = ("target", values.astype(np.int8) if values.dtype == bool else values)
        return xr.Dataset(variables, coords, self._origin() | {"facts": json.dumps(self.facts)})

    def plot(self, axes: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
        """Draw the score of every layer: median over targets, mean and standard deviation over splits.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Default: new ones. Several scores may be drawn into the same axes.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(figsize=(max(4.0, 0.6 * len(self.facts["layers"]) + 2), 3.6), layout="constrained")
        rows = self.facts["layers"]
        names = [row["layer"] for row in rows]
        test, spread = (np.array([np.nan if row[c] is None else row[c] for row in rows]) for c in ("test", "test_sd"))
        line = axes.errorbar(names, test, spread, marker="o", capsize=3, label=f"{self.model}, layer")[0]
        headline = self.facts["headline"]
        if headline["test"] is not None:
            per_unit = headline["layer"] == BEST_PER_UNIT
            label = f"{self.model}, {BEST_PER_UNIT if per_unit else 'chosen layer'}"
            axes.axhline(headline["test"], color=line.get_color(), linestyle=":", label=label)
        if self.facts["ceiling"] is not None:
            # several scores on one dataset share their ceiling: one entry in the legend
            drawn = axes.get_legend_handles_labels()[1]
            label = "_ceiling" if "noise ceiling" in drawn else "noise ceiling"
            axes.axhline(self.facts["ceiling"], color="0.5", linestyle="--", label=label)
        metric = metric_label(self.facts)
        axes.set(ylabel=f"test {metric}", title=f"{' + '.join(self.datasets)}, {self.facts['targets']} targets")
        axes.tick_params(axis="x", rotation=0 if max(map(len, names)) < 8 and len(names) < 8 else 60)
        axes.legend(frameon=False, fontsize="small")
        return axes

    def write(self, path: str | Path) -> None:
        """Write the score to a .csv, .parquet or .json file (a row per layer, target and split) or a .nc file."""
        check_scores_file(str(path))
        write_scores([self], path)


def check_scores_file(path: str | None, n_scores: int = 1) -> None:
    """Raise BadInput for a file that scores cannot be written to; called before anything is computed.

    n_scores: number of models, metrics and contexts of the request, each with a score.
    """
    check_output(path, (*SUFFIXES, ".nc"))
    if path is not None and Path(path).suffix == ".nc" and n_scores > 1:
        raise _several_for_netcdf(n_scores)


def _several_for_netcdf(n: int) -> BadInput:
    return BadInput(
        f"{n} scores for one .nc file; expected 1: name one model, dataset, metric and context, or write .parquet or "
        ".csv"
    )


def write_scores(scores: Sequence[Score], path: str | Path | None) -> None:
    """Write scores to one file, wholly or not at all; the suffix decides the format."""
    if path is None:
        return
    suffix = Path(path).suffix
    if suffix == ".json":
        write_rows([_as_json(*pair) for pair in zip(scores, _with_windows(scores), strict=True)], path)
    elif suffix == ".nc":
        if len(scores) > 1:
            raise _several_for_netcdf(len(scores))
        with writing(Path(path), "--output"), replacing_file(Path(path)) as part:
            scores[0].to_xarray().to_netcdf(part)
    else:
        import pandas as pd

        write_rows(pd.concat(_with_windows(scores), ignore_index=True), path)


def _with_windows(scores: Sequence[Score]) -> "list[pd.DataFrame]":
    """Return the tables of the scores; those with several contexts of a model have the targets' windows."""
    found = {id(score): score.to_dataframe() for score in scores}
    for group in sweeps(scores):
        window_ms = temporal_windows(group)[0]
        for score in group:
            table, (n_layers, _, n_splits) = found[id(score)], np.shape(score.arrays["test"])
            of_rows = np.tile(np.repeat(window_ms, n_splits), n_layers)
            table.insert(table.columns.get_loc("key"), "window_ms", np.where(table["chosen"], of_rows, np.nan))
    return [found[id(score)] for score in scores]


def _as_json(score: Score, table: "pd.DataFrame") -> dict[str, Any]:
    """Return the facts of a score with its key, commit, and a row per layer, target and split."""
    origin = {"key": score.key, "commit": score.provenance.get("commit") or ""}
    table = table.drop(columns=["key", "commit", "options"])
    return origin | dict(score.facts) | {"scores": json.loads(table.to_json(orient="records"))}


def _column(name: str) -> str:
    """Name of the column of an array `target_...`: the identifier of the target is `target_id`."""
    return {"target_target_id": "target_id", "target_id": "target_own_id"}.get(name, name)
