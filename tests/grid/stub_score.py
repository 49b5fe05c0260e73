"""`stub_score.py SCRIPT FLAGS...`: a score script that loads no model, with the real flags, keys, store and exit codes.

The file named by STUB_PLAN says what becomes of a cell, {"model on names": how}; its folder keeps what happened, a line
a run. Cells without a line there score at once.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from src.cli.options import parse
from src.config import Config
from src.pipeline import Reporter
from src.pipeline.benchmarks import benchmarks
from src.pipeline.run import Run
from src.pipeline.summary import summarise
from src.store import Entry, Metadata, Store

STEP_S = 0.5
PATIENCE_S = 120


class StubStore(Store):
    """The real store, whose cards are made without loading anything."""

    def metadata(self, kind, name, make, **asked):
        facts = {
            "data": {
                "digest": f"data of {name}",
                "stimuli": {"shown": {"digest": f"films of {name}", "ids": ["a", "b"]}},
                "time_ms": [[0.0, 1000.0], [1000.0, 2000.0]],
            },
            "model": {
                "digest": f"weights of {name}",
                "kind": "image",
                "fps": 25.0,
                "layers": {"conv": "CHW", "head": "C"},
                "features": {"conv": 8000, "head": 10},
            },
        }
        files = (Path(os.environ["STUB_PLAN"]).with_name("source.py"), *sorted(Path(np.__file__).parent.glob("*.py")))
        return super().metadata(kind, name, lambda: Metadata(facts[kind], files, {"numpy": np.__version__}), **asked)


def main(benchmark: str, arguments: list[str]) -> int:
    options = parse(benchmark, arguments)
    plan = Path(os.environ["STUB_PLAN"])
    cell = f"{options.request.model} on {'+'.join(options.request.names)}"
    how = json.loads(plan.read_text()).get(cell, "score")
    scene = plan.parent / cell.replace(" ", "_").replace("/", "_")
    note(scene, f"start {os.getpid()}")
    code = perform(how, scene, options.extract_only)
    if code == 0 and not options.extract_only:
        store_scores(options.request, lost=how == "lost")
    note(scene, f"end {code}")
    return code


def note(scene: Path, text: str) -> None:
    with open(scene.with_suffix(".runs"), "a") as file:
        file.write(text + "\n")


def perform(how: str, scene: Path, extract_only: bool) -> int:
    """What becomes of the cell; the exit code."""
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    word, _, number = how.partition(" ")
    if word == "fail":
        print("something the script could not do", file=sys.stderr)
        return 1
    if word == "fail-extraction" and extract_only:
        print("no such film", file=sys.stderr)
        return 1
    if word == "kill-shell":
        os.kill(os.getppid(), signal.SIGKILL)
        return 1
    if word == "environment":
        print(os.environ.get(number, ""), flush=True)
    if word == "steps":
        return 0 if go_on(scene, int(number), asked_to_stop) else 143
    if word == "hang":
        print("waiting", flush=True)
        until(lambda: asked_to_stop)
        return 143
    return 0


def go_on(scene: Path, n_steps: int, asked_to_stop: list) -> bool:
    """Do the steps that are not done yet, one file for each; whether all are done."""
    for step in range(n_steps):
        if asked_to_stop:
            return False
        done = scene.with_suffix(f".step{step}")
        if not done.exists():
            time.sleep(STEP_S)
            done.touch()
            note(scene, f"step {step}")
            print(f"step {step + 1} of {n_steps}", flush=True)
    return True


def until(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def store_scores(request, lost: bool = False) -> None:
    """An entry for every score of the request, under its real key; with `lost`, only the cards."""
    config = Config.from_env()
    run = Run(request, config, Reporter())
    run.store = StubStore(config)
    for benchmark in benchmarks(run):
        values = np.linspace(0, 1, 2 * 3 * request.splits).reshape(2, 3, request.splits)
        arrays = {
            "layers": np.array(["conv", "head"]),
            "valid": values,
            "test": values - 0.1,
            "target_id": np.array(["a", "b", "c"]),
            "target_region": np.array(["V1", "V1", "MT"]),
            "ceiling": np.full(3, 0.9),
        }
        head = {
            "benchmark": request.benchmark,
            "model": request.model,
            "datasets": list(benchmark.names),
            "metric": benchmark.metric,
        }
        facts = head | {"options": benchmark.options()} | summarise(arrays, {})
        key = benchmark.key()
        if not lost:
            run.store.fetch(key, lambda arrays=arrays, facts=facts: Entry(arrays, facts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
