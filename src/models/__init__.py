"""Models by name: listed, resolved and loaded. Importing this loads neither torch nor Brain-Score.

A name is one of MODELS, any other Brain-Score plugin's, `path/to/file.py:function` or `package.module:function`, with
`Random-` (drawn anew from a seed in the name, no weights needed) or `NoDownsample-` (features not projected) before it.
Each source of models is one module with `load(argument, device)`, `source_files(argument)`, `packages(argument)` and
`ready(argument)`; only `load` may import torch.
"""

import importlib
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from src.models.groups import GROUPS
from src.utils import unknown_name

if TYPE_CHECKING:
    from types import ModuleType

    from src.models.spec import Model

SOURCES = {
    "control": "src.models.controls",
    "brainscore": "src.models.from_brainscore",
    "torchvision": "src.models.from_torchvision",
    "own": "src.models.from_file",
}
PREFIXES = ("Random-", "NoDownsample-")


@dataclass(frozen=True)
class ModelEntry:
    """What is known of a model before it is loaded.

    name: as asked for, prefixes included; argument: the name that its source knows it by; kind: "image", "video" or
    "?" where only loading tells; random: weights drawn from a seed in the name; full_features: the extractor projects
    nothing.
    """

    name: str
    group: str
    kind: str
    source: str
    argument: str
    random: bool = False
    full_features: bool = False

    @property
    def module(self) -> "ModuleType":
        """The module of its source."""
        return importlib.import_module(SOURCES[self.source])


MODELS = {
    name: ModelEntry(name=name, group=group, kind=kind, source=source, argument=name)
    for group, rows in GROUPS.items()
    for name, kind, source in rows
}


def all_names() -> list[str]:
    """Every name without prefixes: the groups', then Brain-Score's other plugins' in alphabetical order."""
    from src.models.from_brainscore import plugin_names

    return [*MODELS, *sorted(set(plugin_names()) - set(MODELS), key=str.lower)]


def grouped() -> dict[str, list[str]]:
    """{group: names}: the groups, then "brainscore" with the plugins that are in none."""
    return {
        **{group: [name for name, _, _ in rows] for group, rows in GROUPS.items()},
        "brainscore": all_names()[len(MODELS) :],
    }


def resolve(name: str) -> ModelEntry:
    """The entry of a model's name, without loading it.

    Raises BadInput for a name that no source knows, naming the nearest ones, and for a file or function of the
    user's that does not exist.
    """
    base, prefixes = name, set()
    while base.startswith(PREFIXES):
        prefix = next(prefix for prefix in PREFIXES if base.startswith(prefix))
        prefixes.add(prefix)
        base = base.removeprefix(prefix)
    entry = _base_entry(base, name.removesuffix(base))
    return replace(entry, name=name, random="Random-" in prefixes, full_features="NoDownsample-" in prefixes)


def _base_entry(base: str, prefix: str) -> ModelEntry:
    if base in MODELS:
        return MODELS[base]
    names = all_names()
    if base in names:
        return ModelEntry(name=base, group="brainscore", kind="?", source="brainscore", argument=base)
    if ":" in base:
        from src.models.from_file import check_reference

        check_reference(base)
        return ModelEntry(name=base, group="own", kind="?", source="own", argument=base)
    raise unknown_name("model", prefix + base, [prefix + known for known in names])


def load(name: str, device: str = "cpu", limit: int = 15) -> "Model":
    """The network of that name on `device`, in eval mode, with at most `limit` of its layers."""
    return load_watched(name, device, limit)[0]


def load_watched(name: str, device: str = "cpu", limit: int = 15) -> "tuple[Model, tuple[Path, ...]]":
    """`load` and the weight files that were opened for it."""
    from src.models.loading import load_entry

    return load_entry(resolve(name), device, limit)


def source_files(name: str) -> tuple[Path, ...]:
    """The Python files that say how the model is built, fed and read; one of them changed, its digest may have."""
    entry = resolve(name)
    here = Path(__file__).parent
    ours = [here / part for part in ("loading.py", "layouts.py", "spec.py", "weights.py")]
    return tuple(sorted({*ours, Path(entry.module.__file__), *entry.module.source_files(entry.argument)}))


def versions(name: str) -> dict[str, str]:
    """{package: version} of the installed packages that the model is built from."""
    entry = resolve(name)
    found = {package: _version(package) for package in sorted({"torch", *entry.module.packages(entry.argument)})}
    return {package: version for package, version in found.items() if version}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
