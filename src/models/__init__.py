"""Models by name: listed, resolved and loaded. Importing the package loads neither torch nor Brain-Score.

A name is one of `MODELS`, a Brain-Score plugin, `hf:<repository or folder>` of Hugging Face, `timm:<name>`,
`path/to/file.py:function` or `package.module:function`. It may have prefixes: `Random-` (weights sampled from a seed in
the name, no weight file needed), `NoDownsample-` (no projection of the features), `BrainScore-` (preprocessing and
rate of Brain-Score's plugin, where they differ from those of the training), `Frozen-` and `Shuffled-` (a video model
sees the middle frame of each window held, or its frames in a seeded random order), and `Finetune-`, which takes the
path of a state dict that replaces the network's own weights: `Finetune-r3d_18=runs/best.pt`.

Every source of models is one module of `sources` with `load(argument, device, weights)`, `source_files(argument)`,
`packages(argument)` and `ready(argument)`; only `load` imports torch. With `weights` False it builds the network with
its initial values and reads no weight file.

Examples
--------
>>> entry = resolve("Random-r3d_18")
>>> entry.name, entry.kind, entry.random
('Random-r3d_18', 'video', True)
>>> GROUPS["control"][:2]
('pixels', 'motion-energy')
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..utils import BadInput, unknown_name
from .catalogue import ALIASES, MODELS, PLUGIN, ModelEntry
from .catalogue.entry import SOURCES
from .groups import BRAIN_PREFIX, GROUP_NAMES, GROUPS, Membership, membership
from .weights import SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

    from .spec import Model

__all__ = [
    "ALIASES",
    "BRAIN_PREFIX",
    "GROUPS",
    "GROUP_NAMES",
    "MODELS",
    "PREFIXES",
    "SOURCES",
    "Membership",
    "ModelEntry",
    "all_names",
    "grouped",
    "import_folder",
    "load",
    "load_watched",
    "membership",
    "resolve",
    "resolved",
    "source_files",
    "table",
    "title",
    "versions",
]

ORDERS = {"Frozen-": "frozen", "Shuffled-": "shuffled"}
PREFIXES = ("Random-", "NoDownsample-", "Finetune-", "BrainScore-", *ORDERS)
SCHEMES = {"hf:": "huggingface", "timm:": "timm"}
SCHEME_FORMS = {"hf:": "hf:owner/repository or hf:path/to/folder", "timm:": "timm:name"}
EXTRA_OF = {"huggingface": "transformers", "timm": "timm"}


def all_names() -> list[str]:
    """Return every name without prefixes.

    Returns
    -------
    list of str
        The names of the catalogue in the order of its groups, then those of Brain-Score's other plugins in
        alphabetical order.
    """
    from .sources.brainscore import plugin_names

    return [*MODELS, *sorted(set(plugin_names()) - set(MODELS), key=str.lower)]


def grouped() -> dict[str, list[str]]:
    """Return the names of every group.

    Returns
    -------
    dict of {str: list of str}
        The groups of the catalogue, then "brainscore" with the plugins that are in no group.
    """
    return {**{group: list(names) for group, names in GROUPS.items()}, "brainscore": all_names()[len(MODELS) :]}


def resolve(name: str) -> ModelEntry:
    """Return the entry of a model's name, without loading the model.

    Parameters
    ----------
    name : str
        A name with or without prefixes.

    Returns
    -------
    ModelEntry
        The catalogue's entry, or one made from the name; its prefixes set `random`, `full_features` and `finetuned`.

    Raises
    ------
    BadInput
        For an unknown name, with the nearest names, and for a user's file or function that does not exist.
    """
    base, prefixes = name, set()
    while base.startswith(PREFIXES):
        prefix = next(prefix for prefix in PREFIXES if base.startswith(prefix))
        prefixes.add(prefix)
        base = base.removeprefix(prefix)
    before, finetuned = name.removesuffix(base), ""
    if "Finetune-" in prefixes:
        base, finetuned = _finetuned(name, base, prefixes)
    entry = _base_entry(base, before)
    if "BrainScore-" in prefixes:
        entry = _as_plugin(name, entry)
    random, full = "Random-" in prefixes, "NoDownsample-" in prefixes
    order = _order(name, entry, prefixes)
    return replace(entry, name=name, random=random, full_features=full, finetuned=finetuned, order=order)


def _order(name: str, entry: ModelEntry, prefixes: Iterable[str]) -> str:
    """Return the order of the frames of each window; BadInput for two of them, or a model of single frames."""
    orders = [ORDERS[prefix] for prefix in ORDERS if prefix in prefixes]
    if len(orders) > 1:
        raise BadInput(f"'{name}' has two orders of frames; expected one of {' and '.join(ORDERS)}")
    if orders and entry.kind == "image":
        raise BadInput(f"'{name}': {entry.name} sees single frames, which have no order; expected a video model")
    return "".join(orders)


def _as_plugin(name: str, entry: ModelEntry) -> ModelEntry:
    """Return the entry with the input of Brain-Score's plugin; BadInput where it is the one of the training."""
    if entry.plugin is None:
        raise BadInput(
            f"'{name}': no input of a Brain-Score plugin is known that differs from that of {entry.name}; expected "
            f"{entry.name}"
        )
    return replace(
        entry,
        argument=entry.argument + PLUGIN,
        fps=entry.plugin.fps,
        preprocessing=entry.plugin.preprocessing,
    )


