"""VideoPrism: the authors' arrays land where an independent forward in numpy and figures of their Flax code say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import erf

pytest.importorskip("transformers")

from src import models
from src.models.catalogue import MODELS
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.sources.published import put_weights, ready, wrapped
from src.utils import BadInput
from tests.models.networks import reduced
from tests.models.networks.reduced import meta, published

PATCH, SIDE = 18, 16
SIZES = {"dim": 32, "heads": 2, "hidden": 128, "space": 3, "time": 2}
FULL = {
    "VideoPrism-B": {"dim": 768, "heads": 12, "hidden": 3072, "space": 12, "time": 4},
    "VideoPrism-L": {"dim": 1024, "heads": 16, "hidden": 4096, "space": 24, "time": 4},
}
FULL |= {name.replace("-", "-LvT-"): sizes for name, sizes in FULL.items()}
# of the authors' encoders (videoprism/encoders.py, with blocks in scans) with the arrays and the clip of `sampled`
ORACLE = {
    "VideoPrism-L": {
        "spatial": (0.77005, 0.30104, 1.10378, 1.07097),
        "last": (0.55618, -0.32918, 2.06367, 0.38575),
    },
    "VideoPrism-LvT-L": {
        "spatial": (1.7081, 0.76908, -0.64513, 0.41412),
        "last": (0.10612, 0.82436, 0.5689, 0.621),
        "video": (-0.26082, 0.18812, -0.2523, 0.14715),
    },
}


def attention(dim: int, heads: int, width: int, prefix: str) -> dict[str, tuple[int, ...]]:
    parts = {
        f"{part}/{kind}": shape
        for part in ("query", "key", "value")
        for kind, shape in (("b", (heads, width)), ("w", (dim, heads, width)))
    }
    parts |= {"post/b": (dim,), "post/w": (dim, heads, width)}
    return {f"{prefix}/{name}": shape for name, shape in parts.items()}


def stack(name: str, count: int, dim: int, heads: int, hidden: int) -> dict[str, tuple[int, ...]]:
    parts = {
        "ff_layer/ffn_layer1/linear/bias": (hidden,),
        "ff_layer/ffn_layer1/linear/kernel": (dim, hidden),
        "ff_layer/ffn_layer2/linear/bias": (dim,),
        "ff_layer/ffn_layer2/linear/kernel": (hidden, dim),
        "ff_layer/layer_norm/bias": (dim,),
        "ff_layer/layer_norm/scale": (dim,),
        "layer_norm/bias": (dim,),
        "layer_norm/scale": (dim,),
        **attention(dim, heads, dim // heads, "self_attention"),
    }
    return {f"{name}/transformers_stack/x_layers/{part}": (count, *shape) for part, shape in parts.items()}


def shapes(name: str, dim: int, heads: int, hidden: int, space: int, time: int) -> dict[str, tuple[int, ...]]:
    """{name: shape} of the published file."""
    found = {
        "patch_projection/linear/bias": (dim,),
        "patch_projection/linear/kernel": (3 * PATCH**2, dim),
        **{f"{part}/{kind}": (dim,) for part in ("spatial_ln", "temporal_ln") for kind in ("bias", "scale")},
        "spatial_pos_emb/emb_var": (SIDE**2, dim),
        "temporal_pos_emb/emb_var": (8 if name.endswith("L") else 16, dim),
        **stack("spatial_encoder", space, dim, heads, hidden),
        **stack("temporal_encoder", time, dim, heads, hidden),
    }
    if "LvT" not in name:
        return {f"params/{part}": shape for part, shape in found.items()}
    pooler = "contrastive_vision_pooler"
    found = {f"vision_encoder/{part}": shape for part, shape in found.items()} | {
        **stack("auxiliary_encoder", 2, dim, heads, hidden),
        **attention(dim, heads, hidden // heads, f"{pooler}/pooling_attention"),
        f"{pooler}/pooling_attention/per_dim_scale/per_dim_scale": (hidden // heads,),
        f"{pooler}/pooling_attention_layer_norm/bias": (dim,),
        f"{pooler}/pooling_attention_layer_norm/scale": (dim,),
        f"{pooler}/pooling_attention_query": (1, dim),
        "text_encoder/unimodal_ln/scale": (dim,),
    }
    return {f"params/{part}": shape for part, shape in found.items()}


def sampled(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays of the reduced network in the order of Flax's trees, and a clip (frames, height, width, 3)."""
    rng, names = np.random.default_rng(5), shapes(name, **SIZES)
    order = sorted((part for part in names if "text_encoder" not in part), key=lambda part: part.split("/"))
    arrays = {part: (0.2 * rng.standard_normal(names[part])).astype(np.float32) for part in order}
    return arrays, rng.random((8, PATCH * SIDE, PATCH * SIDE, 3)).astype(np.float32)


