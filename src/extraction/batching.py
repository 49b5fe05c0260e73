"""Batches of model inputs of one shape, large enough for the device to be busy, and as memory allows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..utils import BadInput
from .assembly import Pack
from .plans import Plan

PENDING_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}  # inputs held until a batch of their shape is full
# on a CPU the least within 3 % of the best rate (benchmarks/batches.py); on a GPU larger ones only delay results
BATCH_BYTES = {"cpu": 5 << 20, "cuda": 128 << 20}
ACTIVATIONS_PER_INPUT = 64  # peak bytes of a pass per byte of input: an upper bound for r3d_18, resnet18 and alexnet
MAX_ROWS = 256
# in messages of torch, cuBLAS and cuDNN
EXHAUSTED = ("allocate memory", "out of memory", "alloc_failed", "unable to find an engine")


@dataclass(frozen=True)
class Batch:
    """Model input (n_rows, ...), and for each row its plan and the windows first..last that it represents."""

    tensor: torch.Tensor
    rows: list[tuple[Plan, int, int]]

    def __getitem__(self, part: slice) -> "Batch":
        return Batch(self.tensor[part], self.rows[part])


class Batcher:
    """Buffer of rows of equal shape, from several stimuli, until a batch is full; deterministic in the input order."""

    def __init__(self, batch_size: int | None, device: torch.device):
        if batch_size is not None and batch_size < 1:
            raise BadInput(f"batch size {batch_size}; expected at least 1, or none for a size chosen by memory")
        self._given, self._device = batch_size, device
        self._sizes: dict[tuple[int, ...], int] = {}  # rows of a batch, by the shape of a row
        self._buffer: dict[tuple[int, ...], list[Batch]] = {}
        self._place_of: dict[int, int] = {}  # of each stimulus in the order of their first packs

    def size(self, rows: torch.Tensor) -> int:
        """Return the number of rows of a batch of rows like these."""
        shape = tuple(rows.shape[1:])
        if shape not in self._sizes:
            self._sizes[shape] = self._given or guess_batch_size(rows[:1].nbytes, self._device)
        return self._sizes[shape]

    def add(self, pack: Pack) -> Iterator[Batch]:
        """Add a pack; yield the batches that it completes, and those that are stale or exceed the memory limit."""
        if pack.plan.streamed:
            # each frame needs the state after the one before it
            rows = [(pack.plan, *span) for span in pack.spans]
            yield from (Batch(pack.tensor[i : i + 1], [row]) for i, row in enumerate(rows))
            return
        self._place_of.setdefault(pack.plan.stimulus, len(self._place_of))
        size, shape = self.size(pack.tensor), tuple(pack.tensor.shape[1:])
        self._buffer.setdefault(shape, []).append(Batch(pack.tensor, [(pack.plan, *span) for span in pack.spans]))
        while self._count(shape) >= size:
            yield self._take(shape)
        for other in [s for s, parts in self._buffer.items() if self._is_stale(parts)]:
            yield self._take(other)
        while self._bytes() > max(PENDING_BYTES.get(self._device.type, 0), pack.tensor[:1].nbytes * size):
            yield self._take(max(self._buffer, key=self._count))

    def drain(self) -> Iterator[Batch]:
        """Yield the remaining rows as batches."""
        while self._buffer:
            yield self._take(next(iter(self._buffer)))

    def shrink(self, batch: Batch) -> None:
        """Halve the batches of this shape after `batch` has exhausted the memory; raise BadInput if it has one row."""
        if len(batch.rows) == 1:
            raise BadInput(
                f"{batch.rows[0][0].label}: one window, input {tuple(batch.tensor.shape[1:])}, does not fit into the "
                f"memory of {self._device}; use a shorter context, a lower precision or a larger device"
            )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._sizes[tuple(batch.tensor.shape[1:])] = (len(batch.rows) + 1) // 2

    def _is_stale(self, parts: list[Batch]) -> bool:
        """Return True if one row per stimulus since the first part would have filled the batch."""
        first = parts[0].rows[0][0].stimulus
        return len(self._place_of) - 1 - self._place_of[first] > self.size(parts[0].tensor)

    def _count(self, shape) -> int:
        return sum(len(part.rows) for part in self._buffer.get(shape, []))

    def _bytes(self) -> int:
        return sum(part.tensor.nbytes for parts in self._buffer.values() for part in parts)

    def _take(self, shape) -> Batch:
        parts, n_rows = self._buffer.pop(shape), 0
        size, selected = self.size(parts[0].tensor), []
        while parts and n_rows < size:
            part = parts.pop(0)
            capacity = size - n_rows
            if len(part.rows) > capacity:
                parts.insert(0, part[capacity:])
                part = part[:capacity]
            selected.append(part)
            n_rows += len(part.rows)
        if parts:
            self._buffer[shape] = parts
        return Batch(torch.cat([part.tensor for part in selected]), [row for part in selected for row in part.rows])


def guess_batch_size(row_bytes: int, device: torch.device) -> int:
    """Return an estimate of the rows per batch that fit; `Batcher.shrink` corrects one that is too high."""
    free = free_memory(device)
    capacity = min(BATCH_BYTES.get(device.type, free), free // ACTIVATIONS_PER_INPUT)
    return int(max(1, min(MAX_ROWS, capacity // row_bytes)))


def free_memory(device: torch.device | str) -> int:
    """Return the free memory of a GPU, or of the machine for any other device, in bytes."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def out_of_memory(error: BaseException) -> bool:
    """Return True if the exception reports that the memory of the device or of the machine is exhausted."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in text for part in EXHAUSTED)
    )
