"""Folder of an embedded study, rendered on first use and complete or absent."""

import json
from collections.abc import Callable
from pathlib import Path

from ...files import replacing_folder, unchecked_json, writing
from ...locks import locked
from ...utils import digest

MANIFEST = "manifest.json"
ATTRIBUTION = {
    "citation": "simulated; no publication",
    "licence": "MIT",
    "access": "embedded",
    "source": "rendered from a seed on first use",
}


def ensure_study(folder: Path, recipe: dict, render: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `render(temporary folder)` unless its manifest states this `recipe`.

    recipe: everything the files depend on (version, seed, network, ...). Of several processes at a time one renders and
    the others wait. Raises BadInput if the folder cannot be written.
    """
    if _is_complete(folder, recipe):
        return folder
    with writing(folder, "DATA_HOME"), locked(folder.parent / f".{folder.name}.lock", "DATA_HOME"):
        if not _is_complete(folder, recipe):
            _render(folder, recipe, render)
    return folder


def _is_complete(folder: Path, recipe: dict) -> bool:
    """Return whether the manifest states this recipe and all its files exist."""
    manifest = unchecked_json(folder / MANIFEST, {})
    present = all((folder / file).is_file() for file in manifest.get("files", []))
    return present and manifest.get("recipe_digest") == digest(recipe)


def _render(folder: Path, recipe: dict, render: Callable[[Path], None]) -> None:
    from threadpoolctl import threadpool_limits

    with replacing_folder(folder) as made:
        # the last bit of a matrix product depends on the number of threads, and with it files and digests
        with threadpool_limits(limits=1):
            render(made)
        files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
        manifest = {"recipe": recipe, "recipe_digest": digest(recipe), "files": files}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