def normed(x, arrays, path):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * (1 + arrays[f"{path}/scale"]) + arrays[f"{path}/bias"]


def softmax(logits):
    exponential = np.exp(logits - logits.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


def block(x, arrays):
    """Tokens (batch, tokens, channels) behind one block, from its arrays."""
    y = normed(x, arrays, "layer_norm")
    q, k, v = (
        np.einsum("btd,dnh->bnth", y, arrays[f"self_attention/{part}/w"]) + arrays[f"self_attention/{part}/b"][:, None]
        for part in ("query", "key", "value")
    )
    logits = 50 * np.tanh(q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5 / 50)
    x = x + np.einsum("bnth,dnh->btd", softmax(logits) @ v, arrays["self_attention/post/w"])
    x = x + arrays["self_attention/post/b"]
    y = normed(x, arrays, "ff_layer/layer_norm")
    y = y @ arrays["ff_layer/ffn_layer1/linear/kernel"] + arrays["ff_layer/ffn_layer1/linear/bias"]
    y = y * (1 + erf(y / 2**0.5)) / 2
    return x + y @ arrays["ff_layer/ffn_layer2/linear/kernel"] + arrays["ff_layer/ffn_layer2/linear/bias"]


def encoded(x, arrays, name):
    """Tokens behind a stack of blocks."""
    start = f"{name}/transformers_stack/x_layers/"
    own = {part.removeprefix(start): array for part, array in arrays.items() if part.startswith(start)}
    for i in range(len(own["layer_norm/bias"])):
        x = block(x, {part: array[i] for part, array in own.items()})
    return x


def expected(arrays, clip):
    """Outputs of the encoder by an independent forward: {"spatial", "last"}, (frames, rows, columns, channels)."""
    arrays = {part.removeprefix("params/").removeprefix("vision_encoder/"): array for part, array in arrays.items()}
    patches = clip.reshape(len(clip), SIDE, PATCH, SIDE, PATCH, 3).swapaxes(2, 3).reshape(len(clip), SIDE**2, -1)
    x = patches @ arrays["patch_projection/linear/kernel"] + arrays["patch_projection/linear/bias"]
    x = normed(encoded(x + arrays["spatial_pos_emb/emb_var"], arrays, "spatial_encoder"), arrays, "spatial_ln")
    y = x.swapaxes(0, 1) + arrays["temporal_pos_emb/emb_var"]
    y = normed(encoded(y, arrays, "temporal_encoder"), arrays, "temporal_ln").swapaxes(0, 1)
    return {"spatial": x.reshape(len(clip), SIDE, SIDE, -1), "last": y.reshape(len(clip), SIDE, SIDE, -1)}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A function that stores arrays as the published file of a name and returns the reduced network with them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def load(name: str, arrays):
        path = tmp_path / "hub" / "checkpoints" / MODELS[name].weights.file
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
        built = published.build(MODELS[name].argument, reduced=True)
        put_weights(MODELS[name], built)
        return replace(wrapped(MODELS[name], built, "cpu"), digest="0" * 64)

    return load


def outputs(model, clip) -> dict[str, np.ndarray]:
    """{layer: (T, H, W, C), or (C,)} of one clip (frames, height, width, 3)."""
    batch = torch.from_numpy(clip).permute(0, 3, 1, 2)[None]
    found = {}
    with torch.inference_mode():
        for layer, calls in run(model.module, list(model.layers), batch, model.process_output).items():
            axes = model.layers[layer]
            order = [axes.index(letter) for letter in "THWC" if letter in axes]
            found[layer] = calls[-1][0].permute(order).numpy()
    return found


@pytest.mark.parametrize("name", FULL)
def test_published_names_and_shapes_fit_the_full_size(name):
    built = meta(name)
    arrays = {part: torch.empty(shape, device="meta") for part, shape in shapes(name, **FULL[name]).items()}
    assert {part: tuple(value.shape) for part, value in built.rename(arrays).items()} == reduced.shapes(built.module)


@pytest.mark.parametrize("name", ["VideoPrism-L", "VideoPrism-LvT-L"])
def test_outputs_are_those_of_an_independent_forward_and_of_the_authors_code(name, stored):
    arrays, clip = sampled(name)
    model = stored(name, {**arrays, "params/text_encoder/unimodal_ln/scale": np.zeros(32)} if "LvT" in name else arrays)
    found = outputs(model, clip)
    part = "vision_model." if "LvT" in name else ""
    ours = {"spatial": found[f"{part}layernorm1"], "last": found[f"{part}layernorm2"]}
    for layer, value in expected({p: a.astype(np.float64) for p, a in arrays.items()}, clip).items():
        np.testing.assert_allclose(ours[layer], value, atol=5e-5)
        np.testing.assert_allclose(ours[layer][5, 3, 11, :4], ORACLE[name][layer], atol=2e-5)
    if "LvT" in name:
        video = found["head_layernorm"] / np.linalg.norm(found["head_layernorm"])
        np.testing.assert_allclose(video[:4], ORACLE[name]["video"], atol=2e-5)
    assert list(model.layers) == list(found)
    assert failed_checks(model) == []


def test_frames_are_apart_in_space_and_patches_are_apart_in_time(stored):
    arrays, clip = sampled("VideoPrism-L")
    model = stored("VideoPrism-L", arrays)
    changed = clip.copy()
    changed[5, 3 * PATCH : 4 * PATCH, 11 * PATCH : 12 * PATCH] += 1
    before, after = outputs(model, clip), outputs(model, changed)
    places = {layer: np.argwhere((before[layer] != after[layer]).any(-1)) for layer in before}
    assert places["spatial_embeddings"].tolist() == [[5, 3, 11]]
    assert set(places["spatial_layers.2"][:, 0]) == set(places["temporal_embeddings"][:, 0]) == {5}
    assert len(places["spatial_layers.2"]) == SIDE**2
    assert set(places["temporal_layers.1"][:, 0]) == set(range(8))


def test_sampled_normalisations_multiply_by_one():
    module = models.load("Random-VideoPrism-L", reduced=True).module
    tokens = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module.layernorm1(tokens).std(-1, correction=0), torch.ones(2, 3), atol=1e-4, rtol=0)


