"""Bundles: scores that travel, as Parquet tables and a JSON card with digests of every column.

A bundle holds what ranks a score and what identifies its inputs: protocol, options, digests of data and model,
replicates, ceilings and versions. Paths and notes of the machine are left out.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Config
from ..files import DamagedFile, encode_json, read_json, reading, replacing_folder, write_atomic, writing
from ..models import membership
from ..store import ScoreKey, Store, key_digest
from ..tables import frame, write_rows
from ..utils import BadInput, digest, first_names
from .dataset_card import dataset_card
from .rows import Row
from .scores import BenchmarkScores, StoredScore, collect, public_name

if TYPE_CHECKING:
    import pandas as pd

CARD, README = "card.json", "README.md"
# bundles in the package, by name
SHIPPED = {"baselines": Path(__file__).with_name("baselines")}
TABLES = ("scores", "regions", "layers", "replicates")
# largest difference of two computations of one score: solvers of classifiers end at a tolerance
TOLERANCE = {"task": 0.01, "behaviour": 0.01}
DEFAULT_TOLERANCE = 1e-4
RESULTS = ("test", "valid", "normalised", "one_layer", "ceiling")
KEY_FIELDS = ("benchmark", "model", "datasets", "activations", "data", "options", "version")
LISTS = ("datasets", "activations", "data", "layers", "options")


@dataclass(frozen=True)
class Bundle:
    """Scores read from a bundle.

    Parameters
    ----------
    name : str
        Name of its folder or file.
    card : mapping
        Content of the card; empty for a table that was given without one.
    tables : dict of {str: DataFrame}
        "scores", and "regions", "layers", "replicates" where they were read.
    """

    name: str
    card: Mapping[str, Any]
    tables: "dict[str, pd.DataFrame]"

    @property
    def scores(self) -> list[Row]:
        """Rows of the scores, with None for missing values and lists in place of JSON text."""
        return [_decoded(row) for row in _plain(self.tables["scores"]).to_dict("records")]


@dataclass(frozen=True)
class Written:
    """Files of a written bundle, its numbers of scores and benchmarks, and the scores that were left out."""

    folder: Path
    n_scores: int
    n_benchmarks: int
    problems: tuple[str, ...]


def write_bundle(
    config: Config,
    output: str | Path,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    replicates: bool = True,
) -> Written:
    """Write the stored scores as a bundle.

    Parameters
    ----------
    config : Config
    output : str or Path
        Folder of the bundle, replaced as a whole if it is one already.
    models, datasets : sequence of str
        Names of stored models and datasets; empty for all.
    replicates : bool
        Also write the bootstrap draws, which are most of a bundle's size (default: True).

    Raises
    ------
    BadInput
        If no stored score matches, or `output` is a file or a folder of something else.
    """
    folder = _output(output)
    benchmarks, problems = collect(config, models, datasets)
    items = list(Store(config, read_only=True).items())
    inputs = {item.digest: item.key for item in items if item.kind == "activations"}
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for benchmark in benchmarks:
        for score in benchmark.scores:
            try:
                draws = _replicate_rows(score) if replicates else []
            except DamagedFile as damage:
                problems.append(f"{score.name}: {damage}")
                continue
            tables["scores"].append(_score_row(benchmark, score, inputs))
            tables["regions"] += _region_rows(score)
            tables["layers"] += _layer_rows(score)
            tables["replicates"] += draws
    if not tables["scores"]:
        raise BadInput(f"no score can be read ({first_names(problems, 3)}); run `dynamic-vision store verify`")
    _write(tables, folder)
    return Written(folder, len(tables["scores"]), len(benchmarks), tuple(problems))


def _output(output: str | Path) -> Path:
    """Return the folder of a bundle to write; raise BadInput for a place that holds something else."""
    folder = Path(output).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--output {output} is a file; expected a folder for the bundle")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).exists():
        raise BadInput(f"--output {output} is a folder with other files; expected a new folder, or a bundle to replace")
    return folder


def file_name_only(name: str) -> str:
    """Return a model's or dataset's name without any folder, also those of relative paths.

    >>> [file_name_only(name) for name in ("nets/own.py:make", "Finetune-r3d_18=runs/best.pt", "hf:org/net")]
    ['own.py:make', 'Finetune-r3d_18=best.pt', 'hf:org/net']
    """
    start, equals, path = name.partition("=")
    if equals:
        return f"{start}={_last(path)}"
    scheme = re.match(r"(hf:|timm:)(?![/.~])", name)
    return name if scheme else _last(name)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _score_row(benchmark: BenchmarkScores, score: StoredScore, inputs: Mapping[str, Mapping]) -> Row:
    """Return the row of a score; inputs: {digest: key} of the stored activations."""
    facts, headline, key = score.facts, score.headline, score.item.key
    provenance = score.item.manifest.get("provenance", {})
    activations = [inputs[one] for one in key.get("activations", []) if one in inputs]
    shown = activations[0] if activations else {}
    member = membership(score.item.model)
    interval, permutation = facts.get("interval") or {}, facts.get("permutation") or {}
    ceiling_ends = facts.get("ceiling_interval") or [None, None]
    name = file_name_only(score.item.model)
    row = {
        "digest": score.item.digest,
        "benchmark": facts["benchmark"],
        "datasets": [file_name_only(one) for one in facts["datasets"]],
        "model": name,
        "label": score.label.replace(public_name(score.item.model), name),
        "group": member.group,
        "family": file_name_only(member.family),
        "input": {True: "video", False: "image", None: ""}[member.dynamic],
        "metric": facts["metric"],
        "protocol": facts["options"]["protocol"],
        "options": key["options"],
        "version": key["version"],
        "data": key["data"],
        "activations": key["activations"],
        "model_digest": shown.get("model_digest", ""),
        "layers": list(shown.get("layers", [])),
        "mode": shown.get("mode", ""),
        "context_ms": shown.get("context_ms"),
        "precision": shown.get("precision", ""),
        "fps": shown.get("fps"),
        "step_times": shown.get("step_times", ""),
        "layer": headline["layer"],
        "test": headline["test"],
        "test_sd": headline["test_sd"],
        "low": headline.get("low"),
        "high": headline.get("high"),
        "valid": headline["valid"],
        "normalised": headline.get("normalised"),
        "normalised_low": headline.get("low_normalised"),
        "normalised_high": headline.get("high_normalised"),
        "one_layer": facts["one_layer"]["test"],
        "one_layer_name": facts["one_layer"]["layer"],
        "accuracy": headline.get("accuracy"),
        "null": headline.get("null"),
        "p": permutation.get("p"),
        "ceiling": facts["ceiling"],
        "ceiling_low": ceiling_ends[0],
        "ceiling_high": ceiling_ends[1],
        "reliability": facts["reliability"],
        "targets": facts["targets"],
        "masked": facts["masked"],
        "splits": facts.get("splits"),
        "chance": facts["notes"].get("chance"),
        "resampled": interval.get("unit") or "",
        "resamples": interval.get("n"),
        "created": provenance.get("created") or "",
        "seconds": provenance.get("seconds"),
        "device": provenance.get("device") or "",
        "commit": provenance.get("commit") or "",
        "python": provenance.get("python") or "",
        "packages": dict(provenance.get("packages", {})),
        "seed": provenance.get("seed"),
    }
    return row | {"sha256": row_digest(row)}


def _region_rows(score: StoredScore) -> list[Row]:
    names = ("region", "targets", "ceiling", "layer", "test", "low", "high", "normalised", "one_layer")
    return [{"digest": score.item.digest} | {name: row.get(name) for name in names} for row in score.facts["regions"]]


def _layer_rows(score: StoredScore) -> list[Row]:
    names = ("layer", "valid", "test", "test_sd", "normalised")
    rows = enumerate(score.facts["layers"])
    return [{"digest": score.item.digest, "index": i} | {name: row.get(name) for name in names} for i, row in rows]


def _replicate_rows(score: StoredScore) -> list[Row]:
    """Return a row per bootstrap draw of the headline, none without an interval."""
    if not score.facts.get("interval"):
        return []
    found = score.item.read_arrays(("bootstrap", "bootstrap_normalised"))
    test = np.asarray(found["bootstrap"], float)
    normalised = np.asarray(found.get("bootstrap_normalised", np.full(len(test), np.nan)), float)
    return [
        {"digest": score.item.digest, "draw": i, "test": a, "normalised": None if b != b else b}
        for i, (a, b) in enumerate(zip(test.tolist(), normalised.tolist(), strict=True))
    ]


def row_digest(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a row of scores without its column sha256; 4 and 4.0 are one number."""
    return digest({name: _canonical(value) for name, value in row.items() if name != "sha256"})


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if value != value else repr(float(value))
    return value


