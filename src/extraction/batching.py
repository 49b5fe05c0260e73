"""Packs -> batches of one shape, as large as memory allows."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..utils import BadInput
from .loader import Pack, Plan

PENDING_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}  # input that waits for others of its shape
CPU_BATCH_BYTES = 16 << 20  # larger batches ran no faster on a CPU, but took more memory
ACTIVATIONS_PER_INPUT = 64  # bytes at the peak of a pass per byte of input: generous for r3d_18, resnet18 and alexnet
MOST_ROWS = 256


@dataclass(frozen=True)
class Batch:
    """Input (n_rows, ...) and for each row its plan and the windows first..last that it answers for."""

    tensor: torch.Tensor
    rows: list[tuple[Plan, int, int]]

    def __getitem__(self, part: slice) -> "Batch":
        return Batch(self.tensor[part], self.rows[part])


class Batcher:
    """Gathers rows of equal shape, of several stimuli, until a batch is full; order in, order out, no clock."""

    def __init__(self, batch_size: int | None, device: torch.device):
        if batch_size is not None and batch_size < 1:
            raise BadInput(f"batch size {batch_size}; expected at least 1, or none to choose it by memory")
        self.size = batch_size
        self._device = device
        self._waiting: dict[tuple[int, ...], list[Batch]] = {}

    def add(self, pack: Pack) -> Iterator[Batch]:
        """Take a pack; yields the batches that it fills, and such as have waited too long or take too much memory."""
        row_bytes = pack.tensor[:1].nbytes
        self.size = self.size or guess_batch_size(row_bytes, self._device)
        shape = tuple(pack.tensor.shape[1:])
        self._waiting.setdefault(shape, []).append(Batch(pack.tensor, [(pack.plan, *span) for span in pack.spans]))
        while self._count(shape) >= self.size:
            yield self._take(shape)
        for other in [s for s, parts in self._waiting.items() if self._is_stale(parts, pack.plan.stimulus)]:
            yield self._take(other)
        while self._bytes() > max(PENDING_BYTES.get(self._device.type, 0), row_bytes * self.size):
            yield self._take(max(self._waiting, key=self._count))

    def drain(self) -> Iterator[Batch]:
        """All that is left."""
        while self._waiting:
            yield self._take(next(iter(self._waiting)))

    def shrink(self, batch: Batch) -> None:
        """Make batches half as large as this one, which was too large."""
        if len(batch.rows) == 1:
            raise BadInput(
                f"{batch.rows[0][0].label}: one window, input {tuple(batch.tensor.shape[1:])}, does not fit into the "
                f"memory of {self._device}; use a shorter context, a lower precision or a larger device"
            )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self.size = (len(batch.rows) + 1) // 2

    def _is_stale(self, parts: list[Batch], stimulus: int) -> bool:
        """One row per stimulus would have filled the batch by this time: nothing like it is to be expected."""
        return stimulus - parts[0].rows[0][0].stimulus > self.size

    def _count(self, shape) -> int:
        return sum(len(part.rows) for part in self._waiting.get(shape, []))

    def _bytes(self) -> int:
        return sum(part.tensor.nbytes for parts in self._waiting.values() for part in parts)

    def _take(self, shape) -> Batch:
        parts, n_rows = self._waiting.pop(shape), 0
        taken = []
        while parts and n_rows < self.size:
            part = parts.pop(0)
            room = self.size - n_rows
            if len(part.rows) > room:
                parts.insert(0, part[room:])
                part = part[:room]
            taken.append(part)
            n_rows += len(part.rows)
        if parts:
            self._waiting[shape] = parts
        return Batch(torch.cat([part.tensor for part in taken]), [row for part in taken for row in part.rows])


def guess_batch_size(row_bytes: int, device: torch.device) -> int:
    """Rows per batch that should fit; a guess too high is halved when memory runs out."""
    if device.type == "cuda":
        room = torch.cuda.mem_get_info(device)[0] // ACTIVATIONS_PER_INPUT
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        room = min(CPU_BATCH_BYTES, free // ACTIVATIONS_PER_INPUT)
    return int(max(1, min(MOST_ROWS, room // row_bytes)))


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device's or the machine's memory is used up."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    )
