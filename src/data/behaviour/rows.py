"""Reader of the csv files of human trials."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ...utils import BadInput


def read_csv(path: Path, columns: Sequence[str], expected: str) -> list[dict[str, str]]:
    """Return the rows of a csv file, with "" for an absent field; BadInput if one of `columns` is missing.

    expected: last part of the error message, which describes the file that has these columns.
    """
    with open(path, newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle, restval="")
        names = list(reader.fieldnames or ())
        absent = [column for column in columns if column not in names]
        if absent:
            raise BadInput(f"{path}: no column {', '.join(absent)} among {', '.join(names)}; expected {expected}")
        return list(reader)
