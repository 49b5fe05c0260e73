"""The embedded datasets: declared counts, equality over processes, and prediction by the planted layers only."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import src.data as data
from src import fakenet
from src.data.declare import counts
from src.data.synthetic import plant
from src.data.synthetic.files import read_frames

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = [d for registry in data.BY_BENCHMARK.values() for d in registry.values() if d.access == "embedded"]
LAYERS = list(fakenet.LAYERS)
ALPHAS = np.logspace(-4, 4, 9)


def answers(stimuli, bins_ms):
    """Return {layer: per stimulus (n_bins, n_features)}."""
    found = plant.binned((read_frames(path) for path in stimuli.paths), bins_ms)
    return {layer: [film[layer] for film in found] for layer in LAYERS}


def time_means(stimuli):
    """Return {layer: (n_stimuli, n_features)}, means over the whole film."""
    bins = [np.array([[0.0, duration]]) for duration in stimuli.duration_ms]
    return {layer: np.concatenate(means) for layer, means in answers(stimuli, bins).items()}


def ridge_r(X, Y, splits):
    """Return Pearson's r per target on the test rows, mean over splits."""
    scores = []
    for train, test in splits:
        predicted = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(X[train], Y[train]).predict(X[test])
        predicted, truth = predicted.reshape(test.sum(), -1), Y[test].reshape(test.sum(), -1)
        scores.append([np.corrcoef(p, t)[0, 1] for p, t in zip(predicted.T, truth.T, strict=True)])
    return np.mean(scores, axis=0)


def held_out_runs(lengths, n_splits=8, share=0.1, gap=10):
    """Yield (train, test) masks with a run of `share` of all seconds held out and a gap of `gap` seconds around it."""
    film = np.repeat(np.arange(len(lengths)), lengths)
    second = np.concatenate([np.arange(n) for n in lengths])
    total, rng = len(film), np.random.default_rng(0)
    for start in rng.integers(0, int(total * (1 - share)), n_splits):
        test = np.zeros(total, bool)
        test[start : start + int(total * share)] = True
        train = ~test
        for i in np.unique(film[test]):
            held = second[test & (film == i)]
            train &= ~((film == i) & (second >= held.min() - gap) & (second <= held.max() + gap))
        yield train, test


def random_splits(n, n_splits=8, share=0.15):
    rng = np.random.default_rng(0)
    for _ in range(n_splits):
        test = np.zeros(n, bool)
        test[rng.permutation(n)[: int(n * share)]] = True
        yield ~test, test


@pytest.mark.parametrize("declared", EMBEDDED, ids=lambda d: d.name)
def test_declared_counts_are_the_actual_ones(declared, embedded):
    actual = counts(embedded(declared.name))
    assert {what: actual[what] for what in declared.expected} == dict(declared.expected)


