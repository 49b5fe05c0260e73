"""Models by name: listed, resolved and loaded. Importing this loads neither torch nor Brain-Score.

A name is one of MODELS, any other Brain-Score plugin's, `hf:<repository or folder>` of Hugging Face, `timm:<name>`,
`path/to/file.py:function` or `package.module:function`. Before it may stand `Random-` (drawn anew from a seed in the
name, no weights needed), `NoDownsample-` (features not projected) or `Finetune-`, and then behind it `=` and the path
of a state dict that is put on top of the network's own weights: `Finetune-r3d_18=runs/best.pt`.
Each source of models is one module with `load(argument, device)`, `source_files(argument)`, `packages(argument)` and
`ready(argument)`; only `load` may import torch.
"""

from collections.abc import Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils import BadInput, unknown_name
from .catalogue import GROUPS, MODELS, ModelEntry
from .catalogue.entry import SOURCES
from .weights import SUFFIXES

if TYPE_CHECKING:
    from .spec import Model

__all__ = ["MODELS", "PREFIXES", "SOURCES", "ModelEntry", "all_names", "grouped", "load", "load_watched", "resolve"]

PREFIXES = ("Random-", "NoDownsample-", "Finetune-")
SCHEMES = {"hf:": "huggingface", "timm:": "timm"}


def all_names() -> list[str]:
    """Every name without prefixes: the groups', then Brain-Score's other plugins' in alphabetical order."""
    from .sources.brainscore import plugin_names

    return [*MODELS, *sorted(set(plugin_names()) - set(MODELS), key=str.lower)]


def grouped() -> dict[str, list[str]]:
    """{group: names}: the groups, then "brainscore" with the plugins that are in none."""
    return {
        **{group: [entry.name for entry in entries] for group, entries in GROUPS.items()},
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
    before, finetuned = name.removesuffix(base), ""
    if "Finetune-" in prefixes:
        base, finetuned = _finetuned(name, base, prefixes)
    entry = _base_entry(base, before)
    random, full = "Random-" in prefixes, "NoDownsample-" in prefixes
    return replace(entry, name=name, random=random, full_features=full, finetuned=finetuned)


def _finetuned(name: str, base: str, prefixes: Iterable[str]) -> tuple[str, str]:
    """The name and the state dict of `NAME=path`."""
    base, _, path = base.partition("=")
    if "Random-" in prefixes:
        raise BadInput(f"'{name}' asks for drawn and for fine-tuned weights; choose one of Random- and Finetune-")
    if not path:
        raise BadInput(f"'{name}' names no state dict; expected Finetune-NAME=path/to/weights.pt")
    if not Path(path).expanduser().is_file() or not path.endswith(SUFFIXES):
        raise BadInput(
            f"no weight file {path} for the model '{name}'; expected a file that ends in {', '.join(SUFFIXES)}"
        )
    return base, str(Path(path).expanduser())


def _base_entry(base: str, prefix: str) -> ModelEntry:
    if base in MODELS:
        return MODELS[base]
    for scheme, source in SCHEMES.items():
        if base.startswith(scheme):
            argument = base.removeprefix(scheme)
            known = (entry for entry in MODELS.values() if (entry.source, entry.argument) == (source, argument))
            extra = {"huggingface": "transformers", "timm": "timm"}[source]
            bare = ModelEntry(name=base, group="own", kind="?", source=source, argument=argument, extra=extra)
            return replace(next(known, bare), name=base)
    names = all_names()
    if base in names:
        return ModelEntry(name=base, group="brainscore", kind="?", source="brainscore", argument=base)
    if ":" in base:
        from .sources.file import check_reference

        check_reference(base)
        return ModelEntry(name=base, group="own", kind="?", source="own", argument=base)
    raise unknown_name("model", prefix + base, [prefix + known for known in names])


def load(name: str, device: str = "cpu", limit: int = 15) -> "Model":
    """The network of that name on `device`, in eval mode, with at most `limit` of its layers."""
    return load_watched(name, device, limit)[0]


def load_watched(name: str, device: str = "cpu", limit: int = 15) -> "tuple[Model, tuple[Path, ...]]":
    """`load` and the weight files that were opened for it."""
    from .loading import load_entry

    return load_entry(resolve(name), device, limit)


def source_files(name: str) -> tuple[Path, ...]:
    """The Python files that say how the model is built, fed and read; one of them changed, its digest may have."""
    entry = resolve(name)
    here = Path(__file__).parent
    ours = [here / part for part in ("loading.py", "inspect/axes.py", "spec.py", "weights.py")]
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
