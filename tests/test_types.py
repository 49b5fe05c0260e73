"""Types in which people have their data: brought into plain ones when a record is made, or refused in one line.

Each is scored, stored, loaded again, and written in every format of `--output`.
"""

import datetime
import json
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from src import api
from src.config import Config
from src.data.declare import Behaviour, Electrodes, Task
from src.records import Choices, Labels, Responses, Stimuli
from src.utils import BadInput, regular_bins
from tests.data.own_folders import classes, images

CARD = dict.fromkeys(("study", "citation", "licence", "access", "source"), "mine")
N = 24
NAMES = ["a,1", "b\n2", "ü", "d"]
DAY = datetime.date(2024, 1, 2)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return Config(*[home / name for name in ("data", "activations", "results", "torch")], 1)


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    images(folder, classes(N)[0])
    ids = tuple(f"i{k}" for k in range(N))
    return Stimuli("types", ids, [folder / f"image-{k}.png" for k in range(N)], np.full(N, 100.0), ("image",) * N)


@pytest.fixture(scope="module")
def values():
    brightness, rng = classes(N)[0], np.random.default_rng(0)
    return (brightness[:, None, None] + rng.normal(0, 0.05, (N, 2, 1, 4))).astype(np.float32)


def responses(stimuli, values, units=None, bins=None, subjects=("m", "m"), notes=None):
    bins = regular_bins(100, 100) if bins is None else bins
    return Responses(stimuli, values, bins, {"unit_id": NAMES} | (units or {}), subjects, notes or {})


def score(record, config, kind=Electrodes, **traits):
    declared = kind(name="types", load=lambda folder: record, **CARD, **traits)
    return api.score("fake-net", declared, config=config, layers=["colour"], splits=2, bootstrap=0)


def in_every_format(score, config, folder):
    """The table of a score, which is the same in the store and in every format."""
    table = score.to_dataframe()
    again = api.load(score.key, config=config).to_dataframe()
    pd.testing.assert_frame_equal(table, again)
    for suffix in ("csv", "json", "parquet", "nc"):
        score.write(folder / f"score.{suffix}")
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "score.parquet"), table)
    rows = json.loads((folder / "score.json").read_text())[0]["scores"]
    assert len(rows) == len(table) == len(pd.read_csv(folder / "score.csv"))
    assert set(rows[0]) | {"key", "commit", "options"} == set(table.columns)
    with xr.open_dataset(folder / "score.nc") as opened:
        np.testing.assert_allclose(opened["test"].values.ravel(), table["test"])
    return table


COLUMNS = {
    "None": (["V1", None, "V4", None], ["V1", "", "V4", ""]),
    "None among numbers": ([1, None, 3, 4], [1, np.nan, 3, 4]),
    "NaN among texts": (["V1", np.nan, "V4", "V4"], ["V1", "", "V4", "V4"]),
    "pandas NA": (pd.array([1, None, 3, 4], dtype="Int64"), [1, np.nan, 3, 4]),
    "nothing": ([None] * 4, [""] * 4),
    "mixed": ([1, "deep", 3.5, None], ["1", "deep", "3.5", ""]),
    "dates": ([DAY, DAY, None, DAY], ["2024-01-02", "2024-01-02", "", "2024-01-02"]),
    "times": ([datetime.datetime(2024, 1, 2, 3)] * 4, ["2024-01-02T03:00:00"] * 4),
    "datetime64": (np.array(["2024-01-01", "NaT"] * 2, "datetime64[ns]"), ["2024-01-01", ""] * 2),
    "pandas dates": (pd.Series(pd.to_datetime(["2024-01-02"] * 4), index=[3, 2, 1, 0]), ["2024-01-02"] * 4),
    "pairs": ([(1, 2), (3, 4), (5, 6), (7, 8)], ["[1, 2]", "[3, 4]", "[5, 6]", "[7, 8]"]),
    "array of pairs": (np.arange(8).reshape(4, 2), ["[0, 1]", "[2, 3]", "[4, 5]", "[6, 7]"]),
    "ragged": ([[1], [1, 2], [], [3]], ["[1]", "[1, 2]", "[]", "[3]"]),
    "truth values": ([True, False, True, True], [True, False, True, True]),
    "objects": (np.array([1, 2.5, 3, 4], object), [1, 2.5, 3, 4]),
    "categories": (pd.Categorical(["V1", "V1", "V4", "V4"]), ["V1", "V1", "V4", "V4"]),
    "series of another index": (pd.Series(["a", "b", "c", "d"], index=[7, 3, 2, 1]), ["a", "b", "c", "d"]),
    "masked array": (np.ma.masked_array([1.0, 2, 3, 4], [0, 1, 0, 0]), [1, np.nan, 3, 4]),
    "half precision": (np.array([1, 2, 3, 4], np.float16), [1, 2, 3, 4]),
    "bytes": ([b"a", b"b", b"c", b"d"], ["a", "b", "c", "d"]),
    "decimals": ([Decimal("1.5")] * 4, [1.5] * 4),
    "huge": ([2**70, 1, 2, 3], [str(2**70), "1", "2", "3"]),
    "numpy integers": (list(np.arange(4)), [0, 1, 2, 3]),
}


