"""Cortical maps as GIFTI files, which FreeSurfer, Connectome Workbench and nilearn read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import replacing_file, safe_name, writing
from . import surface_maps
from .picture import Picture
from .scores import BenchmarkScores, readable_scores
from .surface_plot import HEMISPHERES, N_VERTICES, PER_HEMISPHERE


def write_gifti(values: np.ndarray, path: Path, name: str) -> list[Path]:
    """Write values on fsaverage5 to two files, one per hemisphere.

    values: (20484,), left hemisphere first, NaN without a value; path: without suffix; name: of the map, in the file.
    Returns PATH.L.func.gii and PATH.R.func.gii, float32.
    """
    import nibabel

    values = np.asarray(values, dtype=np.float32)
    if values.shape != (N_VERTICES,):
        raise ValueError(f"values of shape {values.shape}; expected ({N_VERTICES},)")
    written = []
    for index, hemisphere in enumerate(HEMISPHERES):
        part = values[index * PER_HEMISPHERE : (index + 1) * PER_HEMISPHERE]
        array = nibabel.gifti.GiftiDataArray(
            part, intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32", meta={"Name": name}
        )
        structure = {"AnatomicalStructurePrimary": f"Cortex{hemisphere.capitalize()}"}
        image = nibabel.gifti.GiftiImage(darrays=[array], meta=nibabel.gifti.GiftiMetaData(structure))
        target = path.with_name(f"{path.name}.{hemisphere[0].upper()}.func.gii")
        with writing(target, "--output"), replacing_file(target) as part_file:
            part_file.write_bytes(image.to_bytes())
        written.append(target)
    return written


def write_picture(picture: Picture, folder: Path, prefix: str = "") -> int:
    """Write the maps of a figure of kind "surface" to FOLDER/PREFIX-NAME-TITLE.{L,R}.func.gii; return their number."""
    for panel in picture.spec["panels"]:
        name = f"{prefix}{picture.name}-{safe_name(panel['title'].split(', n = ')[0])}"
        write_gifti(panel["values"], folder / name, f"{picture.title}: {panel['title']}")
    return len(picture.spec["panels"])


def write_maps(benchmarks: Sequence[BenchmarkScores], folder: Path, top: int) -> int:
    """Write the maps of every benchmark to FOLDER/BENCHMARK/NAME.{L,R}.func.gii and return the number of maps.

    Maps: noise ceiling, and raw and normalised test score and best layer (index from 0) of the first `top` models.
    """
    n = 0
    for benchmark in benchmarks:
        shown, _ = readable_scores(benchmark, top)
        n += sum(write_picture(picture, folder / benchmark.slug) for picture in surface_maps.pictures(benchmark, shown))
        for score in shown:
            score.release()
    return n
