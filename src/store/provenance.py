"""Provenance of a stored value: package versions, commit, seed, device and time; the machine is not named."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..stages import Sources

PACKAGES = ("numpy", "scipy", "torch", "torchvision", "brainscore-vision", "scikit-learn", "av", "netCDF4")


def provenance(fields: dict, seconds: float | None = None, made_by: Sources | None = None) -> dict:
    """Return the provenance of a value whose key has `fields`.

    seconds: wall time of its computation; made_by: the stages behind it, see `stages.sources`.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": None if seconds is None else round(seconds, 3),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES if package_version(name)},
        "commit": _commit(),
        "sources": dict(made_by or {}),
        "device": _device(),
        "seed": _seed(fields),
    }


@cache
def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, None if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """Return the commit of this program, with "+" if files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _device() -> str:
    """Return the name of the accelerator that this process uses, or "cpu"; torch is not imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.get_device_name()
    return "cpu"


def _seed(fields: dict):
    return fields.get("seed", dict(fields.get("options", [])).get("seed"))
