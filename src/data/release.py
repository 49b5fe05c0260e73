"""Files of a public release: those that a dataset needs, their origins, and the parts made from them.

A study's module declares its files (`Need`) and reads a `Release`. Listing, fetching, preparing and checking are
written once, in this package, for all studies.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import kind_of, replacing_file, require_regular
from ..utils import BadInput, digest, first_names

Progress = Callable[[float, float, str], None]


def fetch_hint(name: str) -> str:
    """Return the last part of an error message: the command that fetches the dataset `name`."""
    return f"run: dynamic-vision data fetch {name}"


@dataclass(frozen=True)
class OpenNeuro:
    """Files of an OpenNeuro dataset (public, CC0).

    Parameters
    ----------
    accession : str
        Number of the dataset, such as "ds004798".
    paths : tuple of str
        Glob patterns; a file belongs to the origin if its path in the dataset matches one of them.
    gigabytes : float
        Size of these files, in GB.
    """

    accession: str
    paths: tuple[str, ...]
    gigabytes: float


@dataclass(frozen=True)
class Http:
    """Files at open addresses.

    Parameters
    ----------
    files : mapping of str to str
        {path below the study's folder: URL}.
    gigabytes : float
        Size of these files, in GB; 0 if unknown.
    sha256 : mapping of str to str, default {}
        {path: SHA-256} of the files with a known checksum.
    unpack : tuple of str, default ()
        Paths of the archives among the files (.zip, .tar, .tar.gz), which are unpacked into their own folder.
    """

    files: Mapping[str, str]
    gigabytes: float
    sha256: Mapping[str, str] = field(default_factory=dict)
    unpack: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrainScore:
    """Assembly or stimulus set that Brain-Score's loader fetches and stores in BRAINIO_HOME.

    Parameters
    ----------
    identifier : str
        Name of the set in Brain-Score.
    gigabytes : float
        Size of its files, in GB.
    """

    identifier: str
    gigabytes: float


@dataclass(frozen=True)
class ByHand:
    """Files that only the user can get: with an account, an agreement, a request to the authors, or by computation.

    Parameters
    ----------
    instructions : str
        Steps to get the files, and their place below the study's folder.
    gigabytes : float, default 0.0
        Size of the files, in GB; 0 if unknown.
    """

    instructions: str
    gigabytes: float = 0.0


Origin = OpenNeuro | Http | BrainScore | ByHand


@dataclass(frozen=True)
class Need:
    """Files of a release that a dataset is read from.

    Parameters
    ----------
    what : str
        Name of the files in a few words, unique within the dataset.
    pattern : str
        Glob pattern below the study's folder.
    origin : OpenNeuro, Http, BrainScore or ByHand
        Source of the files.
    count : int, optional
        Number of the files in a whole release; None if it is not known, and then at least one is expected.
    optional : bool, default False
        Whether the dataset can be read without the files.

    Examples
    --------
    >>> need = Need("films", "films/*.mp4", ByHand("ask the authors"), count=3)
    >>> need.missing(Path("empty folder"))
    3
    """

    what: str
    pattern: str
    origin: Origin
    count: int | None = None
    optional: bool = False

    def found(self, folder: Path) -> list[Path]:
        """Return the files in the study's `folder`, sorted, without hidden files (downloads) and prepared data."""
        kept = []
        for path in folder.glob(self.pattern):
            parts = path.relative_to(folder).parts
            hidden = any(part[0] == "." and part != ".." for part in parts)
            if path.is_file() and not hidden and parts[0] != "prepared":
                kept.append(path)
        return sorted(kept)

    def missing(self, folder: Path) -> int:
        """Return the number of files missing in the study's `folder`; at most 1 if the count is not known."""
        return max(0, (self.count or 1) - len(self.found(folder)))


def _silent(done: float, total: float, text: str = "") -> None:
    """Ignore a report of progress."""


@dataclass(frozen=True)
class Release:
    """Files of one dataset on this disk, and the options of its preparation.

    Parameters
    ----------
    name : str
        Name of the dataset.
    folder : Path
        Folder of the study, DATA_HOME/<study>.
    options : mapping of str to str, default {}
        {option: value} of the preparation, as the declaration lists them.
    jobs : int, default 1
        Number of items to process in parallel.
    progress : callable, default silent
        Called with (done, total, text).
    """

    name: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1
    progress: Progress = _silent

    def file(self, path: str) -> Path:
        """Return the file at `path` below the folder.

        Raises
        ------
        BadInput
            If the file is missing; names the command that fetches it.
        """
        return self.require([self.folder / path])[0]

    def files(self, pattern: str, at_least: int = 1) -> list[Path]:
        """Return the files below the folder that match a glob pattern, sorted.

        Raises
        ------
        BadInput
            If fewer than `at_least` match.
        """
        found = sorted(path for path in self.folder.glob(pattern) if path.is_file())
        if len(found) < at_least:
            raise BadInput(
                f"{self.name}: {len(found)} files match {pattern} in {self.folder}; expected at least {at_least}; "
                f"{fetch_hint(self.name)}"
            )
        return found

    def require(self, paths: Sequence[Path]) -> list[Path]:
        """Return `paths`, all of which are files below the folder.

        Raises
        ------
        BadInput
            If files are missing; gives their number, the first ten names and the command that fetches them. If
            something else, such as a folder or a named pipe, is in the place of one.
        """
        absent = [path for path in paths if not path.is_file()]
        for path in absent:
            if kind_of(path) != "nothing":
                require_regular(path, "a file of the release")
        missing = [str(path.relative_to(self.folder)) for path in absent]
        if missing:
            raise BadInput(
                f"{self.name}: {len(missing)} of {len(paths)} files are missing in {self.folder}: "
                f"{first_names(missing, 10)}; {fetch_hint(self.name)}"
            )
        return list(paths)

    @property
    def parts(self) -> Path:
        """Folder of the finished parts of a preparation, from which an interrupted one resumes."""
        return self.folder / "prepared" / f".{self.name}-parts"

    def discard_parts(self) -> None:
        """Remove the parts, once the whole dataset is stored."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def manifest(self, name: str) -> Path:
        """Return the path of the csv file, beside the prepared data, that lists the stimuli sampled under `name`."""
        return self.folder / "prepared" / f"{name}.csv"

    def part(self, name: str, inputs: Sequence[Path], make: Callable[[], np.ndarray], version: int = 1) -> np.ndarray:
        """Return one array of the preparation, from an earlier run if its inputs are unchanged.

        Several parts may be made at a time, in threads or processes.

        Parameters
        ----------
        name : str
            Name of the part, unique within the dataset.
        inputs : sequence of Path
            Files below the folder that the part is made from; size and time of change identify their content.
        make : callable
            Returns the array.
        version : int, default 1
            Version of `make`, to be raised when its result changes.

        Returns
        -------
        float32 array
            Memory-mapped.
        """
        stamp = [[str(p.relative_to(self.folder)), p.stat().st_size, p.stat().st_mtime_ns] for p in inputs]
        recipe = digest([self.name, name, version, dict(self.options), stamp])
        kept = self.parts / f"{name}-{recipe[:16]}.npy"
        if not kept.is_file():
            values = np.asarray(make(), dtype=np.float32)
            with replacing_file(kept) as temporary, open(temporary, "wb") as handle:
                np.save(handle, values)
        return np.load(kept, mmap_mode="r")
