"""Miniature of Sava-Segal et al. 2023: two subjects per film, a short run, one at another TR, a misleading folder."""

from pathlib import Path

from src.utils import regular_bins
from tests.data.planted_fmri import film_signals, write_volumes

STUDY = "savasegal2023"
FILMS_S = {"Defeat": 62.0, "Growth": 62.0, "Iteration": 62.0, "Lemonade": 62.0}
BEFORE, AFTER = 2, {"Defeat": 12, "Growth": 11, "Iteration": 11, "Lemonade": 11}
EXPECTED = {
    f"savasegal2023-fmri-{film.lower()}": {"stimuli": 1, "subjects": 2, "repetitions": 2, "bins": 62, "units": 20484}
    for film in FILMS_S
}


def write(folder: Path) -> None:
    """Write the release; the volumes of two films are in a folder with the name of a third."""
    for film, seconds in FILMS_S.items():
        n_volumes = int(seconds) + BEFORE + AFTER[film]
        bins_ms = regular_bins(n_volumes * 1000, 1000) - BEFORE * 1000
        signals = film_signals(folder / f"{film}.mp4", seconds, bins_ms)
        place = folder / ("defeat" if film in ("Growth", "Iteration") else "volumes")
        for subject in ("NSD101", "NSD102"):
            write_volumes(place / f"sub-{subject}_task-{film.lower()}_nocensor.nii.gz", signals)
        if film == "Growth":
            write_volumes(place / "sub-NSD103_task-growth_nocensor.nii.gz", signals[:50])
            write_volumes(place / "sub-NSD104_task-growth_nocensor.nii.gz", signals, tr_s=2.0)
