"""Kills of runs of score_fmri.py at random times, each followed by a complete run: `python -m benchmarks.fault_runs`.

Half of the injections hit the extraction, half the evaluation (activations stored, no score). After each, the script
runs to its end in the same homes, and must print what an undisturbed run prints and store the same activations. The
children are forks of a process that has imported everything, so that no kill hits an import. The last line printed is
"N injections, M wrong or lost"; the exit code is 1 if M > 0.
"""

import argparse
import hashlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ARGUMENTS = ["-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "5", "--quiet"]


@dataclass(frozen=True)
class Homes:
    """The homes of one injection; all injections share the datasets."""

    home: Path
    data_home: Path

    def start(self) -> int:
        """Run the script in a fork and return the process id."""
        if process := os.fork():
            return process
        os.environ.update(DYNAMIC_VISION_HOME=str(self.home), DATA_HOME=str(self.data_home), MMAP_HOME="")
        os.environ.pop("RESULTCACHING_HOME", None)
        for stream, name in ((1, "printed"), (2, "log")):
            os.dup2(os.open(self.home / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        from src.cli import run_score

        code = run_score("fmri", ARGUMENTS)
        sys.stdout.flush()
        os._exit(code)

    def finish(self) -> float:
        """Run the script to its end and return the time in s."""
        begin = time.monotonic()
        _, status = os.waitpid(self.start(), 0)
        if status:
            raise RuntimeError(f"exit status {status}: {(self.home / 'log').read_text()}")
        return time.monotonic() - begin

    def outcome(self) -> tuple[str, dict[str, str]]:
        """Return the printed text and the checksums of the stored layers."""
        layers = sorted((self.home / "activations").rglob("layer-*.npy"))
        sums = {str(p.relative_to(self.home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in layers}
        return (self.home / "printed").read_text(), sums

    def copy(self, place: Path, without: Callable[[Path], bool]) -> "Homes":
        """Copy the homes to `place` without some of their files."""
        shutil.copytree(self.home, place)
        for path in [p for p in place.rglob("*") if p.is_file() and without(p.relative_to(place))]:
            path.unlink()
        for folder in sorted((p for p in place.rglob("*") if p.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        return Homes(place, self.data_home)


def is_score(path: Path) -> bool:
    """Return True if a file belongs to a score, False for metadata and ceilings."""
    return path.parts[0] == "results" and "score" in path.parts[1]


def is_score_or_activation(path: Path) -> bool:
    """Return True if a file belongs to a score or to activations."""
    return path.parts[0] == "activations" or is_score(path)


def import_everything() -> None:
    """Import all modules that a run imports."""
    for module in ("scipy.stats", "sklearn.linear_model", "src.cli", "src.evaluate.fmri", "src.extraction.extract"):
        importlib.import_module(module)
    import torch

    torch.set_num_threads(1)


def inject(complete: Homes, without: Callable[[Path], bool], seconds: float, rng: random.Random, place: Path) -> str:
    """Kill a run and start the next; return "killed" or "too late", followed by " and wrong" if the outcome differs."""
    broken = complete.copy(place, without)
    process = broken.start()
    time.sleep(rng.uniform(0, seconds))
    os.kill(process, signal.SIGKILL)
    killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
    broken.finish()
    right = broken.outcome() == complete.outcome()
    shutil.rmtree(place)
    return ("killed" if killed else "too late") + ("" if right else " and wrong")


def main() -> int:
    """Inject faults and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="kills per phase (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import_everything()
    rng, total, wrong = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="fault-runs-") as folder:
        complete = Homes(Path(folder) / "complete", Path(folder) / "data")
        complete.home.mkdir()
        complete.finish()
        for phase, without in (("extraction", is_score_or_activation), ("evaluation", is_score)):
            probe = complete.copy(Path(folder) / "probe", without)
            seconds = probe.finish()
            shutil.rmtree(probe.home)
            hits = 0
            while hits < options.count:
                outcome = inject(complete, without, seconds, rng, Path(folder) / "broken")
                hits += outcome.startswith("killed")
                total, wrong = total + 1, wrong + outcome.endswith("wrong")
            print(f"{phase}: {hits} kills within {seconds:.1f} s of work", flush=True)
    print(f"{total} injections, {wrong} wrong or lost")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
