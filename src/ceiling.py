"""Noise ceiling: split-half reliability of the recordings, one value per unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Literal

import numpy as np

from .utils import BadInput, nan_mean, nan_median

MASK_BELOW = 0.4
FDR = 0.05
N_HALVINGS = 24
_LAGS = 30  # bins over which the autocorrelation of responses is summed
_CHUNK = 256  # largest number of units that are processed at a time
_CHUNK_VALUES = 2**24  # largest number of values that are processed at a time


@dataclass(frozen=True)
class Ceiling:
    """Split-half agreement of recordings, and the ceiling of a model's score that follows from it.

    Parameters
    ----------
    raw : array of shape (n_halvings, n_units)
        Pearson r between the means of halves of the repetitions: over stimuli and time bins or, with windows, the mean
        over the windows of r within each.
    n_bins : float
        Number of stimulus x time bins behind each r.
    n_independent : array of shape (n_units,)
        Number of independent samples with the variance of the mean r of unrelated responses, given their
        autocorrelation.
    length : float, default 2.0
        Noise variance of a half divided by that of the mean over all repetitions: 2 for an even number of repetitions.
    windows : array of shape (n_windows, n_units), optional
        r within each test window of a score, averaged over the halvings.

    References
    ----------
    Spearman 1910, British Journal of Psychology 3:271; Brown 1910, British Journal of Psychology 3:296. Benjamini and
    Hochberg 1995, Journal of the Royal Statistical Society B 57:289. Bartlett 1935, ibid. 98:536 (independent samples).

    Examples
    --------
    >>> raw = np.array([[0.6, -0.1], [0.6, -0.1]])
    >>> ceiling = Ceiling(raw, n_bins=100.0, n_independent=np.array([100.0, 100.0]))
    >>> ceiling.reliability.round(3)
    array([ 0.75 , -0.222])
    >>> ceiling.best_r.round(3)
    array([0.866,   nan])
    >>> ceiling.masked
    array([False,  True])
    """

    raw: np.ndarray
    n_bins: float
    n_independent: np.ndarray
    length: float = 2.0
    windows: np.ndarray | None = None

    @property
    def reliability(self) -> np.ndarray:
        """Reliability of the mean over all repetitions, f r / (1 + (f - 1) r): (n_units,)."""
        return spearman_brown(self.raw.mean(axis=0), self.length)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the reliability over the halvings: (n_units,)."""
        return spearman_brown(self.raw, self.length).std(axis=0)

    @property
    def best_r(self) -> np.ndarray:
        """Correlation of a perfect model with the mean, sqrt(reliability): (n_units,), NaN if that is not above 0."""
        return _root(self.reliability)

    @property
    def best_r_error(self) -> np.ndarray:
        """Standard error of `best_r`, from its spread over the test windows: (n_units,), NaN without windows.

        The delta method: the standard error of the mean agreement times the derivative of the square root of the
        Spearman-Brown formula.
        """
        if not self._has_windows:
            return np.full(self.raw.shape[1], np.nan)
        r, n_windows = self.raw.mean(axis=0), np.isfinite(self.windows).sum(axis=0)
        error = np.sqrt(nan_mean((self.windows - r) ** 2, axis=0) / np.maximum(n_windows - 1, 1))
        slope = self.length / (1 + (self.length - 1) * r) ** 2 / (2 * self.best_r)
        return slope * error

    def median_interval(self, units: np.ndarray | None = None, *, n_samples: int = 1000, seed: int = 0) -> np.ndarray:
        """Return the 95 % interval of the median of `best_r` over units, by a bootstrap over the test windows.

        Parameters
        ----------
        units : int or bool array, optional
            Units of the median, by default all.
        n_samples : int, default 1000
            Number of bootstrap samples.
        seed : int, default 0
            Seed of the random generator.

        Returns
        -------
        array of shape (2,)
            Percentiles 2.5 and 97.5, widened by sqrt(n / (n - 1)) for n windows; NaN without windows.
        """
        if not self._has_windows:
            return np.full(2, np.nan)
        windows = self.windows if units is None else self.windows[:, units]
        n_windows = len(windows)
        drawn = np.random.default_rng(seed).integers(n_windows, size=(n_samples, n_windows))
        # the median commutes with the correction, which increases: no unit is lost for an agreement below 0
        medians = np.array([nan_median(nan_mean(windows[sample], axis=0)) for sample in drawn])
        centre = nan_median(nan_mean(windows, axis=0))
        wider = centre + (medians - centre) * np.sqrt(n_windows / (n_windows - 1))
        low, high = np.percentile(wider, [2.5, 97.5])
        return np.sqrt(np.maximum(spearman_brown(np.array([low, high]), self.length), 0))

    @property
    def best_r_of_windows(self) -> np.ndarray:
        """Correlation of a perfect model with the mean within each window: (n_windows, n_units), as `best_r`."""
        return _root(spearman_brown(self.windows, self.length))

    @property
    def significant(self) -> np.ndarray:
        """Mask of units with r > 0: (n_units,), by Fisher's z on the independent samples, FDR 0.05."""
        return _significant(self.raw.mean(axis=0), self.n_independent)

    @property
    def masked(self) -> np.ndarray:
        """Mask of units left out of maps: (n_units,), reliability below 0.4 or not significant."""
        return ~((self.reliability >= MASK_BELOW) & self.significant)

    @property
    def crossed(self) -> np.ndarray:
        """Ceilings by which `normalised` divides: (n_units, n_windows), NaN for a unit left out of a window.

        The even windows select units, as `masked` does, and the odd ones give their ceilings, and the other way round:
        a unit is not selected by the errors of the ceiling that its score is divided by. Without windows, one column
        with the ceilings of the units that are not masked.
        """
        if not self._has_windows:
            return np.where(self.masked, np.nan, self.best_r)[:, None]
        parity = np.arange(len(self.windows)) % 2
        crossed = np.full(self.windows.T.shape, np.nan)
        for one in (0, 1):
            selecting, scored = (nan_mean(self.windows[parity == k], axis=0) for k in (1 - one, one))
            n_independent = self.n_independent * np.mean(parity != one)
            kept = _significant(selecting, n_independent) & (spearman_brown(selecting, self.length) >= MASK_BELOW)
            ceiling = np.where(kept, _root(spearman_brown(scored, self.length)), np.nan)
            crossed[:, parity == one] = ceiling[:, None]
        return crossed

    @property
    def _has_windows(self) -> bool:
        return self.windows is not None and len(self.windows) > 1


