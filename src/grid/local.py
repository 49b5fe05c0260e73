"""A submission without SLURM: so many cells at a time, each its own process with its own log."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..config import Config
from ..files import write_atomic
from ..locks import locked
from .folder import VARIABLE, Grid, Submission
from .slurm import command_line

STEP = "score"
ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED = 128 + signal.SIGTERM


class LocalRun:
    """The processes of one submission; SIGTERM, Ctrl-C and a closed terminal are passed on, and waited for."""

    def __init__(self, grid: Grid, submission: Submission, command: Sequence[str], config: Config):
        self.grid, self.submission, self.command = grid, submission, command
        self.cores = config.cores
        self.running: dict[int, subprocess.Popen] = {}
        self.stopping = False

    def run(self, at_a_time: int, tell: Callable[[int, int], None]) -> bool:
        """Run all cells and call tell(index, exit code) for each; False if asked to stop before the end."""
        before = {number: signal.signal(number, self._stop) for number in ASKED_TO_STOP}
        waiting = list(range(len(self.submission.cells)))
        try:
            with locked(self.grid.run_lock(self.submission), VARIABLE):
                while self.running or (waiting and not self.stopping):
                    while waiting and len(self.running) < at_a_time and not self.stopping:
                        self._start(waiting.pop(0), at_a_time)
                    self._reap(tell)
                    time.sleep(0.05)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return not self.stopping

    def _start(self, index: int, at_a_time: int) -> None:
        cell = self.grid.cells[self.submission.cells[index]]
        with open(self.grid.log(self.submission, STEP, index), "ab") as log:
            # a session of its own: Ctrl-C reaches this process alone, which asks the cells to stop
            self.running[index] = subprocess.Popen(
                command_line(cell, STEP, self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(at_a_time),
                start_new_session=True,
            )

    def _environment(self, at_a_time: int) -> dict[str, str]:
        share = str(max(1, self.cores // at_a_time))
        return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), share) | os.environ

    def _reap(self, tell: Callable[[int, int], None]) -> None:
        for index, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[index]
                code = code if code >= 0 else 128 - code
                write_atomic(Path(self.grid.exit_file(self.submission, STEP, index)), f"{code}\n".encode())
                tell(index, code)

    def _stop(self, signum, frame) -> None:
        self.stopping = True
        for process in self.running.values():
            process.terminate()
