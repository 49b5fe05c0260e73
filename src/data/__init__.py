"""The datasets by name. Importing this reads nothing and loads no torch, xarray or pandas."""

from pathlib import Path

from ..config import Config
from ..records import Choices, Labels, Responses
from ..utils import BadInput, unknown_name
from . import custom, prepared
from .behaviour import fake as fake_behaviour
from .behaviour import han2024, ilic2022, rajalingham2018
from .declare import Behaviour, Dataset, Electrodes, Fmri, Task
from .electrodes import crcns_mt2, crcns_pvc1, freemanziemba2013, majajhong2015, oleo
from .electrodes import fake as fake_electrodes
from .fmri import berezutskaya2021, keles2024, lahner2024, mcmahon2023, savasegal2023
from .fmri import fake as fake_fmri
from .tasks import (
    afd2022,
    cueconflict,
    digits,
    ding2012,
    hdm05,
    imagenet2012,
    kinetics400,
    majajhong2015_pose,
    mcmahon2023_social,
    mechanical_tools,
    selfmotion,
    smthsmthv2,
    vggface2,
)
from .tasks import fake as fake_tasks

_FMRI = (fake_fmri, savasegal2023, keles2024, berezutskaya2021, mcmahon2023, lahner2024)
_ELECTRODES = (fake_electrodes, freemanziemba2013, majajhong2015, crcns_pvc1, crcns_mt2, oleo)
_TASKS = (
    *(fake_tasks, digits, imagenet2012, afd2022, kinetics400, ding2012, smthsmthv2, vggface2, hdm05, selfmotion),
    *(mcmahon2023_social, majajhong2015_pose, cueconflict, mechanical_tools),
)
_BEHAVIOURS = (fake_behaviour, ilic2022, rajalingham2018, han2024)

DATASETS: dict[str, Fmri] = {d.name: d for study in _FMRI for d in study.DATASETS}
ELECTRODES: dict[str, Electrodes] = {d.name: d for study in _ELECTRODES for d in study.DATASETS}
TASKS: dict[str, Task] = {d.name: d for study in _TASKS for d in study.DATASETS}
BEHAVIOURS: dict[str, Behaviour] = {d.name: d for study in _BEHAVIOURS for d in study.DATASETS}
BY_BENCHMARK: dict[str, dict[str, Dataset]] = {
    "fmri": DATASETS,
    "electrodes": ELECTRODES,
    "task": TASKS,
    "behaviour": BEHAVIOURS,
}
TYPES: dict[str, type[Dataset]] = {"fmri": Fmri, "electrodes": Electrodes, "task": Task, "behaviour": Behaviour}
STATIC: frozenset[str] = frozenset(d.name for d in [*TASKS.values(), *BEHAVIOURS.values()] if d.static)


def declaration(kind: str | None, name: str) -> Dataset:
    """The declaration of `name`, one of `kind` ("fmri", "electrodes", "task", "behaviour"; None: any).

    A name `path/to/file.py:function` is a dataset of the user's own, see `src.data.custom`. Raises BadInput with the
    nearest names where there is none, and for a dataset of another kind.
    """
    if custom.is_reference(name):
        found = custom.declared(name)
        if kind is not None and not isinstance(found, TYPES[kind]):
            found_type, expected = type(found).__name__, TYPES[kind].__name__
            raise BadInput(f"{name} is of type {found_type}; expected {expected}: take the script of its kind")
        return found
    kinds = BY_BENCHMARK.values() if kind is None else [BY_BENCHMARK[kind]]
    known = {n: d for registry in kinds for n, d in registry.items()}
    if name not in known:
        raise unknown_name("dataset" if kind is None else f"{kind} dataset", name, known)
    return known[name]


def load(name: str, config: Config) -> Responses | Labels | Choices:
    """The record of dataset `name`: an embedded one is rendered on first use, a public one prepared on first use."""
    found = declaration(None, name)
    folder = config.data_home / found.study
    return prepared.load(found, folder) if found.load is None else found.load(folder)


def files(name: str, config: Config) -> tuple[Path, ...]:
    """The file that changes whenever the data of `name` do; none for an embedded dataset."""
    if custom.is_reference(name):
        return (custom.file(name),)
    found = declaration(None, name)
    return () if found.load else (prepared.home(found, config.data_home / found.study) / prepared.STATED,)
