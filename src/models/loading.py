"""Loading of an entry: the network is built reproducibly, reinitialised for Random-, thinned and digested."""

import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Config, export_weights_home
from ..utils import BadInput, canonical_json, digest, first_names, seed_from, thin
from .catalogue import PLUGIN
from .checkpoints import inner_state, plain_state, put, read_state, without_head
from .extras import require
from .spec import RATE_UNKNOWN, Model, check_input
from .weights import opened_weights

if TYPE_CHECKING:
    from . import ModelEntry

# entries under which training loops store the state dict of the network, the first one found is read
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "model_ema", "ema")
REDUCIBLE = ("network", "huggingface", "timm", "pytorchvideo", "torchvision")  # sources that build reduced networks
STATE_KEYS += ("state_dict_ema", "teacher", "student", "encoder", "backbone")


def load_entry(
    entry: "ModelEntry",
    device: str,
    limit: int,
    layers: Sequence[str] = (),
    input_size: tuple[int, int] | None = None,
    fps: float | None = None,
    layer_axes: Mapping[str, str] | None = None,
    reduced: bool = False,
) -> tuple[Model, tuple[Path, ...]]:
    """Return the entry's model on `device` and the weight files opened for it.

    Its layers are those named or, without names, its own, at most `limit` of them; `layer_axes` replaces their axes.
    reduced: with sampled weights and, of a network in the catalogue, few blocks of few channels.
    The random initial values of a builder come from a seed in the name, so that two processes build the same network.
    Raises BadInput for a model that is unavailable and for an optional extra that is not installed.
    """
    if entry.unavailable:
        raise BadInput(entry.unavailable)
    require(entry.name, entry.extra)
    export_weights_home(Config.from_env())
    if entry.source != "own":
        check_input(entry, input_size, fps)
    source = {"input_size": input_size, "fps": fps} if entry.source == "own" else {}
    source |= {"reduced": True} if reduced and entry.source in REDUCIBLE else {}
    with opened_weights() as files:
        state = _users_state(entry) if entry.finetuned else {}
        model, recipe = _built(entry, device, weights=not (entry.random or entry.finetuned or reduced), **source)
        if entry.random or (reduced and any(True for _ in model.module.parameters())):
            _check_weights(entry.name, model.module)
            reinitialise(model.module, seed_from(f"Random-{_seed_name(entry)}"))
        if entry.finetuned:
            model, recipe = _finetuned(entry, model, recipe, state, device, **source)
    model.module.eval().requires_grad_(False).to(device)
    if entry.random or entry.finetuned or reduced or recipe is not None:
        model = replace(model, digest=model_digest(model, recipe or model.digest))
    if entry.order:
        model = with_order(model, entry)
    model = replace(model, name=entry.name.removeprefix("NoDownsample-"))
    if fps is not None and entry.source != "own":
        if entry.group != "own":  # the files of a repository may state no rate
            check_input(model, None, fps)
        notes = tuple(note for note in model.notes if note != RATE_UNKNOWN)
        model = replace(model, fps=float(fps), notes=notes)
    return with_chosen(model, layers, device, limit, layer_axes), tuple(files)


def with_order(model: Model, entry: "ModelEntry") -> Model:
    """Return the model with the frames of each window in the order of its entry; BadInput for one of single frames."""
    if model.kind != "video":
        raise BadInput(f"{entry.name}: the model sees single frames, which have no order; expected a video model")
    return replace(model, order=entry.order, digest=digest([model.digest, entry.order, 1]))


def with_chosen(
    model: Model,
    layers: Sequence[str],
    device: str,
    limit: int = 15,
    layer_axes: Mapping[str, str] | None = None,
) -> Model:
    """Return the model with the named layers or, without names, with at most `limit` of its own, and these axes."""
    from .inspect.choose import only, with_axes, with_layers

    model = with_layers(model, layers, device) if layers else only(model, thin(list(model.layers), limit))
    return with_axes(model, layer_axes, device) if layer_axes else model


def _built(entry: "ModelEntry", device: str, weights: bool, **source) -> tuple[Model, str | None]:
    """Return the model of the entry's source and its recipe, with its published weights or its initial values."""
    with seeded(seed_from("build", _seed_name(entry))):
        return entry.module.load(entry.argument, device, weights, **source)


def _users_state(entry: "ModelEntry") -> dict[str, Tensor]:
    """Return the state dict in a user's file, also if a training loop has stored it beside other entries.

    Raises BadInput for a file that holds no tensors by name.
    """
    content = read_state(Path(entry.finetuned))
    while inner := next((content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)), None):
        content = inner
    state = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        found = first_names([str(key) for key in content], 5) or "nothing"
        raise BadInput(
            f"{entry.name}: the file {entry.finetuned} is no state dict: it holds {found} and no tensor by name; "
            "expected the file of torch.save(network.state_dict(), path)"
        )
    return plain_state(state)


