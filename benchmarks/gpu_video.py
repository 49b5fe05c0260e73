"""Films decoded on a device by torchcodec (extra gpu-video), compared with PyAV frame by frame.

    python -m benchmarks.gpu_video [FILM...] [--device cuda] [--repeats 3]

Without FILM: films of many codings, of 320 x 240 px and 60 frames. torchcodec needs FFmpeg's shared libraries; where
there are none, those of PyAV's wheel serve, here and for the tests:

    export LD_LIBRARY_PATH=$(python -m benchmarks.gpu_video --libraries links)
    python -m pytest tests/extraction/test_gpu_video.py
"""

import argparse
import re
import tempfile
import time
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch

from src.extraction.gpu_video import GpuDecoder, Sample, not_usable, raw_frames, sample
from src.extraction.planes import rgb_of_planes
from src.video import decode, probe
from tests.extraction.coded_films import DECODED, OTHERS, write_coded

NAMES = re.compile(r"(lib(?:av[a-z]+|sw[a-z]+))-[0-9a-f]+(\.so\.\d+)\..*")


def link_libraries(folder: Path) -> str:
    """Link PyAV's libraries of FFmpeg under their plain names; return the value of LD_LIBRARY_PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    libraries = Path(av.__file__).resolve().parents[1] / "av.libs"
    for path in libraries.iterdir():
        if found := NAMES.fullmatch(path.name):
            link = folder / "".join(found.groups())
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    return f"{folder.resolve()}:{libraries}"


def seconds(work, repeats: int) -> float:
    """Median seconds of a function's calls."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took)


def levels(frames, expected) -> int:
    """Largest difference of two films, in levels of 256."""
    return max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(frames, expected, strict=True))


def own_colours(path: str, device: torch.device, expected) -> str:
    """Largest difference of the frames that torchcodec converts to RGB itself."""
    from torchcodec.decoders import VideoDecoder

    try:
        decoder = VideoDecoder(path, device=device, dimension_order="NHWC")
        return str(levels([decoder[i].cpu().numpy() for i in range(len(expected))], expected))
    except (RuntimeError, IndexError) as error:
        return str(error).split("\n", 1)[0][:40]


def row(name: str, path: str, device: torch.device, repeats: int) -> str:
    """Return the row of one film."""
    first, info = sample(path), probe(path)
    if not isinstance(first, Sample):
        return f"| {name} | workers: {first} | | | | | |"
    numbers = list(range(info.n_frames))
    expected = [frame for _, frame in decode(path, numbers, info)]
    decoder = GpuDecoder(path, info, first, device)
    found = list(decoder.frames(numbers))
    rgb = [rgb_of_planes(f[None], first.space)[0].cpu().numpy() if f.ndim == 2 else f.cpu().numpy() for _, f in found]
    in_order = [number for number, _ in found] == numbers
    with av.open(path) as container:
        stamps = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    given = [raw.pts_seconds for raw in raw_frames(path, device)]
    stamp_ms = 1000 * float(np.abs(np.subtract(given, stamps)).max()) if len(given) == len(stamps) else np.nan
    speed = len(found) / seconds(lambda: list(GpuDecoder(path, info, first, device).frames(numbers)), repeats)
    by, count = decoder.left or "torchcodec", f"{len(found)}{'' if in_order else ', in another order'}"
    cells = f"{name} | {by} | {count} | {levels(rgb, expected)} | {stamp_ms:g}"
    return f"| {cells} | {own_colours(path, device, expected)} | {speed:,.0f} |"


def main() -> None:
    """Print the table, or the folders of the libraries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", nargs="*")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--libraries", type=Path, metavar="FOLDER", help="link PyAV's libraries there, print the path")
    options = parser.parse_args()
    if options.libraries:
        print(link_libraries(options.libraries))
        return
    if reason := not_usable():
        raise SystemExit(reason)
    torch.set_num_threads(1)
    print("| film | decoded by | frames | levels | time stamps, ms | levels of torchcodec's RGB | frames/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        films = {Path(path).name: path for path in options.films}
        if not films:
            kinds = [(name, {"size": (240, 320), **kind}) for name, kind in {**DECODED, **OTHERS}.items()]
            films = {name: str(write_coded(Path(folder) / str(i), **kind)) for i, (name, kind) in enumerate(kinds)}
        for name, path in films.items():
            print(row(name, path, torch.device(options.device), options.repeats), flush=True)


if __name__ == "__main__":
    main()
