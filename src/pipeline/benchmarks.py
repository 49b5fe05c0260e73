"""The four doors, and which of them a request goes through."""

from collections.abc import Mapping

from .. import models
from ..utils import BadInput
from .benchmark import Door
from .readouts import BehaviourDoor, TaskDoor
from .recordings import ElectrodesDoor, FmriDoor
from .request import Request
from .run import Run

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
