"""What a job asks its cluster for."""

import re
from dataclasses import dataclass, fields

from ..utils import BadInput

NOTICE_S = 120


@dataclass(frozen=True)
class Resources:
    """What one array asks for; None leaves it to the cluster.

    gpus: a number or type:number; time: SLURM's notation; max_parallel: cells at a time; notice: seconds before the
    time limit at which a cell is told to stop; options: further sbatch options, as text.
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
        if self.time and seconds(self.time) < (self.notice or NOTICE_S):
            raise BadInput(
                f"--time {self.time} ends before a cell can be told to stop {self.notice or NOTICE_S} s before it; "
                "ask for more, or shorten --notice"
            )

    def changed(self, other: "Resources") -> "Resources":
        """These, with what `other` states in place of what is here."""
        return Resources(**{f.name: getattr(other, f.name) or getattr(self, f.name) for f in fields(self)})

    def sbatch(self, n_cells: int) -> list[str]:
        """The options of an array of `n_cells` as sbatch takes them."""
        at_a_time = f"%{self.max_parallel}" if self.max_parallel else ""
        asked = {
            "array": f"0-{n_cells - 1}{at_a_time}",
            "signal": f"B:USR1@{self.notice or NOTICE_S}",
            "partition": self.partition,
            "account": self.account,
            "gres": f"gpu:{self.gpus}" if self.gpus and self.gpus != "0" else None,
            "time": self.time,
            "mem": self.mem,
            "cpus-per-task": self.cpus,
        }
        return [f"--{name}={value}" for name, value in asked.items() if value is not None] + list(self.options)


def seconds(time: str) -> int:
    """A time in SLURM's notation - M, M:S, H:M:S, D-H, D-H:M or D-H:M:S - in seconds; raises BadInput for others."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if not found:
        raise BadInput(f"--time {time}; expected minutes, hours:minutes:seconds or days-hours")
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    hours_first = days is not None or len(given) == 3
    hours, minutes, rest = [*given, 0, 0][:3] if hours_first else [0, *given, 0][:3]
    return (((days or 0) * 24 + hours) * 60 + minutes) * 60 + rest


Steps = dict[str, Resources]
