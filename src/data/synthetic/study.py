"""One folder per embedded study, made on first use: rendered beside its place, then moved there whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...utils import BadInput, digest

MANIFEST = "manifest.json"
CARD = {
    "citation": "simulated; no publication",
    "licence": "MIT",
    "access": "embedded",
    "source": "rendered from a seed on first use",
}


def ensure_study(folder: Path, recipe: dict, render: Callable[[Path], None]) -> Path:
    """`folder`, filled by `render(temporary folder)` unless its manifest already states this `recipe`.

    recipe: what the files follow from (version, seed, network, ...). Several processes may come at once: one renders,
    the others wait. Raises BadInput where the folder cannot be written.
    """
    if _states(folder, recipe):
        return folder
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not _states(folder, recipe):
                _render_beside(folder, recipe, render)
    except OSError as error:
        raise BadInput(
            f"cannot write the embedded dataset to {folder} ({error.strerror or error}); "
            f"expected a writable folder; point DATA_HOME at one"
        ) from error
    return folder


def _states(folder: Path, recipe: dict) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    present = all((folder / file).is_file() for file in manifest.get("files", []))
    return present and manifest.get("recipe_digest") == digest(recipe)


def _render_beside(folder: Path, recipe: dict, render: Callable[[Path], None]) -> None:
    from threadpoolctl import threadpool_limits

    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    beside.chmod(0o755)
    try:
        made = beside / "made"
        made.mkdir()
        # The last bit of a matrix product depends on how many threads share it, and so would files and digests.
        with threadpool_limits(limits=1):
            render(made)
        files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
        manifest = {"recipe": recipe, "recipe_digest": digest(recipe), "files": files}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            os.replace(folder, beside / "outdated")
        os.replace(made, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
