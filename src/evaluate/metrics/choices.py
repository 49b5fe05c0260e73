"""Metrics of human choices and the answers of a model, see `evaluate.confusions`, which is imported when used."""

from functools import partial

from .base import CHOICES, ConfusionMetric


def _pattern(name: str, matrix, truth, two_way: bool):
    from .. import confusions

    return confusions.CONFUSIONS[name](matrix, truth)


def _agreement(a, b) -> float:
    from ..confusions import agreement

    return agreement(a, b)


def _resampling(name: str):
    from .. import confusion_bootstrap

    return confusion_bootstrap.resampling(name)


def _human_right(matrix, truth, two_way: bool):
    from ..confusions import human_right

    return human_right(matrix, truth, two_way)


def _model_right(matrix, truth, two_way: bool):
    from ..confusions import model_right

    return model_right(matrix, truth, two_way)


def _kappa(a, b) -> float:
    from ..confusions import error_consistency

    return error_consistency(a, b)


def _of_matrices(name: str, least_classes: int, least_images: int) -> ConfusionMetric:
    """Return the metric of the agreement of confusion matrices."""
    return ConfusionMetric(
        *(name, name, f"{name} consistency (r)", CHOICES),
        human=partial(_pattern, name),
        model=partial(_pattern, name),
        agreement=_agreement,
        resampling=partial(_resampling, name),
        ceiling_is="sqrt of the agreement of the two halves of the human trials",
        least_classes=least_classes,
        least_images=least_images,
    )


CONFUSION_METRICS = (
    # d' of a class's only image is the mean of its pair
    _of_matrices("I2n", least_classes=2, least_images=2),
    # with two classes there is one pair of confusions and no correlation
    _of_matrices("O2", least_classes=3, least_images=1),
    ConfusionMetric(
        *("error_consistency", "kappa", "error consistency (kappa)", CHOICES),
        human=_human_right,
        model=_model_right,
        agreement=_kappa,
        resampling=partial(_resampling, "error_consistency"),
        # a model whose answers do not vary may exceed the agreement of people, whose answers do
        reliability=None,
    ),
)
