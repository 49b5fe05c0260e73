"""A public release on this disk: which of its files a dataset needs, where each comes from, and what was made of it.

A study's file says what it needs (`Need`) and reads a `Release`; listing, fetching, preparing and checking are written
once, in this package, and know no study by name.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..utils import BadInput, array_digest, digest

Progress = Callable[[float, float, str], None]
SHOWN_MISSING = 10


@dataclass(frozen=True)
class OpenNeuro:
    """Files of an OpenNeuro dataset (public, CC0): those whose path in it matches one of the glob patterns `paths`."""

    accession: str
    paths: tuple[str, ...]
    gigabytes: float


@dataclass(frozen=True)
class Http:
    """Files at open addresses: `files` {path below the study's folder: url}.

    sha256: {path: checksum} where the publisher states one, or one was taken; unpack: the archives among the files
    (.zip, .tar, .tar.gz), unpacked into the folder that they lie in.
    """

    files: Mapping[str, str]
    gigabytes: float
    sha256: Mapping[str, str] = field(default_factory=dict)
    unpack: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrainScore:
    """An assembly or stimulus set that Brain-Score's own loader fetches and keeps in BRAINIO_HOME."""

    identifier: str
    gigabytes: float


@dataclass(frozen=True)
class ByHand:
    """What only the user can get: an account, an agreement, a request to the authors, a computation of their own."""

    instructions: str
    gigabytes: float = 0.0


Origin = OpenNeuro | Http | BrainScore | ByHand


@dataclass(frozen=True)
class Need:
    """Files that a dataset is read from.

    what: in a few words; pattern: a glob below the study's folder; count: how many a whole release has, None where that
    is not known (then at least one); origin: where they come from; optional: read where they are there.
    """

    what: str
    pattern: str
    origin: Origin
    count: int | None = None
    optional: bool = False

    def found(self, folder: Path) -> list[Path]:
        """The files that are there, sorted; hidden ones, as a broken-off download's, and prepared data do not count."""
        paths = [path for path in folder.glob(self.pattern) if path.is_file()]
        parts = [path.relative_to(folder).parts for path in paths]
        hidden = [any(part[0] == "." and part != ".." for part in own) or own[0] == "prepared" for own in parts]
        return sorted(path for path, left_out in zip(paths, hidden, strict=True) if not left_out)

    def missing(self, folder: Path) -> int:
        """How many are missing; 1 where the count is not known and there is none."""
        return max(0, (self.count or 1) - len(self.found(folder)))


def _silent(done: float, total: float, text: str = "") -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Release:
    """The files of one dataset, and how it is to be prepared.

    name: the dataset's; folder: DATA_HOME/<study>; options: {option: value} of the preparation, as the declaration
    lists them; jobs: how many parts may be worked on at a time; progress: called with (done, total, text).
    """

    name: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1
    progress: Progress = _silent

    def file(self, path: str) -> Path:
        """A file of the release; BadInput with the command that gets it where it is not there."""
        return self.require([self.folder / path])[0]

    def files(self, pattern: str, at_least: int = 1) -> list[Path]:
        """The files that match a glob below the folder, sorted; BadInput where there are fewer than `at_least`."""
        found = sorted(path for path in self.folder.glob(pattern) if path.is_file())
        if len(found) < at_least:
            raise BadInput(
                f"{self.name}: {len(found)} files match {pattern} in {self.folder}; expected at least {at_least}; "
                f"run: python -m src.data fetch {self.name}"
            )
        return found

    def require(self, paths: Sequence[Path]) -> list[Path]:
        """The paths; BadInput that names the first ten missing ones, their number, and the command that gets them."""
        missing = [path for path in paths if not path.is_file()]
        if missing:
            names = ", ".join(str(path.relative_to(self.folder)) for path in missing[:SHOWN_MISSING])
            more = f" and {len(missing) - SHOWN_MISSING} more" if len(missing) > SHOWN_MISSING else ""
            raise BadInput(
                f"{self.name}: {len(missing)} of {len(paths)} files are missing in {self.folder}: {names}{more}; "
                f"run: python -m src.data fetch {self.name}"
            )
        return list(paths)

    @property
    def parts(self) -> Path:
        """Where finished parts of the preparation are kept, so that a killed one goes on."""
        return self.folder / "prepared" / f".{self.name}-parts"

    def discard_parts(self) -> None:
        """Remove the parts, once the whole is stored."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def manifest(self, name: str) -> Path:
        """A file beside the prepared data that lists what was drawn from the release, for people and for variants."""
        return self.folder / "prepared" / f"{name}.csv"

    def part(self, name: str, inputs: Sequence[Path], make: Callable[[], np.ndarray], version: int = 1) -> np.ndarray:
        """One float32 array made from `inputs`, memory-mapped: kept from an earlier run while these are unchanged.

        Several parts may be made at a time, in threads or processes. `version` rises when `make` changes its mind.
        """
        stamp = [[str(p.relative_to(self.folder)), p.stat().st_size, p.stat().st_mtime_ns] for p in inputs]
        recipe = digest([self.name, name, version, dict(self.options), stamp])
        kept = self.parts / f"{name}-{recipe[:16]}.npy"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            values = np.asarray(make(), dtype=np.float32)
            beside = kept.with_name(f".{kept.stem}-{array_digest(values)[:8]}.npy")
            np.save(beside, values)
            beside.replace(kept)
        return np.load(kept, mmap_mode="r")
