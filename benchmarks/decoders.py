"""Video decoding to RGB arrays, in order: PyAV (this package) against OpenCV, decord and torchcodec if installed.

    python -m benchmarks.decoders FILM... [--repeats 7]

Median frames per second of wall time and of core time, and a comparison of the pixels with PyAV's.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from src.video import decode, probe


def pyav(path: str) -> Iterator[np.ndarray]:
    """Yield the frames by PyAV."""
    info = probe(path)
    return (frame for _, frame in decode(path, range(info.n_frames), info))


def opencv(path: str) -> Iterator[np.ndarray]:
    """Yield the frames by OpenCV."""
    import cv2

    capture = cv2.VideoCapture(path)
    while True:
        found, frame = capture.read()
        if not found:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def decord(path: str) -> Iterator[np.ndarray]:
    """Yield the frames by decord."""
    from decord import VideoReader

    reader = VideoReader(path)
    return (reader.next().asnumpy() for _ in range(len(reader)))


def torchcodec(path: str) -> Iterator[np.ndarray]:
    """Yield the frames by torchcodec."""
    from torchcodec.decoders import VideoDecoder

    return (frame.numpy() for frame in VideoDecoder(path, dimension_order="NHWC"))


def measure(decoder: Callable[[str], Iterator[np.ndarray]], path: str, repeats: int) -> tuple[int, float, float]:
    """Return the number of frames, and frames per second of wall and of core time."""
    runs = []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        n_frames = sum(1 for _ in decoder(path))
        runs.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    wall_s, core_s = (median(run[i] for run in runs) for i in (0, 1))
    return n_frames, n_frames / wall_s, n_frames / core_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", nargs="+")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{'film':20}{'decoder':12}{'frames':>8}{'wall fps':>10}{'core fps':>10}  pixels")
    for path in options.films:
        for decoder in (pyav, opencv, decord, torchcodec):
            try:
                n_frames, wall, core = measure(decoder, path, options.repeats)
            except (ImportError, RuntimeError) as error:
                print(f"{path[-18:]:20}{decoder.__name__:12}  {str(error).splitlines()[0]}")
                continue
            same = all(np.array_equal(a, b) for a, b in zip(pyav(path), decoder(path), strict=False))
            pixels = "equal" if same else "differ"
            print(f"{path[-18:]:20}{decoder.__name__:12}{n_frames:8}{wall:10.0f}{core:10.0f}  {pixels}")


if __name__ == "__main__":
    main()
