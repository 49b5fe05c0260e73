"""Cells: command lines of one benchmark, identified by their content."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from .. import data, models
from ..pipeline import Request, is_brain
from ..pipeline.flags import Flags, parse
from ..utils import BadInput, digest
from .resources import require_printable


@dataclass(frozen=True)
class Cell:
    """One call of the score command.

    benchmark: "fmri", "electrodes", "task" or "behaviour"; model: one, or several for which films are decoded once;
    names: datasets; flags: all other flags, as given.
    """

    benchmark: str
    model: str | tuple[str, ...]
    names: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Digest of all fields, 10 hexadecimal digits."""
        model = self.model if isinstance(self.model, str) else list(self.model)
        return digest([self.benchmark, model, list(self.names), list(self.flags)])[:10]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return (self.model,) if isinstance(self.model, str) else self.model

    @property
    def label(self) -> str:
        """Readable name of the cell, without the folders of a user's files."""
        names = " + ".join(map(data.custom.title, self.names))
        return " ".join([" + ".join(map(models.title, self.models)), "on", names, *self.flags])

    def arguments(self) -> list[str]:
        """Return the arguments of the score command."""
        return ["--model", *self.models, *self.flags, "-d", *self.names]

    def request(self) -> Request:
        """Return the request of the command line."""
        return replace(_parsed(self.benchmark, self.flags).request, model=self.model, datasets=self.names)


def make_cells(
    benchmark: str,
    names_of_models: Sequence[str],
    names: Sequence[str],
    flags: Sequence[str],
    *,
    each: bool,
    together: int = 1,
) -> list[Cell]:
    """Return the cells of models x datasets: one per model or, with `each`, one per model and dataset.

    together: number of models in a cell, for which films are decoded once.

    Unknown flags exit with argparse's code and message. Raises BadInput for unknown names, for flags that do not
    belong to the key of a score, and for control characters.
    """
    require_printable([*names_of_models, *names, *flags])
    _check_flags(_parsed(benchmark, tuple(flags)))
    known = parse(benchmark, ["--model", "any", "-d", *names]).request.datasets
    for name in known:
        data.declaration(benchmark, name)
    chosen = list(dict.fromkeys(names_of_models))
    for model in chosen:
        if not is_brain(model):
            models.resolve(model)
    # a joint regression does not depend on the order of its datasets
    groups = [(name,) for name in dict.fromkeys(known)] if each else [tuple(sorted(set(known)))]
    of_cells = [tuple(chosen[i : i + together]) for i in range(0, len(chosen), together)]
    return [
        Cell(benchmark, found if len(found) > 1 else found[0], group, tuple(flags))
        for found in of_cells
        for group in groups
    ]


@cache
def _parsed(benchmark: str, flags: tuple[str, ...]) -> Flags:
    return parse(benchmark, ["--model", "any", *flags])


def _check_flags(flags: Flags) -> None:
    request = flags.request
    if request.rerun:
        raise BadInput(
            "--rerun-... behind --; a cell is done when its score is stored: remove it with `dynamic-vision store rm`"
        )
    if flags.output:
        raise BadInput("--output behind --; expected `dynamic-vision grid collect --output FILE` afterwards")
    if flags.log_file:
        raise BadInput("--log-file behind --; every cell has a log of its own: see `dynamic-vision grid status`")
    if flags.dry_run or flags.extract_only:
        raise BadInput("--dry-run or --extract-only behind --; expected --dry-run before it, or --split-steps")
    if request.model != "any" or request.datasets != _parsed(request.benchmark, ()).request.datasets:
        raise BadInput("--model or datasets behind --; expected --models and --datasets before it")
