"""A brain in place of a model, and features predicted from responses."""

import numpy as np
import pytest

import src as dv
from src.analysis.bootstrap import bootstrap, interval
from src.config import Config
from src.evaluate import fmri
from src.evaluate.decoders import Ridge
from src.evaluate.fmri import Part
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import Protocol
from src.pipeline import Objects, Request, score
from src.records import Activations, Responses, Stimuli
from src.utils import BadInput, regular_bins

N_BINS = 400
OPTIONS = {"splits": 4, "bootstrap": 0}


@pytest.fixture(autouse=True)
def homes(cli, monkeypatch):
    """The homes of the test session in place of the user's."""
    for name, value in cli.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def study(tmp_path):
    """A function from responses (n_subjects, n_rows, n_units) to a declaration of a study of one film."""

    def make(name, values, film="film", regions=None):
        path = tmp_path / film
        path.write_text(film)
        films = Stimuli(name, (film,), (path,), np.full(1, N_BINS * 1000.0), ("video",))
        time_ms = regular_bins(N_BINS * 1000.0, 1000.0)
        units = {"unit_id": np.arange(values.shape[2]).astype(str)}
        units |= {} if regions is None else {"region": np.asarray(regions)}
        subjects = tuple(f"{name}-{k}" for k in range(len(values)))
        record = Responses(films, values[None].astype(np.float32), time_ms, units, subjects)
        traits = {"citation": "planted", "licence": "own", "source": "planted", "access": "embedded"}
        return dv.Fmri(name=name, study=name, load=lambda folder: record, **traits)

    return make


def planted(n_subjects, seed, signal, noise=1.0):
    """Return responses of people who share weights: half the units follow the first half of the signal."""
    rng = np.random.default_rng(seed)
    half = signal.shape[1] // 2
    weights = np.random.default_rng(0).standard_normal((2, half, 12))
    clean = np.concatenate([signal[:, :half] @ weights[0], signal[:, half:] @ weights[1]], axis=1) / np.sqrt(half)
    return clean + noise * rng.standard_normal((n_subjects, *clean.shape))


SIGNAL = np.random.default_rng(7).standard_normal((N_BINS, 12))
REGIONS = ["first"] * 12 + ["second"] * 12


def test_a_person_predicts_the_others_region_by_region():
    found = dv.score("brain:fake-fmri:subject-1", "fake-fmri", **OPTIONS)
    by_region = {row["region"]: row for row in found.facts["regions"]}
    for region in ("fake-V1", "fake-V2", "fake-MT", "fake-LO"):
        assert by_region[region]["test"] > 0.5
    layers = found.arrays["layers"].astype(str).tolist()
    assert layers[-1] == "whole brain"
    # a region is predicted best by itself among the regions
    regions = [layer for layer in layers if layer not in ("whole brain", "none")]
    of_units = found.arrays["target_region"].astype(str)
    for region in regions:
        r = {k: np.median(found.arrays["test"][layers.index(k)][of_units == region]) for k in regions}
        assert max(r, key=r.get) == region
        assert all(value < 0.3 for k, value in r.items() if k != region)
    assert abs(by_region["none"]["test"]) < 0.1
    assert "subject-1" not in found.arrays["subjects"].tolist()
    # in one ranking with models, whose features are convolved
    assert found.facts["options"]["hrf"] == "spm"


def test_a_person_alone_explains_what_the_closed_form_says(study):
    """Ridge regression on units of one noisy person: the signal has 12 directions in 24 units."""
    people = planted(4, 1, SIGNAL)
    found = dv.score("brain:people:people-0", study("people", people, regions=REGIONS), **OPTIONS)
    # the best linear prediction of the mean of the others from one person, in the limit of many rows
    truth = planted(1, 0, SIGNAL, noise=0.0)[0]
    cov = np.cov(truth.T)
    source, target = cov + np.eye(24), cov + np.eye(24) / 3
    explained = np.sqrt(np.diag(cov @ np.linalg.solve(source, cov)) / np.diag(target))
    assert found.facts["headline"]["test"] == pytest.approx(np.median(explained), abs=0.03)


