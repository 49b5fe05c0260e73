"""From an entry to a network ready to run: built reproducibly, drawn anew where asked, thinned, digested."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..utils import BadInput, canonical_json, digest, seed_from, thin
from .checkpoints import plain_state, put, read_state
from .extras import require
from .spec import Model
from .weights import opened_weights, without_weights

if TYPE_CHECKING:
    from . import ModelEntry

STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model")


def load_entry(entry: "ModelEntry", device: str, limit: int) -> tuple[Model, tuple[Path, ...]]:
    """The entry's model on `device` with at most `limit` layers, and the weight files that were opened for it.

    Whatever its builder draws at random comes from a seed in the name, so that two processes build the same.
    Raises BadInput for a model that cannot be had and for an optional extra that is not installed.
    """
    if entry.unavailable:
        raise BadInput(entry.unavailable)
    require(entry.name, entry.extra)
    with opened_weights() as files:
        state = plain_state(_users_state(entry.finetuned)) if entry.finetuned else {}
        model, recipe = _built(entry, device, bare=entry.random or bool(state))
        if state and model.module.state_dict().keys() - state.keys():
            model, recipe = _built(entry, device, bare=False)
        if entry.random:
            _check_weights(entry.name, model.module)
            reinitialise(model.module, seed_from(f"Random-{_seed_name(entry)}"))
        if entry.finetuned:
            put(model.module, state, f"{entry.name}: the state dict {entry.finetuned}", partial=True)
    model.module.eval().requires_grad_(False).to(device)
    layers = {layer: model.layers[layer] for layer in thin(list(model.layers), limit)}
    if entry.random or entry.finetuned or recipe is not None:
        model = replace(model, digest=model_digest(model, recipe or model.digest))
    return replace(model, name=entry.name.removeprefix("NoDownsample-"), layers=layers), tuple(files)


def _built(entry: "ModelEntry", device: str, bare: bool) -> tuple[Model, str | None]:
    """What its source loads; `bare`: without the published weights."""
    source = entry.module
    weights = without_weights(getattr(source, "WEIGHT_DOORS", {})) if bare else nullcontext()
    with seeded(seed_from("build", _seed_name(entry))), weights:
        return source.load(entry.argument, device)


def _users_state(path: str) -> dict:
    """The state dict in a file of the user's, also where a training loop stored it beside other things."""
    content = read_state(Path(path))
    return next((content[key] for key in STATE_KEYS if isinstance(content.get(key), dict)), content)


def _check_weights(name: str, module: nn.Module) -> None:
    if not any(True for _ in module.parameters()):
        raise BadInput(f"{name}: this model has no weights that could be drawn; choose it without Random-")


def _seed_name(entry: "ModelEntry") -> str:
    """The name that seeds a model: for a user's file without its folder, so that it is the same elsewhere."""
    return entry.argument.rsplit("/", 1)[-1]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators start from `seed` in the block and are put back behind it."""
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
    """Draw every parameter anew, in the modules' order, from one generator; nothing else of the program is touched.

    Convolutions: Kaiming normal (fan out, ReLU; He et al. 2015), bias 0; linear layers: torch's default (Kaiming
    uniform, a = sqrt(5)); normalisations: scale 1, shift 0, running statistics reset; embeddings: normal; recurrent
    layers: uniform in +-1/sqrt(hidden). Parameters that a module holds itself (position embeddings, class tokens):
    normal with s.d. 0.02, cut at 2, but a scale that is built constant and not 0 stays so: drawn around zero it would
    shut its branch off.
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
                    parameter.copy_(_drawn(part, name, parameter, generator))


def _drawn(part: nn.Module, name: str, old: Tensor, generator: torch.Generator) -> Tensor:
    """New values for one parameter of a module, float32 on the CPU so that every device gets the same."""
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
        return value.fill_(float(name == "weight"))
    constant = bool((old == old.flatten()[0]).all()) and float(old.flatten()[0]) != 0
    return old.float().cpu() if constant else init.trunc_normal_(value, std=0.02, a=-0.04, b=0.04, generator=generator)


def _is_norm(part: nn.Module) -> bool:
    kinds = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)
    return isinstance(part, kinds)


def model_digest(model: Model, recipe: str) -> str:
    """SHA-256 over weights, architecture, layers, limits and `recipe`, which stands for how frames are prepared."""
    parts = [[name, type(part).__name__] for name, part in model.module.named_modules()]
    limits = [str(limit) for limit in (*model.num_frames, *model.duration_ms)]
    weights = state_digest(model.module)
    return digest([weights, parts, dict(model.layers), model.kind, float(model.fps), limits, recipe])


def state_digest(module: nn.Module) -> str:
    """SHA-256 over the state dict: name, dtype, shape and bytes of each tensor, in the network's order."""
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue
        total.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(raw.view(torch.uint8).numpy().tobytes() if raw.numel() else b"")
    return total.hexdigest()
