"""Miniature of Brain-Score's storage: sets packaged by BrainIO, on an S3 server on this machine.

Everything between `load_dataset` and the bytes is Brain-Score's code; only the checksums and versions that its plugins
pin are replaced by those of the small files.
"""

import hashlib
import importlib
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from src.data.synthetic import plant

BUCKET, PREFIX = "brainscore-storage", "brainio-brainscore"
PACKAGED = "packaged"
FAKE_KEYS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def pack_stimuli(folder: Path, identifier: str, table: dict, paths: dict) -> None:
    """Write a stimulus set as csv and zip to `folder`/packaged; table: with stimulus_id or (older sets) image_id."""
    from brainscore_core.supported_data_standards.brainio import packaging
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    stimuli = StimulusSet(table)
    stimuli.stimulus_paths = {name: str(path) for name, path in paths.items()}
    stem = folder / PACKAGED / f"stimulus_{identifier.replace('.', '_')}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    numbered = stimuli.assign(stimulus_id=stimuli.get("stimulus_id", stimuli.get("image_id")))
    numbered.stimulus_paths = stimuli.stimulus_paths
    _, stimuli["filename"] = packaging.create_stimulus_zip(numbered, str(stem.with_name(f"{stem.name}.zip")))
    packaging.create_stimulus_csv(stimuli, str(stem.with_name(f"{stem.name}.csv")))


def pack_assembly(folder: Path, identifier: str, assembly) -> None:
    """Write an assembly, without the columns of its stimulus set, as netCDF to `folder`/packaged."""
    from brainscore_core.supported_data_standards.brainio import packaging

    packaging.write_netcdf(assembly, folder / PACKAGED / f"assy_{identifier.replace('.', '_')}.nc")


def planted(images: list, layer: str, bin_ms: tuple[float, float], n_units: int, rng) -> np.ndarray:
    """Return signals (n_images, n_units) of variance 1, planted in a layer's activations to still images in one bin."""
    bins = np.array([bin_ms], dtype=float)
    rows = np.concatenate([film[layer] for film in plant.binned([i[None] for i in images], [bins] * len(images))])
    return plant.unit_variance(rows @ plant.directions(rng, rows, n_units, 4))


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def hosted(folder: Path, plugin: str, brainio_home: Path | None = None):
    """Serve the sets packaged in a study's `folder` as Brain-Score's storage until the block ends.

    Downloads go to `brainio_home`, by default `brainio` in that folder.
    """
    from brainscore_core.supported_data_standards.brainio import fetch
    from moto.server import ThreadedMotoServer

    module = importlib.import_module(f"brainscore_vision.data.{plugin}")
    packaged = folder / PACKAGED

    def repinned(load):
        def with_actual_checksums(**pinned):
            stem = pinned["identifier"].replace(".", "_")
            if "sha1" in pinned:
                pinned |= {"sha1": _sha1(packaged / f"assy_{stem}.nc"), "version_id": None}
            else:
                for kind in ("csv", "zip"):
                    sha1 = _sha1(packaged / f"stimulus_{stem}.{kind}")
                    pinned |= {f"{kind}_sha1": sha1, f"{kind}_version_id": None}
            return load(**pinned)

        return with_actual_checksums

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    with ExitStack() as stack:
        stack.callback(server.stop)
        stack.enter_context(
            mock.patch.dict(os.environ, FAKE_KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}, clear=False)
        )
        stack.enter_context(mock.patch.object(fetch, "_local_data_path", str(brainio_home or folder / "brainio")))
        for loader in ("load_assembly_from_s3", "load_stimulus_set_from_s3"):
            if hasattr(module, loader):
                stack.enter_context(mock.patch.object(module, loader, repinned(getattr(module, loader))))
        _upload(packaged)
        yield


def _upload(packaged: Path) -> None:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for path in sorted(packaged.iterdir()):
        client.upload_file(str(path), BUCKET, f"{PREFIX}/{path.name}")
