"""Comparison of the store with result_caching and with plain memory maps: `python -m benchmarks.cache`.

result_caching is Brain-Score's cache, here with netCDF and with pickle files. One Markdown table each is printed for
reading 100 stored scores in a new process, for writing and reopening activations, and for 16 processes that need the
same value at once.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from src.config import Config
from src.store import ActivationKey, Entry, ScoreKey, Store
from src.store.folder import Folder
from src.tables import markdown

LAYERS, TARGETS, SPLITS = 15, 500, 10


def config(home: Path) -> Config:
    return Config(home, home / "activations", home / "results", home, 1)


def score_key(i: int) -> ScoreKey:
    return ScoreKey("fmri", f"model-{i % 10}", (f"data-{i // 10}",), (str(i),), ("d",), (("gap_ms", 10000),))


def score(i: int) -> Entry:
    test = np.random.default_rng(i).normal(size=(LAYERS, TARGETS, SPLITS)).astype(np.float32)
    return Entry({"test": test}, {"best": float(np.median(test)), "layers": [f"layer-{k}" for k in range(LAYERS)]})


def read_store(home: Path, n: int) -> None:
    """Print one line per stored score."""
    store = Store(config(home))
    for i in range(n):
        print(i, store.find(score_key(i)).facts["best"])


def result_caching_score(form: str, seconds: float = 0) -> Callable:
    """Return the same computation, of at least `seconds` s, under a decorator of result_caching."""
    import result_caching
    import xarray as xr

    @getattr(result_caching, form)()
    def stored_score(i: int):
        with open(os.path.join(os.environ["RESULTCACHING_HOME"], "computed"), "a") as file:
            file.write("x\n")
        time.sleep(seconds)
        return xr.DataArray(score(i).arrays["test"], dims=["layer", "target", "split"])

    return stored_score


def read_result_caching(form: str, n: int) -> None:
    stored_score = result_caching_score(form)
    for i in range(n):
        print(i, float(np.median(stored_score(i).values)))


def in_process(code: str, home: Path) -> tuple[float, int]:
    """Run `code` in a new interpreter, with this module as `cache`; return (seconds, exit code)."""
    env = os.environ | {"RESULTCACHING_HOME": str(home / "results")}
    start = time.perf_counter()
    program = f"from pathlib import Path; from benchmarks import cache; home = Path({str(home)!r}); {code}"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True)
    return time.perf_counter() - start, done.returncode


def median(measure: Callable[[], float], repeats: int) -> float:
    return statistics.median(measure() for _ in range(repeats))


def reading(home: Path, n: int, repeats: int) -> list[list[str]]:
    """Measure the time in s of a new process that prints `n` stored scores."""
    methods = {"store (facts in the manifest)": "cache.read_store(home, {n})"}
    methods |= {
        f"result_caching.{form}": f"cache.read_result_caching('{form}', {{n}})" for form in ("store_netcdf", "store")
    }
    for i in range(n):
        Store(config(home)).fetch(score_key(i), lambda i=i: score(i))
    rows = []
    for name, code in methods.items():
        in_process(code.format(n=n), home)
        seconds = median(lambda code=code: in_process(code.format(n=n), home)[0], repeats)
        empty = median(lambda code=code: in_process(code.format(n=0), home)[0], repeats)
        rows.append([name, f"{seconds:.2f}", f"{empty:.2f}", f"{1000 * (seconds - empty) / n:.2f}"])
    return rows


def activation_request(n_stimuli: int, n_time: int, n_features: int) -> tuple[ActivationKey, dict, list[str]]:
    layers = tuple(f"layer-{k}" for k in range(4))
    bins = tuple((1000.0 * t, 1000.0 * (t + 1)) for t in range(n_time))
    key = ActivationKey("m", "d", layers, "s", bins, False, "block", 4000, "fp32", 5000, 25)
    return key, dict.fromkeys(layers, n_features), [f"film-{i}" for i in range(n_stimuli)]


def writing(home: Path, repeats: int) -> list[list[str]]:
    """Measure the time in s to write and reopen 64 stimuli, 25 bins, 4 layers of 5,000 features (128 MB)."""
    key, sizes, ids = activation_request(64, 25, 5000)
    values = np.random.default_rng(0).normal(size=(25, 5000)).astype(np.float32)
    megabytes = values.nbytes * len(ids) * len(sizes) / 1e6

    def fill(sink):
        for i in range(len(ids)):
            for layer in sizes:
                sink.write(i, layer, 0, values)
            sink.finish(i, 25)

    def write_store() -> float:
        return clock(lambda: Store(config(home)).activations(key, sizes, ids, fill, rerun=True))

    def write_memory_maps(folder: Path = home / "memory-maps") -> None:
        folder.mkdir(exist_ok=True)
        for layer in sizes:
            shape = (len(ids), 25, 5000)
            layer_map = np.lib.format.open_memmap(folder / f"{layer}.npy", "w+", np.float32, shape)
            for i in range(len(ids)):
                layer_map[i] = values
            layer_map.flush()

    def read_store() -> float:
        return clock(lambda: Store(config(home)).activations(key, sizes, ids, None))

    def read_seal() -> float:
        return clock(Folder(next((home / "activations").glob("m-*[0-9a-f]")), key, sizes, ids).is_sealed)

    def read_memory_maps() -> float:
        return clock(lambda: [np.load(home / "memory-maps" / f"{layer}.npy", mmap_mode="r") for layer in sizes])

    rows = []
    for name, write, read in (
        ("store, everything verified on opening", write_store, read_store),
        ("store, the seal alone", lambda: np.nan, read_seal),
        ("plain memory map, nothing verified", lambda: clock(write_memory_maps), read_memory_maps),
    ):
        seconds, again = median(write, repeats), median(read, repeats)
        rows.append([name, f"{seconds:.2f}", f"{megabytes / seconds:.0f}", f"{1000 * again:.1f}"])
    return rows


def clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def simultaneous(home: Path, n: int) -> list[list[str]]:
    """Count computations and failures when `n` processes need one score, which takes 1 s, at once."""
    store_code = (
        "from src.store import Store\n"
        "def make():\n"
        "    open(home / 'results' / 'computed', 'a').write('x\\n'); cache.time.sleep(1); return cache.score(7)\n"
        "Store(cache.config(home)).fetch(cache.score_key(7), make).arrays['test']"
    )
    rows = []
    for name, code in (
        ("store", f"exec({store_code!r})"),
        ("result_caching.store_netcdf", "cache.result_caching_score('store_netcdf', 1)(7)"),
        ("result_caching.store", "cache.result_caching_score('store', 1)(7)"),
    ):
        shutil.rmtree(home, ignore_errors=True)
        (home / "results").mkdir(parents=True)
        failed = sum(code != 0 for code in together(code, home, n))
        computed = len((home / "results" / "computed").read_text().split())
        rows.append([name, str(computed), str(failed)])
    return rows


def together(code: str, home: Path, n: int) -> list[int]:
    env = os.environ | {"RESULTCACHING_HOME": str(home / "results")}
    program = (
        "from pathlib import Path; import result_caching; from benchmarks import cache; "
        f"home = Path({str(home)!r}); cache.synchronise(home, {n}); {code}"
    )
    started = [subprocess.Popen([sys.executable, "-c", program], env=env, stderr=subprocess.DEVNULL) for _ in range(n)]
    return [process.wait() for process in started]


def synchronise(home: Path, n: int) -> None:
    """Wait until `n` processes have called this function."""
    (home / f"ready-{os.getpid()}").touch()
    while len(list(home.glob("ready-*"))) < n:
        time.sleep(0.01)


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n{markdown(header, rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cells", type=int, default=100)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        title = f"A fresh process prints {options.cells} stored scores ({LAYERS} x {TARGETS} x {SPLITS})"
        rows = reading(home, options.cells, options.repeats)
        table(title, ["method", "s", "s for none", "ms each"], rows)
        rows = writing(home, options.repeats)
        table("128 MB of activations", ["method", "write, s", "MB/s", "reopen, ms"], rows)
        table("16 processes need one score", ["method", "computed", "processes that failed"], simultaneous(home, 16))


if __name__ == "__main__":
    main()
