"""Conversion of published files, in the formats of other programs, to the weight files of the catalogue."""

import importlib
from inspect import signature
from pathlib import Path

from ..files import replacing_file
from ..utils import BadInput, unknown_name
from .catalogue import MODELS
from .checkpoints import checkpoint_path
from .errors import error_line

# {model: function of its network's file with the arguments (published file, ..., target)}
CONVERTERS = {
    "hmax": "hmax:convert",
    "MotionNet": "motionnet:convert",
    "VideoChat-7B": "videochat:join",
    "VideoChat-13B": "videochat:join",
}


def convert(name: str, *files: str | Path) -> Path:
    """Write the weight file of a model from its published files.

    Parameters
    ----------
    name : str
        One of CONVERTERS.
    *files : str or Path
        The published files, in the order of the message that names them (`dynamic-vision models check NAME --full`).

    Returns
    -------
    Path
        The weight file, in TORCH_HOME/hub/checkpoints; an earlier one is replaced.

    Raises
    ------
    BadInput
        For a model without converter, a wrong number of files, and a file that is missing or damaged.
    """
    if name not in CONVERTERS:
        raise unknown_name("model with a converter", name, CONVERTERS)
    module, function = CONVERTERS[name].split(":")
    converter = getattr(importlib.import_module(f".networks.{module}", __package__), function)
    expected = len(signature(converter).parameters) - 1
    if len(files) != expected:
        raise BadInput(f"{len(files)} files for {name}; expected {expected}; {MODELS[name].weights.how}")
    for path in map(Path, files):
        if not path.is_file():
            raise BadInput(f"no file {path}; expected a published file of {name}; {MODELS[name].weights.how}")
    target = checkpoint_path(MODELS[name].weights)
    try:
        with replacing_file(target) as temporary:
            converter(*map(str, files), str(temporary))
    except (BadInput, OSError):
        raise
    except Exception as error:  # the exception of a damaged file depends on its format
        raise BadInput(
            f"{' and '.join(map(str, files))} cannot be converted for {name} ({error_line(error)}); fetch it again"
        ) from error
    return target
