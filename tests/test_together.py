"""Several models in one call: the scores of calls of their own, each film decoded once, a lock of another passed by."""

import numpy as np
import pytest

import src as dv
from src import locks
from src.config import Config
from src.extraction import reads
from src.pipeline import Reporter, sweep
from src.utils import BadInput
from tests.data.own_folders import electrodes

MODELS = ["fake-net", "fake-image-net", "motion-energy"]
OPTIONS = {"splits": 2, "bootstrap": 0, "ceiling": False, "device": "cpu"}


@pytest.fixture
def configs(tmp_path):
    """Homes of two users."""
    return [
        Config(*[tmp_path / name / part for part in ("data", "activations", "results", "weights")], 1) for name in "ab"
    ]


@pytest.fixture
def films(tmp_path):
    """A recording of 12 films."""
    electrodes(tmp_path / "mine", n=12)
    return str(tmp_path / "mine")


@pytest.fixture
def decoded(monkeypatch):
    """Paths that were decoded."""
    found, decode = [], reads.decode

    def counted(path, *rest):
        found.append(str(path))
        return decode(path, *rest)

    monkeypatch.setattr(reads, "decode", counted)
    return found


def assert_equal_scores(found, expected):
    assert found.model == expected.model
    for name, values in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], values)


def test_scores_are_those_of_separate_calls_and_films_are_decoded_once(configs, films, decoded):
    together = dv.score(MODELS, films, config=configs[0], **OPTIONS)
    assert [score.model for score in together] == MODELS
    assert len(decoded) == len(set(decoded)) == 12
    for name, score in zip(MODELS, together, strict=True):
        assert_equal_scores(score, dv.score(name, films, config=configs[1], **OPTIONS))


def test_networks_that_do_not_fit_into_memory_together_follow_one_another(configs, films, decoded, monkeypatch):
    monkeypatch.setattr(sweep, "WEIGHTS_SHARE", 0.0)
    together = dv.score(MODELS[:2], films, config=configs[0], **OPTIONS)
    assert [score.model for score in together] == MODELS[:2]
    assert len(decoded) == 2 * len(set(decoded)) == 24


def test_activations_that_another_process_computes_are_not_waited_for(configs, films, monkeypatch):
    """Two calls that name the models in another order would otherwise wait for each other."""
    said = []

    class Report(Reporter):
        def say(self, text):
            said.append(text)

    acquire = locks._acquire

    def held(lock, path, wait):
        if "fake-image-net" in path.name and not wait:
            raise locks.Held(f"process 1 on another host holds {path}")
        acquire(lock, path, wait)

    monkeypatch.setattr(locks, "_acquire", held)
    together = dv.score(MODELS[:2], films, config=configs[0], report=Report(), **OPTIONS)
    assert [score.model for score in together] == MODELS[:2]
    extracted = [text for text in said if " to write" in text]
    assert [text.split(" on ")[0] for text in extracted] == MODELS[:2], "one after the other"


def test_names_are_resolved_before_anything_is_computed(configs, films):
    with pytest.raises(BadInput, match="fake-nte"):
        dv.score(["fake-net", "fake-nte"], films, config=configs[0], **OPTIONS)
    assert not configs[0].activations_home.exists()
