"""The Model record: a network with its input and its layers, as the extraction takes it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..utils import BadInput, counted, first_names

if TYPE_CHECKING:
    import torch

    from .catalogue.entry import ModelEntry


DEFAULT_CONTEXT_MS = 4000.0  # window length of a video model where none is given
CLIP_FPS = 8.0  # of a repository of clips without a stated rate
RATE_UNKNOWN = f"its files state no frame rate: {CLIP_FPS:g} per second are used; --fps chooses another"
N_COMPONENTS = 5000  # dimensions of the sparse random projection of a layer


def check_input(model: "Model | ModelEntry", input_size: tuple[int, int] | None, fps: float | None) -> None:
    """Raise BadInput for an input size or a frame rate where the model's own preprocessing decides them.

    The rate of a model of single frames can be chosen: it is only how often a film is sampled.
    """
    if input_size is not None:
        raise BadInput(
            f"input size {'x'.join(map(str, input_size))} for {model.name}, whose preprocessing fixes its input; "
            "expected none: the option is for a torch.nn.Module of your own"
        )
    if fps is not None and model.kind == "video":
        raise BadInput(
            f"{fps:g} frames per second for {model.name}, a model of clips at {model.fps:g}; expected none: the "
            "option is for models of single frames, for a torch.nn.Module of your own and for an hf: repository that "
            "is not in the catalogue"
        )


def left_out_text(left_out: "Mapping[str, str]") -> str:
    """Return the layers that were left out and the reasons, as one line."""
    reasons = "; ".join(f"{layer}: {reason}" for layer, reason in left_out.items())
    return f"{counted(len(left_out), 'layer')} left out, which cannot be read ({reasons})"


def notes_of(model: "Model") -> list[str]:
    """Return what is not known about the network, with the layers without an axis of time."""
    hidden = model.without_time
    if not hidden:
        return list(model.notes)
    return [
        *model.notes,
        f"no axis of time found in {first_names(hidden)}: each window is one time step there; where an axis contains "
        f"time, state it, for example --layer-axes '{hidden[0]}=(T8K)C' for 8 steps of K tokens each",
    ]


@dataclass(frozen=True)
class Shown:
    """One stimulus, for a model that sees it as a whole.

    Parameters
    ----------
    id : str
        Identifier of the stimulus.
    path : Path
        Its file.
    still : bool
        True for an image.
    start_ms : float
        Start in the file, ms; 0 unless the stimulus is a piece of it.
    fps : float
        Frame rate of the model.
    n_frames : int
        Number of frames at this rate.
    pictures : function
        Yields (first, last, picture): the frames that show a picture, uint8 (height, width, 3), in their order.
    """

    id: str
    path: Path
    still: bool
    start_ms: float
    fps: float
    n_frames: int
    pictures: Callable[[], "Iterator[tuple[int, int, np.ndarray]]"]


@dataclass(frozen=True)
class StepTimes:
    """Times of the steps of a layer within a clip, in frames: 0 is the middle of the first frame.

    Parameters
    ----------
    first, stride : float
        Time of step 0, and distance of one step from the next, for clips of any length.
    shortest : int
        Frames of the shortest clip with one step; every further `stride` frames add one.
    listed : tuple of float, default ()
        Time of each step in a clip of the only length that the model takes, in place of the three above.

    Examples
    --------
    Convolution of kernel 3, stride 2 and padding 1:

    >>> times = StepTimes(0.0, 2.0, 1)
    >>> times.of_steps(3), times.of_last(6)
    (array([0., 2., 4.]), 4.0)
    """

    first: float = 0.0
    stride: float = 1.0
    shortest: int = 1
    listed: tuple[float, ...] = ()

    def of_steps(self, n_steps: int) -> "np.ndarray | None":
        """Return the times of `n_steps` steps, (n_steps,), None for another number of steps than those listed."""
        if not self.listed:
            return self.first + self.stride * np.arange(n_steps)
        return np.array(self.listed) if len(self.listed) == n_steps else None

    def of_last(self, n_frames: float) -> float:
        """Return the time of the last step of a clip of `n_frames`."""
        if self.listed:
            return self.listed[-1]
        return float(self.first + self.stride * max(0, (n_frames - self.shortest) // self.stride))


@dataclass(frozen=True)
class Model:
    """A network ready to run, with its preprocessing and the axes of its layers.

    Parameters
    ----------
    name : str
        Name of the model in messages and results.
    module : torch.nn.Module
        The network, in eval mode. It takes a batch of images (kind "image") or of clips (kind "video"). A recurrent one
        may have a method `carried(clips, state)`, which returns the output and the state after the last frame, from the
        state after the frame before the first one (None: there was none). Causal inference whose windows begin with
        the film then computes each frame once.
    preprocess : callable
        Frames, uint8 array of shape (n_frames, height, width, 3), RGB -> float tensor. Kind "image": one row per
        frame, (n_frames, ...). Kind "video": the input of one clip, without the batch axis.
    layers : mapping of {str: str}
        Axes of each layer's output for one sample, in the network's order. Letters without the batch axis: T (time),
        C (channel), H and W (space), K (token). A layer of kind "image" has no T. A layer is named by the path of its
        module, with "@2" for the second call in a pass (without it the last one counts) and ".key" for a part of an
        output that is a dict, a dataclass or a tuple. A complex output has its real and imaginary parts in a last
        axis C of size 2; truth values are 0 and 1.
    kind : "image" or "video"
        Input of the network.
    fps : float
        Rate at which the model samples a stimulus, frames per second.
    digest : str
        SHA-256 of weights, architecture and preprocessing, in hex. A model that is returned by a user's function may
        leave it "": it is then computed.
    num_frames : (float, float), default (1, inf)
        Minimum and maximum number of frames of one forward pass.
    duration_ms : (float, float), default (0, inf)
        Minimum and maximum duration of one forward pass, ms.
    process_output : callable, optional
        (layer, output of its module) -> tensor of the batch axis and the declared axes. By default the output itself.
    left_out : mapping of {str: str}, default {}
        Modules that would be layers by default but cannot be read, and the reason for each.
    notes : tuple of str, default ()
        What is not known about the network and how a user can state it; each is reported.
    without_time : tuple of str, default ()
        Layers of a video model in which an axis of time was looked for and not found.
    order : {"", "frozen", "shuffled"}, default ""
        Order of the frames of each window of a video model: as they are, the middle one held, or a seeded random order.
    series : callable, optional
        Shown -> {layer: (n_frames, n_features)}: features of a whole stimulus at each frame, in place of the network.
    sizes : mapping of {str: int}, default {}
        Number of features of the layers of `series`.
    step_times : mapping of {str: StepTimes}, default {}
        Times of the steps of layers within a window, where they are known; else they are measured. The steps of other
        layers are spread evenly over a window.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU()).eval()
    >>> def preprocess(frames):
    ...     return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    >>> model = Model("small", network, preprocess, {"0": "CHW", "1": "CHW"}, kind="image", fps=25.0, digest="")
    >>> model.num_frames
    (1, inf)
    """

    name: str
    module: "torch.nn.Module"
    preprocess: "Callable[[np.ndarray], torch.Tensor]"
    layers: Mapping[str, str]
    kind: Literal["image", "video"]
    fps: float
    digest: str
    num_frames: tuple[float, float] = (1, np.inf)
    duration_ms: tuple[float, float] = (0.0, np.inf)
    process_output: "Callable[[str, Any], torch.Tensor] | None" = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    without_time: tuple[str, ...] = ()
    order: Literal["", "frozen", "shuffled"] = ""
    series: "Callable[[Shown], Mapping[str, np.ndarray]] | None" = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    step_times: Mapping[str, StepTimes] = field(default_factory=dict)

    @property
    def carries_state(self) -> bool:
        """True for a network whose state can be carried from frame to frame."""
        return self.kind == "video" and not self.order and hasattr(self.module, "carried")
