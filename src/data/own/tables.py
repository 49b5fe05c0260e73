"""CSV tables of a user's folder: read as text, with the line of every row, and every fault named."""

import csv
import difflib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .problems import SHOWN, Problems

EXCEL = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
AS_CSV = "save it as CSV (UTF-8, separated by commas)"


@dataclass(frozen=True)
class Rows:
    """Columns of text without surrounding spaces, and the line of each row in the file (the header is line 1)."""

    file: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def __getitem__(self, column: str) -> list[str]:
        return self.columns[column]

    def others(self, *known: str) -> dict[str, list[str]]:
        """Return the columns besides the known ones."""
        return {name: values for name, values in self.columns.items() if name not in known}


def read_rows(
    folder: Path, file: str, problems: Problems, required: Sequence[str], optional: Sequence[str] = ()
) -> Rows | None:
    """Return a table; None, with the faults added, where it cannot be read or lacks a required column."""
    text = _text(folder, file, problems)
    if text is None:
        return None
    try:
        lines = [(line, row) for line, row in _parsed(text) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        problems.add(file, f"cannot be read as CSV ({error})", AS_CSV)
        return None
    if not lines:
        problems.add(file, "is empty", f"write a header line with {', '.join(required)}, then a line per row")
        return None
    header, found = _header(file, lines[0][1], problems, required, optional)
    if not found:
        return None
    rows, short = [], False
    for line, row in lines[1:]:
        extra = [cell for cell in row[len(header) :] if cell.strip()]
        short = short or len(row) < len(header)
        if len(row) < len(header) or extra:
            problems.add(
                file,
                f"{len(row)} cells, but the header has {len(header)}",
                'write one cell per column, and "quotes" around a cell that holds a comma',
                line,
            )
        rows.append((line, [cell.strip() for cell in row]))
    if not lines[1:]:
        problems.add(file, "has a header but no row", "write a line per row")
    if short or not rows:
        return None
    columns = {name: [row[k] for _, row in rows] for k, name in enumerate(header) if name}
    return Rows(file, columns, [line for line, _ in rows])


def _text(folder: Path, file: str, problems: Problems) -> str | None:
    path = folder / file
    if not path.is_file():
        excel = next((p.name for p in sorted(folder.glob(f"{path.stem}.*")) if p.suffix.lower() in EXCEL), None)
        if excel:
            problems.add(excel, "is a spreadsheet", f"save it as {file} (CSV UTF-8, separated by commas)")
        else:
            problems.add(file, "there is no such file", "write it: `data new` makes a folder with templates")
        return None
    content = path.read_bytes()
    if content.startswith((ZIP, OLE)):
        problems.add(file, "is a spreadsheet in spite of its name", AS_CSV)
        return None
    if content.startswith(WIDE_BOMS) or b"\0" in content[:1000]:
        problems.add(file, "is not UTF-8 text (UTF-16 or binary)", AS_CSV)
        return None
    try:
        # spreadsheets write a byte order mark, which is no part of the first name
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problems.add(file, f"byte {content[error.start]:#x} is not UTF-8", AS_CSV, line)
        return None


def _parsed(text: str) -> list[tuple[int, list[str]]]:
    """Return (line of its first cell, cells) of each row."""
    reader, rows, start = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True), [], 1
    for row in reader:
        rows.append((start, row))
        start = reader.line_num + 1
    return rows


