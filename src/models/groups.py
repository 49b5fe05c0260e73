"""Groups of models by the training of the networks, derived from the catalogue; plain data, no torch."""

from .catalogue import MODELS
from .catalogue.entry import GROUP_ORDER

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name, entry in MODELS.items() if entry.group == group) for group in GROUP_ORDER
}
