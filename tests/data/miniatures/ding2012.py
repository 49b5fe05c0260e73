"""Miniature of the random dots after Ding & Gold: a manifest of 48 of the 1,000 films."""

from pathlib import Path

STUDY = "ding2012"
FILMS = [f"{coherence}_{direction}_{k}" for coherence in (25.6, 51.2) for direction in (0, 180) for k in range(12)]
EXPECTED = {"ding2012": {"stimuli": 48, "labels": 1, "classes": 2}}


def write(folder: Path) -> None:
    """Write the manifest."""
    manifest = folder / "prepared" / "ding2012.csv"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("stimulus_id\n" + "".join(f"{identity}\n" for identity in FILMS))