def _header(
    file: str, cells: Sequence[str], problems: Problems, required: Sequence[str], optional: Sequence[str]
) -> tuple[list[str], bool]:
    """Return (names of the columns, whether all required ones are there)."""
    header = [cell.strip() for cell in cells]
    separator = next((s for s in SEPARATORS if len(header) == 1 and s in header[0]), None)
    if separator:
        problems.add(file, f"is separated by {SEPARATORS[separator]}", AS_CSV, 1)
        return header, False
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    for name in doubled:
        problems.add(file, f"two columns are called {name}", "rename one of them", 1)
    nameless = header.count("") - _trailing(header)
    if nameless:
        problems.add(file, f"{nameless} columns have no name", "name them, or remove them", 1)
    missing = [name for name in required if name not in header]
    for name in missing:
        near = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
        known = ", ".join(header)
        hint = f"rename {near[0]} to {name}" if near else f"add a column {name}"
        problems.add(file, f"has no column {name}, only {known}", hint, 1)
    for name in header:
        of = _meant(name, [o for o in optional if o not in header])
        if of and not (set(missing) & {of}) and name not in required and name not in optional:
            problems.add(file, f"has a column {name}, which is not read", f"rename it to {of}, or to another name", 1)
    return header, not missing and not doubled


def _trailing(header: Sequence[str]) -> int:
    """Return the number of nameless columns at the end, which spreadsheets write."""
    return len(header) - max((k + 1 for k, name in enumerate(header) if name), default=0)


def _meant(name: str, optional: Sequence[str]) -> str | None:
    """Return the optional column that a name resembles: a misspelling, or the name with a unit behind it."""
    low = name.lower()
    behind = next((o for o in optional if low.startswith((f"{o}_", f"{o} ", f"{o}("))), None)
    near = difflib.get_close_matches(low, optional, n=1, cutoff=0.8)
    return behind or (near[0] if near else None)


def number(text: str) -> float | None:
    """Return the number of a cell; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def numbers(rows: Rows, column: str, problems: Problems, empty: float | None = None) -> list[float] | None:
    """Return a column as numbers, `empty` for an empty cell (None: not allowed); None, with the faults, otherwise."""
    found: list[float] = []
    for line, cell in zip(rows.lines, rows[column], strict=True):
        value = empty if cell == "" else number(cell)
        if value is None:
            comma = number(cell.replace(",", ".")) is not None
            remedy = "write a point before the decimals" if comma and cell else "write a number"
            problems.add(rows.file, f"{column} is '{cell}'", remedy, line)
        else:
            found.append(value)
    return found if len(found) == len(rows) else None


def typed(values: Sequence[str]) -> list:
    """Return a column of an own table as whole numbers, numbers (NaN for an empty cell) or text."""
    filled = [value for value in values if value]
    coded = any(len(value) > 1 and value[0] == "0" and value.isdigit() for value in filled)
    if coded or not filled or any(number(value) is None for value in filled):
        return list(values)
    if len(filled) == len(values) and all(value.lstrip("+-").isdigit() for value in filled):
        return [int(value) for value in values]
    return [float(value) if value else math.nan for value in values]


def check_ids(rows: Rows, column: str, problems: Problems, unique: bool = True) -> bool:
    """Add the faults of a column of ids: empty cells, and repeated ones where they must be unique."""
    seen: dict[str, int] = {}
    before = len(problems)
    for line, cell in zip(rows.lines, rows[column], strict=True):
        if not cell:
            problems.add(rows.file, f"{column} is empty", f"write a {column}", line)
        elif unique and cell in seen:
            remedy = "give every row an id of its own, or remove the row"
            problems.add(rows.file, f"{column} {cell} is in line {seen[cell]} too", remedy, line)
        else:
            seen[cell] = line
    return len(problems) == before


def check_known(rows: Rows, column: str, known: Sequence[str], where: str, problems: Problems) -> bool:
    """Add a fault for every distinct cell of a column that is not among the known ids of another table."""
    allowed, reported = set(known), set()
    for line, cell in zip(rows.lines, rows[column], strict=True):
        if cell and cell not in allowed and cell not in reported:
            reported.add(cell)
            # only as many lines are printed
            near = difflib.get_close_matches(cell, allowed, n=1, cutoff=0.6) if len(reported) <= SHOWN else []
            hint = f" (near: {near[0]})" if near else ""
            problems.add(
                rows.file, f"{column} {cell} is not in {where}{hint}", f"add it to {where}, or remove the row", line
            )
    return not reported
