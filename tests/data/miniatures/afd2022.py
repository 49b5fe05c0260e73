"""Miniature of AFD101: two classes of 54 clips of 3 to 5 s, some of another length, and a class with too few."""

from pathlib import Path

from tests.data.small_items import film_of, write_film

STUDY = "afd2022"
FPS = 12.0
SIZES = {"PullUps": 54, "YoYo": 54, "Swing": 2}
EXPECTED = {"afd2022": {"stimuli": 100, "labels": 1, "classes": 2}}


def seconds(k: int) -> float:
    """Return the length of clip k of a class."""
    return {3: 1.0, 5: 8.2}.get(k, 3.0 + k % 5 / 2)


def write(folder: Path) -> None:
    """Write afd101/<Class>/v_<Class>_gNN_cNN.avi, four clips of each video."""
    for kind, (label, n) in enumerate(SIZES.items()):
        for k in range(n):
            path = folder / "afd101" / label / f"v_{label}_g{k // 4 + 1:02d}_c{k % 4 + 1:02d}.avi"
            write_film(path, film_of(kind, 100 * kind + k, round(FPS * seconds(k)), FPS), FPS)
