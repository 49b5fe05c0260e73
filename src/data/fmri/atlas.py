"""Vertices of fsaverage5 and their cortical areas.

Areas: HCP-MMP1 (Glasser et al. 2016, Nature 536:171), 180 per hemisphere, on fsaverage as projected by K. Mills
(figshare 3498446, version 2, CC BY 4.0; use falls under the HCP's terms). fsaverage5 is nested in fsaverage: its
vertices are the first 10,242 of each hemisphere and have the same labels. Other files of the same atlas differ (the
ENIGMA one agrees in 86 % of the left and 77 % of the right vertices), so the source is pinned by checksum.
"""

from pathlib import Path

import numpy as np

from ...utils import BadInput, file_digest
from ..release import Http, Need, Release

N_HEMI = 10242
N_VERTICES = 2 * N_HEMI
HEMISPHERES = ("L", "R")
NO_AREA, UNKNOWN = "none", "unknown"
FOLDER = "../atlas"  # beside the folders of the studies, which share it
FILES = {"L": "lh.HCP-MMP1.annot", "R": "rh.HCP-MMP1.annot"}
SHA256 = {
    "L": "d4da634644b4c595dbda23963e01752059f0e7714be70169eb84e25e09ba2b44",
    "R": "744eff4e57ce8121c43851eea425475baf92d9ba8686299a7435517ab972e9a2",
}
_FIGSHARE = "https://ndownloader.figshare.com/files"
NEED = Need(
    "areas of fsaverage (HCP-MMP1)",
    f"{FOLDER}/*.HCP-MMP1.annot",
    Http(
        {f"{FOLDER}/{FILES['L']}": f"{_FIGSHARE}/5528816", f"{FOLDER}/{FILES['R']}": f"{_FIGSHARE}/5528819"},
        gigabytes=0.003,
        sha256={f"{FOLDER}/{FILES[hemi]}": SHA256[hemi] for hemi in HEMISPHERES},
    ),
    count=2,
    optional=True,
)


def units(release: Release) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the unit table of fsaverage5, left hemisphere first, and a record's note on its areas.

    Columns: unit_id "0".."20483", hemi "L"/"R", vertex (its number within the hemisphere), region "L_V1", "none" on the
    medial wall, "unknown" if the atlas files are absent.
    """
    hemi = np.repeat(HEMISPHERES, N_HEMI)
    region = regions(release.folder / FOLDER)
    notes = {"regions": "HCP-MMP1 on fsaverage (figshare 3498446 v2), first 10,242 vertices"}
    if region is None:
        region = np.full(N_VERTICES, UNKNOWN)
        notes = {"regions": f"unknown: no {FILES['L']} and {FILES['R']} in DATA_HOME/atlas"}
    table = {"unit_id": np.arange(N_VERTICES).astype(str), "hemi": hemi, "region": region}
    return table | {"vertex": np.tile(np.arange(N_HEMI), 2)}, notes


def regions(folder: Path) -> np.ndarray | None:
    """Return the area of each vertex of fsaverage5, (20484,) left first; None if the two files are not in `folder`.

    Raises BadInput for files with another checksum.
    """
    paths = {hemi: folder / file for hemi, file in FILES.items()}
    if not all(path.is_file() for path in paths.values()):
        return None
    for hemi, path in paths.items():
        if file_digest(path) != SHA256[hemi]:
            raise BadInput(
                f"{path.resolve()} is not HCP-MMP1 as published on figshare 3498446 v2 (checksum differs); remove it "
                f"and fetch again"
            )
    return np.concatenate([_areas(hemi, path) for hemi, path in paths.items()])


def _areas(hemi: str, path: Path) -> np.ndarray:
    from nibabel.freesurfer import read_annot

    label, _, names = read_annot(path)
    # the names include their hemisphere, "L_V1_ROI"; the first one, "???", labels vertices without an area
    area = np.array([name.decode().removesuffix("_ROI") if k else NO_AREA for k, name in enumerate(names)])
    if not all(name.startswith(f"{hemi}_") for name in area[1:]):
        raise BadInput(f"{path}: areas of another hemisphere than {hemi}; fetch the file again")
    return area[np.maximum(label[:N_HEMI], 0)]
