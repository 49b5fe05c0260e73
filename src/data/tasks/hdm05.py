"""Point-light actions: motion-captured actions shown as dots from four views.

Mueller M, Roeder T, Clausen M, Eberhardt B, Krueger B, Weber A (2007). Documentation Mocap Database HDM05. Tech. Report
CG-2007-2, Universitaet Bonn. resources.mpi-inf.mpg.de/HDM05, CC BY-SA 3.0. Layout:
<DATA_HOME>/hdm05/HDM05_cut_c3d/<class>/HDM_<actor>_<class>_<take>_120.C3D: 2,337 clips of five actors at 120 Hz.

Each clip is shown from 0, 30, 60 and 90 degrees for four seconds, and repeated if it is shorter; 50 films per class.
The class is the folder's name up to its first digit. Differences from the published films:

- real time (`--pace real`): 25 frames per second of the recording, interpolated between its samples; `published` shows
  every fourth sample at 25 frames per second, which is 1.2 times slower;
- a lost marker is not painted and does not affect the scale; in the published films it is at the origin;
- one scale for all axes and views, from the clip's extent: bodies keep their proportions and stay in the picture;
- the static random dots behind the body (`--background dots`) are sampled from a seed; `none` leaves them out;
- the views of a clip stay in one part of a split (`--groups clip`); `actor` keeps an actor's clips of a class together.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...records import Labels
from ...utils import BadInput, seed_from
from ..declare import Task
from ..films import write_lossless
from ..notes import number_and_names
from ..release import Http, Need, Release
from . import sampling
from .rendering import paint_boxes, rendered

N_ITEMS = 50
VIEWS_DEG = (0, 30, 60, 90)
FPS, N_FRAMES, SAMPLE_HZ = 25.0, 100, 120.0
SIZE_PX, MARGIN, BACKGROUND_SHARE = 224, 0.06, 0.02
STEP = {"real": SAMPLE_HZ / FPS, "published": 4.0}  # samples of the recording per frame
FEWEST_MARKERS, VERSION = 8, 1
PATTERN = "**/*.[cC]3[dD]"
_ARCHIVE = Http(
    {"HDM05_cut_c3d.zip": "https://resources.mpi-inf.mpg.de/HDM05/cuts/HDM05_cut_c3d.zip"},
    0.0,
    unpack=("HDM05_cut_c3d.zip",),
)
NEEDS = (Need("cut clips", PATTERN, _ARCHIVE),)
_NAME = re.compile(r"HDM_([a-z]{2})_.+_\d+_120$")


@dataclass(frozen=True)
class Recording:
    """Marker positions (n_samples, n_markers, 3) as (depth, right, up), NaN for a lost marker."""

    positions: np.ndarray


@lru_cache(maxsize=16)
def read_c3d(path: Path) -> Recording:
    """Return a clip; BadInput for a damaged file, another sampling rate, or too few markers."""
    import ezc3d

    try:
        file = ezc3d.c3d(str(path))
    except (OSError, RuntimeError, ValueError, IndexError, MemoryError) as error:
        raise BadInput(f"{path}: cannot be read as C3D ({error}); get it again") from error
    points, residuals = file["data"]["points"][:3], file["data"]["meta_points"]["residuals"][0]
    rate = float(file["parameters"]["POINT"]["RATE"]["value"][0])
    expected = _header_samples(path)
    if not np.isclose(rate, SAMPLE_HZ):
        raise BadInput(f"{path}: {rate:g} samples per second; expected {SAMPLE_HZ:g}; remove it")
    if points.shape[2] < expected:
        raise BadInput(f"{path}: {points.shape[2]} of {expected} samples; it is truncated, get it again")
    lost = (residuals < 0) | ~np.isfinite(points).all(axis=0) | (points == 0).all(axis=0)
    positions = np.where(lost, np.nan, points).transpose(2, 1, 0)
    seen = np.isfinite(positions[..., 0]).any(axis=0)
    if seen.sum() < FEWEST_MARKERS:
        raise BadInput(f"{path}: {seen.sum()} markers with a position; expected at least {FEWEST_MARKERS}; remove it")
    return Recording(positions[:, seen])


def _header_samples(path: Path) -> int:
    """Return the number of samples in the header; the reader does not check it."""
    with open(path, "rb") as handle:
        header = handle.read(512)
        handle.seek((header[0] - 1) * 512 + 3)
        big_endian = handle.read(1) == b"\x56"  # SGI and other MIPS machines
    first, last = struct.unpack(">HH" if big_endian else "<HH", header[6:10])
    return last - first + 1


def frames_of(recording: Recording, step: float) -> np.ndarray:
    """Return marker positions at the frames of a film, (N_FRAMES, n_markers, 3), linear between samples.

    The clip repeats after its end. A marker is lost between two samples if it is lost in either.
    """
    n = len(recording.positions)
    at = (np.arange(N_FRAMES) * step) % n
    before = np.floor(at).astype(int)
    share = (at - before)[:, None, None]
    after = np.minimum(before + 1, n - 1)
    exact = recording.positions[before]
    return np.where(share > 1e-9, (1 - share) * exact + share * recording.positions[after], exact)


def projected(positions: np.ndarray, view_deg: float) -> np.ndarray:
    """Return markers (..., 3) rotated about the vertical axis and projected: (..., 2) as (right, down) in pixels.

    The scale follows from the extent of all positions: the larger of their height and of the diagonal of their ground
    plan, which no view exceeds. The middle of the extent is the middle of the picture.
    """
    low, high = np.nanmin(positions, axis=(0, 1)), np.nanmax(positions, axis=(0, 1))
    extent = max(high[2] - low[2], np.hypot(*(high - low)[:2]), 1e-9)
    depth, right, up = np.moveaxis((positions - (low + high) / 2) / extent, -1, 0)
    turn = np.deg2rad(view_deg)
    across = right * np.cos(turn) - depth * np.sin(turn)
    width = SIZE_PX * (1 - 2 * MARGIN)
    return np.stack([across * width, -up * width], axis=-1) + (SIZE_PX - 1) / 2


def render_film(path: Path, identity: str, view_deg: float, pace: str, background: str):
    """Yield the frames of a clip in one view, each uint8 (224, 224); markers look like the background's dots."""
    still = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    if background == "dots":
        rng = np.random.default_rng(seed_from("hdm05", "background", identity))
        at = rng.integers(0, SIZE_PX, (round(BACKGROUND_SHARE * SIZE_PX**2), 2))
        still = paint_boxes(at, SIZE_PX)
    for markers in projected(frames_of(read_c3d(path), STEP[pace]), view_deg):
        seen = markers[np.isfinite(markers).all(axis=1)]
        yield np.maximum(still, paint_boxes(seen, SIZE_PX))


