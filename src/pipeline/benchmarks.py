"""The four benchmarks by name, and the scores that a request consists of."""

from collections.abc import Mapping

from ..utils import BadInput, unknown_name
from .behaviour import BehaviourBenchmark
from .benchmark import Benchmark
from .electrodes import ElectrodesBenchmark
from .fmri import FmriBenchmark
from .run import Run
from .task import TaskBenchmark

BENCHMARKS: Mapping[str, type[Benchmark]] = {
    "fmri": FmriBenchmark,
    "electrodes": ElectrodesBenchmark,
    "task": TaskBenchmark,
    "behaviour": BehaviourBenchmark,
}


def benchmarks(run: Run) -> list[Benchmark]:
    """Return a benchmark per score of a request: a joint one for fMRI, else one per dataset.

    Raises BadInput for a model, feature set or dataset that does not exist.
    """
    request = run.request
    run.check_model()
    if not request.datasets:
        raise BadInput("no dataset named; expected at least one: see --list")
    if request.benchmark not in BENCHMARKS:
        raise unknown_name("benchmark", request.benchmark, BENCHMARKS)
    joint = request.benchmark == "fmri"
    groups = [tuple(sorted(set(request.datasets)))] if joint else [(name,) for name in request.datasets]
    return [BENCHMARKS[request.benchmark](run, names) for names in groups]