@pytest.mark.parametrize("declared", EMBEDDED, ids=lambda d: d.name)
def test_loading_again_is_quick_and_loads_nothing_heavy(declared, embedded, embedded_home):
    embedded(declared.name)
    code = (
        "import sys, time, pathlib, src.data as data; start = time.perf_counter()\n"
        f"d = data.declaration(None, {declared.name!r}); d.load(pathlib.Path(sys.argv[1]) / d.study)\n"
        "print(time.perf_counter() - start, *sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, embedded_home], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(output[0]) < 1.5
    assert not {"torch", "xarray", "pandas", "sklearn", "av", "scipy"} & set(output)


def test_all_files_together_are_small(embedded, embedded_home):
    for declared in EMBEDDED:
        embedded(declared.name)
    studies = {declared.study for declared in EMBEDDED}
    size = sum(p.stat().st_size for study in studies for p in (embedded_home / study).rglob("*") if p.is_file())
    assert size < 60e6


SMALL = """
import sys
from pathlib import Path
from src.data.behaviour import fake as behaviour
from src.data.electrodes import fake as electrodes
from src.data.fmri import fake as fmri
fmri.MOVIES_S = {"a.mp4": 13.0, "b.avi": 9.4}
fmri.CLIPS_S = {f"clip-{i}.mp4": 3.0 for i in range(3)}
fmri.N_COMPONENTS = 3
electrodes.N_STILL = electrodes.N_FILMS = 4
behaviour.PER_CLASS = {"fitting": 2, "shown": 1}
home = Path(sys.argv[1])
for module in (fmri, electrodes, behaviour):
    for declared in module.DATASETS[:2 if module is fmri else 1]:
        record = declared.load(home / declared.study)
        print(record.digest, record.stimuli.digest)
"""


def test_two_processes_render_the_same(tmp_path):
    outputs = []
    for seed, threads in (("1", "1"), ("2", "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", SMALL, str(tmp_path / seed)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        outputs.append(done.stdout.split())
    assert len(set(outputs[0])) == 8
    assert outputs[0] == outputs[1]


def test_fmri_units_and_noise_are_as_stated(embedded):
    for name, loosely in (("fake-fmri", 1), ("fake-clips-fmri", 2.5)):
        record = embedded(name)
        units = record.units
        mean = record.values.mean(axis=1, keepdims=True)
        there = np.isfinite(mean[:, 0, :, 0])
        noise = (record.values - mean).var(axis=1, ddof=1)[there].mean(axis=0)
        np.testing.assert_allclose(noise, units["noise"], rtol=0.15 * loosely)
        total = mean[:, 0][there].var(axis=0)
        np.testing.assert_allclose(total, units["signal"] + units["noise"] / 6, rtol=0.2 * loosely)
    assert list(units["hemi"]) == sorted(units["hemi"])
    assert set(units["best_r"][units["region"] == "none"]) == {0.0}
    np.testing.assert_array_equal(embedded("fake-fmri").units["best_r"], embedded("fake-clips-fmri").units["best_r"])


def test_movies_end_where_their_responses_end(embedded):
    record = embedded("fake-fmri")
    ends = np.isfinite(record.values).all(axis=(1, 3)).sum(axis=1)
    np.testing.assert_array_equal(ends, record.stimuli.duration_ms // 1000)
    assert any(path.suffix == ".avi" for path in record.stimuli.paths)
    assert not all(duration % 15_000 == 0 for duration in record.stimuli.duration_ms)


@pytest.fixture(scope="session")
def fmri_answers(embedded):
    record = embedded("fake-fmri")
    lengths = (record.stimuli.duration_ms // 1000).astype(int)
    found = answers(record.stimuli, [record.time_ms[:n] for n in lengths])
    rows = {layer: np.concatenate([plant.lagged(film) for film in films]) for layer, films in found.items()}
    Y = np.concatenate([film[:n] for film, n in zip(record.values.mean(axis=1), lengths, strict=True)])
    return lengths, rows, Y, record.units


def test_only_the_planted_layer_predicts_fmri_up_to_best_r(fmri_answers):
    lengths, rows, Y, units = fmri_answers
    scores = {layer: ridge_r(rows[layer], Y, held_out_runs(lengths)) for layer in LAYERS}
    for planted in LAYERS:
        at = units["planted_layer"] == planted
        missing = {layer: np.median((units["best_r"] - r)[at]) for layer, r in scores.items()}
        assert missing.pop(planted) < 0.05, planted
        assert min(missing.values()) > 0.3, (planted, missing)
    assert max(abs(np.median(r[units["region"] == "none"])) for r in scores.values()) < 0.1


def test_fmri_clips_and_movies_share_their_map(embedded, fmri_answers):
    _, rows, Y, units = fmri_answers
    record = embedded("fake-clips-fmri")
    clips = answers(record.stimuli, [record.time_ms] * len(record.stimuli))
    Z = record.values.mean(axis=1)[:, 0]
    for planted in LAYERS:
        at = units["planted_layer"] == planted
        fitted = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(rows[planted], Y[:, at])
        predicted = fitted.predict(np.concatenate(clips[planted]))
        r = [np.corrcoef(p, z)[0, 1] for p, z in zip(predicted.T, Z[:, at].T, strict=True)]
        assert np.median(units["best_r"][at] - r) < 0.1, planted


def test_circularly_shifted_fmri_responses_are_not_predicted(fmri_answers):
    lengths, rows, Y, _ = fmri_answers
    shifted = np.roll(Y, len(Y) // 3, axis=0)
    for layer in LAYERS:
        assert abs(np.median(ridge_r(rows[layer], shifted, held_out_runs(lengths)))) < 0.12, layer


def test_only_the_planted_layer_predicts_electrodes_up_to_best_r(embedded):
    record = embedded("fake-electrodes")
    found = answers(record.stimuli, [record.time_ms] * len(record.stimuli))
    Y = np.nanmean(record.values, axis=1)
    n, n_bins = Y.shape[:2]
    splits = [(train.repeat(n_bins), test.repeat(n_bins)) for train, test in random_splits(n)]
    Y = Y.reshape(n * n_bins, -1)
    scores = {layer: ridge_r(np.concatenate(found[layer]), Y, splits) for layer in LAYERS}
    for planted in LAYERS:
        at = record.units["planted_layer"] == planted
        missing = {layer: np.median((record.units["best_r"] - r)[at]) for layer, r in scores.items()}
        assert missing.pop(planted) < 0.08, planted
        assert min(missing.values()) > 0.3, (planted, missing)


def test_electrodes_miss_whole_trials(embedded):
    record = embedded("fake-electrodes")
    missing = np.isnan(record.values)
    whole = missing.all(axis=(2, 3))
    np.testing.assert_array_equal(missing.any(axis=(2, 3)), whole)
    assert 0.02 < whole.mean() < 0.15
    assert (~whole).sum(axis=1).min() >= 3
    assert set(record.stimuli.kind) == {"image", "video"}
    assert (record.stimuli.duration_ms >= record.time_ms[-1, 1]).all()


def test_mt_units_follow_the_motion_of_their_film(embedded):
    record = embedded("fake-mt")
    seen = np.isfinite(record.values).all(axis=(1, 2))
    np.testing.assert_array_equal(seen, np.eye(6, dtype=bool))
    assert not np.isfinite(record.values[~seen[:, 0]][:, 0, :, 0]).any()
    assert [record.stimuli.ids[i] for i in seen.argmax(axis=0)] == list(record.units["film"])
    found = answers(record.stimuli, [record.time_ms] * 6)
    fifth = np.arange(len(record.time_ms)) * 5 // len(record.time_ms)
    splits = [(fifth != k, fifth == k) for k in range(5)]
    for layer in LAYERS:
        missing = [
            record.units["best_r"][u] - ridge_r(found[layer][u], record.values[u, 0, :, u], splits)[0] for u in range(6)
        ]
        assert np.median(missing) < 0.1 if layer == "motion" else np.median(missing) > 0.4, layer


def test_actions_cannot_be_decoded_from_one_frame(embedded):
    record = embedded("fake-action")
    classes, chance = record.values[:, 0], 1 / 6
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    films = [read_frames(path)[..., 0] for path in record.stimuli.paths]
    read_out = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    for frame in (0, 20, 39):
        pixels = np.stack([film[frame, ::2, ::2].ravel() for film in films])
        for X in (pixels, (pixels - 128.0) ** 2):
            assert cross_val_score(read_out, X, classes, cv=folds).mean() < chance + 0.12, frame


def test_actions_are_decoded_from_motion(embedded):
    record = embedded("fake-action")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    read_out = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    means = time_means(record.stimuli)
    accuracy = {x: cross_val_score(read_out, means[x], record.values[:, 0], cv=folds).mean() for x in LAYERS}
    assert accuracy.pop("motion") > 0.95
    assert max(accuracy.values()) < 0.4
    assert len(set(zip(record.values[:, 0], record.strata, strict=True))) == 12


def test_selfmotion_is_decoded_from_motion_before_the_limit(embedded):
    record = embedded("fake-selfmotion")
    limit_ms = data.declaration("task", "fake-selfmotion").limit_ms
    splits = list(random_splits(len(record.stimuli), n_splits=4, share=0.2))
    found = answers(record.stimuli, [np.array([[0.0, limit_ms], [0.0, 2 * limit_ms]])] * len(record.stimuli))
    within, whole = ({layer: np.stack(rows)[:, i] for layer, rows in found.items()} for i in (0, 1))
    scores = {layer: ridge_r(within[layer], record.values, splits) for layer in LAYERS}
    assert scores.pop("motion").min() > 0.9
    assert max(np.abs(r).max() for r in scores.values()) < 0.4
    assert ridge_r(whole["motion"], record.values, splits).max() < 0.85


def test_digits_are_scikit_learns(embedded):
    from sklearn.datasets import load_digits

    record = embedded("digits")
    images, classes = load_digits(return_X_y=True)
    np.testing.assert_array_equal(record.values[:, 0], classes.astype(str))
    for i in (0, 1000, 1796):
        (image,) = read_frames(record.stimuli.paths[i])
        assert image.shape == (64, 64, 3)
        np.testing.assert_allclose(image[::8, ::8, 0].ravel() * (16 / 255), images[i], atol=0.05)


def _probabilities(fitting, classes, shown):
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(fitting, classes).predict_proba(shown)


def test_the_observer_errs_as_motion_does(embedded):
    record = embedded("fake-behaviour")
    class_of = {name: i for i, name in enumerate(record.classes)}
    row = {name: i for i, name in enumerate(record.stimuli.ids)}
    chosen, truth = np.zeros((len(row), len(class_of))), np.zeros(len(row), int)
    for clip, true, choice in zip(*(record.trials[c] for c in ("stimulus_id", "truth", "choice")), strict=True):
        chosen[row[clip], class_of[choice]] += 1
        truth[row[clip]] = class_of[true]
    wrong = np.arange(len(class_of)) != truth[:, None]
    fitting, shown = time_means(record.fitting.stimuli), time_means(record.stimuli)
    assert list(record.classes) == sorted(record.classes)
    agreement = {}
    for layer in LAYERS:
        predicted = _probabilities(fitting[layer], record.fitting.values[:, 0], shown[layer])
        agreement[layer] = np.corrcoef(predicted[wrong], chosen[wrong])[0, 1]
    assert agreement.pop("motion") > 0.8
    assert max(agreement.values()) < 0.3
    accuracy = np.mean(record.trials["truth"] == record.trials["choice"])
    assert 0.5 < accuracy < 0.9


def test_the_2afc_observer_chooses_between_two_classes(embedded):
    trials = embedded("fake-behaviour-2afc").trials
    assert (trials["truth"] != trials["distractor"]).all()
    assert ((trials["choice"] == trials["truth"]) | (trials["choice"] == trials["distractor"])).all()
    assert embedded("fake-behaviour-2afc").stimuli.digest == embedded("fake-behaviour").stimuli.digest
