"""Examples in the docstrings of all modules that have some."""

import doctest
import importlib
import re

import pytest

from src.evaluate.decoders import Ridge
from src.evaluate.splits import item_splits
from tests.conftest import ROOT

EXAMPLE = re.compile(r"^ *>>> (?!.*\+SKIP)", re.MULTILINE)
SOURCES = [path for path in sorted((ROOT / "src").rglob("*.py")) if EXAMPLE.search(path.read_text())]
# examples combine public names of several modules without the imports
NAMES = {"Ridge": Ridge, "item_splits": item_splits}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_run(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    found = doctest.testmod(module, extraglobs=NAMES)
    assert found.attempted > 0
    assert found.failed == 0
