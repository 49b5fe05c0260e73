"""Faults of a user's folder: `data check` prints each in one line with file and row, exits with 2, writes nothing."""

import re
import shutil

import numpy as np
import pytest
import xarray as xr

from src.cli import main
from tests.data.own_folders import KINDS, electrodes, write_table


@pytest.fixture(scope="module")
def correct(tmp_path_factory):
    """A correct folder of each kind."""
    place = tmp_path_factory.mktemp("correct")
    electrodes(place / "electrodes", n=6)
    for kind in ("task", "behaviour", "fmri"):
        KINDS[kind](place / kind)
    return place


@pytest.fixture
def folder(correct, tmp_path, monkeypatch):
    """Return a copy of the folder of a kind."""
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def copy(kind):
        return shutil.copytree(correct / kind, tmp_path / "mine")

    return copy


def replace(file, old, new, count=1):
    """Edit of a file: a regular expression is replaced."""

    def edit(folder):
        text = (folder / file).read_text()
        changed = re.sub(old, new, text, count=count, flags=re.M)
        assert changed != text
        (folder / file).write_text(changed)

    return edit


def write(file, content):
    """Edit of a file: other content."""
    return lambda folder: (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(file):
    return lambda folder: (folder / file).unlink()


def toml(line):
    """Edit of dataset.toml: one more line."""
    return replace("dataset.toml", r"\Z", line + "\n")


def recoded(file, encoding, old="", new=""):
    return lambda folder: (folder / file).write_bytes((folder / file).read_text().replace(old, new).encode(encoding))


def renamed(file, name):
    return lambda folder: (folder / file).rename(folder / name)


def array(change):
    """Edit of responses.npy: a function of its array."""
    return lambda folder: np.save(folder / "responses.npy", change(np.load(folder / "responses.npy")))


def with_value(index, value):
    def change(values):
        values[index] = value
        return values

    return array(change)


def as_table(change=lambda table: table, form="long", keep=True):
    """Edit: the responses as a table, long or wide, with times in s; `change` receives its columns."""

    def edit(folder):
        values = np.load(folder / "responses.npy")
        stimulus, repetition, time, unit = (index.ravel() for index in np.indices(values.shape))
        units = ["ul", "ur", "ll", "lr", "noise"]
        if form == "long":
            table = {"unit_id": [units[k] for k in unit], "value": values.ravel().tolist()}
        else:
            stimulus, repetition, time = (index[unit == 0] for index in (stimulus, repetition, time))
            table = dict(zip(units, values.reshape(-1, 5).T.tolist(), strict=True))
        ids = {"stimulus_id": [f"{k:03d}" for k in stimulus], "repetition": (repetition + 1).tolist()}
        write_table(folder / "responses.csv", change(ids | {"time": (time / 10).tolist()} | table))
        (folder / "responses.npy").unlink()
        if keep:
            toml('time_unit = "s"')(folder)

    return edit


def cell(column, row, value):
    def change(table):
        return table | {column: [value if k == row else v for k, v in enumerate(table[column])]}

    return change


def moved(by):
    return lambda table: table | {"time": [value + by for value in table["time"]]}


def as_netcdf(change=lambda dataset: dataset, keep=True):
    """Edit: the responses as netCDF, with time in s; `change` receives the xarray Dataset."""

    def edit(folder):
        values = np.load(folder / "responses.npy")
        dims = ("stimulus", "repetition", "time", "unit")
        coords = {"stimulus": [f"{k:03d}" for k in range(len(values))], "time": np.arange(values.shape[2]) / 10}
        change(xr.Dataset({"responses": (dims, values)}, coords)).to_netcdf(folder / "responses.nc")
        (folder / "responses.npy").unlink()
        if keep:
            toml('time_unit = "s"')(folder)

    return edit


def added_column(name, cells, unit="s"):
    """Edit: a column of stimuli.csv that is empty but for the cells {path: content}."""

    def edit(folder):
        header, *rows = (folder / "stimuli.csv").read_text().splitlines()
        rows = [f"{row},{cells.get(row.rpartition(',')[2], '')}" for row in rows]
        (folder / "stimuli.csv").write_text("\n".join([f"{header},{name}", *rows]))
        if unit:
            toml(f'time_unit = "{unit}"')(folder)

    return edit


def all_of(*edits):
    return lambda folder: [edit(folder) for edit in edits]


def two_trials(folder):
    """Trials with a distractor, of three classes."""
    write("trials.csv", "stimulus_id,truth,choice,distractor\n" + "".join(DISTRACTED))(folder)


DISTRACTED = [f"i{k},{['ul', 'ur', 'll'][k % 4]},{['ul', 'ur', 'll'][k % 4]},lr\n" for k in range(12) if k % 4 < 3]
DISTRACTED += [f"i{k},lr,ul,ul\n" for k in (3, 7)]
FAULTS = {
    # dataset.toml
    "no toml": ("electrodes", remove("dataset.toml"), r"dataset.toml: there is no such file; make it with `data new"),
    "toml syntax": ("electrodes", toml("note = mine"), r"dataset.toml, line 4: is not TOML: .*; write KEY = VALUE"),
    "toml twice": ("electrodes", toml('name = "b"'), r"dataset.toml, line 4: is not TOML: .*each key once"),
    "toml latin-1": ("electrodes", recoded("dataset.toml", "latin-1", "my", "m\xfc"), r"dataset.toml: is not UTF-8"),
    "unknown key": ("electrodes", toml('citaton = "x"'), r"unknown key citaton; rename it to citation"),
    "key of another kind": ("electrodes", toml('tr = "1 s"'), r"tr is a key of the kind fmri, not of electrodes"),
    "no kind": ("electrodes", replace("dataset.toml", "^kind.*\n", ""), r"states no kind; write kind = one of fmri, "),
    "kind misspelt": ("electrodes", replace("dataset.toml", "electrodes", "electrode"), r'; write kind = "electrodes"'),
    "no name": ("electrodes", replace("dataset.toml", "^name.*\n", ""), r'states no name; write name = "..."'),
    "name is a path": ("electrodes", replace("dataset.toml", "my-", "/home/me/"), r"name = '/home/me/recording'; "),
    "no width": (
        "electrodes",
        replace("dataset.toml", "^bin_w.*\n", ""),
        r"states no bin_width, .*; write bin_width =",
    ),
    "width without unit": ("electrodes", replace("dataset.toml", '"100 ms"', "100"), r"bin_width = 100; write a time"),
    "width of 0": (
        "electrodes",
        replace("dataset.toml", "100 ms", "0 ms"),
        r"bin_width = '0 ms'; write a time above 0",
    ),
    "start before 0": ("electrodes", toml('start = "-100 ms"'), r"start = '-100 ms', before the onset .*leave out"),
    "no such fit": ("electrodes", toml('fit = "units"'), r"fit = 'units'; write one of stimuli, per unit"),
    "truth value in quotes": ("task", toml('static = "true"'), r"static = 'true'; write true or false, without quotes"),
    "no such axis": ("electrodes", toml('axes = ["image", "unit"]'), r"axes = .*; name each axis once, of stimulus, "),
    "too few axes": (
        "electrodes",
        toml('axes = ["stimulus", "unit"]'),
        r"4 dimensions, .*, but axes names 2; name every",
    ),
    "metric and decoder": ("task", toml('metric = "accuracy"\ndecoder = "ridge"'), r"decoder ridge with metric accur"),
    # tables
    "no stimuli": ("electrodes", remove("stimuli.csv"), r"stimuli.csv: there is no such file; write it"),
    "spreadsheet": (
        "electrodes",
        renamed("stimuli.csv", "stimuli.xlsx"),
        r"stimuli.xlsx: is a spreadsheet; save it as",
    ),
    "spreadsheet as csv": (
        "electrodes",
        write("stimuli.csv", b"PK\x03\x04x"),
        r"is a spreadsheet in spite of its name",
    ),
    "utf-16": ("electrodes", recoded("stimuli.csv", "utf-16"), r"stimuli.csv: is not UTF-8 text \(UTF-16 or binary\)"),
    "latin-1": ("electrodes", recoded("stimuli.csv", "latin-1", "003", "\xfc"), r"csv, line 5: byte 0xfc is not UTF-8"),
    "semicolons": (
        "electrodes",
        recoded("stimuli.csv", "utf-8", ",", ";"),
        r"line 1: is separated by semicolons; save",
    ),
    "tabs": ("electrodes", recoded("units.csv", "utf-8", ",", "\t"), r"units.csv, line 1: is separated by tabs; save"),
    "empty table": (
        "electrodes",
        write("stimuli.csv", ""),
        r"stimuli.csv: is empty; write a header line with stimulus_i",
    ),
    "header only": (
        "electrodes",
        write("stimuli.csv", "stimulus_id,path\n"),
        r"has a header but no row; write a line per",
    ),
    "no column": (
        "electrodes",
        replace("stimuli.csv", "path", "film"),
        r"has no column path, only stimulus_id, film; add",
    ),
    "column misspelt": (
        "electrodes",
        replace("stimuli.csv", "stimulus_id", "stimulus"),
        r"rename stimulus to stimulus_id",
    ),
    "column twice": (
        "electrodes",
        replace("units.csv", "region", "unit_id"),
        r"two columns are called unit_id; rename",
    ),
    "column with its unit": (
        "electrodes",
        added_column("onset_s", {}),
        r"has a column onset_s, which is not read; rename",
    ),
    "ragged row": (
        "electrodes",
        replace("stimuli.csv", "(film-2.*)", r"\1,x"),
        r"line 4: 3 cells, but the header has 2",
    ),
    "open quote": (
        "electrodes",
        replace("stimuli.csv", "film-2", '"film-2'),
        r"cannot be read as CSV \(.*\); save it as",
    ),
    "id twice": (
        "electrodes",
        replace("stimuli.csv", "^003", "002"),
        r"line 5: stimulus_id 002 is in line 4 too; give",
    ),
    "no id": ("electrodes", replace("stimuli.csv", "^003", ""), r"stimuli.csv, line 5: stimulus_id is empty; write a"),
    # stimuli
    "no film": (
        "electrodes",
        replace("stimuli.csv", "film-2", "x/y"),
        r"line 4: there is no file x/y.mkv; put it there",
    ),
    "film in capitals": (
        "electrodes",
        replace("stimuli.csv", "film-2", "Film-2"),
        r"no file Film-2.mkv, but film-2.mkv;",
    ),
    "backslash": (
        "electrodes",
        replace("stimuli.csv", "film-2", r"a\\film-2"),
        r"line 4: .*; write / between the folders",
    ),
    "no path": (
        "electrodes",
        replace("stimuli.csv", "film-2.mkv", ""),
        r"line 4: path is empty; write the path of a film",
    ),
    "path of a folder": ("electrodes", replace("stimuli.csv", "film-2.mkv", "."), r"line 4: . is a folder; write the"),
    "empty film": ("electrodes", write("film-2.mkv", b""), r"line 4: film-2.mkv the file is empty; put a whole film"),
    "text as film": ("electrodes", write("film-2.mkv", "text"), r"line 4: film-2.mkv cannot be read as a film .*; put"),
    "cut film": (
        "electrodes",
        lambda f: (f / "film-2.mkv").write_bytes((f / "film-2.mkv").read_bytes()[:4000]),
        r"line 4: fi",
    ),
    "text as image": (
        "task",
        write("image-2.png", "text"),
        r"line 4: image-2.png cannot be read as an image .*; put a",
    ),
    "image with a duration": (
        "task",
        added_column("duration", {"image-2.png": "5"}),
        r"line 4: an image has the duration",
    ),
    "piece without unit": (
        "electrodes",
        added_column("onset", {"film-2.mkv": "0"}, unit=""),
        r"column.? onset without a",
    ),
    "piece behind the film": (
        "electrodes",
        added_column("onset", {"film-2.mkv": "5"}),
        r"line 4: the piece from 5 s to .*",
    ),
    "piece before the film": (
        "electrodes",
        added_column("onset", {"film-2.mkv": "-1"}),
        r"line 4: onset is -1; write the",
    ),
    "piece of no number": (
        "electrodes",
        added_column("duration", {"film-2.mkv": "long"}),
        r"duration is 'long'; write a nu",
    ),
    "no such kind of stimulus": (
        "electrodes",
        added_column("kind", {"film-2.mkv": "film"}),
        r"kind is 'film'; write image",
    ),
    # responses
    "no responses": (
        "electrodes",
        remove("responses.npy"),
        r"responses.npy: there is no such file; write responses.npy",
    ),
    "two responses": (
        "electrodes",
        write("responses.csv", "a"),
        r"responses.npy and responses.csv: .*; keep one of them",
    ),
    "mat file": (
        "electrodes",
        renamed("responses.npy", "responses.mat"),
        r"responses.mat: is of no known format; save",
    ),
    "damaged array": ("electrodes", write("responses.npy", "x"), r"responses.npy: .*; save an array of numbers with"),
    "objects": ("electrodes", array(lambda v: v.astype(object)), r"responses.npy: holds Python objects; save an array"),
    "texts": (
        "electrodes",
        array(lambda v: v.astype(str)),
        r"responses.npy: holds values of type <U.*; save real numb",
    ),
    "complex": ("electrodes", array(lambda v: v + 1j), r"responses.npy: holds values of type complex128; save real"),
    "five dimensions": (
        "electrodes",
        array(lambda v: v[..., None]),
        r"has 5 dimensions, 6 x 2 x 10 x 5 x 1; save stimul",
    ),
    "a stimulus too few": (
        "electrodes",
        array(lambda v: v[1:]),
        r"has 5 stimuli, but stimuli.csv has 6; write a row of",
    ),
    "axes in another order": ("electrodes", array(lambda v: v.transpose(3, 1, 2, 0)), r'write axes = \["unit", "'),
    "a unit too many": (
        "electrodes",
        replace("units.csv", r"\Z", "x,V1\n"),
        r"has 6 units, but responses.npy has 5 on its",
    ),
    "nan everywhere": (
        "electrodes",
        array(lambda v: v * np.nan),
        r"responses.npy: holds no number: NaN everywhere; save",
    ),
    "infinite": (
        "electrodes",
        with_value((3, 0, 0, 1), np.inf),
        r"1 values are infinite, first at stimulus 003, unit ur;",
    ),
    "unit without value": (
        "electrodes",
        with_value((..., 2), np.nan),
        r"1 units have no value: ll; remove them, also in",
    ),
    "repetition without value": (
        "electrodes",
        with_value((slice(None), 1), np.nan),
        r"repetition 2 has no value; remove",
    ),
    "bins too wide": (
        "electrodes",
        replace("dataset.toml", "100 ms", "1 s"),
        r"10 bins of 1000 ms end at 10 s, but the st",
    ),
    "TR too short": (
        "fmri",
        replace("dataset.toml", "1 s", "1 ms"),
        r"240 bins of 1 ms end at 0.24 s, .*; correct tr in",
    ),
    "runs too few": (
        "fmri",
        replace("runs.csv", "^2.*\n", ""),
        r"has 1 repetitions, but responses.npy, .*, has 2; write",
    ),
    "unit twice": (
        "electrodes",
        replace("units.csv", "^ur", "ul"),
        r"units.csv, line 3: unit_id ul is in line 2 too; gi",
    ),
    "no such hemisphere": ("fmri", replace("units.csv", ",L,", ",x,"), r"units.csv, line 2: hemi is 'x'; write L or R"),
    "no such vertex": (
        "fmri",
        replace("units.csv", ",5$", ",20000"),
        r"line 2: vertex is '20000'; write a vertex of fsav",
    ),
    # responses as tables
    "long: unknown stimulus": (
        "electrodes",
        as_table(lambda t: {k: [*v, {"stimulus_id": "zz"}.get(k, v[0])] for k, v in t.items()}),
        r"responses.csv: stimulus zz is not in stimuli.csv; add it to stimuli.csv, or",
    ),
    "long: no response": (
        "electrodes",
        as_table(lambda t: {k: v[100:] for k, v in t.items()}),
        r"stimulus 000 has no re",
    ),
    "long: text": ("electrodes", as_table(cell("value", 3, "high")), r"csv, line 5: value is 'high'; write a number"),
    "long: decimal comma": (
        "electrodes",
        as_table(cell("value", 3, "0,5")),
        r"line 5: value is '0,5'; write a point bef",
    ),
    "long: twice": (
        "electrodes",
        as_table(lambda t: {k: [*v, v[0]] for k, v in t.items()}),
        r"the same stimulus, bin and",
    ),
    "long: before 0": (
        "electrodes",
        as_table(moved(-0.2)),
        r"time -0.2 is before the onset of the stimulus; leave out",
    ),
    "long: no unit of time": ("electrodes", as_table(keep=False), r"has times without a unit; write time_unit = "),
    "long: no unit_id": (
        "electrodes",
        as_table(lambda t: {k: v for k, v in t.items() if k != "unit_id"}),
        r"has a column value, but none unit_id; ",
    ),
    "wide: gap": (
        "electrodes",
        as_table(cell("time", 9, 1.35), "wide"),
        r"its bins start .* ms apart, but bin_width is 10",
    ),
    "wide: unit unknown": ("electrodes", as_table(lambda t: t | {"x": t["ul"]}, "wide"), r"unit x is not in units.csv"),
    "wide: unit absent": (
        "electrodes",
        all_of(as_table(form="wide"), replace("units.csv", r"\Z", "x,V1\n")),
        r"x is not in r",
    ),
    "netcdf: dimensions": (
        "electrodes",
        as_netcdf(lambda d: d.rename(unit="probe")),
        r"has the dimensions stimulus, rep",
    ),
    "netcdf: bins unsorted": (
        "electrodes",
        as_netcdf(lambda d: d.isel(time=[1, 0, *range(2, 10)])),
        r"do not increase; so",
    ),
    "netcdf: variables": (
        "electrodes",
        as_netcdf(lambda d: d.rename(responses="a").assign(b=1)),
        r"has 2 variables: a, b",
    ),
    "netcdf: damaged": (
        "electrodes",
        all_of(remove("responses.npy"), write("responses.nc", "x")),
        r"cannot be read as net",
    ),
    # labels
    "class with one stimulus": (
        "task",
        replace("labels.csv", "lr$", "odd"),
        r"class odd has 1 stimuli; expected at least 3",
    ),
    "label of no stimulus": (
        "task",
        replace("labels.csv", r"\Z", "i99,ul\n"),
        r"line 62: stimulus_id i99 is not in stimul",
    ),
    "no label": (
        "task",
        replace("labels.csv", "^i7,.*\n", ""),
        r"stimuli.csv: stimulus i7 has no label in labels.csv; la",
    ),
    "empty label": (
        "task",
        replace("labels.csv", "^i7,.*", "i7,"),
        r"labels.csv, line 54: quadrant is empty; write a quad",
    ),
    "no label column": (
        "task",
        replace("labels.csv", ",.*$", "", 99),
        r"has no column of labels; add a column with the la",
    ),
    "one class": (
        "task",
        replace("labels.csv", ",[ul].$", ",x", 99),
        r"labels.csv: all of quadrant are x; remove the colu",
    ),
    "text as number": (
        "task",
        all_of(toml('metric = "pearson"'), replace("labels.csv", ",[ul].$", ",1.5", 59)),
        r"; write a nu",
    ),
    # choices
    "choice of no class": (
        "behaviour",
        replace("trials.csv", "[ul].$", "dog"),
        r"line 2: choice dog is not in the classes",
    ),
    "trial of no stimulus": (
        "behaviour",
        replace("trials.csv", "^i\\d+", "zz"),
        r"line 2: stimulus_id zz is not in stimul",
    ),
    "two truths": (
        "behaviour",
        all_of(replace("trials.csv", r"\Z", "i0,ur,ur\n")),
        r"line 1202: stimulus i0 has truth ur, ",
    ),
    "two classes": (
        "behaviour",
        all_of(
            replace("dataset.toml", "I2n", "O2"),
            write("trials.csv", "stimulus_id,truth,choice\n" + "".join(f"i{k},{'ab'[k % 2]},a\n" for k in range(40))),
        ),
        r"2 classes \(a, b\); expected at least 3; ",
    ),
    "one stimulus of a class": (
        "behaviour",
        write("trials.csv", "stimulus_id,truth,choice\ni0,a,a\ni1,b,b\ni2,b,a\n"),
        r"class a has 1 st",
    ),
    "not offered": (
        "behaviour",
        all_of(two_trials, replace("trials.csv", "ul,ul,lr", "ul,ll,lr")),
        r"choice ll is neither",
    ),
    "distractor is truth": (
        "behaviour",
        all_of(two_trials, replace("trials.csv", "ul,lr$", "ul,ul")),
        r"are both ul; wri",
    ),
    "fitting is shown": (
        "behaviour",
        lambda f: write_table(
            f / "fitting.csv",
            {
                "stimulus_id": ["i0", "f1", "f2", "f3"],
                "path": [f"image-{k}.png" for k in range(4)],
                "label": ["ul", "ur", "ll", "lr"],
            },
        ),
        r"stimulus i0 i",
    ),
    "fitting lacks a class": (
        "behaviour",
        lambda f: write_table(
            f / "fitting.csv",
            {
                "stimulus_id": ["f0", "f1", "f2"],
                "path": [f"image-{k}.png" for k in range(3)],
                "label": ["ul", "ur", "ll"],
            },
        ),
        r"of class lr;",
    ),
}


def check(folder, capsys):
    """(exit code, lines of faults) of `data check`; the last line counts them."""
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.parent.rglob("*"))
    code = main(["data", "check", "./mine", "-q"])
    *faults, count = capsys.readouterr().out.splitlines()
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.parent.rglob("*")) == before, "something was written"
    return code, faults, count


@pytest.mark.parametrize("kind", KINDS)
def test_a_correct_folder_has_no_fault(folder, capsys, kind):
    folder(kind)
    assert main(["data", "check", "mine"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  scored as +\w", said, re.M)
    assert "no faults; score it with: dynamic-vision score" in said


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_with_its_remedy(folder, capsys, name):
    kind, edit, expected = FAULTS[name]
    made = folder(kind)
    edit(made)
    code, faults, count = check(made, capsys)
    assert code == 2
    assert len(faults) == 1, faults
    assert re.search(expected, faults[0]), faults[0]
    assert re.match(r"[\w. -]+(, line \d+)?: \S.*; \S", faults[0]), faults[0]
    assert str(made) not in faults[0]
    assert count.endswith(": 1 fault")
