"""Source of models: control models (pixels, motion energy) and two small seeded networks for tests."""

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import fakenet
from ...utils import digest, seed_from
from ..spec import Model, StepTimes
from . import whole

if TYPE_CHECKING:
    import torch

PIXELS = 256
LUMINANCE_PX = 64
FPS = 25
FAKE_IMAGE_PX = 64
FAKE_IMAGE_CHANNELS = (8, 16, 32)


def load(name: str, device: str, weights: bool = True) -> tuple[Model, str | None]:
    """Return the control of that name and the digest of its preprocessing, None if the Model has a digest.

    Controls have no published weights, so that `weights` changes nothing.
    """
    return CONTROLS[name]()


def source_files(name: str) -> tuple[Path, ...]:
    """Return the files that define the controls."""
    here = Path(__file__).parent
    return (
        here.parent / "networks" / "motion_energy.py",
        *whole.source_files(),
        *sorted(Path(fakenet.__file__).parent.glob("*.py")),
    )


def packages(name: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the control."""
    further = {"motion-energy": ("pymoten",), "low-level": ("av",)}
    return ("numpy", "pillow", *further.get(name, ()))


def ready(name: str) -> str:
    """Return "yes": a control needs no file."""
    return "yes"


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    """Return the frames resized to a square of `size` px."""
    from PIL import Image

    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize((size, size))) for frame in frames])


def pixels() -> tuple[Model, str]:
    """Return the pixels of each frame, resized to 256 x 256 as in Brain-Score's pixel control, in [0, 1]."""
    import torch
    from torch import nn

    model = Model(
        name="pixels",
        module=nn.Sequential(OrderedDict(pixels=nn.Identity())).eval(),
        preprocess=lambda frames: torch.from_numpy(_resized(frames, PIXELS) / np.float32(255)),
        layers={"pixels": "HWC"},
        kind="image",
        fps=float(FPS),
        digest="",
    )
    return model, digest(["pixels", PIXELS])


def motion_energy() -> tuple[Model, str]:
    """Return pymoten's default pyramid on luminance (CIE L*) at 64 x 64 px.

    Its finest filters have 16 cycles per image, four pixels per cycle. A window is at least as long as a filter
    (2/3 s).
    """
    import moten
    import torch

    from ..networks.motion_energy import LAYER, MotionEnergy

    def luminance(frames: np.ndarray) -> "torch.Tensor":
        size = (LUMINANCE_PX, LUMINANCE_PX)
        return torch.from_numpy(moten.io.imagearray2luminance(frames, size=size, dtype=np.float32))

    module = MotionEnergy(LUMINANCE_PX, LUMINANCE_PX, FPS).eval()
    model = Model(
        name="motion-energy",
        module=module,
        preprocess=luminance,
        layers={LAYER: "TC"},
        kind="video",
        fps=float(FPS),
        digest="",
        num_frames=(module.steps, np.inf),
    )
    return model, digest(["motion-energy", LUMINANCE_PX, FPS, len(module.filters), module.steps])


# the frames that a step of the embedded network pools, at which responses are planted
FAKE_STEP_TIMES = {
    "colour": StepTimes(0.0, 1.0, 1),
    "orientation": StepTimes(0.0, 1.0, 1),
    "motion": StepTimes(0.5, 2.0, 1),
    "conjunction": StepTimes(1.5, 4.0, 1),
}


def fake_net() -> tuple[Model, None]:
    """Return the network whose layers are the planted sources of the responses in the synthetic datasets."""
    model = Model(
        name=fakenet.NAME,
        module=fakenet.build(),
        preprocess=fakenet.preprocess,
        layers=dict(fakenet.LAYERS),
        kind="video",
        fps=float(fakenet.FPS),
        digest=fakenet.digest(),
        step_times=FAKE_STEP_TIMES,
    )
    return model, None


def fake_image_net() -> tuple[Model, str]:
    """Return three seeded convolutions and a read-out, a small image model for tests and the demonstration."""
    import torch
    from torch import nn

    def convolution(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(n_in, n_out, 5, stride=2, padding=2), nn.ReLU())

    widths = (3, *FAKE_IMAGE_CHANNELS)
    convolutions = {f"conv{i + 1}": convolution(*pair) for i, pair in enumerate(pairwise(widths))}
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))
    module = nn.Sequential(OrderedDict(**convolutions, readout=pool)).eval()
    generator = torch.Generator().manual_seed(seed_from("fake-image-net"))
    for parameter in module.parameters():
        scale = 1 / max(1, parameter[0].numel()) ** 0.5
        parameter.data.uniform_(-1.7 * scale, 1.7 * scale, generator=generator)
    model = Model(
        name="fake-image-net",
        module=module,
        preprocess=lambda frames: torch.from_numpy(_resized(frames, FAKE_IMAGE_PX)).permute(0, 3, 1, 2) / 127.5 - 1,
        layers={**dict.fromkeys(convolutions, "CHW"), "readout": "C"},
        kind="image",
        fps=float(FPS),
        digest="",
    )
    return model, digest(["fake-image-net", FAKE_IMAGE_PX])


CONTROLS = {
    "pixels": pixels,
    "motion-energy": motion_energy,
    "low-level": whole.low_level,
    "autocorrelation": whole.autocorrelation,
    "fake-net": fake_net,
    "fake-image-net": fake_image_net,
}
