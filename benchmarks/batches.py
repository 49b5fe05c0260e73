"""Forward passes in batches of different sizes, and the size that extraction takes.

    python -m benchmarks.batches [--models resnet18 r3d_18] [--device cuda] [--sizes 1 2 4] [--repeats 3]

Input of a film of 320 x 240 px, windows of 16 frames for models of films. All sizes are run in turn, `--repeats` times.
Printed per model: rows/s of each size (median), the least size within 3 % of the best, the size of extraction and its
rate as a share of the best.
"""

import argparse
import time

import numpy as np
import torch

from benchmarks.extraction import NETWORKS, SIZE, load_model, versions
from src.extraction.batching import guess_batch_size
from src.extraction.hooks import channels_last
from src.tables import aligned

N_FRAMES = 16
SIZES = (1, 2, 4, 8, 16, 32, 64)
LEAST_S = 1.0  # of one measurement
NEAR_BEST = 0.97


def rate(module: torch.nn.Module, batch: torch.Tensor) -> float:
    """Return rows per second of passes of a batch."""
    synchronise = torch.cuda.synchronize if batch.is_cuda else lambda: None
    module(batch)
    synchronise()
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < LEAST_S:
        module(batch)
        synchronise()
        n += len(batch)
    return n / (time.perf_counter() - began)


def measured(name: str, device: torch.device, sizes: list[int], repeats: int) -> tuple[dict[int, float], int]:
    """Return {batch size: rows/s}, and the size of extraction, which is one of them."""
    model = load_model(name)
    length = 1 if model.kind == "image" else N_FRAMES
    row = model.preprocess(np.random.default_rng(0).integers(0, 256, (length, *SIZE, 3), dtype=np.uint8))
    row = (row if model.kind == "image" else row[None]).to(device)
    module, chosen = model.module.to(device), guess_batch_size(row.nbytes, device)
    sizes = sorted({*sizes, chosen})
    with torch.inference_mode():
        # the layout of extraction
        batches = {n: channels_last(row.repeat(n, *[1] * (row.ndim - 1))) for n in sizes}
        runs = [[rate(module, batches[n]) for n in sizes] for _ in range(repeats)]
    return dict(zip(sizes, np.median(runs, axis=0).tolist(), strict=True)), chosen


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "r3d_18", "swin3d_t", "vit_b_16"], choices=NETWORKS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(versions(), flush=True)
    rows = []
    for name in options.models:
        rates, chosen = measured(name, torch.device(options.device), options.sizes, options.repeats)
        best = max(rates.values())
        least = min(n for n, found in rates.items() if found >= NEAR_BEST * best)
        of_sizes = ", ".join(f"{n}: {found:.1f}" for n, found in rates.items())
        rows.append([name, of_sizes, f"{least}", f"{chosen}", f"{rates[chosen] / best:.2f}"])
    print(aligned(["model", "rows/s by batch size", "least within 3 %", "extraction", "of the best"], rows, 2))


if __name__ == "__main__":
    main()
