"""Input of a network of transformers, as its configuration and its processor's file describe it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils import BadInput
from ..catalogue.entry import Preprocessing
from ..catalogue.huggingface import CLIPS, Clips
from ..spec import CLIP_FPS, RATE_UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..inspect.steps import Split

IMAGE_FPS = 25.0
# files of a processor and the part of them that describes clips or images, the first one found is read
CLIP_FILES = (
    ("video_preprocessor_config.json", ""),
    ("processor_config.json", "video_processor"),
    ("preprocessor_config.json", ""),
)
IMAGE_FILES = (("preprocessor_config.json", ""), ("processor_config.json", "image_processor"))
TYPES = ("video_processor_type", "image_processor_type", "feature_extractor_type")
INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # numbers of PIL


@dataclass(frozen=True)
class Input:
    """Input of a network: its preprocessing, frames of a pass, rate, what is not known of it, expected divisions.

    hints: (tokens, frames) -> divisions of an axis of tokens into steps.
    """

    preprocessing: Preprocessing
    frames: tuple[float, float]
    fps: float
    notes: tuple[str, ...]
    hints: "Callable[[int, int], Sequence[Split]]"

    @property
    def kind(self) -> str:
        """Kind of the model."""
        return "image" if self.preprocessing.axes == "CHW" else "video"


def clips_of(config: Any) -> Clips | None:
    """Return the facts about the class of a configuration, None for a class that is not known."""
    return CLIPS.get(getattr(config, "model_type", ""))


def as_clips(module: "nn.Module", config: Any) -> "nn.Module":
    """Return the part of a network that takes clips; one that takes frames as its batch gets them unfolded."""
    known = clips_of(config)
    if known is None:
        return module
    if known.part and hasattr(module, known.part):
        module = module.get_submodule(known.part)
    if known.single:
        module.register_forward_pre_hook(lambda _module, inputs: (_frames(inputs[0]), *inputs[1:]))
    return module


def _frames(clips: "Tensor") -> "Tensor":
    """Return clips as a batch of frames; frames as they are."""
    return clips.flatten(0, 1) if clips.ndim == 5 else clips


def described(config: Any, folder: Path | None = None) -> Input:
    """Return the input of the network with that configuration, whose files are in `folder` (None: no files).

    The processor's file decides; what it lacks is that of the published checkpoints of the class, where it is known.
    Raises BadInput if no image size is stated.
    """
    known = clips_of(config)
    name = known.frames if known else "num_frames"
    n_frames = getattr(config, name, None) or getattr(config, "frames_per_clip", None)
    settings = _settings(folder, CLIP_FILES if n_frames else IMAGE_FILES)
    preprocessing = _preprocessing(config, settings, known, folder, "TCHW" if n_frames else "CHW")
    if not n_frames:
        return Input(preprocessing, (1, inf), IMAGE_FPS, (), _no_hints)
    fps = float(settings.get("fps") or (known.rate(n_frames) if known else 0))
    frames = (known.least if known and known.least else n_frames, n_frames)
    return Input(preprocessing, frames, fps or CLIP_FPS, () if fps else (RATE_UNKNOWN,), _hints(config, known))


def _no_hints(_size: int, _frames: int) -> "list[Split]":
    return []


def _hints(config: Any, known: Clips | None) -> "Callable[[int, int], Sequence[Split]]":
    """Return the expected division of the tokens, by the frames per tubelet in the configuration."""
    from ..inspect.steps import Split

    if known is None or not known.order:
        return _no_hints
    tubelet = getattr(config, "tubelet_size", 1)
    per_step = tubelet[0] if isinstance(tubelet, list | tuple) else tubelet

    def hints(size: int, n_frames: int) -> list[Split]:
        rest, over = divmod(size - known.skip, max(1, n_frames // per_step))
        return [] if over or rest < 2 else [Split(0, known.skip, rest, "TK" if known.order[0] == "T" else "KT")]

    return hints


def _settings(folder: Path | None, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the settings of the processor, with the defaults of its class where it is installed."""
    for file, part in files if folder is not None else ():
        if not (folder / file).is_file():
            continue
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        found = content.get(part) if part else content
        if found:
            return _with_defaults(found)
    return {}


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the defaults of the class that they name."""
    import transformers

    cls = next((getattr(transformers, str(settings[key]), None) for key in TYPES if settings.get(key)), None)
    try:
        return cls.from_dict(dict(settings)).to_dict() | settings if cls else settings
    except Exception:  # a class may need a package that is not installed
        return settings


def _preprocessing(
    config: Any, settings: Mapping, known: Clips | None, folder: Path | None, axes: str
) -> Preprocessing:
    """Return the preprocessing by the settings of a processor, or that of the class at the configured size."""
    published = known.preprocessing if known else None
    own = side(getattr(config, "image_size", 0)) or side(getattr(config, "crop_size", 0))
    crops = bool(settings.get("do_center_crop"))
    short = side(settings.get("size"))
    size = side(settings.get("crop_size")) if crops else 0
    size = size or own or short
    if not size:
        raise BadInput(
            f"{folder or 'the network'} has no image size in its configuration; load it by a function that returns a "
            "Model"
        )
    if published is not None and not short:
        resize = round(published.resize * size / published.size)
        return _normalised(replace(published, size=size, resize=resize), settings)
    made = Preprocessing(size=size, axes=axes, resize=max(short, size) if crops and short else 0)
    made = replace(made, mean=published.mean, std=published.std) if published is not None else made
    interpolation = INTERPOLATIONS.get(settings.get("resample"), made.interpolation)
    return _normalised(replace(made, interpolation=interpolation), settings)


def _normalised(preprocessing: Preprocessing, settings: Mapping) -> Preprocessing:
    """Return the preprocessing with the mean and the s.d. of pixels in [0, 1] that follow from the settings."""
    stated = settings.get("image_mean") and settings.get("image_std")
    if settings.get("do_normalize") is False or (settings.get("offset") and not stated):
        mean, std = (0.0,) * 3, (1.0,) * 3
    elif stated:
        mean, std = settings["image_mean"], settings["image_std"]
    else:
        return preprocessing
    scale = 255 * (settings.get("rescale_factor") or 1 / 255) if settings.get("do_rescale", True) else 255.0
    shift = 1.0 if settings.get("offset") else 0.0
    means = tuple(round((m + shift) / scale, 9) for m in mean)
    return replace(preprocessing, mean=means, std=tuple(round(s / scale, 9) for s in std))


def side(size: Any) -> int:
    """Return a side in px from the forms that configurations use, 0 if there is none."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return int(size[0] if isinstance(size, list | tuple) else size or 0)
