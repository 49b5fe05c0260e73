"""Forward passes with hooks that bin and project each layer's output at once: full activations never pile up."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..models.spec import Model
from ..utils import BadInput
from .loader import Plan
from .projection import make_projection
from .windows import Mode

PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

Row = tuple[Plan, int, int]  # one row of a batch: its plan and the windows first..last that it answers for


@dataclass(frozen=True)
class Share:
    """What some rows of a layer's result add to one stimulus.

    bins (n_bins,); weights (n_bins,): the part of each bin that is added; rows: where it lies in the result;
    mix (n_bins, n_rows): how these rows make the bins, or None where each row is one bin.
    """

    plan: Plan
    bins: np.ndarray
    weights: np.ndarray
    rows: slice
    mix: np.ndarray | None = None


@dataclass(frozen=True)
class Binning:
    """How a batch's time steps become rows: a matrix to apply before the projection, or None where the steps are
    fewer than the bins and are therefore projected themselves and mixed afterwards."""

    matrix: torch.Tensor | None
    shares: list[Share]


@contextmanager
def listening(model: Model, heard: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """While open, `heard(layer, output)` is called for every layer, with the axes that the model declares."""

    def hook_for(layer: str):
        def hook(_module, _inputs, output):
            output = model.process_output(layer, output) if model.process_output else output
            expected = len(model.layers[layer]) + 1
            if not isinstance(output, torch.Tensor) or output.ndim != expected:
                got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                raise BadInput(
                    f"model {model.name}, layer {layer}: output is {got}; expected a tensor of {expected} axes "
                    f"(batch, {', '.join(model.layers[layer])}); correct the layer's axes"
                )
            heard(layer, output)

        return hook

    with ExitStack() as stack:
        for layer in model.layers:
            stack.enter_context(_removing(model.submodule(layer).register_forward_hook(hook_for(layer))))
        yield


@contextmanager
def _removing(handle):
    try:
        yield
    finally:
        handle.remove()


class Taps:
    """Runs batches of one model on one device; `sizes` fills with the features per step of each layer."""

    def __init__(self, model: Model, mode: Mode, n_components: int | None, device, precision: str):
        if precision not in PRECISIONS:
            raise BadInput(f"precision '{precision}'; expected one of {', '.join(PRECISIONS)}")
        self.model, self.device, self.precision = model, torch.device(device), precision
        self.sizes: dict[str, int] = {}
        self._channels_last = True
        self._last_step_only = mode == "causal"
        self._n_components = n_components
        self._projections = {}
        self._results, self._binnings, self._rows = {}, {}, []

    @torch.inference_mode()
    def run(self, tensor: torch.Tensor, rows: list[Row]) -> dict[str, tuple[torch.Tensor, list[Share]]]:
        """One forward pass of tensor (n_rows, ...): per layer, rows (n, n_outputs) on the CPU and what they add.

        On a GPU the copies may still be under way: synchronise before reading.
        """
        self._results, self._binnings, self._rows = {}, {}, rows
        with arithmetic(self.device, self.precision), listening(self.model, self._reduce):
            self._forward(_moved(tensor, self.device))
        return self._results

    def _forward(self, tensor: torch.Tensor) -> None:
        """With the channels innermost, unless the network has proved to take its tensors apart with `view`."""
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
        """Bin and project one layer's output (n_rows, *axes) and start its copy to the CPU."""
        if len(output) != len(self._rows):
            raise BadInput(
                f"model {self.model.name}, layer {layer}: {len(output)} outputs for {len(self._rows)} inputs; "
                f"expected the batch as first axis; set process_output"
            )
        time = self.model.layers[layer].find("T") + 1
        if time and (self._last_step_only or output.shape[time] == 1):
            output, time = output.select(time, output.shape[time] - 1), 0
        n_steps = output.shape[time] if time else 1
        if n_steps not in self._binnings:
            self._binnings[n_steps] = make_binning(self._rows, n_steps, self.device)
        binning = self._binnings[n_steps]
        with torch.autocast(self.device.type, enabled=False):
            values = self._project(layer, bin_steps(output.float(), time, binning.matrix))
            self._results[layer] = (values.to("cpu", non_blocking=True), binning.shares)

    def _project(self, layer: str, rows: torch.Tensor) -> torch.Tensor:
        n_features = rows.shape[1]
        if self.sizes.setdefault(layer, n_features) != n_features:
            raise BadInput(
                f"model {self.model.name}, layer {layer}: {n_features} features, {self.sizes[layer]} before; expected "
                f"one size; the model must bring all films to one size, and a layer's tokens must not hold time"
            )
        if layer not in self._projections:
            self._projections[layer] = make_projection(layer, n_features, self._n_components, self.device)
        projection = self._projections[layer]
        return rows if projection is None else projection(rows)


