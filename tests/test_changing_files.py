"""Files that others replace while a run reads them: the run is refused or reads again, and nothing wrong is stored."""

import importlib
import os
import shutil

import pytest
import torch

from src import models
from src.config import Config
from src.pipeline import Request, score
from src.utils import BadInput
from tests.data.own_folders import electrodes


@pytest.fixture
def folder(tmp_path):
    electrodes(tmp_path / "mine", n=6)
    return tmp_path / "mine"


def scored(folder, home, model="fake-image-net"):
    request = Request("electrodes", model, (str(folder),), splits=2, bootstrap=0)
    [found] = score(request, Config(*[home / name for name in ("data", "activations", "results", "weights")], 1))
    return found.facts["best_per_unit"]["test"]


def swapped_for_a_while(path, other, action):
    """Call an action while `path` has the content of `other`, and put it back."""

    def act(*arguments, **options):
        kept = path.rename(path.with_name("kept"))
        times = os.stat(kept)
        shutil.copy(other, path)
        try:
            return action(*arguments, **options)
        finally:
            kept.replace(path)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return act


def test_activations_to_a_swapped_film_are_not_kept(folder, tmp_path, monkeypatch):
    extraction = importlib.import_module("src.extraction.extract")
    right = scored(folder, tmp_path / "right")
    path, other = folder / "film-0.mkv", folder / "film-1.mkv"
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "extract_parts", swapped_for_a_while(path, other, extraction.extract_parts))
        with pytest.raises(BadInput, match=r"film-0\.mkv changed while it was read; its activations are not kept"):
            scored(folder, tmp_path / "home")
    assert scored(folder, tmp_path / "home") == right


def test_swapped_weights_are_loaded_again(folder, tmp_path, monkeypatch):
    network = models.load("fake-image-net").module
    for k in range(2):
        changed = {name: value * (1 + k) + 0.1 * k for name, value in network.state_dict().items()}
        torch.save(changed, tmp_path / f"weights-{k}.pt")
    name = f"Finetune-fake-image-net={tmp_path / 'weights-0.pt'}"
    right = scored(folder, tmp_path / "right", name)
    swapped = swapped_for_a_while(tmp_path / "weights-0.pt", tmp_path / "weights-1.pt", models.load_watched)
    loads = iter([swapped, models.load_watched, models.load_watched])
    with monkeypatch.context() as patch:
        patch.setattr(models, "load_watched", lambda *a, **k: next(loads)(*a, **k))
        found = scored(folder, tmp_path / "home", name)
    assert found == right
    assert scored(folder, tmp_path / "home", name) == right