def without(arrays, name):
    return {part: array for part, array in arrays.items() if part != name}


BIAS = "params/spatial_encoder/transformers_stack/x_layers/self_attention/post/b"
QUERY = BIAS.replace("post", "query")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, BIAS), r"3 missing \(spatial_layers.0.attention.o_proj.bias, "),
        (lambda a: {**a, "params/more/scale": np.zeros(3)}, r"1 unexpected \(params/more/scale\)"),
        (lambda a: {**a, BIAS: a[BIAS][:, :-1]}, r"3 of another shape \(spatial_layers.0.attention.o_proj.bias, "),
        (lambda a: {**a, BIAS: a[BIAS][:2]}, r"1 missing \(spatial_layers.2.attention.o_proj.bias\)"),
        (lambda a: {**a, BIAS: a[BIAS][0]}, rf"3 missing \(.*1 unexpected \({BIAS}\)"),
        (lambda a: {**a, QUERY: a[QUERY].swapaxes(-1, -2)}, rf"3 missing \(.*1 unexpected \({QUERY}\)"),
        (
            lambda a: {**a, "params/patch_projection/linear/kernel": np.zeros((768, 32))},
            r"1 of another shape \(spatial_embeddings.patch_embeddings.projection.weight\)",
        ),
        (lambda a: {**a, BIAS: np.array([{}])}, "cannot be read as weights"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(change, message, stored):
    with pytest.raises(BadInput, match=message) as error:
        stored("VideoPrism-L", change(sampled("VideoPrism-L")[0]))
    assert "\n" not in str(error.value)


def test_the_published_file_is_fetched_by_its_address(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert ready("videoprism:VideoPrism-B") == "fetches flax_base_f16r288_repeated.npz"
    for name, place in (
        ("VideoPrism-L", "videoprism-large-f8r288/resolve/main/flax_large_f8r288_repeated.npz"),
        ("VideoPrism-LvT-B", "videoprism-lvt-base-f16r288/resolve/main/flax_lvt_base_f16r288_repeated.npz"),
    ):
        assert MODELS[name].weights.url == f"https://huggingface.co/google/{place}"
