"""The path from a request to its scores: the only room that imports both the store and the science."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .. import models
from ..config import Config
from ..data import custom, declaration
from ..files import DamagedFile
from ..store import Key, Store
from ..utils import BadInput, first_names
from .benchmark import Benchmark
from .benchmarks import BENCHMARKS
from .brain import BrainRun, is_brain
from .encoder import Encoder, check_encoder_file, load_encoder, predict, save_encoder, write_predictions
from .objects import Objects
from .request import ADDED_OPTIONS, Reporter, Request, Stopped, changed_options, check_options, option_text
from .run import Run
from .score import Score, check_scores_file, write_scores
from .summary import BEST_PER_UNIT
from .sweep import contexts, swept, together
from .windows import sweeps, temporal_windows, windows_text

__all__ = [
    "ADDED_OPTIONS",
    "BENCHMARKS",
    "BEST_PER_UNIT",
    "Encoder",
    "Objects",
    "Reporter",
    "Request",
    "Score",
    "Stopped",
    "changed_options",
    "check_encoder_file",
    "check_options",
    "check_scores_file",
    "contexts",
    "extract",
    "is_brain",
    "keys",
    "load_encoder",
    "load_score",
    "option_text",
    "plan",
    "predict",
    "save_encoder",
    "score",
    "stored_name",
    "stored_scores",
    "sweeps",
    "temporal_windows",
    "windows_text",
    "write_predictions",
    "write_scores",
]


def score(
    request: Request, config: Config, report: Reporter | None = None, objects: Objects | None = None
) -> Iterator[Score]:
    """Return the scores of a request one by one, stored or computed.

    All names are resolved before the first score is computed.

    Raises
    ------
    BadInput
        For a name, option or file that cannot be used.
    Stopped
        If the reporter requested a stop.
    """
    for benchmark in together(swept(_runs(request, config, report, objects=objects))):
        yield benchmark.score()


def _runs(request: Request, config: Config, report: Reporter | None = None, **options: Any) -> list[Run]:
    """Return the run of each model of a request; they share the datasets."""
    runs: list[Run] = []
    for model in request.models:
        options |= {"sharing": runs[0], "store": runs[0].store} if runs else {}
        runs.append((BrainRun if is_brain(model) else Run)(replace(request, model=model), config, report, **options))
    return runs


def _benchmarks(request: Request, config: Config, report: Reporter | None = None, **options: Any) -> list[Benchmark]:
    """Return a benchmark per score of a request."""
    return [benchmark for found in swept(_runs(request, config, report, **options)) for benchmark in found]


def extract(request: Request, config: Config, report: Reporter | None = None) -> None:
    """Compute and store the activations behind the scores of a request, and nothing else."""
    for benchmark in together(swept(_runs(request, config, report))):
        benchmark.run.confirm(benchmark.names)
        benchmark.extract()


def keys(request: Request, config: Config) -> list[Key]:
    """Return the keys of a request in the store: those of its activations and scores."""
    wanted = _benchmarks(request, config)
    found = [key for benchmark in wanted for key in (*benchmark.activation_keys().values(), benchmark.key())]
    # scores by several metrics share their activations
    return list(dict.fromkeys(found))


def plan(request: Request, config: Config, report: Reporter | None = None, store: Store | None = None) -> list[dict]:
    """Return the steps of a request without computing them: a row per step, see `Benchmark.steps`."""
    wanted = _benchmarks(request, config, report, store=store)
    return list({step["key"]: step for benchmark in wanted for step in benchmark.steps()}.values())


def stored_scores(request: Request, config: Config, store: Store) -> list[Score] | None:
    """Return the stored scores of a request; None unless all of them are stored."""
    wanted = [(benchmark, benchmark.key()) for benchmark in _benchmarks(request, config, store=store)]
    found = [(benchmark, store.find(key), key) for benchmark, key in wanted]
    if any(entry is None for _, entry, _ in found):
        return None
    return [benchmark.as_score(entry, key) for benchmark, entry, key in found]


def stored_name(name: str) -> str:
    """Return the name of a model or a dataset in stored scores: own files are named without their folder."""
    return declaration(None, name).name if custom.is_custom(name) else models.title(name)


def load_score(name: str, config: Config) -> Score:
    """Return the stored score of a name, or of the only name that starts with it.

    Raises
    ------
    BadInput
        Where no stored score, or more than one, has that name, and for a damaged one.
    """
    scores = {item.name: item for item in Store(config, read_only=True).items() if item.kind == "score"}
    found = [name] if name in scores else [known for known in scores if known.startswith(name)]
    if len(found) != 1:
        listed = first_names(found or scores) or "none"
        raise BadInput(f"{len(found) or 'no'} stored score '{name}'; expected one of: {listed}")
    item = scores[found[0]]
    if "benchmark" not in item.facts:
        raise BadInput(f"{item.name} was stored in an earlier format; score {item.model} again")
    try:
        return Score(item.facts, item.read_arrays(), item.name, item.manifest.get("provenance", {}))
    except DamagedFile as error:
        raise BadInput(f"the stored score {item.name} is damaged ({error}); compute it again") from error
