"""Extraction against the bare forward pass and against Brain-Score's temporal extractor, on the same films.

    python -m benchmarks.extraction [--models resnet18 r3d_18 swin3d_t] [--modes block causal] [--videos 32] [--quick]
    python -m benchmarks.extraction --device cuda [--precision bf16] [--size 1280x720] [--images]

Every figure is measured in a process of its own; the paths are run in turn, `--repeats` times, and medians are printed
(each run goes to stderr as it ends).
    decode      PyAV's bare loop, decode to rgb24, in one process per core (Pillow for images)
    loader      from the files to the network's input on its device
    limit       the bare forward pass on tensors already in memory, in the batches that ours takes
    ours        from the files to binned, projected activations on the disk
    brainscore  PytorchWrapper with Block- or CausalInferencer, the same projection as a hook (scipy), the same bins
    sklearn     the same with scikit-learn's SparseRandomProjection as the hook, made when its layer first comes
The slowest of decode, loader and limit is named under each group: ours cannot be faster than it. On a GPU these and
ours are the default paths. A second table holds peak memory of ours for 16 and for 128 films.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

FPS = 25
SIZE = (240, 320)
IMAGE_SIZE = (375, 500)
IMAGE_MS = 1000 / FPS
COMPONENTS = 5000
BIN_MS = 1000.0
STAGES = ("decode", "loader", "limit")
PATHS = (*STAGES, "ours", "brainscore", "sklearn")
DEFAULT_PATHS = {"cpu": ("limit", "ours", "brainscore", "sklearn"), "cuda": (*STAGES, "ours")}
NETWORKS = {
    "alexnet": ("image", 224, {"features.0": "CHW", "features.3": "CHW", "features.8": "CHW", "classifier.4": "C"}),
    "resnet18": ("image", 224, {"conv1": "CHW", **{f"layer{i}": "CHW" for i in (1, 2, 3, 4)}, "avgpool": "CHW"}),
    "r3d_18": ("video", 112, {"stem": "CTHW", **{f"layer{i}": "CTHW" for i in (1, 2, 3, 4)}, "avgpool": "CTHW"}),
    "vit_b_16": ("image", 224, {f"encoder.layers.encoder_layer_{i}": "KC" for i in range(0, 12, 2)}),
    "swin3d_t": ("video", 224, {**{f"features.{i}": "THWC" for i in (0, 2, 4, 6)}, "norm": "THWC"}),
}


def main() -> None:
    options = parse()
    if options.child:
        print(json.dumps(measure(options)))
        return
    print(f"{os.cpu_count()} cores, {versions()}")
    with tempfile.TemporaryDirectory() as folder:
        for mode, seconds in (("block", options.seconds), ("causal", options.causal_seconds)):
            if options.images:
                write_images(Path(folder) / mode, round(options.videos * seconds * FPS))
            else:
                write_films(Path(folder) / mode, options.videos, seconds, frame_size(options))
        compare(options, Path(folder))
        if not options.skip_memory:
            compare_memory(options, Path(folder))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "r3d_18", "swin3d_t"], choices=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=["block", "causal"], choices=["block", "causal"])
    parser.add_argument("--videos", type=int, help="number of films; default 32, on a GPU 256")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a film in block mode")
    parser.add_argument("--causal-seconds", type=float, default=1.0, help="length of a film in causal mode")
    parser.add_argument("--context-ms", type=float, default=4000.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--paths", nargs="+", default=[], choices=PATHS, help="default: " + str(DEFAULT_PATHS))
    parser.add_argument("--size", default=f"{SIZE[1]}x{SIZE[0]}", metavar="WIDTHxHEIGHT", help="of the films, px")
    parser.add_argument("--images", action="store_true", help="JPEG images of 500 x 375 px, as many as film frames")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--quick", action="store_true", help="two short films, one repeat: does it run?")
    parser.add_argument("--child", nargs=4, metavar=("PATH", "MODEL", "MODE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    # a GPU would spend its time on what an extraction does once
    options.videos = options.videos or (32 if options.device == "cpu" else 256)
    options.paths = options.paths or list(DEFAULT_PATHS["cpu" if options.device == "cpu" else "cuda"])
    if options.quick:
        options.videos, options.seconds, options.causal_seconds, options.repeats = 2, 1.0, 0.4, 1
    return options


def versions() -> str:
    import av
    import torch

    return f"python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}, av {av.__version__}"


def frame_size(options) -> tuple[int, int]:
    """Height and width of the films."""
    width, height = map(int, options.size.split("x"))
    return height, width


def write_images(folder: Path, n: int) -> None:
    """Seeded noise at a quarter of the size, enlarged: JPEG with as many details as a photograph."""
    from PIL import Image

    folder.mkdir(parents=True)
    height, width = IMAGE_SIZE
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:05d}.jpg", quality=90)


def write_films(folder: Path, n_films: int, seconds: float, size: tuple[int, int] = SIZE) -> None:
    """Drifting textures, seeded, 320 x 240 (`size`: height and width) at 25 fps, H.264."""
    import av

    folder.mkdir(parents=True)
    for film in range(n_films):
        texture = np.random.default_rng(film).integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        texture = texture.repeat(8, axis=0).repeat(8, axis=1)
        with av.open(str(folder / f"{film:04d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(FPS))
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for i in range(max(1, round(seconds * FPS))):
                image = np.roll(texture, (2 * i, 3 * i), axis=(0, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def compare(options, folder: Path) -> None:
    head = ("model", "mode", "path", "frames/s", "s", "core s", "peak MB", "of limit", "x Brain-Score", "x sklearn")
    print("{:10}{:8}{:12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>15}{:>12}".format(*head))
    for model in options.models:
        for mode in options.modes:
            runs = {path: [] for path in options.paths}
            for _ in range(options.repeats):
                for path in options.paths:
                    runs[path].append(run_child(options, path, model, mode, folder / mode))
            print_rows(model, mode, runs)


def print_rows(model: str, mode: str, runs: dict[str, list[dict]]) -> None:
    def ratio(path: str, other: str) -> str:
        if other not in runs:
            return "-"
        return f"{median(b['s'] / a['s'] for a, b in zip(runs[path], runs[other], strict=True)):.2f}"

    for path, done in runs.items():
        seconds, core_s, peak = (median(r[figure] for r in done) for figure in ("s", "cpu_s", "peak_mb"))
        rate = done[0]["frames"] / seconds
        print(
            f"{model:10}{mode:8}{path:12}{rate:10.1f}{seconds:10.2f}{core_s:10.2f}{peak:10.0f}"
            f"{ratio(path, 'limit'):>10}{ratio(path, 'brainscore'):>15}{ratio(path, 'sklearn'):>12}",
            flush=True,
        )
    stages = {path: median(run["s"] for run in runs[path]) for path in STAGES if path in runs}
    if len(stages) > 1 and "ours" in runs:
        slowest = max(stages, key=stages.get)
        share = stages[slowest] / median(run["s"] for run in runs["ours"])
        print(f"{model:10}{mode:8}limited by {slowest}: ours reaches {share:.2f} of it", flush=True)


def compare_memory(options, folder: Path) -> None:
    counts = (2, 4) if options.quick else (16, 128)
    print(f"\npeak memory of ours, films of 1 s: {counts[0]} and {counts[1]} of them")
    peaks = []
    for count in counts:
        write_films(folder / f"memory{count}", count, 1.0)
        peaks.append(run_child(options, "ours", options.models[0], "block", folder / f"memory{count}")["peak_mb"])
    print(f"{options.models[0]}: {peaks[0]:.0f} MB and {peaks[1]:.0f} MB, ratio {peaks[1] / peaks[0]:.3f}")


def run_child(options, path: str, model: str, mode: str, folder: Path) -> dict:
    settings = {name: getattr(options, name) for name in ("context_ms", "threads", "precision", "device", "size")}
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.extraction", *flags]
    command += ["--child", path, model, mode, str(folder)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{path} {model} {mode} failed:\n{done.stderr[-3000:]}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{model} {mode} {path}: {figures['s']:.2f} s, {figures['peak_mb']:.0f} MB", file=sys.stderr, flush=True)
    return figures


def measure(options) -> dict:
    """One path, timed from the first film to the last; imports, weights and a warm-up pass are not."""
    import torch

    path, name, mode, folder = options.child
    torch.set_num_threads(options.threads)
    model, stimuli = load_model(name), load_films(Path(folder))
    n_frames = round(float(stimuli.duration_ms.sum()) / 1000 * FPS)
    brainscore = partial(time_brainscore, hook_of=sklearn_hook if path == "sklearn" else projecting_hook)
    clock = {"decode": time_decode, "loader": time_loader, "limit": time_limit, "ours": time_ours}.get(path, brainscore)
    seconds, cpu_seconds = clock(model, stimuli, mode, options).tolist()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"s": seconds, "cpu_s": cpu_seconds, "frames": n_frames, "peak_mb": peak_mb}


def clocks() -> np.ndarray:
    """Seconds of wall time, and of the cores of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([time.perf_counter(), time.process_time() + ended.ru_utime + ended.ru_stime])


