"""Miniature of oleo-hacs250: 60 clips of half a second, six sites, three repetitions, 45 bins of 20 ms from 0 ms on.

The sites are planted in the layer colour of the embedded network, from 200 ms on, when the clip appears.
"""

from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.files import render_films
from src.data.synthetic.scenes import moving_scenes
from src.utils import regular_bins

STUDY = "oleo-hacs250"
CLIPS, SITES, REPETITIONS, N_BINS, LAYER = 60, 6, 3, 45, "colour"
ONSET, SHOWN = 10, 25
RECORDED = "/lab/home/someone/temporal_integration/monkey_experiments/"
EXPECTED = {"oleo-hacs250": {"stimuli": 60, "subjects": 1, "repetitions": 3, "bins": 25, "units": 6}}


def place(k: int) -> str:
    """Return the path of a clip; two classes have files of the same names."""
    return f"stimuli/hacs250/class{k // 30}/clip{k % 30:03d}.mp4"


def write(folder: Path) -> None:
    """Write the netCDF, in a separate folder, and the clips."""
    import xarray

    paths = [folder / place(k) for k in range(CLIPS)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    films = []
    for k, path in enumerate(paths):
        films += render_films(lambda _, k=k: moving_scenes(np.random.default_rng([k, 3]), 13, (0.1, 0.3)), [path])
    rng = np.random.default_rng(250)
    activations = [film[LAYER] for film in plant.binned(films, [regular_bins(500, 20)] * CLIPS)]
    rows = np.concatenate(activations)
    signal = plant.unit_variance(rows @ plant.directions(rng, rows, SITES, 4)).reshape(CLIPS, SHOWN, SITES)
    clip, repetition = (axis.ravel() for axis in np.indices((CLIPS, REPETITIONS)))
    order = rng.permutation(len(clip))
    clip, repetition = clip[order], repetition[order]
    values = 0.5 * rng.standard_normal((len(clip), SITES, N_BINS))
    values[:, :, ONSET : ONSET + SHOWN] += signal[clip].swapaxes(1, 2)
    columns = {
        "video_identifier": clip + 1000,
        "stimulus_id": np.arange(len(clip)),
        "video_label": np.array([f"action {k % 30}" for k in clip]),
        "video_class": np.array([f"class{k // 30}" for k in clip]),
        "image_current_local_file_path": np.array([RECORDED + place(k) for k in clip]),
        "repetition": repetition,
    }
    array = xarray.DataArray(
        values.astype(np.float32),
        dims=["presentation", "neuroid", "time_bin"],
        coords={name: ("presentation", column) for name, column in columns.items()}
        | {
            "neuroid_id": ("neuroid", np.array([f"site-{k}" for k in range(SITES)])),
            "region": ("neuroid", np.array(["IT"] * SITES)),
            "time_bin_start": ("time_bin", 20 * np.arange(N_BINS)),
            "time_bin_stop": ("time_bin", 20 * np.arange(1, N_BINS + 1)),
        },
    )
    home = folder / "neural"
    home.mkdir(exist_ok=True)
    array.to_netcdf(home / "oleo.rsvp.hacs250-pclips.experiment_psth.nc", engine="netcdf4")
