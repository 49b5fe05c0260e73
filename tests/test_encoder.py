"""Encoders: saved with all that a prediction needs, and equal to the last bit in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from src import api, data
from src.config import Config
from src.pipeline import Request, load_encoder, predict, save_encoder
from src.pipeline.benchmarks import benchmarks
from src.pipeline.run import Run
from src.utils import BadInput
from tests.test_outputs import documented

ROOT = Path(__file__).resolve().parents[1]
DATASET = "fake-clips-fmri"
OPTIONS = {"splits": 2, "bootstrap": 0, "subjects": "mean", "ceiling": False, "device": "cpu"}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return Config(*[home / name for name in ("data", "activations", "results", "torch")], 1)


def request(dataset=DATASET, benchmark="fmri", **options):
    return Request(benchmark, "fake-net", (dataset,), **OPTIONS | options)


@pytest.fixture(scope="module")
def saved(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "clips.safetensors"
    return path, save_encoder(request(), config, path)


@pytest.fixture(scope="module")
def films(config):
    return [Path(p) for p in data.load(DATASET, config).stimuli.paths]


def test_predictions_are_those_of_the_fit(saved, config, films):
    _, encoder = saved
    assert {one.layer for one in encoder.maps} == {"colour", "orientation", "motion", "conjunction"}
    (benchmark,) = benchmarks(Run(request(), config))
    (make,) = benchmark.problems()
    problem = make()
    found = predict(encoder, films[:12], device="cpu")["response"].values
    rows = np.concatenate([np.flatnonzero(problem.stimulus == k) for k in range(12)])
    expected = np.full((len(rows), 75), np.nan)
    for one in encoder.maps:
        expected[:, one.units] = one.predict(problem.layers[one.layer]()[rows])
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)
    regions = np.asarray(encoder.facts["units"]["region"])
    r = [np.corrcoef(found[:, 0, k], problem.targets[rows, k])[0, 1] for k in np.flatnonzero(regions == "fake-MT")]
    assert np.median(r) > 0.8


def test_a_fresh_process_predicts_the_same_bits(saved, films, tmp_path):
    path, encoder = saved
    here = predict(encoder, films[:3], device="cpu")
    command = [
        sys.executable,
        "-m",
        "src",
        "predict",
        "--encoder",
        path,
        "--output",
        tmp_path / "r.nc",
        "--device",
        "cpu",
    ]
    command += ["--quiet", "--films", *films[:3]]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("75 units, 3 films, 1 bins")
    with xr.open_dataset(tmp_path / "r.nc") as there:
        np.testing.assert_array_equal(there["response"].values, here["response"].values)
        assert list(there["film"].values) == [film.stem for film in films[:3]]
        of_units = set(encoder.facts["units"])
        named = [name for name in (*there.data_vars, *there.coords, *there.attrs) if name not in of_units]
        assert sorted([*named, "unit_id", "(column)"]) == sorted(documented("Predicted responses"))
        assert all(there[name].dims == ("unit",) for name in of_units)


def test_the_json_file_says_what_the_tensors_are(saved):
    path, _ = saved
    facts = json.loads(path.with_suffix(".json").read_text())
    assert sorted(facts) == sorted(documented("Encoder"))
    assert facts["models"][0]["n_components"] == 5000
    assert sum(one["units"] for one in facts["maps"]) == 75
    assert str(Path.home()) not in path.with_suffix(".json").read_text()


@pytest.mark.parametrize("decoder", ["banded", "stacked", "pls"])
def test_every_decoder_has_an_encoder(decoder, config, films, tmp_path):
    options = {"layers": ("motion",)} if decoder == "pls" else {"layers": ("colour", "motion")}
    encoder = save_encoder(request(decoder=decoder, **options), config, tmp_path / "e.safetensors")
    (benchmark,) = benchmarks(Run(request(decoder=decoder, **options), config))
    problem = benchmark.problems()[0]()
    found = predict(load_encoder(tmp_path / "e.safetensors"), films[:5], device="cpu")["response"].values[:, 0]
    (layer,) = problem.layers
    rows = np.concatenate([np.flatnonzero(problem.stimulus == k) for k in range(5)])
    np.testing.assert_allclose(found, encoder.maps[0].predict(problem.layers[layer]()[rows]), atol=1e-3)


@pytest.mark.slow
def test_films_follow_the_haemodynamic_response(config, tmp_path):
    wanted = request("fake-fmri", layers=("motion",))
    encoder = save_encoder(wanted, config, tmp_path / "e.safetensors")
    (benchmark,) = benchmarks(Run(wanted, config))
    problem = benchmark.problems()[0]()
    record = data.load("fake-fmri", config)
    found = predict(encoder, [record.stimuli.paths[0]], device="cpu")["response"].values[0]
    expected = encoder.maps[0].predict(problem.layers["motion"]()[problem.stimulus == 0])
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-3)


@pytest.mark.slow
def test_electrodes_have_an_encoder(config, tmp_path):
    wanted = request("fake-electrodes", "electrodes", layers=("motion",))
    encoder = save_encoder(wanted, config, tmp_path / "e.safetensors")
    record = data.load("fake-electrodes", config)
    found = predict(encoder, record.stimuli.paths[:3], device="cpu")["response"].values
    observed = np.nanmean(record.values[:3], axis=1)
    assert found.shape[2] == observed.shape[2]
    assert np.isfinite(found[:, 2]).any()


def test_another_file_is_refused(saved, tmp_path, films):
    path, _ = saved
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(BadInput, match="expected an encoder of --save-encoder with its JSON file beside it"):
        load_encoder(copy)
    copy.with_suffix(".json").write_text(path.with_suffix(".json").read_text())
    assert api.load_encoder(copy).facts["version"] == 1
    copy.write_bytes(path.read_bytes()[:-8] + b"12345678")
    with pytest.raises(BadInput, match=r"is not the file that copy\.json describes"):
        load_encoder(copy)
    facts = json.loads(path.with_suffix(".json").read_text())
    copy.with_suffix(".json").write_text(json.dumps(facts | {"version": 7}))
    with pytest.raises(BadInput, match="is of version 7; expected 1"):
        load_encoder(copy)
    copy.with_suffix(".json").write_text("[]")
    with pytest.raises(BadInput, match="describes no encoder"):
        load_encoder(copy)


def test_another_model_is_refused(saved, films):
    _, encoder = saved
    changed = {**encoder.facts, "models": [{**encoder.facts["models"][0], "digest": "0" * 64}]}
    other = type(encoder)(changed, encoder.maps, encoder.centres)
    with pytest.raises(BadInput, match="is not the model that the encoder was fitted to"):
        predict(other, films[:1], device="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "fmri", "--save-encoder", "e.pt"], "expected a name that ends in .safetensors"),
        (["score", "fmri", "--save-encoder", "nowhere/e.safetensors"], "there is no folder"),
        (["predict", "--encoder", "e.safetensors", "--films", "a.mp4", "--output", "r.csv"], "ends in .nc"),
    ],
)
def test_files_are_checked_before_anything_is_computed(arguments, message):
    if arguments[0] == "score":
        arguments = [*arguments, "--model", "fake-net", "--datasets", DATASET]
    done = subprocess.run([sys.executable, "-m", "src", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