def normalised(test: np.ndarray, crossed: np.ndarray) -> np.ndarray:
    """Return the score in units of the ceiling: 1 for a perfect model.

    The median over units of the mean score of the even windows / their ceiling, the same of the odd ones, and the mean
    of the two; see `Ceiling.crossed`.

    Parameters
    ----------
    test : array of shape (..., n_units, n_windows)
        Scores, NaN = undefined.
    crossed : array of shape (n_units, n_windows) or (n_units, 1)
        Ceilings of the windows, NaN for units that are left out.

    Returns
    -------
    array of shape (...)
        NaN where no unit is left.

    Examples
    --------
    >>> crossed = np.array([[0.5, 0.8], [0.5, np.nan]])
    >>> float(normalised(np.array([[0.25, 0.4], [0.5, 0.1]]), crossed))
    0.625
    """
    test, crossed = np.asarray(test, dtype=np.float64), np.asarray(crossed, dtype=np.float64)
    if crossed.shape[1] == 1:
        return nan_median(nan_mean(test, axis=-1) / crossed[:, 0], axis=-1)
    ratios = [nan_median(nan_mean(test[..., k::2], axis=-1) / crossed[:, k], axis=-1) for k in (0, 1)]
    return nan_mean(np.stack(ratios), axis=0)


