"""Choice of layers: the calls and parts of modules that are layers by default, and any layer that a user names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from ...utils import BadInput, digest, unknown_name
from ..spec import Model
from .outputs import LAST, Call, Place, located, sizes, survey
from .steps import Split, declared

EVERY_CALL = 0


def expanded(
    module: nn.Module, layers: Sequence[str], batch: Tensor, longer: Tensor | None
) -> tuple[list[str], dict[str, str]]:
    """Return the layers that some names denote, in the order of execution, and the reason for each that gives none.

    A module that is called several times in a pass becomes a layer per call (`name@1`, `name@2`), an output by keys a
    layer per key (`name.key`). batch, longer: inputs of different numbers of frames, None for images; where the number
    of calls follows the frames, only the first or the last call can be chosen.
    """
    places = {layer: located(module, layer) for layer in layers}
    paths = list(dict.fromkeys(place.module for place in places.values()))
    seen = survey(module, paths, batch)
    repeated = any(len(calls) > 1 for calls in seen.values())
    again = _survey_if_accepted(module, paths, longer) if longer is not None and repeated else None
    again = again or seen
    found: dict[str, tuple[int, int]] = {}
    left: dict[str, str] = {}
    for layer, place in places.items():
        calls, n_longer = seen[place.module], len(again[place.module])
        numbers, reason = _numbers(place, len(calls), n_longer)
        if reason:
            left[layer] = reason
        for number in numbers:
            name = _call_name(place, number, len(calls), n_longer)
            names, reason = _part_names(module, name, place, calls[number])
            if reason:
                left[name] = reason
            found |= {part: (calls[number].position, i) for i, part in enumerate(names)}
    return sorted(found, key=found.__getitem__), left


def _survey_if_accepted(module: nn.Module, paths: Sequence[str], batch: Tensor) -> dict[str, list[Call]] | None:
    """Return the calls of a pass, or None if the network refuses the input."""
    try:
        return survey(module, paths, batch)
    except Exception:  # a network may refuse a length with any exception
        return None


def _numbers(place: Place, n: int, n_longer: int) -> tuple[list[int], str]:
    """Return the indices of the calls that a name denotes, among `n`, or the reason why there is none."""
    if not n:
        return [], "it did not run"
    if place.call == LAST:
        return [n - 1], ""
    if place.call > min(n, n_longer):
        return [], f"{place.module} runs {n} times in a pass"
    if place.call != EVERY_CALL:
        return [place.call - 1], ""
    if n != n_longer:
        path = place.module
        return [], f"its calls follow the frames ({n}, then {n_longer}); name {path}@first or {path}@last in --layers"
    return list(range(n)), ""


def _call_name(place: Place, index: int, n: int, n_longer: int) -> str:
    """Return the name of one call of a module: its path where it is the only one."""
    if n != n_longer and place.call == LAST:
        return f"{place.module}@last"
    return place.module if n == n_longer == 1 else f"{place.module}@{index + 1}"


def _part_names(module: nn.Module, name: str, place: Place, call: Call) -> tuple[list[str], str]:
    """Return the names of the parts of an output that are layers, or the reason why there is none."""
    if place.part not in call.parts:
        known = ", ".join(key for key in call.parts if key) or "none"
        return [], f"its output has no part '{place.part}'; its parts: {known}"
    parts = [".".join(filter(None, (place.part, part))) for part in call.parts[place.part]]
    if not parts:
        return [], f"its output is of type {call.kind}, without a tensor"
    names = []
    for part in parts:
        full = f"{name}.{part}" if part else name
        known = located(module, full)
        # a submodule may have the name of a key; with the number of the call the name is that of the output
        names.append(full if known and known.module == place.module else f"{place.module}@1.{part}")
    return names, ""


def with_layers(model: Model, names: Sequence[str], device: str) -> Model:
    """Return the model with the named layers, declared or any other of its network, in the order of execution.

    Raises BadInput for a name that is no layer, with the nearest ones, and for a layer that cannot be read.
    """
    from .probe import clips, detected, frame_counts

    for name in names:
        if name not in model.layers and located(model.module, name) is None:
            raise unknown_name(f"layer of {model.name}", name, _known(model))
    others = [name for name in dict.fromkeys(names) if name not in model.layers]
    if not others:
        return only(replace(model, left_out={}), names)
    counts = frame_counts(model)
    batch, longer = (clips(model, 2, n, device) for n in (counts[0], counts[-1]))
    chosen, left = expanded(model.module, others, batch, longer if len(counts) > 1 else None)
    if left:
        raise BadInput(f"{model.name}: " + "; ".join(f"layer {layer}: {reason}" for layer, reason in left.items()))
    declared = {layer: axes for layer, axes in model.layers.items() if layer in names or layer in chosen}
    layers = [layer for layer in chosen if layer not in declared]
    added = detected(replace(model, layers=dict.fromkeys(layers, ""), process_output=None), device) if layers else model
    found = declared | {layer: added.layers[layer] for layer in layers}
    order = _order(model.module, list(found), batch)

    def read(layer: str, output: Any) -> Any:
        process = added.process_output if layer in layers else model.process_output
        return process(layer, output) if process else output

    both = read if model.process_output or added.process_output else None
    hidden = tuple(layer for layer in order if layer in (*model.without_time, *added.without_time))
    return replace(
        model, layers={layer: found[layer] for layer in order}, process_output=both, left_out={}, without_time=hidden
    )


def only(model: Model, names: Collection[str]) -> Model:
    """Return the model with those of its layers that are named, in its order."""
    layers = {layer: axes for layer, axes in model.layers.items() if layer in names}
    return replace(model, layers=layers, without_time=tuple(layer for layer in model.without_time if layer in layers))


def _order(module: nn.Module, layers: Sequence[str], batch: Tensor) -> list[str]:
    """Return the layers in the order in which they run."""
    places = {layer: located(module, layer) for layer in layers}
    calls = survey(module, list(dict.fromkeys(p.module for p in places.values())), batch)

    def position(layer: str) -> int:
        place, seen = places[layer], calls[places[layer].module]
        return seen[place.call - 1 if place.call > 0 else LAST].position if seen else 0

    return sorted(layers, key=position)


def _known(model: Model) -> list[str]:
    """Return the declared layers and all modules of the network."""
    return list(dict.fromkeys([*model.layers, *(path for path, _ in model.module.named_modules() if path)]))


def with_axes(model: Model, axes: Mapping[str, str], device: str) -> Model:
    """Return the model with axes that a user has declared, {layer or pattern: axes as in `steps.parsed`}.

    Time in an axis of tokens becomes an axis of its own. Raises BadInput for a pattern that is no layer and for axes
    that the layer's output does not have.
    """
    from .probe import clips, frame_counts

    batch = clips(model, 2, frame_counts(model)[0], device)
    shapes = sizes(model.module, list(model.layers), batch, model.process_output)
    layers, splits = dict(model.layers), {}
    for pattern, text in axes.items():
        fitting = [layer for layer in model.layers if fnmatchcase(layer, pattern)]
        if not fitting:
            raise unknown_name(f"layer of {model.name}", pattern, model.layers)
        for layer in fitting:
            layers[layer], splits[layer] = _declared(model, layer, shapes[layer][1:], text)

    def read(layer: str, output: Any) -> Any:
        output = model.process_output(layer, output) if model.process_output else output
        split: Split | None = splits.get(layer)
        return split.unfolded(output) if split else output

    return replace(
        model,
        layers=layers,
        process_output=read if any(splits.values()) else model.process_output,
        without_time=tuple(layer for layer in model.without_time if "T" not in layers[layer]),
        digest=digest([model.digest, sorted(axes.items())]) if model.digest else "",
    )


def _declared(model: Model, layer: str, shape: tuple[int, ...], text: str) -> tuple[str, Split | None]:
    """Return letters and division of one layer; BadInput where its output has other axes."""
    try:
        letters, split = declared(shape, text)
    except ValueError:
        raise BadInput(
            f"{model.name}, layer {layer}: axes '{text}' for an output of {' x '.join(map(str, shape))} "
            f"({model.layers[layer]}); expected a letter of TCHWK for each, T at most once, or in brackets the "
            "steps of an axis that contains time: (T8K), (KT8), (1+T8K) behind a class token"
        ) from None
    if model.kind == "image" and "T" in letters:
        raise BadInput(f"{model.name}, layer {layer}: axes '{text}' for a model of single frames; expected none with T")
    return letters, split
