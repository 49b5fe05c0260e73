import subprocess
import sys

import pytest

from src.store import Entry, environment, key_name
from src.utils import BadInput


def fail_if_called(*_):
    raise AssertionError("computed")


@pytest.mark.parametrize(
    "value", ["", "0", "1", "dynamic_vision.score", "a,dynamic_vision.ceiling/x", "dynamic", "other", "a,"]
)
@pytest.mark.parametrize("identifier", ["dynamic_vision.score/a", "dynamic_vision.ceiling/x-1", "brainscore.f/a"])
def test_the_variables_mean_what_result_caching_means(value, identifier, monkeypatch):
    result_caching = pytest.importorskip("result_caching")
    monkeypatch.setenv("RESULTCACHING_DISABLE", value)
    monkeypatch.setenv("RESULTCACHING_CACHEDONLY", value)
    assert environment.is_enabled(identifier) == result_caching.is_enabled(identifier)
    assert environment.is_cached_only(identifier) == result_caching.cached_only(identifier)


def test_disabled_reads_and_writes_nothing(store, ceiling_key, entry, config, monkeypatch):
    store.fetch(ceiling_key, lambda: entry)
    monkeypatch.setenv("RESULTCACHING_DISABLE", "dynamic_vision.ceiling")
    assert store.fetch(ceiling_key, lambda: Entry({}, {"n": (1,)})).facts == {"n": [1]}
    assert store.find(ceiling_key) is None
    assert not store.holds(ceiling_key)
    monkeypatch.delenv("RESULTCACHING_DISABLE")
    assert store.fetch(ceiling_key, fail_if_called).facts == entry.facts


def test_only_some_kinds_can_be_disabled(store, ceiling_key, score_key, entry, monkeypatch):
    monkeypatch.setenv("RESULTCACHING_DISABLE", "dynamic_vision.score")
    store.fetch(ceiling_key, lambda: entry)
    store.fetch(score_key, lambda: entry)
    assert store.find(ceiling_key) is not None
    monkeypatch.delenv("RESULTCACHING_DISABLE")
    assert store.find(score_key) is None


def test_disabled_activations_are_in_a_folder_that_the_process_removes(tmp_path):
    code = (
        "import os; from pathlib import Path; import numpy as np\n"
        "from src.config import Config; from src.store import ActivationKey, Store\n"
        f"p = Path({str(tmp_path)!r}); s = Store(Config(p, p / 'a', p / 'r', p, 1))\n"
        "k = ActivationKey('m', 'd', ('l',), 's', ((0, 1),), False, 'block', 1, 'fp32', None, 1)\n"
        "def fill(sink): sink.write(0, 'l', 0, np.ones((1, 2))); sink.finish(0, 1)\n"
        "a = s.activations(k, {'l': 2}, ['x'], fill)\n"
        "assert not (p / 'a').exists() and a.layers['l'].tolist() == [[[1, 1]]]\n"
        "assert not s.holds(k)\n"
        "if os.fork() == 0: raise SystemExit\n"
        "os.wait()\n"
        "assert Path(a.layers['l'].filename).exists()\n"
        "print(a.layers['l'].filename)\n"
    )
    env = {"RESULTCACHING_DISABLE": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "dynamic-vision-"))
    assert list(tmp_path.iterdir()) == []


def test_cached_only_reads_and_names_what_is_missing(store, ceiling_key, entry, monkeypatch):
    from dataclasses import replace

    monkeypatch.setenv("RESULTCACHING_CACHEDONLY", "1")
    with pytest.raises(BadInput, match=r"dynamic_vision.ceiling/fake-fmri-.* \(nothing of its kind is stored\)"):
        store.fetch(ceiling_key, fail_if_called)
    monkeypatch.delenv("RESULTCACHING_CACHEDONLY")
    store.fetch(ceiling_key, lambda: entry)
    monkeypatch.setenv("RESULTCACHING_CACHEDONLY", "1")
    assert store.fetch(ceiling_key, fail_if_called).facts == entry.facts
    with pytest.raises(BadInput, match=r"differs in splits \(wanted 7, stored 10\)"):
        store.fetch(replace(ceiling_key, splits=7), fail_if_called)
    with pytest.raises(BadInput, match="it is stored, but may not be used"):
        store.fetch(ceiling_key, fail_if_called, rerun=True)


def test_cached_only_activations(store, activation_key, extractor, config, monkeypatch):
    from dataclasses import replace

    store.activations(activation_key, extractor.sizes, extractor.ids, extractor)
    monkeypatch.setenv("RESULTCACHING_CACHEDONLY", "1")
    extractor.check(store.activations(activation_key, extractor.sizes, extractor.ids, fail_if_called))
    other = replace(activation_key, mode="causal", context_ms=2000)
    with pytest.raises(
        BadInput, match=r"mode \(wanted causal, stored block\), context_ms \(wanted 2000.0, stored 4000.0\)"
    ):
        store.activations(other, extractor.sizes, extractor.ids, fail_if_called)


def test_nearest_names_the_differing_fields(store, score_key, entry):
    from dataclasses import replace

    store.fetch(score_key, lambda: entry)
    store.fetch(replace(score_key, model="other", datasets=("c",)), lambda: entry)
    wanted = replace(score_key, options=(("gap_ms", 0), ("seed", 3), ("audit", True)))
    differences = [("options.audit", True, "(absent)"), ("options.gap_ms", 0.0, 10000.0)]
    for key, expected in ((wanted, differences), (score_key, [])):
        item, found = store.nearest(key)
        assert (item.name, found) == (key_name(score_key), expected)
