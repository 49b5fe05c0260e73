"""Scores of a model on fMRI: one joint regression over all rows of the named datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..ceiling import Recording
from ..records import Activations, Evaluation, Responses
from ..utils import BadInput
from . import hrf
from .align import Aligned, align, content_codes, regions
from .cross_validate import Problem, cross_validate_problem
from .decoders import Decoder
from .decoders.base import Split
from .finite import usual_rows
from .layer_choice import Rule
from .protocol import DELAY_MS, TOLERANCE_MS, Protocol
from .runs import standardised
from .splits import left_out_blocks, segment_splits, segments


@dataclass(frozen=True)
class Part:
    """One dataset of a joint regression.

    responses: as `prepared` returns them; lag: True if the responses follow the stimulus by a haemodynamic response
    (films), False for one beta per clip; row_weight: number of bins of a film that one row counts as.
    """

    activations: Activations
    responses: Responses
    lag: bool = True
    row_weight: float = 1.0


def prepared(responses: Responses, protocol: Protocol, lag: bool, high_passed: bool = False) -> Responses:
    """Return the record with its runs on one scale, or as it is if the protocol averages runs first.

    high_passed: the release removed the slow drift.
    """
    if protocol.runs == "averaged":
        return responses
    high_pass_s = None if high_passed or not protocol.high_pass_s else protocol.high_pass_s
    return standardised(responses, films=lag, high_pass_s=high_pass_s)


def score(
    parts: Sequence[Part],
    decoder: Decoder,
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Return validation and test r of every layer, target and split; the datasets must pass `check`.

    splits: of the rows of `problem`, by default those of the protocol; resample: keep the statistics for a bootstrap
    over segments.
    """
    made, notes = problem(parts, protocol, splits=splits, validate=not getattr(decoder, "leaves_out", False))
    made = made if resample else replace(made, blocks=None)
    units = parts[0].responses.units
    result = cross_validate_problem(
        made,
        decoder,
        "pearson",
        groups=regions(units),
        rule=Rule(protocol.nested, protocol.headline),
        missing=protocol.missing,
        jobs=jobs,
        progress=progress,
    )
    return Evaluation(
        tuple(made.layers),
        {"target_id": units["unit_id"], **units},
        result.valid,
        result.test,
        "pearson",
        notes={**notes, **result.notes},
        resampling=result.resampling,
        extra=result.extra,
    )


def problem(
    parts: Sequence[Part], protocol: Protocol, *, splits: Sequence[Split] | None = None, validate: bool = False
) -> tuple[Problem, dict[str, float]]:
    """Return the joint regression of the datasets, and notes (counts of rows).

    A bootstrap resamples segments; a permutation shifts films circularly in time and shuffles clips. validate: tiled
    splits have validation rows.
    """
    pieces = [_PartRows.of(part, protocol) for part in parts]
    offsets = np.cumsum([0] + [len(part.responses.stimuli) for part in parts])
    stimulus = np.concatenate([p.stimulus + start for p, start in zip(pieces, offsets[:-1], strict=True)])
    tied = _tied([part.responses for part in parts], protocol)[stimulus]
    time_ms = np.concatenate([p.time_ms for p in pieces])
    weights = np.concatenate([np.full(len(p.stimulus), part.row_weight) for p, part in zip(pieces, parts, strict=True)])
    targets = np.concatenate([p.targets for p in pieces])
    if splits is None:
        splits = _splits(tied, time_ms, protocol, usual_rows(targets), weights=weights, validate=validate)
    names = tuple(parts[0].activations.layers)
    layers = {name: lambda name=name: np.concatenate([p.layer(name) for p in pieces]) for name in names}
    made = Problem(
        layers,
        targets,
        splits,
        weights=None if np.ptp(weights) == 0 else weights,
        blocks=segments(tied, time_ms[:, 0], protocol.segment_ms),
        block_name="segments",
        left_out=left_out_blocks(tied, time_ms, protocol.segment_ms, protocol.gap_ms),
        stimulus=stimulus,
        shifted=np.concatenate([np.full(len(p.stimulus), part.lag) for p, part in zip(pieces, parts, strict=True)]),
    )
    notes = {
        "rows": len(targets),
        "rows skipped": sum(p.n_skipped for p in pieces),
        "training share": float(np.mean([weights[s.train].sum() for s in splits]) / weights.sum()),
    }
    return made, notes


