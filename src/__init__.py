"""Dynamic-Vision: scores of vision models against brains and behaviour that unfold in time.

>>> import dynamic_vision as dv
>>> score = dv.score("fake-net", "fake-fmri")  # doctest: +SKIP
>>> print(score.summary())  # doctest: +SKIP
>>> score.to_dataframe().groupby("layer")["test"].mean()  # doctest: +SKIP

Nothing is imported before it is used: neither numpy nor torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import compare, datasets, extract, load, load_encoder, score, temporal_windows
    from .config import Config
    from .data.arrays import labels, responses, stimuli
    from .data.declare import Behaviour, Electrodes, Fmri, Task
    from .evaluate.decoders import PLS as PLS
    from .evaluate.decoders import BandedRidge as BandedRidge
    from .evaluate.decoders import Logistic as Logistic
    from .evaluate.decoders import Ridge as Ridge
    from .evaluate.decoders import StackedRidge as StackedRidge
    from .models.spec import Model
    from .pipeline import Score
    from .records import Activations, Choices, Labels, Responses, Stimuli
    from .utils import BadInput

DISTRIBUTION = "dynamic-vision"
INSTALLED_NAME = "dynamic_vision"
_HOMES = {
    "api": ("compare", "datasets", "extract", "load", "load_encoder", "score", "temporal_windows"),
    "config": ("Config",),
    "data.arrays": ("labels", "responses", "stimuli"),
    "data.declare": ("Behaviour", "Electrodes", "Fmri", "Task"),
    "evaluate.decoders": ("BandedRidge", "Logistic", "PLS", "Ridge", "StackedRidge"),
    "models.spec": ("Model",),
    "pipeline": ("Score",),
    "records": ("Activations", "Choices", "Labels", "Responses", "Stimuli"),
    "utils": ("BadInput",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# a literal list, so that static tools and `from dynamic_vision import *` see the same names; the decoders, which import
# torch, are not among them
__all__ = [
    "Activations",
    "BadInput",
    "Behaviour",
    "Choices",
    "Config",
    "Electrodes",
    "Fmri",
    "Labels",
    "Model",
    "Responses",
    "Score",
    "Stimuli",
    "Task",
    "compare",
    "datasets",
    "extract",
    "labels",
    "load",
    "load_encoder",
    "models",
    "responses",
    "score",
    "stimuli",
    "temporal_windows",
]


def __getattr__(name: str):
    if name == "__version__":
        from importlib.metadata import version

        return version(DISTRIBUTION)
    if name == "models":
        # the subpackage, which is callable: an attribute of the same name could not be a function
        return importlib.import_module(".models", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOME_OF, "__version__"})


def _claim_name() -> None:
    """Make this the only copy of the package in the process.

    A checkout is imported as `src`, an installation as `dynamic_vision`. Where the checkout runs, the files of a user
    who imports `dynamic_vision` get the checkout's own modules; two copies would have two sets of classes.
    """
    for other in {INSTALLED_NAME, "src"} - {__name__}:
        found = sys.modules.get(other)
        if getattr(found, "DISTRIBUTION", None) == DISTRIBUTION and found.__name__ == other:
            raise ImportError(
                f"{DISTRIBUTION} is imported already as '{other}' ({found.__path__[0]}); it cannot be imported as "
                f"'{__name__}' ({__path__[0]}): use one name in a process, 'dynamic_vision'"
            )
    if __name__ == "src":
        from ._alias import install

        install(INSTALLED_NAME, __name__)


_claim_name()
