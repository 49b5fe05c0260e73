"""Several layers, models and confounds in one fit, and the partition of variance, from a request to its score."""

import numpy as np
import pytest

from src import api
from src.config import Config
from src.pipeline import Request, keys, plan
from src.pipeline.feature_sets import parsed
from src.pipeline.flags import parse
from src.utils import BadInput

DATASET = "fake-clips-fmri"
OPTIONS = {"splits": 2, "bootstrap": 40, "subjects": "mean", "ceiling": False}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return Config(*[home / name for name in ("data", "activations", "results", "torch")], 1)


def score(config, model="fake-net", **options):
    return api.score(model, DATASET, config=config, **OPTIONS, **options)


def region(found, name):
    """Rows of the partition by region."""
    return {row["region"]: row for row in found.facts["partition"]["rows"]}[name]


@pytest.fixture(scope="module")
def dynamic(config):
    return score(config, partition=["fake-net", "Frozen-fake-net"], layers=["colour", "motion"])


def test_a_partition_tells_a_dynamic_region_from_a_static_one(dynamic):
    assert dynamic.facts["partition"]["sets"] == ["fake-net", "Frozen-fake-net"]
    unique = {name: region(dynamic, name)["unique"]["fake-net"] for name in ("fake-MT", "fake-V1", "none")}
    assert unique["fake-MT"]["low"] > 0.3
    assert unique["fake-MT"]["value"] > 2 * max(unique["fake-V1"]["value"], unique["none"]["value"])
    assert unique["fake-MT"]["significant"] > 8
    assert region(dynamic, "all")["targets"] == 75
    text = dynamic.summary()
    assert "unique to fake-net" in text
    assert "units with a unique part at q < 0.05 (BH-FDR)" in text


def test_the_parts_are_stored_and_written(dynamic, config, tmp_path):
    again = api.load(dynamic.key, config=config)
    arrays = again.to_xarray()
    np.testing.assert_allclose(arrays["unique"].sum("set") + arrays["shared"], arrays["joint"], atol=1e-6)
    assert arrays["unique"].sel(set="fake-net").sizes == {"target": 75}
    assert (arrays["unique_low"] <= arrays["unique"]).all()
    dynamic.write(tmp_path / "s.json")
    dynamic.write(tmp_path / "s.nc")


def test_layers_of_the_model_are_sets_by_their_names(config):
    found = score(config, partition=["colour", "motion"], layers=["colour", "motion"])
    assert region(found, "fake-V1")["unique"]["colour"]["value"] > 0.4
    assert region(found, "fake-MT")["unique"]["motion"]["value"] > 0.4


@pytest.mark.parametrize("decoder", ["banded", "stacked"])
def test_all_layers_are_one_fit(config, decoder):
    found = score(config, decoder=decoder)
    assert found.arrays["layers"].tolist() == ["joint"]
    by_region = {row["region"]: row["test"] for row in found.facts["regions"]}
    assert min(by_region[name] for name in ("fake-V1", "fake-V2", "fake-MT", "fake-LO")) > 0.6
    assert abs(by_region["none"]) < 0.2
    if decoder == "stacked":
        assert [row["band"] for row in found.facts["bands"]] == ["colour", "orientation", "motion", "conjunction"]
        assert found.to_xarray()["band_weight"].sizes == {"band": 4, "target": 75, "split": 2}
        assert "weight, median over units" in found.summary()


@pytest.mark.slow
def test_several_models_are_one_fit_beyond_confounds(config):
    found = score(config, "fake-net", layers=["motion"], features=["fake-image-net:readout"], confounds=True)
    assert found.model == "fake-net:motion + fake-image-net:readout"
    assert found.facts["partition"]["sets"] == [found.model, "confounds"]
    assert "beyond confounds: R²" in found.summary()
    assert found.facts["options"]["features"] == ["fake-net:motion", "fake-image-net:readout"]
    assert region(found, "fake-MT")["unique"][found.model]["value"] > 0.05


@pytest.mark.slow
def test_electrodes_are_partitioned_too(config):
    found = api.score(
        "fake-net",
        "fake-electrodes",
        config=config,
        splits=2,
        bootstrap=40,
        ceiling=False,
        layers=["colour", "motion"],
        decoder="stacked",
        partition=["colour", "motion"],
    )
    assert found.arrays["layers"].tolist() == ["joint"]
    assert found.arrays["unique"].shape == (2, found.facts["targets"])


def test_a_permutation_test_repeats_the_joint_fit(config):
    found = score(config, decoder="stacked", layers=["colour", "motion"], permutations=3)
    assert found.arrays["null"].shape == (3,)
    assert abs(found.arrays["null"]).max() < 0.5


def test_options_that_are_not_used_are_in_no_key(config):
    names = {"features", "partition", "confounds"}
    for request in (Request("fmri", "fake-net", (DATASET,)), Request("electrodes", "fake-net", ("fake-electrodes",))):
        *_, key = keys(request, config)
        assert not names & {name for name, _ in key.options}
    *_, key = keys(Request("fmri", "fake-net", (DATASET,), confounds=True), config)
    assert ("confounds", True) in key.options


def test_a_dry_run_has_a_step_per_model(config):
    request = Request("fmri", "fake-net", (DATASET,), partition=("fake-net", "fake-image-net"))
    steps = [step["what"] for step in plan(request, config)]
    expected = [f"activations to {DATASET} (shown)", f"activations to {DATASET} (shown, fake-image-net)"]
    assert steps == [*expected, f"score on {DATASET}"]


@pytest.mark.parametrize(
    ("text", "model", "layers"),
    [
        ("r3d_18", "r3d_18", ()),
        ("r3d_18:layer1,layer2", "r3d_18", ("layer1", "layer2")),
        ("Frozen-r3d_18:layer1", "Frozen-r3d_18", ("layer1",)),
        ("hf:owner/name", "hf:owner/name", ()),
        ("hf:owner/name:blocks.3", "hf:owner/name", ("blocks.3",)),
        ("examples/own_model.py:network", "examples/own_model.py:network", ()),
        ("examples/own_model.py:network:0", "examples/own_model.py:network", ("0",)),
    ],
)
def test_a_set_is_a_model_with_or_without_layers(text, model, layers):
    found = parsed(text)
    assert (found.model, found.layers) == (model, layers)


def test_the_first_set_takes_the_place_of_the_model():
    request = parse("fmri", ["--features", "r3d_18:layer1", "pixels", "-d", DATASET]).request
    assert (request.model, request.layers, request.features) == ("r3d_18", ("layer1",), ("pixels",))
    request = parse("fmri", ["--partition", "r3d_18", "Frozen-r3d_18", "-d", DATASET]).request
    assert (request.model, request.partition) == ("r3d_18", ("r3d_18", "Frozen-r3d_18"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": ("motion",)}, "expected two feature sets or more"),
        ({"partition": ("motion", "motion")}, "named twice"),
        ({"partition": ("motion", "rd3_18")}, "unknown model 'rd3_18'; did you mean r3d_18"),
        ({"features": ("fake-image-net:conv9",)}, "conv9"),
    ],
)
def test_sets_that_do_not_exist_are_told_before_anything_is_extracted(config, options, message):
    with pytest.raises(BadInput, match=message):
        score(config, **options)


def test_tasks_have_no_feature_sets():
    with pytest.raises(BadInput, match="expected one of fmri and electrodes"):
        Request("task", "fake-net", ("fake-action",), confounds=True)
