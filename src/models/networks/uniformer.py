"""UniFormer (Li et al. 2022, arXiv:2201.04676): convolutional blocks in two stages, then self-attention in two.

Names as in MMAction2's checkpoint of UniFormer-B (ImageNet-1k, then Kinetics-400, 32 frames of 224 px).
"""

from torch import Tensor, nn

from .built import Built
from .mmaction import PooledHead, recognizer, rename
from .vit_parts import JointAttention, Mlp

DEPTHS, DIMS, HEAD = (5, 8, 20, 7), (64, 128, 320, 512), 64
STRIDES = ((2, 4), (1, 2), (1, 2), (1, 2))  # of the patches of each stage, in time and in space


class Patches(nn.Module):
    """Strided convolution and layer normalisation over the channels; 3 frames in the first stage."""

    def __init__(self, n_in: int, dim: int, stride: tuple[int, int]):
        super().__init__()
        time, space = stride
        kernel, padding = 2 * time - 1, time - 1
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.Conv3d(n_in, dim, (kernel, space, space), (time, space, space), (padding, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).movedim(1, -1)).movedim(-1, 1)


def pointwise(n_in: int, n_out: int) -> nn.Conv3d:
    """Return a convolution with a kernel of one."""
    return nn.Conv3d(n_in, n_out, 1)


def depthwise(dim: int, kernel: int) -> nn.Conv3d:
    """Return a depthwise convolution that keeps the size."""
    return nn.Conv3d(dim, dim, kernel, padding=kernel // 2, groups=dim)


class ConvMlp(nn.Module):
    """Multilayer perceptron at every position."""

    def __init__(self, dim: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = pointwise(dim, 4 * dim), nn.GELU(), pointwise(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class LocalBlock(nn.Module):
    """Position by convolution, then a 5 x 5 x 5 depthwise convolution instead of attention, then the mlp."""

    def __init__(self, dim: int):
        super().__init__()
        self.pos_embed = depthwise(dim, 3)
        self.norm1 = nn.BatchNorm3d(dim)
        self.conv1, self.attn, self.conv2 = pointwise(dim, dim), depthwise(dim, 5), pointwise(dim, dim)
        self.norm2, self.mlp = nn.BatchNorm3d(dim), ConvMlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class GlobalBlock(nn.Module):
    """Position by convolution, then self-attention over all of time and space, then the mlp."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.pos_embed = depthwise(dim, 3)
        self.norm1, self.attn = nn.LayerNorm(dim), JointAttention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim), Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class UniFormer(nn.Module):
    """Clips (n, 3, t, 224, 224) -> (n, dims[3], t / 2, 7, 7)."""

    def __init__(self, depths: tuple[int, ...], dims: tuple[int, ...], head: int):
        super().__init__()
        self.pos_drop = nn.Dropout(0.0)
        for i, (depth, n_in, dim) in enumerate(zip(depths, (3, *dims), dims, strict=False)):
            blocks = [LocalBlock(dim) if i < 2 else GlobalBlock(dim, dim // head) for _ in range(depth)]
            setattr(self, f"patch_embed{i + 1}", Patches(n_in, dim, STRIDES[i]))
            setattr(self, f"blocks{i + 1}", nn.ModuleList(blocks))
        self.norm = nn.BatchNorm3d(dims[-1])

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(1, 5):
            x = getattr(self, f"patch_embed{stage}")(x)
            x = self.pos_drop(x) if stage == 1 else x
            for block in getattr(self, f"blocks{stage}"):
                x = block(x)
        return self.norm(x)


def build(reduced: bool = False) -> Built:
    """Return UniFormer-B; reduced: 6 blocks of 8 to 32 channels."""
    depths, dims, head = ((1, 1, 2, 2), (8, 8, 16, 32), 8) if reduced else (DEPTHS, DIMS, HEAD)
    module = recognizer(UniFormer(depths, dims, head), PooledHead(dims[-1]))
    blocks = [f"backbone.blocks{i + 1}.{j}" for i, depth in enumerate(depths) for j in range(depth)]
    layers = dict.fromkeys(["backbone.pos_drop", *blocks, "backbone.norm"], "CTHW")
    return Built(module, {**layers, "cls_head": "C"}, rename)


BUILDERS = {"UniFormer-V1": build}
