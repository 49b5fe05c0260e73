"""Faults of a user's files, each in one line with its place, what was found and the remedy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """One fault: file, line of the file (None: the whole file), what was found, and what to do."""

    file: str
    line: int | None
    found: str
    remedy: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return " ".join(f"{place}: {self.found}; {self.remedy}".split())


@dataclass
class Problems:
    """Faults in the order in which they were found."""

    found: list[Problem] = field(default_factory=list)

    def add(self, file: str, found: str, remedy: str, line: int | None = None) -> None:
        """Add a fault."""
        self.found.append(Problem(file, line, found, remedy))

    def __len__(self) -> int:
        return len(self.found)

    def lines(self) -> list[str]:
        """Return a line per fault; of more than five of one kind (file and remedy) the first five and a count."""
        kinds: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.found:
            kinds.setdefault((problem.file, problem.remedy), []).append(problem)
        return [line for (file, remedy), same in kinds.items() for line in _shortened(file, remedy, same)]


def _shortened(file: str, remedy: str, same: Sequence[Problem]) -> list[str]:
    more = len(same) - SHOWN
    return [*map(str, same[:SHOWN]), *([f"{file}: {more} more lines like these; {remedy}"] if more > 0 else [])]
