"""Names, digests, seeds, time bins and granted cores. Standard library and numpy only."""

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class BadInput(ValueError):
    """Input that cannot be used; the message is one line: got, expected, what to do. Exit code 2."""


NEAREST, FARTHEST, FARTHER = 0.6, 0.5, 0.25  # likeness of the first suggestion, of the others, and their distance


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> BadInput:
    """Return the error for a name that is not among `allowed`, with the nearest ones."""
    allowed = list(allowed)
    near = difflib.get_close_matches(name, allowed, n=3, cutoff=FARTHEST)
    likeness = [difflib.SequenceMatcher(None, other, name).ratio() for other in near]
    near = [other for other, value in zip(near, likeness, strict=True) if value >= likeness[0] - FARTHER]
    if near and likeness[0] >= NEAREST:
        return BadInput(f"unknown {kind} '{name}'; did you mean {' or '.join(near)}?")
    listed = ", ".join(allowed[:20]) + (f", ... ({len(allowed)} in all)" if len(allowed) > 20 else "")
    return BadInput(f"unknown {kind} '{name}'; expected one of: {listed}")


def first_names(items: Iterable, limit: int = 5) -> str:
    """Return the first `limit` items as text, and the number of the others: "a, b and 3 more"."""
    items = list(items)
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(map(str, items[:limit])) + more


def counted(n: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural: "1 layer", "2 layers"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def canonical_json(value) -> str:
    """Return `value` as JSON with sorted keys and no spaces: equal values give equal text in every process."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes; object and string arrays are digested as text."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind in "OUS":
        return digest([list(array.shape), [str(item) for item in array.ravel()]])
    head = canonical_json([array.dtype.str, list(array.shape)]).encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def seed_from(*parts) -> int:
    """Return a 32-bit seed from the SHA-256 of `parts`: the same in every process, unlike Python's `hash`."""
    return int(digest([str(part) for part in parts])[:8], 16)


def thin(items: Sequence[T], limit: int = 15) -> list[T]:
    """Return at most `limit` evenly spaced items in their order, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, limit)]


def nan_median(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the median without NaN; NaN, without a warning, where there is no other value."""
    return np.ma.filled(np.ma.median(np.ma.masked_invalid(values), axis=axis), np.nan)


def nan_mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mean without NaN; NaN, without a warning, where there is no other value."""
    return np.ma.filled(np.ma.mean(np.ma.masked_invalid(values), axis=axis), np.nan)


def regular_bins(duration_ms: float, width_ms: float) -> np.ndarray:
    """Return the whole bins of `width_ms` in [0, duration_ms): array of shape (n_bins, 2), half-open, in ms."""
    n_bins = int(np.floor(duration_ms / width_ms + 1e-6))
    starts = np.arange(n_bins, dtype=np.float64) * width_ms
    return np.stack([starts, starts + width_ms], axis=1)


def overlap_weights(source_ms: np.ndarray, target_ms: np.ndarray) -> np.ndarray:
    """Return the weights that average source bins into target bins by overlap (Brain-Score's `time_align`, "portion").

    Parameters: `source_ms` (n_source, 2), contiguous, and `target_ms` (n_target, 2), half-open, in ms.
    Returns an array of shape (n_target, n_source) whose rows sum to 1; the row of a target bin that the source does
    not cover wholly (to 1e-6 ms) is 0.
    """
    source = np.asarray(source_ms, dtype=np.float64)
    target = np.asarray(target_ms, dtype=np.float64)
    start = np.maximum(target[:, None, 0], source[None, :, 0])
    end = np.minimum(target[:, None, 1], source[None, :, 1])
    weights = np.maximum(end - start, 0) / (source[:, 1] - source[:, 0])
    covered = (target[:, 0] >= source[:, 0].min() - 1e-6) & (target[:, 1] <= source[:, 1].max() + 1e-6)
    total = weights.sum(axis=1)
    covered &= total > 0
    weights[~covered] = 0
    return weights / np.where(covered, total, 1)[:, None]


def size_text(n_bytes: float) -> str:
    """Return a size on disk with three digits and its decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def granted_cores() -> int:
    """Return the number of cores of this process: the least of affinity mask, cgroup quota and SLURM_CPUS_PER_TASK."""
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            limits.append(max(1, int(allowed) // int(period)))
    if os.environ.get("SLURM_CPUS_PER_TASK", "").isdigit():
        limits.append(int(os.environ["SLURM_CPUS_PER_TASK"]))
    return max(1, min(limits))
