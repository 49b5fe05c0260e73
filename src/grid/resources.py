"""Resources of a job on a SLURM cluster."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from ..utils import BadInput

NOTICE_S = 120


@dataclass(frozen=True)
class Resources:
    """Resources of each cell of an array; None: the default of the cluster.

    gpus: a number or type:number; time: in SLURM's notation; max_parallel: number of cells at a time; notice: s before
    the time limit at which a cell is stopped; options: further sbatch options, as text.
    """

    partition: str | None = None
    account: str | None = None
    gpus: str | None = None
    time: str | None = None
    mem: str | None = None
    cpus: int | None = None
    max_parallel: int | None = None
    notice: int | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self):
        texts = [self.partition, self.account, self.gpus, self.mem, *self.options]
        require_printable(text for text in texts if text)
        for option in self.options:
            if '"' in option and " " in option:
                raise BadInput(
                    f"{option!r} would go into an sbatch file; expected no quotation mark beside spaces; leave it out"
                )
        notice = self.notice or NOTICE_S
        if self.time and seconds(self.time) < notice:
            raise BadInput(
                f"--time {self.time} is less than the {notice} s before the limit at which a cell is stopped; "
                "expected more, or a shorter --notice"
            )

    def changed(self, other: "Resources") -> "Resources":
        """Return these resources, replaced by those of `other` where it has some."""
        return Resources(**{f.name: getattr(other, f.name) or getattr(self, f.name) for f in fields(self)})

    def sbatch(self, n_cells: int) -> list[str]:
        """Return the sbatch options of an array of `n_cells`."""
        limit = f"%{self.max_parallel}" if self.max_parallel else ""
        values = {
            "array": f"0-{n_cells - 1}{limit}",
            "signal": f"B:USR1@{self.notice or NOTICE_S}",
            "partition": self.partition,
            "account": self.account,
            "gres": f"gpu:{self.gpus}" if self.gpus and self.gpus != "0" else None,
            "time": self.time,
            "mem": self.mem,
            "cpus-per-task": self.cpus,
        }
        return [f"--{name}={value}" for name, value in values.items() if value is not None] + list(self.options)


def require_printable(texts: Iterable[str]) -> None:
    """Raise BadInput for a control character or a line break, which would end a line of an sbatch file."""
    for text in texts:
        if not text.isprintable():
            raise BadInput(f"{text!r} would go into an sbatch file; expected printable characters only; leave them out")


def seconds(time: str) -> int:
    """Return a time in SLURM's notation (M, M:S, H:M:S, D-H, D-H:M or D-H:M:S) in s; raise BadInput for others."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if not found:
        raise BadInput(f"--time {time}; expected minutes, hours:minutes:seconds or days-hours")
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    hours_first = days is not None or len(given) == 3
    hours, minutes, rest = [*given, 0, 0][:3] if hours_first else [0, *given, 0][:3]
    return (((days or 0) * 24 + hours) * 60 + minutes) * 60 + rest


Steps = dict[str, Resources]
