"""Plans of stimuli: the windows in which a model sees each of them, and the time bins that these fill."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ..models.spec import Model
from ..records import Stimuli
from ..utils import BadInput
from ..video import VideoInfo, piece, probe, single_frames, window_frames
from .windows import Mode, TimeMap, framewise, make_windows, streams


@dataclass(frozen=True)
class Settings:
    """Settings of an extraction, common to all stimuli: bins_ms (n_bins, 2) and the windows (see `extract`).

    carried: whether the state of a recurrent network may be carried from window to window.
    """

    bins_ms: np.ndarray
    mode: Mode
    context_ms: float
    partial: bool
    carried: bool = True


@dataclass(frozen=True)
class Viewer:
    """A model that sees the stimuli in the windows of some settings."""

    model: Model
    settings: Settings


@dataclass(frozen=True)
class Plan:
    """Windows of one stimulus, (n_windows, 2) in ms, the indices of those needed, and their map to time bins.

    viewer: number of the viewer; network: number of its model among those of all viewers; fps: frames per second of
    the model.
    """

    stimulus: int
    viewer: int
    network: int
    fps: float
    label: str
    path: str
    still: bool
    info: VideoInfo
    windows_ms: np.ndarray
    needed: np.ndarray
    time_map: TimeMap
    single_frames: bool  # True if every window is one frame
    streamed: bool = False  # True if a window adds its last frame to the state that the network carries

    @property
    def id(self) -> tuple[int, int]:
        """Stimulus and viewer."""
        return self.stimulus, self.viewer

    def within(self, start_ms: float, end_ms: float) -> "Plan":
        """Return the plan of its windows that end behind `start_ms`, and not behind `end_ms`."""
        ends_ms = self.windows_ms[self.needed, 1]
        return replace(self, needed=self.needed[(ends_ms > start_ms) & (ends_ms <= end_ms)])

    @property
    def overlapping(self) -> bool:
        """Return True if a window may start before the end of its predecessor."""
        return not self.streamed and bool(np.any(self.windows_ms[1:, 0] < self.windows_ms[:-1, 1] - 1e-6))


def make_plan(
    model: Model, stimuli: Stimuli, index: int, settings: Settings, viewer: int = 0, network: int = 0
) -> Plan:
    """Return the plan of one stimulus; raise BadInput with its id and file if the file cannot be probed."""
    label, path = f"stimulus '{stimuli.ids[index]}' of {stimuli.name}", str(stimuli.paths[index])
    still = stimuli.kind[index] == "image"
    with naming(label):
        info = VideoInfo(float(stimuli.duration_ms[index]), 1, model.fps, 0, 0) if still else probe(path)
        info = piece(info, *stimuli.piece_ms(index)) if stimuli.piece_ms(index) else info
    windows_ms = make_windows(model, settings.mode, settings.context_ms, info.duration_ms)
    one_frame_each = framewise(model, settings.mode)
    bins = (info.duration_ms, model.fps, settings.bins_ms, settings.partial)
    time_map = TimeMap(windows_ms, one_frame_each, *bins, model.step_times.values())
    needed, streamed = time_map.needed(), settings.carried and streams(model, settings.mode, windows_ms)
    if streamed and len(needed):
        # the state needs all frames
        needed = np.arange(needed[-1] + 1)
    windows = (windows_ms, needed, time_map, model.kind == "image", streamed)
    return Plan(index, viewer, network, model.fps, label, path, still, info, *windows)


def shown_frames(plan: Plan) -> list[list[int]]:
    """Return the numbers of the frames that each needed window shows."""
    if plan.single_frames:
        return single_frames(plan.info, plan.windows_ms[plan.needed, 0])[:, None].tolist()
    if plan.streamed:
        return [window_frames(plan.info, *plan.windows_ms[w], plan.fps)[-1:].tolist() for w in plan.needed]
    return [window_frames(plan.info, *plan.windows_ms[window], plan.fps).tolist() for window in plan.needed]


def with_windows(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans with a window that is needed."""
    return [plan for plan in plans if len(plan.needed)]


@contextmanager
def naming(label: str) -> Iterator[None]:
    """Prefix the message of a BadInput raised in the block with `label`."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error
