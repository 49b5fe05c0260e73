import pytest

import src.data as data
from src.config import Config
from src.utils import BadInput

DATASET = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from neighbour import TERMS
from src.data.declare import Task

@dataclass
class Folder:
    path: Path

def labels():
    return Task(name="mine", study="mine", load=lambda folder: Folder(folder).path / "here", **TERMS)

nothing = lambda: None
"""


@pytest.fixture
def file(tmp_path):
    """File with a custom dataset, and a module beside it."""
    (tmp_path / "neighbour.py").write_text('TERMS = dict.fromkeys(("citation", "licence", "access", "source"), "mine")')
    path = tmp_path / "mine.py"
    path.write_text(DATASET)
    return path


def test_a_custom_file_declares_a_dataset(file, tmp_path):
    reference = f"{file}:labels"
    assert data.declaration("task", reference).name == "mine"
    config = Config(tmp_path, tmp_path, tmp_path, tmp_path, 1)
    assert data.load(reference, config) == tmp_path / "mine" / "here"


def test_faults_of_a_custom_file_are_named(file, tmp_path):
    message = r"is of type Task; expected Fmri for the benchmark fmri; use the benchmark task \(score_task.py\)"
    with pytest.raises(BadInput, match=message):
        data.declaration("fmri", f"{file}:labels")
    with pytest.raises(BadInput, match="did you mean labels"):
        data.declaration("task", f"{file}:label")
    with pytest.raises(BadInput, match="returned NoneType; expected an Fmri, Electrodes, Task or Behaviour"):
        data.declaration("task", f"{file}:nothing")
    with pytest.raises(BadInput, match=r"no file .*other\.py for the dataset"):
        data.declaration("task", f"{tmp_path}/other.py:labels")
