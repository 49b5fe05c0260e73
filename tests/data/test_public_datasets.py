"""Every public dataset as a miniature: fetched from local servers, prepared, checked and scored by the commands."""

import importlib
import io
import tarfile
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import src.data as data
from src.cli import run_command, run_score
from src.data.checking import check
from src.data.fetching import BUCKET
from src.data.release import BrainScore, Http, OpenNeuro
from tests.data.loopback import serving

NAMES = [
    "savasegal2023-fmri-defeat",
    "savasegal2023-fmri-growth",
    "savasegal2023-fmri-iteration",
    "savasegal2023-fmri-lemonade",
    "keles2024-fmri",
    "berezutskaya2021-fmri",
    "mcmahon2023-fmri",
    "lahner2024-fmri",
    "freemanziemba2013-V1",
    "freemanziemba2013-V2",
    "majajhong2015-V4",
    "majajhong2015-IT",
    "crcns-pvc1",
    "crcns-mt2",
    "oleo-hacs250",
    "ilic2022-ucf5",
    "ilic2022-afd5",
    "rajalingham2018",
    "han2024-RGB",
    "han2024-RGB-4F",
    "han2024-RGB-S",
    "han2024-J-6P",
    "han2024-J-6P-4F",
    "han2024-J-6P-S",
    "imagenet2012",
    "afd2022",
    "kinetics400",
    "kinetics400-static",
    "ding2012",
    "smthsmthv2",
    "vggface2",
    "hdm05",
    "selfmotion",
    "mcmahon2023-social",
    "majajhong2015-pose",
    "cueconflict",
    "mechanical_tools",
]
STATIC = {"imagenet2012", "kinetics400-static", "rajalingham2018", "vggface2", "majajhong2015-pose", "cueconflict"}
MINIATURES = [
    importlib.import_module(f"tests.data.miniatures.{path.stem}")
    for path in sorted((Path(__file__).parent / "miniatures").glob("*.py"))
    if "\nSTUDY = " in path.read_text()
]
CASES = [(name, miniature) for miniature in MINIATURES for name in miniature.EXPECTED]


def declared(name):
    return data.declaration(None, name)


def benchmark_of(name):
    return next(benchmark for benchmark, registry in data.BY_BENCHMARK.items() if name in registry)


def test_all_names_of_the_seed_are_registered():
    assert len(NAMES) == 37
    public = {name for registry in data.BY_BENCHMARK.values() for name, d in registry.items() if d.load is None}
    assert public == set(NAMES)
    assert STATIC | {"mechanical_tools", "digits"} == data.STATIC
    assert {name for name, _ in CASES} == set(NAMES)


@pytest.fixture(scope="module")
def bucket():
    """OpenNeuro's bucket on a local server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    client.create_bucket(Bucket=BUCKET)
    client.address = f"http://{host}:{port}"
    yield client
    server.stop()


def to_bucket(client, folder: Path, origin: OpenNeuro) -> int:
    """Move the files of an OpenNeuro origin from the folder to the bucket; return their number."""
    moved = 0
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        inside = path.relative_to(folder).as_posix()
        if any(fnmatchcase(inside, pattern) for pattern in origin.paths):
            key = f"{origin.accession}/{inside}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
            path.unlink()
            moved += 1
    return moved


def packed(archive: Path, files: list[Path]) -> bytes:
    """Return an archive of the files, in the format of its name, with paths below its folder."""
    buffer = io.BytesIO()
    if archive.suffix == ".zip":
        with zipfile.ZipFile(buffer, "w") as made:
            for file in files:
                made.write(file, file.relative_to(archive.parent))
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as made:
            for file in files:
                made.add(file, file.relative_to(archive.parent))
    return buffer.getvalue()


def to_server(server, folder: Path, needs, origin: Http) -> Http:
    """Move the files of an open origin from the folder to the server; return the origin with the server's URLs."""
    files = sorted({path for need in needs if need.origin is origin for path in need.found(folder)})
    for name in origin.files:
        if name in origin.unpack:
            server.files[name] = packed(folder / name, files)
        elif (folder / name).is_file():
            server.files[name] = (folder / name).read_bytes()
    for path in files:
        path.unlink()
    return replace(origin, files={name: server.url(name) for name in origin.files if name in server.files}, sha256={})


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """One home for all studies, so that each miniature is written once."""
    return tmp_path_factory.mktemp("home")


def released(home: Path, miniature) -> Path:
    folder = home / "data" / miniature.STUDY
    if not folder.exists():
        miniature.write(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "miniature"), CASES, ids=[name for name, _ in CASES])
def test_a_release_becomes_a_score(name, miniature, homes, bucket, monkeypatch, capsys):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(homes))
    monkeypatch.setenv("DATA_HOME", str(homes / "data"))
    monkeypatch.delenv("MMAP_HOME", raising=False)
    monkeypatch.delenv("RESULTCACHING_HOME", raising=False)
    folder, found = released(homes, miniature), declared(name)
    through_brainscore = any(isinstance(need.origin, BrainScore) for need in found.needs)
    with serving({}) as server, getattr(miniature, "around", lambda *_: nullcontext())(folder):
        if not through_brainscore:
            monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
            fetched_over_loopback(found, folder, server, bucket, monkeypatch)
        capsys.readouterr()
        assert run_command("data", ["prepare", name, "--quiet"]) == 0
        assert all(finding.fine for finding in check(found, data.load(name, homes_config()), miniature.EXPECTED[name]))
        assert run_command("data", ["list", name]) == 0
        assert "ready; next: score it" in capsys.readouterr().out
        flag = "--tasks" if benchmark_of(name) in ("task", "behaviour") else "--datasets"
        assert run_score(benchmark_of(name), ["--model", "fake-net", flag, name, "--splits", "2", "--quiet"]) == 0
        assert f"fake-net on {name}" in capsys.readouterr().out


def homes_config():
    from src.config import Config

    return Config.from_env()


def fetched_over_loopback(found, folder, server, bucket, monkeypatch) -> None:
    """Move the open files to servers and fetch them back."""
    needs, origins = found.needs, list({id(need.origin): need.origin for need in found.needs}.values())
    moved = {}
    for origin in origins:
        if isinstance(origin, OpenNeuro) and not to_bucket(bucket, folder, origin):
            moved[id(origin)] = None
        if isinstance(origin, Http):
            moved[id(origin)] = to_server(server, folder, needs, origin)
    needs = tuple(
        replace(need, origin=moved.get(id(need.origin), need.origin), count=None)
        for need in needs
        if moved.get(id(need.origin), need.origin) is not None
    )
    monkeypatch.setitem(data.BY_BENCHMARK[benchmark_of(found.name)], found.name, replace(found, needs=needs))
    assert run_command("data", ["fetch", found.name, "--quiet"]) in (0, 2)
