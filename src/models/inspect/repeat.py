"""Check that a user's network gives the same values in every pass, before anything is extracted from it."""

from typing import Any

import torch
from torch import Tensor

from ...utils import BadInput
from ..errors import error_line
from ..spec import Model
from .outputs import first_tensor, run
from .probe import clips, frame_counts

TOLERANCE = 1e-3  # relative root mean square; rounding in single precision gives 1e-6


ONE_SAMPLE = "expected values that do not depend on the batch: use stored statistics"
STATE = "of one input differs after another input; the network keeps state between calls: reset it in forward"
RANDOM = (
    "differs between two equal passes; the network draws random numbers in eval mode, as F.dropout without "
    "training=self.training does: turn them off"
)
BATCH = (
    "depends on the other samples of a batch, as normalisation without running statistics does; its values would "
    "change with the batch size: use stored statistics"
)


def check_repeatable(model: Model, device: str) -> None:
    """Raise BadInput for a network whose layers depend on more than the sample itself.

    Refused are random numbers in eval mode, state that is kept from one pass to the next, and values that depend on the
    other samples of a batch: such activations change with the order of the stimuli and the size of a batch. Only the
    layers that are read count. A network that refuses the probe is not judged: the extraction runs it on the stimuli.
    """
    n_frames = frame_counts(model)[0]
    try:
        batch, other = (clips(model, 2, n_frames, device, seed) for seed in (0, 2))
        _values(model, batch)
    except Exception:  # a user's network may refuse random frames with any exception
        return
    first = _values(model, batch)
    _values(model, other)
    again = _values(model, batch)
    for fault, found in ((STATE, first), (RANDOM, _values(model, batch, seed=1)), (BATCH, _alone(model, batch))):
        for layer, value in again.items():
            if _differ(model, value, found.get(layer)):
                raise BadInput(f"{model.name}: layer {layer} {fault}")


def _values(model: Model, batch: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the last output of each layer, with the random generators seeded."""
    from ..loading import seeded

    process = model.process_output or (lambda _layer, output: output)

    def read(layer: str, output: Any) -> Tensor | None:
        return first_tensor(process(layer, output))

    with seeded(seed):
        outputs = run(model.module, list(model.layers), batch, read)
    return {layer: calls[-1] for layer, calls in outputs.items() if calls and calls[-1] is not None}


def _alone(model: Model, batch: Tensor) -> dict[str, Tensor]:
    """Return the outputs for each sample in a pass of its own, joined; BadInput where the network refuses that."""
    try:
        parts = [_values(model, batch[i : i + 1]) for i in range(len(batch))]
    except Exception as error:  # torch's normalisations over a batch refuse one sample with a ValueError
        reason = error_line(error, 120)
        raise BadInput(f"{model.name}: the network refuses a batch of one sample ({reason}); {ONE_SAMPLE}") from error
    return {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}


def _differ(model: Model, a: Tensor, b: Tensor | None) -> bool:
    """Return True if two outputs differ by more than rounding in the network's coarsest floating-point type."""
    if b is None or a.shape != b.shape:
        return True
    kinds = {a.dtype, *(weight.dtype for weight in model.module.parameters())}
    coarsest = max((torch.finfo(kind).eps for kind in kinds if kind.is_floating_point), default=0.0)
    x, y = (torch.nan_to_num(value.double()) for value in (a, b))
    return bool((x - y).norm() > max(TOLERANCE, 8 * coarsest) * x.norm().clamp_min(1e-12))
