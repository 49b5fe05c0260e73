"""The functions of the package in a program: names and objects, tables and arrays, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import src as dv
from src.data.films import write_lossless
from src.utils import BadInput


@pytest.fixture
def homes(cli, monkeypatch):
    """The homes of the session, for calls in this process."""
    for name, value in cli.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RESULTCACHING_HOME", raising=False)


@pytest.fixture(scope="module")
def quadrants(tmp_path_factory):
    """24 films whose quadrants change their brightness, and four units that follow one quadrant each."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    brightness = rng.uniform(0, 1, (24, 6, 2, 2))
    frames = [(255 * film).astype(np.uint8).repeat(3, axis=0).repeat(16, 1).repeat(16, 2) for film in brightness]
    films = [write_lossless(folder / f"{i}.mkv", film, fps=30) for i, film in enumerate(frames)]
    return films, brightness.reshape(24, 1, 6, 4) + rng.normal(0, 0.05, (24, 2, 6, 4))


class Means(nn.Module):
    """Means over a grid of cells."""

    def __init__(self, cells):
        super().__init__()
        self.means = nn.AdaptiveAvgPool2d(cells)

    def forward(self, images):
        return self.means(images).flatten(1)


OPTIONS = {"splits": 3, "bootstrap": 100, "device": "cpu"}


def test_names_give_the_score_of_the_command_line(homes, cli, tmp_path):
    score = dv.score("fake-net", "fake-clips-fmri", splits=2, seed=4, bootstrap=100)
    printed = cli(
        "fmri", "-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "2", "--seed", "4", "--bootstrap", "100"
    )
    assert printed.stdout == score.summary() + "\n"
    assert "computing" not in printed.stderr
    table = score.to_dataframe()
    assert len(table) == 4 * score.facts["targets"] * 2
    arrays = score.to_xarray()
    assert arrays["test"].dims == ("layer", "target", "split")
    chosen = arrays["test"].sel(layer="motion", split=1)
    rows = table[(table["layer"] == "motion") & (table["split"] == 1)]
    np.testing.assert_array_equal(chosen.values, rows["test"].values)
    assert list(chosen["target"].values) == list(rows["target_id"])
    assert dv.load(score.key).summary() == score.summary()
    assert f"<b>{score.model} on fake-clips-fmri" in score._repr_html_()
    score.write(tmp_path / "score.nc")
    assert (tmp_path / "score.nc").stat().st_size > 0


def test_a_network_and_arrays_reach_what_was_planted(homes, quadrants):
    films, values = quadrants
    recording = dv.responses(films, values, bin_ms=100, units={"unit_id": list("abcd"), "region": list("AABB")})
    network = Means(2).train()
    score = dv.score(network, recording, benchmark="electrodes", layers=["means"], **OPTIONS)
    assert network.training
    assert score.facts["layers"][0]["test"] > 0.97
    assert {row["region"] for row in score.facts["regions"]} == {"A", "B"}
    blind = dv.score(Means(1), recording, benchmark="electrodes", name="blind", layers=["means"], **OPTIONS)
    assert blind.facts["model"] == "blind"
    difference = dv.compare(score, blind)
    assert difference["paired"]
    assert 0.2 < difference["low"] < difference["difference"] < difference["high"]


def test_changed_arrays_and_networks_are_scored_anew(homes, quadrants):
    films, values = quadrants
    shown = dv.stimuli(films)
    noise = np.random.default_rng(1).normal(size=values.shape)
    good, bad = (
        dv.score(Means(2), dv.responses(shown, v, bin_ms=100), benchmark="electrodes", **OPTIONS)
        for v in (values, noise)
    )
    assert good.facts["layers"][0]["test"] > 0.97
    assert abs(bad.facts["layers"][0]["test"]) < 0.3


def test_labels_are_a_task(homes, quadrants):
    films, values = quadrants
    brightest = values.mean(axis=(1, 2)).argmax(axis=1)
    record = dv.labels(films, np.array(["a", "b", "c", "d"])[brightest])
    score = dv.score(Means(2), record, **OPTIONS | {"splits": 3})
    assert score.facts["benchmark"] == "task"
    assert score.facts["metric"] == "accuracy"


