"""Extraction of a model that sees whole stimuli: the features of its frames, averaged within time bins."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ..models.spec import Model, Shown
from ..records import Stimuli
from .plans import Plan, Settings, make_plan
from .projection import make_projection
from .reads import reads


def write_series(
    model: Model,
    stimuli: Stimuli,
    settings: Settings,
    sink,
    *,
    n_components: int | None,
    progress: Callable[[float, float, str], None] | None,
    stop: Callable[[], bool] | None,
) -> None:
    """Write the features of every stimulus that is not done into `sink`, one stimulus after the other.

    The arguments are those of `extract.extract`.
    """
    total_s = float(np.sum(stimuli.duration_ms)) / 1000
    for index in np.flatnonzero(~np.asarray(sink.done)).tolist():
        plan = make_plan(model, stimuli, index, settings)
        weights = plan.time_map.frame_weights()
        found = model.series(shown_of(plan, stimuli, index, model.fps))
        for layer in model.layers:
            values = torch.from_numpy((weights @ found[layer]).astype(np.float32))
            projection = make_projection(layer, values.shape[1], n_components, "cpu")
            values = values if projection is None else projection(values)
            sink.write(index, layer, 0, values.numpy().astype(np.float32))
        sink.finish(index, plan.time_map.n_valid)
        if progress is not None:
            progress(float(np.sum(stimuli.duration_ms[: index + 1])) / 1000, total_s, stimuli.ids[index])
        if stop is not None and stop():
            break


def shown_of(plan: Plan, stimuli: Stimuli, index: int, fps: float) -> Shown:
    """Return a stimulus as a whole from its plan of single frames."""
    start_ms = (stimuli.piece_ms(index) or (0.0,))[0]
    path, n_frames = Path(stimuli.paths[index]), len(plan.windows_ms)
    return Shown(stimuli.ids[index], path, plan.still, start_ms, fps, n_frames, lambda: _pictures(plan))


def _pictures(plan: Plan) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first frame, last frame, picture) of the frames that the bins need."""
    held: dict[int, np.ndarray] = {}
    count = 0
    for read in reads(plan):
        for picture in () if read.pictures is None else read.pictures:
            held[count] = picture
            count += 1
        for each in read.inputs:
            number = each.pictures[0]
            held = {k: picture for k, picture in held.items() if k >= number}
            yield each.first, each.last, held[number]
