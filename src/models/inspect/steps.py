"""Time inside an axis of tokens: found by changes of single frames, or declared by a user, and unfolded.

A token model joins time and space in one axis, of which the size alone does not tell the steps. Each of several frames
is replaced by strong noise, once at a time. A token belongs to the step whose frames change it most, relative to its
change by the other frames. A division of the axis into steps is accepted if it predicts this for nearly all tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ALL_FRAMES = 8  # clips up to this length are changed frame by frame, longer ones at three pairs of frames
MOST_SKIPPED = 8  # class and register tokens before the grid
FOUND, EXPECTED = 0.9, 0.6  # share of tokens that a division must predict: an unknown one, one that is expected
FEW, CLEAR = 4, 2.0  # so few tokens may fit by chance: least contrast for them
CELL = 8  # px of the noise
STRENGTH = 3.0  # standard deviation of the noise, in units of the normalised input
DECLARED = re.compile(r"[TCHWK]|\((?:\d+\+)?(?:T\d+K|KT\d+|T\d+)\)")


@dataclass(frozen=True)
class Split:
    """Time steps in one axis of an output.

    axis: position among the axes of one sample; skip: entries before the grid (class tokens), which are left out;
    rest: entries per step; letters: "TK" (time varies slowest), "KT" (fastest), or "T" (one entry per step).
    """

    axis: int
    skip: int
    rest: int
    letters: str

    def unfolded(self, output: Tensor) -> Tensor:
        """Return an output, batch first, with its steps in an axis of their own."""
        axis = self.axis + 1
        output = output.narrow(axis, self.skip, output.shape[axis] - self.skip)
        if self.letters == "T":
            return output
        return output.unflatten(axis, (-1, self.rest) if self.letters == "TK" else (self.rest, -1))

    def steps(self, size: int) -> Tensor:
        """Return the step of each entry of an axis of that size, -1 for those before the grid."""
        steps = torch.arange((size - self.skip) // self.rest)
        grid = steps.repeat_interleave(self.rest) if self.letters != "KT" else steps.repeat(self.rest)
        return torch.cat([torch.full((self.skip,), -1), grid])


def candidates(axis: int, size: int, n_frames: int, hints: Sequence[Split] = ()) -> list[Split]:
    """Return the divisions of an axis into 2 or more steps of equal numbers of frames, those of `hints` first."""
    counts = {n_frames // k for k in range(1, n_frames)} | {-(-n_frames // k) for k in range(1, n_frames)}
    found = [hint for hint in hints if hint.axis == axis and (size - hint.skip) % hint.rest == 0 and size > hint.skip]
    for skip in range(min(MOST_SKIPPED, size // 4) + 1):
        for count in sorted((n for n in counts if n > 1 and size > skip and (size - skip) % n == 0), reverse=True):
            rest = (size - skip) // count
            found += [Split(axis, skip, rest, letters) for letters in (("TK", "KT") if rest > 1 else ("T",))]
    return found


def probed_frames(n_frames: int) -> list[int]:
    """Return the frames that are changed: all of a short clip, else pairs at its start, its middle and its end.

    The two frames of a pair belong to one step unless every frame has its own, which tells steps from halves of them.
    """
    if n_frames <= ALL_FRAMES:
        return list(range(n_frames))
    middle = n_frames // 4 * 2
    return sorted({0, 1, middle, middle + 1, n_frames - 2, n_frames - 1})


def changed(batch: Tensor, axis: int, start: int, width: int, seed: int) -> Tensor:
    """Return the batch with a slice of one axis replaced by coarse, strong noise, another one for each sample."""
    shape = list(batch.narrow(axis, start, width).shape)
    coarse = [-(-side // CELL) if i and side > CELL else side for i, side in enumerate(shape)]
    noise = torch.randn(coarse, generator=torch.Generator().manual_seed(seed))
    for i, side in enumerate(shape):
        if side != coarse[i]:
            noise = noise.repeat_interleave(CELL, dim=i).narrow(i, 0, side)
    other = batch.clone()
    other.narrow(axis, start, width).copy_(STRENGTH * noise)
    return other


def predicted(split: Split, changes: Tensor, frames: Sequence[int], n_frames: int, contrast: float = 1.0) -> float:
    """Return the share of the tokens of the probed steps that the frames of their own step change most.

    changes: size of the change by each of `frames`, (n_frames, n_samples, size); every sample must agree; contrast:
    least ratio of the change by the own step to that by any other.
    """
    steps = split.steps(changes.shape[2])
    count = int(steps.max()) + 1
    of_frame = torch.tensor([int((frame + 0.5) * count / n_frames) for frame in frames])
    tested = of_frame.unique()
    probed = torch.isin(steps, tested)
    if len(tested) < 2 or not probed.any():
        return 0.0
    by_step = torch.stack([changes[of_frame == step].mean(dim=0) for step in tested])
    (largest, second), index = by_step.topk(2, dim=0)
    if int(probed.sum()) < FEW:
        contrast = max(contrast, CLEAR)
    clear = (largest > 1e-6 * changes.max()) & (largest >= contrast * second)
    right = (tested[index[0]] == steps) & clear
    return float(right.all(dim=0)[probed].double().mean())


def best_split(
    profiles: Sequence[Tensor],
    axis: int,
    frames: Sequence[int],
    n_frames: int,
    hints: Sequence[Split] = (),
    contrast: float = 1.0,
) -> Split | None:
    """Return the finest division of an axis that predicts the changed tokens, None if there is none.

    profiles: for each of `frames` the size of the change along the axis, (n_samples, size); hints: expected divisions,
    of which one is accepted at a lower share, as deep layers mix the steps; contrast: as in `predicted`.
    """
    changes = torch.stack(list(profiles))
    size = changes.shape[2]
    scores = {
        split: predicted(split, changes, frames, n_frames, contrast)
        for split in candidates(axis, size, n_frames, hints)
    }
    hinted = [split for split in hints if scores.get(split, 0) >= EXPECTED]
    if hinted:
        return max(hinted, key=scores.__getitem__)
    good = [split for split, score in scores.items() if score >= FOUND]
    return max(good, key=lambda split: ((size - split.skip) // split.rest, scores[split])) if good else None


def parsed(text: str) -> tuple[str, Split | None]:
    """Return the axes that a user has declared, as letters, and the axis with steps; its `rest` is their number.

    text: one item per axis behind the batch; a letter of TCHWK, or for an axis that contains time "(T8K)" (8 steps,
    time slowest), "(KT8)" (time fastest), "(1+T8K)" (behind a class token) or "(1+T8)". Raises ValueError for other
    text.
    """
    items = DECLARED.findall(text)
    letters, split = "", None
    if "".join(items) != text or not items:
        raise ValueError(text)
    for axis, item in enumerate(items):
        skip, _, order = item.strip("()").rpartition("+")
        shown = re.sub(r"\d", "", order)
        letters += shown
        if item[0] == "(":
            split = Split(axis, int(skip or 0), int(re.sub(r"\D", "", order)), shown)
    if letters.count("T") > 1:
        raise ValueError(text)
    return letters, split


def declared(shape: tuple[int, ...], text: str) -> tuple[str, Split | None]:
    """Return letters and division of an output of that shape, without the batch; ValueError where they do not fit."""
    letters, split = parsed(text)
    if split is None:
        if len(letters) != len(shape):
            raise ValueError(text)
        return letters, None
    if len(shape) != len(letters) + 1 - len(split.letters) or split.rest < 1:
        raise ValueError(text)
    rest, over = divmod(shape[split.axis] - split.skip, split.rest)
    if over or rest < 1 or (split.letters == "T") != (rest == 1):
        raise ValueError(text)
    return letters, Split(split.axis, split.skip, rest, split.letters)
