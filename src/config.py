"""Folders and limits of a run, read from the environment; only `export_homes` writes to it."""

import os
from dataclasses import dataclass
from pathlib import Path

from .utils import granted_cores

DATA_VARIABLE, ACTIVATIONS_VARIABLE = "DATA_HOME", "MMAP_HOME"
RESULTS_VARIABLE, WEIGHTS_VARIABLE = "RESULTCACHING_HOME", "TORCH_HOME"
# folders of other libraries: packages of Brain-Score's data, its models' weights, repositories of Hugging Face
LIBRARY_HOMES = {"BRAINIO_HOME": "~/.brainio", "BRAINSCORE_HOME": "~/.brain-score", "HF_HOME": "~/.cache/huggingface"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Config:
    """Folders and limits of one run.

    Parameters
    ----------
    data_home : Path
        Releases and prepared data, a folder per study (DATA_HOME).
    activations_home : Path
        Stored activations (MMAP_HOME).
    results_home : Path
        Stored scores, ceilings and metadata (RESULTCACHING_HOME).
    weights_home : Path
        Downloaded model weights (TORCH_HOME).
    cores : int
        Number of cores granted to this process.
    """

    data_home: Path
    activations_home: Path
    results_home: Path
    weights_home: Path
    cores: int

    @classmethod
    def from_env(cls) -> "Config":
        """Return the configuration of the environment; DYNAMIC_VISION_HOME moves the first three folders at once."""
        home = Path(os.environ.get("DYNAMIC_VISION_HOME", "~/.dynamic-vision")).expanduser()
        torch_home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"

        def place(variable: str, default: Path) -> Path:
            return Path(os.environ.get(variable) or default).expanduser().absolute()

        return cls(
            data_home=place(DATA_VARIABLE, home / "data"),
            activations_home=place(ACTIVATIONS_VARIABLE, home / "activations"),
            results_home=place(RESULTS_VARIABLE, home / "results"),
            weights_home=place(WEIGHTS_VARIABLE, torch_home),
            cores=granted_cores(),
        )

    def homes(self) -> dict[str, Path]:
        """Return the folders, those of other libraries too, by the environment variables that move them."""
        libraries = {name: Path(os.environ.get(name) or place) for name, place in LIBRARY_HOMES.items()}
        return {
            DATA_VARIABLE: self.data_home,
            ACTIVATIONS_VARIABLE: self.activations_home,
            RESULTS_VARIABLE: self.results_home,
            WEIGHTS_VARIABLE: self.weights_home,
            **{name: place.expanduser().absolute() for name, place in libraries.items()},
        }


def export_weights_home(config: Config) -> None:
    """Set TORCH_HOME to the folder of the configuration, so that every library finds the same weight files."""
    os.environ[WEIGHTS_VARIABLE] = str(config.weights_home)


def export_homes(config: Config) -> None:
    """Set the environment variables that other libraries read; called before they are imported, never by an import.

    Variables that are set are kept. Brain-Score runs `pip install` while it loads a model unless
    BS_INSTALL_DEPENDENCIES is "no".
    """
    os.environ.setdefault(RESULTS_VARIABLE, str(config.results_home))
    export_weights_home(config)
    os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(config.cores))
    # threads that wait by spinning for long take the cores from others, and those that sleep at once wake up late:
    # benchmarks/busy_machine.py
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
