"""Scores of a model on fMRI: one joint regression over all rows of the named datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..records import Activations, Evaluation, Responses
from ..utils import BadInput
from . import hrf
from .align import Aligned, align, regions
from .cross_validate import Problem, cross_validate_problem
from .decoders import Decoder
from .decoders.base import Split
from .protocol import GAP_MS, LAYOUT, N_SPLITS, SEED, SEGMENT_MS, TOLERANCE_MS
from .splits import segment_splits, segments


@dataclass(frozen=True)
class Part:
    """One dataset of a joint regression.

    lag: True if the responses follow the stimulus by a haemodynamic response (films), False for one beta per clip;
    row_weight: number of bins of a film that one row counts as.
    """

    activations: Activations
    responses: Responses
    lag: bool = True
    row_weight: float = 1.0


@dataclass(frozen=True)
class Options:
    """Options of the protocol; times in ms. delay_ms: shift that replaces the HRF, None for the HRF."""

    segment_ms: float = SEGMENT_MS
    gap_ms: float = GAP_MS
    layout: str = LAYOUT
    delay_ms: float | None = None
    n_splits: int = N_SPLITS
    seed: int = SEED


def score(
    parts: Sequence[Part],
    decoder: Decoder,
    options: Options,
    *,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Return validation and test r of every layer, target and split; the datasets must pass `check`.

    splits: of the rows of `problem`, by default those of the options; resample: keep the statistics for a bootstrap
    over segments.
    """
    made, notes = problem(parts, options, splits=splits)
    made = made if resample else replace(made, blocks=None)
    units = parts[0].responses.units
    result = cross_validate_problem(made, decoder, "pearson", groups=regions(units), jobs=jobs, progress=progress)
    return Evaluation(
        tuple(made.layers),
        {"target_id": units["unit_id"], **units},
        result.valid,
        result.test,
        "pearson",
        notes={**notes, "rows dropped": result.n_dropped},
        resampling=result.resampling,
    )


def problem(
    parts: Sequence[Part], options: Options, *, splits: Sequence[Split] | None = None
) -> tuple[Problem, dict[str, float]]:
    """Return the joint regression of the datasets, and notes (counts of rows).

    A bootstrap resamples segments; a permutation shifts films circularly in time and shuffles clips.
    """
    pieces = [_PartRows.of(part, options) for part in parts]
    offsets = np.cumsum([0] + [len(part.responses.stimuli) for part in parts])
    stimulus = np.concatenate([p.stimulus + start for p, start in zip(pieces, offsets[:-1], strict=True)])
    time_ms = np.concatenate([p.time_ms for p in pieces])
    weights = np.concatenate([np.full(len(p.stimulus), part.row_weight) for p, part in zip(pieces, parts, strict=True)])
    targets = np.concatenate([p.targets for p in pieces])
    if splits is None:
        splits = segment_splits(
            stimulus,
            time_ms,
            segment_ms=options.segment_ms,
            gap_ms=options.gap_ms,
            layout=options.layout,
            n_splits=options.n_splits,
            seed=options.seed,
            weights=weights,
        )
    names = tuple(parts[0].activations.layers)
    layers = {name: lambda name=name: np.concatenate([p.layer(name) for p in pieces]) for name in names}
    made = Problem(
        layers,
        targets,
        splits,
        weights=None if np.ptp(weights) == 0 else weights,
        blocks=segments(stimulus, time_ms[:, 0], options.segment_ms),
        block_name="segments",
        stimulus=stimulus,
        shifted=np.concatenate([np.full(len(p.stimulus), part.lag) for p, part in zip(pieces, parts, strict=True)]),
    )
    notes = {
        "rows": len(targets),
        "rows skipped": sum(p.n_skipped for p in pieces),
        "training share": float(np.mean([weights[s.train].sum() for s in splits]) / weights.sum()),
    }
    return made, notes


@dataclass(frozen=True)
class _PartRows:
    """Rows of one dataset: z-scored targets, and lagged features on demand."""

    stimulus: np.ndarray
    time_ms: np.ndarray
    targets: np.ndarray
    layer: Callable[[str], np.ndarray]
    n_skipped: int

    @classmethod
    def of(cls, part: Part, options: Options) -> "_PartRows":
        """Return the rows of a dataset."""
        aligned = align(part.activations, part.responses)
        rows = aligned.rows
        bins_ms = part.responses.time_ms
        delayed = part.lag and options.delay_ms is not None
        # delayed features are missing in the first bins, for all layers alike
        keep = (
            bins_ms[rows.bin, 0] - bins_ms[0, 0] >= options.delay_ms - TOLERANCE_MS
            if delayed
            else np.ones(len(rows), bool)
        )

        def layer(name: str) -> np.ndarray:
            return _lagged(aligned, name, bins_ms, part.lag, options.delay_ms)[rows.stimulus[keep], rows.bin[keep]]

        targets = zscore(aligned.targets[rows.stimulus[keep], rows.bin[keep]])
        return cls(rows.stimulus[keep], bins_ms[rows.bin[keep]], targets, layer, rows.n_skipped + int((~keep).sum()))


def _lagged(aligned: Aligned, name: str, bins_ms: np.ndarray, lag: bool, delay_ms: float | None) -> np.ndarray:
    """Return a layer's features (n_stimuli, n_time, n_features) with the haemodynamic lag or the delay."""
    values = aligned.layer(name)
    if not lag:
        return values
    width_ms = float(bins_ms[0, 1] - bins_ms[0, 0])
    if delay_ms is None:
        return np.stack([hrf.convolve(film, width_ms) for film in values])
    return np.stack([hrf.delay(film, width_ms, delay_ms) for film in values])


def zscore(values: np.ndarray) -> np.ndarray:
    """Scale (n_rows, n_units) to mean 0 and deviation 1 per unit, over the recorded rows; constant units to 0."""
    mean = np.nanmean(values, axis=0, dtype=np.float64)
    deviation = np.nanstd(values, axis=0, dtype=np.float64)
    return ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def check(datasets: Sequence[Responses], options: Options) -> None:
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
    protocol = {"segment_ms": options.segment_ms, "gap_ms": options.gap_ms, "layout": options.layout}
    segment_splits(stimulus, time_ms, **protocol, n_splits=1)
