"""Image networks of torchvision and timm with weights of other publishers."""

from collections.abc import Callable
from functools import partial

from .built import Built

EMA = "model_ema_state_dict"


def _last(state: dict) -> dict:
    """Return the weights of the last step in a checkpoint of Gokce & Schrimpf (2024)."""
    return {name.removeprefix("module."): value for name, value in state["model"].items()}


def _averaged(state: dict) -> dict:
    """Return the moving average of the weights in a checkpoint of Gokce & Schrimpf (2024)."""
    return {name.removeprefix("module."): value for name, value in state[EMA].items()}


def _resnext_wsl(width: int, reduced: bool = False) -> Built:
    """Return ResNeXt-101 32xN d (Xie et al. 2017) trained on hashtags (Mahajan et al. 2018)."""
    from torchvision.models.resnet import Bottleneck, ResNet

    depths = (1, 1, 2, 1) if reduced else (3, 4, 23, 3)
    module = ResNet(Bottleneck, list(depths), groups=32, width_per_group=1 if reduced else width)
    blocks = [f"layer{stage}.{i}" for stage, depth in enumerate(depths, 1) for i in range(depth)]
    return Built(module, dict.fromkeys(("conv1", *blocks, "avgpool"), "CHW"))


def _resnet50(reduced: bool = False) -> Built:
    """Return ResNet-50 (He et al. 2016)."""
    from torchvision.models.resnet import Bottleneck, ResNet

    depths = (1, 1, 2, 1) if reduced else (3, 4, 6, 3)
    module = ResNet(Bottleneck, list(depths), width_per_group=4 if reduced else 64)
    blocks = [f"layer{stage}.{i}" for stage, depth in enumerate(depths, 1) for i in range(depth)]
    return Built(module, dict.fromkeys(("conv1", *blocks, "avgpool"), "CHW"), _last)


def _convnext_base(reduced: bool = False) -> Built:
    """Return ConvNeXt-B (Liu et al. 2022)."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    depths, widths = ((1, 1, 2, 1), (8, 16, 24, 32)) if reduced else ((3, 3, 27, 3), (128, 256, 512, 1024))
    stages = [CNBlockConfig(*row) for row in zip(widths, (*widths[1:], None), depths, strict=True)]
    module = ConvNeXt(stages)
    blocks = [f"features.{2 * stage + 1}.{i}" for stage, depth in enumerate(depths) for i in range(depth)]
    return Built(module, dict.fromkeys(("features.0", *blocks, "avgpool"), "CHW"), _averaged)


def _deit_base(reduced: bool = False) -> Built:
    """Return DeiT III, base, patches of 16 px (Touvron et al. 2022)."""
    import timm

    smaller = {"embed_dim": 48, "depth": 2, "num_heads": 3} if reduced else {}
    module = timm.create_model("deit3_base_patch16_224", pretrained=False, **smaller)
    blocks = [f"blocks.{i}" for i in range(len(module.blocks))]
    return Built(module, dict.fromkeys(("patch_embed", *blocks, "norm"), "KC"), _averaged)


BUILDERS: dict[str, Callable[..., Built]] = {
    "resnext101_32x8d_wsl": partial(_resnext_wsl, 8),
    "resnext101_32x16d_wsl": partial(_resnext_wsl, 16),
    "resnext101_32x32d_wsl": partial(_resnext_wsl, 32),
    "resnet50": _resnet50,
    "convnext_base": _convnext_base,
    "deit_base": _deit_base,
}
