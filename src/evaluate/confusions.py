"""Confusion matrices of human and model choices, and their agreement.

I2n: d' per image and distractor, minus the mean d' of the object pair. O2: d' per object and distractor (Rajalingham et
al. 2018, J Neurosci 38:7255; model probabilities instead of model trials as in Schrimpf, Kubilius et al. 2018, bioRxiv
407007; equal to Brain-Score's `metrics.i1i2` on the same input).

A response matrix has shape (n_images, n_classes): the share of choices of the column's class rather than the truth;
NaN where the column is the truth, or the pair was never offered.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

CAP = 5.0


@dataclass(frozen=True)
class Trials:
    """Human trials as numbers.

    image, truth, choice, distractor: int (n_trials,); distractor is None if any class could be chosen.
    """

    image: np.ndarray
    truth: np.ndarray
    choice: np.ndarray
    distractor: np.ndarray | None
    n_images: int
    n_classes: int

    def __len__(self) -> int:
        return len(self.image)

    def take(self, index: np.ndarray) -> "Trials":
        """Return the trials at `index`."""
        distractor = None if self.distractor is None else self.distractor[index]
        return Trials(
            self.image[index], self.truth[index], self.choice[index], distractor, self.n_images, self.n_classes
        )

    @property
    def truth_of_image(self) -> np.ndarray:
        """Class of each image, -1 without a trial: int (n_images,)."""
        truth = np.full(self.n_images, -1)
        truth[self.image] = self.truth
        return truth


def human_matrix(trials: Trials) -> np.ndarray:
    """Return the choices of each class over the trials that offered it: response matrix (n_images, n_classes)."""
    chosen, offered = _choices(trials, trials.image, trials.n_images)
    with np.errstate(invalid="ignore"):
        matrix = np.where(offered > 0, chosen / offered, np.nan)
    return _without_truth(matrix, trials.truth_of_image)


def _choices(trials: Trials, row: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the trials of each row in which a class was chosen, and offered: twice (n_rows, n_classes)."""
    chosen, offered = np.zeros((2, n_rows, trials.n_classes))
    np.add.at(chosen, (row, trials.choice), 1)
    if trials.distractor is None:
        offered += np.bincount(row, minlength=n_rows)[:, None]
    else:
        np.add.at(offered, (row, trials.truth), 1)
        np.add.at(offered, (row, trials.distractor), 1)
    return chosen, offered


