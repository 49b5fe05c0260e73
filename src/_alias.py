"""A second import name for a package, so that both names give the same module objects."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Finder(MetaPathFinder):
    """Finds `alias` and `alias.x.y` as the modules `name` and `name.x.y`."""

    def __init__(self, alias: str, name: str):
        self.alias, self.name = alias, name

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != self.alias and not fullname.startswith(f"{self.alias}."):
            return None
        return ModuleSpec(fullname, _Loader(self.name + fullname.removeprefix(self.alias)))


class _Loader(Loader):
    """Gives the module called `name` under another name, unchanged."""

    def __init__(self, name: str):
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has replaced the specification by the alias's
        module.__spec__ = self.spec


def install(alias: str, name: str) -> None:
    """Make `import alias` give the package `name`, whatever else is called `alias` on the path."""
    sys.meta_path.insert(0, _Finder(alias, name))
