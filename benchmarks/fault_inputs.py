"""Damaged inputs, hostile files and servers, and odd command lines: `python -m benchmarks.fault_inputs`.

Each trial runs in a fork with a limit of time and memory. It must end in the right value or in one line of BadInput
(exit code 2 of a command), and leave nothing outside its folder. Printed per kind: tried; stale (the value of a file
that was replaced); wrong (another value than the right one, or a file outside); hung; traceback. The exit code is 1 if
any of the last four is not 0.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import os
import pickle
import random
import resource
import struct
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from src.cli import run_score
from src.data import fetching
from src.data.films import write_lossless
from src.data.fmri import unpickle
from src.extraction.check import write_video
from src.utils import BadInput
from src.video import check_film, decode, probe, read_image

LIMIT_S, LIMIT_BYTES = 60, 6 << 30
OUTCOMES = ("stale", "wrong", "hung", "traceback")
UNKNOWN = object()  # no value is right or wrong: only the way the trial ends counts
Trial = tuple[str, Callable[[Path], object], object]


def outcome(work: Callable[[], object], right: object, old: object = None) -> str:
    """Run `work` in a fork; return "fine" or one of OUTCOMES. old: the value that a replaced file had."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        with contextlib.suppress(BaseException):
            os.write(writer, _ending(work, right, old).encode())
        os._exit(0)
    os.close(writer)
    found, end = b"", time.monotonic() + LIMIT_S
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(process, 9)
            os.waitpid(process, 0)
            os.close(reader)
            return "hung"
        time.sleep(0.005)
    found = os.read(reader, 100)
    os.close(reader)
    return found.decode() or "traceback"  # killed by a signal: no word was written


def _ending(work: Callable[[], object], right: object, old: object) -> str:
    try:
        with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing), contextlib.redirect_stdout(nothing):
            value = work()
    except BadInput as error:
        return "fine" if "\n" not in str(error) else "traceback"
    except BaseException:
        return "traceback"
    if old is not None and value == old != right:
        return "stale"
    return "fine" if right is UNKNOWN or value == right else "wrong"


def digest(frames: np.ndarray) -> str:
    return hashlib.sha256(repr(frames.shape).encode() + np.ascontiguousarray(frames).tobytes()).hexdigest()


def film_digest(path: Path) -> str:
    info = check_film(path)
    return digest(np.stack([frame for _, frame in decode(path, range(info.n_frames), info)]))


def image_digest(path: Path) -> str:
    return digest(read_image(path))


