import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import src.data as data
from src.config import Config
from src.data.declare import as_json, from_json
from src.utils import BadInput

ROOT = Path(__file__).resolve().parents[2]
ALL = [declared for registry in data.BY_BENCHMARK.values() for declared in registry.values()]
EMBEDDED = {
    "fmri": {"fake-fmri", "fake-clips-fmri"},
    "electrodes": {"fake-electrodes", "fake-mt"},
    "task": {"fake-action", "fake-selfmotion", "digits"},
    "behaviour": {"fake-behaviour", "fake-behaviour-2afc"},
}


def test_names_are_unique_over_all_benchmarks():
    names = [declared.name for declared in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("benchmark", EMBEDDED)
def test_embedded_datasets_are_registered(benchmark):
    found = {d.name for d in data.BY_BENCHMARK[benchmark].values() if d.access == "embedded"}
    assert found == EMBEDDED[benchmark]


def test_both_names_of_the_fmri_registry_are_the_same_object():
    assert data.FMRI is data.DATASETS is data.BY_BENCHMARK["fmri"]


@pytest.mark.parametrize("declared", ALL, ids=lambda d: d.name)
def test_declarations_are_complete(declared):
    assert all([declared.citation, declared.licence, declared.access, declared.source, declared.study])
    assert declared.expected
    assert all(count >= 0 for count in declared.expected.values())
    with pytest.raises(FrozenInstanceError):
        declared.name = "another"


def test_static_datasets_are_the_declared_ones():
    image_tasks = {"imagenet2012", "kinetics400-static", "vggface2", "majajhong2015-pose", "cueconflict"}
    assert image_tasks | {"digits", "mechanical_tools", "rajalingham2018"} == data.STATIC


def test_traits_that_evaluation_reads():
    assert data.declaration("fmri", "fake-fmri").lag
    clips = data.declaration("fmri", "fake-clips-fmri")
    assert (clips.lag, clips.row_weight) == (False, 3.0)
    assert data.declaration("electrodes", "fake-mt").fit == "per unit"
    assert data.declaration("task", "fake-selfmotion").limit_ms == 1000.0
    assert data.declaration("task", "fake-selfmotion").decoder == "ridge"
    assert data.declaration("behaviour", "fake-behaviour-2afc").metric == "I2n"


def test_an_unknown_name_is_refused_with_the_nearest_ones():
    with pytest.raises(BadInput, match="unknown dataset 'fake-fmry'; did you mean fake-fmri"):
        data.declaration(None, "fake-fmry")
    with pytest.raises(BadInput, match="fake-fmri is no task dataset but one of fmri; expected score_fmri"):
        data.declaration("task", "fake-fmri")


def test_load_uses_the_studys_folder(tmp_path, monkeypatch):
    seen = []
    declared = replace(data.declaration(None, "digits"), load=seen.append)
    monkeypatch.setitem(data.TASKS, "digits", declared)
    config = Config(tmp_path, tmp_path, tmp_path, tmp_path, 1)
    data.load("digits", config)
    assert seen == [tmp_path / "digits"]


@pytest.mark.parametrize("module", ["src.data", "src.data.brainio", "src.data.declare", "src.fakenet"])
def test_importing_loads_nothing_heavy(module):
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "xarray", "pandas", "sklearn", "av", "scipy", "brainscore_core", "brainscore_vision"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("declared", ALL, ids=lambda d: d.name)
def test_a_declaration_survives_as_json_but_for_its_functions_and_files(declared):
    plain = replace(declared, load=None, read=None, needs=(), options={}, expected={})
    assert from_json(json.loads(json.dumps(as_json(declared)))) == plain
