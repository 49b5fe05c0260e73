"""Modules of the embedded network, imported when it is built. Shapes: (batch, C, T, H, W)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

GRID = 4
EPSILON = 1e-2


def _pool(x: Tensor, steps: int = 1, grid: int = GRID) -> Tensor:
    """Return means over `steps` frames (the last frame held to fill them) and over the cells of a grid x grid field."""
    x = functional.pad(x, (0, 0, 0, 0, 0, -x.shape[2] % steps), mode="replicate")
    return functional.avg_pool3d(x, (steps, x.shape[3] // grid, x.shape[4] // grid))


def _mixture(n_in: int, n_out: int) -> nn.Conv3d:
    return nn.Conv3d(n_in, n_out, kernel_size=1, bias=False)


class Colour(nn.Module):
    """Three mixtures of the local mean colour, with mild saturation."""

    def __init__(self):
        super().__init__()
        self.mix = _mixture(3, 3)

    def forward(self, film: Tensor) -> Tensor:
        return torch.tanh(self.mix(_pool(film)))


class Orientation(nn.Module):
    """Square roots of contrast energies, summed as vectors at the double angles of their orientations."""

    def __init__(self, orientations: int):
        super().__init__()
        self.vote = _mixture(orientations, 2)

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        return self.vote(torch.sqrt(_pool(even**2 + odd**2) + EPSILON))


class Motion(nn.Module):
    """Opponent motion energies over contrast energy, as one vector, at half the frame rate.

    A filter pair's opponent energy over its contrast energy is the sine of the phase shift between two frames, signed.
    """

    def __init__(self, orientations: int):
        super().__init__()
        self.vote = _mixture(orientations, 2)

    def forward(self, even: Tensor, odd: Tensor) -> Tensor:
        even_before, odd_before = (torch.cat([x[:, :, :1], x[:, :, :-1]], dim=2) for x in (even, odd))
        passed = _pool(even * odd_before - odd * even_before, steps=2)
        return self.vote(passed / (_pool(even**2 + odd**2, steps=2) + EPSILON))


class Conjunction(nn.Module):
    """A mixture of colours times a mixture of orientations, coarser in space, at a quarter of the frame rate."""

    def __init__(self, n_out: int = 6):
        super().__init__()
        self.left = _mixture(3, n_out)
        self.right = _mixture(2, n_out)

    def forward(self, colour: Tensor, orientation: Tensor) -> Tensor:
        return _pool(self.left(colour) * self.right(orientation), steps=4, grid=GRID // 2)


class FakeNet(nn.Module):
    """Clips (batch, 3, T, 64, 64) in [-1, 1] -> (batch, 6, T / 4, 2, 2)."""

    def __init__(self, orientations: int, kernel: int):
        super().__init__()
        self.gabor = nn.Conv3d(1, 2 * orientations, (1, kernel, kernel), stride=(1, 2, 2), bias=False)
        self.colour = Colour()
        self.orientation = Orientation(orientations)
        self.motion = Motion(orientations)
        self.conjunction = Conjunction()

    def forward(self, film: Tensor) -> Tensor:
        luminance = film.mean(dim=1, keepdim=True)
        margin = self.gabor.kernel_size[1] // 2
        luminance = functional.pad(luminance, (margin, margin, margin, margin, 0, 0), mode="replicate")
        even, odd = self.gabor(luminance).chunk(2, dim=1)
        colour = self.colour(film)
        orientation = self.orientation(even, odd)
        self.motion(even, odd)
        return self.conjunction(colour, orientation)
