import numpy as np
import pytest

from src.files import encode_json, read_json
from src.report.scores import collect, readable_scores
from src.store import Store, StoredItem
from src.utils import BadInput


def collected(score_store, **filters):
    """Return ({title: benchmark}, problems)."""
    benchmarks, problems = collect(score_store.config, **filters)
    return {b.title: b for b in benchmarks}, problems


def test_scores_of_one_protocol_are_one_benchmark_best_first(score_store):
    for model, level in (("poor", 0.2), ("good", 0.6), ("fair", 0.4)):
        score_store.add(model=model, level=level)
    score_store.add(dataset="clips")
    benchmarks, problems = collected(score_store)
    assert list(benchmarks) == ["clips (4 splits)", "films (4 splits)"]
    assert [s.label for s in benchmarks["films (4 splits)"].scores] == ["good", "fair", "poor"]
    assert not problems


def test_the_title_of_another_protocol_has_the_changed_options(score_store):
    defaults = (("splits", 10), ("gap_ms", 10000.0), ("hrf", "spm"), ("high_pass_s", 128.0))
    score_store.add(options=defaults)
    score_store.add(options=(*defaults[:1], ("gap_ms", 0.0), ("hrf", "delay"), ("high_pass_s", 0.0)))
    published = (("protocol", "published 1"), ("splits", 10), ("gap_ms", 0.0), ("hrf", "spm-sampled"))
    score_store.add(options=published)
    score_store.add(options=(*published[:3], ("hrf", "none")))
    expected = {"films", "films (gap 0 s, HRF delay, no high-pass)"}
    expected |= {"films (protocol published 1)", "films (protocol published 1, HRF none)"}
    assert set(collected(score_store)[0]) == expected


def test_added_options_do_not_separate_scores_and_the_most_complete_is_current(score_store):
    old = score_store.add(old=True)
    plain = score_store.add(options=(("permutations", 0),))
    full = score_store.add()
    (benchmark,) = collected(score_store)[0].values()
    assert [s.item.paths[0] for s in benchmark.scores] == [score_store.path(full, ".json")]
    assert [s.item.paths[0] for s in benchmark.superseded] == [score_store.path(m, ".json") for m in (old, plain)]
    assert all(s.superseded for s in benchmark.superseded)


def test_benchmarks_are_in_order(score_store):
    for benchmark in ("behaviour", "task", "electrodes", "fmri"):
        score_store.add(benchmark=benchmark, dataset=f"a-{benchmark}")
    assert [b.benchmark for b in collect(score_store.config)[0]] == ["fmri", "electrodes", "task", "behaviour"]


def test_the_label_has_the_changed_options_of_the_activations(score_store, monkeypatch):
    score = score_store.add()

    def with_activations(store, items=Store.items):
        yield from items(store)
        key = {"mode": "causal", "context_ms": 2000.0, "precision": "bf16"}
        yield StoredItem("activations", "x", (), {"key": key, "digest": score.key.activations[0]})

    monkeypatch.setattr(Store, "items", with_activations)
    (benchmark,) = collected(score_store)[0].values()
    assert benchmark.scores[0].label == "good (causal, 2 s context, bf16)"


def test_models_and_datasets_are_filters(score_store):
    score_store.add(model="good"), score_store.add(model="poor"), score_store.add(dataset="clips")
    assert [s.label for b in collect(score_store.config, ["poor"])[0] for s in b.scores] == ["poor"]
    assert [b.title for b in collect(score_store.config, [], ["clips"])[0]] == ["clips (4 splits)"]
    with pytest.raises(BadInput, match=r"unknown stored model 'god'; did you mean good"):
        collect(score_store.config, ["god"])
    with pytest.raises(BadInput, match=r"unknown stored dataset 'clip'; did you mean clips"):
        collect(score_store.config, [], ["clip"])
    with pytest.raises(BadInput, match="no stored score has these models on these datasets"):
        collect(score_store.config, ["poor"], ["clips"])


def test_a_joint_score_belongs_to_each_of_its_datasets(score_store):
    score_store.add(dataset="films+clips"), score_store.add(dataset="faces")
    for name in ("films", "clips"):
        assert [b.datasets for b in collect(score_store.config, [], [name])[0]] == [("films", "clips")]


def test_an_empty_store_is_bad_input(score_store):
    with pytest.raises(BadInput, match=r"no scores in .*results; run `dynamic-vision score` first"):
        collect(score_store.config)


def test_damaged_scores_are_reported_and_the_store_is_unchanged(score_store):
    short, cut, changed = (score_store.add(model=name) for name in ("short", "cut", "changed"))
    score_store.add(model="whole")
    value = score_store.path(short, ".nc")
    value.write_bytes(value.read_bytes()[:-4])
    score_store.path(cut, ".json").write_text("{")
    content = bytearray(score_store.path(changed, ".nc").read_bytes())
    content[-8] ^= 1
    score_store.path(changed, ".nc").write_bytes(content)
    before = {p: p.stat().st_mtime_ns for p in score_store.config.results_home.rglob("*")}

    (benchmark,), problems = collect(score_store.config)
    readable, damaged = readable_scores(benchmark, 5)
    assert [s.label for s in readable] == ["whole"]
    assert sorted(p.split(":")[0].split("-")[1] for p in [*problems, *damaged]) == ["changed", "cut", "short"]
    assert any("expected" in p for p in problems)
    assert {p: p.stat().st_mtime_ns for p in score_store.config.results_home.rglob("*")} == before


def test_titles_are_unique(score_store):
    for decoder in ("logistic", "ridge"):
        score_store.add(benchmark="task", options=(("decoder", decoder),))
    one, other = collected(score_store)[0]
    assert one.startswith("films (4 splits) [data ")
    assert one[:-1] == other[:-1]
    assert (one[-2:], other[-2:]) == ("#1", "#2")


def test_released_arrays_are_read_again(score_store):
    stored = score_store.add()
    (score,) = collect(score_store.config)[0][0].scores
    before = score.arrays["test"]
    assert len(score.best_per_unit["test"]) == 30
    score.release()
    assert not {"arrays", "best_per_unit"} & set(score.__dict__)
    np.testing.assert_array_equal(score.arrays["test"], before)
    np.testing.assert_array_equal(score.arrays["test"], stored.arrays()["test"])


def test_scores_of_an_earlier_format_are_reported(score_store):
    score_store.add(model="good")
    old = score_store.path(score_store.add(model="old"), ".json")
    manifest = read_json(old)
    del manifest["facts"]["headline"]
    old.write_bytes(encode_json(manifest))
    benchmarks, problems = collected(score_store)
    assert [s.label for b in benchmarks.values() for s in b.scores] == ["good"]
    assert problems == [f"{old.stem}: stored in an earlier format, without a headline; score the model again"]


def test_a_store_of_damaged_scores_is_bad_input(score_store):
    score_store.path(score_store.add(), ".nc").unlink()
    with pytest.raises(BadInput, match=r"no score can be read \(.*expected \d+\); run `dynamic-vision store verify`"):
        collect(score_store.config)
