"""Miniature of Something-Something v2 as released: webm films at 12 frames per second in one folder, and the lists."""

import json
from pathlib import Path

from tests.data.small_items import film_of, write_film

STUDY = "smthsmthv2"
TEMPLATES = {
    "Pushing [something] from left to right": 52,
    "Moving [something] and [something] closer to each other": 52,
    "Holding [something]": 3,
}
EXPECTED = {"smthsmthv2": {"stimuli": 100, "labels": 1, "classes": 2}}


def clips() -> list[tuple[str, str, int]]:
    """Return (number, template, place in its class) of every film."""
    return [
        (str(100 * kind + k + 1), template, k) for kind, (template, n) in enumerate(TEMPLATES.items()) for k in range(n)
    ]


def write_lists(folder: Path) -> None:
    """Write labels.json, train.json and validation.json, with every fifth clip in the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(t.replace("[", "").replace("]", "") for t in TEMPLATES)
    (folder / "labels.json").write_text(json.dumps({name: str(k) for k, name in enumerate(names)}))
    rows = [{"id": i, "label": "pushing a cup", "template": t, "placeholders": ["a cup"]} for i, t, _ in clips()]
    (folder / "train.json").write_text(json.dumps([row for k, row in enumerate(rows) if k % 5]))
    (folder / "validation.json").write_text(json.dumps(rows[::5]))


def write(folder: Path) -> None:
    """Write films and lists; in each class one film lasts 2 s and one 5 s."""
    for identity, template, k in clips():
        kind = list(TEMPLATES).index(template)
        n_frames = {4: 24, 9: 60}.get(k, 38 + k % 14)
        film = film_of(kind, int(identity), n_frames, fps=12)
        write_film(folder / "20bn-something-something-v2" / f"{identity}.webm", film, fps=12)
    write_lists(folder / "labels")
