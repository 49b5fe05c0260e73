"""MotionNet: space-time filters and a readout of 64 velocities, trained on moving natural images.

Rideaux and Welchman 2020, But still it moves (J. Neurosci. 40:2538). Trained on 32 x 32 px; on larger videos the
readout is applied every 9 px, as by Mineault et al. 2021, Your head is there to move you around (NeurIPS).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .built import Built

FILTERS, VELOCITIES = 128, 64
FRAMES, KERNEL = 6, 6
FIELD, STEP = 27, 9
LAYERS = {"relu": "CTHW", "conv2": "CTHW"}


class MotionNet(nn.Module):
    """Clips (batch, 3, T, H, W) -> probabilities of the velocities, (batch, 64, T, H / 8, W / 8)."""

    def __init__(self, filters: int, velocities: int):
        super().__init__()
        self.conv1 = nn.Conv3d(1, filters, (FRAMES, KERNEL, KERNEL), padding=(FRAMES // 2, KERNEL // 2, KERNEL // 2))
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv3d(filters, velocities, (1, FIELD, FIELD), (1, STEP, STEP), (0, 17, 17))

    def forward(self, clip: Tensor) -> Tensor:
        # an even kernel with this padding has one output step more than there are frames
        filtered = self.conv1(clip.mean(dim=1, keepdim=True))[:, :, :-1]
        return torch.softmax(self.conv2(self.relu(filtered)), dim=1)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return TensorFlow's published arrays (height, width, input, output) as torch's; other state dicts unchanged.

    Height and width are exchanged, as in the network of the benchmark's first list, whose filters are mirrored at the
    diagonal.
    """
    state = {name.removesuffix(":0"): value for name, value in state.items()}
    if "wconv" not in state:
        return state
    filters, velocities = state["wconv"].shape[-1], state["wout"].shape[-1]
    readout = state["wout"].reshape(FIELD, FIELD, filters, velocities)
    return {
        "conv1.weight": state["wconv"].permute(3, 2, 1, 0)[:, None].contiguous(),
        "conv1.bias": state["bconv"],
        "conv2.weight": readout.permute(3, 2, 1, 0)[:, :, None].contiguous(),
        "conv2.bias": state["bout"],
    }


def convert(source: str, target: str) -> None:
    """Write the arrays of the published HDF5 file as safetensors."""
    import h5py
    from safetensors.torch import save_file

    with h5py.File(source) as file:
        save_file({name: torch.from_numpy(values[()]).contiguous() for name, values in file.items()}, target)


def build(reduced: bool = False) -> Built:
    """Return MotionNet; reduced: 4 filters, 4 velocities."""
    return Built(MotionNet(4, 4) if reduced else MotionNet(FILTERS, VELOCITIES), LAYERS, rename)


BUILDERS = {"MotionNet": build}