def test_columns_of_units(stimuli, values, config, tmp_path):
    record = responses(stimuli, values, {name: given for name, (given, _) in COLUMNS.items()})
    table = in_every_format(score(record, config), config, tmp_path)
    of_units = table.iloc[:: table["split"].max() + 1]
    for name, (_, expected) in COLUMNS.items():
        np.testing.assert_array_equal(of_units[f"target_{name}"].tolist(), expected, err_msg=name)
    # made once, a record stays as it is
    again = replace(record)
    assert again.digest == record.digest
    for name, column in record.units.items():
        np.testing.assert_array_equal(again.units[name], column)


def test_names_of_columns(stimuli, values, config, tmp_path):
    columns = {
        "x/y": [1, 2, 3, 4],
        7: list("abcd"),
        " peak (ms) ": [1.0, np.nan, 3, 4],
        "masked": [1, 2, 3, 4],
        "a\nb": [1, 2, 3, 4],
    }
    table = in_every_format(score(responses(stimuli, values, columns), config), config, tmp_path)
    assert {f"target_{name}" for name in ("x_y", "7", "peak (ms)", "a_b", "masked")} <= set(table.columns)
    with pytest.raises(BadInput, match=r"the unit table has two columns called 'x_y'; expected names that differ"):
        responses(stimuli, values, {"x/y": [1] * 4, "x_y": [1] * 4})
    with pytest.raises(BadInput, match=r"the unit table has a column without a name"):
        responses(stimuli, values, {" ": [1] * 4})


def test_repeated_unit_ids_are_numbered_and_said(stimuli, values, config, tmp_path):
    record = responses(stimuli, values, {"unit_id": ["a", "a", "a", "a (2)"]})
    assert list(record.units["unit_id"]) == ["a", "a (3)", "a (4)", "a (2)"]
    found = score(record, config)
    assert "types: unit ids that were repeated, numbered: a" in found.summary()
    assert set(in_every_format(found, config, tmp_path)["target_id"]) == set(record.units["unit_id"])


@pytest.mark.parametrize(
    "ids",
    [
        list(np.arange(N)),
        [float(k) for k in range(N)],
        [f"{k:03d}" for k in range(N)],
        ["NA", "nan", "None", "null", "1e5", "inf", "", " ", "a/b", 'q"', "ü,"] + [f"x{k}" for k in range(N - 11)],
        pd.Series([f"x{k}" for k in range(N)], index=range(N, 0, -1)),
    ],
    ids=["numpy int", "float", "zeros", "odd", "series"],
)
def test_ids_of_stimuli(stimuli, values, config, tmp_path, ids):
    shown = replace(stimuli, ids=ids)
    assert all(type(i) is str for i in shown.ids)
    assert (
        shown.ids[0] == {int: "0", float: "0"}.get(type(ids[0]), str(ids[0]))
        if not isinstance(ids, pd.Series)
        else True
    )
    found = score(responses(shown, values), config)
    in_every_format(found, config, tmp_path)
    assert found.facts["layers"][0]["test"] > 0.9


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.astype(object),
        lambda v: (100 * v).astype(np.uint8),
        lambda v: v.astype(np.float16),
        lambda v: np.ma.masked_array(v, np.zeros(v.shape, bool)),
        lambda v: np.where(np.arange(N)[:, None, None, None] > 0, v, None),
        lambda v: v > 0.5,
    ],
    ids=["object", "uint8", "float16", "masked", "None", "bool"],
)
def test_values_of_responses(stimuli, values, config, tmp_path, change):
    found = score(responses(stimuli, change(values)), config)
    in_every_format(found, config, tmp_path)
    assert found.facts["layers"][0]["test"] > 0.6


def test_a_masked_value_was_not_recorded(stimuli, values):
    mask = np.zeros(values.shape, bool)
    mask[3, 0, 0, 1] = True
    record = responses(stimuli, np.ma.masked_array(values, mask))
    assert np.isnan(record.values[mask]).all()
    assert np.isfinite(record.values[~mask]).all()


