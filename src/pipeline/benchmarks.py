"""The four benchmarks, and which of them a request goes through."""

from collections.abc import Mapping

from .. import models
from ..utils import BadInput
from .benchmark import Benchmark
from .readouts import BehaviourBenchmark, TaskBenchmark
from .recordings import ElectrodesBenchmark, FmriBenchmark
from .request import Request
from .run import Run

BENCHMARKS: Mapping[str, type[Benchmark]] = {
    "fmri": FmriBenchmark,
    "electrodes": ElectrodesBenchmark,
    "task": TaskBenchmark,
    "behaviour": BehaviourBenchmark,
}


def benchmarks(run: Run) -> list[Benchmark]:
    """The scores that a request comes to: a joint one for fMRI, else one a dataset. All names are resolved."""
    request: Request = run.request
    models.resolve(request.model)
    if not request.names:
        raise BadInput("no dataset named; expected at least one: see --list")
    benchmark = BENCHMARKS[request.benchmark]
    groups = [tuple(sorted(set(request.names)))] if request.benchmark == "fmri" else [(n,) for n in request.names]
    return [benchmark(run, names) for names in groups]
