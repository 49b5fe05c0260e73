"""Selection of complete subjects, and vertices without data, for the readers of fMRI releases."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Part = tuple[str, str]
Files = dict[str, dict[Part, Path]]


def complete_subjects(found: Mapping[str, Mapping[Part, Path]], wanted: Sequence[Part]) -> tuple[Files, dict[str, str]]:
    """Return ({subject: files} of the subjects with every wanted part, {"sub-<subject>": missing parts}), sorted."""
    lacking = {subject: [" ".join(part) for part in wanted if part not in found[subject]] for subject in sorted(found)}
    left_out = {f"sub-{subject}": "no " + " and no ".join(parts) for subject, parts in lacking.items() if parts}
    return {subject: dict(found[subject]) for subject, parts in lacking.items() if not parts}, left_out


def fill_empty(values: np.ndarray) -> dict[str, int]:
    """Set vertices (last axis) that are NaN everywhere to 0, in place; return the note with their number."""
    empty = np.ones(values.shape[-1], dtype=bool)
    for part in values:
        empty &= np.isnan(part).reshape(-1, values.shape[-1]).all(axis=0)
    values[..., empty] = 0
    return {"vertices without data": int(empty.sum())} if empty.any() else {}
