"""Miniature of Kinetics-400's test set as in the mirror: clips in one folder, and annotations.

Two classes of 52 clips, each with a clip that is too short and a truncated one, and a class with too few clips.
"""

import csv
from pathlib import Path

from tests.data.small_items import film_of, write_film

STUDY = "kinetics400"
FPS = 12.0
SIZES = {"playing cello": 52, "abseiling": 52, "zumba": 2}
EXPECTED = {name: {"stimuli": 100, "labels": 1, "classes": 2} for name in ("kinetics400", "kinetics400-static")}


def clips() -> list[tuple[str, str, int]]:
    """Return (file, class, number) of every clip."""
    return [
        (f"id-{kind}_{k:02d}abcd_{k:06d}_{k + 10:06d}.mp4", label, k)
        for kind, (label, n) in enumerate(SIZES.items())
        for k in range(n)
    ]


def write(folder: Path) -> None:
    """Write clips and annotations; one annotated clip is missing."""
    for file, label, k in clips():
        kind = list(SIZES).index(label)
        n_frames = 30 if k == 7 else 49 + k % 7
        write_film(folder / "test" / file, film_of(kind, 100 * kind + k, n_frames, FPS, colour=1.0), FPS)
        if k == 11:
            path = folder / "test" / file
            path.write_bytes(path.read_bytes()[:-2000])
    (folder / "annotations").mkdir(exist_ok=True)
    with open(folder / "annotations" / "test.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for file, label, k in [*clips(), ("gone1234567_000001_000011.mp4", "zumba", 1)]:
            writer.writerow([label, file.rsplit("_", 2)[0], k, k + 10, "test"])