def make_binning(rows: Sequence[Row], n_steps: int, device) -> Binning:
    """The binning of a batch whose layers give `n_steps` time steps for every row."""
    parts = [(plan, *plan.time_map.weights(first, last, n_steps)) for plan, first, last in rows]
    if n_steps == 1:
        return _across_rows(parts, device)
    most = max(len(bins) for _, bins, _ in parts)
    if most > n_steps:
        return Binning(None, [_mixed(part, i * n_steps, n_steps) for i, part in enumerate(parts)])
    matrix = np.zeros((len(parts), 1, most, n_steps), dtype=np.float32)
    for i, (_, bins, weights) in enumerate(parts):
        matrix[i, 0, : len(bins)] = weights
    shares = [
        Share(plan, bins, weights.sum(axis=1), slice(i * most, i * most + len(bins)))
        for i, (plan, bins, weights) in enumerate(parts)
    ]
    return Binning(torch.from_numpy(matrix).to(device), shares)


def _across_rows(parts, device) -> Binning:
    """One step per row: rows of one stimulus that fall into the same bin are averaged before they are projected."""
    columns_of: dict[int, list[int]] = {}
    for column, (plan, _, _) in enumerate(parts):
        columns_of.setdefault(plan.stimulus, []).append(column)
    blocks, shares, top = [], [], 0
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
        shares.append(Share(plan, bins, exact, slice(top, top + len(bins))))
        top += len(bins)
    if top > len(parts):
        return Binning(None, [_mixed(part, i, 1) for i, part in enumerate(parts)])
    return Binning(torch.from_numpy(np.concatenate(blocks)).to(device), shares)


def _mixed(part, first_row: int, n_steps: int) -> Share:
    plan, bins, weights = part
    return Share(plan, bins, weights.sum(axis=1), slice(first_row, first_row + n_steps), weights.astype(np.float32))


def bin_steps(output: torch.Tensor, time: int, matrix: torch.Tensor | None) -> torch.Tensor:
    """Average the steps of output (n_rows, *axes), whose axis `time` is time (0: none), by the matrix of a Binning.

    Returns (n, features), the other axes flattened in their order. The large tensor is read in the order in which it
    lies in memory (channels may be innermost); only the small result is brought into the order of the axes.
    """
    axes = sorted(range(1, output.ndim), key=lambda axis: -output.stride(axis))
    laid, others = output.permute(0, *axes), [axis for axis in axes if axis != time]
    if time:
        before = int(np.prod([output.shape[axis] for axis in axes[: axes.index(time)]]))
        laid = laid.reshape(len(laid), before, output.shape[time], -1)
        laid = (laid if matrix is None else matrix @ laid).movedim(2, 1)
    elif matrix is not None:
        laid = torch.tensordot(matrix, laid, 1)
    laid = laid.reshape(-1, *(output.shape[axis] for axis in others))
    back = [others.index(axis) + 1 for axis in sorted(others)]
    return laid.permute(0, *back).reshape(len(laid), -1)


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Frames and clips with their channels innermost: the same numbers, faster through 2-D convolutions.

    1.1 to 1.3 times on a CPU, and nothing lost elsewhere (benchmarks/RESULTS.md).
    """
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.contiguous(memory_format=layouts.get(tensor.ndim, torch.contiguous_format))


@contextmanager
def arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """fp32 is honest: cuDNN's default, 10-bit mantissas in convolutions, is called tf32 here."""
    dtype = PRECISIONS[precision]
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
