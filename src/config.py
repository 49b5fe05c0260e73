"""Where things lie and what may be used, read from the environment; nothing here writes it, but `export_homes`."""

import os
from dataclasses import dataclass
from pathlib import Path

from .utils import granted_cores


@dataclass(frozen=True)
class Config:
    """The homes and limits of one run.

    data_home: the releases and prepared data, one folder per study (DATA_HOME)
    activations_home: stored activations (MMAP_HOME)
    results_home: stored scores, ceilings and cards (RESULTCACHING_HOME)
    weights_home: downloaded model weights (TORCH_HOME)
    cores: cores granted to this process
    """

    data_home: Path
    activations_home: Path
    results_home: Path
    weights_home: Path
    cores: int

    @classmethod
    def from_env(cls) -> "Config":
        """The configuration that the environment asks for; DYNAMIC_VISION_HOME moves all homes that are not named."""
        home = Path(os.environ.get("DYNAMIC_VISION_HOME", "~/.dynamic-vision")).expanduser()
        torch_home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"

        def place(variable: str, default: Path) -> Path:
            return Path(os.environ.get(variable) or default).expanduser().absolute()

        return cls(
            data_home=place("DATA_HOME", home / "data"),
            activations_home=place("MMAP_HOME", home / "activations"),
            results_home=place("RESULTCACHING_HOME", home / "results"),
            weights_home=place("TORCH_HOME", torch_home),
            cores=granted_cores(),
        )


def export_homes(config: Config) -> None:
    """Tell child libraries of the homes; called by the scripts before anything heavy is imported, never by an import.

    Brain-Score runs `pip install` while it loads a model unless BS_INSTALL_DEPENDENCIES is "no".
    """
    os.environ.setdefault("RESULTCACHING_HOME", str(config.results_home))
    os.environ.setdefault("TORCH_HOME", str(config.weights_home))
    os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(config.cores))
