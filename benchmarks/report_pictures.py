"""Pictures of a report of planted scores, for docs/: `python -m benchmarks.report_pictures`; needs chromium.

12 models on 10 benchmarks: three recordings with regions, one of them on the cortical surface, two sets of sites, two
tasks and three behaviours. Look at each picture after they were made.
"""

import argparse
import subprocess
import tempfile
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.planted_scores import CEILING, REGIONS, arrays_of, put
from src.config import Config
from src.report import write_report
from src.report.surface_plot import HEMISPHERES, meshes
from src.store import Store
from src.utils import digest, seed_from
from tests.report.browser import CHROMIUM, FLAGS

# {model: level of its alignment}
MODELS = {
    "VideoMAE-V1-B": 0.59,
    "V-JEPA2-L": 0.587,
    "r3d_18": 0.5,
    "SlowFast": 0.47,
    "X3D-S": 0.45,
    "DINOv2-B": 0.43,
    "CLIP-B16": 0.41,
    "resnet50": 0.38,
    "PredRNN": 0.33,
    "Random-resnet50": 0.2,
    "motion-energy": 0.15,
    "pixels": 0.06,
}
# {region: centre of a disc on a hemisphere, as shares of its extent to the middle, to the front and upwards}
CENTRES = {
    "V1": (0.75, 0.02, 0.42),
    "V2": (0.55, 0.0, 0.58),
    "LO": (0.15, 0.1, 0.4),
    "MT": (0.05, 0.2, 0.55),
    "FFC": (0.45, 0.25, 0.08),
    "STS": (0.0, 0.38, 0.5),
    "IPS": (0.2, 0.2, 0.85),
}
RADIUS_MM = 24
LAYERS = [f"block.{i}" for i in range(6)]
# {file in docs: (address in the page, width, height)}
PICTURES = {
    "report.png": ("", 1400, 800),
    "report-leaderboard.png": ("#?at=leaderboard", 1400, 760),
    "report-regions.png": ("#?dataset=b2-films-4-splits&at=b2-films-4-splits", 1400, 1100),
    "report-cortex.png": ("#?dataset=b1-cortex-4-splits&at=b1-cortex-4-splits-maps-ratio", 1400, 900),
    "report-phone.png": ("", 390, 844),
}


def unit_scores(model: str, dataset: str, regions: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of a score whose regions are best at layers of increasing depth."""
    rng = np.random.default_rng(seed_from("pictures", model, dataset))
    known = list(dict.fromkeys(regions))
    depth = np.array([known.index(region) for region in regions]) * (len(LAYERS) - 1) / max(len(known) - 1, 1)
    off = np.abs(np.arange(len(LAYERS))[:, None] - depth)
    level = MODELS[model] * CEILING * (1 - 0.12 * off) + 0.04 * rng.standard_normal(len(regions))
    test = level[..., None] + 0.01 * rng.standard_normal((*level.shape, 4))
    samples = float(np.median(level.max(axis=0))) + 0.012 * np.random.default_rng(1).standard_normal(1000)
    return {
        "layers": np.array(LAYERS),
        "valid": test - 0.01,
        "test": test,
        "layer_choice": np.array(["nested", "per target"]),
        "ceiling": np.full(len(regions), CEILING),
        "bootstrap": samples + 0.004 * rng.standard_normal(1000),
        "bootstrap_normalised": (samples + 0.004 * rng.standard_normal(1000)) / CEILING,
        "resampled": np.array(["segments", digest([dataset, "planted"])]),
        "target_target_id": np.array([f"unit-{i}" for i in range(len(regions))]),
        "target_region": regions,
    }


def cortex() -> dict[str, np.ndarray]:
    """Return vertices and hemispheres of discs on the cortex, "vertex", "hemi" and "region" (n_units,)."""
    found: dict[str, list] = {"vertex": [], "hemi": [], "region": []}
    names = np.array(list(CENTRES))
    for side in HEMISPHERES:
        points = meshes()[side].points
        place = (points - points.min(axis=0)) / np.ptp(points, axis=0)
        if side == "right":
            place[:, 0] = 1 - place[:, 0]
        centres = [points[np.linalg.norm(place - centre, axis=1).argmin()] for centre in CENTRES.values()]
        distances = np.linalg.norm(points[:, None] - np.array(centres), axis=2)
        vertices = np.flatnonzero(distances.min(axis=1) < RADIUS_MM)
        found["vertex"].append(vertices)
        found["hemi"].append(np.full(len(vertices), side[0].upper()))
        found["region"].append(names[distances[vertices].argmin(axis=1)])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def fill(config: Config) -> None:
    """Store the planted scores."""
    store, surface = Store(config), cortex()
    recordings = {
        ("fmri", "films"): np.repeat(REGIONS, 100),
        ("fmri", "clips"): np.repeat(REGIONS, 60),
        ("fmri", "cortex"): surface["region"],
        ("electrodes", "sites"): np.repeat(["V4", "IT"], 60),
        ("electrodes", "spikes"): np.repeat(["V1", "V2"], 40),
    }
    for model, level in MODELS.items():
        for (benchmark, dataset), regions in recordings.items():
            arrays = unit_scores(model, dataset, regions)
            if dataset == "cortex":
                arrays |= {"target_vertex": surface["vertex"], "target_hemi": surface["hemi"]}
            put(store, benchmark, model, dataset, arrays)
        for dataset in ("actions", "objects", "choices-A", "choices-B", "choices-C"):
            own = 0.03 * np.random.default_rng(seed_from("pictures", model, dataset)).standard_normal()
            arrays = arrays_of(np.array([CEILING * level + own]), {"target_id": ["label"]}, bootstrap=1000)
            put(store, "behaviour" if "choices" in dataset else "task", model, dataset, arrays)


def picture(page: Path, address: str, width: int, height: int, output: Path, profile: Path) -> None:
    """Write a picture of the page; chromium's windows are at least 500 px wide, a frame can be narrower."""
    frame = profile.with_suffix(".html")
    frame.write_text(
        f'<!doctype html><body style="margin:0"><iframe src="{page.as_uri()}{escape(address)}" '
        f'style="border:0;width:{width}px;height:{height}px"></iframe>'
    )
    flags = [f"--user-data-dir={profile}", f"--window-size={max(width, 500)},{height}", f"--screenshot={output}"]
    flags += ["--allow-file-access-from-files", "--virtual-time-budget=8000"]
    subprocess.run([CHROMIUM, *FLAGS, *flags, frame.as_uri()], check=True, capture_output=True, timeout=300)
    Image.open(output).convert("RGB").crop((0, 0, width, height)).save(output, optimize=True)


def main() -> None:
    """Store the scores, write the report, and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of the pictures")
    parser.add_argument("--home", type=Path, help="folder of the store and the report, kept (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (options.home or Path(temporary)).absolute()
        config = Config(home, home / "activations", home / "results", home, cores=1)
        fill(config)
        page = write_report(config, home / "report").page.absolute()
        for name, (address, width, height) in PICTURES.items():
            picture(page, address, width, height, options.output.absolute() / name, home / "profile")
            print(options.output / name)


if __name__ == "__main__":
    main()
