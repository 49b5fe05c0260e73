"""A submission without SLURM: cells as local processes, a number of them at a time, each with its log."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..config import RESULTS_VARIABLE, THREAD_VARIABLES, Config
from ..files import write_atomic
from ..locks import locked
from .folder import Grid, Submission
from .slurm import command_line

STEP = "score"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED = 128 + signal.SIGTERM


class LocalRun:
    """The processes of one submission; SIGTERM, SIGINT and SIGHUP are passed on to them, and their end is awaited."""

    def __init__(self, grid: Grid, submission: Submission, command: Sequence[str], config: Config):
        self.grid, self.submission, self.command = grid, submission, command
        self.cores = config.cores
        self.running: dict[int, subprocess.Popen] = {}
        self.stopping = False

    def run(self, n_parallel: int, ended: Callable[[int, int], None]) -> bool:
        """Run all cells, call ended(index, exit code) after each, and return False if a signal stopped the run."""
        before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS}
        waiting = list(range(len(self.submission.cells)))
        try:
            with locked(self.grid.run_lock(self.submission), RESULTS_VARIABLE):
                while self.running or (waiting and not self.stopping):
                    while waiting and len(self.running) < n_parallel and not self.stopping:
                        self._start(waiting.pop(0), n_parallel)
                    self._collect_ended(ended)
                    time.sleep(0.05)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return not self.stopping

    def _start(self, index: int, n_parallel: int) -> None:
        cell = self.grid.cells[self.submission.cells[index]]
        with open(self.grid.log(self.submission, STEP, index), "ab") as log:
            # in a new session Ctrl-C reaches this process alone, which then terminates the cells
            self.running[index] = subprocess.Popen(
                command_line(cell, STEP, self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(n_parallel),
                start_new_session=True,
            )

    def _environment(self, n_parallel: int) -> dict[str, str]:
        share = str(max(1, self.cores // n_parallel))
        return dict.fromkeys(THREAD_VARIABLES, share) | os.environ

    def _collect_ended(self, ended: Callable[[int, int], None]) -> None:
        for index, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[index]
                code = code if code >= 0 else 128 - code
                write_atomic(Path(self.grid.exit_file(self.submission, STEP, index)), f"{code}\n".encode())
                ended(index, code)

    def _stop(self, signum, frame) -> None:
        self.stopping = True
        for process in self.running.values():
            process.terminate()
