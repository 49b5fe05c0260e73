"""Forward passes whose hooks bin and project the output of each layer at once, so that no full activation is kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..models.inspect import outputs
from ..models.spec import Model, StepTimes
from ..utils import BadInput
from .plans import Plan
from .projection import Projection, make_projection
from .windows import Mode

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

Row = tuple[Plan, int, int]  # one row of a batch: its plan and the windows first..last that it represents


@dataclass(frozen=True)
class Contribution:
    """Contribution of output rows to the time bins of one stimulus.

    bins (n_bins,); weights (n_bins,): fraction of each bin that is added; rows: slice of the output rows;
    mix (n_bins, n_rows): matrix from these rows to the bins, or None where each row is one bin.
    """

    plan: Plan
    bins: np.ndarray
    weights: np.ndarray
    rows: slice
    mix: np.ndarray | None = None


@dataclass(frozen=True)
class Binning:
    """Reduction of a batch's time steps to output rows.

    matrix: applied before the projection, or None where the steps are fewer than the bins, so that the steps are
    projected and the rows are mixed afterwards; contributions: of the rows to the bins, stimulus by stimulus.
    """

    matrix: torch.Tensor | None
    contributions: list[Contribution]


def hooked(model: Model, record: Callable[[str, torch.Tensor], None]) -> AbstractContextManager[None]:
    """Call `record(layer, output)` in every forward pass within the block, with the axes that the model declares.

    Raises BadInput, in the forward pass, for an output that has not these axes.
    """

    def check_and_record(layer: str, output: Any) -> None:
        output = model.process_output(layer, output) if model.process_output else output
        output = outputs.plain(output) if isinstance(output, torch.Tensor) else output
        expected = len(model.layers[layer]) + 1
        if not isinstance(output, torch.Tensor) or output.ndim != expected:
            got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise BadInput(
                f"model {model.name}, layer {layer}: output is {got}; expected a tensor of {expected} axes "
                f"(batch, {', '.join(model.layers[layer])}); correct the layer's axes"
            )
        record(layer, output)

    return outputs.hooked(model.module, list(model.layers), check_and_record)


class HookedModel:
    """A model on one device whose batches are binned and projected layer by layer.

    `sizes`, filled by the first pass: {layer: features per time step}.
    """

    def __init__(self, model: Model, mode: Mode, n_components: int | None, device, precision: str):
        if precision not in PRECISIONS:
            raise BadInput(f"precision '{precision}'; expected one of {', '.join(PRECISIONS)}")
        self.model, self.device, self.precision = model, torch.device(device), precision
        self.sizes: dict[str, int] = {}
        self._channels_last = True
        self._last_step_only = mode == "causal"
        self._n_components = n_components
        self._projections: dict[str, Projection | None] = {}
        self._results, self._binnings, self._rows = {}, {}, []
        self._state_of: dict[tuple[int, int], Any] = {}  # carried, of each stimulus and viewer

    @torch.inference_mode()
    def run(
        self, tensor: torch.Tensor, rows: list[Row], precision: str | None = None
    ) -> dict[str, tuple[torch.Tensor, list[Contribution]]]:
        """Run one forward pass of tensor (n_rows, ...); return per layer rows (n, n_outputs) and contributions.

        precision: that of the model by default. The rows are on the CPU. After a pass on a GPU the copies may be
        incomplete: synchronise before reading.
        """
        self._results, self._binnings, self._rows = {}, {}, rows
        with arithmetic(self.device, precision or self.precision), hooked(self.model, self._reduce):
            if rows[0][0].streamed:
                self._stream(tensor.to(self.device))
            else:
                self._forward(tensor.to(self.device))
        return self._results

    def _stream(self, tensor: torch.Tensor) -> None:
        """Run the network on the next frame of one stimulus, from the state that the frames before it have left."""
        ((plan, window, _),) = self._rows
        _, state = self.model.module.carried(tensor, self._state_of.pop(plan.id, None))
        if window < plan.needed[-1]:
            self._state_of[plan.id] = state

    def _forward(self, tensor: torch.Tensor) -> None:
        """Run the network with channels innermost, or with contiguous input once a `view` has failed on that layout."""
        if self._channels_last:
            try:
                self.model.module(channels_last(tensor))
                return
            except RuntimeError as error:
                if "view size is not compatible" not in str(error):
                    raise
                self._channels_last = False
        self.model.module(tensor.contiguous())

    def _reduce(self, layer: str, output: torch.Tensor) -> None:
        """Bin and project the output (n_rows, *axes) of a layer and start its copy to the CPU."""
        if len(output) != len(self._rows):
            raise BadInput(
                f"model {self.model.name}, layer {layer}: {len(output)} outputs for {len(self._rows)} inputs; "
                f"expected the batch as first axis; set process_output"
            )
        time = self.model.layers[layer].find("T") + 1
        if time and (self._last_step_only or output.shape[time] == 1):
            output, time = output.select(time, output.shape[time] - 1), 0
        steps = output.shape[time] if time else 1, self.model.step_times.get(layer)
        if steps not in self._binnings:
            self._binnings[steps] = make_binning(self._rows, *steps, self.device)
        binning = self._binnings[steps]
        if binning.matrix is not None and binning.matrix.numel() == 0:
            # last steps of causal windows that other layers need
            return
        with torch.autocast(self.device.type, enabled=False):
            values = on_cpu(self._project(layer, bin_steps(output.float(), time, binning.matrix)))
            if _same_memory(values, output):
                # a later in-place operation of the network would change them
                values = values.clone()
            self._results[layer] = (values, binning.contributions)

    def _project(self, layer: str, rows: torch.Tensor) -> torch.Tensor:
        """Project rows (n, n_features); raise BadInput if their size differs from that of earlier passes."""
        n_features = rows.shape[1]
        if self.sizes.setdefault(layer, n_features) != n_features:
            if layer in self._results:
                raise BadInput(
                    f"model {self.model.name}, layer {layer}: {self.sizes[layer]} features, then {n_features} in a "
                    f"later call of the same pass; expected the name of one call, as {layer}@1"
                )
            raise BadInput(
                f"model {self.model.name}, layer {layer}: {n_features} features, {self.sizes[layer]} before; expected "
                f"one size; resize all videos to one size in preprocess, and keep time out of a layer's tokens"
            )
        if layer not in self._projections:
            self._projections[layer] = make_projection(layer, n_features, self._n_components, self.device)
        projection = self._projections[layer]
        return rows if projection is None else projection(rows)


def on_cpu(values: torch.Tensor) -> torch.Tensor:
    """Return the values on the CPU; from a GPU they are copied, after the work queued there, while the CPU goes on.

    torch uses the pinned memory of earlier results again, once they are freed.
    """
    if values.device.type != "cuda":
        return values.to("cpu")
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values, non_blocking=True)


def _same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return True for two views of one memory."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def make_binning(rows: Sequence[Row], n_steps: int, times: StepTimes | None, device) -> Binning:
    """Return the binning of a batch whose layers have `n_steps` time steps in every row, at these times."""
    parts = [(plan, *plan.time_map.weights(first, last, n_steps, times)) for plan, first, last in rows]
    if n_steps == 1:
        return _across_rows(parts, device)
    n_bins = max(len(bins) for _, bins, _ in parts)
    if n_bins > n_steps:
        return Binning(None, [_mixed(part, i * n_steps, n_steps) for i, part in enumerate(parts)])
    matrix = np.zeros((len(parts), 1, n_bins, n_steps), dtype=np.float32)
    for i, (_, bins, weights) in enumerate(parts):
        matrix[i, 0, : len(bins)] = weights
    contributions = [
        Contribution(plan, bins, weights.sum(axis=1), slice(i * n_bins, i * n_bins + len(bins)))
        for i, (plan, bins, weights) in enumerate(parts)
    ]
    return Binning(_sent(matrix, device), contributions)


def _sent(matrix: np.ndarray, device) -> torch.Tensor:
    """Return the matrix on the device; a copy to a GPU does not wait for the work that is queued there."""
    return torch.from_numpy(matrix).to(device, non_blocking=True)


def _across_rows(parts, device) -> Binning:
    """Return a binning of one step per row that averages the rows of a stimulus in one bin before the projection."""
    columns_of: dict[tuple[int, int], list[int]] = {}
    for column, (plan, _, _) in enumerate(parts):
        columns_of.setdefault(plan.id, []).append(column)
    blocks, contributions, top = [], [], 0
    for columns in columns_of.values():
        plan = parts[columns[0]][0]
        bins = np.unique(np.concatenate([parts[c][1] for c in columns]))
        block = np.zeros((len(bins), len(parts)), dtype=np.float32)
        exact = np.zeros(len(bins))
        for c in columns:
            places = np.searchsorted(bins, parts[c][1])
            block[places, c] = parts[c][2][:, 0]
            exact[places] += parts[c][2][:, 0]
        blocks.append(block)
        contributions.append(Contribution(plan, bins, exact, slice(top, top + len(bins))))
        top += len(bins)
    if top > len(parts):
        return Binning(None, [_mixed(part, i, 1) for i, part in enumerate(parts)])
    return Binning(_sent(np.concatenate(blocks), device), contributions)


def _mixed(part, first_row: int, n_steps: int) -> Contribution:
    """Return the contribution of one batch row whose steps are projected before they are mixed into bins."""
    plan, bins, weights = part
    rows = slice(first_row, first_row + n_steps)
    return Contribution(plan, bins, weights.sum(axis=1), rows, weights.astype(np.float32))


def bin_steps(output: torch.Tensor, time: int, matrix: torch.Tensor | None) -> torch.Tensor:
    """Average the steps of output (n_rows, *axes), whose axis `time` is time (0: none), by the matrix of a Binning.

    Returns (n, features), the other axes flattened in their order. The large tensor is read in its memory order
    (channels may be innermost); only the small result is permuted to the order of the axes.
    """
    axes = sorted(range(1, output.ndim), key=lambda axis: -output.stride(axis))
    by_stride, others = output.permute(0, *axes), [axis for axis in axes if axis != time]
    if time:
        before = int(np.prod([output.shape[axis] for axis in axes[: axes.index(time)]]))
        by_stride = by_stride.reshape(len(by_stride), before, output.shape[time], -1)
        by_stride = (by_stride if matrix is None else matrix @ by_stride).movedim(2, 1)
    elif matrix is not None:
        by_stride = torch.tensordot(matrix, by_stride, 1)
    by_stride = by_stride.reshape(-1, *(output.shape[axis] for axis in others))
    back = [others.index(axis) + 1 for axis in sorted(others)]
    return by_stride.permute(0, *back).reshape(len(by_stride), -1)


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Return images or clips with their channels innermost in memory.

    The values are the same. 2-D convolutions are 1.1 to 1.3 times faster on a CPU, and nothing is slower elsewhere
    (benchmarks/RESULTS.md).
    """
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.contiguous(memory_format=formats.get(tensor.ndim, torch.contiguous_format))


@contextmanager
def arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """Set the floating-point arithmetic in the block; restore torch's settings afterwards.

    "fp32" is IEEE single precision: cuDNN's default, which rounds to 10-bit mantissas in convolutions, is "tf32".
    """
    dtype = PRECISIONS[precision]
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
