import pytest

import src.data as data
from src.config import Config
from src.utils import BadInput

DATASET = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from neighbour import CARD
from src.data.declare import Task

@dataclass
class Folder:
    path: Path

def labels():
    return Task(name="mine", study="mine", load=lambda folder: Folder(folder).path / "here", **CARD)

nothing = lambda: None
"""


@pytest.fixture
def file(tmp_path):
    """A user's file with a dataset in it, and one beside it."""
    (tmp_path / "neighbour.py").write_text('CARD = dict.fromkeys(("citation", "licence", "access", "source"), "mine")')
    path = tmp_path / "mine.py"
    path.write_text(DATASET)
    return path


def test_a_file_of_the_users_declares_a_dataset(file, tmp_path):
    reference = f"{file}:labels"
    assert data.declaration("task", reference).name == reference
    config = Config(tmp_path, tmp_path, tmp_path, tmp_path, 1)
    assert data.load(reference, config) == tmp_path / "mine" / "here"
    assert data.files(reference, config) == (file,)


def test_what_is_wrong_with_it_is_named(file, tmp_path):
    with pytest.raises(BadInput, match="is of type Task; expected Fmri: take the script of its kind"):
        data.declaration("fmri", f"{file}:labels")
    with pytest.raises(BadInput, match="did you mean labels"):
        data.declaration("task", f"{file}:label")
    with pytest.raises(BadInput, match="returned NoneType; expected an Fmri, Electrodes, Task or Behaviour"):
        data.declaration("task", f"{file}:nothing")
    with pytest.raises(BadInput, match=r"no file .*other\.py for the dataset"):
        data.declaration("task", f"{tmp_path}/other.py:labels")