def mutated(content: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield damaged versions of a file without end: cut, with bits inverted, overwritten, shifted."""
    while True:
        at = rng.randrange(len(content))
        yield "cut", content[:at]
        changed = bytearray(content)
        changed[at] ^= 1 << rng.randrange(8)
        yield "bit", bytes(changed)
        yield "overwritten", content[:at] + rng.randbytes(200) + content[at + 200 :]
        yield "shifted", content[:at] + content[at + 1 + rng.randrange(8) :]


def picture(seed: int, shape: tuple[int, ...] = (24, 32, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mutations(count: int, rng: random.Random, home: Path) -> Iterator[Trial]:
    """Damage films, images and pickles; a cut film may not be read as a shorter one."""
    from PIL import Image

    frames = [picture(k) for k in range(12)]
    originals: dict[str, tuple[Callable[[Path], object], bytes]] = {}
    write_lossless(home / "film.mkv", frames, 25)
    originals["film.mkv"] = film_digest, (home / "film.mkv").read_bytes()
    for name in ("film.mp4", "film.avi", "film.ts"):
        write_video(home / name, 20)
        originals[name] = film_digest, (home / name).read_bytes()
    for name in ("image.png", "image.jpg", "image.tif", "image.gif", "image.webp", "image.bmp"):
        Image.fromarray(frames[0]).save(home / name)
        originals[name] = image_digest, (home / name).read_bytes()
    betas = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    originals["betas.pkl"] = _pickle_digest, pickle.dumps([betas, ["a", "b"]], protocol=4)
    for name, (read, content) in originals.items():
        for _, (how, damaged) in zip(range(count), mutated(content, rng), strict=False):
            # only a cut film has a right answer: that of the whole, or none
            right = _whole(read, home / name, content) if how == "cut" and name.startswith("film.") else UNKNOWN
            yield f"{name} {how}", _writing(read, name, damaged), right


def _pickle_digest(path: Path) -> str:
    return hashlib.sha256(repr(unpickle.read(path)).encode()).hexdigest()


def _whole(read, path: Path, content: bytes) -> object:
    path.write_bytes(content)
    return read(path)


def _writing(read: Callable[[Path], object], name: str, content: bytes) -> Callable[[Path], object]:
    def go(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return go


def displayed(count: int, rng: random.Random, home: Path) -> Iterator[Trial]:
    """Turn, mirror and widen films and images, and change the depth of images, whose right pixels are known."""
    from PIL import Image

    for k in range(count):
        seed, degrees, upright = rng.randrange(10**6), rng.choice((0, 90, 180, 270)), picture(k)
        yield "display matrix", lambda f, s=seed, d=degrees: _turned(f, s, d), _turned_right(seed, degrees)
        orientation = rng.randrange(1, 9)
        yield "EXIF", lambda f, o=orientation, u=upright: _exif(f, o, u), digest(upright)
        levels = np.random.default_rng(seed).integers(0, 256, (8, 8))
        stored = (levels * 257).astype(np.uint16)
        right = digest(np.repeat(levels[..., None], 3, 2).astype(np.uint8))
        yield "16 bits", _imaged(Image.fromarray(stored), "grey.png"), right
        white = np.full((8, 8, 3), 255, np.uint8)
        clear = np.dstack([white, levels.astype(np.uint8)])
        yield "alpha", _imaged(Image.fromarray(clear), "clear.png"), right


def _imaged(image, name: str) -> Callable[[Path], object]:
    content = io.BytesIO()
    image.save(content, format="PNG")
    return _writing(image_digest, name, content.getvalue())


def _exif(folder: Path, orientation: int, upright: np.ndarray) -> object:
    from PIL import Image

    exif, inverse = Image.Exif(), {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    turns = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (4,), 7: (6,), 8: (2,)}[inverse]
    exif[274], image = orientation, Image.fromarray(upright)
    for turn in turns:
        image = image.transpose(turn)
    image.save(folder / "x.png", exif=exif)
    return image_digest(folder / "x.png")


def _turned_right(seed: int, degrees: int) -> str:
    return digest(np.rot90(np.stack([picture(seed + k) for k in range(3)]), degrees // 90, axes=(1, 2)))


def _turned(folder: Path, seed: int, degrees: int) -> object:
    import av

    with av.open(str(folder / "x.mp4"), "w") as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(25), options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 24, 32, "rgb24"
        stream.set_display_rotation(degrees)
        for k in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(seed + k), format="rgb24")))
        container.mux(stream.encode())
    return film_digest(folder / "x.mp4")


def hostile_files(count: int, rng: random.Random, home: Path) -> Iterator[Trial]:
    """Put pipes, folders, loops of links, bombs and archives that lead elsewhere in the place of files."""
    for name, read in (("image.png", read_image), ("film.mp4", probe), ("betas.pkl", unpickle.read)):
        for kind, make in (
            ("pipe", os.mkfifo),
            ("folder", os.mkdir),
            ("loop", lambda path: os.symlink(path, path)),
            ("device", lambda path: os.symlink("/dev/zero", path)),
            ("empty", lambda path: path.touch()),
            ("script", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
        ):
            yield f"{kind} for {name}", lambda f, n=name, r=read, m=make: (m(f / n), r(f / n))[1], None
    chunk = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + chunk + struct.pack(">I", _crc(b"IHDR" + chunk))
    yield "bomb.png", _writing(image_digest, "bomb.png", bomb), None
    for levels in (60, 200):
        pairs = (b"]q" + bytes([k]) + b"(" + 2 * (b"h" + bytes([k - 1])) + b"e" for k in range(1, levels))
        content = b"\x80\x02]q\x00" + b"".join(pairs) + b"."
        yield (
            "references",
            _writing(lambda p: bool(unpickle.read(p)), "x.pkl", content),
            True,
        )
    text = b"X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q\x00c_codecs\nencode\nq\x01("
    calls = b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R" * 100_000
    yield "memory", _writing(unpickle.read, "x.pkl", b"\x80\x02" + text + calls + b"t."), None
    for name in ("../up", "/root", "a/../../up", "a\\..\\up", "a\nb"):
        yield f"zip {name!r}", _writing(_unpacked, "x.zip", _zip(name)), None
        yield f"tar {name!r}", _writing(_unpacked, "x.tar.gz", _tar(name, tarfile.REGTYPE)), None
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        yield "tar special", _writing(_unpacked, "x.tar.gz", _tar("a", kind)), None
    for name, content in (("x.zip", _zip("a")), ("x.tar.gz", _tar("a", tarfile.REGTYPE))):
        for _, (how, damaged) in zip(range(count), mutated(content, rng), strict=False):
            yield f"{name} {how}", _writing(_unpacked, name, damaged), UNKNOWN


def _crc(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


def _zip(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, b"content" * 50)
    return packed.getvalue()


def _tar(name: str, kind: bytes) -> bytes:
    packed, info = io.BytesIO(), tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    info.size = 350 if kind == tarfile.REGTYPE else 0
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        opened.addfile(info, io.BytesIO(b"content" * 50))
    return packed.getvalue()


def _unpacked(path: Path) -> object:
    """Unpack; a value, which is wrong, only if something appeared outside the archive's folder."""
    before = set(path.parent.parent.iterdir())
    fetching._unpack_one("study", path)
    return "outside" if set(path.parent.parent.iterdir()) != before else None


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler, bool], None]) -> Iterator[str]:
    """Run a server on loopback whose answers `answer` writes (handler, with body); yield its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args) -> None:
            return

        def do_HEAD(self) -> None:
            self.reply(False)

        def do_GET(self) -> None:
            self.reply(True)

        def reply(self, body: bool) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                answer(self, body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/a.bin"
    finally:
        server.shutdown()
        server.server_close()


def servers(count: int, rng: random.Random, home: Path) -> Iterator[Trial]:
    """Fetch from servers that send something else, too much, too little, too slowly, or another file half way."""
    content, other = rng.randbytes(50_000), rng.randbytes(50_000)
    page = b"<!doctype html><html>log in</html>"

    def fixed(body: bytes, **headers: str | None):
        def answer(handler: BaseHTTPRequestHandler, with_body: bool) -> None:
            handler.send_response(int(headers.get("status") or 200))
            stated = {"Content-Length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
            for name, value in stated.items():
                if value is not None and name != "status":
                    handler.send_header(name, value)
            handler.end_headers()
            if with_body:
                handler.wfile.write(body)

        return answer

    def slow(handler: BaseHTTPRequestHandler, with_body: bool) -> None:
        fixed(b"", Content_Length=str(len(content)))(handler, False)
        for k in range(400 if with_body else 0):
            handler.wfile.write(content[k : k + 1])
            handler.wfile.flush()
            time.sleep(0.01)

    def silent(handler: BaseHTTPRequestHandler, with_body: bool) -> None:
        for letter in "HTTP/1.1 200 OK\r\nX: " + "x" * 400:
            handler.wfile.write(letter.encode())
            handler.wfile.flush()
            time.sleep(0.02)

    answers = {
        "page": fixed(page),
        "page of the type": fixed(content, Content_Type="text/html"),
        "negative length": fixed(content, Content_Length="-7"),
        "no number": fixed(content, Content_Length="1e4"),
        "two lengths": fixed(content, Content_Length="50000, 3"),
        "shorter": fixed(content[:100], Content_Length="50000"),
        "longer": fixed(content, Content_Length="100"),
        "refused": fixed(b"no", status="403"),
        "gone": fixed(b"no", status="404"),
        "failing": fixed(b"no", status="500"),
        "partial": fixed(content[10:], status="206", Content_Range="bytes 10-49999/50000"),
        "around in a circle": fixed(b"", status="302", Location="/a.bin"),
        "to a file": fixed(b"", status="302", Location="file:///etc/passwd"),
        "to nowhere": fixed(b"", status="302", Location="http://[::1"),
        "terminal codes": fixed(b"", status="404", X="\x1b[2J"),
        "slow": slow,
        "slow header": silent,
    }
    for name, answer in itertools.islice(itertools.cycle(answers.items()), max(count, len(answers))):
        sum_ = None if name in ("page", "slow") else hashlib.sha256(content).hexdigest()
        right = hashlib.sha256(content).hexdigest() if name not in ("page",) else None
        yield f"server: {name}", lambda f, a=answer, s=sum_: _fetched(f, a, s), right
    for k in range(max(1, count // 4)):
        yield "server: changed", lambda f, c=k * 1000: _changed(f, content, other, c), hashlib.sha256(other).hexdigest()


def _fetched(folder: Path, answer, checksum: str | None) -> object:
    fetching.TIMEOUT_S, fetching.ATTEMPTS = 0.5, 2
    with served(answer) as url:
        size = fetching._length("study", url)
        fetching._download(fetching.Remote("a.bin", url, size, f"sha256:{checksum}" if checksum else None), folder)
    return hashlib.sha256((folder / "a.bin").read_bytes()).hexdigest()


def _changed(folder: Path, old: bytes, new: bytes, have: int) -> object:
    """A partial file of the old content, then a server with the new one, of the same length."""
    part = folder / ".a.bin.part"
    part.write_bytes(old[:have])
    fetching._validators(part).write_text('{"etag": "\\"old\\"", "modified": ""}')

    def answer(handler: BaseHTTPRequestHandler, body: bool) -> None:
        wanted = handler.headers.get("Range") if handler.headers.get("If-Range") == '"new"' else None
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        handler.send_response(206 if wanted else 200)
        handler.send_header("Content-Length", str(len(new) - start))
        handler.send_header("ETag", '"new"')
        handler.end_headers()
        if body:
            handler.wfile.write(new[start:])

    return _fetched(folder, answer, None)


ODD = ("", "inf", "nan", "-1", "1e300", "CPU", "\x1b[2J", "a\nb", "../..", "=1+1", "9" * 400, "\U0001f4a5", "-", "0x10")
OPTIONS = (
    *("--device", "--splits", "--clip-duration", "--gap", "--seed", "--batchsize", "--fps", "--layers"),
    *("--output", "--inference-mode", "--protocol", "--jobs", "--hrf", "--decoder", "--model", "--datasets"),
    *("--no-such-option", "--high-pass"),
)


def command_lines(count: int, rng: random.Random, home: Path) -> Iterator[Trial]:
    """Give every option odd values, in a dry run; the exit code must be 0 or 2."""
    if not (warm := os.fork()):  # renders the data and stores the cards once, without a limit of time
        with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
            _exit_code(home, ["-m", "fake-net", "-d", "fake-clips-fmri", "--dry-run", "--quiet"])
        os._exit(0)
    os.waitpid(warm, 0)
    for option, value in itertools.product(OPTIONS, ODD):
        given = ["-m", "fake-net", "-d", "fake-clips-fmri", "--dry-run", f"{option}={value}"]
        yield f"{option}", lambda f, g=given: _exit_code(f, g) in (0, 2), True


def _exit_code(folder: Path, arguments: list[str]) -> int:
    group = next(path for path in (folder, *folder.parents) if path.name == "command_lines")
    os.environ["DYNAMIC_VISION_HOME"] = str(group / "home")
    os.environ["DATA_HOME"] = str(group / "data")
    os.chdir(folder)
    try:
        return run_score("fmri", arguments)
    except SystemExit as error:  # argparse
        return int(error.code or 0)


GROUPS = (mutations, displayed, hostile_files, servers, command_lines)


def main() -> int:
    """Run the trials and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=30, help="trials per kind of random fault (default 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[group.__name__ for group in GROUPS], help="one group")
    parser.add_argument("--verbose", action="store_true", help="name each trial that did not end well")
    options = parser.parse_args()
    total: Counter = Counter()
    with tempfile.TemporaryDirectory(prefix="fault-inputs-") as place:
        home = Path(place)
        for group in [g for g in GROUPS if options.only in (None, g.__name__)]:
            tally: Counter = Counter()
            begin = time.monotonic()
            (home / group.__name__).mkdir()
            for number, (name, work, right) in enumerate(
                group(options.count, random.Random(options.seed), home / group.__name__)
            ):
                folder = home / group.__name__ / f"{number}" / "inside"
                folder.mkdir(parents=True)
                ended = outcome(lambda w=work, f=folder: w(f), right)
                tally.update(["tried", ended])
                if ended != "fine" and options.verbose:
                    print(f"  {name}: {ended}", flush=True)
            total += tally
            counts = ", ".join(f"{tally[name]} {name}" for name in ("tried", *OUTCOMES))
            print(f"{group.__name__:14} {counts}; {time.monotonic() - begin:.0f} s", flush=True)
    print(", ".join(f"{total[name]} {name}" for name in ("tried", *OUTCOMES)))
    return 1 if any(total[name] for name in OUTCOMES) else 0


if __name__ == "__main__":
    sys.exit(main())
