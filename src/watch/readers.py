"""Functions that open files in compiled code, which raises no audit event: wrapped while code is watched."""

import fnmatch
import functools
import glob
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .active import records
from .origin import is_users, module_file
from .seen import Seen

# {module: names of functions, of classes, or of "Class.__init__"}; a name may have wildcards
READERS = {
    "av": ("open",),
    "cv2": ("imread*", "VideoCapture", "FileStorage"),
    "decord": ("VideoReader.__init__", "AudioReader.__init__"),
    "h5py": ("File.__init__",),
    "indexed_gzip": ("IndexedGzipFile.__init__",),
    "netCDF4": ("Dataset", "MFDataset"),
    "polars": ("read_*", "scan_*"),
    "pyarrow": ("memory_map", "OSFile", "input_stream"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.feather": ("read_table", "read_feather"),
    "pyarrow.json": ("read_json",),
    "pyarrow.orc": ("read_table", "ORCFile.__init__"),
    "pyarrow.parquet": ("read_*", "ParquetFile.__init__", "ParquetDataset.__init__"),
    "pyreadstat": ("read_*",),
    "rasterio": ("open",),
    "safetensors": ("safe_open",),
    "SimpleITK": ("ReadImage",),
    "soundfile": ("read", "info", "blocks", "SoundFile.__init__"),
    "tables": ("open_file", "File.__init__"),
    "torch": ("from_file",),
    "torch.jit": ("load",),
    "torchaudio": ("load", "info"),
    "torchvision.io": ("read_*", "VideoReader.__init__"),
}
HDF5 = ("h5py", "netCDF4", "tables")
# packages that take over the readers above by name
USERS_OF_READERS = ("safetensors", "transformers", "timm", "xarray", "pandas", "torchvision")
ARGUMENTS = ("name", "filename", "file", "path", "source", "where", "files", "uri", "fname")
WRITING = ("w", "a", "x", "r+")


class Wrapped:
    """The functions of READERS, wrapped as far as their modules are loaded; `undo` restores them."""

    def __init__(self):
        self.done: list[tuple[Any, str, Any, Any]] = []
        _rebind({key: new for module in READERS for key, new in self._replaced(module).items()})

    def wrap(self, module: str) -> None:
        """Wrap the functions of a module that was loaded just now."""
        _rebind(self._replaced(module))

    def _replaced(self, name: str) -> dict[int, Any]:
        """Replace the functions of a module; return the new ones by the identity of those that were replaced."""
        module, replaced = sys.modules.get(name), {}
        for pattern in READERS[name] if module is not None else ():
            pattern, _, method = pattern.partition(".")
            for attribute in fnmatch.filter(list(vars(module)), pattern):
                owner, key = (vars(module)[attribute], method) if method else (module, attribute)
                old = getattr(owner, key, None)
                if not callable(old) or getattr(old, "recorded_by_watch", False):
                    continue
                new = _recording(old, name.split(".")[0] in HDF5, bool(method))
                try:
                    setattr(owner, key, new)
                except (AttributeError, TypeError):  # a class of compiled code
                    continue
                self.done.append((owner, key, old, new))
                replaced |= {} if method else {id(old): new}
        return replaced

    def undo(self) -> None:
        """Restore all functions."""
        for owner, key, old, _ in reversed(self.done):
            setattr(owner, key, old)
        _rebind({id(new): old for owner, _, old, new in self.done if not isinstance(owner, type)})
        self.done.clear()


@cache
def _recording(function: Callable, hdf5: bool, method: bool) -> Any:
    """Return a function, or a class, that records the file it is called with.

    They are kept: an object of a class of compiled code must not outlive its class.
    """
    if isinstance(function, type):
        try:
            return _recording_class(function, hdf5)
        except TypeError:  # a class that cannot be derived from
            pass

    @functools.wraps(function)
    def recording(*arguments, **options):
        _record(arguments[method:], options, hdf5)
        return function(*arguments, **options)

    recording.recorded_by_watch = True
    return recording


def _recording_class(cls: type, hdf5: bool) -> type:
    """Return a subclass that records the file its instances are made with."""

    def __init__(self, *arguments, **options):  # noqa: N807
        _record(arguments, options, hdf5)
        cls.__init__(self, *arguments, **options)

    body = {"__init__": __init__, "__module__": cls.__module__, "__doc__": cls.__doc__, "recorded_by_watch": True}
    return type(cls)(cls.__name__, (cls,), body)


def _record(arguments: tuple, options: Mapping, hdf5: bool) -> None:
    """Record the files that are named in the arguments of a reader."""
    for seen in records():
        _record_in(seen, arguments, options, hdf5)


def _record_in(seen: Seen, arguments: tuple, options: Mapping, hdf5: bool) -> None:
    given = [*arguments[:1], *(options[name] for name in ARGUMENTS if name in options)]
    mode = options.get("mode", arguments[1] if len(arguments) > 1 else "r")
    writes = isinstance(mode, str) and mode.startswith(WRITING)
    items = [item for value in given for item in (value if isinstance(value, list | tuple) else [value])]
    for item in items:
        if not isinstance(item, str | bytes | os.PathLike):
            continue
        paths = [item]
        if isinstance(item, str) and glob.has_magic(item) and not os.path.exists(item):
            seen.listed(os.path.dirname(item))
            paths = sorted(glob.glob(item, recursive=True))
        for path in paths:
            if writes:
                seen.wrote(path)
            if not writes or mode in ("a", "r+"):
                seen.read_tree(path)
            if hdf5 and not writes and (absolute := seen.absolute(path)):
                seen.hdf5.add(absolute)


def _rebind(replacements: Mapping[int, Any]) -> None:
    """Replace objects by identity in the namespaces of the user's modules and of packages that use the readers."""
    if not replacements:
        return
    packages = (*USERS_OF_READERS, *{name.split(".")[0] for name in READERS})
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in packages or is_users(module_file(module)):
            namespace = getattr(module, "__dict__", {})
            for key, value in list(namespace.items()):
                if id(value) in replacements:
                    namespace[key] = replacements[id(value)]
