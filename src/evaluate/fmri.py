"""Scores of a model on fMRI: one joint regression over all rows of the named datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..ceiling import Recording, inter_subject, repetition_mean, window_split_half
from ..records import Activations, Evaluation, Responses
from ..utils import BadInput, nan_mean, nan_median
from . import hrf, similarity, subjects
from .align import Rows, align, content_codes, regions
from .bootstrap_statistics import MedianOfTargets, Resampling, fitted_widening, identity, widening
from .cross_validate import Problem, cross_validate_problem
from .curves import Delays, curves, with_curve
from .decoders import Decoder, Ridge
from .decoders.base import Split, needs_validation
from .feature_sets import joined
from .finite import usual_rows
from .layer_choice import Rule, taken
from .metrics import METRICS
from .novelty import distances
from .other_people import from_others
from .protocol import DELAY_MS, LEAST_RECORDED, LEAST_TEST_ROWS, ONE_FILM, TOLERANCE_MS, Protocol
from .runs import standardised
from .splits import penalty_blocks, segment_splits, segments, unseen_splits

SEGMENT_RUN = 2  # neighbouring segments of a film that a bootstrap samples together: benchmarks/intervals.py
N_REVERSED = 200  # features of a layer that responses predict


@dataclass(frozen=True)
class Part:
    """One dataset of a joint regression.

    responses: as `prepared` returns them; lag: True if the responses follow the stimulus by a haemodynamic response
    (films), False for one beta per clip; row_weight: number of bins of a film that one row counts as; subjects: names
    of the subjects of all repetitions among those of all datasets, by default those of the responses; tested: its
    rows are predicted by fits to the parts that are not tested; if no part is, all are split. low_level: statistics of
    the stimuli, each a layer, in which the distance of test films is measured beside that in the model's features.
    """

    activations: Activations
    responses: Responses
    lag: bool = True
    row_weight: float = 1.0
    subjects: tuple[str, ...] | None = None
    tested: bool = False
    low_level: Activations | None = None

    @property
    def people(self) -> tuple[str, ...]:
        """Subject of each repetition."""
        return self.responses.subjects if self.subjects is None else self.subjects


def prepared(responses: Responses, protocol: Protocol, lag: bool, high_passed: bool = False) -> Responses:
    """Return the record with its runs on one scale, or as it is if the protocol averages runs first.

    high_passed: the release removed the slow drift.
    """
    if protocol.runs == "averaged":
        return responses
    high_pass_s = None if high_passed or not protocol.high_pass_s else protocol.high_pass_s
    return standardised(responses, films=lag, high_pass_s=high_pass_s)


def score(parts: Sequence[Part], decoder: Decoder, protocol: Protocol, **options) -> Evaluation:
    """Return the evaluation of `scores` by Pearson's r."""
    return scores(parts, decoder, protocol, **options)["pearson"]


