"""SimVP and TAU, trained to predict ten frames from ten: an encoder of frames, a translator of the stack, a decoder.

Gao et al. 2022, SimVP (arXiv 2206.05099), with the gated spatiotemporal attention of Tan et al. 2022, SimVPv2 (arXiv
2211.12509); Tan et al. 2023, Temporal Attention Unit (CVPR, arXiv 2206.12126). Sizes and names as in OpenSTL's KITTI
checkpoints (Tan et al. 2023, arXiv 2306.11249).
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from .built import Built

FRAMES = 10
WIDTH, TRANSLATOR_WIDTH, DEPTH = 64, 256, 6
MLP_RATIO = 8
SMALL_KERNEL, WIDE_KERNEL, DILATION = 5, 7, 3
SCALE = 1e-2


class ConvBlock(nn.Module):
    """Convolution, group norm, SiLU; step 2 halves the sides, step -2 doubles them by a pixel shuffle."""

    def __init__(self, n_in: int, n_out: int, step: int):
        super().__init__()
        if step < 0:
            self.conv = nn.Sequential(nn.Conv2d(n_in, n_out * step**2, 3, padding=1), nn.PixelShuffle(-step))
        else:
            self.conv = nn.Conv2d(n_in, n_out, 3, stride=step, padding=1)
        self.norm = nn.GroupNorm(2, n_out)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class ConvSC(nn.Module):
    """ConvBlock under its published name."""

    def __init__(self, n_in: int, n_out: int, step: int = 1):
        super().__init__()
        self.conv = ConvBlock(n_in, n_out, step)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Encoder(nn.Module):
    """Frames (n, 3, H, W) -> their code (n, width, H / 2, W / 2) and the first block's output, at full size."""

    def __init__(self, width: int):
        super().__init__()
        self.enc = nn.Sequential(ConvSC(3, width), ConvSC(width, width, step=2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.enc[0](x)
        return self.enc[1](first), first


class Decoder(nn.Module):
    """Codes (n, width, H / 2, W / 2) and the encoder's first output -> frames (n, 3, H, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.dec = nn.Sequential(ConvSC(width, width, step=-2), ConvSC(width, width))
        self.readout = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor, first: Tensor) -> Tensor:
        return self.readout(self.dec[1](self.dec[0](x) + first))


class WideKernel(nn.Module):
    """Attention values from 23 x 23 neighbours: depthwise, depthwise dilated, pointwise."""

    def __init__(self, width: int, n_out: int):
        super().__init__()
        reach = DILATION * (WIDE_KERNEL - 1) // 2
        self.conv0 = nn.Conv2d(width, width, SMALL_KERNEL, padding=SMALL_KERNEL // 2, groups=width)
        self.conv_spatial = nn.Conv2d(width, width, WIDE_KERNEL, padding=reach, groups=width, dilation=DILATION)
        self.conv1 = nn.Conv2d(width, n_out, 1)

    def values(self, x: Tensor) -> Tensor:
        return self.conv1(self.conv_spatial(self.conv0(x)))


class GatedSpatiotemporal(WideKernel):
    """Gate of SimVPv2: one half of the values, after a sigmoid, multiplies the other."""

    def __init__(self, width: int):
        super().__init__(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.values(x).chunk(2, dim=1)
        return torch.sigmoid(gate) * value


class TemporalAttention(WideKernel):
    """Product of TAU: static attention over space times dynamic attention over channels, which contain time."""

    def __init__(self, width: int):
        super().__init__(width, width)
        narrow = width // max(width // 16, 4)
        self.fc = nn.Sequential(
            nn.Linear(width, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, width, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        dynamic = self.fc(x.mean(dim=(2, 3)))[:, :, None, None]
        return dynamic * self.values(x) * x


class Attention(nn.Module):
    """Attention between two pointwise convolutions, with a shortcut."""

    def __init__(self, width: int, attention: type[WideKernel]):
        super().__init__()
        self.proj_1 = nn.Conv2d(width, width, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = attention(width)
        self.proj_2 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj_2(self.spatial_gating_unit(self.activation(self.proj_1(x))))


class DepthwiseConv(nn.Module):
    """3 x 3 depthwise convolution under its published name."""

    def __init__(self, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dwconv(x)


class MixMlp(nn.Module):
    """Pointwise convolution, depthwise convolution, GELU, pointwise convolution."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.dwconv = DepthwiseConv(hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


class AttentionBlock(nn.Module):
    """Attention and perceptron with residuals, each with a normalisation before and a scale per channel after it."""

    def __init__(self, width: int, attention: type[WideKernel]):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.attn = Attention(width, attention)
        self.mlp = MixMlp(width, MLP_RATIO * width)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), SCALE))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), SCALE))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1[:, None, None] * self.attn(self.norm1(x))
        return x + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x))


class MetaBlock(nn.Module):
    """A block of the translator, with a pointwise convolution where the width changes."""

    def __init__(self, n_in: int, n_out: int, attention: type[WideKernel]):
        super().__init__()
        self.block = AttentionBlock(n_in, attention)
        self.reduction = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.block(x))


class Translator(nn.Module):
    """Codes of all frames as channels, (batch, T * width, H, W) -> the same shape."""

    def __init__(self, channels: int, width: int, depth: int, attention: type[WideKernel]):
        super().__init__()
        widths = [channels, *[width] * (depth - 1), channels]
        self.enc = nn.Sequential(*(MetaBlock(n_in, n_out, attention) for n_in, n_out in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.enc(x)


class SimVP(nn.Module):
    """Ten frames (batch, 10, 3, H, W) in [0, 1] -> the ten that follow, (batch, 10, 3, H, W)."""

    def __init__(self, attention: type[WideKernel], width: int, translator_width: int):
        super().__init__()
        self.enc = Encoder(width)
        self.hid = Translator(FRAMES * width, translator_width, DEPTH, attention)
        self.dec = Decoder(width)

    def forward(self, frames: Tensor) -> Tensor:
        code, first = self.enc(frames.flatten(0, 1))
        stacked = code.unflatten(0, frames.shape[:2]).flatten(1, 2)
        hidden = self.hid(stacked).unflatten(1, (frames.shape[1], -1)).flatten(0, 1)
        return self.dec(hidden, first).unflatten(0, frames.shape[:2])


LAYERS = {
    **dict.fromkeys(("enc.enc.0", "enc.enc.1"), "TCHW"),
    **dict.fromkeys((f"hid.enc.{i}" for i in range(DEPTH)), "CHW"),
    **dict.fromkeys(("dec.dec.0", "dec.dec.1"), "TCHW"),
}


def _unfolded(layer: str, output: Tensor) -> Tensor:
    """Return the output with a time axis if its layer has one: encoder and decoder have time in the batch axis."""
    return output.unflatten(0, (-1, FRAMES)) if "T" in LAYERS[layer] else output


def build(attention: type[WideKernel], reduced: bool = False) -> Built:
    """Return SimVP with one kind of attention; reduced: a sixteenth of the widths."""
    part = 16 if reduced else 1
    return Built(SimVP(attention, WIDTH // part, TRANSLATOR_WIDTH // part), LAYERS, process_output=_unfolded)


BUILDERS = {"SimVP": partial(build, GatedSpatiotemporal), "TAU": partial(build, TemporalAttention)}
