"""Records of files and arrays: stimuli, responses and labels of a user."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..records import Labels, Responses, Stimuli
from ..utils import BadInput, regular_bins
from ..video import probe

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def stimuli(
    paths: Sequence[str | Path], *, ids: Sequence[str] | None = None, image_ms: float = 1000.0, name: str = "stimuli"
) -> Stimuli:
    """Make a record of film and image files.

    Parameters
    ----------
    paths : sequence of str or Path, (n_stimuli,)
        A file is an image if its suffix is one of an image format, else a film, whose duration is read from it.
    ids : sequence of str, (n_stimuli,), optional
        Unique; default: the file names without their suffix.
    image_ms : float
        Time for which an image is shown, in ms.
    name : str
        Name for messages.

    Raises
    ------
    BadInput
        For a missing file, repeated ids, or a film that cannot be read.
    """
    files = tuple(Path(path).expanduser().absolute() for path in paths)
    kinds = tuple("image" if path.suffix.lower() in IMAGE_SUFFIXES else "video" for path in files)
    ids = tuple(path.stem for path in files) if ids is None else tuple(ids)
    durations = [
        image_ms if kind == "image" else probe(path).duration_ms for path, kind in zip(files, kinds, strict=True)
    ]
    return Stimuli(name, ids, files, np.array(durations), kinds)


def responses(
    films: "Stimuli | Sequence[str | Path]",
    values: np.ndarray,
    *,
    bin_ms: float,
    units: dict[str, Sequence] | None = None,
    subjects: Sequence[str] | None = None,
    start_ms: float = 0.0,
) -> Responses:
    """Make a record of responses to films or images from an array.

    Parameters
    ----------
    films : Stimuli or sequence of paths, (n_stimuli,)
    values : array
        (n_stimuli, n_repetitions, n_bins, n_units), NaN where nothing was recorded; or (n_stimuli, n_bins, n_units) of
        a single repetition, which has no noise ceiling.
    bin_ms : float
        Width of a time bin (for fMRI: the TR), in ms.
    units : dict of str to sequence (n_units,), optional
        Columns of the unit table: "unit_id" (default: 0, 1, ...), "region" for a row per region, any others.
    subjects : sequence of str (n_repetitions,), optional
        The subject of each repetition; default: one subject.
    start_ms : float
        Start of the first bin, from the onset of the stimulus, in ms.

    Raises
    ------
    BadInput
        For shapes that do not agree and for units without any value.
    """
    shown = films if isinstance(films, Stimuli) else stimuli(films)
    values = np.ma.filled(np.ma.asarray(values, dtype=np.float32), np.nan)
    values = values[:, None] if values.ndim == 3 else values
    if values.ndim != 4:
        raise BadInput(
            f"values of shape {values.shape}; expected (n_stimuli, n_repetitions, n_bins, n_units), "
            "or without the repetitions"
        )
    table = {"unit_id": [str(k) for k in range(values.shape[3])]} | dict(units or {})
    bins_ms = regular_bins(values.shape[2] * bin_ms, bin_ms) + start_ms
    owners = ("subject",) * values.shape[1] if subjects is None else tuple(subjects)
    return Responses(shown, values, bins_ms, table, owners)


def labels(
    films: "Stimuli | Sequence[str | Path]",
    values: Sequence,
    *,
    names: Sequence[str] | None = None,
    groups: Sequence | None = None,
) -> Labels:
    """Make a record of labels of films or images.

    Parameters
    ----------
    films : Stimuli or sequence of paths, (n_stimuli,)
    values : sequence (n_stimuli,) or array (n_stimuli, n_labels)
        Strings are classes, numbers are regression targets.
    names : sequence of str (n_labels,), optional
        Names of the labels; default: "label", or "label 0", "label 1", ...
    groups : sequence (n_stimuli,), optional
        Stimuli of one group are never separated by a split.

    Raises
    ------
    BadInput
        For shapes that do not agree, missing or constant labels.
    """
    shown = films if isinstance(films, Stimuli) else stimuli(films)
    values = np.asarray(values)
    values = values[:, None] if values.ndim == 1 else values
    # a class is a text, whatever the user calls it; numbers with a fraction or several values are targets
    values = values.astype(np.float64) if values.dtype.kind in "fiu" else values
    default = ["label"] if values.shape[1] == 1 else [f"label {k}" for k in range(values.shape[1])]
    return Labels(shown, values, tuple(names or default), groups=None if groups is None else np.asarray(groups))