def test_another_study_on_the_same_film_is_predicted_by_its_mean_person(study):
    first, second = (study(n, planted(3, k, SIGNAL), regions=REGIONS) for k, n in enumerate(("one", "two")))
    with pytest.raises(BadInput, match="expected brain:DATASET"):
        dv.score("brain:one", second, **OPTIONS)
    known = {"one": first, "two": second, "three": study("three", planted(2, 9, SIGNAL), film="another film")}

    def r_by(model):
        request = Request("fmri", model, ("two",), **OPTIONS, ceiling=False)
        return next(score(request, Config.from_env(), objects=Objects(datasets=known))).facts["headline"]["test"]

    assert r_by("brain:one") > r_by("brain:one:one-1") + 0.02
    with pytest.raises(BadInput, match="share no stimulus"):
        r_by("brain:three")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("brain:fake-fmri", "people predict themselves, with their noise"),
        ("brain:fake-fmri:fake-V1", "people predict themselves, with their noise"),
        ("brain:fake-fmri:subject-9", "subject-9; expected one of the subjects"),
        ("brain:fake-fmri:subject-1:subject-2", "subject-2; expected one of the subjects"),
        ("brain:nosuch", "unknown fmri dataset"),
    ],
)
def test_a_brain_that_cannot_predict_is_refused(model, told):
    with pytest.raises(BadInput, match=told):
        dv.score(model, "fake-fmri", **OPTIONS)


def test_a_brain_predicts_fmri_alone():
    with pytest.raises(BadInput, match="expected an fMRI dataset"):
        dv.score("brain:fake-fmri:subject-1", "fake-electrodes")


@pytest.fixture
def part(tmp_path):
    """A function from features by layer and responses (n_rows, n_units) to a part of a regression."""

    def make(layers, values):
        path = tmp_path / "film"
        path.write_text("film")
        films = Stimuli("film", ("film",), (path,), np.full(1, N_BINS * 1000.0), ("video",))
        time_ms = regular_bins(N_BINS * 1000.0, 1000.0)
        units = {"unit_id": np.arange(values.shape[1]).astype(str)}
        activations = Activations(
            {k: x[None].astype(np.float32) for k, x in layers.items()}, time_ms, [N_BINS], ("film",)
        )
        return Part(activations, Responses(films, values[None, None].astype(np.float32), time_ms, units, ("s",)))

    return make


def test_a_wide_expansion_passes_forward_and_fails_in_reverse(part):
    rng = np.random.default_rng(3)
    right = rng.standard_normal((N_BINS, 6))
    # sines of random directions contain the right features among many others
    wide = np.concatenate([right, np.sin(3 * right @ rng.standard_normal((6, 600)) + rng.uniform(0, 6, 600))], axis=1)
    noise = rng.standard_normal((N_BINS, 50))
    values = right @ rng.standard_normal((6, 40)) / np.sqrt(6) + 0.5 * rng.standard_normal((N_BINS, 40))
    made = part({"right": right, "wide": 1.0 * wide, "noise": noise}, values)
    protocol = Protocol(hrf="none", n_splits=5, subjects="mean", high_pass_s=0.0)
    forward = fmri.score([made], Ridge(penalty="blocks", scaled=True), protocol)
    r = dict(zip(forward.layers, np.median(forward.test, axis=1).mean(axis=1), strict=True))
    back = fmri.reverse([made], protocol)
    reversed_r = dict(zip(back.layers, back.test[:, 0].mean(axis=1), strict=True))
    assert r["right"] > 0.85
    assert r["wide"] > 0.5
    assert reversed_r["right"] > 0.95
    assert abs(reversed_r["wide"]) < 0.1
    assert abs(reversed_r["noise"]) < 0.05


def test_the_interval_of_a_score_in_reverse_covers_its_mean_over_worlds(part):
    """Responses of little signal: the truth is the mean over worlds of the score."""
    protocol = Protocol(hrf="none", n_splits=5, subjects="mean", high_pass_s=0.0)
    weights, worlds = np.random.default_rng(4).standard_normal((3, 20)) / 2, []
    for k in range(24):
        rng = np.random.default_rng([5, k])
        X, noise = rng.standard_normal((N_BINS, 3)), rng.standard_normal((N_BINS, 10))
        values = X @ weights + 2 * rng.standard_normal((N_BINS, 20))
        found = fmri.reverse([part({"right": X, "noise": noise}, values)], protocol)
        drawn = bootstrap(found.resampling, Rule().test(vars(found)), 200, 0).aggregate
        worlds.append((Rule().test(vars(found)).mean(), *interval(drawn), drawn.std()))
    score, low, high, spread = np.array(worlds).T
    assert np.median(spread) == pytest.approx(score.std(), rel=0.4)
    assert ((low < score.mean()) & (score.mean() < high)).mean() > 0.8


def test_features_are_predicted_on_the_command_line(cli):
    done = cli("fmri", "-m", "fake-net", "-d", "fake-fmri", "--reverse", "--splits", "4")
    assert "features of fake-net by the responses to fake-fmri: pearson" in done.stdout
    told = cli("fmri", "-m", "fake-net", "-d", "fake-fmri", "--reverse", "--audit", expect=2).stderr
    assert "reverse with permutations, audit or another decoder than ridge" in told
