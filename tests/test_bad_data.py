"""Data that cannot be scored: said in one line before the first forward pass, with nothing stored."""

from dataclasses import replace

import numpy as np
import pytest

from src import data
from src.config import Config
from src.data.declare import Electrodes, Fmri, Task
from src.pipeline import Request, score
from src.records import Labels
from src.utils import BadInput, regular_bins

CARD = {"study": "bad", "citation": "-", "licence": "-", "access": "embedded", "source": "-"}


@pytest.fixture
def attempt(monkeypatch, tmp_path, embedded_home):
    """Score fake-net on a record as if it were a dataset; what was stored besides cards must be nothing."""
    config = Config(embedded_home, tmp_path / "activations", tmp_path / "results", tmp_path / "torch", 2)

    def go(benchmark, kind, record, **request):
        traits = {k: request.pop(k) for k in list(request) if k in ("lag", "fit", "metric", "decoder_name")}
        declared = kind(name="bad", load=lambda folder: record, **CARD, **traits)
        monkeypatch.setitem(data.BY_BENCHMARK[benchmark], "bad", declared)
        try:
            return list(score(Request(benchmark, "fake-net", ("bad",), **request), config))
        finally:
            kept = [p.name for p in (tmp_path / "activations").rglob("*") if p.is_file() and p.suffix != ".lock"]
            assert not kept, kept

    return go


@pytest.fixture
def films(embedded_home):
    return data.load("fake-fmri", Config(embedded_home, *[embedded_home] * 3, 1))


def cut(responses, n_bins=None, n_stimuli=None, n_repetitions=None):
    """The first bins, stimuli and repetitions of a recording."""
    stimuli = responses.stimuli
    if n_stimuli:
        shorter = {k: getattr(stimuli, k)[:n_stimuli] for k in ("ids", "paths", "duration_ms", "kind")}
        stimuli = replace(stimuli, **shorter)
    values = responses.values[:n_stimuli, :n_repetitions, :n_bins]
    return replace(
        responses,
        stimuli=stimuli,
        values=values,
        time_ms=responses.time_ms[:n_bins],
        subjects=responses.subjects[:n_repetitions],
    )


def test_fewer_segments_than_the_splits_need(attempt, films):
    with pytest.raises(BadInput, match=r"1 segments of 15 s; expected at least 2.*--clip-duration"):
        attempt("fmri", Fmri, cut(films, n_bins=15, n_stimuli=1))


def test_one_repetition_has_no_ceiling(attempt, films):
    with pytest.raises(BadInput, match=r"1 repetition; expected at least 2.*--no-ceiling"):
        attempt("fmri", Fmri, cut(films, n_repetitions=1))


def test_a_film_shorter_than_one_bin(attempt, films):
    wide = replace(cut(films, n_bins=2), time_ms=regular_bins(2 * 61500.0, 61500.0))
    with pytest.raises(BadInput, match=r"lasts 61000 ms, but the first bin of the recording ends at 61500 ms"):
        attempt("fmri", Fmri, wide, clip_ms=61500.0, gap_ms=0.0)


def test_a_truncated_film_is_named(attempt, films, tmp_path):
    part = tmp_path / "part.mp4"
    part.write_bytes(films.stimuli.paths[0].read_bytes()[:-20000])
    stimuli = replace(films.stimuli, paths=(part, *films.stimuli.paths[1:]))
    with pytest.raises(BadInput, match=r"stimulus '.*' of fake-fmri: .*part\.mp4: .*"):
        attempt("fmri", Fmri, replace(films, stimuli=stimuli))


def test_a_class_with_fewer_items_than_the_splits_need(attempt, films):
    labels = Labels(films.stimuli, np.array([["a"], ["a"], ["a"], ["b"], ["b"]]), ("kind",))
    with pytest.raises(BadInput, match=r"2 items of class 'b'; expected at least 3"):
        attempt("task", Task, labels)


def test_too_few_stimuli_for_electrodes(attempt, films):
    with pytest.raises(BadInput, match="1 items; expected at least 2"):
        attempt("electrodes", Electrodes, cut(films, n_bins=10, n_stimuli=1))


def test_datasets_of_other_units_are_not_scored_together(attempt, films, monkeypatch):
    other = replace(films, units={k: np.asarray(v)[::-1] for k, v in films.units.items()})
    monkeypatch.setitem(data.BY_BENCHMARK["fmri"], "other", Fmri(name="other", load=lambda folder: other, **CARD))
    from src.evaluate import fmri
    from src.evaluate.protocol import Protocol

    with pytest.raises(BadInput, match="expected the same units in all datasets of a joint score"):
        fmri.check([films, other], Protocol())


@pytest.mark.parametrize(
    ("other", "lag", "told"),
    [
        ("clips", False, "films in bins of 1000 ms and clips"),
        ("films", True, "films in bins of 1000 ms and .* 2000 ms"),
    ],
)
def test_delayed_copies_of_films_have_no_match_elsewhere(films, other, lag, told):
    from src.evaluate import fmri
    from src.evaluate.protocol import Protocol

    wide = films if other == "clips" else replace(cut(films, n_bins=20), time_ms=regular_bins(40_000.0, 2000.0))
    with pytest.raises(BadInput, match=f"--hrf fir on {told}; expected films in bins of one width"):
        fmri.check([films, wide], Protocol(hrf="fir"), lags=[True, lag])
    fmri.check([films, films], Protocol(hrf="fir"), lags=[True, True])
    fmri.check([films, wide], Protocol(), lags=[True, lag])


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_labels_keep_the_splits_of_the_true_ones(tmp_path, embedded_home, monkeypatch, seed):
    whole = data.load("fake-action", Config(embedded_home, *[embedded_home] * 3, 1))
    cells = list(zip(whole.values[:, 0].tolist(), whole.strata.tolist(), strict=True))
    kept = np.sort(np.concatenate([[k for k, c in enumerate(cells) if c == one][:4] for one in sorted(set(cells))]))
    columns = ("ids", "paths", "duration_ms", "kind")
    stimuli = replace(
        whole.stimuli, **{k: [getattr(whole.stimuli, k)[i] for i in kept] for k in columns}, table={}, start_ms=None
    )
    small = replace(whole, stimuli=stimuli, values=whole.values[kept], strata=whole.strata[kept])
    declared = Task(name="small", load=lambda folder: small, **CARD)
    monkeypatch.setitem(data.BY_BENCHMARK["task"], "small", declared)
    config = Config(embedded_home, tmp_path / "activations", tmp_path / "results", tmp_path / "torch", 2)
    request = Request("task", "fake-net", ("small",), layers=("motion",), audit=True, bootstrap=0, seed=seed)
    (found,) = score(request, config)
    assert found.arrays["null_test"].shape == found.arrays["test"].shape
    assert np.isfinite(found.arrays["null_test"]).all()


def test_fewer_splits_that_differ_than_asked_are_said(tmp_path, films, embedded_home, monkeypatch):
    declared = Fmri(name="short", load=lambda folder: cut(films, n_bins=60, n_stimuli=1), **CARD)
    monkeypatch.setitem(data.BY_BENCHMARK["fmri"], "short", declared)
    config = Config(embedded_home, tmp_path / "activations", tmp_path / "results", tmp_path / "torch", 2)
    request = Request("fmri", "fake-net", ("short",), layers=("motion",), layout="runs", gap_ms=0.0, bootstrap=0)
    (found,) = score(request, config)
    assert found.arrays["test"].shape[2] < 10
    assert f"{found.arrays['test'].shape[2]} splits instead of 10: no further one differs" in found.summary()
