"""Pickles from a download: the same content as from the pickle module, without executing anything."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.fmri import unpickle
from src.utils import BadInput

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"vid{k:04d}" for k in range(1, 7)]


def dumped(tmp_path, value, protocol=4):
    path = tmp_path / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f8", "<i2", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_and_names_are_what_pickle_reads(tmp_path, protocol, dtype, order):
    values = np.asarray(np.arange(6 * 3 * 40).reshape(6, 3, 40) % 7, dtype=dtype, order=order)
    array, names = unpickle.read(dumped(tmp_path, (values, NAMES), protocol))
    assert array.dtype == values.dtype
    assert np.array_equal(array, values)
    assert names == NAMES
    assert array.flags.c_contiguous == values.flags.c_contiguous


def test_the_array_stays_in_the_file_and_is_read_only(tmp_path):
    array, _ = unpickle.read(dumped(tmp_path, (np.zeros((6, 2, 5000)), NAMES)))
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_sliced_array_and_names_as_an_array(tmp_path, protocol):
    values = np.arange(240.0).reshape(6, 40)[::2, 1::3]
    array, names = unpickle.read(dumped(tmp_path, [values, np.array(NAMES)], protocol))
    assert np.array_equal(array, values)
    assert names.tolist() == NAMES


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_texts_and_numbers(tmp_path, protocol):
    value = [np.str_("vid0001"), np.float64(2.5), np.int64(7)]
    found = unpickle.read(dumped(tmp_path, value, protocol))
    assert found == ["vid0001", 2.5, 7]
    assert all(type(item) in (str, float, int) for item in found)


def test_pickles_of_numpy_2_name_another_module(tmp_path):
    path = dumped(tmp_path, (np.arange(9.0), NAMES), 2)
    path.write_bytes(path.read_bytes().replace(b"cnumpy.core.", b"cnumpy._core."))
    assert np.array_equal(unpickle.read(path)[0], np.arange(9.0))


class RunsCode:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("call", "named"), [(os.system, r"(posix|nt)\.system"), (eval, r"builtins\.eval"), (exec, r"builtins\.exec")]
)
def test_globals_that_would_run_code_are_refused_by_name(tmp_path, protocol, call, named):
    trap = tmp_path / "ran"
    argument = f"touch {trap}" if call is os.system else f"open({str(trap)!r}, 'w')"
    value = (np.arange(4.0), [*NAMES, RunsCode(call, argument)])
    path = dumped(tmp_path, value, protocol)
    if protocol == 2 and call is not os.system:
        named = named.replace("builtins", "__builtin__")
    with pytest.raises(BadInput, match=rf"contains {named}; expected lists, texts and numeric arrays"):
        unpickle.read(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.array([{}, 1], dtype=object), "an array of dtype 'O8'"),
        (np.zeros(3, dtype=[("a", "f8")]), "an array of dtype 'V8'"),
        (np.ma.masked_array([1.0]), r"numpy\.ma"),
        (Path("a"), r"pathlib\."),
        (np.memmap, "numpy"),
        (np.dtype("f8"), "a bare _Type"),
        (np.ndarray, "a bare _ndarray"),
        ({1, 2}, "pickle instruction"),
    ],
)
def test_other_values_are_refused(tmp_path, value, named):
    with pytest.raises(BadInput, match=named):
        unpickle.read(dumped(tmp_path, [value]))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, share):
    path = dumped(tmp_path, (np.zeros((6, 2, 5000)), NAMES))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadInput, match=r"value\.pkl.*(ends after|ends within|is empty).*fetch it again"):
        unpickle.read(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(0, 200))
def test_whatever_bytes_a_file_has_end_in_a_value_or_bad_input(tmp_path_factory, noise, place):
    whole = pickle.dumps((np.arange(8.0), NAMES[:2]), protocol=4)
    path = tmp_path_factory.getbasetemp() / "noise.pkl"
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        found = unpickle.read(path)
    except BadInput as error:
        found = str(error) if "noise.pkl" in str(error) else None
    assert not isinstance(found, type)


def test_a_block_of_a_large_file_takes_little_memory(tmp_path):
    path = tmp_path / "large.pkl"
    with open(path, "wb") as handle:
        pickle.dump((np.ones((40, 4, 163842)), NAMES), handle, protocol=4)
    program = (
        "import resource, sys; from pathlib import Path; from src.data.fmri import unpickle\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "array, _ = unpickle.read(Path(sys.argv[1])); total = float(array[7].sum())\n"
        "print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    total, grown_kib = map(float, done.stdout.split())
    assert total == 4 * 163842
    assert path.stat().st_size > 200e6
    assert grown_kib < 20_000


def doubled(levels: int) -> bytes:
    """Pickle of a list of two references to a list of two references, and so on: 2**levels items when unfolded."""
    start = b"\x80\x02" + b"]q\x00"
    for k in range(1, levels + 1):
        start += b"]q" + bytes([k]) + b"(h" + bytes([k - 1]) + b"h" + bytes([k - 1]) + b"e"
    return start + b"."


def test_an_object_is_converted_once_however_often_it_is_referred_to(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(doubled(60))
    found = unpickle.read(path)
    for _ in range(60):
        assert found[0] is found[1]
        found = found[0]
    assert found == []


def bomb_of_references(text_bytes: int, n: int) -> bytes:
    text = b"X" + text_bytes.to_bytes(4, "little") + b"a" * text_bytes + b"q\x00"
    encode = b"c_codecs\nencode\nq\x01"
    call = b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R"
    return b"\x80\x02" + text + encode + b"(" + call * n + b"t."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02]q\x00h\x00a.", "a list that contains itself"),
        (bomb_of_references(1_000_000, 1000), "texts and small values of more than"),
        (b"\x80\x02" + b"N" * 5_000_000 + b".", "more than 4194304 instructions"),
        (b"\x80\x02" + b"(" * 300_000 + b"t" * 300_000 + b".", "no sound pickle"),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "no sound pickle"),
        (b"\x80\x02t.", "no mark"),
    ],
)
def test_a_pickle_made_to_exhaust_the_machine_is_refused_soon(tmp_path, content, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(BadInput, match=message):
        unpickle.read(path)
    assert time.monotonic() - start < 20
