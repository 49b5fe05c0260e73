"""Macaque IT during 250 short clips of HACS, shown one after another: an unpublished recording.

No publication; clips from Zhao et al. 2019 (ICCV). Files from the owners of the recording, in <DATA_HOME>/oleo-hacs250
at any depth: oleo.rsvp.hacs250-pclips.experiment_psth.nc, a netCDF array of presentation x neuroid x time_bin with the
coordinates video_identifier (or image_id), image_current_local_file_path and, where there are any, repetition,
video_label and video_class; neuroid_id; time_bin_start and time_bin_end (or time_bin_stop) in ms; and the clips, each
of which is found by the longest end of its recorded path.

A clip appears 200 ms into the recording. The bins from there to 500 ms later are used, including the one that ends
there, and time 0 is the clip's first frame (option `onset`: "200"). The published reader leaves out the last bin and
keeps the recording's time, so that a model receives the clip 200 ms early: "0" keeps the time, not the omission. Option
`shown`: "stills" is the published variant for image models: each clip's first frame, and the mean of the responses from
40 to 140 ms after its onset.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...records import Responses
from ...utils import BadInput, digest, first_names
from ..brainio import from_assembly, read_array
from ..brainio.from_brainscore import averaged, distinct, numbered
from ..declare import Electrodes
from ..films import write_png
from ..release import ByHand, Need, Release

NAME = "oleo-hacs250"
RECORDING = "oleo.rsvp.hacs250-pclips.experiment_psth.nc"
ONSET_MS, WINDOW_MS, STILL_MS = 200.0, (200.0, 700.0), (240.0, 340.0)
STIMULUS_NAMES = ("video_identifier", "image_id", "stimulus_id")
PATHS = "image_current_local_file_path"
TABLE = {"label": "video_label", "class": "video_class"}
FILMS = {".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif"}


def read(release: Release) -> Responses:
    """Return the recording from clip onset on; BadInput for missing clips and for a netCDF of another form."""
    found = release.files(f"**/{RECORDING}")
    if len(found) > 1:
        raise BadInput(f"{NAME}: {RECORDING} exists {len(found)} times ({found[0]}, {found[1]}); keep one")
    plain = opened(found[0])
    stimuli, onset_ms = _stimulus_set(release, plain), float(release.options.get("onset", "200"))
    if release.options.get("shown", "clips") == "stills":
        stimuli.stimulus_paths = {i: _first_frame(release, path) for i, path in stimuli.stimulus_paths.items()}
        plain = averaged(_tidy(plain), NAME, *STILL_MS)
    else:
        plain = _cut(_tidy(plain), found[0])
    record = from_assembly(plain, stimuli, name=NAME, shown_ms=STILL_MS[1] - ONSET_MS)
    notes = {"time": f"0 is {onset_ms:g} ms into the recording"}
    return replace(record, time_ms=record.time_ms - onset_ms, notes=notes)


def _first_frame(release: Release, path: Path) -> Path:
    """Return the first frame of a clip as PNG beside the prepared data, written unless it exists for this file."""
    from ...video import read_frames

    recipe = digest([str(path.relative_to(release.folder)), path.stat().st_size])
    still = release.folder / "prepared" / f"{NAME}-stills" / f"{path.stem}-{recipe[:8]}.png"
    return still if still.is_file() else write_png(still, next(iter(read_frames(path, np.zeros(1)))))


def opened(path: Path):
    """Return the array with the coordinate names of a record; BadInput for another file or a missing coordinate."""
    plain = read_array(path)
    known = [name for name in STIMULUS_NAMES if name in plain.coords]
    plain = plain.rename({"time_bin_stop": "time_bin_end"}) if "time_bin_stop" in plain.coords else plain
    needed = [PATHS, "time_bin_start", "time_bin_end"]
    absent = [name for name in needed if name not in plain.coords] + ([] if known else ["video_identifier"])
    if set(plain.dims) != {"presentation", "neuroid", "time_bin"} or absent:
        raise BadInput(
            f"{path}: dimensions {', '.join(map(str, plain.dims))}, without {', '.join(absent) or 'none'}; expected "
            f"presentation, neuroid, time_bin with {', '.join(['video_identifier', *needed])}"
        )
    if "neuroid_id" not in plain.coords:
        plain = plain.assign_coords(neuroid_id=("neuroid", np.arange(plain.sizes["neuroid"])))
    return plain.assign_coords(stimulus_id=("presentation", plain[known[0]].values.astype(str)))


def _tidy(plain):
    """Return the array without coordinates that a record does not have, its presentations numbered."""
    kept = {"stimulus_id", "repetition", "subject", "time_bin_start", "time_bin_end"}
    of_units = {name for name, coord in plain.coords.items() if coord.dims == ("neuroid",)}
    plain = plain if "repetition" in plain.coords and distinct(plain) else numbered(plain)
    return plain.drop_vars([name for name in plain.coords if name not in kept | of_units])


def _cut(plain, path: Path):
    """Return the bins within the window."""
    starts, ends = plain["time_bin_start"].values, plain["time_bin_end"].values
    inside = (starts >= WINDOW_MS[0]) & (ends <= WINDOW_MS[1])
    if not inside.any():
        raise BadInput(
            f"{path}: bins from {starts.min():g} to {ends.max():g} ms; expected some from {WINDOW_MS[0]:g} to "
            f"{WINDOW_MS[1]:g} ms"
        )
    return plain.isel(time_bin=np.flatnonzero(inside))


def _stimulus_set(release: Release, plain):
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    ids, first = np.unique(plain["stimulus_id"].values, return_index=True)
    paths = find(release, plain[PATHS].values.astype(str)[first].tolist())
    columns = {
        ours: plain[theirs].values.astype(str)[first] for ours, theirs in TABLE.items() if theirs in plain.coords
    }
    stimuli = StimulusSet({"stimulus_id": ids, **columns})
    stimuli.stimulus_paths = dict(zip(ids, paths, strict=True))
    stimuli.identifier = NAME
    return stimuli


def find(release: Release, recorded: Sequence[str]) -> list[Path]:
    """Return each clip's file: the one of its name whose path shares the longest end with the recorded path.

    Raises BadInput if clips are missing, or if two files fit equally well.
    """
    by_name: dict[str, list[Path]] = {}
    for path in sorted(release.folder.glob("**/*")):
        if path.suffix.lower() in FILMS and "prepared" not in path.relative_to(release.folder).parts:
            by_name.setdefault(path.name, []).append(path)
    missing = [Path(path).name for path in recorded if Path(path).name not in by_name]
    if missing:
        raise BadInput(
            f"{release.name}: {len(missing)} of {len(recorded)} clips are missing in {release.folder}: "
            f"{first_names(missing, 10)}; ask the owners for them"
        )
    return [_best_match(by_name[Path(path).name], path) for path in recorded]


def _best_match(candidates: list[Path], recorded: str) -> Path:
    """Return the candidate whose path shares the longest end with `recorded`."""

    def shared(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(Path(recorded).parts), strict=False)
        return next((k for k, (a, b) in enumerate(pairs) if a != b), len(path.parts))

    best = max(map(shared, candidates))
    fitting = [path for path in candidates if shared(path) == best]
    if len(fitting) > 1:
        raise BadInput(f"{recorded} may be {fitting[0]} or {fitting[1]}; expected one; remove the other")
    return fitting[0]


_BY_HAND = "not public: ask the owners (DiCarlo lab, MIT; NeuroAI lab, EPFL); put it anywhere in oleo-hacs250"
DATASETS = [
    Electrodes(
        name=NAME,
        study=NAME,
        read=read,
        needs=(
            Need("recording", f"**/{RECORDING}", ByHand(_BY_HAND), count=1),
            Need("clips", "**/*.mp4", ByHand(_BY_HAND)),
        ),
        options={"onset": ("200", "0"), "shown": ("clips", "stills")},
        citation="unpublished; clips of HACS: Zhao et al. 2019, ICCV, arXiv:1712.09374",
        licence="not public",
        access="on request",
        source="the owners of the recording",
        note="short clips; 500 ms from their onset",
        expected={"stimuli": 250},
    )
]
