"""Model input put together from the pictures of a stimulus."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..models.preprocessing import FramePreprocessing
from ..models.spec import Model
from ..utils import BadInput, seed_from
from .planes import rgb_of_planes
from .plans import Plan
from .reads import DistinctInput

PACK_BYTES = 16 << 20  # input that is put together at once, if more than one row


@dataclass(frozen=True)
class Pack:
    """Preprocessed input; row i of the tensor represents the windows spans[i] = (first, last) of the plan."""

    plan: Plan
    spans: list[tuple[int, int]]
    tensor: torch.Tensor


def by_frame(model: Model) -> bool:
    """Return True if the preprocessing is one of single frames, by tensor operations on any device."""
    return isinstance(model.preprocess, FramePreprocessing)


class Assembler:
    """Inputs of one model put together from the pictures of one stimulus, for one plan or several.

    Preprocessing of single frames treats each picture once, on the device where the pictures are, however many windows
    show it. Any other preprocessing treats the frames of each input.
    """

    def __init__(self, model: Model, plans: Sequence[Plan]):
        self._model, self._plans = model, plans
        # pictures, or their images, from number `_first` on, in parts until an input is complete
        self._parts: list[torch.Tensor] = []
        self._held, self._first = None, 0

    def add(self, pictures: torch.Tensor | None, inputs: list[DistinctInput], space: int = 0) -> Iterator[Pack]:
        """Add pictures that the model sees; yield the inputs that they complete."""
        if pictures is not None:
            pictures = rgb_of_planes(pictures, space) if pictures.ndim == 3 else pictures
            self._parts.append(self._model.preprocess.images_of(pictures) if by_frame(self._model) else pictures)
        if not inputs:
            return
        self._held = torch.cat(self._parts) if len(self._parts) > 1 else self._parts[0]
        for group in self._groups(sorted(inputs, key=lambda each: each.plan)):
            yield self._images(group) if by_frame(self._model) else self._preprocessed(group)
        # a copy, so that the memory of pictures that are not needed any more is free
        self._parts = [self._held[inputs[-1].oldest - self._first :].clone()]
        self._held, self._first = None, inputs[-1].oldest

    def _groups(self, inputs: list[DistinctInput]) -> Iterator[list[DistinctInput]]:
        """Yield inputs that are put together at once: of one plan, of equal length, and few if they are large."""
        group = []
        for each in inputs:
            if group and not self._joins(group, each):
                yield group
                group = []
            group.append(each)
        if group:
            yield group

    def _joins(self, group: list[DistinctInput], other: DistinctInput) -> bool:
        if self._model.kind == "image":
            return True
        if not by_frame(self._model) or len(other.pictures) != len(group[0].pictures) or other.plan != group[0].plan:
            return False
        return self._held[0].nbytes * len(other.pictures) * (len(group) + 1) <= PACK_BYTES

    def _images(self, group: list[DistinctInput]) -> Pack:
        """Return inputs whose images are chosen from those held."""
        numbers = torch.tensor([ordered(each, self._model.order) for each in group]) - self._first
        if self._model.kind == "image":
            numbers = numbers[:, 0]
        chosen = self._held[numbers.to(self._held.device, non_blocking=True)]
        return Pack(self._plans[group[0].plan], _spans(group), self._model.preprocess.arranged(chosen))

    def _preprocessed(self, group: list[DistinctInput]) -> Pack:
        """Return inputs preprocessed from their frames; raise BadInput if there is not one row per input."""
        frames = self._held[[number - self._first for each in group for number in ordered(each, self._model.order)]]
        tensor = self._model.preprocess(frames.numpy())
        tensor = tensor[None] if self._model.kind == "video" else tensor
        if len(tensor) != len(group):
            name, made, given = self._model.name, len(tensor), len(group)
            raise BadInput(f"model {name}: preprocess made {made} rows of {given} frames; expected one each")
        return Pack(self._plans[group[0].plan], _spans(group), tensor)


def ordered(each: DistinctInput, order: str) -> tuple[int, ...]:
    """Return the pictures of an input in the order in which a model sees them, see `Model`.

    The random order has a seed of its own for each window and number of frames, the same in every stimulus.
    """
    shown = each.pictures
    if order == "frozen":
        return (shown[len(shown) // 2],) * len(shown)
    if order == "shuffled":
        rng = np.random.default_rng(seed_from("shuffled", each.first, len(shown)))
        return tuple(shown[i] for i in rng.permutation(len(shown)))
    return shown


def _spans(group: list[DistinctInput]) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in group]
