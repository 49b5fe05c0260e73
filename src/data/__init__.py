"""Datasets by name. Importing this package reads no file and loads no torch, xarray or pandas.

FMRI, ELECTRODES, TASKS and BEHAVIOURS are the registries {name: declaration}, one per benchmark; BY_BENCHMARK maps
"fmri", "electrodes", "task" and "behaviour" to them. DATASETS is another name of FMRI. STATIC holds the names of the
datasets whose stimuli are images that an image model receives once.
"""

from pathlib import Path

from ..config import Config
from ..records import Choices, Labels, Responses, collected_faults
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

FMRI: dict[str, Fmri] = {d.name: d for study in _FMRI for d in study.DATASETS}
DATASETS = FMRI
ELECTRODES: dict[str, Electrodes] = {d.name: d for study in _ELECTRODES for d in study.DATASETS}
TASKS: dict[str, Task] = {d.name: d for study in _TASKS for d in study.DATASETS}
BEHAVIOURS: dict[str, Behaviour] = {d.name: d for study in _BEHAVIOURS for d in study.DATASETS}
BY_BENCHMARK: dict[str, dict[str, Dataset]] = {
    "fmri": FMRI,
    "electrodes": ELECTRODES,
    "task": TASKS,
    "behaviour": BEHAVIOURS,
}
TYPES: dict[str, type[Dataset]] = {"fmri": Fmri, "electrodes": Electrodes, "task": Task, "behaviour": Behaviour}
STATIC: frozenset[str] = frozenset(d.name for d in [*TASKS.values(), *BEHAVIOURS.values()] if d.static)


def declaration(benchmark: str | None, name: str) -> Dataset:
    """Return the declaration of a dataset.

    Parameters
    ----------
    benchmark : {"fmri", "electrodes", "task", "behaviour"} or None
        Benchmark to which the dataset must belong; None for any.
    name : str
        Name in a registry, `path/to/file.py:function` for a custom dataset, where the function returns the
        declaration, the path of a folder with `dataset.toml`, or `bids:`, `nwb:` or `brainio:` with files.

    Returns
    -------
    Dataset

    Raises
    ------
    BadInput
        If there is no such dataset (names the nearest ones), or if it belongs to another benchmark.

    Examples
    --------
    >>> declaration("fmri", "fake-fmri").citation
    'simulated; no publication'
    """
    if custom.is_custom(name):
        found = custom.custom_declaration(name)
        if any(found.name in registry for registry in BY_BENCHMARK.values()):
            raise BadInput(f"{name} is called {found.name}, as a known dataset; expected a name of its own: rename it")
        if benchmark is not None and not isinstance(found, TYPES[benchmark]):
            suited = next((other for other, kind in TYPES.items() if isinstance(found, kind)), None)
            raise BadInput(
                f"{name} is of type {type(found).__name__}; expected {TYPES[benchmark].__name__} for the benchmark "
                f"{benchmark}; {f'use the benchmark {suited} (score_{suited}.py)' if suited else 'return another type'}"
            )
        return found
    registries = BY_BENCHMARK.values() if benchmark is None else [BY_BENCHMARK[benchmark]]
    known = {n: d for registry in registries for n, d in registry.items()}
    if name not in known and Path(name).is_dir():
        raise BadInput(f"the folder {name} has no {custom.own.FILE}; make it with `data new {name} --kind KIND`")
    other = next((other for other, registry in BY_BENCHMARK.items() if name in registry), None)
    if name not in known and other is not None:
        raise BadInput(f"{name} is no {benchmark} dataset but one of {other}; expected score_{other}.py for it")
    if name not in known:
        study, _, area = name.rpartition("-")
        own, elsewhere = (
            [n for n in known if n.rpartition("-")[0] == study],
            [n for n in known if n.endswith(f"-{area}")],
        )
        if own and elsewhere:
            raise BadInput(f"{study} has no {area}; it has {', '.join(own)}; {area} is in {', '.join(elsewhere)}")
        raise unknown_name("dataset" if benchmark is None else f"{benchmark} dataset", name, known)
    return known[name]


def load(name: str, config: Config) -> Responses | Labels | Choices:
    """Return the record of a dataset, which is rendered (embedded) or prepared (public) on first use.

    Parameters
    ----------
    name : str
        As for `declaration`.
    config : Config
        Names DATA_HOME.

    Returns
    -------
    Responses, Labels or Choices

    Raises
    ------
    BadInput
        If there is no such dataset, or if its files are missing, damaged or cannot be written.
    """
    if custom.is_custom(name):
        return custom.custom_record(name, config.data_home)
    found = declaration(None, name)
    folder = config.data_home / found.study
    return prepared.load(found, folder) if found.load is None else found.load(folder)


def files(name: str, config: Config) -> tuple[Path, ...]:
    """Return the file that changes whenever the data of a known dataset change; none for an embedded one.

    Parameters
    ----------
    name : str
        As for `declaration`.
    config : Config
        Names DATA_HOME.

    Returns
    -------
    tuple of Path
    """
    found = declaration(None, name)
    return () if found.load else (prepared.home(found, config.data_home / found.study) / prepared.PROVENANCE,)


def made_by(name: str, config: Config) -> dict[str, list]:
    """Return the stage that read the prepared data of a known dataset, with the digest of its sources.

    Parameters
    ----------
    name, config
        As for `files`.

    Returns
    -------
    dict of {str: list}
        See `stages.sources`; empty for an embedded dataset, and for data that were prepared without it.
    """
    found = declaration(None, name)
    stated = None if found.load else prepared.stated(found, config.data_home / found.study)
    return dict((stated or {}).get("sources", {}))


def examine(
    name: str, config: Config
) -> tuple[Dataset | None, Responses | Labels | Choices | None, list[str], list[str]]:
    """Read a dataset of a user and collect its faults.

    Parameters
    ----------
    name : str
        `path/to/file.py:function`, the path of a folder with `dataset.toml`, or `bids:`, `nwb:` or `brainio:` with
        files.
    config : Config
        Names DATA_HOME.

    Returns
    -------
    declared : Dataset or None
        None where faults prevent the declaration.
    record : Responses, Labels, Choices or None
    faults : list of str
        One line each.
    assumptions : list of str
        Facts of the files that were inferred.
    """
    form = custom.form_of(name)
    if form in ("folder", "standard"):
        try:
            if form == "standard":
                return custom.forms.examine(name, config.data_home)
            return custom.own.examine(custom.own.place(name))
        except BadInput as error:
            return None, None, [str(error)], []
    declared = record = None
    with collected_faults() as faults:
        try:
            declared = declaration(None, name)
            record = load(name, config)
        except BadInput as error:
            faults.append(str(error))
        except Exception:
            # without a fault before it, the error is one of the user's file
            if not faults:
                raise
    return declared, None if faults else record, faults, []
