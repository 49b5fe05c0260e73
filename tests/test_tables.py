import csv
import json

from src.tables import write_rows


def test_a_cell_that_a_spreadsheet_would_evaluate_is_text(tmp_path):
    names = ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "plain", "a=b"]
    rows = [{"=name": name, "value": -0.5 * k} for k, name in enumerate(names)]
    write_rows(rows, tmp_path / "x.csv")
    with open(tmp_path / "x.csv", newline="", encoding="utf-8") as handle:
        head, *found = csv.reader(handle)
    assert head == ["'=name", "value"]
    assert [row[0] for row in found] == ["'" + name for name in names[:5]] + names[5:]
    assert [float(row[1]) for row in found] == [row["value"] for row in rows]
    write_rows(rows, tmp_path / "x.json")
    assert [row["=name"] for row in json.loads((tmp_path / "x.json").read_text())] == names
