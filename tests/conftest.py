import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
# every run draws the same examples; `make test-explore` draws new ones
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")
# a shell that starts the tests in the background has told them to ignore interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
RESULTS_HOME = os.environ.get("RESULTCACHING_HOME")
RENDERERS = [*(ROOT / "src" / "data").rglob("*.py"), *(ROOT / "src" / "fakenet").glob("*.py")]


@pytest.fixture(autouse=True)
def state_of_the_session():
    """Undo what commands set in the process: a later test would use the scores of an earlier one, or log nothing."""
    yield
    logging.getLogger("src").setLevel(logging.NOTSET)
    if RESULTS_HOME is None:
        os.environ.pop("RESULTCACHING_HOME", None)
    else:
        os.environ["RESULTCACHING_HOME"] = RESULTS_HOME


@dataclass(frozen=True)
class Cli:
    """The scripts, run as a user runs them, with homes of their own."""

    home: Path
    data_home: Path

    @classmethod
    def at(cls, home: Path, data_home: Path | None = None) -> "Cli":
        """The scripts with homes under `home`, which is made; `data_home` may lie elsewhere."""
        home.mkdir(parents=True, exist_ok=True)
        return cls(home, data_home or home / "data")

    def __call__(self, benchmark: str, *arguments: str, expect: int = 0, **environment: str):
        """The finished process of `score_SCRIPT.py ARGUMENTS`; its exit code must be `expect`."""
        done = subprocess.run(
            [sys.executable, str(ROOT / f"score_{benchmark}.py"), *map(str, arguments)],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
        )
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self, **more: str) -> dict[str, str]:
        """A user's environment whose homes all lie in `home`."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith("RESULTCACHING")}
        mine |= {"DYNAMIC_VISION_HOME": str(self.home), "TORCH_HOME": str(self.home / "torch")}
        mine |= {"DATA_HOME": str(self.data_home), "MMAP_HOME": ""}
        return mine | {k: str(v) for k, v in more.items()}


@pytest.fixture(scope="session")
def embedded_home(request):
    """A data home for the embedded datasets that outlives the run, one for each state of the code that draws them."""
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(RENDERERS))).hexdigest()[:12]
    home = request.config.cache.mkdir(f"embedded-{state}")
    for outdated in set(home.parent.glob("embedded-*")) - {home}:
        shutil.rmtree(outdated, ignore_errors=True)
    return home


@pytest.fixture(scope="session")
def cli(tmp_path_factory, embedded_home) -> Cli:
    """The scripts with one set of homes for the whole session."""
    return Cli.at(tmp_path_factory.mktemp("home"), embedded_home)
