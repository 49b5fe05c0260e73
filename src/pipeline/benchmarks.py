"""The four benchmarks by name, and the scores that a request consists of."""

from collections.abc import Mapping

from ..utils import BadInput, unknown_name
from .behaviour import BehaviourBenchmark
from .benchmark import Benchmark
from .electrodes import ElectrodesBenchmark
from .fmri import FmriBenchmark
from .request import Request
from .run import Run
from .task import TaskBenchmark

BENCHMARKS: Mapping[str, type[Benchmark]] = {
    "fmri": FmriBenchmark,
    "electrodes": ElectrodesBenchmark,
    "task": TaskBenchmark,
    "behaviour": BehaviourBenchmark,
}


def benchmarks(run: Run) -> list[Benchmark]:
    """Return a benchmark per score of a request: a joint one for fMRI, else one per dataset, and one per metric.

    Raises BadInput for a model or dataset that does not exist.
    """
    request = run.request
    run.check_model()
    if not request.datasets:
        raise BadInput("no dataset named; expected at least one: see --list")
    if request.benchmark not in BENCHMARKS:
        raise unknown_name("benchmark", request.benchmark, BENCHMARKS)
    joint = request.benchmark == "fmri"
    _check_test(request)
    groups = [tuple(sorted(set(request.datasets)))] if joint else [(name,) for name in request.datasets]
    return [found for names in groups for found in BENCHMARKS[request.benchmark].of_metrics(run, names)]


def _check_test(request: Request) -> None:
    """Raise BadInput for datasets for test that leave none to train on."""
    if request.test and request.benchmark != "fmri":
        raise BadInput(f"datasets for test of {request.benchmark}; expected fMRI, whose datasets have the same units")
    if unknown := set(request.test) - set(request.datasets):
        raise BadInput(f"{', '.join(sorted(unknown))} for test; expected some of the datasets")
    if request.test and set(request.test) == set(request.datasets):
        raise BadInput("all datasets are for test; expected one or more others to train on: name them with --train")