def column_digest(values: "pd.Series") -> str:
    """Return the SHA-256 of a column: numbers as float64 bytes, anything else as JSON."""
    if values.dtype.kind in "iuf":
        numbers = values.to_numpy(dtype="<f8")
        return hashlib.sha256(np.where(np.isnan(numbers), np.nan, numbers).tobytes()).hexdigest()
    texts = [None if value is None or value != value else str(value) for value in values]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _write(tables: Mapping[str, "list[Row] | pd.DataFrame"], folder: Path) -> None:
    """Write the tables, the card and the dataset card to a folder, wholly or not at all."""
    frames = {name: frame(rows) for name, rows in tables.items() if len(rows)}
    with writing(folder, "--output"), replacing_folder(folder) as part:
        for name, table in frames.items():
            write_rows(table, part / f"{name}.parquet")
        write_atomic(part / CARD, encode_json(_card(frames)))
        write_atomic(part / README, dataset_card(frames, _card(frames)).encode())


def _card(frames: "Mapping[str, pd.DataFrame]") -> dict[str, Any]:
    scores = [_decoded(row) for row in _plain(frames["scores"]).to_dict("records")]
    data = {name: one for row in scores for name, one in zip(row["datasets"], row["data"], strict=False)}
    return {
        "kind": "dynamic-vision bundle",
        "bundle_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": _program_version(),
        "protocols": sorted({row["protocol"] for row in scores}),
        "data": data,
        "models": {row["model"]: row["model_digest"] for row in scores},
        "n_scores": len(scores),
        "tables": {
            name: {"rows": len(table), "columns": {column: column_digest(table[column]) for column in table}}
            for name, table in frames.items()
        },
    }


