"""Wrappers around a user's network: removed where the network inside is the same, refused where it cannot be read."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..utils import BadInput
from .spec import Model

COMPILED = "_orig_mod"  # the network inside torch.compile's wrapper
ADVICE = "expected the network before it, as torch runs its layers in one piece, without hooks"


def unwrapped(name: str, module: nn.Module) -> tuple[nn.Module, str]:
    """Return the network inside torch.compile, DataParallel and DistributedDataParallel, and its path in the wrapper.

    Parameters
    ----------
    name : str
        Name of the model in messages.
    module : torch.nn.Module

    Returns
    -------
    module : torch.nn.Module
        The network itself; `module` without a wrapper.
    path : str
        Its path from `module`, with a dot at the end; "" without a wrapper.

    Raises
    ------
    BadInput
        For TorchScript, for sharded networks, and for a network of which a part is compiled.
    """
    path = ""
    while inside := next(iter(_inside(module)), ""):
        module, path = getattr(module, inside), f"{path}{inside}."
    if isinstance(module, torch.jit.ScriptModule):
        raise BadInput(f"{name} is TorchScript; {ADVICE}")
    for part_name, part in module.named_modules():
        where = f"{name}, module {part_name}," if part_name else name
        if type(part).__name__.startswith("FullyShardedDataParallel"):
            raise BadInput(f"{where} is sharded (FSDP); expected the whole network on one device")
        if COMPILED in part._modules or getattr(part, "_compiled_call_impl", None) is not None:
            raise BadInput(f"{where} is compiled (torch.compile); {ADVICE}")
    return module, path


def _inside(module: nn.Module) -> Iterator[str]:
    """Yield the name of the network inside a wrapper."""
    if COMPILED in module._modules:
        yield COMPILED
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        yield "module"


def unwrapped_model(model: Model) -> Model:
    """Return a Model whose network has no wrapper; layers may be named with or without the path in the wrapper."""
    module, path = unwrapped(model.name, model.module)
    if not path:
        return model
    process, names = model.process_output, {layer.removeprefix(path): layer for layer in model.layers}

    def read(layer: str, output: Any) -> torch.Tensor:
        return process(names[layer], output)

    layers = {layer: model.layers[declared] for layer, declared in names.items()}
    return replace(model, module=module, layers=layers, process_output=read if process else None)