def load_model(name: str):
    import torch
    import torchvision
    from torchvision.transforms.v2.functional import resize

    from src.models.preprocessing import FramePreprocessing
    from src.models.spec import Model

    kind, size, layers = NETWORKS[name]
    torch.manual_seed(0)
    home = torchvision.models if kind == "image" else torchvision.models.video

    def images(frames):
        return (resize(frames, [size, size], antialias=True).float() / 255 - 0.45) / 0.225

    preprocess = FramePreprocessing(images, "CHW" if kind == "image" else "CTHW")
    return Model(name, getattr(home, name)(weights=None).eval(), preprocess, layers, kind, FPS, name)


def load_films(folder: Path):
    from src.records import Stimuli
    from src.video import probe

    paths = tuple(sorted(folder.iterdir()))
    kinds = tuple("image" if path.suffix == ".jpg" else "video" for path in paths)
    lasts = [IMAGE_MS if kind == "image" else probe(path).duration_ms for path, kind in zip(paths, kinds, strict=True)]
    return Stimuli("bench", tuple(path.stem for path in paths), paths, np.array(lasts), kinds)


def target_bins(stimuli) -> np.ndarray:
    from src.utils import regular_bins

    length_ms = float(stimuli.duration_ms.max())
    return regular_bins(length_ms, min(BIN_MS, length_ms))


