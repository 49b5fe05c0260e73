"""Sound level of a film: root mean square of its first audio stream in consecutive windows of equal length."""

from pathlib import Path

import numpy as np

from .files import require_regular
from .utils import BadInput

FLOOR_DB = -60.0  # level of silence, and of a film without sound
RATE = 16_000  # samples per second, mono


def sound_levels(path: str | Path, n_windows: int, window_ms: float, start_ms: float = 0.0) -> np.ndarray | None:
    """Return the sound level of consecutive windows of a film.

    Parameters
    ----------
    path : str or Path
        The film.
    n_windows : int
        Number of windows.
    window_ms : float
        Length of a window, in ms.
    start_ms : float, default 0
        Start of the first window in the file, in ms.

    Returns
    -------
    array of shape (n_windows,), or None
        Level in decibels below full scale, -60 at least and in windows after the end of the sound; None for a film
        without sound.

    Raises
    ------
    BadInput
        For a file that cannot be read.
    """
    import av

    require_regular(path, "a film")
    power, count = np.zeros(n_windows), np.zeros(n_windows)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            place = None
            for frame in container.decode(stream):
                if place is None:
                    place = round((frame.time or 0.0) * RATE)
                for part in resampler.resample(frame):
                    samples = part.to_ndarray().reshape(-1)
                    _add(power, count, samples, place, window_ms, start_ms)
                    place += len(samples)
    except av.error.FFmpegError as error:
        raise BadInput(f"{path}: its sound cannot be read ({error.strerror}); fetch it again") from error
    mean = power / np.maximum(count, 1)
    return np.maximum(10 * np.log10(np.maximum(mean, 1e-12)), FLOOR_DB)


def _add(power: np.ndarray, count: np.ndarray, samples: np.ndarray, place: int, window_ms: float, start_ms: float):
    """Add the squares of samples, the first of which has the number `place`, to their windows."""
    window = np.floor(((place + np.arange(len(samples))) / RATE * 1000 - start_ms) / window_ms).astype(int)
    inside = (window >= 0) & (window < len(power))
    power += np.bincount(window[inside], samples[inside].astype(np.float64) ** 2, len(power))
    count += np.bincount(window[inside], minlength=len(power))
