"""Copies of workers' arrays to the device of a model, which overlap with its other work on a GPU."""

import contextlib
from collections import deque

import numpy as np
import torch

from .workers import Item


class Transfer:
    """Copies to one device. `memory`: shared memory of the arrays, registered so that a GPU reads it by itself.

    On a GPU a copy runs in a stream of its own. The work that is queued afterwards waits for it on the GPU; its array
    is released when the copy has ended.
    """

    def __init__(self, device: torch.device, memory: np.ndarray | None):
        self._device, self._memory = device, memory
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._running: deque = deque()
        self._registered = self._stream is not None and memory is not None and _register(memory)

    def __call__(self, item: Item) -> torch.Tensor:
        """Return a copy of the item's array on the device; the item will be released.

        A tensor was decoded on the device in another stream, and is returned as it is.
        """
        if isinstance(item.array, torch.Tensor):
            if self._stream is not None:
                item.array.record_stream(torch.cuda.current_stream(self._device))
            item.release()
            return item.array
        source = torch.from_numpy(item.array)
        if self._stream is None:
            copy = source.to(self._device, copy=self._memory is not None)
            item.release()
            return copy
        with torch.cuda.stream(self._stream):
            copy = source.to(self._device, non_blocking=True)
            copied = self._stream.record_event()
        current = torch.cuda.current_stream(self._device)
        current.wait_event(copied)
        copy.record_stream(current)
        self._running.append((copied, item, source))
        self.release_copied()
        return copy

    def release_copied(self) -> None:
        """Release the arrays that have been copied."""
        while self._running and self._running[0][0].query():
            self._running.popleft()[1].release()

    def finish(self) -> None:
        """Wait for all copies and release their arrays."""
        while self._running:
            copied, item, _ = self._running.popleft()
            copied.synchronize()
            item.release()

    def close(self) -> None:
        """Wait for all copies, and let go of the shared memory."""
        self.finish()
        if self._registered:
            torch.cuda.cudart().cudaHostUnregister(self._memory.ctypes.data)


def _register(memory: np.ndarray) -> bool:
    """Register memory with CUDA, for all devices; return False if it refuses, as copies are then correct and slower."""
    portable = 1
    registered = int(torch.cuda.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, portable)) == 0
    if not registered:
        # the next kernel would raise the error that CUDA keeps
        with contextlib.suppress(RuntimeError):
            torch.zeros(1, device="cuda")
    return registered
