import dataclasses
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.config import Config
from src.pipeline import Request
from src.pipeline.benchmarks import benchmarks
from src.pipeline.run import Run
from src.store import CeilingKey, Key, ScoreKey, key_digest, key_name


def score(options=(), **changed):
    base = ScoreKey("fmri", "r3d", ("a",), ("x",), ("d",), tuple(options))
    return replace(base, **changed)


def test_integers_and_floats_are_one_key(activation_key):
    same = replace(
        activation_key, context_ms=4000.0, fps=np.float32(25), bins_ms=[[0.0, 1e3], [1000, 2e3], [2000, 3000]]
    )
    assert same == activation_key
    assert key_digest(same) == key_digest(activation_key)


def test_options_are_typed_and_unordered():
    assert score([("gap", 10), ("hrf", True)]) == score([("hrf", True), ("gap", 10.0)])
    assert key_digest(score([("hrf", True)])) != key_digest(score([("hrf", 1)]))
    assert key_digest(score([("x", None)])) != key_digest(score([("x", "None")]))
    assert key_digest(score([("alphas", [1, 2])])) == key_digest(score([("alphas", (1.0, 2.0))]))


def test_large_seeds_keep_every_digit():
    assert key_digest(score([("seed", 2**63)])) != key_digest(score([("seed", 2**63 + 1)]))


def test_every_field_is_in_the_digest(activation_key, ceiling_key, score_key):
    other = {str: "other", int: 77, float: 77.0, bool: True, tuple: ()}
    for key in (activation_key, ceiling_key, score_key):
        digests = {key_digest(key)}
        for field in dataclasses.fields(key):
            value = getattr(key, field.name)
            digests.add(key_digest(replace(key, **{field.name: other.get(type(value), 77)})))
        assert len(digests) == len(dataclasses.fields(key)) + 1


def test_order_of_datasets_and_splitting_of_names_matter():
    keys = [score(datasets=names) for names in (("a", "b"), ("b", "a"), ("ab",), ("a+b",))]
    assert len({key_digest(key) for key in keys}) == 4


def test_classes_with_equal_fields_are_different_keys():
    @dataclass(frozen=True)
    class OtherKey(CeilingKey):
        pass

    assert key_digest(OtherKey(("a",), ("b",), 1, 2)) != key_digest(CeilingKey(("a",), ("b",), 1, 2))


def test_names_are_readable_and_safe(score_key):
    assert key_name(score_key).startswith("fmri-r3d-a+b-")
    assert len(key_name(score_key).rsplit("-", 1)[1]) == 16
    odd = key_name(score(model="../my models/net.py:make"))
    assert "/" not in odd
    assert len(key_name(score(datasets=("x" * 500,)))) <= 100


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"splits": 1.5}, "CeilingKey.splits: got 1.5; expected int"),
        ({"splits": True}, "CeilingKey.splits: got True"),
        ({"datasets": 3}, "CeilingKey.datasets: got 3; expected a sequence"),
        ({"runs": 3}, "CeilingKey.runs: got 3; expected str"),
    ],
)
def test_a_wrong_type_is_named(ceiling_key, changed, message):
    with pytest.raises(TypeError, match=message):
        replace(ceiling_key, **changed)


def test_other_wrong_values_raise(activation_key):
    for field, value in (
        ("fps", "25"),
        ("fps", float("nan")),
        ("layers", "conv1"),
        ("bins_ms", [(1, 2, 3)]),
        ("partial", 1),
    ):
        with pytest.raises(TypeError, match=f"ActivationKey.{field}"):
            replace(activation_key, **{field: value})
    with pytest.raises(TypeError, match="every option once"):
        score([("a", 1), ("a", 2)])
    with pytest.raises(TypeError, match="plain data"):
        score([("a", object())])


def test_a_field_of_an_unknown_type_raises():
    @dataclass(frozen=True)
    class BadKey(Key):
        values: dict

    with pytest.raises(TypeError, match="a key cannot hold"):
        BadKey({})


@given(st.floats(allow_nan=False), st.integers(-(2**53), 2**53), st.text())
def test_equal_keys_have_equal_digests(number, integer, text):
    options = [("number", number), ("integer", integer), ("text", text)]
    assert key_digest(score(options)) == key_digest(score([("integer", float(integer)), *options[::2]]))


def test_names_do_not_depend_on_the_process():
    code = (
        "from src.store import ScoreKey, key_name\n"
        "print(key_name(ScoreKey('fmri', 'r3d', ['a'], ['x'], ['d'], [('b', 1), ('a', 'é'), ('c', 0.1)])))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert names == {key_name(score([("a", "é"), ("b", 1.0), ("c", 0.1)])) + "\n"}


@pytest.mark.parametrize(
    ("benchmark", "dataset", "given", "changed"),
    [
        ("fmri", "fake-fmri", {"penalty": "rows"}, {"penalty_block_ms": 60_000.0}),
        ("fmri", "fake-fmri", {"penalty": "gcv"}, {"penalty_gap_ms": 20_000.0}),
        ("fmri", "fake-fmri", {"decoder": "banded", "penalty": "rows"}, {"penalty_block_ms": 60_000.0}),
        ("task", "fake-selfmotion", {}, {"alpha_per_target": True}),
    ],
)
def test_what_chooses_a_layer_or_a_penalty_is_in_the_key(tmp_path, benchmark, dataset, given, changed):
    """Blocks of film choose the layers of a nested design, whatever chooses the penalty."""
    config = Config(*[tmp_path / name for name in ("data", "activations", "results", "torch")], 1)
    options = []
    for more in ({}, changed):
        (made,) = benchmarks(Run(Request(benchmark, "fake-net", (dataset,), **given, **more), config))
        options.append(made.options())
    assert options[0] != options[1]