def _root(reliability: np.ndarray) -> np.ndarray:
    """Return the square root, NaN for a reliability that is not above 0."""
    return np.sqrt(np.where(reliability > 0, reliability, np.nan))


def _significant(r: np.ndarray, n_independent: np.ndarray) -> np.ndarray:
    """Return the mask of r > 0, by Fisher's z with FDR 0.05: (n_units,)."""
    # scipy.stats takes longer to import than a cached re-run may take
    from scipy.stats import false_discovery_control, norm

    z = np.arctanh(np.clip(np.nan_to_num(r), -0.999999, 0.999999))
    return false_discovery_control(norm.sf(z * np.sqrt(np.maximum(n_independent - 3, 0)))) <= FDR


def spearman_brown(r: np.ndarray, length: float) -> np.ndarray:
    """Return the reliability of a measurement that is `length` times as long as the halves that agree with r.

    Parameters
    ----------
    r : array
        Correlation of two halves.
    length : float
        Number of repetitions of the whole measurement divided by that of a half.

    Returns
    -------
    array of the shape of `r`
        Increases with r; -inf where r is too low for any reliability.

    Examples
    --------
    >>> spearman_brown(np.array([0.5]), 3.0)  # a single repetition against another one, of three
    array([0.75])
    """
    below = 1 + (length - 1) * np.asarray(r)
    return np.where(below > 0, length * r / np.where(below > 0, below, 1), np.where(np.isnan(r), np.nan, -np.inf))


