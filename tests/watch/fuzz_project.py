"""A user's project in which every way of reading feeds the data or the network, for single changes."""

import gzip
import json
import pickle
import sqlite3
import zipfile
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.numpy import save_file
from scipy.io import savemat

RECORDING = """
import csv, gzip, json, mmap, os, pickle, sqlite3, tomllib, zipfile
from pathlib import Path
import h5py, netCDF4, numpy as np, pandas as pd, torch, xarray as xr
from PIL import Image
from safetensors.numpy import load_file
from scipy.io import loadmat
import helper
from package import inner
from src import data as datasets
from src.config import Config
from src.data.declare import Electrodes
from src.records import Responses, Stimuli

HERE = Path(__file__).parent
NUMBER, REGION, EXTRA, NOTE, BIN, SUBJECT = 1, "V1", "left", "atlas A", 100.0, "m"
CITATION, FIT = "none", "stimuli"
try:
    import settings
except ImportError:
    settings = None


def h5(path):
    with h5py.File(path) as file:
        return file["a"][0]


def nc(path):
    with netCDF4.Dataset(path) as file:
        return file["a"][0]


def db(path):
    connection = sqlite3.connect(path)
    value = connection.execute("select a from t").fetchone()[0]
    connection.close()
    return value


def mapped(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return int(content.read())


def numbers():
    import late

    D = HERE / "data"
    yield from (NUMBER, helper.VALUE, inner.VALUE, late.VALUE)
    yield int((D / "text.txt").read_text())
    yield json.loads((D / "a.json").read_text())["a"]
    yield tomllib.loads((D / "a.toml").read_text())["a"]
    yield int(next(csv.DictReader(open(D / "a.csv")))["a"])
    yield pd.read_csv(D / "pandas.csv")["a"][0]
    yield pd.read_parquet(D / "a.parquet")["a"][0]
    yield pickle.loads((D / "a.pkl").read_bytes())
    yield np.load(D / "a.npy")[0]
    yield np.load(D / "a.npz")["a"][0]
    yield np.load(D / "mapped.npy", mmap_mode="r")[0]
    yield np.fromfile(D / "raw.bin")[0]
    yield np.loadtxt(D / "table.txt")
    yield loadmat(D / "a.mat")["a"][0, 0]
    yield h5(D / "a.h5")
    yield h5(D / "linked.h5")
    yield nc(D / "a.nc")
    yield float(xr.open_dataset(D / "x.nc")["a"].values[0])
    yield load_file(D / "a.safetensors")["a"][0]
    yield torch.load(D / "a.pt").item()
    yield db(D / "a.db")
    yield mapped(D / "mmap.txt")
    yield int(gzip.open(D / "a.gz").read())
    yield int(zipfile.ZipFile(D / "a.zip").read("a"))
    yield np.asarray(Image.open(D / "a.png"))[0, 0]
    yield sum(int(path.read_text()) for path in sorted((D / "parts").glob("*.part")))
    yield len(os.listdir(D / "counted"))
    yield 2 if (D / "flag").exists() else 1
    yield int(os.environ.get("OWN_NUMBER", 1))
    yield 1 if settings is None else settings.VALUE
    yield int((D / "current").resolve().name)
    wrapped = datasets.load(f"{HERE / 'other.py'}:base", Config.from_env())
    yield wrapped.values[0, 0, 0, 0]


def load(folder):
    found = np.array([float(number) for number in numbers()])
    paths = sorted((HERE / "stimuli").glob("*.png"))
    n = len(paths)
    m = len(found)
    units = {"unit_id": [f"u{k}" for k in range(m)], "region": [REGION] * m, "side": [EXTRA] * m}
    table = {"category": [path.stem[0] for path in paths]}
    stimuli = Stimuli("s", tuple(p.stem for p in paths), tuple(paths), np.full(n, 100.0), ("image",) * n, table)
    values = np.broadcast_to(found, (n, 2, 1, m)) * np.arange(1, n + 1)[:, None, None, None]
    bins = np.array([[0.0, BIN]])
    return Responses(stimuli, values.astype(np.float32), bins, units, (SUBJECT, "n"), {"atlas": NOTE})


def data():
    terms = {"licence": "none", "access": "own", "source": "none"}
    return Electrodes(name="own", study="own", load=load, citation=CITATION, fit=FIT, **terms)
"""

OTHER = """
from pathlib import Path
import numpy as np
from src.data.declare import Electrodes
from src.records import Responses, Stimuli

HERE, NUMBER = Path(__file__).parent, 1


def load(folder):
    paths = sorted((HERE / "stimuli").glob("*.png"))[:1]
    value = NUMBER * int((HERE / "data" / "other.txt").read_text())
    stimuli = Stimuli("s", ("a",), tuple(paths), np.full(1, 100.0), ("image",))
    values = np.full((1, 2, 1, 1), value, np.float32)
    return Responses(stimuli, values, np.array([[0.0, 100.0]]), {"unit_id": ["u"]}, ("m", "n"))


def base():
    return Electrodes(name="other", study="own", load=load, citation="", licence="", access="", source="")
"""

