"""What a network must beat, and the embedded networks: pixels, motion energy, two small seeded networks."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import fakenet
from ...utils import digest, seed_from
from ..spec import Model

if TYPE_CHECKING:
    import torch

PIXELS = 256
LUMINANCE_PX = 64
FPS = 25
FAKE_IMAGE_PX = 64
FAKE_IMAGE_CHANNELS = (8, 16, 32)
WEIGHT_DOORS: dict[str, Callable] = {}


def load(name: str, device: str) -> tuple[Model, str | None]:
    """The control of that name, and the digest of its preprocessing (None where its own digest stands)."""
    return CONTROLS[name]()


def source_files(name: str) -> tuple[Path, ...]:
    """The files that define the controls."""
    here = Path(__file__).parent
    return (here.parent / "networks" / "motion_energy.py", *sorted(Path(fakenet.__file__).parent.glob("*.py")))


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the control computes."""
    return ("numpy", "pillow", "pymoten") if name == "motion-energy" else ("numpy", "pillow")


def ready(name: str) -> str:
    """Always "yes": nothing to download."""
    return "yes"


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize((size, size))) for frame in frames])


def pixels() -> tuple[Model, str]:
    """Each frame itself, resized to 256 x 256 as in Brain-Score's pixel control, in [0, 1]."""
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
    """pymoten's default pyramid on luminance (CIE L*) at 64 x 64.

    Its finest filters have 16 cycles per image: 64 pixels give each cycle four. A window holds at least one filter
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


def fake_net() -> tuple[Model, None]:
    """The network whose layers the embedded datasets' responses are planted on."""
    model = Model(
        name=fakenet.NAME,
        module=fakenet.build(),
        preprocess=fakenet.preprocess,
        layers=dict(fakenet.LAYERS),
        kind="video",
        fps=float(fakenet.FPS),
        digest=fakenet.digest(),
    )
    return model, None


def fake_image_net() -> tuple[Model, str]:
    """Three convolutions and a read-out, seeded: a small image model for tests and the demonstration."""
    import torch
    from torch import nn

    def unit(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(n_in, n_out, 5, stride=2, padding=2), nn.ReLU())

    widths = (3, *FAKE_IMAGE_CHANNELS)
    units = {f"conv{i + 1}": unit(*pair) for i, pair in enumerate(pairwise(widths))}
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))
    module = nn.Sequential(OrderedDict(**units, readout=pool)).eval()
    generator = torch.Generator().manual_seed(seed_from("fake-image-net"))
    for parameter in module.parameters():
        scale = 1 / max(1, parameter[0].numel()) ** 0.5
        parameter.data.uniform_(-1.7 * scale, 1.7 * scale, generator=generator)
    model = Model(
        name="fake-image-net",
        module=module,
        preprocess=lambda frames: torch.from_numpy(_resized(frames, FAKE_IMAGE_PX)).permute(0, 3, 1, 2) / 127.5 - 1,
        layers={**dict.fromkeys(units, "CHW"), "readout": "C"},
        kind="image",
        fps=float(FPS),
        digest="",
    )
    return model, digest(["fake-image-net", FAKE_IMAGE_PX])


CONTROLS = {
    "pixels": pixels,
    "motion-energy": motion_energy,
    "fake-net": fake_net,
    "fake-image-net": fake_image_net,
}
