"""The datasets by name. Importing this reads nothing and loads no torch, xarray or pandas."""

from src.config import Config
from src.data.behaviour import fake as fake_behaviour
from src.data.behaviour import rajalingham2018
from src.data.declare import Behaviour, Dataset, Electrodes, Fmri, Task
from src.data.electrodes import fake as fake_electrodes
from src.data.fmri import fake as fake_fmri
from src.data.tasks import cueconflict, digits
from src.data.tasks import fake as fake_tasks
from src.records import Choices, Labels, Responses
from src.utils import unknown_name

DATASETS: dict[str, Fmri] = {d.name: d for d in [*fake_fmri.DATASETS]}
ELECTRODES: dict[str, Electrodes] = {d.name: d for d in [*fake_electrodes.DATASETS]}
TASKS: dict[str, Task] = {d.name: d for d in [*fake_tasks.DATASETS, *digits.DATASETS, *cueconflict.DATASETS]}
BEHAVIOURS: dict[str, Behaviour] = {d.name: d for d in [*fake_behaviour.DATASETS, *rajalingham2018.DATASETS]}
KINDS: dict[str, dict[str, Dataset]] = {
    "fmri": DATASETS,
    "electrodes": ELECTRODES,
    "task": TASKS,
    "behaviour": BEHAVIOURS,
}
STATIC: frozenset[str] = frozenset(d.name for d in [*TASKS.values(), *BEHAVIOURS.values()] if d.static)


def declaration(kind: str | None, name: str) -> Dataset:
    """The declaration of `name` among those of `kind` ("fmri", "electrodes", "task", "behaviour"; None: any).

    Raises BadInput with the nearest names where there is none.
    """
    kinds = KINDS.values() if kind is None else [KINDS[kind]]
    known = {n: d for registry in kinds for n, d in registry.items()}
    if name not in known:
        raise unknown_name("dataset" if kind is None else f"{kind} dataset", name, known)
    return known[name]


def load(name: str, config: Config) -> Responses | Labels | Choices:
    """The record of dataset `name`, read from (an embedded one: rendered into) its folder under DATA_HOME."""
    found = declaration(None, name)
    return found.load(config.data_home / found.study)