def _finetuned(name: str, base: str, prefixes: Iterable[str]) -> tuple[str, str]:
    """Return the name and the path of the state dict in `NAME=path`."""
    base, _, path = base.partition("=")
    if "Random-" in prefixes:
        raise BadInput(f"'{name}' has both random and fine-tuned weights; expected one of Random- and Finetune-")
    if not path:
        raise BadInput(f"'{name}' names no state dict; expected Finetune-NAME=path/to/weights.pt")
    if not Path(path).expanduser().is_file() or not path.endswith(SUFFIXES):
        raise BadInput(
            f"no weight file {path} for the model '{name}'; expected a file that ends in {', '.join(SUFFIXES)}"
        )
    return base, str(Path(path).expanduser())


def _base_entry(base: str, prefix: str) -> ModelEntry:
    """Return the entry of a name without prefixes; `prefix` is put before the names in the error message."""
    base = ALIASES.get(base, base)
    if base in MODELS:
        return MODELS[base]
    for scheme, source in SCHEMES.items():
        if base.startswith(scheme):
            argument = base.removeprefix(scheme)
            if not argument or not argument.isprintable():
                raise BadInput(f"model '{base}' names nothing behind {scheme}; expected {SCHEME_FORMS[scheme]}")
            listed = (entry for entry in MODELS.values() if (entry.source, entry.argument) == (source, argument))
            extra = EXTRA_OF[source]
            unlisted = ModelEntry(name=base, group="own", kind="?", source=source, argument=argument, extra=extra)
            return replace(next(listed, unlisted), name=base)
    names = all_names()
    if base in names:
        return ModelEntry(name=base, group="brainscore", kind="?", source="brainscore", argument=base)
    if ":" in base:
        from .sources.file import check_reference

        check_reference(base)
        return ModelEntry(name=base, group="own", kind="?", source="own", argument=base)
    raise unknown_name("model", prefix + base, [prefix + name for name in names])


def load(
    name: str,
    device: str = "cpu",
    limit: int = 15,
    *,
    layers: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
    fps: float | None = None,
    layer_axes: Mapping[str, str] | None = None,
    reduced: bool = False,
) -> "Model":
    """Return the model of that name.

    Parameters
    ----------
    name : str
        A name with or without prefixes.
    device : str, default "cpu"
        Device of the network.
    limit : int, default 15
        Maximum number of layers; more are thinned to evenly spaced ones, first and last kept.
    layers : sequence of str, default ()
        These layers instead: any module of the network, "module@2" for its second call in a pass, "module.key" for a
        part of its output.
    input_size : (int, int), optional
        Height and width of the input in px, for a `torch.nn.Module` of a user's file; default: 224 x 224.
    fps : float, optional
        Frames per second, for a model of single frames, a `torch.nn.Module` of a user's file or a repository outside
        the catalogue; default: the model's.
    layer_axes : mapping of {str: str}, optional
        Axes of layers in place of the detected ones, {layer or pattern: axes}: "KC", or "(T8K)C" for 8 time steps in an
        axis of tokens, time slowest, "(KT8)C" for time fastest, "(1+T8K)C" behind a class token.
    reduced : bool, default False
        Sampled weights and, of most networks of the catalogue, few blocks of few channels: to try a network quickly.

    Returns
    -------
    Model
        The network in eval mode.

    Raises
    ------
    BadInput
        For an unknown name, a missing package or weight file, and a network that cannot be used.
    """
    from .loading import load_entry

    return load_entry(resolve(name), device, limit, layers, input_size, fps, layer_axes, reduced)[0]


def load_watched(
    name: str,
    device: str = "cpu",
    limit: int = 15,
    *,
    layers: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
    fps: float | None = None,
    layer_axes: Mapping[str, str] | None = None,
) -> "tuple[Model, tuple[Path, ...]]":
    """Return the model of that name and the weight files that were opened for it.

    Parameters
    ----------
    name, device, limit, layers, input_size, fps, layer_axes
        As in `load`.

    Returns
    -------
    model : Model
        The network in eval mode.
    files : tuple of Path
        Weight files; the model's digest may change if one of them does.
    """
    from .loading import load_entry

    return load_entry(resolve(name), device, limit, layers, input_size, fps, layer_axes)


