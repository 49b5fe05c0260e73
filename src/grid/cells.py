"""A cell: one command line of one benchmark, and what makes it that cell and no other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from .. import data, models
from ..cli.options import Options, parse
from ..pipeline import Request
from ..utils import BadInput, digest


@dataclass(frozen=True)
class Cell:
    """One call of `score_<script>.py`: a model, the names it is scored on, and the other flags as given."""

    benchmark: str
    model: str
    names: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Ten hex digits that depend on all fields and on nothing else."""
        return digest([self.benchmark, self.model, list(self.names), list(self.flags)])[:10]

    @property
    def label(self) -> str:
        """The cell in words."""
        return " ".join([self.model, "on", " + ".join(self.names), *self.flags])

    def arguments(self) -> list[str]:
        """The script's command line."""
        return ["--model", self.model, *self.flags, "-d", *self.names]

    def request(self) -> Request:
        """What the command line asks for."""
        return replace(_parsed(self.benchmark, self.flags).request, model=self.model, names=self.names)


def make_cells(
    benchmark: str, names_of_models: Iterable[str], names: Sequence[str], flags: Sequence[str], *, each: bool
) -> list[Cell]:
    """The cells models x names, every name known: one per model and, with `each`, per name.

    Leaves as the script would for flags that it does not know; raises BadInput for unknown names and for flags that
    would make cells differ in what the store cannot show.
    """
    _check_flags(_parsed(benchmark, tuple(flags)))
    known = parse(benchmark, ["--model", "any", "-d", *names]).request.names
    for name in known:
        data.declaration(benchmark, name)
    chosen = list(dict.fromkeys(names_of_models))
    for model in chosen:
        models.resolve(model)
    # a joint regression does not depend on the order of its datasets
    groups = [(name,) for name in dict.fromkeys(known)] if each else [tuple(sorted(set(known)))]
    return [Cell(benchmark, model, group, tuple(flags)) for model in chosen for group in groups]


@cache
def _parsed(benchmark: str, flags: tuple[str, ...]) -> Options:
    return parse(benchmark, ["--model", "any", *flags])


def _check_flags(options: Options) -> None:
    if options.request.rerun:
        raise BadInput("--rerun-... in a grid; a cell is done when its score is stored: remove it with src.store rm")
    if options.output:
        raise BadInput("--output in the flags of a grid's cells; expected `collect --output FILE` afterwards")
    if options.dry_run or options.extract_only:
        raise BadInput("--dry-run or --extract-only behind --; expected --dry-run before it, or --split-steps")
    if (
        options.request.model != "any"
        or options.request.names != parse(options.request.benchmark, ["-m", "any"]).request.names
    ):
        raise BadInput("--model or names behind --; expected --models and --datasets before it")
