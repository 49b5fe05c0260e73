"""What is stored is not computed again: another number of samples or permutations, a control, a comment, a place."""

import importlib
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.config import Config
from src.evaluate.bootstrap_statistics import BootstrapStatistics, JoinedStatistics, Resampling, SplitStatistics
from src.evaluate.confusion_bootstrap import ConfusionBootstrap, ResponseMatrix
from src.evaluate.metrics import METRICS
from src.pipeline import Request, score
from src.pipeline.benchmark import Benchmark
from src.pipeline.statistics import read_statistics, statistics_arrays
from src.store import Store
from tests.data.own_folders import electrodes

NET = """
import torch

def net():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
"""


@pytest.fixture
def config(tmp_path):
    return Config(*[tmp_path / "home" / name for name in ("data", "activations", "results", "weights")], 1)


@pytest.fixture
def request_of(tmp_path):
    electrodes(tmp_path / "mine", n=12)
    return Request("electrodes", "fake-image-net", (str(tmp_path / "mine"),), splits=2, bootstrap=40)


@pytest.fixture
def computed(monkeypatch):
    """Names of the steps that were computed."""
    found = []

    def noted(name, function):
        return lambda *arguments, **options: (found.append(name), function(*arguments, **options))[1]

    module = importlib.import_module("src.evaluate.electrodes")
    monkeypatch.setattr(module, "scores", noted("fits", module.scores))
    monkeypatch.setattr(Benchmark, "null", noted("permutations", Benchmark.null))
    module = importlib.import_module("src.extraction.extract")
    monkeypatch.setattr(module, "extract_parts", noted("extraction", module.extract_parts))
    return found


def scored(request, config):
    [found] = score(request, config)
    return found


def test_counts_and_controls_refit_nothing_and_give_what_one_run_gives(request_of, config, computed, tmp_path):
    first = scored(request_of, config)
    assert computed == ["extraction", "fits"]
    steps = [({"bootstrap": 60}, []), ({"ceiling": False}, []), ({"permutations": 3}, ["permutations"])]
    steps += [({"audit": True}, ["fits"]), ({"audit": True, "bootstrap": 50}, []), ({"bootstrap": 0}, [])]
    steps += [({"audit": True, "permutations": 3, "bootstrap": 60}, [])]
    for options, expected in steps:
        computed.clear()
        found = scored(replace(request_of, **options), config)
        assert computed == expected, options
        np.testing.assert_array_equal(found.arrays["test"], first.arrays["test"])
    elsewhere = replace(config, results_home=tmp_path / "elsewhere")
    alone = scored(replace(request_of, **steps[-1][0]), elsewhere)
    assert found.facts == alone.facts
    assert sorted(found.arrays) == sorted(alone.arrays)
    for name, values in alone.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], values, err_msg=name)
    without = scored(replace(request_of, ceiling=False), replace(config, results_home=tmp_path / "third"))
    assert without.facts == scored(replace(request_of, ceiling=False), config).facts


def test_other_sources_and_a_rerun_do_fit_again(request_of, config, computed, monkeypatch):
    scored(request_of, config)
    computed.clear()
    scored(replace(request_of, bootstrap=60, rerun=frozenset({"evaluation"})), config)
    assert computed == ["fits"]
    stages = importlib.import_module("src.stages")
    monkeypatch.setattr(stages, "stage_digest", lambda stage: "f" * 16)
    computed.clear()
    scored(replace(request_of, bootstrap=80), config)
    assert computed == ["fits"]


def test_a_new_ceiling_keeps_the_fits(request_of, config, computed):
    first = scored(request_of, config)
    computed.clear()
    again = scored(replace(request_of, rerun=frozenset({"ceiling"})), config)
    assert computed == []
    assert again.facts == first.facts


def test_comments_and_places_compute_nothing_again(request_of, config, computed, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "net.py").write_text(NET)
    model = f"{tmp_path}/code/net.py:net"
    first = scored(replace(request_of, model=model), config)
    computed.clear()
    (tmp_path / "code" / "net.py").write_text(
        "# a network\n" + NET.replace("torch.nn.Flatten()", "torch.nn.Flatten( )")
    )
    assert scored(replace(request_of, model=model), config).key == first.key
    (tmp_path / "code").rename(tmp_path / "other")
    model = f"{tmp_path}/other/net.py:net"
    assert scored(replace(request_of, model=model), config).key == first.key
    shutil.move(tmp_path / "mine", tmp_path / "moved")
    moved = replace(request_of, model=model, datasets=(str(tmp_path / "moved"),))
    assert scored(moved, config).key == first.key
    assert computed == []
    (tmp_path / "other" / "net.py").write_text(NET.replace("AdaptiveAvgPool2d(2)", "AdaptiveAvgPool2d(3)"))
    assert scored(moved, config).key != first.key
    assert computed == ["extraction", "fits"]


def test_statistics_of_removed_scores_are_unused(request_of, config):
    from src.store.prune import unused

    scored(request_of, config)
    items = list(Store(config, read_only=True).items())
    assert "statistics" in {item.kind for item in items}
    assert not [item for item in unused(items) if item.kind == "statistics"]
    assert [item for item in unused([i for i in items if i.kind != "score"]) if item.kind == "statistics"]


def of_confusions():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 4)
    first, second, human = (ResponseMatrix(rng.dirichlet([1, 1, 1], 12), truth) for _ in range(3))
    statistics = ConfusionBootstrap("O2", [first, second, first], [human, human, human])
    return Resampling("images", truth, 1.0, "same", statistics)


def of_joined_problems():
    rng = np.random.default_rng(0)

    def member():
        weight, sums = torch.ones(4, 1), torch.from_numpy(rng.uniform(1, 2, (1, 4, 3)).astype(np.float32))
        return BootstrapStatistics([SplitStatistics(np.arange(4), weight, sums)], 6, METRICS["accuracy"].statistic)

    joined = JoinedStatistics([member(), member()], np.array([0, 4]))
    return Resampling("clips", np.repeat([0, 1], 6), 1.5, "same", joined, joined, {"V1": joined})


@pytest.mark.parametrize("make", [of_confusions, of_joined_problems])
def test_stored_statistics_give_the_same_samples(make):
    resampling, counts = make(), np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), 20)
    again = read_statistics(statistics_arrays(resampling))
    np.testing.assert_array_equal(again.strata, resampling.strata)
    assert (again.block_name, again.widening, again.identity) == (
        *(resampling.block_name, resampling.widening, resampling.identity),
    )
    pairs = [
        (again.one_layer, resampling.one_layer),
        *zip(again.regions.values(), resampling.regions.values(), strict=True),
    ]
    for found, right in pairs:
        np.testing.assert_array_equal(found.replicates(counts), right.replicates(counts))
    models = getattr(again.one_layer, "models", ())
    assert len({id(model) for model in models}) == min(2, len(models))
