"""Long films and many units: time and memory of a first run, in processes of their own.

    python -m benchmarks.scale
    python -m benchmarks.scale --minutes 20 --units 20000

Films: the same minutes of seeded textures of 64 x 48 px at 25 frames per second as one film and as 24, with 100 units
and a TR of 2 s, scored with the pixels. Units: 600 s of film and many units of noise, scored with a small network;
memory is the peak of the process and of its workers without the imports, which the run of 10 units stands for, and
without the responses themselves. Both sides run in turn.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from src.tables import aligned

ROOT = Path(__file__).resolve().parents[1]
FPS, HEIGHT, WIDTH, N_FILMS = 25, 48, 64, 24
DATASET = """
import numpy
import dynamic_vision as dv


def load(folder):
    values = numpy.load("values.npy", mmap_mode="r")
    return dv.responses([f"{k}.mp4" for k in range(len(values))], values, bin_ms=TR_MS)


def data():
    facts = {"citation": "mine", "licence": "mine", "access": "own", "source": "mine"}
    return dv.Fmri(name="scale", study="own", load=load, tr_ms=TR_MS, high_passed=True, **facts)
"""
OPTIONS = ("--splits", "2", "--bootstrap", "0", "--no-ceiling", "--quiet")


def write_film(path: Path, n_frames: int, seed: int) -> None:
    """Write a drifting texture, H.264."""
    import av

    texture = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for i in range(n_frames):
            frame = np.roll(texture, (i // 3, i // 2), axis=(0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_dataset(folder: Path, n_films: int, seconds: float, tr_s: float, n_units: int) -> None:
    """Write films of `seconds` in all, noise as responses, and the file that declares them."""
    folder.mkdir()
    of_each = seconds / n_films
    for k in range(n_films):
        write_film(folder / f"{k}.mp4", round(of_each * FPS), k)
    values = np.random.default_rng(0).standard_normal((n_films, 1, int(of_each / tr_s), n_units), dtype=np.float32)
    np.save(folder / "values.npy", values)
    (folder / "own.py").write_text(DATASET.replace("TR_MS", str(1000 * tr_s)))


def score(folder: Path, model: str) -> tuple[float, float, float]:
    """Return the wall time and the processor time in s, and the peak memory in MB, of a first run."""
    with tempfile.TemporaryDirectory() as home:
        homes = {"DYNAMIC_VISION_HOME": home, "DATA_HOME": "", "MMAP_HOME": "", "RESULTCACHING_HOME": ""}
        command = [sys.executable, ROOT / "score_fmri.py", "-m", model, "-d", "own.py:data", *OPTIONS]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=os.environ | homes, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command} ended with {process.returncode}")
        return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def compare_films(folder: Path, minutes: float, repeats: int) -> None:
    """Print a row for one film, and for the same minutes in 24."""
    sides = {"1 film": 1, f"{N_FILMS} films": N_FILMS}
    for name, n_films in sides.items():
        write_dataset(folder / name, n_films, 60 * minutes, 2.0, 100)
    runs = {name: [] for name in sides}
    for _ in range(repeats):
        for name in sides:
            runs[name].append(score(folder / name, "pixels"))
    medians = {name: np.median(found, axis=0) for name, found in runs.items()}
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in medians.items()]
    print(aligned([f"{minutes:g} minutes", "s", "core s", "peak MB"], rows))
    one, many = medians.values()
    print(
        f"one film / {N_FILMS}: {one[0] / many[0]:.2f} of the time, {one[1] / many[1]:.2f} of the core time, ", end=""
    )
    print(f"{one[2] / many[2]:.2f} of the memory", flush=True)


def compare_units(folder: Path, n_units: int) -> None:
    """Print the peak memory with few and with many units, and the difference beyond the data."""
    peaks = {}
    for n in (10, n_units):
        write_dataset(folder / f"{n} units", 2, 600.0, 1.0, n)
        peaks[n] = score(folder / f"{n} units", "fake-image-net")[2]
    data_mb = (folder / f"{n_units} units" / "values.npy").stat().st_size / 2**20
    rows = [[f"{n}", f"{peak:.0f}"] for n, peak in peaks.items()]
    print(aligned(["units", "peak MB"], rows))
    print(f"responses {data_mb:.0f} MB; beyond them and the imports {peaks[n_units] - peaks[10] - data_mb:.0f} MB")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare_films(Path(folder), options.minutes, options.repeats)
        compare_units(Path(folder), options.units)


if __name__ == "__main__":
    main()
