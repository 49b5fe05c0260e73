"""Time and size of a report over thousands of stored scores.

`python -m benchmarks.report` stores 3,000 planted scores (results of 100 models on 10 tasks, 10 recordings and 10
behaviours, 1,000 bootstrap draws each) and measures the command in a process of its own. The limit is of the wall time;
beside it stands the processor time, which other programs on the machine hardly change. --cold drops the stored files
from the cache of the system first, so that all are read from the disk.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.planted_scores import TASKS, alignment, arrays_of, films, model_names, put, task_scores
from src.config import Config
from src.store import Store
from src.tables import markdown
from src.utils import size_text

LIMIT_S, LIMIT_BYTES = 60, 30e6


def fill(config: Config, n_models: int, n_benchmarks: int, n_units: int) -> int:
    """Store the scores of models on tasks, recordings and behaviours in equal parts; return their number."""
    store = Store(config)
    for model in model_names(n_models):
        scores = task_scores(model, n_benchmarks)
        for i in range(n_benchmarks):
            kind = ("task", "fmri", "behaviour")[i % 3]
            if kind == "fmri":
                arrays = films(model, n_units, bootstrap=1000)
            else:
                value = scores[i // 3] if kind == "task" else alignment(model) + 0.02 * scores[i]
                arrays = arrays_of(np.array([value]), {"target_id": ["label"]}, bootstrap=1000)
            put(store, kind, model, TASKS[i // 3] if kind == "task" else f"{kind}-{i // 3:02d}", arrays)
    return n_models * n_benchmarks


def drop_from_cache(folder: Path) -> None:
    """Drop the files under a folder from the cache of the system."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def main() -> None:
    """Store the planted scores, run the report, and print time, memory and size against the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--benchmarks", type=int, default=30)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--home", type=Path, help="folder of the store, kept (default: a temporary one)")
    parser.add_argument("--cold", action="store_true", help="read the stored files from the disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = options.home or Path(temporary)
        config = Config(home, home / "activations", home / "results", home, cores=1)
        if not config.results_home.exists():
            start = time.monotonic()
            n = fill(config, options.models, options.benchmarks, options.units)
            print(f"{n} scores stored in {time.monotonic() - start:.0f} s")
        environment = {"DYNAMIC_VISION_HOME": str(home), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "src", "report", "-q", "-o", str(home / "report")]
        if options.cold:
            drop_from_cache(home)
        start = time.monotonic()
        subprocess.run(command, env=environment, check=True)
        seconds = time.monotonic() - start
        size = (home / "report" / "index.html").stat().st_size
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        header = ["scores", "seconds", f"limit {LIMIT_S} s", "processor s", "page", f"limit {size_text(LIMIT_BYTES)}"]
        within = ["yes" if ok else "no" for ok in (seconds <= LIMIT_S, size <= LIMIT_BYTES)]
        processor = f"{used.ru_utime + used.ru_stime:.1f}"
        row = [
            f"{options.models * options.benchmarks}",
            f"{seconds:.1f}",
            within[0],
            processor,
            size_text(size),
            within[1],
        ]
        print(markdown([*header, "peak memory"], [[*row, size_text(used.ru_maxrss * 1024)]]))


if __name__ == "__main__":
    main()
