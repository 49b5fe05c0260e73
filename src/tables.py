"""Tables: aligned text for a terminal, Markdown for a document, files of rows for other programs.

All commands print through `aligned`, and all files of rows (`--output`, `grid collect`, `report --tables`) are written
by `write_rows`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import check_can_replace, replacing_file, writing
from .utils import BadInput

if TYPE_CHECKING:
    import pandas as pd

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # first characters of a cell that a spreadsheet evaluates
SUFFIXES = (".csv", ".json", ".parquet")


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Rows under a header as aligned text.

    Parameters
    ----------
    header : sequence of str, (n_columns,)
    rows : iterable of sequences, each (n_columns,)
    left : int
        The number of leading columns that are flush left; the others are flush right.
    """
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a header as a Markdown table."""
    lines = [header, ["---"] * len(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def check_output(path: str | None, suffixes: Sequence[str] = SUFFIXES, option: str = "--output") -> None:
    """Raise BadInput for a file that could not be written; called before anything is computed."""
    if path is None:
        return
    if Path(path).suffix not in suffixes:
        raise BadInput(f"{option} {path}; expected a name that ends in {', '.join(suffixes)}")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise BadInput(f"{option} {path}: there is no folder {folder}; create it first")
    check_can_replace(Path(path).absolute(), option)


def write_rows(rows: "Sequence[Mapping[str, Any]] | pd.DataFrame", path: str | Path) -> None:
    """Write rows to a file, wholly or not at all; the suffix of `path` decides the format.

    Parameters
    ----------
    rows : sequence of dict, or pandas.DataFrame
        Columns are in the order of their first appearance. None and NaN are empty cells (csv) or null (json,
        parquet); lists and dicts become JSON text in csv and parquet files.
    path : str or Path
        A file that ends in .csv, .json or .parquet.

    Raises
    ------
    BadInput
        If the disk is full or the folder may not be written.
    """
    with writing(Path(path), "--output"), replacing_file(Path(path)) as part:
        _WRITERS[Path(path).suffix](rows, part)


def frame(rows: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> "pd.DataFrame":
    """The rows as a DataFrame whose columns are bool, int64, float64 or str; a column without any value is float64."""
    import pandas as pd

    if isinstance(rows, pd.DataFrame):
        return rows
    table = pd.DataFrame.from_records([{name: _cell(value) for name, value in row.items()} for row in rows])
    empty = [name for name in table.columns if table[name].isna().all()]
    return table.astype(dict.fromkeys(empty, "float64"))


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value


def _write_csv(rows, path: Path) -> None:
    table = frame(rows)
    table = table.assign(**{name: table[name].map(_as_text) for name in table.select_dtypes(exclude="number").columns})
    table.rename(columns=_as_text).to_csv(path, index=False)


def _as_text(value: Any) -> Any:
    """Return a text that a spreadsheet would take for a formula with an apostrophe before it, others as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _write_json(rows, path: Path) -> None:
    text = json.dumps(list(rows), indent=1) if isinstance(rows, Sequence) else rows.to_json(orient="records", indent=1)
    path.write_text(text)


def _write_parquet(rows, path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"a .parquet file needs pyarrow, which does not load ({error}); install it, or write .csv"
        ) from error
    frame(rows).to_parquet(path, index=False)


_WRITERS = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}
