"""Loader of the extraction against a bare loop of PyAV that decodes the same films to rgb24. It needs no GPU.

    python -m benchmarks.loader [--sizes 320x240 1280x720] [--processes 1 2] [--films 24] [--repeats 5] [--quick]

Every figure is the median of interleaved repeats, and each stands for one or more processes that share the films:
    bare        decode with one thread, convert to rgb24, drop the frame
    loader      the worker processes of the extraction: every frame in shared memory, with its windows and time bins,
                and received by one process more, which releases it; planes Y, U and V where their conversion to
                RGB on the device is exact
    threads     the same as RGB in threads of one process, as the extraction does for a network on the CPU
The last column is the receiving process' time for a frame. A single film of some minutes, which the bare loop leaves to
one process, is decoded in sections by the loader. JPEG images (500 x 375 px) are decoded by Pillow.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.extraction import FPS, versions, write_films, write_images
from src.extraction.extract import make_settings
from src.extraction.loader import Rows, make_reader
from src.extraction.plans import Viewer
from src.extraction.workers import Processes, Threads
from src.models.preprocessing import FramePreprocessing
from src.models.spec import Model
from src.records import Stimuli
from src.utils import regular_bins
from src.video import probe

BIN_MS = 1000.0
LONG_FILMS = 24  # length of the film that is decoded in sections, in films
LEAST_FILMS = 8  # so that processes start in a small part of the time


def main() -> None:
    options = parse()
    print(versions())
    head = ("frames", "processes", "path", "frames/s", "per core", "of bare", "of bare per core", "receiver, us")
    print("{:14}{:>10}  {:10}{:>10}{:>10}{:>10}{:>18}{:>14}".format(*head))
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            width, height = map(int, size.split("x"))
            n_films = max(LEAST_FILMS, options.films * 320 * 240 // (width * height))
            write_films(Path(folder) / size, n_films, options.seconds, (height, width))
            compare(size, films(Path(folder) / size), bare_films, options)
        write_films(Path(folder) / "long", 1, LONG_FILMS * options.seconds, (240, 320))
        compare("one, 320x240", films(Path(folder) / "long"), bare_films, options)
        compare("JPEG", images(Path(folder), options.films * 40), bare_images, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["320x240", "1280x720"], metavar="WIDTHxHEIGHT")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--films", type=int, default=24, help="of 320 x 240; as many pixels of other sizes")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a film")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two short films, one repeat: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.films, options.seconds, options.repeats = 2, 1.0, 1
    return options


def films(folder: Path) -> Stimuli:
    paths = tuple(sorted(folder.glob("*.mp4")))
    durations = np.array([probe(path).duration_ms for path in paths])
    return Stimuli("films", tuple(path.stem for path in paths), paths, durations, ("video",) * len(paths))


def images(folder: Path, n: int) -> Stimuli:
    write_images(folder / "images", n)
    paths = tuple(sorted((folder / "images").iterdir()))
    return Stimuli("images", tuple(path.stem for path in paths), paths, np.full(n, BIN_MS), ("image",) * n)


def compare(name: str, stimuli: Stimuli, bare: Callable, options) -> None:
    """Measure all paths in turn and print their medians."""
    paths = {"bare": lambda n: time_bare(bare, stimuli, n)}
    paths |= {
        "loader": lambda n: time_loader(stimuli, n, Processes),
        "threads": lambda n: time_loader(stimuli, n, Threads),
    }
    runs = {(path, n): [] for n in options.processes for path in paths}
    for _ in range(options.repeats):
        for path, n in runs:
            runs[path, n].append(paths[path](n))
    for (path, n), done in runs.items():
        frames, seconds, core_s, receiver_s = (median(column) for column in zip(*done, strict=True))
        of_bare, of_core = (
            median(b[k] / b[0] / (a[k] / a[0]) for a, b in zip(done, runs["bare", n], strict=True)) for k in (1, 2)
        )
        print(
            f"{name:14}{n:10}  {path:10}{frames / seconds:10.0f}{frames / core_s:10.0f}{of_bare:10.2f}{of_core:18.2f}"
            f"{receiver_s / frames * 1e6:14.1f}",
            flush=True,
        )


def clocks() -> np.ndarray:
    """Seconds of wall time, of the cores with processes that have ended, and of this process' cores."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), time.process_time() + ended.ru_utime + ended.ru_stime, time.process_time()])


def time_bare(bare: Callable[[Sequence[Path]], int], stimuli: Stimuli, n_processes: int) -> tuple[float, ...]:
    """Frames, seconds, seconds of cores, and seconds of the receiver, which a bare loop lacks."""
    context = multiprocessing.get_context("fork")
    count = context.Value("q", 0)

    def work(paths: Sequence[Path]) -> None:
        n = bare(paths)
        with count.get_lock():
            count.value += n

    began = clocks()
    shares = [stimuli.paths[i::n_processes] for i in range(n_processes)]
    processes = [context.Process(target=work, args=(share,)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    seconds, core_s, _ = (clocks() - began).tolist()
    return count.value, seconds, core_s, 0.0


def bare_films(paths: Sequence[Path]) -> int:
    import av
    from av.video.reformatter import VideoReformatter

    count = 0
    for path in paths:
        to_rgb = VideoReformatter()
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for frame in container.decode(stream):
                to_rgb.reformat(frame, frame.width, frame.height, format="rgb24").to_ndarray()
                count += 1
    return count


def bare_images(paths: Sequence[Path]) -> int:
    from PIL import Image

    for path in paths:
        with Image.open(path) as image:
            np.array(image.convert("RGB"))
    return len(paths)


def time_loader(stimuli: Stimuli, n_workers: int, kind: type) -> tuple[float, ...]:
    """Frames, seconds, seconds of cores, and seconds of the receiver: one window per frame, bins of 1 s."""
    decoding = kind is Processes
    preprocess = FramePreprocessing(lambda frames: frames, "CHW") if decoding else torch.from_numpy
    model = Model("frames", torch.nn.Identity(), preprocess, {"": "CHW"}, "image", float(FPS), "")
    settings = make_settings(regular_bins(float(stimuli.duration_ms.max()) + BIN_MS, BIN_MS), "block", BIN_MS, True)
    began, count = clocks(), 0
    wanted = {i: [0] for i in range(len(stimuli))}
    reader = make_reader([Viewer(model, settings)], stimuli, wanted, n_workers, decoding, in_sections=decoding)
    workers = kind(reader, len(reader.groups), n_workers)
    for item in workers.items(lambda: None):
        if item.array is not None:
            count += len(item.header.spans) if isinstance(item.header, Rows) else len(item.array)
        item.release()
    workers.close()
    seconds, core_s, receiver_s = (clocks() - began).tolist()
    return count, seconds, core_s, receiver_s


if __name__ == "__main__":
    main()
