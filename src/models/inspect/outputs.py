"""Outputs of the modules of a network: names of layers, hooks, shapes, and the default layers of a network.

A layer is named by the path of its module; by `path@2` for the second call of a module in a pass, `path@first` and
`path@last`; and by `path.key` for a part of an output that is a dict, a dataclass or a tuple (`path.0`). A tuple or
list without a key is read as its first tensor.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from ...utils import BadInput, first_names

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
INACTIVE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)

LAST = -1
CALL = re.compile(r"first|last|[1-9]\d*")
CALLS = {"first": 1, "last": LAST}


@dataclass(frozen=True)
class Place:
    """Place of a layer in a network.

    module: path; call: number of the call within a pass from 1, LAST, or 0 where the name has none; part: keys and
    indices of the part of the output, joined by dots, "" for all of it.
    """

    module: str
    call: int = 0
    part: str = ""

    def is_call(self, number: int) -> bool:
        """Return True for a call that is read; where the last one is wanted, every call replaces the one before."""
        return self.call in (0, LAST, number)


def located(module: nn.Module, layer: str) -> Place | None:
    """Return the place that a layer's name denotes: the longest path of a module that fits; None if there is none."""
    if _has(module, layer):
        return Place(layer)
    words = layer.split(".")
    for n in range(len(words), 0, -1):
        head, part = ".".join(words[:n]), ".".join(words[n:])
        path, at, call = head.rpartition("@")
        if _has(module, head):
            return Place(head, 0, part)
        if at and CALL.fullmatch(call) and _has(module, path):
            return Place(path, CALLS.get(call) or int(call), part)
    return None


def _has(module: nn.Module, path: str) -> bool:
    """Return True if the network has a module of that path."""
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return bool(path)


def children(output: Any) -> list[tuple[str, Any]]:
    """Return the named parts of an output: keys of a dict, fields of a dataclass, indices of a tuple or list."""
    if isinstance(output, Mapping):
        return [(str(key), value) for key, value in output.items()]
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(zip(output._fields, output, strict=True))
    return [(str(i), value) for i, value in enumerate(output)] if isinstance(output, tuple | list) else []


def part_of(output: Any, part: str) -> Any:
    """Return a part of an output by its keys joined by dots; raise KeyError where it has none of that name."""
    if not part:
        return output
    named = dict(children(output))
    if part in named:
        return named[part]
    for key, value in named.items():
        if part.startswith(f"{key}."):
            return part_of(value, part[len(key) + 1 :])
    raise KeyError(part)


def tree(output: Any) -> dict[str, list[str]]:
    """Return the parts with tensors below every part of an output, "" for all of it.

    A part is read as one tensor where `first_tensor` finds one, else by its keys.
    """
    below = {key: tree(value) for key, value in children(output)}
    if first_tensor(output) is not None:
        own = [""]
    else:
        own = [_joined(key, part) for key, found in below.items() for part in found[""]]
    return {"": own} | {_joined(key, part): parts for key, found in below.items() for part, parts in found.items()}


def _joined(key: str, part: str) -> str:
    return f"{key}.{part}" if part else key


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor in dense, real numbers; a complex one has its real and imaginary parts in a last axis of 2."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def first_tensor(output: Any) -> Tensor | None:
    """Return an output as a tensor, or the first tensor of a tuple or list (as transformer blocks return); else None.

    The values of dicts, dataclasses and named tuples have names of their own, so that none of them is the first.
    """
    if isinstance(output, Tensor):
        return None if output.is_nested else plain(output)
    if isinstance(output, tuple | list) and not hasattr(output, "_fields"):
        return next((tensor for item in output if (tensor := first_tensor(item)) is not None), None)
    return None


@contextmanager
def hooked(module: nn.Module, layers: Sequence[str], record: Callable[[str, Any], None]) -> Iterator[None]:
    """Call `record(layer, output)` in every forward pass within the block, with the part of the output that is named.

    Raises BadInput for a layer without a module and, in the forward pass, for a part that the output lacks.
    """
    calls: Counter = Counter()
    places: dict[str, list[tuple[str, Place]]] = {}
    for layer in layers:
        found = located(module, layer)
        if found is None:
            raise BadInput(f"layer {layer} is no module of the network")
        places.setdefault(found.module, []).append((layer, found))

    def hook_for(path: str) -> Callable:
        def hook(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            calls[path] += 1
            for layer, found in places[path]:
                if found.is_call(calls[path]):
                    record(layer, _part(layer, output, found.part))

        return hook

    with ExitStack() as stack:
        stack.enter_context(module.register_forward_pre_hook(lambda *_: calls.clear()))
        for path in places:
            stack.enter_context(module.get_submodule(path).register_forward_hook(hook_for(path)))
        yield


def _part(layer: str, output: Any, part: str) -> Any:
    try:
        return part_of(output, part)
    except KeyError:
        known = first_names([key for key, _ in children(output)]) or "none"
        raise BadInput(f"layer {layer}: the output has no part '{part}'; its parts: {known}") from None


def run(module: nn.Module, layers: Sequence[str], batch: Tensor, read: Callable[[str, Any], Any]) -> dict[str, list]:
    """Return {layer: read(layer, output) of each of its calls} for one forward pass without gradients."""
    outputs: dict[str, list] = {layer: [] for layer in layers}

    def record(layer: str, output: Any) -> None:
        value = read(layer, output)
        # a later in-place operation of the network would change it
        outputs[layer].append(value.clone() if isinstance(value, Tensor) else value)

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


@dataclass(frozen=True)
class Call:
    """Call of a module in a pass: its position among all calls, the parts of its output (`tree`) and its type."""

    position: int
    parts: Mapping[str, list[str]]
    kind: str


def survey(module: nn.Module, paths: Sequence[str], batch: Tensor) -> dict[str, list[Call]]:
    """Return {path of a module: its calls in one forward pass}."""
    position = count()

    def seen(_path: str, output: Any) -> Call:
        return Call(next(position), tree(output), "None" if output is None else type(output).__name__)

    return run(module, paths, batch, seen)


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