def _program_version() -> str:
    try:
        return version("dynamic-vision")
    except PackageNotFoundError:
        return ""


def read_bundle(path: str | Path) -> Bundle:
    """Read and check a bundle.

    Parameters
    ----------
    path : str or Path
        Folder of a bundle, the file of a bundle's scores alone, or "baselines": the bundle in the package.

    Returns
    -------
    Bundle

    Raises
    ------
    BadInput
        If there is no bundle, or a value differs from what was written: the message names row and field.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        folder = SHIPPED.get(str(path), folder)
    alone = folder.is_file()
    if not alone and not (folder / CARD).is_file():
        raise BadInput(f"{path} holds no {CARD}; expected a folder that `dynamic-vision report bundle` wrote")
    card = {} if alone else _read_card(folder, path)
    files = {"scores": folder} if alone else {name: folder / f"{name}.parquet" for name in card["tables"]}
    tables = {name: _read_table(file) for name, file in files.items()}
    found = Bundle(folder.name, card, tables)
    _check_columns(found, path)
    for row in found.scores:
        _check_row(row, path)
    return found


def _read_card(folder: Path, path: str | Path) -> dict[str, Any]:
    with reading(folder / CARD, "the path"):
        try:
            card = read_json(folder / CARD) or {}
        except DamagedFile as error:
            raise BadInput(f"{path}: {CARD} was edited or is damaged ({error}); get the bundle again") from error
    if card.get("kind") != "dynamic-vision bundle" or card.get("bundle_version") != 1:
        raise BadInput(f"{path}: {CARD} is not that of a bundle of version 1; expected one of this program")
    return card


def _read_table(file: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read ({first_line(error)}); expected a table of a bundle") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_columns(bundle: Bundle, path: str | Path) -> None:
    """Raise BadInput for a column that differs from the card, naming the first row that its own checksum convicts."""
    if "sha256" not in bundle.tables["scores"] or "digest" not in bundle.tables["scores"]:
        raise BadInput(f"{path}: the scores have no column 'sha256'; expected a table of a bundle")
    for name, table in bundle.tables.items():
        wanted = bundle.card.get("tables", {}).get(name)
        if wanted is None:
            continue
        if list(table.columns) != list(wanted["columns"]) or len(table) != wanted["rows"]:
            raise BadInput(
                f"{path}: {name}.parquet has {len(table)} rows of {len(table.columns)} columns; expected "
                f"{wanted['rows']} of {len(wanted['columns'])}: rows or columns were added or removed"
            )
        changed = [column for column, one in wanted["columns"].items() if column_digest(table[column]) != one]
        if changed:
            row = next((row_name(row) for row in bundle.scores if row_digest(row) != row["sha256"]), "")
            where = f" in the row {row}" if row and name == "scores" else ""
            fields = first_names(changed)
            raise BadInput(f"{path}: {name}.parquet was edited: {fields}{where} differs from the card; get it again")


def _check_row(row: Row, path: str | Path) -> None:
    """Raise BadInput for a row that differs from its checksum, or whose fields are not those of its key."""
    if row_digest(row) != row["sha256"]:
        raise BadInput(f"{path}: the row {row_name(row)} was edited: it differs from its sha256; get it again")
    if is_public(row) and key_digest(_key(row)) != row["digest"]:
        fields = ", ".join(KEY_FIELDS)
        raise BadInput(f"{path}: the row {row_name(row)} was edited: digest is not that of {fields}; get it again")


def is_public(row: Row) -> bool:
    """Return True if the model and the datasets are known by name, not by a user's file."""
    own = [name for name in (row["model"], *row["datasets"]) if re.search(r"[/:=]", name)]
    return all(re.match(r"(hf|timm):", name) for name in own)