def test_a_declaration_is_scored_and_stored(homes, quadrants):
    films, values = quadrants
    facts = {"citation": "mine", "licence": "mine", "access": "own", "source": "mine"}
    declared = dv.Electrodes(
        name="mine", study="mine", load=lambda folder: dv.responses(films, values, bin_ms=100), **facts
    )
    score = dv.score("fake-image-net", declared, **OPTIONS)
    assert score.datasets == ("mine",)
    assert dv.load(score.key).summary() == score.summary()


def test_a_known_declaration_is_its_name(homes):
    from src.data import FMRI

    by_name, by_declaration = (
        dv.score("fake-net", dataset, splits=2, seed=4, bootstrap=100)
        for dataset in ("fake-clips-fmri", FMRI["fake-clips-fmri"])
    )
    assert by_declaration.key == by_name.key


def test_extract_gives_binned_features(homes, quadrants):
    films, _ = quadrants
    found = dv.extract(Means(2), films[:3], bin_ms=100)
    assert found.layers["means"].shape == (3, 6, 12)
    assert found.time_ms.tolist()[-1] == [500.0, 600.0]
    assert found.n_valid.tolist() == [6, 6, 6]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU is needed")
def test_a_gpu_that_is_not_there_is_refused(homes, quadrants):
    with pytest.raises(BadInput, match="cuda, but torch sees no GPU; expected cpu"):
        dv.extract(Means(2), quadrants[0][:1], bin_ms=100, device="cuda")


def test_lists_of_datasets_and_models():
    assert dv.datasets("fmri").loc["keles2024-fmri", "benchmark"] == "fmri"
    assert set(dv.datasets()["benchmark"]) == {"fmri", "electrodes", "task", "behaviour"}
    table = dv.models()
    assert table.loc["r3d_18", "group"] == "action recognition"
    assert "fake-net" in table.index


def test_plot_shows_every_layer(homes):
    import matplotlib as mpl

    mpl.use("Agg")
    axes = dv.score("fake-net", "fake-clips-fmri", splits=2, seed=4, bootstrap=100).plot()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["colour", "orientation", "motion", "conjunction"]
    assert {text.get_text() for text in axes.get_legend().get_texts()} >= {"fake-net, layer", "noise ceiling"}
    dv.score("fake-image-net", "fake-clips-fmri", splits=2, seed=4, bootstrap=100).plot(axes)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names.count("noise ceiling") == 1
    assert {"fake-net, layer", "fake-image-net, layer"} <= set(names)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dv.score("fake-nte", "fake-fmri"), "unknown model 'fake-nte'; did you mean fake-net"),
        (lambda: dv.score("fake-net", "fake-fmir"), "unknown dataset 'fake-fmir'; did you mean fake-fmri"),
        (lambda: dv.score("fake-net", "fake-fmri", gap=3), "unknown option 'gap'; did you mean gap_ms"),
        (lambda: dv.score("fake-net", "fake-fmri", mode="blocks"), "mode 'blocks'; expected one of block, causal"),
        (lambda: dv.score("fake-net", "fake-fmri", splits=0), "splits 0; expected a whole number above 0"),
        (lambda: dv.score("fake-net", ["digits", "fake-action"]), "2 task datasets; expected 1"),
        (lambda: dv.score("fake-net", 3), "dataset 3; expected a name"),
        (lambda: dv.datasets("eeg"), "unknown benchmark 'eeg'; expected one of fmri"),
        (lambda: dv.load("no-such-score"), "no stored score 'no-such-score'"),
        (lambda: dv.stimuli(["/nowhere/film.mp4"]), "no such file"),
    ],
)
def test_bad_input_is_one_line(homes, call, message):
    with pytest.raises(BadInput, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_responses_without_a_benchmark_are_refused(quadrants):
    films, values = quadrants
    recording = dv.responses(films, values, bin_ms=100)
    with pytest.raises(BadInput, match="benchmark None for responses; expected one of fmri, electrodes"):
        dv.score(Means(2), recording)
    with pytest.raises(BadInput, match=r"values of shape \(24, 2\); expected"):
        dv.responses(films, values[:, :, 0, 0], bin_ms=100)
    assert torch.is_grad_enabled()