def _finetuned(
    entry: "ModelEntry", model: Model, recipe: str | None, state: dict[str, Tensor], device: str, **source
) -> tuple[Model, str | None]:
    """Return the model with a user's state dict, and its recipe.

    Tensors that the file lacks are the published ones, which are read only then. A head of another size is left out,
    with its layers.
    """
    what = f"{entry.name}: the state dict {entry.finetuned}"
    state, head = without_head(model.module, inner_state(state, model.module.state_dict()))
    put(model.module, state, what, partial=True)
    missing = [
        name
        for name in model.module.state_dict().keys() - state.keys()
        if not name.endswith(".num_batches_tracked") and not (head and name.startswith(f"{head}."))
    ]
    if missing:
        model, recipe = _built(entry, device, weights=True, **source)
        put(model.module, state, what, partial=True)
    if not head:
        return model, recipe
    within = {layer for layer in model.layers if layer == head or layer.startswith(f"{head}.")}
    kept = {layer: axes for layer, axes in model.layers.items() if layer not in within}
    note = f"the head {head} is left out: in {entry.finetuned} it has another size"
    return replace(model, layers=kept or model.layers, notes=(*model.notes, note)), recipe


def _check_weights(name: str, module: nn.Module) -> None:
    """Raise BadInput for a network without parameters."""
    if not any(True for _ in module.parameters()):
        raise BadInput(f"{name}: this model has no weights to sample; expected its name without Random-")


def _seed_name(entry: "ModelEntry") -> str:
    """Return the name that seeds a model: the argument without its folder, so that it is the same on every machine."""
    return entry.argument.removesuffix(PLUGIN).rsplit("/", 1)[-1]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch in the block; restore their states afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def reinitialise(module: nn.Module, seed: int) -> None:
    """Sample every parameter from one seeded generator, in the order of the modules.

    Convolutions: Kaiming normal (fan out, ReLU; He et al. 2015), bias 0; linear layers: torch's default (Kaiming
    uniform, a = sqrt(5)); normalisations: scale 1, shift 0, running statistics reset; embeddings: normal; recurrent
    layers: uniform in +-1/sqrt(hidden). Other parameters (position embeddings, class tokens): normal with s.d. 0.02,
    truncated at 2 s.d.; a scale whose initial values are constant and not 0 keeps them, because values around zero
    would remove its branch.
    """
    generator = torch.Generator().manual_seed(seed)
    done: set[int] = set()
    with torch.no_grad():
        for part in module.modules():
            if hasattr(part, "reset_running_stats"):
                part.reset_running_stats()
            for name, parameter in part.named_parameters(recurse=False):
                if id(parameter) not in done:
                    done.add(id(parameter))
                    parameter.copy_(_sampled(part, name, parameter, generator))


def _sampled(part: nn.Module, name: str, old: Tensor, generator: torch.Generator) -> Tensor:
    """Return new values of one parameter of a module, float32 on the CPU so that every device has the same."""
    value, init = torch.zeros(old.shape), nn.init
    if isinstance(part, nn.modules.conv._ConvNd):
        return init.kaiming_normal_(value, mode="fan_out", generator=generator) if name == "weight" else value
    if isinstance(part, nn.Linear | nn.Bilinear):
        bound = 1 / max(1, part.weight.shape[-1]) ** 0.5
        return init.uniform_(value, -bound, bound, generator=generator)
    if isinstance(part, nn.RNNBase | nn.RNNCellBase):
        bound = 1 / part.hidden_size**0.5
        return init.uniform_(value, -bound, bound, generator=generator)
    if isinstance(part, nn.Embedding | nn.EmbeddingBag):
        return init.normal_(value, generator=generator)
    if isinstance(part, nn.MultiheadAttention):
        return init.xavier_uniform_(value, generator=generator) if value.ndim > 1 else value
    if name in ("weight", "bias") and _is_norm(part):
        return value.fill_(float(name == "weight" and not _adds_one(part, old)))
    constant = bool((old == old.flatten()[0]).all()) and float(old.flatten()[0]) != 0
    return old.float().cpu() if constant else init.trunc_normal_(value, std=0.02, a=-0.04, b=0.04, generator=generator)


def _adds_one(part: nn.Module, weight: Tensor) -> bool:
    """Return True for a normalisation that multiplies by 1 + its weight, initially 0, as some of transformers do."""
    if not isinstance(part, nn.LayerNorm) or type(part) is nn.LayerNorm or weight.any():
        return False
    zeros = {name: torch.zeros_like(value) for name, value in part.named_parameters()}
    probe = torch.linspace(-1, 1, math.prod(part.normalized_shape)).reshape(1, *part.normalized_shape).to(weight)
    return bool(torch.func.functional_call(part, zeros, probe).any())


def _is_norm(part: nn.Module) -> bool:
    """Return True for a normalisation layer of torch."""
    kinds = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)
    return isinstance(part, kinds)


def model_digest(model: Model, recipe: str) -> str:
    """Return the SHA-256 of weights, architecture, layers, limits and `recipe`, a digest of the preprocessing."""
    parts = [[name, type(part).__name__] for name, part in model.module.named_modules()]
    limits = [str(limit) for limit in (*model.num_frames, *model.duration_ms)]
    weights = state_digest(model.module)
    return digest([weights, parts, dict(model.layers), model.kind, float(model.fps), limits, recipe])


def state_digest(module: nn.Module) -> str:
    """Return the SHA-256 of a state dict: name, dtype, shape and bytes of each tensor, in the network's order."""
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue
        total.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(raw.view(torch.uint8).numpy().tobytes() if raw.numel() else b"")
    return total.hexdigest()
