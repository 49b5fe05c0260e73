"""Times of the steps of layers against the changes of every frame, and against steps that are spread evenly.

    python -m benchmarks.step_times [--models NAME ...] [--frames 64] [--full]

The times that extraction uses are measured once per model from a few frames in the middle of a clip
(`models.inspect.centres.step_times`). The reference changes every frame of a clip, one after the other, and takes the
mean of the frames weighted by the squared change of a step (`step_centres`). Compared are the steps in the middle third
of a clip, whose fields the ends of the clip do not cut off where it is long enough: r3d_18 has fields of 109 frames.
Of a network of one length that takes several of its clips in a row, all steps of the middle one are compared. Weights
are sampled: networks that reduce have few blocks of few channels, the others and all with --full their own size;
pictures are cut to 64 px, or to --crop, where a network takes them.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from src import models
from src.models.inspect.centres import CROP, evenly_spaced, in_a_row, step_centres, step_times, takes_crops, timed
from src.models.spec import Model
from src.tables import aligned

NAMES = (
    "r3d_18",
    "mvit_v2_s",
    "swin3d_t",
    "s3d",
    "SlowFast",
    "X3D",
    "TimeSformer",
    "VideoMAE-V1-B",
    "ViViT",
    "I3D-R50",
    "AVID-Kinetics400",
    "VideoSwin-B",
    "TSM",
)

SEED = 100  # other clips and other noise than those of the step times
DRAWS = 4  # for clips in a row, of which every step is compared


def differences(
    model: Model, n_frames: int, crop: int = CROP, draws: int = DRAWS
) -> Iterator[tuple[str, int, float, float]]:
    """Yield for each layer its name, its number of steps, and the largest distances from the reference in frames.

    The first distance is that of the step times, the second that of steps that are spread evenly. n_frames: of the
    reference's clip, within the limits of the model unless it takes several of its clips in a row; draws: of the
    reference, for such clips.
    """
    times, note = step_times(model)
    assert not note, note
    length = int(np.clip(n_frames, *model.num_frames))
    windows = 2 * math.ceil(n_frames / length / 2) + 1 if n_frames > length else 1
    row = in_a_row(model, windows) if windows > 1 else []
    references = {}
    if row:
        found = step_centres(model, n_frames=windows * length, crop=crop, layers=row, draws=draws, seed=SEED)
        middle = windows // 2
        for layer, centres in found.items():
            references[layer] = np.split(centres, windows)[middle] - middle * length
    if rest := [layer for layer in timed(model) if layer not in row]:
        side = crop if takes_crops(model, layers=rest, crop=crop) else 0
        references |= step_centres(model, n_frames=length, crop=side, layers=rest, seed=SEED)
    for layer, reference in references.items():
        n_steps = len(reference)
        compared = (reference >= length / 3) & (reference < 2 * length / 3) | (layer in row)
        if n_steps == 1 or not compared.any():
            continue
        placed, even = times[layer].of_steps(n_steps), evenly_spaced(n_steps, length)
        yield layer, n_steps, *(float(np.abs(one - reference)[compared].max()) for one in (placed, even))


def rows(names: Sequence[str], n_frames: int, crop: int, draws: int, full: bool) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table, one per model."""
    for name in names:
        began = time.process_time()
        model = models.load(f"Random-{name}" if full else name, reduced=not full, limit=6)
        found = list(differences(model, n_frames, crop, draws))
        placed, even = (max(found, key=lambda row, at=at: row[at]) for at in (2, 3))
        seconds = time.process_time() - began
        yield name, str(len(found)), f"{placed[2]:.2f}", placed[0], f"{even[3]:.2f}", even[0], f"{seconds:.0f}"


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=NAMES)
    parser.add_argument("--frames", type=int, default=64, help="length of a clip, within the limits of a model")
    parser.add_argument("--crop", type=int, default=CROP, help="side of the pictures, px")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of the reference of clips in a row")
    parser.add_argument("--full", action="store_true", help="whole networks, with sampled weights")
    options = parser.parse_args()
    head = ("model", "layers", "frames off", "layer", "spread evenly", "layer", "core s")
    for row in rows(options.models, options.frames, options.crop, options.draws, options.full):
        print(aligned(head, [row]), flush=True)


if __name__ == "__main__":
    main()