class FileSink:
    """Writes every layer's bins to one file, without holding them."""

    def __init__(self, folder: str, n_stimuli: int, n_bins: int):
        self.done = np.zeros(n_stimuli, dtype=bool)
        self._folder, self._n_bins, self._handles = Path(folder), n_bins, {}

    def write(self, stimulus: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        if layer not in self._handles:
            self._handles[layer] = open(self._folder / layer, "wb")  # noqa: SIM115
        self._handles[layer].seek((stimulus * self._n_bins + first_bin) * values.shape[1] * 4)
        values.tofile(self._handles[layer])

    def finish(self, stimulus: int, n_valid: int) -> None:
        self.done[stimulus] = True


def time_decode(_model, stimuli, _mode: str, options) -> np.ndarray:
    from benchmarks.loader import bare_films, bare_images, time_bare

    bare = bare_images if "image" in stimuli.kind else bare_films
    return np.array(time_bare(bare, stimuli, options.threads)[1:3])


def time_loader(model, stimuli, mode: str, options) -> np.ndarray:
    import torch

    from src.extraction.extract import make_settings
    from src.extraction.loader import load_packs
    from src.extraction.plans import Viewer

    settings = make_settings(target_bins(stimuli), mode, options.context_ms, False)
    model.module.to(options.device)
    began = clocks()
    wanted = {i: [0] for i in range(len(stimuli))}
    for _ in load_packs([Viewer(model, settings)], stimuli, wanted, options.threads, options.device):
        pass
    if options.device != "cpu":
        torch.cuda.synchronize()
    return clocks() - began


def time_ours(model, stimuli, mode: str, options) -> np.ndarray:
    from src.extraction.extract import extract, feature_sizes

    bins_ms = target_bins(stimuli)
    feature_sizes(model, options.device, context_ms=1000 / FPS)
    with tempfile.TemporaryDirectory() as folder:
        sink = FileSink(folder, len(stimuli), len(bins_ms))
        began = clocks()
        extract(
            model,
            stimuli,
            bins_ms,
            sink,
            mode=mode,
            context_ms=options.context_ms,
            device=options.device,
            precision=options.precision,
            n_components=COMPONENTS,
        )
        return clocks() - began


def time_limit(model, stimuli, mode: str, options) -> np.ndarray:
    """Every batch of windows that ours would run, as tensors of noise; a static model sees each frame once."""
    import torch

    from src.extraction.batching import guess_batch_size
    from src.extraction.hooks import arithmetic
    from src.extraction.windows import make_windows

    duration_ms, size = float(stimuli.duration_ms[0]), frame_size(options)
    windows_ms = make_windows(model, mode, options.context_ms, duration_ms)
    lengths = np.round((windows_ms[:, 1] - windows_ms[:, 0]) * FPS / 1000).astype(int)
    device = torch.device(options.device)
    module, synchronise = model.module.to(device), torch.cuda.synchronize if device.type == "cuda" else lambda: None
    elapsed = np.zeros(2)
    with torch.inference_mode(), arithmetic(device, options.precision):
        for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
            row = model.preprocess(np.random.default_rng(0).integers(0, 256, (length, *size, 3), dtype=np.uint8))
            row = row if model.kind == "image" else row[None]
            left = int(count) * len(stimuli)
            batch = row.repeat(min(left, guess_batch_size(row.nbytes, device)), *[1] * (row.ndim - 1)).to(device)
            module(batch[:1])
            synchronise()
            began = clocks()
            while left > 0:
                module(batch[:left])
                left -= len(batch)
            synchronise()
            elapsed += clocks() - began
    return elapsed


def time_brainscore(model, stimuli, mode: str, options, hook_of) -> np.ndarray:
    from brainscore_vision.model_helpers.brain_transformation.temporal import assembly_time_align

    wrapper = brainscore_wrapper(model, mode, options, hook_of)
    began = clocks()
    assembly = wrapper._extractor.inferencer([str(path) for path in stimuli.paths], list(model.layers))
    assembly_time_align(assembly, [tuple(b) for b in target_bins(stimuli).tolist()])
    return clocks() - began


def brainscore_wrapper(model, mode: str, options, hook_of):
    """Brain-Score's wrapper as its users write it: static models fold time into the batch, a hook projects."""
    import torch
    from brainscore_vision.model_helpers.activations.temporal.core.inferencer.video import (
        BlockInferencer,
        CausalInferencer,
    )
    from brainscore_vision.model_helpers.activations.temporal.model import PytorchWrapper

    static = model.kind == "image"

    class Folded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = model.module

        def forward(self, clips):
            self.n_steps = clips.shape[1]
            return self.network(clips.flatten(0, 1))

    module = Folded() if static else model.module
    prefix = "network." if static else ""

    def unfold(_module, _layer, _inputs, output):
        return output.unflatten(0, (-1, module.n_steps)) if static else output

    axes = {prefix + layer: ("T" + letters if static else letters) for layer, letters in model.layers.items()}
    object.__setattr__(model, "layers", axes)
    wrapper = PytorchWrapper(
        model.name,
        module,
        lambda film: model.preprocess(film.to_numpy()),
        process_output=unfold,
        inferencer_cls={"block": BlockInferencer, "causal": CausalInferencer}[mode],
        fps=FPS,
        layer_activation_format=dict.fromkeys(axes, "TC"),
        duration=(0.0, options.context_ms),
        batch_size=4,
        max_workers=options.threads,
    )
    wrapper._extractor.inferencer._executor.register_after_hook(hook_of(axes), index=0)
    return wrapper


def time_first(values: np.ndarray, axes: str) -> np.ndarray:
    """Full activations of one clip as (time, features)."""
    steps = np.moveaxis(values, axes.index("T"), 0) if "T" in axes else values[None]
    return steps.reshape(len(steps), -1)


def sklearn_hook(axes: dict[str, str]):
    """A Brain-Score hook as its users write it: scikit-learn's projection on the CPU."""
    from sklearn.random_projection import SparseRandomProjection

    projections = {}

    def hook(values: np.ndarray, layer: str, _stimulus) -> np.ndarray:
        steps = time_first(values, axes[layer])
        if steps.shape[1] <= COMPONENTS:
            return steps
        if layer not in projections:
            projections[layer] = SparseRandomProjection(COMPONENTS, dense_output=True, random_state=0).fit(steps)
        return projections[layer].transform(steps)

    return hook


def projecting_hook(axes: dict[str, str]):
    """A Brain-Score hook: full activations of one clip, on the CPU -> (time, components), by scipy."""
    from scipy.sparse import csr_matrix

    from src.extraction.projection import make_projection

    matrices = {}

    def hook(values: np.ndarray, layer: str, _stimulus) -> np.ndarray:
        steps = time_first(values, axes[layer])
        if layer not in matrices:
            made = make_projection(layer, steps.shape[1], COMPONENTS)
            matrices[layer] = made and csr_matrix(
                (made.values.numpy(), made.columns.numpy(), [*made.starts.tolist(), len(made.columns)]),
                shape=(COMPONENTS, steps.shape[1]),
            )
        return steps if matrices[layer] is None else np.asarray((matrices[layer] @ steps.T).T)

    return hook


if __name__ == "__main__":
    main()
