import hashlib
import io
import os
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

import src.data as data
from src.data import fetching
from src.data.declare import Task
from src.data.fetching import BUCKET, LOCK, fetch
from src.data.release import ByHand, Http, Need, OpenNeuro
from src.locks import locked
from src.utils import BadInput
from tests.data.loopback import serving

BIG = np.random.default_rng(0).bytes(300_000)


def declared(*needs):
    terms = dict.fromkeys(("citation", "licence", "access", "source"), "x")
    return Task(name="study-a", study="study-a", read=lambda release: None, needs=needs, **terms)


def over_http(server, names=("a.bin",), **more):
    origin = Http({name: server.url(name) for name in names}, gigabytes=0.0003, **more)
    return declared(*(Need(name, name, origin, 1) for name in names))


def test_a_file_is_fetched_once_and_checked(tmp_path):
    checksum = {"a.bin": hashlib.sha256(BIG).hexdigest()}
    with serving({"a.bin": BIG}) as server:
        seen = []
        assert fetch(over_http(server, sha256=checksum), tmp_path, progress=lambda *report: seen.append(report)) == []
        assert fetch(over_http(server, sha256=checksum), tmp_path) == []
        assert server.log == [("a.bin", 0)]
    assert (tmp_path / "a.bin").read_bytes() == BIG
    assert seen == [(len(BIG), len(BIG), "a.bin")]


def test_a_broken_connection_is_resumed_where_it_ended(tmp_path):
    with serving({"a.bin": BIG}) as server:
        server.breaks = 2
        assert fetch(over_http(server), tmp_path) == []
        starts = [start for _, start in server.log]
    assert (tmp_path / "a.bin").read_bytes() == BIG
    assert starts[0] == 0
    assert all(0 < start < len(BIG) for start in starts[1:])


def test_an_interrupted_fetch_is_resumed(tmp_path):
    checksum = {"a.bin": hashlib.sha256(BIG).hexdigest()}
    (tmp_path / ".a.bin.part").write_bytes(BIG[:100_000])
    with serving({"a.bin": BIG}) as server:
        fetch(over_http(server, sha256=checksum), tmp_path)
        assert server.log == [("a.bin", 100_000)]
    assert (tmp_path / "a.bin").read_bytes() == BIG
    assert not list(tmp_path.glob(".a.bin*"))


@pytest.fixture
def stopped(tmp_path):
    """Folder with a partial file, from a server whose connections broke until the fetch gave up."""
    with serving({"a.bin": BIG}) as server:
        server.breaks = 5
        with pytest.raises(BadInput, match=r"a\.bin cannot be fetched .*run the same fetch again to continue"):
            fetch(over_http(server), tmp_path)
        server.log.clear()
        yield tmp_path, server


def test_a_fetch_that_gave_up_goes_on_where_it_was(stopped):
    folder, server = stopped
    have = (folder / ".a.bin.part").stat().st_size
    assert fetch(over_http(server), folder) == []
    assert server.log == [("a.bin", have)]
    assert (folder / "a.bin").read_bytes() == BIG


def test_a_file_that_changed_on_the_server_starts_anew(stopped):
    folder, server = stopped
    server.files["a.bin"] = BIG[::-1]
    assert fetch(over_http(server), folder) == []
    assert (folder / "a.bin").read_bytes() == BIG[::-1]


@pytest.mark.parametrize("stated", [None, "bytes 0-299999/300000", "bytes 5-9/10", "nonsense"])
def test_a_wrong_range_starts_anew(stopped, stated):
    folder, server = stopped
    server.headers = {"Content-Range": stated}
    assert fetch(over_http(server), folder) == []
    assert [start for _, start in server.log][-1] == 0
    assert (folder / "a.bin").read_bytes() == BIG


