"""Cached re-run of a score on an own dataset of a whole cortex, against the imports that computing it needs.

    python -m benchmarks.rerun --repeats 5

Prints the wall time of fresh processes: Python alone, `import dynamic_vision`, the cached re-run, and the imports of
the dataset's own file (torch, pandas, xarray), which a re-run that executed the file would pay in addition.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from src.tables import aligned

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = ("numpy", "pandas", "torch", "xarray")
DATASET = "".join(f"import {name}\n" for name in IMPORTS) + (
    """
import dynamic_vision as dv
from dynamic_vision.data.films import write_lossless

N_UNITS = 20484


def load(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = numpy.random.default_rng(0)
    frames = [rng.integers(0, 255, (600, 16, 16), numpy.uint8) for _ in range(2)]
    films = [write_lossless(folder / f"{k}.mkv", film, fps=10) for k, film in enumerate(frames)]
    values = rng.normal(size=(2, 2, 60, N_UNITS))
    numbers = numpy.arange(N_UNITS)
    units = {"unit_id": numbers.astype(str), "region": numpy.where(numbers < 9000, "A", "B")}
    return dv.responses(films, values, bin_ms=1000, units=units, subjects=("one", "two"))


def data():
    facts = {"citation": "mine", "licence": "mine", "access": "own", "source": "mine"}
    return dv.Fmri(name="whole cortex", study="own", load=load, **facts)
"""
)
IMAGES = """
import numpy
import dynamic_vision as dv
from dynamic_vision.data.films import write_png

N_IMAGES = 5000


def load(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = numpy.random.default_rng(0)
    brightness = rng.uniform(0, 1, (N_IMAGES, 4))
    images = [folder / f"{k}.png" for k in range(N_IMAGES)]
    for path, values in zip(images, brightness):
        if not path.is_file():
            grey = (255 * values).astype(numpy.uint8).reshape(2, 2).repeat(8, 0).repeat(8, 1)
            write_png(path, grey[..., None].repeat(3, 2))
    return dv.responses(dv.stimuli(images, image_ms=100), brightness[:, None], bin_ms=100)


def data():
    facts = {"citation": "mine", "licence": "mine", "access": "own", "source": "mine"}
    return dv.Electrodes(name="images", study="own", load=load, **facts)
"""
# a fit of components to 5,000 rows takes less than one of their kernel
OF_IMAGES = ("--splits", "1", "--layers", "conv1", "--decoder", "pls", "--no-ceiling", "--bootstrap", "0")
OPTIONS = ("--splits", "2", "--layers", "conv1", "--clip-duration", "10", "--gap", "2", "--bootstrap", "40")


def score(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Score the dataset in a fresh process; the homes are in `folder`, which gets the dataset's file."""
    (folder / "cortex.py").write_text(DATASET)
    homes = {"DYNAMIC_VISION_HOME": str(folder / "home"), "DATA_HOME": "", "MMAP_HOME": "", "RESULTCACHING_HOME": ""}
    command = [sys.executable, ROOT / "score_fmri.py", "-m", "fake-image-net", "-d", "cortex.py:data", *OPTIONS]
    return subprocess.run(command, cwd=folder, env=os.environ | homes | environment, capture_output=True, text=True)


def score_images(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Score the dataset of 5,000 images in a fresh process, as `score` does the other."""
    (folder / "images.py").write_text(IMAGES)
    homes = {"DYNAMIC_VISION_HOME": str(folder / "home"), "DATA_HOME": "", "MMAP_HOME": "", "RESULTCACHING_HOME": ""}
    command = [sys.executable, ROOT / "score_electrodes.py", "-m", "fake-image-net", "-d", "images.py:data", *OF_IMAGES]
    return subprocess.run(command, cwd=folder, env=os.environ | homes | environment, capture_output=True, text=True)


def seconds(run, repeats: int) -> list[float]:
    """Return the wall times of `run`, which must not fail."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run().check_returncode()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats

    def python(code: str):
        return lambda: subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        score(Path(folder)).check_returncode()
        score_images(Path(folder)).check_returncode()
        rows = {
            "python": python("pass"),
            "import dynamic_vision": python("import dynamic_vision"),
            "cached re-run, 20,484 units": lambda: score(Path(folder)),
            "cached re-run, 5,000 stimuli": lambda: score_images(Path(folder)),
            f"import {', '.join(IMPORTS)}": python(f"import {', '.join(IMPORTS)}"),
        }
        times = {name: seconds(run, repeats) for name, run in rows.items()}
    lines = [[name, *(f"{f(t):.2f}" for f in (min, statistics.median, max))] for name, t in times.items()]
    print(aligned(["fresh process", "min s", "median s", "max s"], lines))


if __name__ == "__main__":
    main()
