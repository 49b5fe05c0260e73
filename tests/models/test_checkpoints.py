"""Weight files: read without running code, checked by digest, loaded strictly into a network."""

import argparse
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from src.models.catalogue.entry import ModelEntry, Weights
from src.models.checkpoints import checkpoint_path, fetched, plain_state, put, read_state
from src.models.weights import opened_weights
from src.utils import BadInput, file_digest

ENTRY = ModelEntry(name="net", group="image", kind="image", source="network", weights=Weights(file="net.pt"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoint_path(ENTRY.weights).parent.mkdir(parents=True)
    return tmp_path


def test_other_entries_of_training_scripts_are_read(tmp_path):
    content = {"model": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.3)}
    torch.save(content, tmp_path / "a.pt")
    assert torch.equal(read_state(tmp_path / "a.pt", "model")["a"], torch.ones(2))


def test_safetensors_are_read_and_reported_as_opened(tmp_path):
    save_file({"a": torch.ones(2)}, str(tmp_path / "a.safetensors"))
    with opened_weights() as files:
        assert torch.equal(read_state(tmp_path / "a.safetensors")["a"], torch.ones(2))
    assert list(files) == [tmp_path / "a.safetensors"]


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_code_in_a_weight_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Harmful()}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a.pt cannot be read as weights \(UnpicklingError"):
        read_state(tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"model": Harmful()}))
    with pytest.raises(BadInput, match=r"b.pt cannot be read as weights"):
        read_state(tmp_path / "b.pt")
    assert not (tmp_path / "harm").exists()


def test_a_missing_entry_is_named_with_what_was_found(tmp_path):
    torch.save({"state": {}, "epoch": 1}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a.pt has no entry 'model'; found state, epoch"):
        read_state(tmp_path / "a.pt", "model")


def test_other_content_than_state_dicts_is_refused(tmp_path):
    torch.save(torch.ones(3), tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"a.pt holds Tensor; expected a state dict"):
        read_state(tmp_path / "a.pt")


def test_a_file_of_another_digest_is_refused(home):
    path = checkpoint_path(ENTRY.weights)
    torch.save({}, path)
    assert fetched(replace(ENTRY, weights=Weights(file="net.pt", sha256=file_digest(path)[:8]))) == path
    with pytest.raises(BadInput, match=r"net: the weight file .*net.pt has SHA-256 .*, expected 00000000; delete it"):
        fetched(replace(ENTRY, weights=Weights(file="net.pt", sha256="00000000")))


def test_a_missing_file_without_address_is_reported_with_the_remedy(home):
    entry = replace(ENTRY, weights=Weights(file="net.pt", how="ask its authors"))
    with pytest.raises(BadInput, match=r"net: no weight file .*checkpoints/net.pt; ask its authors"):
        fetched(entry)


def test_wrapper_prefixes_are_removed():
    assert list(plain_state({"module.a": 1, "module.b": 2})) == ["a", "b"]
    assert list(plain_state({"module.a": 1, "b": 2})) == ["module.a", "b"]


def test_state_dicts_must_fit():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {name: value for name, value in network.state_dict().items() if "tracked" not in name}
    put(network, state, "file")
    with pytest.raises(BadInput, match=r"file does not fit the network: 1 missing \(0.bias\); expected the published"):
        put(network, {name: value for name, value in state.items() if name != "0.bias"}, "file")
    wrong = {**state, "0.weight": torch.zeros(3, 3), "extra": torch.zeros(1)}
    with pytest.raises(BadInput, match=r"1 unexpected \(extra\); 1 of another shape \(0.weight\)"):
        put(network, wrong, "file")
    with pytest.raises(BadInput, match=r"file holds no tensor of the network; expected names such as 0.bias, 0.weight"):
        put(network, {}, "file", partial=True)
