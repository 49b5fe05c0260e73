"""Video Swin Transformer, base and large (Liu et al. 2022): torchvision's module, MMAction2's published weights."""

import re
from collections.abc import Callable

from torchvision.models.video.swin_transformer import SwinTransformer3d

from .built import Built

PATCH, WINDOW = (2, 4, 4), (8, 7, 7)
RULES = (
    (r"^backbone\.layers\.(\d+)\.blocks\.", lambda found: f"features.{2 * int(found[1])}."),
    (r"^backbone\.layers\.(\d+)\.downsample\.", lambda found: f"features.{2 * int(found[1]) + 1}."),
    (r"^backbone\.norm3\.", lambda _: "norm."),
    (r"^backbone\.", lambda _: ""),
    (r"^cls_head\.fc_cls\.", lambda _: "head."),
    (r"\.mlp\.fc1\.", lambda _: ".mlp.0."),
    (r"\.mlp\.fc2\.", lambda _: ".mlp.3."),
)


def rename(state: dict) -> dict:
    """Return MMAction2's state dict under torchvision's names, without the constants of its preprocessing."""
    return {_renamed(name): value for name, value in state.items() if not name.startswith("data_preprocessor.")}


def _renamed(name: str) -> str:
    """Return torchvision's name of a parameter of MMAction2."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _swin(width: int, heads: tuple[int, ...], depths: tuple[int, ...]) -> Built:
    """Return a Swin transformer of that size."""
    module = SwinTransformer3d(list(PATCH), width, list(depths), list(heads), list(WINDOW))
    blocks = [f"features.{2 * stage}.{i}" for stage, depth in enumerate(depths) for i in range(depth)]
    return Built(module, {**dict.fromkeys(("patch_embed", *blocks), "THWC"), "head": "C"}, rename)


def _base(reduced: bool = False) -> Built:
    return _swin(16, (2, 2, 4, 4), (1, 1, 2, 1)) if reduced else _swin(128, (4, 8, 16, 32), (2, 2, 18, 2))


def _large(reduced: bool = False) -> Built:
    return _swin(24, (2, 2, 4, 4), (1, 1, 2, 1)) if reduced else _swin(192, (6, 12, 24, 48), (2, 2, 18, 2))


BUILDERS: dict[str, Callable[..., Built]] = {"VideoSwin-B": _base, "VideoSwin-L": _large}
