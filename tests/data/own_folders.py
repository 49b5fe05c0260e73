"""Folders of a user's own data with a planted signal, written as a person writes them: plain tables and an array."""

import csv
from pathlib import Path

import numpy as np

from src.data.films import write_lossless, write_png
from src.evaluate.hrf import convolve

QUADRANTS = ("ul", "ur", "ll", "lr")


def write_table(path: Path, columns: dict) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def quadrants(values: np.ndarray, side: int = 32) -> np.ndarray:
    """Grey frames (..., 2 side, 2 side, 3) of the brightness (..., 4) of their quadrants."""
    grey = (255 * values).astype(np.uint8).reshape(*values.shape[:-1], 2, 2)
    return grey.repeat(side, -2).repeat(side, -1)[..., None].repeat(3, -1)


def films(folder: Path, n: int, bins: int, per_bin: int = 3, fps: int = 30, seed: int = 0) -> np.ndarray:
    """Write films whose quadrants change every `per_bin` frames; return their brightness (n, bins, 4)."""
    brightness = np.random.default_rng(seed).uniform(0, 1, (n, bins, 4))
    for k, film in enumerate(brightness):
        write_lossless(folder / f"film-{k}.mkv", quadrants(film).repeat(per_bin, axis=0), fps)
    return brightness


def images(folder: Path, brightness: np.ndarray) -> None:
    for k, image in enumerate(brightness):
        write_png(folder / f"image-{k}.png", quadrants(image))


def electrodes(folder: Path, n: int = 30) -> np.ndarray:
    """4 files: 4 units that follow one quadrant each and one of noise, 2 repetitions, 10 bins of 100 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    brightness, rng = films(folder, n, 10), np.random.default_rng(1)
    signal = np.concatenate([brightness, rng.uniform(0, 1, (n, 10, 1))], axis=2)
    values = signal[:, None] + rng.normal(0, 0.05, (n, 2, 10, 5))
    values[..., 4] = rng.normal(0, 1, (n, 2, 10))
    (folder / "dataset.toml").write_text('kind = "electrodes"\nname = "my-recording"\nbin_width = "100 ms"\n')
    write_table(
        folder / "stimuli.csv",
        {"stimulus_id": [f"{k:03d}" for k in range(n)], "path": [f"film-{k}.mkv" for k in range(n)]},
    )
    np.save(folder / "responses.npy", values)
    write_table(folder / "units.csv", {"unit_id": [*QUADRANTS, "noise"], "region": ["V1", "V1", "V4", "V4", "none"]})
    return values


def fmri(folder: Path) -> None:
    """5 files: 4 vertices that follow the lagged quadrants of 3 films of 240 s, 2 subjects, TR 1 s."""
    folder.mkdir(parents=True, exist_ok=True)
    brightness, rng = films(folder, 3, 240, per_bin=10, fps=10), np.random.default_rng(1)
    lagged = np.stack([convolve(film, 1000.0) for film in brightness])
    lagged /= lagged.std()
    values = lagged[:, None] + rng.normal(0, 0.1, (3, 2, 240, 4))
    text = 'kind = "fmri"\nname = "my-films"\ntr = "1 s"\ncitation = "mine"\n'
    (folder / "dataset.toml").write_text(text)
    write_table(folder / "stimuli.csv", {"stimulus_id": ["a", "b", "c"], "path": [f"film-{k}.mkv" for k in range(3)]})
    np.save(folder / "responses.npy", values.astype(np.float32))
    hemispheres = {"unit_id": QUADRANTS, "region": ["left", "right"] * 2, "hemi": list("LRLR"), "vertex": [5, 5, 6, 6]}
    write_table(folder / "units.csv", hemispheres)
    runs = {"repetition": [1, 2], "subject": ["s1", "s2"], "session": ["1", "1"]}
    write_table(folder / "runs.csv", runs)


def classes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (brightness (n, 4), class of each image): the class is the brightest quadrant."""
    rng = np.random.default_rng(0)
    brightness, of = rng.uniform(0, 0.7, (n, 4)), np.arange(n) % 4
    brightness[np.arange(n), of] = rng.uniform(0.8, 1, n)
    return brightness, np.array(QUADRANTS)[of]


def task(folder: Path, n: int = 60) -> None:
    """3 files: images labelled with their brightest quadrant."""
    folder.mkdir(parents=True, exist_ok=True)
    brightness, labels = classes(n)
    images(folder, brightness)
    (folder / "dataset.toml").write_text('kind = "task"\nname = "brightest"\n')
    ids = [f"i{k}" for k in range(n)]
    write_table(folder / "stimuli.csv", {"stimulus_id": ids, "path": [f"image-{k}.png" for k in range(n)]})
    write_table(folder / "labels.csv", {"stimulus_id": ids[::-1], "quadrant": labels[::-1]})


def behaviour(folder: Path, n: int = 40, trials: int = 1200) -> None:
    """3 files: choices by brightness, so that errors favour the second brightest quadrant."""
    folder.mkdir(parents=True, exist_ok=True)
    brightness, labels = classes(n)
    images(folder, brightness)
    rng = np.random.default_rng(2)
    shown = rng.integers(0, n, trials)
    odds = np.exp(4 * brightness[shown])
    chance = odds / odds.sum(axis=1, keepdims=True)
    choice = [QUADRANTS[rng.choice(4, p=row)] for row in chance]
    (folder / "dataset.toml").write_text('kind = "behaviour"\nname = "brightest-choices"\nmetric = "I2n"\n')
    ids = [f"i{k}" for k in range(n)]
    write_table(folder / "stimuli.csv", {"stimulus_id": ids, "path": [f"image-{k}.png" for k in range(n)]})
    table = {"stimulus_id": [ids[k] for k in shown], "truth": labels[shown], "choice": choice}
    write_table(folder / "trials.csv", table)


KINDS = {"electrodes": electrodes, "fmri": fmri, "task": task, "behaviour": behaviour}
