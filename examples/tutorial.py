# %% [markdown]
# # Tutorial: score networks of your own on a recording of your own
#
# Run it as a script (`python examples/tutorial.py`), or cell by cell in an editor with `# %%` cells; `jupytext` makes a
# notebook of it. It takes half a minute on two cores.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import dynamic_vision as dv
from dynamic_vision.data.films import write_lossless

# %% [markdown]
# ## Films
#
# Any film or image files will do. Here: 40 films of one second whose four quadrants change their brightness ten times.

# %%
rng = np.random.default_rng(0)
brightness = rng.uniform(0, 1, (40, 10, 2, 2))
folder = Path(tempfile.mkdtemp())
films = []
for i, film in enumerate(brightness):
    frames = (255 * film).astype(np.uint8).repeat(3, axis=0).repeat(32, axis=1).repeat(32, axis=2)
    films.append(write_lossless(folder / f"film-{i:02}.mkv", frames, fps=30))

# %% [markdown]
# ## Responses
#
# An array (films, repetitions, bins, units). Here: four units, each follows one quadrant, recorded twice with noise;
# two of them are region A, two region B. A fifth unit is noise: no model should predict it.

# %%
signal = brightness.reshape(40, 1, 10, 4)
values = np.concatenate([signal, np.zeros((40, 1, 10, 1))], axis=3) + rng.normal(0, 0.1, (40, 2, 10, 5))
recording = dv.responses(
    dv.stimuli(films, name="quadrants"),
    values,
    bin_ms=100,
    units={"unit_id": ["a1", "a2", "b1", "b2", "noise"], "region": ["A", "A", "B", "B", "none"]},
)


# %% [markdown]
# ## Networks
#
# Any `torch.nn.Module` that takes images or clips. The first averages over quadrants, the second over the whole frame.


# %%
class Pooled(nn.Module):
    """Random filters and the mean of their responses over a grid of `cells` x `cells`."""

    def __init__(self, cells: int):
        super().__init__()
        torch.manual_seed(0)
        self.filters = nn.Conv2d(3, 8, 7, stride=4)
        self.pool = nn.AdaptiveAvgPool2d(cells)

    def forward(self, images):
        return self.pool(torch.relu(self.filters(images))).flatten(1)


# %% [markdown]
# ## Scores
#
# `dv.score` computes the activations of all layers, fits a ridge regression on the training films of each split, and
# reports Pearson r on its test films. A notebook shows the table of the last line of a cell.

# %%
quadrants = dv.score(Pooled(2), recording, benchmark="electrodes", name="quadrants", layers=["pool"], splits=5)
print(quadrants.summary())

# %%
whole_frame = dv.score(Pooled(1), recording, benchmark="electrodes", name="whole frame", layers=["pool"], splits=5)
print(whole_frame.summary())

# %% [markdown]
# ## Comparison of two models
#
# Both were scored on the same films: the bootstrap samples are paired.

# %%
difference = dv.compare(quadrants, whole_frame)
print(f"difference {difference['difference']:.3f}, 95 % {difference['low']:.3f} to {difference['high']:.3f}")

# %% [markdown]
# ## Tables and arrays

# %%
table = quadrants.to_dataframe()
print(table.groupby("target_unit_id")["test"].mean().round(3))

# %%
arrays = quadrants.to_xarray()
print(arrays["test"].sel(layer="pool", target="a1").mean("split").item())

# %% [markdown]
# ## Plots
#
# Layer profiles of both models in one figure.

# %%
axes = quadrants.plot()
whole_frame.plot(axes)
axes.figure.savefig(folder / "profiles.png")
plt.close(axes.figure)
print(f"figure in {folder}")

# %% [markdown]
# ## Activations alone

# %%
activations = dv.extract(Pooled(2), films[:3], bin_ms=100)
print({layer: values.shape for layer, values in activations.layers.items()})