def _key(row: Row) -> ScoreKey:
    """Return the key of a score from its row."""
    return ScoreKey(**{name: row[name] for name in KEY_FIELDS if name != "options"}, options=row["options"])


def row_name(row: Row) -> str:
    """Return model and datasets of a row, for messages."""
    return f"{row['label']} on {'+'.join(row['datasets'])}"


def _plain(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table with None in place of NaN."""
    return table.astype(object).where(table.notna(), None)


def _decoded(row: Row) -> Row:
    decoded = {name: json.loads(row[name]) for name in (*LISTS, "packages") if isinstance(row.get(name), str)}
    return {**row, **decoded}


def merge_bundles(paths: Iterable[str | Path], output: str | Path) -> Written:
    """Write the scores of several bundles as one.

    Parameters
    ----------
    paths : iterable of str or Path
        Two or more bundles with their cards.
    output : str or Path
        Folder of the merged bundle.

    Raises
    ------
    BadInput
        For a bundle that cannot be read, and for two different results of one score; the message names the field.
    """
    import pandas as pd

    folder, bundles = _output(output), [read_bundle(path) for path in paths]
    if len(bundles) < 2:
        raise BadInput(f"{len(bundles)} bundle to merge; expected two or more")
    seen: dict[str, Row] = {}
    kept: dict[str, list] = {name: [] for name in TABLES}
    for bundle, path in zip(bundles, paths, strict=True):
        new = set()
        for row in bundle.scores:
            if row["digest"] in seen:
                _check_equal(seen[row["digest"]], row, path)
            else:
                seen[row["digest"]] = row
                new.add(row["digest"])
        for name, table in bundle.tables.items():
            kept[name].append(table[table["digest"].isin(new)])
    tables = {name: pd.concat([p for p in parts if len(p)] or parts[:1]) for name, parts in kept.items() if parts}
    _write({name: table.reset_index(drop=True) for name, table in tables.items()}, folder)
    n_benchmarks = len({(row["benchmark"], tuple(row["datasets"]), str(row["options"])) for row in seen.values()})
    return Written(folder, len(seen), n_benchmarks, ())


def _check_equal(first: Row, second: Row, path: str | Path) -> None:
    """Raise BadInput for two rows of one score with different results."""
    for field in different_results(first, second):
        raise BadInput(
            f"{path}: {row_name(second)} has {field} {second[field]}, but an earlier bundle has {first[field]} under "
            "the same key; verify both, and leave one out"
        )


def different_results(first: Row, second: Row) -> list[str]:
    """Return the fields of RESULTS in which two computations of one score differ by more than the tolerance."""
    tolerance = TOLERANCE.get(first["benchmark"], DEFAULT_TOLERANCE)

    def differ(a: float | None, b: float | None) -> bool:
        return (a is None) != (b is None) if None in (a, b) else not abs(a - b) <= tolerance

    return [field for field in RESULTS if differ(first.get(field), second.get(field))]
