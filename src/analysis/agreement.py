"""Agreement of rankings of the same models by two metrics."""

from collections.abc import Sequence

import numpy as np

from .bootstrap import interval


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Return Kendall's tau-b of two lists of scores.

    Parameters
    ----------
    a, b : arrays of shape (n_models,)
        Scores of the same models.

    Returns
    -------
    float
        1 for the same order, -1 for the reverse; NaN if all scores of a list are equal.

    References
    ----------
    Kendall 1945, Biometrika 33:239.

    Examples
    --------
    >>> round(kendall(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.4, 0.2])), 3)
    0.333
    """
    upper = np.triu_indices(len(a), 1)
    first, second = (np.sign(np.subtract.outer(x, x))[upper] for x in (np.asarray(a), np.asarray(b)))
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 0 else float("nan")


def ranking_agreement(
    a: np.ndarray, b: np.ndarray, draws: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None
) -> dict[str, float | None]:
    """Return Kendall's tau of two rankings with its interval for new stimuli.

    The interval is over bootstrap draws of the scores: models that a metric cannot tell apart change places. Draws add
    noise to scores that have some, which lowers tau; the interval holds for the order in a repetition of the study.

    Parameters
    ----------
    a, b : arrays of shape (n_models,)
        Scores of the same models by two metrics, larger is better.
    draws : pair of sequences of arrays (n_samples,), optional
        Bootstrap draws of the scores of each model by either metric, of equal numbers of samples.

    Returns
    -------
    dict
        "tau", "low", "high"; the ends of the 95 % interval are None without draws.

    Examples
    --------
    >>> ranking_agreement(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.4]))
    {'tau': 1.0, 'low': None, 'high': None}
    """
    found: dict[str, float | None] = {"tau": kendall(a, b), "low": None, "high": None}
    if draws is not None:
        of_samples = [kendall(x, y) for x, y in zip(np.transpose(draws[0]), np.transpose(draws[1]), strict=True)]
        of_samples = [tau for tau in of_samples if np.isfinite(tau)]
        if of_samples:
            low, high = interval(np.array(of_samples))
            # the interval of a bootstrap holds its estimate
            found |= {"low": min(low, found["tau"]), "high": max(high, found["tau"])}
    return found