def test_a_partial_file_that_nothing_confirms_starts_anew(tmp_path):
    (tmp_path / ".a.bin.part").write_bytes(b"?" * 1000)
    with serving({"a.bin": BIG}) as server:
        server.without_tag = True
        assert fetch(over_http(server), tmp_path) == []
        assert server.log == [("a.bin", 0)]
    assert (tmp_path / "a.bin").read_bytes() == BIG


PAGE = b"<!DOCTYPE html><html><body>log in first</body></html>"


def drip(handler, content):
    for k in range(200):
        handler.wfile.write(content[k : k + 1])
        handler.wfile.flush()
        time.sleep(0.02)


def longer(handler, content):
    handler.wfile.write(b"%x\r\n" % (2 * len(content)) + content * 2 + b"\r\n0\r\n\r\n")


CHUNKED = {"Content-Length": None, "Transfer-Encoding": "chunked"}
HOSTILE = [
    ({"a.bin": PAGE}, {}, None, "a web page came in place of the file"),
    ({"a.bin": BIG}, {"Content-Type": "text/html; charset=utf-8"}, None, "a web page came in place of the file"),
    ({"a.bin": BIG}, {"Content-Length": "-5"}, None, "the server states a length of '-5'"),
    ({"a.bin": BIG}, {"Content-Length": "many"}, None, "the server states a length of 'many'"),
    ({"a.bin": BIG}, CHUNKED, longer, "more than the 400000 bytes that were promised are sent"),
    ({"a.bin": BIG}, {}, drip, r"bytes in \d+ s; expected at least 1024 a second"),
]


@pytest.mark.parametrize(("files", "headers", "body", "message"), HOSTILE)
def test_answers_that_are_not_the_file_are_refused_in_one_line(tmp_path, monkeypatch, files, headers, body, message):
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(fetching, "UNSTATED_BYTES", 400_000)
    with serving(files) as server:
        server.headers, server.body = headers, body
        with pytest.raises(BadInput, match=message) as caught:
            fetch(over_http(server), tmp_path)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if "a.bin" in path.name]


