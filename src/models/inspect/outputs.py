"""What the modules of a network give out: hooks, shapes, and the layers of a network that names none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def first_tensor(output: Any) -> Any:
    """A module's output, or the first tensor of a tuple, list or dict of them (as transformer blocks return)."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((item for item in output if isinstance(item, Tensor)), output)
    return output


@contextmanager
def listening(module: nn.Module, layers: Sequence[str], hear: Callable[[str, Any], None]) -> Iterator[None]:
    """Call `hear(layer, output)` at every forward pass of the named submodules while the block runs."""

    def hook_for(layer: str) -> Callable:
        return lambda _module, _inputs, output: hear(layer, output)

    hooks = [module.get_submodule(layer).register_forward_hook(hook_for(layer)) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def run(module: nn.Module, layers: Sequence[str], batch: Tensor, read: Callable[[str, Any], Any]) -> dict[str, list]:
    """{layer: read(layer, output) of each of its calls} for one forward pass without gradients."""
    heard: dict[str, list] = {layer: [] for layer in layers}

    def hear(layer: str, output: Any) -> None:
        heard[layer].append(read(layer, output))

    with torch.inference_mode(), listening(module, layers, hear):
        module(batch)
    return heard


def sizes(
    module: nn.Module, layers: Sequence[str], batch: Tensor, read: Callable[[str, Any], Any] | None = None
) -> dict[str, tuple[int, ...]]:
    """{layer: shape of its last output}; () where the layer did not run or gave no tensor."""

    def shape(layer: str, output: Any) -> tuple[int, ...]:
        output = first_tensor(output) if read is None else read(layer, output)
        return tuple(output.shape) if isinstance(output, Tensor) else ()

    return {layer: calls[-1] if calls else () for layer, calls in run(module, layers, batch, shape).items()}


def blocks(module: nn.Module) -> list[str]:
    """The layers of a network that names none: its modules from the top, opened until a block is met.

    Opened are Sequential, ModuleList and ModuleDict, and whatever holds one of these with a repeated composite module
    (an encoder with its stack of blocks); a network that then has one layer only is opened too (a wrapper round the
    real one). Identities and dropouts, silent in eval mode, are left out.
    """
    found = _opened(module, "")
    while len(found) == 1 and (inner := _opened(module.get_submodule(found[0]), found[0])):
        found = inner
    return found


def _opened(parent: nn.Module, path: str) -> list[str]:
    found = []
    for name, child in parent.named_children():
        here = f"{path}.{name}" if path else name
        if (isinstance(child, CONTAINERS) and len(child)) or any(map(_is_stack, child.children())):
            found += _opened(child, here)
        elif not isinstance(child, SILENT):
            found.append(here)
    return found


def _is_stack(part: nn.Module) -> bool:
    """Whether a container holds two or more modules of one class that hold modules themselves."""
    if not isinstance(part, CONTAINERS):
        return False
    kinds = [type(child) for child in part.children() if any(True for _ in child.children())]
    return len(kinds) > len(set(kinds))
