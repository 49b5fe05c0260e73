"""Random-dot motion: discrimination of rightward and leftward drift at five coherences.

After the stimulus of Ding L, Gold JI (2012), Cerebral Cortex 22:1052-1067; rendered here from a seed, so that no
recordings are read and no licence applies. 2 directions x 5 coherences x 100 films of 2 s at 60 Hz: white dots on black
in a round aperture. Three sets of dots alternate, each shown every third frame; when its set is shown again, a coherent
dot has moved by the distance of three frames, and any other dot has a new random position. Positions wrap in the square
around the aperture.

In every frame the share of coherent dots is the nominal one: their number follows the running sum of coherence x dots,
so that the error is less than one dot in a frame and in the whole film. Dots that were coherent least often are chosen
first. The published loader samples the coherent dots from all three sets, unseeded, so that their share varies.

A manifest prepared/ding2012.csv, if any, selects films by stimulus_id, <100 x coherence>_<direction>_<number>.
"""

import csv
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput, first_names, seed_from
from ..declare import Task
from ..films import write_lossless
from ..release import Release
from .rendering import paint_dots, rendered

DIRECTIONS = (0, 180)
COHERENCES = (0.032, 0.064, 0.128, 0.256, 0.512)
N_SAMPLES = 100
FPS, N_FRAMES, LIMIT_MS = 60.0, 120, 2000.0


@dataclass(frozen=True)
class Geometry:
    """Geometry of the films: lengths in the published units, speed in units per second, width `size_px` in pixels."""

    aperture: float = 5.0
    half_field: float = 8.0
    speed: float = 6.0
    n_dots: int = 62
    n_sets: int = 3
    dot_radius: float = 0.08
    size_px: int = 224
    version: int = 1


GEOMETRY = Geometry()


def all_films() -> dict[str, tuple[int, float]]:
    """Return {stimulus_id: (direction in degrees, coherence)} of all films."""
    conditions = itertools.product(COHERENCES, DIRECTIONS, range(N_SAMPLES))
    return {f"{100 * c:g}_{direction}_{i}": (direction, c) for c, direction, i in conditions}


def coherent_counts(coherence: float, sizes: np.ndarray, phase: float) -> np.ndarray:
    """Return the number of coherent dots per update (n_updates,) of `sizes` dots; phase in [0, 1) of the rounding."""
    upto = np.floor(np.cumsum(coherence * sizes) + phase)
    return np.diff(upto, prepend=np.floor(phase)).astype(int)


def dot_frames(identity: str, geometry: Geometry = GEOMETRY) -> Iterator[np.ndarray]:
    """Yield, per frame, the dots of the set shown, (n, 2) as (right, up), including those outside the aperture."""
    direction, coherence = all_films()[identity]
    rng = np.random.default_rng(seed_from("ding2012", identity))
    half = geometry.aperture
    sets = np.array_split(rng.uniform(-half, half, (geometry.n_dots, 2)), geometry.n_sets)
    often = [np.zeros(len(dots)) for dots in sets]
    turn = np.arange(N_FRAMES) % geometry.n_sets
    moved = np.array([len(sets[k]) for k in turn]) * (np.arange(N_FRAMES) >= geometry.n_sets)
    angle = np.deg2rad(direction)
    step = geometry.speed / FPS * geometry.n_sets * np.array([np.cos(angle), np.sin(angle)])
    for k, n_moved, n_together in zip(turn, moved, coherent_counts(coherence, moved, rng.random()), strict=True):
        if n_moved:
            order = np.lexsort((rng.random(n_moved), often[k]))
            together, others = order[:n_together], order[n_together:]
            sets[k][together] = (sets[k][together] + step + half) % (2 * half) - half
            sets[k][others] = rng.uniform(-half, half, (len(others), 2))
            often[k][together] += 1
        yield sets[k].copy()


def render_film(identity: str, geometry: Geometry = GEOMETRY) -> Iterator[np.ndarray]:
    """Yield the frames of a film, each uint8 (size_px, size_px)."""
    per_unit = geometry.size_px / (2 * geometry.half_field)
    for dots in dot_frames(identity, geometry):
        shown = dots[np.hypot(*dots.T) <= geometry.aperture]
        at_px = (geometry.half_field + shown * [1, -1]) * per_unit - 0.5
        yield paint_dots(at_px, geometry.size_px, geometry.dot_radius * per_unit)


def chosen(release: Release) -> list[str]:
    """Return the films that the manifest names, or all without a manifest; BadInput for an unknown name."""
    known, manifest = all_films(), release.manifest(release.name)
    if not manifest.is_file():
        return list(known)
    with open(manifest, newline="", encoding="utf-8") as handle:
        named = [row.get("stimulus_id", "") for row in csv.DictReader(handle)]
    unknown = [identity for identity in named if identity not in known]
    if unknown or not named:
        raise BadInput(
            f"{manifest}: {len(unknown)} of {len(named)} names are no films ({first_names(unknown, 3)}); expected "
            f"names like 51.2_180_0; remove it for all {len(known)} films"
        )
    return named


def read(release: Release) -> Labels:
    """Return films, rendered unless they exist, and the direction of their dots in degrees."""
    identities = chosen(release)
    direction, coherence = zip(*(all_films()[identity] for identity in identities), strict=True)

    def make(index: int, path: Path) -> None:
        write_lossless(path, render_film(identities[index]), FPS)

    files = [f"{identity}.mkv" for identity in identities]
    paths = rendered(release, "ding2012-films", {**asdict(GEOMETRY), "fps": FPS, "frames": N_FRAMES}, files, make)
    stimuli = Stimuli(
        name=release.name,
        ids=tuple(identities),
        paths=tuple(paths),
        duration_ms=np.full(len(paths), 1000 * N_FRAMES / FPS),
        kind=("video",) * len(paths),
        table={"direction": list(direction), "coherence": list(coherence)},
    )
    return Labels(stimuli, np.array(direction).astype(str)[:, None], ("direction",), strata=np.array(coherence))


DATASETS = [
    Task(
        name="ding2012",
        study="ding2012",
        read=read,
        citation="after Ding & Gold 2012, Cereb Cortex 22:1052, doi:10.1093/cercor/bhr178",
        licence="MIT (rendered)",
        access="rendered",
        source="rendered from a seed when it is prepared",
        limit_ms=LIMIT_MS,
        note="at low coherence, accuracy near chance is expected",
        expected={
            "stimuli": len(DIRECTIONS) * len(COHERENCES) * N_SAMPLES,
            "labels": 1,
            "classes": len(DIRECTIONS),
        },
    )
]
