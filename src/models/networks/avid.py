"""Video network of AVID and AVID-CMA: an R(2+1)D-18 whose spatial and temporal convolutions have the same width.

Morgado et al. 2021, Audio-visual instance discrimination with cross-modal agreement (CVPR, arXiv 2004.12943).
"""

from torch import Tensor, nn

from .built import Built
from .state_dicts import part

WIDTHS = (64, 128, 256, 512)
OTHERS = ("audio_model.", "video_proj.", "audio_proj.")
LAYERS = dict.fromkeys(("conv1", "conv2x", "conv3x", "conv4x", "conv5x"), "CTHW")


def spatial(n_in: int, n_out: int, stride: int = 1) -> nn.Conv3d:
    """Return a convolution over 3 x 3 px."""
    return nn.Conv3d(n_in, n_out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def temporal(n: int, stride: int = 1) -> nn.Conv3d:
    """Return a convolution over 3 frames."""
    return nn.Conv3d(n, n, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)


class Block(nn.Module):
    """Space, time, space, time, each normalised and rectified, the last one after the shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1):
        super().__init__()
        self.spt_conv1, self.spt_bn1 = spatial(n_in, n_out, stride), nn.BatchNorm3d(n_out)
        self.tmp_conv1, self.tmp_bn1 = temporal(n_out, stride), nn.BatchNorm3d(n_out)
        self.spt_conv2, self.spt_bn2 = spatial(n_out, n_out), nn.BatchNorm3d(n_out)
        self.tmp_conv2, self.out_bn = temporal(n_out), nn.BatchNorm3d(n_out)
        changes = n_in != n_out or stride != 1
        self.res_conv = nn.Conv3d(n_in, n_out, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        main = self.spt_bn1(self.spt_conv1(x)).relu()
        main = self.tmp_bn1(self.tmp_conv1(main)).relu()
        main = self.spt_bn2(self.spt_conv2(main)).relu()
        return self.out_bn(self.tmp_conv2(main) + self.res_conv(x)).relu()


class R2Plus1D(nn.Module):
    """Clips (batch, 3, T, H, W) -> (batch, 512), the maxima over time and space."""

    def __init__(self, n_blocks: int):
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(3, WIDTHS[0], (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(WIDTHS[0]),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        self.conv2x = self._stage(WIDTHS[0], WIDTHS[0], 1, n_blocks)
        self.conv3x = self._stage(WIDTHS[0], WIDTHS[1], 2, n_blocks)
        self.conv4x = self._stage(WIDTHS[1], WIDTHS[2], 2, n_blocks)
        self.conv5x = self._stage(WIDTHS[2], WIDTHS[3], 2, n_blocks)

    @staticmethod
    def _stage(n_in: int, n_out: int, stride: int, n_blocks: int) -> nn.Sequential:
        return nn.Sequential(Block(n_in, n_out, stride), *(Block(n_out, n_out) for _ in range(n_blocks - 1)))

    def forward(self, clip: Tensor) -> Tensor:
        for name in LAYERS:
            clip = getattr(self, name)(clip)
        return clip.amax(dim=(2, 3, 4))


def build(reduced: bool = False) -> Built:
    """Return R(2+1)D-18 of two blocks per stage; reduced: one."""
    return Built(R2Plus1D(1 if reduced else 2), LAYERS, part("video_model.", *OTHERS))


BUILDERS = {f"{method}-{data}": build for method in ("AVID-CMA", "AVID") for data in ("Kinetics400", "Audioset")}
