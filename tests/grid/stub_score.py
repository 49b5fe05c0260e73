"""Stub of the score command that loads no model, with the real flags, keys, store and exit codes.

`stub_score.py BENCHMARK FLAGS...`. The file STUB_PLAN holds {"model on datasets": outcome}; other cells score at once.
Its folder keeps a file per cell with a line about every run.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from src.config import Config
from src.pipeline.benchmarks import benchmarks
from src.pipeline.flags import parse
from src.pipeline.run import Run
from src.pipeline.summary import summarise
from src.store import Entry, Metadata, Store

STEP_S = 0.5
TIMEOUT_S = 120


class StubStore(Store):
    """The real store, whose metadata are made without loading a model or a dataset."""

    def metadata(self, kind, name, make, **inputs):
        facts = {
            "data": {
                "digest": f"data of {name}",
                "stimuli": {"shown": {"digest": f"films of {name}", "ids": ["a", "b"]}},
                "time_ms": [[0.0, 1000.0], [1000.0, 2000.0]],
                "notes": {},
            },
            "model": {
                "digest": f"weights of {name}",
                "kind": "image",
                "fps": 25.0,
                "layers": {"conv": "CHW", "head": "C"},
                "features": {"conv": 8000, "head": 10},
                "left_out": {},
                "notes": [],
            },
        }
        files = (Path(os.environ["STUB_PLAN"]).with_name("source.py"), *sorted(Path(np.__file__).parent.glob("*.py")))
        return super().metadata(kind, name, lambda: Metadata(facts[kind], files, {"numpy": np.__version__}), **inputs)


def main(benchmark: str, arguments: list[str]) -> int:
    flags = parse(benchmark, arguments)
    plan = Path(os.environ["STUB_PLAN"])
    cell = f"{'+'.join(flags.request.models)} on {'+'.join(flags.request.datasets)}"
    outcome = json.loads(plan.read_text()).get(cell, "score")
    prefix = plan.parent / cell.replace(" ", "_").replace("/", "_")
    record(prefix, f"start {os.getpid()}")
    code = perform(outcome, prefix, flags.extract_only)
    if code == 0 and not flags.extract_only:
        store_scores(flags.request, lost=outcome == "lost")
    # the interpreter restores the default while it ends: a signal after the line below would change the exit code
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    record(prefix, f"end {code}")
    return code


def record(prefix: Path, text: str) -> None:
    with open(prefix.with_suffix(".runs"), "a") as file:
        file.write(text + "\n")


def perform(outcome: str, prefix: Path, extract_only: bool) -> int:
    """Act out the outcome of the cell and return the exit code."""
    stop_signals = []
    signal.signal(signal.SIGTERM, lambda *_: stop_signals.append(True))
    word, _, argument = outcome.partition(" ")
    if word == "fail":
        print("an error of the score command", file=sys.stderr)
        return 1
    if word == "fail-extraction" and extract_only:
        print("no such film", file=sys.stderr)
        return 1
    if word == "kill-shell":
        os.kill(os.getppid(), signal.SIGKILL)
        return 1
    if word == "environment":
        print(os.environ.get(argument, ""), flush=True)
    if word == "steps":
        return 0 if do_steps(prefix, int(argument), stop_signals) else 143
    if word == "hang":
        print("waiting", flush=True)
        until(lambda: stop_signals)
        return 143
    return 0


def do_steps(prefix: Path, n_steps: int, stop_signals: list) -> bool:
    """Do the missing steps, one file each, and return True if all are done."""
    for step in range(n_steps):
        if stop_signals:
            return False
        done = prefix.with_suffix(f".step{step}")
        if not done.exists():
            time.sleep(STEP_S)
            done.touch()
            record(prefix, f"step {step}")
            print(f"step {step + 1} of {n_steps}", flush=True)
    return True


def until(condition) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def store_scores(request, lost: bool = False) -> None:
    """Store an entry for every score of the request under its real key; lost: store only the metadata."""
    config = Config.from_env()
    store = StubStore(config)
    runs = [Run(replace(request, model=model), config, store=store) for model in request.models]
    for benchmark in (benchmark for run in runs for benchmark in benchmarks(run)):
        values = np.linspace(0, 1, 2 * 3 * request.splits).reshape(2, 3, request.splits)
        arrays = {
            "layers": np.array(["conv", "head"]),
            "valid": values,
            "layer_choice": benchmark.rule.to_array(),
            "test": values - 0.1,
            "target_id": np.array(["a", "b", "c"]),
            "target_region": np.array(["V1", "V1", "MT"]),
            "ceiling": np.full(3, 0.9),
        }
        head = {
            "benchmark": request.benchmark,
            "model": benchmark.request.model,
            "datasets": list(benchmark.names),
            "metric": benchmark.metric,
        }
        facts = head | {"options": benchmark.options()} | summarise(arrays, {})
        key = benchmark.key()
        if not lost:
            store.fetch(key, lambda arrays=arrays, facts=facts: Entry(arrays, facts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
