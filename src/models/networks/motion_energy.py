"""Motion energy (Nishimoto et al. 2011, Curr Biol 21:1641) as a network: pymoten's filters, applied by torch."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

MASK = 1e-3
OFFSET = 1e-5
LAYER = "motion-energy"
_SPATIAL = ("centerh", "centerv", "direction", "spatial_freq", "spatial_env")
_TEMPORAL = ("temporal_freq", "temporal_env")


class MotionEnergy(nn.Module):
    """Luminance videos (batch, T, height, width), 0 to 100 -> log motion energy (batch, T, n_filters).

    The filters are those of a pymoten pyramid, computed by pymoten. They are applied as one product with the spatial
    Gabors and one short correlation in time, so that a batch runs on any device. The result is that of
    `pyramid.project_stimulus` except at the ends of a video: pymoten pads with black frames, a flash that dominates
    every window; here the first and the last frame are repeated.
    The filters are not in the state dict, so that the digest does not depend on the rounding of cosines.
    """

    def __init__(self, height: int, width: int, fps: int):
        super().__init__()
        import moten

        pyramid = moten.get_default_pyramid(vhsize=(height, width), fps=fps)
        self.steps = int(pyramid.definition.filter_temporal_width)
        spatial, spatial_index = _distinct(pyramid, _SPATIAL)
        temporal, temporal_index = _distinct(pyramid, _TEMPORAL)
        gabors = moten.core.mk_3d_gabor_batched((height, width), pyramid.filters)
        sine, cosine, slow_sine, slow_cosine = (torch.as_tensor(part).float().cpu() for part in gabors)
        kept = sine.abs() + cosine.abs() > MASK
        pair = torch.stack([slow_cosine, slow_sine, -slow_sine, slow_cosine], dim=1)[temporal].flip(-1)
        self.register_buffer("space", torch.stack([sine * kept, cosine * kept])[:, spatial], persistent=False)
        self.register_buffer("time", pair.reshape(2 * len(temporal), 2, self.steps), persistent=False)
        filters = torch.as_tensor(spatial_index * len(temporal) + temporal_index)
        self.register_buffer("filters", filters, persistent=False)
        self.add_module(LAYER, nn.Identity())

    def forward(self, videos: Tensor) -> Tensor:
        """Correlate spatial and temporal quadrature pairs; return the log of the root of the sum of squares."""
        batch, length = videos.shape[:2]
        series = torch.einsum("btp,qsp->bsqt", videos.flatten(2), self.space).flatten(0, 1)
        ahead = (self.steps + 1) // 2 - 1
        series = functional.pad(series, (self.steps - 1 - ahead, ahead), mode="replicate")
        pairs = functional.conv1d(series, self.time).reshape(batch, -1, 2, length)
        energy = torch.log(pairs.square().sum(dim=2).sqrt() + OFFSET)
        return self.get_submodule(LAYER)(energy[:, self.filters].transpose(1, 2))


def _distinct(pyramid, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first filter of each distinct combination of parameters, and the combination of every filter."""
    values = np.stack([pyramid.parameters[name] for name in names], axis=1)
    _, first, index = np.unique(values.round(9), axis=0, return_index=True, return_inverse=True)
    return first, index.reshape(-1)
