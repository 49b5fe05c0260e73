"""Dataset cards: a README.md beside Parquet files that the Hugging Face Hub shows and loads.

Format: huggingface.co/docs/hub/datasets-cards, a YAML header and Markdown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tables import markdown

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTIONS = {
    "scores": "a row per score: headline, interval, ceiling, and the digests of its inputs",
    "regions": "a row per score and region",
    "layers": "a row per score and layer",
    "replicates": "a row per bootstrap draw of the headline",
    "pairs": "a row per pair of models of a benchmark: the difference, its interval, p and q",
    "leaderboard": "a row per model: mean of the ceiling-normalised scores over benchmarks",
    "provenance": "a row per score: key, options, date, device and package versions",
    "against": "own scores ranked among those of bundles",
}


def dataset_card(frames: "Mapping[str, pd.DataFrame]", card: Mapping[str, Any] | None = None) -> str:
    """Return the card of Parquet tables.

    frames: {name of the file without suffix: table}; card: that of a bundle.
    """
    lines = ["---", "pretty_name: Dynamic-Vision scores", "tags:"]
    lines += ["- neuroscience", "- vision", "- benchmark", "configs:"]
    for i, name in enumerate(frames):
        lines += [f"- config_name: {name}", f"  data_files: {name}.parquet", *(["  default: true"] if i == 0 else [])]
    lines += ["---", "", "# Dynamic-Vision scores", ""]
    lines.append("Scores of vision models against brains and behaviour that unfold in time, made by Dynamic-Vision.")
    rows = [(f"{n}.parquet", f"{len(table):,}", DESCRIPTIONS.get(n, "")) for n, table in frames.items()]
    lines += ["", markdown(["file", "rows", "content"], rows), ""]
    if card is not None:
        lines += [f"Protocols: {', '.join(card['protocols'])}. Created {card['created']}.", ""]
        lines += [markdown(["dataset", "SHA-256 of the data"], sorted(card["data"].items())), ""]
        lines += [markdown(["model", "SHA-256 of the model"], sorted(card["models"].items())), ""]
        lines += ["`card.json` has a SHA-256 of every column; `dynamic-vision report verify` recomputes rows.", ""]
    lines.append("Every column is described in docs/outputs.md of the project.")
    return "\n".join(lines) + "\n"


def write_dataset_card(paths: "tuple[Path, ...] | list[Path]") -> Path | None:
    """Write the card of Parquet tables beside them and return its path; None without a Parquet file."""
    import pandas as pd

    from ..files import write_atomic

    files = [path for path in paths if path.suffix == ".parquet"]
    if not files:
        return None
    target = files[0].parent / "README.md"
    write_atomic(target, dataset_card({path.stem: pd.read_parquet(path) for path in files}).encode())
    return target
