import numpy as np
import pytest

from src.report.scores import collect, sound
from src.utils import BadInput


def found(shelf, **filters):
    benchmarks, problems = collect(shelf.config, **filters)
    return {b.title: b for b in benchmarks}, problems


def test_scores_of_one_protocol_are_one_benchmark_best_first(shelf):
    for model, skill in (("poor", 0.2), ("good", 0.6), ("fair", 0.4)):
        shelf.add(model=model, skill=skill)
    shelf.add(dataset="clips")
    benchmarks, problems = found(shelf)
    assert list(benchmarks) == ["clips (4 splits)", "films (4 splits)"]
    assert [s.label for s in benchmarks["films (4 splits)"].scores] == ["good", "fair", "poor"]
    assert not problems


def test_another_protocol_is_another_benchmark_and_says_how_it_differs(shelf):
    usual = (("splits", 10), ("gap_ms", 10000.0), ("hrf", True))
    shelf.add(options=usual)
    shelf.add(options=(*usual[:1], ("gap_ms", 0.0), ("hrf", False)))
    assert set(found(shelf)[0]) == {"films", "films (gap 0 s, no HRF)"}


def test_what_only_adds_to_a_score_does_not_part_it_and_the_fuller_one_is_shown(shelf):
    old = shelf.add(old=True)
    plain = shelf.add(options=(("permutations", 0),))
    full = shelf.add()
    (benchmark,) = found(shelf)[0].values()
    assert [s.stored.paths[0] for s in benchmark.scores] == [shelf.path(full, ".json")]
    assert [s.stored.paths[0] for s in benchmark.superseded] == [shelf.path(m, ".json") for m in (old, plain)]
    assert all(s.superseded for s in benchmark.superseded)


def test_kinds_come_in_their_order(shelf):
    for script in ("behaviour", "task", "electrodes", "fmri"):
        shelf.add(benchmark=script, dataset=f"a-{script}")
    assert [b.benchmark for b in collect(shelf.config)[0]] == ["fmri", "electrodes", "task", "behaviour"]


def test_a_run_that_is_not_the_default_is_named(shelf, monkeypatch):
    made = shelf.add()
    from src.report import scores

    def with_activations(*homes, real=scores.everything):
        yield from real(*homes)
        key = {"mode": "causal", "context_ms": 2000.0, "precision": "bf16"}
        yield scores.Stored("activations", "x", (), {"key": key, "digest": made.key.activations[0]})

    monkeypatch.setattr(scores, "everything", with_activations)
    (benchmark,) = found(shelf)[0].values()
    assert benchmark.scores[0].label == "good (causal, 2 s context, bf16)"


def test_only_the_named_models_and_datasets(shelf):
    shelf.add(model="good"), shelf.add(model="poor"), shelf.add(dataset="clips")
    assert [s.label for b in collect(shelf.config, ["poor"])[0] for s in b.scores] == ["poor"]
    assert [b.title for b in collect(shelf.config, [], ["clips"])[0]] == ["clips (4 splits)"]
    with pytest.raises(BadInput, match=r"unknown stored model 'god'; did you mean good"):
        collect(shelf.config, ["god"])
    with pytest.raises(BadInput, match=r"unknown stored dataset 'clip'; did you mean clips"):
        collect(shelf.config, [], ["clip"])
    with pytest.raises(BadInput, match="no stored score has these models on these datasets"):
        collect(shelf.config, ["poor"], ["clips"])


def test_a_joint_score_belongs_to_each_of_its_datasets(shelf):
    shelf.add(dataset="films+clips"), shelf.add(dataset="faces")
    for name in ("films", "clips"):
        assert [b.datasets for b in collect(shelf.config, [], [name])[0]] == [("films", "clips")]


def test_an_empty_store_says_what_to_do(shelf):
    with pytest.raises(BadInput, match=r"no scores in .*results; run a score_\*.py script first"):
        collect(shelf.config)


def test_damage_is_named_and_left_out_and_the_store_stays_as_it_was(shelf):
    short, cut, changed = (shelf.add(model=name) for name in ("short", "cut", "changed"))
    shelf.add(model="whole")
    value = shelf.path(short, ".nc")
    value.write_bytes(value.read_bytes()[:-4])
    shelf.path(cut, ".json").write_text("{")
    bent = bytearray(shelf.path(changed, ".nc").read_bytes())
    bent[-8] ^= 1
    shelf.path(changed, ".nc").write_bytes(bent)
    before = {p: p.stat().st_mtime_ns for p in shelf.config.results_home.rglob("*")}

    (benchmark,), problems = collect(shelf.config)
    good, bad = sound(benchmark, 5)
    assert [s.label for s in good] == ["whole"]
    assert sorted(p.split(":")[0].split("-")[1] for p in [*problems, *bad]) == ["changed", "cut", "short"]
    assert any("expected" in p for p in problems)
    assert {p: p.stat().st_mtime_ns for p in shelf.config.results_home.rglob("*")} == before


def test_titles_are_never_equal(shelf):
    for decoder in ("logistic", "ridge"):
        shelf.add(benchmark="task", options=(("decoder", decoder),))
    one, other = found(shelf)[0]
    assert one.startswith("films (4 splits) [data ")
    assert one[:-1] == other[:-1]
    assert (one[-2:], other[-2:]) == ("#1", "#2")


def test_arrays_can_be_forgotten_and_read_again(shelf):
    made = shelf.add()
    (score,) = collect(shelf.config)[0][0].scores
    held = score.arrays["test"], score.own["test"]
    score.release()
    assert not {"arrays", "own"} & set(score.__dict__)
    np.testing.assert_array_equal(score.arrays["test"], held[0])
    np.testing.assert_array_equal(score.arrays["test"], made.arrays()["test"])
