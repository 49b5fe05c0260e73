"""What is asked for, what is told on the way, and what comes out."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Request:
    """What the user asked for; times in ms. Every field that changes a number reaches a key."""

    benchmark: str
    model: str
    names: tuple[str, ...]
    layers: tuple[str, ...] = ()
    mode: str = "block"
    context_ms: float = 4000.0
    precision: str = "fp32"
    clip_ms: float = 15000.0
    gap_ms: float = 10000.0
    layout: str = "runs"
    hrf: bool = True
    decoder: str = "ridge"
    alpha_per_target: str | None = None
    splits: int = 10
    seed: int = 0
    audit: bool = False
    bootstrap: int = 1000
    permutations: int = 0
    ceiling: bool = True
    rerun: frozenset[str] = frozenset()
    device: str = "auto"
    batch_size: int | None = None
    jobs: int = 1


class Reporter:
    """Where a run tells how far it is; this one is silent."""

    def say(self, text: str) -> None:
        """Take a line about what happens next."""

    def progress(self, label: str) -> Callable[[float, float, str], None]:
        """A function to call with (done, total, text) while `label` goes on."""
        return lambda done, total, text="": None

    def stopping(self) -> bool:
        """Whether the run was asked to come to an end (SIGTERM)."""
        return False


class Stopped(Exception):
    """The run was asked to stop and did; everything that was finished is in the store."""

    exit_code = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Score:
    """A score as it is printed (`facts`, JSON) and, read on demand, its arrays."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(repr=False)
