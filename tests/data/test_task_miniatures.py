"""Every public task, from the miniature of its release to a score, as in a user's run."""

import importlib
from unittest import mock

import numpy as np
import pytest

from src import data, pipeline
from src.data.checking import check
from src.data.release import Release
from src.pipeline.request import Request
from tests.data.public_tasks import assert_counts
from tests.data.scored import assert_comes_back, homes

LAYER_OF = {  # layer of the embedded network in which the task is planted, and its least score
    "imagenet2012": ("colour", 0.9),
    "afd2022": ("motion", 0.9),
    "kinetics400": ("motion", 0.9),
    "kinetics400-static": ("colour", 0.9),
    "ding2012": ("motion", 0.75),
    "smthsmthv2": ("motion", 0.9),
    "vggface2": ("colour", 0.9),
    "hdm05": ("motion", 0.75),
    "selfmotion": ("motion", 0.7),
    "mcmahon2023-social": ("colour", 0.6),
    "cueconflict": ("colour", 0.9),
    "mechanical_tools": ("colour", 0.9),
}


def module_of(name: str) -> str:
    return name.removesuffix("-static").replace("-", "_")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Home folder for all releases, each of which is written on first use."""
    return tmp_path_factory.mktemp("home")


def declared_of(name, home):
    """Return the declaration, miniature and folder of a task; the miniature is written unless it exists."""
    module = importlib.import_module(f"src.data.tasks.{module_of(name)}")
    miniature = importlib.import_module(f"tests.data.miniatures.{module_of(name)}")
    folder = home / "data" / miniature.STUDY
    if not folder.is_dir():
        folder.mkdir(parents=True)
        getattr(miniature, "write_task", miniature.write)(folder)
    (declared,) = [found for found in module.DATASETS if found.name == name]
    return declared, miniature, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYER_OF)
def test_a_release_becomes_a_score(name, home):
    declared, miniature, folder = declared_of(name, home)
    options = {option: values[0] for option, values in declared.options.items()}
    record = declared.read(Release(name, folder, options, jobs=2))
    assert_counts(record, miniature.EXPECTED[name])
    assert_comes_back(record, home / "stored" / name)
    wrong = [finding for finding in check(declared, record, miniature.EXPECTED[name]) if not finding.fine]
    assert not wrong, wrong
    assert all(need.found(folder) for need in declared.needs if not need.optional)
    layer, least = LAYER_OF[name]
    request = Request(benchmark="task", model="fake-net", datasets=(name,), layers=(layer,), splits=2)
    with mock.patch.dict(data.TASKS, {name: declared}):
        (result,) = pipeline.score(request, homes(home))
    assert np.nanmean(result.arrays["test"]) > least


@pytest.mark.parametrize("name", LAYER_OF)
def test_a_missing_release_names_the_command_that_fetches_it(name, tmp_path):
    module = importlib.import_module(f"src.data.tasks.{module_of(name)}")
    for declared in module.DATASETS:
        if declared.needs:
            with pytest.raises(ValueError, match=f"dynamic-vision data fetch {name}"):
                declared.read(Release(name, tmp_path, {}))
