"""Models and datasets that are passed as objects instead of names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..data.declare import Dataset

if TYPE_CHECKING:
    from ..models.spec import Model


@dataclass(frozen=True)
class Objects:
    """Objects for names of a request.

    Parameters
    ----------
    model : Model or None
        The model called `request.model`; None: the name is resolved in the catalogue.
    datasets : mapping of str to Dataset
        Declarations by name; other names are resolved among the known datasets.
    """

    model: "Model | None" = None
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
