"""Shared parts of the tests of the public tasks: open files served on loopback, and counts."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from src.data.declare import counts
from src.data.fetching import fetch
from src.data.release import Http
from src.records import Labels
from tests.data.loopback import serving


def fetch_from_loopback(declared, files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Fetch a dataset from a local server with `files` {path: content}, unchecked; return what is missing."""
    with serving(files) as server:
        local = {}
        for need in declared.needs:
            if isinstance(need.origin, Http):
                urls = {path: server.url(path) for path in need.origin.files}
                local.setdefault(id(need.origin), replace(need.origin, files=urls, sha256={}))
        needs = tuple(replace(need, origin=local.get(id(need.origin), need.origin)) for need in declared.needs)
        return fetch(replace(declared, needs=needs), folder)


def assert_counts(record: Labels, expected: Mapping[str, int]) -> None:
    """Check that a record has the expected counts."""
    found = counts(record)
    assert {what: found[what] for what in expected} == dict(expected)