def title(name: str) -> str:
    """Return the name of a model that is printed and stored: of a path of a user the last part only.

    Content tells models of one name apart in keys.

    Parameters
    ----------
    name : str
        A name with or without prefixes.

    Examples
    --------
    >>> title("Random-projects/mine/net.py:network"), title("Finetune-r3d_18=runs/best.pt"), title("hf:a/b")
    ('Random-net.py:network', 'Finetune-r3d_18=best.pt', 'hf:a/b')
    """
    prefixes, base, weights = _parts(name)
    place, colon, argument = base.partition(":")
    if place.endswith(".py") or "/" in place:
        place = Path(place).name
    elif base.startswith(BRAIN_PREFIX):
        argument = Path(argument).name
    elif base.startswith("hf:") and Path(argument).expanduser().is_dir():
        argument = Path(argument).expanduser().absolute().name
    return prefixes + place + colon + argument + (f"={Path(weights).name}" if weights else "")


def resolved(name: str) -> dict[str, str]:
    """Return the places of the user's files that a name denotes, each with its absolute path.

    Parameters
    ----------
    name : str
        A name with or without prefixes.

    Returns
    -------
    dict of {str: str}
        "reference" (own file or module), "folder" (of Hugging Face's format), "weights" (state dict), as far as the
        name has them.
    """
    _, base, weights = _parts(name)
    entry, places = resolve(name), {}
    if entry.source == "own":
        places["reference"] = str(entry.module.reference_file(entry.argument))
    elif base.startswith("hf:") and Path(entry.argument).expanduser().is_dir():
        places["folder"] = str(Path(entry.argument).expanduser().absolute())
    return places | ({"weights": str(Path(weights).expanduser().absolute())} if weights else {})


def import_folder(name: str) -> Path | None:
    """Return the folder from which a user's file imports its neighbours; None for other models.

    Parameters
    ----------
    name : str
        A name with or without prefixes.
    """
    entry = resolve(name)
    return entry.module.import_folder(entry.argument) if entry.source == "own" else None


def _parts(name: str) -> tuple[str, str, str]:
    """Return the prefixes of a name, the name without them, and the path of the state dict, "" if it has none."""
    base = name
    while base.startswith(PREFIXES):
        base = base.removeprefix(next(prefix for prefix in PREFIXES if base.startswith(prefix)))
    prefixes = name.removesuffix(base)
    base, _, weights = base.partition("=") if "Finetune-" in prefixes else (base, "", "")
    return prefixes, base, weights


def source_files(name: str) -> tuple[Path, ...]:
    """Return the Python files that define the network, its preprocessing and its layers.

    Parameters
    ----------
    name : str
        A name with or without prefixes.

    Returns
    -------
    tuple of Path
        Sorted; the model's digest may change if one of them does.
    """
    entry = resolve(name)
    here = Path(__file__).parent
    inspection = [f"inspect/{part}.py" for part in ("axes", "choose", "outputs", "probe", "steps")]
    ours = [here / part for part in ("loading.py", *inspection, "spec.py", "weights.py")]
    return tuple(sorted({*ours, Path(entry.module.__file__), *entry.module.source_files(entry.argument)}))


def versions(name: str) -> dict[str, str]:
    """Return the versions of the installed packages that the model is built from.

    Parameters
    ----------
    name : str
        A name with or without prefixes.

    Returns
    -------
    dict of {str: str}
        Version by package; packages that are not installed are left out.
    """
    entry = resolve(name)
    found = {package: _version(package) for package in sorted({"torch", *entry.module.packages(entry.argument)})}
    return {package: version for package, version in found.items() if version}


def _version(package: str) -> str:
    """Return the version of a package, "" if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def table(group: str | None = None) -> "pd.DataFrame":
    """Return the models of the catalogue, all of them or those of one group.

    Parameters
    ----------
    group : str, optional
        One of GROUPS.

    Returns
    -------
    pandas.DataFrame
        A row per model, indexed by name: group, kind, millions of parameters, fps, layers, source.

    Raises
    ------
    BadInput
        For a group that does not exist.
    """
    import pandas as pd

    if group is not None and group not in GROUPS:
        raise unknown_name("group", group, GROUPS)
    columns = ("name", "group", "kind", "millions", "fps", "layers", "source")
    rows = [[getattr(entry, c) for c in columns] for entry in MODELS.values() if group in (None, entry.group)]
    return pd.DataFrame(rows, columns=list(columns)).set_index("name")


class _CallableModule(ModuleType):
    """Module that can be called, as `dynamic_vision.models()`.

    The package has an attribute `models` as soon as the module is imported, so that no function can have this name.
    """

    def __call__(self, group: str | None = None) -> "pd.DataFrame":
        """Return the models of the catalogue; see `table`."""
        return table(group)


sys.modules[__name__].__class__ = _CallableModule