def scores(
    parts: Sequence[Part],
    decoder: Decoder,
    protocol: Protocol,
    metrics: Sequence[str] = ("pearson",),
    *,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    each_subject: bool = False,
    without_mean: bool = False,
    ceiling: bool = False,
    permutations: int = 0,
    bands: Sequence[Sequence[str]] | None = None,
    jobs: int = 1,
    progress: Callable | None = None,
) -> dict[str, Evaluation]:
    """Return, by metric, validation and test scores of every layer, target and split; the datasets must pass `check`.

    splits: of the rows of `problem`, by default those of the protocol; resample: keep the statistics for a bootstrap
    over segments. each_subject: score each of several subjects besides their mean by Pearson's r, see
    `subject_arrays`; for ridge regression. without_mean: the test scores are the mean over these subjects, of layers
    that the mean subject chooses. A finite impulse response of films has a delay profile, see `curves`. bands: layers
    of each band of a joint fit, see `feature_sets.joined`.
    """
    pieces = [_PartRows.of(part, protocol) for part in parts]
    made, notes = _joined(parts, pieces, protocol, splits, validate=needs_validation(decoder, protocol.nested))
    made = joined(made, bands)
    blocks = made.blocks
    several = _people(parts, pieces, protocol) if each_subject else None
    of_subjects = [name for name in metrics if METRICS[name].of_subjects]
    people = several if of_subjects else None
    if people is not None:
        other = subjects.sampled_targets(people, made.targets.shape[1], len(made.targets))
        made = replace(made, other=other if other.shape[1] else None)
    units, rule = parts[0].responses.units, Rule(protocol.nested, protocol.headline)
    recordings = [p.recording(part) for p, part in zip(pieces, parts, strict=True)]
    compared = similarity.scorer(
        made,
        metrics,
        regions(units),
        rule,
        recordings=recordings if ceiling else None,
        permutations=permutations,
        seed=protocol.seed,
    )
    fitted, films = made, {}
    if protocol.layout == ONE_FILM or any(part.tested for part in parts):
        fitted, films = _with_distances(made, blocks, parts, pieces)
    fitted = fitted if resample else replace(fitted, blocks=None)
    options = {"groups": regions(units), "rule": rule, "missing": protocol.missing, "jobs": jobs, "progress": progress}
    along = _delays(parts, fitted, decoder, protocol) if bands is None else None
    results = similarity.fitted(compared, fitted, decoder, metrics, along=along, **options)
    profiles = curves(along, results)
    targets, found = {"target_id": units["unit_id"], **units}, {}
    for metric, result in results.items():
        extra = dict(result.extra) | (profiles[metric].arrays if metric in profiles else {})
        extra |= {name: np.array(values) for name, values in films.items()}
        if metric in of_subjects and people is not None:
            layers = rule.layers(result.valid)
            test = rule.test({"valid": result.valid, "test": result.test})
            of_people = subjects.score(fitted, decoder, people, result.other, layers, test, blocks, progress)
            extra |= subject_arrays(of_people, people, made, blocks, parts)
            if without_mean:
                of_layers = subjects.means(fitted, decoder, people, result.other, len(made.layers), blocks)
                result = replace(result, test=of_layers, resampling=None)
        found[metric] = Evaluation(
            tuple(made.layers),
            targets,
            result.valid,
            result.test,
            metric,
            notes={**notes, **result.notes},
            resampling=with_curve(result.resampling, profiles.get(metric)),
            extra=extra,
        )
    if compared is not None:
        found |= compared.evaluations(
            notes, resample, several, lambda f: subject_arrays(f, several, made, blocks, parts)
        )
    return found


def _delays(parts: Sequence[Part], made: Problem, decoder: Decoder, protocol: Protocol) -> Delays | None:
    """Return the delays of a finite impulse response of films by ridge regression, None for another fit."""
    films = all(part.lag for part in parts)
    if protocol.hrf != "fir" or not films or made.blocks is None or not isinstance(decoder, Ridge):
        return None
    width_ms = float(np.ptp(parts[0].responses.time_ms[0]))
    return Delays(made, [width_ms * shift for shift in hrf.delay_bins(width_ms)], width_ms)


