"""Own scores ranked among those of bundles, and bundles verified by computing some of their scores again."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..pipeline import ADDED_OPTIONS, Reporter, Request, keys, score
from ..store import ScoreKey
from ..utils import BadInput, counted, seed_from
from .bundle import different_results, is_public, read_bundle, row_name
from .rows import Row
from .scores import BenchmarkScores

YOURS = "yours"
COMPARED = ("metric", "protocol", "version", "data")
VALUES = ("test", "low", "high", "normalised", "normalised_low", "normalised_high", "ceiling")


@dataclass(frozen=True)
class Ranking:
    """Own scores among those of bundles.

    Parameters
    ----------
    rows : list of Row
        A row per score, benchmark by benchmark, best first.
    refused : list of str
        A line per row of a bundle that was scored otherwise, with the fields that differ.
    n_elsewhere : int
        Rows of bundles on datasets without an own score.
    """

    rows: list[Row]
    refused: list[str]
    n_elsewhere: int


def rank_against(benchmarks: Sequence[BenchmarkScores], paths: Iterable[str | Path]) -> Ranking:
    """Rank own scores among those of bundles.

    Parameters
    ----------
    benchmarks : sequence of BenchmarkScores
        Own scores.
    paths : iterable of str or Path
        Bundles, see `read_bundle`.

    Returns
    -------
    Ranking
        A row of a bundle is ranked if metric, protocol, version, digest of the data and every option that changes a
        score are those of an own benchmark. The same score in both is listed once, as one's own.

    Raises
    ------
    BadInput
        For a bundle that was edited, and if no row of any bundle can be ranked.
    """
    bundles = [read_bundle(path) for path in paths]
    foreign: dict[str, list[Row]] = {b.title: [] for b in benchmarks}
    refused, n_elsewhere = [], 0
    for bundle in bundles:
        for row in bundle.scores:
            near = [b for b in benchmarks if _same_data(b, row)]
            if not near:
                n_elsewhere += 1
                continue
            differing = {b.title: different_fields(b, row) for b in near}
            title = min(differing, key=lambda one: len(differing[one]))
            if differing[title]:
                refused.append(f"{row_name(row)} of {bundle.name}: {'; '.join(differing[title])}")
            else:
                foreign[title].append(row | {"source": bundle.name})
    if not any(foreign.values()):
        reason = refused[0] if refused else "no own score on any of their datasets"
        raise BadInput(
            f"no row of {', '.join(map(str, paths))} can be ranked with yours ({reason}); score the same data"
        )
    return Ranking([row for b in benchmarks for row in _ranked(b, foreign[b.title])], refused, n_elsewhere)


def _same_data(benchmark: BenchmarkScores, row: Row) -> bool:
    return benchmark.benchmark == row["benchmark"] and list(benchmark.datasets) == list(row["datasets"])


def different_fields(benchmark: BenchmarkScores, row: Row) -> list[str]:
    """Return the fields in which a row of a bundle differs from an own benchmark, as "FIELD theirs, yours VALUE"."""
    score = benchmark.scores[0]
    own = {
        "metric": benchmark.facts["metric"],
        "protocol": benchmark.facts["options"]["protocol"],
        "version": score.item.key.get("version"),
        "data": list(score.item.key.get("data", ())),
    }
    pairs = {name: (row[name], own[name]) for name in COMPARED}
    theirs, ours = (_options(options) for options in (row["options"], score.item.key.get("options", ())))
    pairs |= {f"options.{name}": (theirs.get(name), ours.get(name)) for name in {**theirs, **ours}}
    return [f"{name} {_short(a)}, yours {_short(b)}" for name, (a, b) in pairs.items() if a != b]


def _options(options: Iterable[Sequence[Any]]) -> dict[str, Any]:
    skipped = {*ADDED_OPTIONS, "protocol"}
    return {name: value for name, value in options if name not in skipped}


def _short(value: Any) -> str:
    """Return a value in a message; of a digest, its first digits."""
    if isinstance(value, list | tuple):
        return " ".join(_short(item) for item in value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:12] if len(text) == 64 else text


def _ranked(benchmark: BenchmarkScores, foreign: Sequence[Row]) -> list[Row]:
    """Return the rows of one benchmark, best first; none without a row of a bundle."""
    if not foreign:
        return []
    own = [
        {"model": s.label, "source": YOURS, "digest": s.item.digest}
        | {name: s.headline.get(_OWN_NAMES.get(name, name)) for name in VALUES}
        | {"ceiling": s.facts["ceiling"]}
        for s in benchmark.scores
    ]
    known = {row["digest"] for row in own}
    theirs = [
        {"model": row["label"], "source": row["source"], "digest": row["digest"]} | {n: row[n] for n in VALUES}
        for row in foreign
        if row["digest"] not in known and not known.add(row["digest"])
    ]
    key, direction = benchmark.key, benchmark.direction
    rows = sorted([*own, *theirs], key=lambda row: np.inf if row[key] is None else -direction * row[key])
    return [{"benchmark": benchmark.title, "rank": i} | row for i, row in enumerate(rows, start=1)]


_OWN_NAMES = {"normalised_low": "low_normalised", "normalised_high": "high_normalised"}


@dataclass(frozen=True)
class Verified:
    """One row of a bundle that was computed again.

    row: of the bundle; test: of the new score, None where it could not be computed; problem: what differs, "" if
    nothing does.
    """

    row: Row
    test: float | None
    problem: str


def verify_bundle(
    config: Config,
    path: str | Path,
    n_rows: int = 3,
    seed: int = 0,
    report: Reporter | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> list[Verified]:
    """Compute some scores of a bundle again, from the start and in a store of their own, and compare the results.

    Parameters
    ----------
    config : Config
        Homes of data and weights; its store is neither read nor written.
    path : str or Path
        The bundle.
    n_rows : int
        Number of rows, chosen at random (default: 3).
    seed : int
        Seed of the choice.
    report : Reporter, optional
        Progress of the computation.
    log : callable
        Called with a line per row.

    Returns
    -------
    list of Verified

    Raises
    ------
    BadInput
        For a bundle that cannot be read or was edited, and if all of its rows are of users' own files.
    """
    bundle = read_bundle(path)
    rows = [row for row in bundle.scores if is_public(row)]
    if not rows:
        raise BadInput(f"{path}: all rows are of users' own files; expected models and datasets that are known by name")
    rng = np.random.default_rng(seed_from("verify", seed))
    chosen = [rows[i] for i in sorted(rng.permutation(len(rows))[:n_rows])]
    found = []
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        home = replace(config, results_home=Path(folder) / "results", activations_home=Path(folder) / "activations")
        for row in chosen:
            log(f"computing {row_name(row)}")
            found.append(_verify(row, home, report))
    return found


def _verify(row: Row, config: Config, report: Reporter | None) -> Verified:
    try:
        request = request_of(row)
        (key,) = (key for key in keys(request, config) if isinstance(key, ScoreKey))
        differing = [name for name in ("data", "activations", "version") if list_of(getattr(key, name)) != row[name]]
        if differing:
            names = ["model_digest or input" if name == "activations" else name for name in differing]
            return Verified(row, None, f"{', '.join(names)} is not that of this installation")
        (made,) = score(request, config, report)
    except BadInput as error:
        return Verified(row, None, f"cannot be computed here: {error}")
    headline = made.facts["headline"]
    again = {name: headline.get(name) for name in ("test", "valid", "normalised")}
    again |= {"one_layer": made.facts["one_layer"]["test"], "ceiling": made.facts["ceiling"]}
    fields_off = different_results(row, again | {"benchmark": row["benchmark"]})
    texts = [f"{name} {_short(row[name])}, computed again {_short(again[name])}" for name in fields_off]
    return Verified(row, again["test"], "; ".join(texts))


def list_of(value: Any) -> Any:
    """Return a tuple as a list, anything else unchanged."""
    return list(value) if isinstance(value, tuple) else value


def request_of(row: Row) -> Request:
    """Return the request behind a row of a bundle."""
    options = dict(row["options"])
    known = {field.name: field.type for field in fields(Request)}
    chosen: Mapping[str, Any] = {name: value for name, value in options.items() if name in known}
    chosen = {name: _as_field(value, known[name]) for name, value in chosen.items()}
    chosen["protocol"] = str(options["protocol"]).split()[0]
    if row["benchmark"] in ("task", "behaviour"):
        # the dataset declares its decoder
        chosen.pop("decoder", None)
    if row["mode"] == "frames":
        chosen["fps"] = row["fps"]
    elif row["mode"]:
        chosen |= {"mode": row["mode"], "context_ms": row["context_ms"]}
    if row["mode"]:
        chosen |= {"precision": row["precision"], "layers": tuple(row["layers"])}
    return Request(row["benchmark"], row["model"], tuple(row["datasets"]), **chosen)


def _as_field(value: Any, kind: Any) -> Any:
    """Return the value of an option as its field of a request holds it: counts as int."""
    is_count = kind in (int, "int") and isinstance(value, float) and value.is_integer()
    return int(value) if is_count else value


def summary(found: Sequence[Verified]) -> str:
    """Return the number of rows that agree, as text."""
    agree = sum(not one.problem for one in found)
    return f"{agree} of {counted(len(found), 'row')} computed again with the same results"