def test_another_length_than_promised_is_refused(tmp_path):
    remote = fetching.Remote("a.bin", "", 1000, None)
    for content in (BIG, BIG[:10]):
        with (
            serving({"a.bin": content}) as server,
            pytest.raises(BadInput, match=r"bytes are sent, 1000 were promised"),
        ):
            fetching._download(replace(remote, url=server.url("a.bin")), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "a\nb", "", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(path):
    with pytest.raises(BadInput, match="expected a path within the study's folder") as caught:
        fetching._require_inside("study-a", path)
    assert "\n" not in str(caught.value)
    fetching._require_inside("study-a", "sub-01/func/..a_events.tsv")


def test_keys_of_a_bucket_are_confined_to_the_folder(tmp_path, bucket):
    bucket.put_object(Bucket=BUCKET, Key="ds000003/../../escaped.tsv", Body=b"x")
    wanted = declared(Need("x", "*.tsv", OpenNeuro("ds000003", ("*.tsv",), 0)))
    with pytest.raises(BadInput, match=r"a file is called '\.\./\.\./escaped\.tsv'; expected a path within"):
        fetch(wanted, tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("escaped*"))


def test_parts_of_one_gibibyte_are_checked(tmp_path, monkeypatch):
    path, asked = tmp_path / "big", []
    with open(path, "wb") as handle:
        handle.truncate((2 << 30) + 3)
    monkeypatch.setattr(fetching, "_parts_digest", lambda path, n_bytes: asked.append(n_bytes) or "right")
    assert fetching._etag_fits(path, "right-3")
    assert not fetching._etag_fits(path, "wrong-3")
    assert not fetching._etag_fits(path, "right-many")
    assert set(asked) == {1 << 30}


def archives():
    def tar(*members):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as opened:
            for info, content in members:
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
        return packed.getvalue()

    def zipped(*members, **options):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members:
                opened.writestr(name, content)
        return packed.getvalue()

    def special(name, kind, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info, b""

    encrypted = bytearray(zipped(("a", b"x" * 100)))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    method = bytearray(zipped(("a", b"x" * 100)))
    method[8] = 99
    method[method.index(b"PK\1\2") + 10] = 99
    huge = bytearray(zipped(("a", b"x" * 100)))
    at = huge.index(b"PK\1\2") + 24
    huge[at : at + 4] = b"\xfe\xff\xff\xff"
    wrong = bytearray(zipped(("a", bytes(1000))))
    wrong[33] ^= 255
    whole = tar((tarfile.TarInfo("a"), BIG))
    return {
        "up.zip": zipped(("../x", b"")),
        "root.zip": zipped(("/x", b"")),
        "up.tar.gz": tar((tarfile.TarInfo("../x"), b"a")),
        "link.tar.gz": tar(special("a", tarfile.SYMTYPE, "/etc")),
        "hard.tar.gz": tar(special("a", tarfile.LNKTYPE, "../../etc/passwd")),
        "device.tar.gz": tar(special("a", tarfile.CHRTYPE)),
        "pipe.tar.gz": tar(special("a", tarfile.FIFOTYPE)),
        "cut.tar.gz": whole[: len(whole) // 2],
        "cut.zip": zipped(("a", BIG))[:100_000],
        "encrypted.zip": bytes(encrypted),
        "method.zip": bytes(method),
        "wrong.zip": bytes(wrong),
        "empty.zip": b"",
        "empty.tar.gz": b"",
        "text.tar.gz": b"no archive",
        "page.zip": PAGE,
        "huge.zip": bytes(huge),
    }


@pytest.mark.parametrize("name", sorted(archives()))
def test_a_hostile_or_damaged_archive_is_refused_in_one_line(tmp_path, monkeypatch, name):
    folder = tmp_path / "home" / "study"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(archives()[name])
    free = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: free)
    with pytest.raises(BadInput) as caught:
        fetching._unpack_one("study-a", folder / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert {p for p in tmp_path.rglob("*") if p.is_file() and p.parent != folder} == set()


def test_other_content_is_discarded(tmp_path):
    with serving({"a.bin": BIG}) as server:
        wanted = over_http(server, sha256={"a.bin": hashlib.sha256(b"other").hexdigest()})
        with pytest.raises(BadInput, match="wrong size or checksum and was discarded; fetch it again"):
            fetch(wanted, tmp_path)
    assert not [path for path in tmp_path.rglob("*.bin*") if path.is_file()]


def test_another_file_of_the_same_name_is_not_overwritten(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")
    with serving({"a.bin": BIG}) as server, pytest.raises(BadInput, match=r"is not the published file .* move it away"):
        fetch(over_http(server), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"mine"


def test_a_missing_address_is_named(tmp_path):
    with serving({}) as server, pytest.raises(BadInput, match=r"a\.bin cannot be reached \(404"):
        fetch(over_http(server), tmp_path)


def test_an_archive_is_unpacked_once_and_a_damaged_one_named(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside/film.txt", "frames")
    with serving({"a.zip": packed.getvalue()}) as server:
        wanted = over_http(server, names=("a.zip",), unpack=("a.zip",))
        fetch(wanted, tmp_path)
        (tmp_path / "inside" / "film.txt").unlink()
        fetch(wanted, tmp_path)
    assert not (tmp_path / "inside" / "film.txt").exists()
    refused = pytest.raises(BadInput, match=r"b\.zip cannot be unpacked .* damaged")
    with serving({"b.zip": packed.getvalue()[:60]}) as server, refused:
        fetch(over_http(server, names=("b.zip",), unpack=("b.zip",)), tmp_path)


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("U", (), {"free": 10}))
    with serving({"a.bin": BIG}) as server, pytest.raises(BadInput, match="300 kB to fetch, 10 B free"):
        fetch(over_http(server), tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_two_fetches_of_a_study_do_not_mix(tmp_path):
    with serving({"a.bin": BIG}) as server:
        with ThreadPoolExecutor(1) as pool, locked(tmp_path / LOCK, "DATA_HOME"):
            other = pool.submit(fetch, over_http(server), tmp_path)
            with pytest.raises(BadInput, match=r"another fetch into .* is under way \(process \d+ on .*\); wait"):
                other.result()
        assert fetch(over_http(server), tmp_path) == []


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with serving({"a.bin": BIG}) as server, pytest.raises(BadInput, match=r"cannot write .*file/study/.*\(Not a dir"):
        fetch(over_http(server), tmp_path / "file" / "study")


def test_files_to_get_by_hand_are_listed(tmp_path):
    wanted = declared(Need("the films", "films/*.mp4", ByHand("write to the authors"), 4))
    (line,) = fetch(wanted, tmp_path)
    assert line.startswith("the films: 0 of 4 files here")
    assert line.endswith("write to the authors")


@pytest.fixture(scope="module")
def bucket():
    """S3 server on loopback, with OpenNeuro's bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        client = boto3.client("s3", **keys)
        client.create_bucket(Bucket=BUCKET)
        yield client
    server.stop()


def test_only_the_wanted_files_of_openneuro_are_fetched(tmp_path, bucket):
    contents = {"sub-01/func/a_events.tsv": b"onset\n1\n", "sub-01/func/a_bold.nii.gz": BIG, "README": b"text"}
    for path, content in contents.items():
        bucket.put_object(Bucket=BUCKET, Key=f"ds000001/{path}", Body=content, ACL="public-read")
    origin = OpenNeuro("ds000001", ("*_events.tsv", "*_bold.nii.gz"), 0.0003)
    wanted = declared(Need("events", "sub-*/func/*_events.tsv", origin, 1))
    (tmp_path / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "sub-01" / "func" / ".a_bold.nii.gz.part").write_bytes(BIG[:1000])
    assert fetch(wanted, tmp_path) == []
    assert not (tmp_path / "README").exists()
    for path in list(contents)[:2]:
        assert (tmp_path / path).read_bytes() == contents[path]


def test_a_file_uploaded_in_parts_is_checked_by_its_parts(tmp_path, bucket):
    content = BIG * 20
    begun = bucket.create_multipart_upload(Bucket=BUCKET, Key="ds000002/big.pkl")
    where = {"Bucket": BUCKET, "Key": "ds000002/big.pkl", "UploadId": begun["UploadId"]}
    pieces = [content[: 5 << 20], content[5 << 20 :]]
    parts = [
        {"ETag": bucket.upload_part(**where, PartNumber=k, Body=piece)["ETag"], "PartNumber": k}
        for k, piece in enumerate(pieces, start=1)
    ]
    bucket.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    wanted = declared(Need("betas", "big.pkl", OpenNeuro("ds000002", ("*.pkl",), 0.006), 1))
    (tmp_path / ".big.pkl.part").write_bytes(b"?" * 1000)
    with pytest.raises(BadInput, match="wrong size or checksum"):
        fetch(wanted, tmp_path)
    assert fetch(wanted, tmp_path) == []
    assert (tmp_path / "big.pkl").read_bytes() == content


def test_an_accession_without_such_files(tmp_path, bucket):
    with pytest.raises(BadInput, match=r"OpenNeuro ds000009 has no file that matches \*\.tsv"):
        fetch(declared(Need("x", "*", OpenNeuro("ds000009", ("*.tsv",), 0))), tmp_path)


@pytest.mark.parametrize(
    "found", [d for registry in data.BY_BENCHMARK.values() for d in registry.values()], ids=lambda d: d.name
)
def test_every_dataset_declares_the_origin_of_its_files(found):
    assert (found.load is None) != (found.read is None)
    assert found.needs or found.access in ("embedded", "rendered")
    assert replace(found) == found
