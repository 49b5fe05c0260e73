"""Processor time and memory of scoring single subjects beside their mean, and of scoring one subject.

    python -m benchmarks.many_subjects --people 1
    python -m benchmarks.many_subjects --people 40

Two films of 300 s, three layers of 1,000 features, 20,000 units, ten splits; responses are memory-mapped. Printed:
processor time of the evaluation, then of the ceilings of single subjects, and the peak of the process's own memory
before and during each (pages of the mapped file are not counted; Linux). A process per number of people, since memory
is not returned.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from src.evaluate import fmri
from src.evaluate.decoders import Ridge
from src.evaluate.protocol import Protocol
from src.records import Activations, Responses, Stimuli

N_TIME, N_UNITS, N_FEATURES, N_LAYERS = 300, 20_000, 1000, 3


def own_mb() -> float:
    """Return the anonymous memory of the process in MB."""
    (line,) = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def part(folder: Path, n_people: int, n_layers: int) -> fmri.Part:
    """Return a dataset whose units follow one layer, with one run per person."""
    rng = np.random.default_rng(0)
    paths = (folder / "a", folder / "b")
    for path in paths:
        path.write_text(path.name)
    stimuli = Stimuli("films", ("a", "b"), paths, np.full(2, 1000.0 * N_TIME), ("video",) * 2)
    layers = {f"layer{k}": rng.standard_normal((2, N_TIME, N_FEATURES), dtype=np.float32) for k in range(n_layers)}
    shape = (2, n_people, N_TIME, N_UNITS)
    values = np.memmap(folder / "values", dtype=np.float32, mode="w+", shape=shape)
    weights = rng.standard_normal((N_FEATURES, N_UNITS), dtype=np.float32) / 30
    for film in range(2):
        signal = layers["layer1"][film] @ weights
        for person in range(n_people):
            values[film, person] = signal + rng.standard_normal((N_TIME, N_UNITS), dtype=np.float32)
    values.flush()
    time_ms = 1000.0 * np.arange(N_TIME)[:, None] + [0, 1000.0]
    units = {"unit_id": np.arange(N_UNITS).astype(str)}
    responses = Responses(stimuli, values, time_ms, units, tuple(f"person-{k}" for k in range(n_people)))
    return fmri.Part(Activations(layers, time_ms, np.full(2, N_TIME), stimuli.ids), responses)


def main() -> None:
    """Print one line."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--layers", type=int, default=N_LAYERS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset, done, peak = part(Path(folder), given.people, given.layers), threading.Event(), [own_mb()]

        def watch() -> None:
            while not done.wait(0.02):
                peak.append(max(peak.pop(), own_mb()))

        before, start = own_mb(), time.process_time()
        threading.Thread(target=watch, daemon=True).start()
        decoder = Ridge(penalty="blocks", scaled=True)
        fmri.score([dataset], decoder, Protocol(hrf="none"), each_subject=True)
        scored, of_scores = time.process_time() - start, peak[0]
        fmri.subject_ceilings([dataset], Protocol(hrf="none"))
        total = time.process_time() - start
        done.set()
    print(f"{given.people} people, {given.layers} layers; {before:.0f} MB before")
    print(f"scores: {scored:.1f} s of processor time, {of_scores:.0f} MB at most")
    print(f"with ceilings: {total:.1f} s, {peak[0]:.0f} MB at most")


if __name__ == "__main__":
    main()