def recordings(parts: Sequence[Part], protocol: Protocol) -> list[Recording]:
    """Return the runs behind the rows of `problem`, for a noise ceiling over its test rows."""
    found = []
    for part in parts:
        rows = _PartRows.of(part, protocol)
        found.append(Recording(part.responses.values, part.responses.subjects, rows.stimulus, rows.bin))
    return found


def _tied(datasets: Sequence[Responses], protocol: Protocol) -> np.ndarray:
    """Return a number per stimulus of all datasets, equal for those that no split may separate."""
    if not protocol.tied:
        return np.arange(sum(len(responses.stimuli) for responses in datasets))
    return content_codes([responses.stimuli for responses in datasets])


def _splits(tied: np.ndarray, time_ms: np.ndarray, protocol: Protocol, n_rows: int, **options) -> list[Split]:
    """Return the splits of the protocol of rows with their stimuli and times, of which most units have `n_rows`."""
    return segment_splits(
        tied,
        time_ms,
        segment_ms=protocol.segment_ms,
        gap_ms=protocol.gap_ms,
        layout=protocol.layout,
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

    @classmethod
    def of(cls, part: Part, protocol: Protocol) -> "_PartRows":
        """Return the rows of a dataset."""
        aligned = align(part.activations, part.responses)
        rows = aligned.rows
        bins_ms = part.responses.time_ms
        delayed = part.lag and protocol.hrf == "delay"
        # delayed features are missing in the first bins, for all layers alike
        keep = bins_ms[rows.bin, 0] - bins_ms[0, 0] >= DELAY_MS - TOLERANCE_MS if delayed else np.ones(len(rows), bool)
        stimulus, time_bin = rows.stimulus[keep], rows.bin[keep]
        films = part.lag and len(bins_ms) > 1

        def layer(name: str) -> np.ndarray:
            values = _lagged(aligned, name, bins_ms, part.lag, protocol.hrf)[stimulus, time_bin]
            if protocol.runs == "averaged":
                return values
            # as the responses: per film, or over all clips of the dataset
            return _centred(values, stimulus if films else np.zeros_like(stimulus))

        targets = aligned.targets[stimulus, time_bin]
        targets = zscore(targets) if protocol.runs == "averaged" else targets
        n_skipped = rows.n_skipped + int((~keep).sum())
        return cls(stimulus, time_bin, bins_ms[time_bin], targets, layer, n_skipped)


def _centred(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return rows (n_rows, n_features) less the mean over the rows of their group, in float32."""
    found = np.empty(values.shape, dtype=np.float32)
    for one in np.unique(group):
        rows = group == one
        found[rows] = values[rows] - values[rows].mean(axis=0, dtype=np.float64)
    return found


def _lagged(aligned: Aligned, name: str, bins_ms: np.ndarray, lag: bool, kernel: str) -> np.ndarray:
    """Return a layer's features (n_stimuli, n_time, n_features) with the haemodynamic lag or the delay."""
    values = aligned.layer(name)
    if not lag:
        return values
    width_ms = float(bins_ms[0, 1] - bins_ms[0, 0])
    if kernel == "delay":
        return np.stack([hrf.delay(film, width_ms, DELAY_MS) for film in values])
    if kernel == "fir":
        delays = hrf.delay_bins(width_ms)
        return np.stack([np.concatenate([*hrf.delayed(film, delays)], axis=1) for film in values])
    return np.stack([hrf.convolve(film, width_ms, kernel) for film in values])


def zscore(values: np.ndarray) -> np.ndarray:
    """Scale (n_rows, n_units) to mean 0 and deviation 1 per unit, over the recorded rows; constant units to 0."""
    mean = np.nanmean(values, axis=0, dtype=np.float64)
    deviation = np.nanstd(values, axis=0, dtype=np.float64)
    return ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def check(datasets: Sequence[Responses], protocol: Protocol, *, validate: bool = False) -> None:
    """Raise BadInput if the datasets cannot be scored jointly or cannot be split; no activations are needed."""
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
    _splits(_tied(datasets, protocol)[stimulus], time_ms, protocol, len(time_ms), validate=validate)
