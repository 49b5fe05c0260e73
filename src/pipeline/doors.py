"""The four doors, and which of them a request goes through."""

from collections.abc import Mapping

from src import models
from src.pipeline.door import Door
from src.pipeline.readouts import BehaviourDoor, TaskDoor
from src.pipeline.recordings import ElectrodesDoor, FmriDoor
from src.pipeline.request import Request
from src.pipeline.run import Run
from src.utils import BadInput

DOORS: Mapping[str, type[Door]] = {
    "fmri": FmriDoor,
    "electrodes": ElectrodesDoor,
    "task": TaskDoor,
    "behaviour": BehaviourDoor,
}


def doors(run: Run) -> list[Door]:
    """The scores that a request comes to: a joint one for fMRI, else one a dataset. All names are resolved."""
    request: Request = run.request
    models.resolve(request.model)
    if not request.names:
        raise BadInput("no dataset named; expected at least one: see --list")
    door = DOORS[request.script]
    groups = [tuple(sorted(set(request.names)))] if request.script == "fmri" else [(n,) for n in request.names]
    return [door(run, names) for names in groups]