REFUSED = {
    "text": ({"values": str}, r"responses are of type <U\d+; expected real numbers"),
    "complex": ({"values": complex}, r"responses are of type complex128; expected real numbers"),
    "bins before 0": ({"bins": np.array([[-100.0, 0.0]])}, r"time bins start at -100 ms, before the stimulus; exp"),
    "bins across 0": ({"bins": np.array([[-50.0, 50.0]])}, r"time bins start at -50 ms, before the stimulus"),
    "bins unsorted": ({"bins": np.array([[100.0, 0.0]])}, r"time bins do not increase"),
    "bins unknown": ({"bins": np.array([[0.0, np.nan]])}, r"time bins without start or end"),
    "no unit id": ({"units": {"unit_id": ["a", None, "c", "d"]}}, r"unit ids: none at position 1 \(from 0\)"),
    "no subject": ({"subjects": ("m", None)}, r"subjects: none at position 1"),
    "functions": ({"units": {"f": [print] * 4}}, r"the unit table, column 'f' has an entry of type builtin_func"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_when_the_record_is_made(stimuli, values, name):
    change, expected = REFUSED[name]
    change = change | {"values": values.astype(change.get("values", np.float32))}
    with pytest.raises(BadInput, match=expected) as error:
        responses(stimuli, **change)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("types: ")
    mixed = values.astype(object)
    mixed[0, 0, 0, 0] = "x"
    with pytest.raises(BadInput, match=r"types: responses are not numbers \(.*'x'\); expected numbers, NaN for none"):
        responses(stimuli, mixed)


def test_subjects_and_notes_are_plain(stimuli, values, config, tmp_path):
    notes = {"n": np.int64(3), 4: np.float32(0.5), "day": DAY, "list": [np.int8(1)], "set": {"b", "a"}, "none": None}
    found = score(responses(stimuli, values, subjects=(1, np.int64(2)), notes=notes), config)
    in_every_format(found, config, tmp_path)
    assert found.facts["data"]["types"] == {
        "n": 3, "4": 0.5, "day": "2024-01-02", "list": [1], "set": '["a", "b"]', "none": None
    }  # fmt: skip


CLASSES = {
    "text": lambda codes: np.array(list("abcd"))[codes],
    "int": lambda codes: codes,
    "int8": lambda codes: codes.astype(np.int8),
    "bool": lambda codes: codes > 1,
    "objects": lambda codes: np.array([["a", 1, 2.5, DAY][k] for k in codes], object),
    "categories": lambda codes: pd.Categorical(np.array(list("abcd"))[codes]),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_labels(stimuli, config, tmp_path, name):
    made = CLASSES[name](np.arange(N) % 4)
    record = Labels(stimuli, np.asarray(made)[:, None], ("quadrant",), notes={"n": np.int64(1)})
    found = score(record, config, Task)
    in_every_format(found, config, tmp_path)
    assert found.facts["layers"][0]["test"] > 0.8  # of 24 images, of which the two halves of `bool` are hardest
    with pytest.raises(BadInput, match=r"1 stimuli have no label \(i1\)"):
        Labels(stimuli, np.array(["a", None, *["b"] * (N - 2)], object)[:, None], ("quadrant",))


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_choices(stimuli, config, tmp_path, name):
    rng, shown = np.random.default_rng(0), np.arange(N).repeat(10)
    truth = CLASSES[name](shown % 4)
    choice = np.where(
        rng.uniform(size=len(shown)) < 0.7, np.asarray(truth), CLASSES[name](rng.integers(0, 4, len(shown)))
    )
    trials = {"stimulus_id": np.array(stimuli.ids)[shown], "truth": truth, "choice": choice, "subject": shown % 2}
    record = Choices(stimuli, trials, list(dict.fromkeys(list(truth))), None)
    assert all(type(c) is str for c in record.classes)
    found = score(record, config, Behaviour, metric="I2n")
    in_every_format(found, config, tmp_path)
    assert found.facts["notes"]["human accuracy"] > 0.6


def test_choices_refuse_what_is_missing(stimuli):
    trials = {"stimulus_id": ["i0", "i1"], "truth": ["a", "b"], "choice": ["a", None], "subject": [1, 2]}
    with pytest.raises(BadInput, match="choice of the trials: none at position 1"):
        Choices(stimuli, trials, ("a", "b"), None)
    with pytest.raises(BadInput, match="the trials have no column subject"):
        Choices(stimuli, {k: v for k, v in trials.items() if k != "subject"}, ("a", "b"), None)
    trials |= {"choice": ["a", "b"], "distractor": ["b", "c"]}
    with pytest.raises(BadInput, match="distractor 'c' is not a class; expected one of a, b"):
        Choices(stimuli, trials, ("a", "b"), None)


def test_a_missing_region_is_called_so(stimuli, values, config):
    found = score(responses(stimuli, values, {"region": ["V1", None, "", np.nan]}), config)
    assert re.findall(r"^(\S+(?: \S+)?)  +\w+  +(\d) ", found.summary(), re.M)[-2:] == [("V1", "1"), ("no region", "3")]


def test_arrays_of_a_notebook_keep_what_is_missing(stimuli, values):
    mask = np.zeros(values.shape, bool)
    mask[3, 0, 0, 1] = True
    record = api.data.arrays.responses(stimuli, np.ma.masked_array(values, mask), bin_ms=100)
    assert np.isnan(record.values).sum() == 1
    with pytest.raises(BadInput, match=r"1 stimuli have no label \(i1\)"):
        api.data.arrays.labels(stimuli, ["a", None, *["b"] * (N - 2)])
    with pytest.raises(BadInput, match=r"groups have none for 1 stimuli \(i2\); state one for each"):
        api.data.arrays.labels(stimuli, list("ab") * (N // 2), groups=[0, 1, None, *range(N - 3)])
    with pytest.raises(BadInput, match="stimulus ids: none at position 0"):
        api.data.arrays.stimuli(stimuli.paths[:1], ids=[None])