NETWORK = """
import json, os
from pathlib import Path
import numpy as np, torch
from safetensors.torch import load_file
from torch import nn
import helper
from package import inner

HERE = Path(__file__).parent
SCALE = 1.0


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.fc.load_state_dict(torch.load(HERE / "data" / "state.pt"))
        self.register_buffer("saved", torch.ones(3))
        mask = json.loads((HERE / "data" / "mask.json").read_text())
        self.register_buffer("mask", torch.tensor(mask), persistent=False)
        self.gain = json.loads((HERE / "data" / "gain.json").read_text())
        self.table = np.load(HERE / "data" / "table.npy")
        self.bias = load_file(HERE / "data" / "bias.safetensors")["a"]

    def forward(self, x):
        import late

        late_gain = late.VALUE * int((HERE / "data" / "forward.txt").read_text()) * int(os.environ.get("OWN_NUMBER", 1))
        x = self.fc(x) * self.gain * self.mask * float(self.table[0]) + self.bias * helper.VALUE + inner.VALUE
        return x * late_gain * SCALE


def net():
    act = nn.ReLU() if os.path.exists(HERE / "data" / "flag") else nn.Tanh()
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Block(), act)
"""


def netcdf(path: Path, value: int) -> None:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 1)
        file.createVariable("a", "i4", ("x",))[:] = value


def hdf5(path: Path, value: int) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = [value]


def database(path: Path, value: int) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.execute("insert into t values (?)", (value,))
    connection.commit()
    connection.close()


def zipped(path: Path, value: int) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", str(value))


def state(path: Path, value: int) -> None:
    torch.save({"weight": torch.eye(3) * value, "bias": torch.zeros(3)}, path)


def text(path: Path, value: int) -> None:
    path.write_text(str(value))


def array(path: Path, value: int) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([value]))


# {file in data/: function that writes a number to it}
DATA = {
    "text.txt": text,
    "a.json": lambda path, value: path.write_text(json.dumps({"a": value})),
    "a.toml": lambda path, value: path.write_text(f"a = {value}\n"),
    "a.csv": lambda path, value: path.write_text(f"a,b\n{value},0\n"),
    "pandas.csv": lambda path, value: pd.DataFrame({"a": [value]}).to_csv(path),
    "a.parquet": lambda path, value: pd.DataFrame({"a": [value]}).to_parquet(path),
    "a.pkl": lambda path, value: path.write_bytes(pickle.dumps(value)),
    "a.npy": array,
    "a.npz": lambda path, value: np.savez(path, a=[value]),
    "mapped.npy": array,
    "raw.bin": lambda path, value: np.array([float(value)]).tofile(path),
    "table.txt": text,
    "a.mat": lambda path, value: savemat(path, {"a": value}),
    "a.h5": hdf5,
    "far.h5": hdf5,
    "a.nc": netcdf,
    "x.nc": netcdf,
    "a.safetensors": lambda path, value: save_file({"a": np.array([value])}, path),
    "a.pt": lambda path, value: torch.save(torch.tensor(value), path),
    "a.db": database,
    "mmap.txt": text,
    "a.gz": lambda path, value: path.write_bytes(gzip.compress(str(value).encode())),
    "a.zip": zipped,
    "a.png": lambda path, value: Image.fromarray(np.full((2, 2), value, np.uint8)).save(path),
    "parts/one.part": text,
    "other.txt": text,
}
NETWORKS = {
    "state.pt": state,
    "mask.json": lambda path, value: path.write_text(json.dumps([1.0, float(value), 0.0])),
    "gain.json": text,
    "table.npy": array,
    "bias.safetensors": lambda path, value: save_file({"a": np.full(3, value, np.float32)}, path),
    "forward.txt": text,
}
SOURCES = {
    "rec.py": RECORDING,
    "other.py": OTHER,
    "net.py": NETWORK,
    "helper.py": "VALUE = 1\n",
    "late.py": "VALUE = 1\n",
    "package/__init__.py": "",
    "package/inner.py": "VALUE = 1\n",
    "unused.py": "VALUE = 1\n",
}


def make_project(folder: Path) -> Path:
    """Write the project into a folder that is made."""
    for name in ("data/parts", "data/counted", "stimuli", "package", "unrelated"):
        (folder / name).mkdir(parents=True)
    for name, source in SOURCES.items():
        (folder / name).write_text(source)
    for name, write in {**DATA, **NETWORKS}.items():
        write(folder / "data" / name, 1)
    with h5py.File(folder / "data" / "linked.h5", "w") as file:
        file["a"] = h5py.ExternalLink("far.h5", "a")
    for name in ("1", "2"):
        (folder / "data" / name).touch()
    (folder / "data" / "current").symlink_to(folder / "data" / "1")
    for k, name in enumerate("abc"):
        Image.fromarray(np.full((8, 8, 3), 60 * k, np.uint8)).save(folder / "stimuli" / f"{name}.png")
    return folder
