"""NWB files with planted signals: spikes and rates that follow the quadrants of films; written by h5py or by pynwb."""

from pathlib import Path

import h5py
import numpy as np

from tests.data.own_folders import QUADRANTS, films

BINS, BIN_S, PAUSE_S = 10, 0.1, 0.05
REGIONS = ("V1", "V1", "V4", "V4")


def recording(folder: Path, n: int = 24, repetitions: int = 2, seed: int = 1) -> dict:
    """Write films into the folder; return the content of a session in which each is shown several times.

    "spikes": times in s of 4 units of at most 100 Hz, one per quadrant; "brightness" (n, 10, 4) of the films.
    """
    (folder / "films").mkdir(parents=True, exist_ok=True)
    brightness, rng = films(folder / "films", n, BINS), np.random.default_rng(seed)
    shown = np.concatenate([rng.permutation(n) for _ in range(repetitions)])
    start = 5 + np.arange(len(shown)) * (BINS * BIN_S + PAUSE_S)
    spikes = [[] for _ in QUADRANTS]
    for onset, film in zip(start, shown, strict=True):
        counts = rng.poisson(10 * brightness[film])
        for (step, unit), count in np.ndenumerate(counts):
            spikes[unit] += (onset + BIN_S * (step + rng.uniform(0, 1, count))).tolist()
    return {
        "names": [f"film-{k}.mkv" for k in shown],
        "start": start,
        "stop": start + BINS * BIN_S,
        "spikes": [np.sort(times) for times in spikes],
        "brightness": brightness,
        "shown": shown,
    }


def series(content: dict, rate: float = 20.0) -> np.ndarray:
    """Return the quadrants of what is on the screen, sampled at a rate from 0 s on: (n_samples, 4)."""
    times = np.arange(int((content["stop"][-1] + 1) * rate)) / rate
    values = np.zeros((len(times), 4))
    for onset, film in zip(content["start"], content["shown"], strict=True):
        step = np.floor((times - onset + 1e-9) / BIN_S).astype(int)
        inside = (step >= 0) & (step < BINS)
        values[inside] = content["brightness"][film][step[inside]]
    return values


def write_h5py(path: Path, content: dict, rate: float = 20.0, subject: str = "mouse-1", quality=None) -> None:
    """Write a session in the layout of NWB 2.7."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file.create_dataset("general/subject/subject_id", data=subject)
        table = _table(file, "intervals/film_presentations", len(content["names"]))
        table["start_time"], table["stop_time"] = content["start"], content["stop"]
        table.create_dataset("stimulus_name", data=content["names"], dtype=text)
        electrodes = _table(file, "general/extracellular_ephys/electrodes", 4)
        electrodes.create_dataset("location", data=REGIONS, dtype=text)
        units = _table(file, "units", 4)
        units["spike_times"] = np.concatenate(content["spikes"])
        units["spike_times_index"] = np.cumsum([len(times) for times in content["spikes"]])
        units["electrodes"], units["electrodes_index"] = np.arange(4), np.arange(1, 5)
        units["depth"] = np.arange(4) / 2
        if quality is not None:
            units.create_dataset("quality", data=quality, dtype=text)
        place = file.create_group("processing/behavior/rates")
        place.attrs["neurodata_type"] = "TimeSeries"
        place["data"] = series(content, rate)
        place["data"].attrs["conversion"] = 2.0
        place["starting_time"] = 0.0
        place["starting_time"].attrs["rate"] = rate


def _table(file: h5py.File, place: str, n: int) -> h5py.Group:
    table = file.create_group(place)
    table["id"] = np.arange(n)
    return table


def write_pynwb(path: Path, content: dict, rate: float = 20.0) -> None:
    """Write the same session with pynwb."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.epoch import TimeIntervals
    from pynwb.file import Subject

    file = NWBFile("films", "session-1", datetime(2026, 1, 1, tzinfo=UTC))
    file.subject = Subject(subject_id="mouse-1", species="Mus musculus", sex="U", age="P90D")
    device = file.create_device("probe")
    group = file.create_electrode_group("shank", description="a shank", location="cortex", device=device)
    for region in REGIONS:
        file.add_electrode(location=region, group=group)
    file.add_unit_column("depth", "depth in mm")
    for k, times in enumerate(content["spikes"]):
        file.add_unit(spike_times=times, electrodes=[k], depth=k / 2)
    table = TimeIntervals("film_presentations", "films")
    table.add_column("stimulus_name", "file of the film")
    for name, start, stop in zip(content["names"], content["start"], content["stop"], strict=True):
        table.add_interval(start_time=start, stop_time=stop, stimulus_name=name)
    file.add_time_intervals(table)
    module = file.create_processing_module("behavior", "rates")
    module.add(TimeSeries("rates", data=series(content, rate), unit="1", rate=rate, starting_time=0.0, conversion=2.0))
    with NWBHDF5IO(path, "w") as opened:
        opened.write(file)


def write_pictures(path: Path, content: dict, pictures: np.ndarray) -> None:
    """Write a session whose stimuli are images in the file, shown by an IndexSeries."""
    write_h5py(path, content)
    with h5py.File(path, "a") as file:
        del file["intervals"]
        templates = file.create_group("stimulus/templates/pictures")
        for k, picture in enumerate(pictures):
            templates[f"picture-{k}"] = picture
        order = [templates[f"picture-{k}"].ref for k in range(len(pictures))]
        templates.create_dataset("order_of_images", data=order, dtype=h5py.ref_dtype)
        shown = file.create_group("stimulus/presentation/shown")
        shown["data"], shown["timestamps"] = content["shown"], content["start"]
        shown["indexed_images"] = h5py.SoftLink("/stimulus/templates/pictures")


def write_pictures_pynwb(path: Path, content: dict, pictures: np.ndarray) -> None:
    """Write the images and their presentations of the same session with pynwb, without units."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.base import ImageReferences, Images
    from pynwb.image import IndexSeries, RGBImage

    file = NWBFile("images", "session-1", datetime(2026, 1, 1, tzinfo=UTC))
    images = [RGBImage(name=f"picture-{k}", data=picture) for k, picture in enumerate(pictures)]
    templates = Images(
        "pictures", images=images, description="-", order_of_images=ImageReferences("order_of_images", images)
    )
    file.add_stimulus_template(templates)
    times = {"timestamps": content["start"], "indexed_images": templates, "unit": "N/A"}
    file.add_stimulus(IndexSeries("shown", data=content["shown"], **times))
    for times in content["spikes"]:
        file.add_unit(spike_times=times)
    with NWBHDF5IO(path, "w") as opened:
        opened.write(file)