def split_half(
    values: np.ndarray,
    subjects: Sequence[str],
    *,
    n_splits: int,
    seed: int,
    halves: Literal["random", "contiguous"] = "random",
) -> Ceiling:
    """Correlate the means of halves of the repetitions over all stimuli and time bins.

    With more than one subject the halves are sampled over subjects, so that a subject's repetitions stay together.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_time, n_units)
        Responses, NaN = not recorded.
    subjects : sequence of str, length n_repetitions
        Subject of each repetition.
    n_splits : int
        Number of halves.
    seed : int
        Seed of the random generators, one per split.
    halves : {"random", "contiguous"}, default "random"
        "contiguous": a run of repetitions (subjects) from a random one on, and the others.

    Returns
    -------
    Ceiling

    Raises
    ------
    BadInput
        If there is a single repetition.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.standard_normal((50, 1, 4, 1))
    >>> values = signal + rng.standard_normal((50, 6, 4, 1))  # reliability of the mean: 6 / 7
    >>> split_half(values, list("abcdef"), n_splits=10, seed=0).reliability.round(1)
    array([0.9])
    """
    subject = _subject_of(subjects)
    distinct = np.array(list(dict.fromkeys(subject.tolist())) if halves == "contiguous" else np.unique(subject))
    if len(distinct) < 2:
        raise _single_repetition()
    means = []
    for k in range(n_splits):
        rng = np.random.default_rng([seed, k])
        order = np.roll(distinct, -rng.integers(len(distinct))) if halves == "contiguous" else rng.permutation(distinct)
        first = np.isin(subject, order[: len(distinct) // 2])
        means.append([repetition_mean(values[:, half]) for half in (first, ~first)])
    raw = np.stack([_correlate(a, b) for a, b in means])
    return Ceiling(raw, float(values.shape[0] * values.shape[2]), _independent(*means[0]))


def check_repeated(*subjects: Sequence[str]) -> None:
    """Raise BadInput unless a dataset has two repetitions; subjects: of the repetitions of each dataset."""
    if max(len(of_dataset) for of_dataset in subjects) < 2:
        raise _single_repetition()


def _single_repetition() -> BadInput:
    return BadInput("1 repetition; expected at least 2 for a ceiling: use --no-ceiling or a dataset that repeats")


def joint(ceilings: Sequence[Ceiling], weights: Sequence[float]) -> Ceiling:
    """Combine the ceilings of datasets that are scored in one regression.

    Parameters
    ----------
    ceilings : sequence of Ceiling
        Ceilings of the same units and number of splits.
    weights : sequence of float
        Row weight of each dataset: the agreement is averaged by n_bins x weight (a bin of 3 s counts as three of 1 s).

    Returns
    -------
    Ceiling

    Examples
    --------
    >>> a, b = (Ceiling(np.array([[r]]), 10.0, np.array([10.0])) for r in (0.2, 0.6))
    >>> joint([a, b], [1.0, 3.0]).raw.round(3)
    array([[0.5]])
    """
    share = np.array([c.n_bins * w for c, w in zip(ceilings, weights, strict=True)])
    raw = sum(c.raw * s for c, s in zip(ceilings, share / share.sum(), strict=True))
    return Ceiling(raw, float(share.sum()), sum(c.n_independent for c in ceilings))


def repetition_mean(values: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Average over the repetitions that were recorded.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_time, n_units)
        Responses, NaN = not recorded.
    dtype : type
        Type of the result; means are computed in float64.

    Returns
    -------
    array of shape (n_stimuli, n_time, n_units)
        NaN where no repetition was recorded. A single repetition of this type is returned as it is, without a copy.

    Examples
    --------
    >>> repetition_mean(np.array([1.0, 3.0, np.nan]).reshape(1, 3, 1, 1)).ravel()
    array([2.])
    """
    if values.shape[1] == 1 and values.dtype == dtype:
        return values[:, 0]
    found = np.empty((values.shape[0], *values.shape[2:]), dtype)
    at_once = max(1, _CHUNK_VALUES // 8 // max(1, found[..., :1].size))
    for first in range(0, values.shape[3], at_once):
        some = values[..., first : first + at_once]
        shape = (some.shape[0], *some.shape[2:])
        total, count = np.zeros(shape), np.zeros(shape, dtype=np.int32)
        # one repetition at a time: no copy of all of them
        for repetition in range(some.shape[1]):
            one = some[:, repetition]
            recorded = np.isfinite(one)
            np.add(total, one, out=total, where=recorded)
            count += recorded
        means = np.full(shape, np.nan)
        found[..., first : first + at_once] = np.divide(total, count, out=means, where=count > 0)
    return found


def _correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson r per unit over the stimuli and bins in which both halves were recorded: (n_units,)."""
    both = np.isfinite(a) & np.isfinite(b)
    n = np.maximum(both.sum(axis=(0, 1)), 1)
    a, b = (np.where(both, x, 0) for x in (a, b))
    a, b = (np.where(both, x - x.sum(axis=(0, 1)) / n, 0) for x in (a, b))
    norms = np.sqrt((a**2).sum(axis=(0, 1)) * (b**2).sum(axis=(0, 1)))
    return (a * b).sum(axis=(0, 1)) / np.where(norms > 0, norms, np.nan)


def _independent(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the number of independent samples behind r of two halves (n_stimuli, n_time, n_units): (n_units,).

    n / (1 + 2 sum_l (1 - l / T) p_l q_l) for the autocorrelations p_l, q_l of the halves within stimuli of T bins
    (Bartlett 1935); never below the number of stimuli, which are independent of each other.
    """
    both = np.isfinite(a) & np.isfinite(b)
    n = both.sum(axis=(0, 1)).astype(float)
    n_stimuli = both.any(axis=1).sum(axis=0).astype(float)
    n_bins = n / np.maximum(n_stimuli, 1)
    a, b = (np.where(both, x, 0) for x in (a, b))
    a, b = (np.where(both, x - x.sum(axis=(0, 1)) / np.maximum(n, 1), 0).astype(np.float32) for x in (a, b))
    inflation = np.ones(a.shape[2])
    for lag in range(1, min(a.shape[1], _LAGS + 1)):
        # the sums over the fewer pairs of a longer lag carry the factor 1 - l / T each
        p, q = (_lagged(x, lag) / np.maximum(_lagged(x, 0), np.finfo(np.float32).tiny) for x in (a, b))
        inflation += 2 * p * q / np.maximum(1 - lag / np.maximum(n_bins, 1), 1 / np.maximum(n_bins, 1))
    return np.clip(n / np.maximum(inflation, 1), n_stimuli, n)


def _lagged(values: np.ndarray, lag: int) -> np.ndarray:
    """Return the sum of products of values (n_stimuli, n_time, n_units) with those `lag` bins later: (n_units,)."""
    return np.einsum("stu,stu->u", values[:, lag:], values[:, : values.shape[1] - lag])


@dataclass(frozen=True)
class Recording:
    """Repeated responses of one dataset, and the rows of the regression that come from it.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_time, n_units)
        Responses, on one scale per run (see `evaluate.runs.standardised`); NaN = not recorded.
    subjects : sequence of str, length n_repetitions
        Subject of each repetition.
    stimulus, time_bin : int arrays of shape (n_rows,)
        Stimulus and bin of each row.
    """

    values: np.ndarray
    subjects: Sequence[str]
    stimulus: np.ndarray
    time_bin: np.ndarray


def window_split_half(
    recordings: Sequence[Recording],
    windows: Sequence[np.ndarray],
    *,
    weights: np.ndarray | None = None,
    n_halvings: int = N_HALVINGS,
    least_rows: int = 0,
    seed: int,
) -> Ceiling:
    """Correlate the means of equal halves of the repetitions within each test window, as a score does.

    The halves are sampled over subjects where there are several, else over repetitions, for each stimulus among those
    that were recorded; of an odd number, one is left out of each halving. All distinct halvings are used where there
    are no more than `n_halvings`.

    Parameters
    ----------
    recordings : sequence of Recording
        Datasets of one regression with the same units, in the order of its rows. Each of several is divided by the
        deviation of its mean over repetitions, as targets are.
    windows : sequence of int arrays
        Test rows of each split, among the rows of all recordings.
    weights : array of shape (n_rows,), optional
        Row weights of the score.
    n_halvings : int, default 24
        Largest number of halvings.
    least_rows : int, default 0
        A unit that is recorded in fewer rows of a window has no agreement there, as it has no score.
    seed : int
        Seed of the random generators, one per halving.

    Returns
    -------
    Ceiling
        With the agreement in each window.

    Raises
    ------
    BadInput
        If no stimulus has two repetitions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.standard_normal((1, 1, 2000, 2)) + rng.standard_normal((1, 4, 2000, 2))
    >>> film = Recording(values, list("abcd"), np.zeros(2000, int), np.arange(2000))
    >>> found = window_split_half([film], np.split(np.arange(2000), 10), seed=0)  # reliability of the mean: 4 / 5
    >>> found.raw.shape, found.windows.shape, found.reliability.round(1)
    ((3, 2), (10, 2), array([0.8, 0.8]))
    """
    subjects = [_subject_of(recording.subjects) for recording in recordings]
    present = [_present(recording.values) for recording in recordings]
    plans = [_halves(s, p, n_halvings, seed) for s, p in zip(subjects, present, strict=True)]
    if not any(plan.any() for plan in plans):
        raise _single_repetition()
    n_used = max(len(plan) for plan in plans)
    plans = [plan[np.arange(n_used) % len(plan)] for plan in plans]
    tested = np.unique(np.concatenate(windows))
    share = np.ones(sum(len(r.stimulus) for r in recordings)) if weights is None else np.asarray(weights, float)
    noise = [_noise_shares(*one) for one in zip(recordings, subjects, present, plans, strict=True)]
    length, gain = _noise_ratios(np.concatenate(noise, axis=1)[:, tested], share[tested])
    # fewer halvings than asked for are all that exist
    gain += (1 - gain) / n_used if n_used == n_halvings else 0
    n_means = max(2 * n_used, *(len(subject) for subject in subjects))
    chunk = int(np.clip(_CHUNK_VALUES // (len(share) * n_means), 1, _CHUNK))
    found = [
        _window_correlations(recordings, plans, windows, share, slice(start, start + chunk), least_rows)
        for start in range(0, recordings[0].values.shape[3], chunk)
    ]
    r, independent = (np.concatenate(part, axis=-1) for part in zip(*found, strict=True))
    n_tested = independent * len(tested) / len(share)
    return Ceiling(
        nan_mean(r, axis=1),
        float(share[tested].sum()),
        # each window's mean is estimated, which takes one sample
        np.maximum(n_tested - len(windows) + 1, 1) / gain,
        length,
        nan_mean(r, axis=0),
    )


def row_halves(recordings: Sequence[Recording], units: np.ndarray, *, n_halvings: int, seed: int) -> np.ndarray:
    """Return the means of equal halves of the repetitions at each row, sampled as for `window_split_half`.

    Parameters
    ----------
    recordings : sequence of Recording
        Datasets of one regression with the same units, in the order of its rows.
    units : int array of shape (n_chosen,)
        Units to average.
    n_halvings : int
        Largest number of halvings.
    seed : int
        Seed of the random generators, one per halving.

    Returns
    -------
    float32 array of shape (n_rows, 2, n_halvings, n_chosen)
        NaN where a half has no repetition.

    Raises
    ------
    BadInput
        If no stimulus has two repetitions.
    """
    plans = [_halves(_subject_of(r.subjects), _present(r.values), n_halvings, seed) for r in recordings]
    if not any(plan.any() for plan in plans):
        raise _single_repetition()
    n_used = max(len(plan) for plan in plans)
    plans = [plan[np.arange(n_used) % len(plan)] for plan in plans]
    chosen = [replace(recording, values=recording.values[..., units]) for recording in recordings]
    options = {"units": slice(None), "standardise": len(recordings) > 1}
    return np.concatenate([_half_means(r, plan, **options) for r, plan in zip(chosen, plans, strict=True)])


def half_length(recordings: Sequence[Recording]) -> float:
    """Return the number of repetitions (of subjects, where there are several) divided by that of a half.

    Parameters
    ----------
    recordings : sequence of Recording

    Returns
    -------
    float
        Of the recording with the most rows.

    Examples
    --------
    >>> half_length([Recording(np.zeros((1, 5, 1, 1)), list("abcde"), np.zeros(1, int), np.zeros(1, int))])
    2.5
    """
    largest = max(recordings, key=lambda recording: len(recording.stimulus))
    n = int(_subject_of(largest.subjects).max()) + 1
    return n / max(1, n // 2)


def inter_subject(
    targets: Callable[[slice], np.ndarray],
    n_units: int,
    windows: Sequence[np.ndarray],
    *,
    weights: np.ndarray | None = None,
    least_rows: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Correlate each subject with the mean of the others within each test window, as a score does.

    A lower bound of the ceiling of a subject: the mean of the others is noisy, and people differ.

    Parameters
    ----------
    targets : function
        From units to responses (n_subjects, n_rows, n_units of the slice), NaN = not recorded.
    n_units : int
        Number of all units.
    windows : sequence of int arrays
        Test rows of each split.
    weights : array of shape (n_rows,), optional
        Row weights of the score.
    least_rows : int, default 0
        A unit that is recorded in fewer rows of a window has no agreement there, as it has no score.

    Returns
    -------
    r, error : arrays of shape (n_subjects, n_units)
        Mean over the windows, and its standard error; NaN where no other subject was recorded.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.standard_normal((1, 3000, 1)) + rng.standard_normal((4, 3000, 1))  # r = 1 / sqrt(2 (1 + 1 / 3))
    >>> r, _ = inter_subject(lambda units: values[..., units], 1, np.split(np.arange(3000), 10))
    >>> r.shape, np.abs(r - 0.61).max() < 0.03
    ((4, 1), True)
    """
    first = targets(slice(0, 1))
    share = np.ones(first.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    chunk = int(np.clip(_CHUNK_VALUES // first.size, 1, _CHUNK))
    found = []
    for start in range(0, n_units, chunk):
        values = targets(slice(start, start + chunk)).transpose(1, 0, 2)
        recorded = np.isfinite(values)
        known = np.where(recorded, values, np.float32(0))
        n_others = recorded.sum(axis=1, keepdims=True, dtype=np.float32) - recorded
        others = known.sum(axis=1, keepdims=True, dtype=np.float64) - known
        others /= np.where(n_others > 0, n_others, np.float32(np.nan))
        others = others.astype(np.float32)
        r = np.stack([_weighted_r(values[window], others[window], share[window], least_rows) for window in windows])
        mean, n_windows = nan_mean(r, axis=0), np.isfinite(r).sum(axis=0)
        spread = nan_mean((r - mean) ** 2, axis=0)
        found.append((mean, np.sqrt(spread / np.where(n_windows > 1, n_windows - 1, np.nan))))
    mean, error = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return mean, error


def _subject_of(subjects: Sequence[str]) -> np.ndarray:
    """Return the number of the subject of each repetition or, with a single subject, of the repetition itself."""
    names = np.asarray(list(subjects))
    if len(set(names.tolist())) < 2:
        names = np.arange(len(names)).astype(str)
    return np.unique(names, return_inverse=True)[1]


def _present(values: np.ndarray) -> np.ndarray:
    """Return the mask of presentations with any recorded value: (n_stimuli, n_repetitions)."""
    return np.stack([np.isfinite(values[:, k]).any(axis=(1, 2)) for k in range(values.shape[1])], axis=1)


def _halves(subject: np.ndarray, present: np.ndarray, n_halvings: int, seed: int) -> np.ndarray:
    """Return the repetitions of each half per stimulus: bool (n_halvings, 2, n_stimuli, n_repetitions)."""
    orders = _orders(subject.max() + 1, n_halvings, seed)
    patterns, pattern = np.unique(present, axis=0, return_inverse=True)
    halves = np.zeros((len(orders), 2, *patterns.shape), dtype=bool)
    for which, recorded in enumerate(patterns):
        seen = set(subject[recorded].tolist())
        size = len(seen) // 2
        for k, order in enumerate(orders):
            chosen = [one for one in order if one in seen]
            for half in (0, 1):
                halves[k, half, which] = recorded & np.isin(subject, chosen[half * size : (half + 1) * size])
    return halves[:, :, pattern.reshape(-1)]


def _orders(n: int, n_halvings: int, seed: int) -> list[list[int]]:
    """Return orders of n subjects: the first n // 2 are one half, the next n // 2 the other one; no halving twice."""
    size = n // 2
    n_wanted = min(n_halvings, max(comb(n, 2 * size) * comb(2 * size, size) // 2, 1))
    orders, draw = {}, 0
    while len(orders) < n_wanted:
        order = np.random.default_rng([seed, draw]).permutation(n).tolist()
        # exchanged halves agree equally
        orders.setdefault(frozenset((frozenset(order[:size]), frozenset(order[size : 2 * size]))), order)
        draw += 1
    return list(orders.values())


def _noise_shares(recording: Recording, subject: np.ndarray, present: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """Return the noise variance of the mean and of a half, in units of that of a subject, per row: (2, n_rows)."""
    whole, half = _noise_share(present, subject), _noise_share(plan, subject).mean(axis=(0, 1))
    return np.stack([whole, half])[:, recording.stimulus]


def _noise_ratios(noise: np.ndarray, share: np.ndarray) -> tuple[float, float]:
    """Return two ratios of variances over rows, from `_noise_shares` (2, n_rows) and row weights.

    First, noise of a half / noise of the mean over all repetitions. Second, r of independent noise averaged over all
    halvings / r of one halving: 2 k^2 / (n (n - 1)) for halves of k among n repetitions, since they share pairs.
    """
    whole, half = noise
    halved = np.isfinite(half)
    length = np.average(half[halved], weights=share[halved]) / np.average(whole, weights=share)
    pairs = 2 * whole[halved] ** 2 / (half[halved] ** 2 * (1 - whole[halved]))
    return float(length), min(float(np.average(pairs, weights=share[halved])), 1.0)


def _noise_share(repetitions: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Return sum(c^2) / sum(c)^2 for c repetitions of a subject, NaN for none: bool (..., n_repetitions) -> (...)."""
    counts = repetitions @ np.eye(subject.max() + 1)[subject]
    total = counts.sum(axis=-1)
    return (counts**2).sum(axis=-1) / np.where(total > 0, total, np.nan) ** 2


def _window_correlations(
    recordings: Sequence[Recording],
    plans: Sequence[np.ndarray],
    windows: Sequence[np.ndarray],
    share: np.ndarray,
    units: slice,
    least_rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return r between the halves (n_halvings, n_windows, n_units), and the number of independent rows (n_units,)."""
    halves, independent = [], 0
    for recording, plan in zip(recordings, plans, strict=True):
        means = _half_means(recording, plan, units, standardise=len(recordings) > 1)
        grid = np.full((2, len(recording.values), recording.values.shape[2], means.shape[-1]), np.nan)
        grid[:, recording.stimulus, recording.time_bin] = means[:, :, 0].swapaxes(0, 1)
        independent = independent + _independent(*grid)
        halves.append(means)
    halves = np.concatenate(halves)
    r = [_weighted_r(halves[window, 0], halves[window, 1], share[window], least_rows) for window in windows]
    return np.stack(r, axis=1), independent


def _half_means(recording: Recording, plan: np.ndarray, units: slice, *, standardise: bool) -> np.ndarray:
    """Return the mean of each half at each row: float32 (n_rows, 2, n_halvings, n_units), NaN where it has none."""
    values = recording.values[recording.stimulus, :, recording.time_bin, units].astype(np.float32)
    recorded = np.isfinite(values)
    values = np.where(recorded, values, 0)
    if standardise:
        count = recorded.sum(axis=1)
        mean = values.sum(axis=1) / np.where(count > 0, count, np.nan)
        deviation = np.nanstd(mean, axis=0)
        values = (values - np.nanmean(mean, axis=0)) / np.where(deviation > 0, deviation, 1)
        values = np.where(recorded, values, 0).astype(np.float32)
    n_rows, n_repetitions, n_units = values.shape
    chosen = plan.transpose(2, 1, 0, 3).reshape(len(plan[0, 0]), -1, n_repetitions).astype(np.float32)
    chosen = chosen[recording.stimulus]
    same = bool((recorded == recorded[:, :, :1]).all())
    count = chosen @ (recorded[:, :, :1] if same else recorded).astype(np.float32)
    with np.errstate(invalid="ignore"):
        means = (chosen @ values) / np.where(count > 0, count, np.nan)
    return means.reshape(n_rows, 2, -1, n_units).astype(np.float32)


def _weighted_r(a: np.ndarray, b: np.ndarray, share: np.ndarray, least_rows: int) -> np.ndarray:
    """Return r over the rows in which both are recorded: (n_rows, n_halvings, n_units) -> (n_halvings, n_units).

    NaN for a unit that is recorded in fewer than `least_rows`.
    """
    both, either = np.isfinite(a) & np.isfinite(b), np.isfinite(a) | np.isfinite(b)
    weight = np.broadcast_to((share / share.sum()).astype(np.float32)[:, None, None], a.shape) * both
    total = np.maximum(weight.sum(axis=0), np.finfo(np.float32).tiny)
    if not both.all():
        a, b = (np.where(both, x, 0) for x in (a, b))
    a, b = (x - np.einsum("nhu,nhu->hu", weight, x) / total for x in (a, b))
    moment = lambda x, y: np.einsum("nhu,nhu,nhu->hu", weight, x, y)  # noqa: E731
    norms = np.sqrt(moment(a, a) * moment(b, b))
    usable = (norms > 0) & (either.sum(axis=0) >= least_rows)
    return moment(a, b) / np.where(usable, norms, np.nan)