def _with_distances(
    made: Problem, blocks: np.ndarray, parts: Sequence[Part], pieces: Sequence["_PartRows"]
) -> tuple[Problem, dict[str, list]]:
    """Return the problem and what is known of its test parts, which are whole stimuli, once its layers are loaded.

    split_films: (n_splits,) identifier of the stimulus tested, "" for several; split_distance: (n_layers, n_splits),
    see `novelty.distances`; split_distance_low_level: (n_splits,), the same in low-level statistics, whose mean over a
    film counts too.
    """
    ids = [stimulus_id for part in parts for stimulus_id in part.responses.stimuli.ids]
    tested = [np.unique(made.stimulus[split.test]) for split in made.splits]
    of_layers: list[np.ndarray] = []

    def loading(load: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        def loaded() -> np.ndarray:
            X = load()
            of_layers.append(distances(X, made.splits, made.stimulus, blocks))
            return X

        return loaded

    layers = {name: loading(load) for name, load in made.layers.items()}
    films = {"split_films": [ids[s[0]] if len(s) == 1 else "" for s in tested], "split_distance": of_layers}
    if all(part.low_level is not None for part in parts):
        statistics = np.concatenate([_low_level(part, rows) for part, rows in zip(parts, pieces, strict=True)])
        films["split_distance_low_level"] = distances(statistics, made.splits, made.stimulus, blocks)
    return replace(made, layers=layers), films


def _low_level(part: Part, rows: "_PartRows") -> np.ndarray:
    """Return the low-level statistics of the rows of a dataset: (n_rows, n)."""
    aligned = align(part.low_level, part.responses)
    return np.concatenate([aligned.layer(name)[rows.stimulus, rows.bin] for name in part.low_level.layers], axis=1)


def reverse(
    parts: Sequence[Part], protocol: Protocol, *, device: str = "cpu", jobs: int = 1, progress: Callable | None = None
) -> Evaluation:
    """Return how well responses predict each layer's features: the median r over sampled features, one target.

    A model may predict responses by a part of its features; the others show here. Ridge regression from the responses
    of the mean subject to N_REVERSED features of each layer, spread evenly, with the splits, the haemodynamic response
    and the gaps of the forward direction, and a penalty per feature. A unit that lacks more than a twentieth of the
    rows predicts nothing; other missing responses count as the unit's mean.

    References
    ----------
    Muzellec and Kar 2025, "Reverse predictivity" (bioRxiv 2025.08.08.669382).
    """
    decoder = _ridge(protocol, device, per_target=True)
    made, notes = problem(parts, protocol, validate=needs_validation(decoder, protocol.nested))
    recorded = np.isfinite(made.targets)
    units = recorded.mean(axis=0) >= LEAST_RECORDED
    if not units.any():
        raise BadInput("no unit is recorded throughout; expected some that predict features")
    responses = np.nan_to_num(zscore(made.targets[:, units]))
    columns, features = [], []
    for load in made.layers.values():
        X = load()
        X = X[:, np.unique(np.linspace(0, X.shape[1] - 1, N_REVERSED).astype(int))]
        columns.append(X.shape[1])
        features.append(zscore(X))
    made = replace(made, layers={"responses": lambda: responses}, targets=np.concatenate(features, axis=1))
    result = cross_validate_problem(
        made, decoder, "pearson", rule=Rule(protocol.nested), missing=protocol.missing, jobs=jobs, progress=progress
    )
    edges = np.cumsum(columns)[:-1]
    valid, test, fitted = (
        np.stack([nan_median(of_layer, axis=0)[None] for of_layer in np.split(scores, edges)])
        for scores in (result.valid[0], result.test[0], result.fitted[0].T)
    )
    notes |= {"units": int(units.sum()), "features of a layer, at most": N_REVERSED} | result.notes
    targets = {"target_id": np.array(["features"])}
    return Evaluation(
        tuple(parts[0].activations.layers),
        targets,
        valid,
        test,
        "pearson",
        notes=notes,
        resampling=_of_layers(result.resampling, edges, valid, test, fitted, Rule(protocol.nested)),
        extra=result.extra,
    )


def _of_layers(
    found: Resampling, edges: np.ndarray, valid: np.ndarray, test: np.ndarray, fitted: np.ndarray, rule: Rule
) -> Resampling:
    """Return the input of a bootstrap of the median over the features of one layer, which each split chooses.

    edges: of the features of each layer among the targets; valid, test, fitted: (n_layers, 1, n_splits) medians of r in
    validation, test and training.
    """
    layers = rule.layers(valid)
    of_test, of_fit = (float(nan_mean(taken(r, layers), axis=None)) for r in (test, fitted))
    statistics = found.one_layer
    columns = np.split(np.arange(statistics.splits[0].n_targets), edges)
    splits = [split.take(columns[layer]) for split, layer in zip(statistics.splits, layers[0], strict=True)]
    return replace(
        found,
        widening=fitted_widening(found.widening, of_test, of_fit),
        one_layer=MedianOfTargets(replace(statistics, splits=splits)),
    )


def _people(parts: Sequence[Part], rows: Sequence["_PartRows"], protocol: Protocol) -> subjects.People | None:
    """Return the subjects behind the rows of `problem`; None for fewer than two."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.people))
    if len(names) < 2:
        return None

    def targets(subject: int, units: slice | np.ndarray) -> np.ndarray:
        return np.concatenate(
            [
                _of_subject(part, of_part, names[subject], units, protocol)
                for part, of_part in zip(parts, rows, strict=True)
            ]
        )

    return subjects.People(names, targets)


def _of_subject(part: Part, rows: "_PartRows", name: str, units: slice | np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return a subject's mean over repetitions in the rows of one dataset: (n_rows, n_units), NaN = not recorded."""
    own = [k for k, subject in enumerate(part.people) if subject == name]
    values = part.responses.values
    if not own:
        return np.full((len(rows.stimulus), values[:1, 0, 0, units].shape[-1]), np.nan, dtype=np.float32)
    # subject first: units that are no slice are copied, of all subjects where they come first
    runs = [values[:, k][..., units] for k in own]
    mean = runs[0] if len(runs) == 1 else repetition_mean(np.stack(runs, axis=1))
    found = mean[rows.stimulus, rows.bin].astype(np.float32)
    if protocol.runs == "averaged":
        recorded = np.isfinite(found).any(axis=0)
        found[:, recorded] = zscore(found[:, recorded])
    return found


def subject_arrays(
    found: subjects.SubjectScores, people: subjects.People, made: Problem, blocks: np.ndarray, parts: Sequence[Part]
) -> dict[str, np.ndarray]:
    """Return the scores of subjects as arrays to store.

    subjects: (n_subjects,) names; subject_test: (n_subjects, n_targets, n_splits) and subject_segments: (n_subjects,
    n_segments), see `subjects.SubjectScores`; subject_rows: identity of segments and test rows, equal for paired
    scores; subject_shown: number of films, of clips, and minutes; widening: see `bootstrap_statistics.widening`.
    """
    weights = np.ones(len(blocks)) if made.weights is None else made.weights
    edges = np.cumsum([0] + [len(part.responses.stimuli) for part in parts])
    of_part = np.searchsorted(edges, made.stimulus, side="right") - 1
    lag = np.array([part.lag for part in parts])[of_part]
    shown = [len(np.unique(made.stimulus[of_kind])) for of_kind in (lag, ~lag)]
    width_ms = np.array([np.ptp(part.responses.time_ms[0]) for part in parts])
    return {
        "subjects": np.array(people.names),
        "subject_test": found.test,
        "subject_segments": found.segments,
        "subject_rows": np.array(identity(blocks, made.splits)),
        "subject_shown": np.array([*shown, width_ms[of_part].sum() / 60_000]),
        "widening": np.array(widening(made.splits, weights)),
    }


def problem(
    parts: Sequence[Part],
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    validate: bool = False,
    bands: Sequence[Sequence[str]] | None = None,
) -> tuple[Problem, dict[str, float]]:
    """Return the joint regression of the datasets, and notes (counts of rows).

    A bootstrap resamples segments; a permutation shifts films circularly in time and shuffles clips. validate: tiled
    splits have validation rows. bands: see `score`.
    """
    pieces = [_PartRows.of(part, protocol) for part in parts]
    made, notes = _joined(parts, pieces, protocol, splits, validate=validate)
    return joined(made, bands), notes


def _joined(
    parts: Sequence[Part],
    pieces: Sequence["_PartRows"],
    protocol: Protocol,
    splits: Sequence[Split] | None,
    *,
    validate: bool,
) -> tuple[Problem, dict[str, float]]:
    """Return `problem` from the rows of each dataset."""
    offsets = np.cumsum([0] + [len(part.responses.stimuli) for part in parts])
    stimulus = np.concatenate([p.stimulus + start for p, start in zip(pieces, offsets[:-1], strict=True)])
    tied = _tied([part.responses for part in parts], protocol)[stimulus]
    time_ms = np.concatenate([p.time_ms for p in pieces])
    weights = np.concatenate([np.full(len(p.stimulus), part.row_weight) for p, part in zip(pieces, parts, strict=True)])
    targets = pieces[0].targets if len(pieces) == 1 else np.concatenate([p.targets for p in pieces])
    tested = np.concatenate([np.full(len(p.stimulus), part.tested) for p, part in zip(pieces, parts, strict=True)])
    if splits is None:
        options = {"weights": weights, "validate": validate}
        splits = _splits(tied, time_ms, protocol, usual_rows(targets), tested, **options)
    names = tuple(parts[0].activations.layers)
    layers = {name: lambda name=name: np.concatenate([p.layer(name) for p in pieces]) for name in names}
    made = Problem(
        layers,
        targets,
        splits,
        weights=None if np.ptp(weights) == 0 else weights,
        blocks=segments(tied, time_ms[:, 0], protocol.segment_ms),
        block_name="segments",
        block_run=SEGMENT_RUN,
        left_out=penalty_blocks(tied, time_ms, protocol),
        stimulus=stimulus,
        shifted=np.concatenate([np.full(len(p.stimulus), part.lag) for p, part in zip(pieces, parts, strict=True)]),
        time_ms=time_ms[:, 0],
        gap_ms=protocol.gap_ms,
    )
    notes = {
        "rows": len(targets),
        "rows skipped": sum(p.n_skipped for p in pieces),
        "training share": float(np.mean([weights[s.train].sum() for s in splits]) / weights.sum()),
    }
    return made, notes


def subject_ceilings(
    parts: Sequence[Part], protocol: Protocol, *, validate: bool = False, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Return a noise ceiling of each subject over the test rows of the splits, as arrays to store.

    subject_ceiling, subject_ceiling_error: (n_subjects, n_targets), NaN = undefined; subject_ceiling_kind:
    (n_subjects,), "split-half" (square root of the reliability of the subject's own mean) where the subject has
    repetitions in at least half of the rows of the datasets with the subject, else "inter-subject" (r with the mean of
    the others). subject_ceiling_ridge, subject_ceiling_ridge_error: (n_subjects, n_targets), of a ridge regression from
    the others, see `other_people.from_others`. Empty for fewer than two subjects.
    """
    pieces = [_PartRows.of(part, protocol) for part in parts]
    people = _people(parts, pieces, protocol)
    if people is None:
        return {}
    made, _ = _joined(parts, pieces, protocol, None, validate=validate)
    windows = [split.test for split in made.splits]

    def targets(units: slice) -> np.ndarray:
        return np.stack([people.targets(subject, units) for subject in range(len(people))])

    found, error = inter_subject(
        targets, made.targets.shape[1], windows, weights=made.weights, least_rows=LEAST_TEST_ROWS
    )
    kind = np.full(len(people), "inter-subject")
    for k, name in enumerate(people.names):
        # the rows of the datasets that the subject is in
        present = [name in part.people for part in parts]
        seen = np.repeat(present, [len(piece.stimulus) for piece in pieces])
        own = [_own_recording(p, r, name) for p, r in zip(parts, pieces, strict=True) if name in p.people]
        if sum(_repeated(one) for one in own) >= seen.sum() / 2:
            place = np.cumsum(seen) - 1
            shown = [place[rows[seen[rows]]] for rows in windows if seen[rows].any()]
            weights = None if made.weights is None else made.weights[seen]
            ceiling = window_split_half(own, shown, weights=weights, least_rows=LEAST_TEST_ROWS, seed=protocol.seed)
            found[k], error[k], kind[k] = ceiling.best_r, ceiling.best_r_error, "split-half"
    by_ridge, ridge_error = from_others(made, _ridge(protocol, device), people, made.blocks)
    return {
        "subject_ceiling": found.astype(np.float32),
        "subject_ceiling_error": error.astype(np.float32),
        "subject_ceiling_kind": kind,
        "subject_ceiling_ridge": by_ridge.astype(np.float32),
        "subject_ceiling_ridge_error": ridge_error.astype(np.float32),
    }


def _ridge(protocol: Protocol, device: str, *, per_target: bool = False) -> Ridge:
    """Return the ridge regression of the protocol, with a penalty for all targets or for each."""
    scaled = protocol.alpha_scale == "kernel"
    return Ridge(penalty=protocol.penalty, alpha_per_target=per_target, scaled=scaled, device=device)


def _own_recording(part: Part, rows: "_PartRows", name: str) -> Recording:
    """Return the runs of one subject of a dataset."""
    own = [k for k, subject in enumerate(part.people) if subject == name]
    return Recording(part.responses.values[:, own], [name] * len(own), rows.stimulus, rows.bin)


def _repeated(recording: Recording) -> int:
    """Return the number of rows with two repetitions."""
    if len(recording.subjects) < 2:
        return 0
    present = np.stack([np.isfinite(recording.values[:, k]).any(axis=2) for k in range(len(recording.subjects))])
    return int((present[:, recording.stimulus, recording.time_bin].sum(axis=0) > 1).sum())


def recordings(parts: Sequence[Part], protocol: Protocol) -> list[Recording]:
    """Return the runs behind the rows of `problem`, for a noise ceiling over its test rows."""
    return [_PartRows.of(part, protocol).recording(part) for part in parts]


def _tied(datasets: Sequence[Responses], protocol: Protocol) -> np.ndarray:
    """Return a number per stimulus of all datasets, equal for those that no split may separate."""
    if not protocol.tied:
        return np.arange(sum(len(responses.stimuli) for responses in datasets))
    return content_codes([responses.stimuli for responses in datasets])


def _splits(
    tied: np.ndarray, time_ms: np.ndarray, protocol: Protocol, n_rows: int, tested: np.ndarray, **options
) -> list[Split]:
    """Return the splits of the protocol of rows with their stimuli and times, of which most units have `n_rows`.

    tested: mask of the rows for test, see `Part`.
    """
    if tested.any():
        common = {"gap_ms": protocol.gap_ms, "n_splits": protocol.n_splits, "seed": protocol.seed}
        return unseen_splits(tied, time_ms, tested, **common, **options)
    return segment_splits(
        tied,
        time_ms,
        segment_ms=protocol.segment_ms,
        gap_ms=protocol.gap_ms,
        layout=protocol.layout,
        distinct=protocol.distinct,
        n_splits=protocol.splits_of(n_rows),
        seed=protocol.seed,
        **options,
    )


@dataclass(frozen=True)
class _PartRows:
    """Rows of one dataset: targets, and lagged features on demand."""

    stimulus: np.ndarray
    bin: np.ndarray
    time_ms: np.ndarray
    targets: np.ndarray
    layer: Callable[[str], np.ndarray]
    n_skipped: int

    def recording(self, part: Part) -> Recording:
        """Return the repetitions behind the rows."""
        return Recording(part.responses.values, part.responses.subjects, self.stimulus, self.bin)

    @classmethod
    def of(cls, part: Part, protocol: Protocol) -> "_PartRows":
        """Return the rows of a dataset."""
        aligned = align(part.activations, part.responses)
        rows = aligned.rows
        bins_ms = part.responses.time_ms
        delayed = part.lag and protocol.hrf == "delay"
        # delayed features are missing in the first bins, for all layers alike
        keep = bins_ms[rows.bin, 0] - bins_ms[0, 0] >= DELAY_MS - TOLERANCE_MS if delayed else np.ones(len(rows), bool)
        rows = Rows(rows.stimulus[keep], rows.bin[keep], rows.n_skipped + int((~keep).sum()))
        stimulus, time_bin, of_layer = rows.stimulus, rows.bin, aligned.layer
        films = part.lag and len(bins_ms) > 1

        def layer(name: str) -> np.ndarray:
            values = _lagged(of_layer(name), bins_ms, part.lag, protocol.hrf)[stimulus, time_bin]
            if protocol.runs == "averaged":
                return values
            # as the responses: per film, or over all clips of the dataset
            return _centred(values, stimulus if films else np.zeros_like(stimulus))

        targets = rows.take(aligned.targets)
        targets = zscore(targets) if protocol.runs == "averaged" else targets
        return cls(stimulus, time_bin, bins_ms[time_bin], targets, layer, rows.n_skipped)


def _centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return rows (n_rows, n_features) less the mean over the rows of their group, in float32."""
    found = np.empty(values.shape, dtype=np.float32)
    for one in np.unique(group):
        rows = group == one
        found[rows] = values[rows] - values[rows].mean(axis=0, dtype=np.float64)
    return found


def _lagged(values: np.ndarray, bins_ms: np.ndarray, lag: bool, kernel: str) -> np.ndarray:
    """Return a layer's features (n_stimuli, n_time, n_features) with the haemodynamic lag or the delay."""
    if not lag:
        return values
    width_ms = float(bins_ms[0, 1] - bins_ms[0, 0])
    return np.stack([lagged(film, width_ms, kernel) for film in values])


def lagged(film: np.ndarray, width_ms: float, kernel: str) -> np.ndarray:
    """Return the features of one film (n_time, n_features) with the haemodynamic lag or the delay."""
    if kernel == "delay":
        return hrf.delay(film, width_ms, DELAY_MS)
    if kernel == "fir":
        return np.concatenate([*hrf.delayed(film, hrf.delay_bins(width_ms))], axis=1)
    return hrf.convolve(film, width_ms, kernel)


def zscore(values: np.ndarray) -> np.ndarray:
    """Scale (n_rows, n_units) to mean 0 and deviation 1 per unit, over the recorded rows; constant units to 0."""
    mean = np.nanmean(values, axis=0, dtype=np.float64)
    deviation = np.nanstd(values, axis=0, dtype=np.float64)
    return ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def check(
    datasets: Sequence[Responses],
    protocol: Protocol,
    *,
    lags: Sequence[bool] = (),
    tested: Sequence[bool] = (),
    validate: bool = False,
) -> None:
    """Raise BadInput if the datasets cannot be scored jointly or cannot be split; no activations are needed.

    lags, tested: of each dataset, see `Part`.
    """
    films = list(lags) or [True] * len(datasets)
    kinds = [
        f"films in bins of {np.ptp(one.time_ms[0]):g} ms" if lag else "clips"
        for one, lag in zip(datasets, films, strict=True)
    ]
    if protocol.hrf == "fir" and len(set(kinds)) > 1:
        raise BadInput(
            f"--hrf fir on {' and '.join(dict.fromkeys(kinds))}; expected films in bins of one width, whose features "
            "have the same delayed copies: choose --hrf spm, or score them one by one"
        )
    first, *others = datasets
    for responses in others:
        units, expected = responses.units["unit_id"], first.units["unit_id"]
        if list(units) != list(expected):
            raise BadInput(
                f"{responses.stimuli.name} has {len(units)} units and {first.stimuli.name} {len(expected)}, or in "
                "another order; expected the same units in all datasets of a joint score: score them one by one"
            )
    rows = [np.nonzero(np.isfinite(responses.values).any(axis=(1, 3))) for responses in datasets]
    offsets = np.cumsum([0] + [len(responses.stimuli) for responses in datasets])
    stimulus = np.concatenate([s + start for (s, _), start in zip(rows, offsets[:-1], strict=True)])
    time_ms = np.concatenate([r.time_ms[time_bin] for r, (_, time_bin) in zip(datasets, rows, strict=True)])
    of_rows = np.repeat(list(tested) or [False] * len(datasets), [len(s) for s, _ in rows])
    _splits(_tied(datasets, protocol)[stimulus], time_ms, protocol, len(time_ms), of_rows, validate=validate)
