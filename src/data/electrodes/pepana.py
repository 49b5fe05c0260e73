"""Reader of the MATLAB files of CRCNS pvc-1."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...utils import BadInput

FILM_MS, N_BINS = 30000.0, 150
_NAME = re.compile(r"(?P<animal>[A-Za-z]+\d+)_(?P<site>u\d+)_\d+$")


@dataclass(frozen=True)
class Session:
    """Recording session, from one file.

    trials: ((movie, segment), counts (n_electrodes, n_bins)), one per repeat; n_other: number of conditions without a
    film; n_early: number of spikes before a film's onset.
    """

    animal: str
    site: str
    electrodes: tuple[int, ...]
    trials: list[tuple[tuple[int, int], np.ndarray]]
    n_other: int
    n_early: int


def read_session(path: Path) -> Session:
    """Return the spike counts of a file in bins of 200 ms; BadInput for another name, damage, or a missing field."""
    name = _NAME.match(path.stem)
    if not name:
        raise BadInput(f"{path}: no name like ac1_u004_000.mat; expected <animal>_u<site>_<run>.mat; remove it")
    try:
        (record,) = _structs(_loaded(path)["pepANA"])
        electrodes = tuple(int(number) for number in np.ravel(record.elec_list))
        trials, n_other, n_early = [], 0, 0
        for condition in _structs(record.listOfResults):
            symbols = _texts(condition.symbols)
            if "movie_id" not in symbols:
                n_other += 1
                continue
            values = [int(np.ravel(value)[0]) for value in np.ravel(condition.values)]
            movie, segment = (values[symbols.index(symbol)] for symbol in ("movie_id", "segment_id"))
            for repeat in _structs(condition.repeat):
                counts, early = _counts(path, np.ravel(repeat.data), len(electrodes))
                trials.append(((movie, segment), counts))
                n_early += early
    except (AttributeError, KeyError, ValueError, IndexError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: {error}; expected the release's pepANA; fetch the file again") from error
    return Session(name["animal"], name["site"], electrodes, trials, n_other, n_early)


def _loaded(path: Path) -> dict[str, Any]:
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, struct_as_record=False, variable_names=["pepANA"])
    except (MatReadError, NotImplementedError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path}: cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__}); expected "
            f"a whole MATLAB 5 file; fetch it again"
        ) from error


def _structs(value: Any) -> list[Any]:
    """Return the structs in a struct array or in a cell array of structs."""
    if not isinstance(value, np.ndarray):
        return [value]
    return [struct for item in value.ravel() for struct in _structs(item)]


def _texts(symbols: Any) -> list[str]:
    """Return the strings of a cell array."""
    if isinstance(symbols, np.ndarray):
        return [text for item in symbols.ravel() for text in _texts(item)]
    return [str(symbols)]


def _counts(path: Path, cells: np.ndarray, n_electrodes: int) -> tuple[np.ndarray, int]:
    """Return the spikes per bin (n_electrodes, n_bins) of one repeat, and the number of spikes before 0."""
    if len(cells) != n_electrodes:
        raise BadInput(
            f"{path}: {len(cells)} recordings of {n_electrodes} electrodes; expected one each; fetch it again"
        )
    counts, early = np.zeros((n_electrodes, N_BINS), dtype=np.float32), 0
    for row, cell in zip(counts, cells, strict=True):
        # a cell array holds the times and then the waveforms
        times = cell.ravel()[0] if cell.dtype == object and cell.size else cell
        times_ms = 1000 * np.ravel(times).astype(np.float64) if np.size(times) else np.empty(0)
        early += int((times_ms < 0).sum())
        inside = times_ms[(times_ms >= 0) & (times_ms < FILM_MS)]
        row += np.bincount((inside * N_BINS / FILM_MS).astype(int), minlength=N_BINS)
    return counts, early
