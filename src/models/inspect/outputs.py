"""Outputs of the modules of a network: hooks, shapes, and the default layers of a network that declares none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
INACTIVE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def first_tensor(output: Any) -> Any:
    """Return a module's output, or the first tensor of a tuple, list or dict (as transformer blocks return)."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((item for item in output if isinstance(item, Tensor)), output)
    return output


@contextmanager
def hooked(module: nn.Module, layers: Sequence[str], record: Callable[[str, Any], None]) -> Iterator[None]:
    """Call `record(layer, output)` in every forward pass of the named submodules within the block."""

    def hook_for(layer: str) -> Callable:
        return lambda _module, _inputs, output: record(layer, output)

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(module.get_submodule(layer).register_forward_hook(hook_for(layer)))
        yield


def run(module: nn.Module, layers: Sequence[str], batch: Tensor, read: Callable[[str, Any], Any]) -> dict[str, list]:
    """Return {layer: read(layer, output) of each of its calls} for one forward pass without gradients."""
    outputs: dict[str, list] = {layer: [] for layer in layers}

    def record(layer: str, output: Any) -> None:
        outputs[layer].append(read(layer, output))

    with torch.inference_mode(), hooked(module, layers, record):
        module(batch)
    return outputs


def sizes(
    module: nn.Module, layers: Sequence[str], batch: Tensor, read: Callable[[str, Any], Any] | None = None
) -> dict[str, tuple[int, ...]]:
    """Return {layer: shape of its last output}; () where the layer did not run or its output is no tensor."""

    def shape(layer: str, output: Any) -> tuple[int, ...]:
        output = first_tensor(output) if read is None else read(layer, output)
        return tuple(output.shape) if isinstance(output, Tensor) else ()

    return {layer: calls[-1] if calls else () for layer, calls in run(module, layers, batch, shape).items()}


def blocks(module: nn.Module) -> list[str]:
    """Return the default layers of a network: its top-level modules, containers replaced by their children.

    Replaced are Sequential, ModuleList and ModuleDict, and a module that has one of these with a repeated composite
    module (an encoder with its stack of blocks). If only one layer results, it is replaced too (a wrapper of the
    network). Identities and dropouts, which do nothing in eval mode, are left out.
    """
    found = _expanded(module, "")
    while len(found) == 1 and (inner := _expanded(module.get_submodule(found[0]), found[0])):
        found = inner
    return found


def _expanded(parent: nn.Module, path: str) -> list[str]:
    """Return the layers below `parent`, whose path is `path`."""
    found = []
    for name, child in parent.named_children():
        here = f"{path}.{name}" if path else name
        if (isinstance(child, CONTAINERS) and len(child)) or any(map(_is_stack, child.children())):
            found += _expanded(child, here)
        elif not isinstance(child, INACTIVE):
            found.append(here)
    return found


def _is_stack(part: nn.Module) -> bool:
    """Return True for a container with two or more modules of one class that have submodules."""
    if not isinstance(part, CONTAINERS):
        return False
    kinds = [type(child) for child in part.children() if any(True for _ in child.children())]
    return len(kinds) > len(set(kinds))