def items(release: Release, notes: sampling.Notes) -> sampling.Items:
    """Return {class: {"<folder>-<view>-<clip>": path}}, with every clip once per view."""
    found: dict[str, dict[str, Path]] = {}
    others = []
    for path in release.files(PATTERN):
        label = re.split(r"\d", path.parent.name, maxsplit=1)[0]
        if label and _NAME.match(path.stem):
            views = {f"{path.parent.name}-{view}-{path.stem}": path for view in VIEWS_DEG}
            found.setdefault(label, {}).update(views)
        else:
            others.append(path.name)
    notes |= {"clips of another name": number_and_names(others)} if others else {}
    return found


def _fit(identity: str, path: Path) -> tuple[float, float]:
    read_c3d(path)
    return float("nan"), 1000 * N_FRAMES / FPS


def read(release: Release) -> Labels:
    """Return films, rendered unless they exist, and their actions."""
    sampled, notes = sampling.sample(release, lambda notes: items(release, notes), _fit, n_items=N_ITEMS)
    pace, background = release.options.get("pace", "real"), release.options.get("background", "dots")
    views = [int(item.stimulus_id.split("-", 2)[1]) for item in sampled]

    def make(index: int, path: Path) -> None:
        item = sampled[index]
        clip = release.folder / item.file
        write_lossless(path, render_film(clip, item.stimulus_id, views[index], pace, background), FPS)

    recipe = {"version": VERSION, "pace": pace, "background": background}
    files = [f"{item.stimulus_id}.mkv" for item in sampled]
    paths = rendered(release, f"hdm05-films-{pace}-{background}", recipe, files, make)
    by = release.options.get("groups", "clip")
    clips = [Path(item.file).stem for item in sampled]
    actors = [_NAME.match(clip)[1] for clip in clips]
    groups = clips if by == "clip" else [f"{item.label}/{a}" for item, a in zip(sampled, actors, strict=True)]
    stimuli = sampling.stimuli(release, sampled, image=False, paths=paths)
    stimuli.table.update({"view": views, "actor": actors, "clip": clips})
    notes |= {"pace": pace, "background": background, "kept together by splits": f"films of one {by}"}
    return sampling.labelled(stimuli, "action", notes, groups=np.array(groups))


DATASETS = [
    Task(
        name="hdm05",
        study="hdm05",
        read=read,
        needs=NEEDS,
        options={"pace": ("real", "published"), "background": ("dots", "none"), "groups": ("clip", "actor")},
        citation="Mueller et al. 2007, CG-2007-2, Universitaet Bonn",
        licence="CC BY-SA 3.0",
        access="download",
        source="resources.mpi-inf.mpg.de/HDM05, cut C3D clips",
        note="if its server refuses a fetch, download HDM05_cut_c3d.zip with a browser and unpack it in the folder",
        expected={"labels": 1},
    )
]