def model_matrix(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return p(class) / (p(class) + p(truth)) of class probabilities (n_images, n_classes): response matrix."""
    of_truth = np.take_along_axis(probabilities, np.maximum(truth, 0)[:, None], axis=1)
    return _without_truth(probabilities / (probabilities + of_truth), truth)


def human_confusion(trials: Trials) -> np.ndarray:
    """Return the share of choices of a class in trials that offered it: (n_classes shown, n_classes chosen)."""
    chosen, offered = _choices(trials, trials.truth, trials.n_classes)
    if trials.distractor is not None:
        np.fill_diagonal(offered, 0)
    return np.where(offered > 0, chosen / np.maximum(offered, 1), np.nan)


def model_confusion(probabilities: np.ndarray, truth: np.ndarray, two_way: bool) -> np.ndarray:
    """Return the mean probability of each class over the images of each class: (n_classes shown, n_classes chosen).

    probabilities: (n_images, n_classes); two_way: normalise over the class and the truth only; the diagonal is NaN.
    """
    return object_matrix(model_matrix(probabilities, truth) if two_way else probabilities, truth)


def _without_truth(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the matrix with NaN in the column of the truth, and in images without a trial."""
    matrix = matrix.astype(np.float64)
    shown = truth >= 0
    matrix[np.flatnonzero(shown), truth[shown]] = np.nan
    matrix[~shown] = np.nan
    return matrix


def object_matrix(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Average a response matrix over the images of each class: (n_classes shown, n_classes chosen)."""
    n_classes = matrix.shape[1]
    total, count = np.zeros((n_classes, n_classes)), np.zeros((n_classes, n_classes))
    defined = np.isfinite(matrix) & (truth >= 0)[:, None]
    rows = np.maximum(truth, 0)
    np.add.at(total, rows, np.where(defined, matrix, 0))
    np.add.at(count, rows, defined)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def i2n(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return d' of each image and distractor, minus the mean d' of the pair of classes: (n_images, n_classes)."""
    false_alarms = object_matrix(matrix, truth)[:, np.maximum(truth, 0)].T
    dprime = _dprime(1 - matrix, false_alarms)
    return dprime - object_matrix(dprime, truth)[np.maximum(truth, 0)]


def o2(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return d' of each pair of classes: (n_classes shown, n_classes chosen)."""
    false_alarms = object_matrix(matrix, truth)
    return _dprime(1 - false_alarms.T, false_alarms)


def _dprime(hits: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    """Return z(hits) - z(false alarms), clipped to +-5; NaN where both are 0 or both 1."""
    with np.errstate(invalid="ignore"):
        return np.clip(ndtri(hits) - ndtri(false_alarms), -CAP, CAP)


def agreement(model: np.ndarray, human: np.ndarray) -> float:
    """Return Pearson r over the entries that are finite in both; NaN for fewer than three, or if one is constant."""
    both = np.isfinite(model) & np.isfinite(human)
    a, b = model[both], human[both]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def human_right(matrix: np.ndarray, truth: np.ndarray, two_way: bool) -> np.ndarray:
    """Return the share of right answers of people: (n_images, n_classes) per distractor, or else (n_images, 1).

    matrix: response matrix of human trials; two_way: the trials offer the truth and one distractor.
    """
    if two_way:
        return 1 - matrix
    wrong = np.where(np.isfinite(matrix), matrix, 0).sum(axis=1)
    return np.where(np.isfinite(matrix).any(axis=1), 1 - wrong, np.nan)[:, None]


def model_right(matrix: np.ndarray, truth: np.ndarray, two_way: bool) -> np.ndarray:
    """Return 1 where the most probable class is the truth, else 0, in the shape of `human_right`."""
    right = np.where(np.isfinite(matrix), matrix < 0.5, np.nan)
    if two_way:
        return right
    known = np.isfinite(matrix).any(axis=1)
    return np.where(known, np.where(np.isfinite(right), right, 1).min(axis=1), np.nan)[:, None]


def error_consistency(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return Cohen's kappa of right and wrong answers: agreement beyond that of independent errors.

    a, b: shares of right answers of two observers, of one shape; the answers of each to an image are those of a trial
    drawn at random. weights: of the rows (images). NaN where both are always right, or always wrong (Geirhos, Meding
    and Wichmann 2020, NeurIPS 33:13890).
    """
    weights = np.ones(len(a)) if weights is None else weights
    both = np.isfinite(a) & np.isfinite(b) & (weights > 0)[:, None]
    if not both.any():
        return float("nan")
    share = np.broadcast_to(weights[:, None], a.shape)[both]
    a, b, share = a[both], b[both], share / share.sum()
    observed = share @ (a * b + (1 - a) * (1 - b))
    p, q = share @ a, share @ b
    expected = p * q + (1 - p) * (1 - q)
    return float((observed - expected) / (1 - expected)) if 1 - expected > 1e-12 else float("nan")


def halves(n_trials: int, n_splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `n_splits` random halves of the trials, by one legacy generator; with seed 0 those of Brain-Score."""
    generator = np.random.RandomState(seed)
    order = list(range(n_trials))
    pairs = []
    for _ in range(n_splits):
        shuffled = order.copy()
        generator.shuffle(shuffled)
        pairs.append((np.array(shuffled[: n_trials // 2]), np.array(shuffled[n_trials // 2 :])))
    return pairs


CONFUSIONS = {"I2n": i2n, "O2": o2}
