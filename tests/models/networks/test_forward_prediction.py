"""ConvLSTM, PredRNN, MIM, SimVP and TAU against their equations, published names and published sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from src import models
from src.extraction.check import failed_extraction_checks
from src.models.catalogue import MODELS
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.inspect.probe import clips, noise, verify
from src.models.networks import convlstm, mim, predrnn, simvp
from src.models.networks.recurrent import patches
from src.models.sources import published
from src.utils import BadInput
from tests.models.networks.reduced import meta, model, norm, put_checkpoint, sampled_state, shapes

NAMES = ("ConvLSTM", "PredRNN", "MIM", "SimVP", "TAU")
PUBLISHED_MILLIONS = {"ConvLSTM": 15.0, "PredRNN": 23.7, "MIM": 49.2, "SimVP": 15.6}
H = 128


def convolution(name: str, n_in: int, n_out: int, kernel: int = 5) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in, kernel, kernel)}


def gates(cell: str, **sizes: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """{name of a convolution in a Sequential of one: (input channels, output channels)}."""
    return {key: shape for name, size in sizes.items() for key, shape in convolution(f"{cell}.{name}.0", *size).items()}


def published_recurrent(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenSTL's KITTI checkpoints of the recurrent networks."""
    found = convolution("conv_last", H, 12, 1)
    factors = {"ConvLSTM": {"conv_x": 4, "conv_h": 4}, "PredRNN": {"conv_x": 7, "conv_h": 4, "conv_m": 3}}
    cells, first = ("cell_list", 4) if name != "MIM" else ("stlstm_layer", 1)
    for i in range(first):
        widths = factors["ConvLSTM" if name == "ConvLSTM" else "PredRNN"]
        sizes = {gate: (12 if i == 0 and gate == "conv_x" else H, n * H) for gate, n in widths.items()}
        found |= gates(f"{cells}.{i}", **sizes, conv_o=(2 * H, H)) | convolution(f"{cells}.{i}.conv_last", 2 * H, H, 1)
    if name == "MIM":
        peephole = {"ct_weight": (2 * H, 64, 80), "oc_weight": (H, 64, 80)}
        common = {"conv_h_concat": (H, 4 * H), "conv_x_concat": (H, 4 * H)}
        above = {"conv_t_cc": (H, 3 * H), "conv_s_cc": (H, 4 * H), "conv_x_cc": (H, 4 * H)}
        for cell, sizes in (("stlstm_layer.{}", common | above), ("stlstm_layer_diff.{}", common)):
            for i in range(3):
                place = cell.format(i + (cell == "stlstm_layer.{}"))
                found |= {f"{place}.{key}": shape for key, shape in peephole.items()}
                found |= gates(place, **sizes) | convolution(f"{place}.conv_last", 2 * H, H, 1)
    return found


def published_simvp(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenSTL's KITTI checkpoints of SimVP with gated attention, and of TAU."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(place: str, *shape: int) -> None:
        found.update({f"{place}.weight": shape, f"{place}.bias": shape[:1]})

    for place, shape in (("enc.enc.0.conv.conv", (64, 3)), ("enc.enc.1.conv.conv", (64, 64))):
        conv(place, *shape, 3, 3)
    conv("dec.dec.0.conv.conv.0", 256, 64, 3, 3)
    conv("dec.dec.1.conv.conv", 64, 64, 3, 3)
    conv("dec.readout", 3, 64, 1, 1)
    for part in ("enc.enc", "dec.dec"):
        found.update(norm(f"{part}.0.conv.norm", 64, running=False) | norm(f"{part}.1.conv.norm", 64, running=False))
    for i in range(6):
        width, block = 640 if i == 0 else 256, f"hid.enc.{i}.block"
        unit = f"{block}.attn.spatial_gating_unit"
        found.update(norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width))
        found.update({f"{block}.layer_scale_{n}": (width,) for n in (1, 2)})
        conv(f"{block}.attn.proj_1", width, width, 1, 1)
        conv(f"{block}.attn.proj_2", width, width, 1, 1)
        conv(f"{unit}.conv0", width, 1, 5, 5)
        conv(f"{unit}.conv_spatial", width, 1, 7, 7)
        conv(f"{unit}.conv1", width if name == "TAU" else 2 * width, width, 1, 1)
        if name == "TAU":
            found.update({f"{unit}.fc.0.weight": (16, width), f"{unit}.fc.2.weight": (width, 16)})
        conv(f"{block}.mlp.fc1", 8 * width, width, 1, 1)
        conv(f"{block}.mlp.dwconv.dwconv", 8 * width, 1, 3, 3)
        conv(f"{block}.mlp.fc2", width, 8 * width, 1, 1)
        if i in (0, 5):
            conv(f"hid.enc.{i}.reduction", *((256, 640) if i == 0 else (640, 256)), 1, 1)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_full_network_has_the_published_names_and_shapes(name):
    expected = published_simvp(name) if name in ("SimVP", "TAU") else published_recurrent(name)
    assert shapes(meta(name).module) == expected


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_the_catalogue(name):
    built, entry = meta(name), MODELS[name]
    millions = sum(weight.numel() for weight in built.module.parameters()) / 1e6
    assert (round(millions, 2), len(built.layers)) == (entry.millions, entry.layers)
    assert round(millions, 1) == PUBLISHED_MILLIONS.get(name, 15.0)


@pytest.mark.parametrize("name", NAMES)
def test_reduced_network_passes_the_checks(name):
    reduced = model(name)
    verify(reduced, "cpu")
    assert failed_checks(reduced) == []


@pytest.mark.parametrize("name", ["PredRNN", "SimVP"])
def test_a_video_passes_block_and_causal_inference(name):
    assert failed_extraction_checks(model(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_published_checkpoint_loads_strictly(name, tmp_path, monkeypatch):
    reduced = published.build(MODELS[name].argument, reduced=True).module
    state = sampled_state(shapes(reduced))
    path = put_checkpoint(monkeypatch, tmp_path, name, state)
    loaded, recipe = published.load(MODELS[name].argument, "cpu")
    held = loaded.module.state_dict()
    assert all(torch.equal(held[key], value) for key, value in state.items())
    assert len(recipe) == 64
    torch.save({**state, "head.weight": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match=r"1 unexpected \(head.weight\)"):
        published.load(MODELS[name].argument, "cpu")


def test_a_name_loads_its_published_file_and_the_same_twice(tmp_path, monkeypatch):
    state = sampled_state(shapes(published.build("predrnn:PredRNN", reduced=True).module))
    path = put_checkpoint(monkeypatch, tmp_path, "PredRNN", state)
    (first, files), (second, _) = (models.load_watched("PredRNN") for _ in range(2))
    assert files == (path,)
    assert list(first.layers) == ["memory.0", "memory.1", "memory.2", "memory.3", "prediction"]
    assert first.digest == second.digest
    path.unlink()
    assert models.load("Random-PredRNN").digest != first.digest


def test_patches_have_rows_then_columns_then_colours():
    frames = torch.arange(2 * 3 * 4 * 6).reshape(1, 2, 3, 4, 6).float()
    found = patches(frames, 2)
    assert found.shape == (1, 2, 12, 2, 3)
    for row, column, colour in np.ndindex(2, 2, 3):
        assert torch.equal(found[:, :, (row * 2 + column) * 3 + colour], frames[:, :, colour, row::2, column::2])


def one_pixel(network):
    """Frames of one patch: (1, 3, 3, 2, 2) and what the network makes of them, layer by layer."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    frames = torch.rand(1, 3, 3, 2, 2, generator=generator)
    names = [name for name, part in network.named_modules() if isinstance(part, torch.nn.Identity)]
    outputs = run(network.eval(), names, frames, lambda _, out: out[0, :, :, 0, 0].double().numpy())
    return frames, {name: calls[-1] for name, calls in outputs.items()}


def test_convlstm_on_one_patch_is_an_lstm():
    hidden = 5
    network = convlstm.ConvLSTM((hidden, hidden))
    frames, outputs = one_pixel(network)
    lstm = torch.nn.LSTM(12, hidden, num_layers=2, bias=False, batch_first=True)
    with torch.no_grad():
        for i, cell in enumerate(network.cell_list):
            getattr(lstm, f"weight_ih_l{i}").copy_(cell.conv_x[0].weight[:, :, 2, 2])
            getattr(lstm, f"weight_hh_l{i}").copy_(cell.conv_h[0].weight[:, :, 2, 2])
        h, (_, c) = lstm(patches(frames)[..., 0, 0])
        predicted = h[0] @ network.conv_last.weight[:, :, 0, 0].T
    np.testing.assert_allclose(outputs["prediction"], predicted.numpy(), atol=1e-6)
    np.testing.assert_allclose([outputs["memory.0"][-1], outputs["memory.1"][-1]], c[:, 0].numpy(), atol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def centre(convolution) -> np.ndarray:
    """The weights of a convolution that one pixel sees."""
    weight = getattr(convolution, "0", convolution).weight.detach().double().numpy()
    return weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2]


def st_lstm(cell, x, h, c, m):
    """Wang et al. 2017, equation 3, with a forget bias of 1."""
    n = len(h)
    of_x = (centre(cell.conv_x) @ x).reshape(7, n)
    of_h, of_m = (centre(cell.conv_h) @ h).reshape(4, n), (centre(cell.conv_m) @ m).reshape(3, n)
    g, i, f = np.tanh(of_x[2] + of_h[2]), sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1] + 1)
    c = f * c + i * g
    g2, i2, f2 = np.tanh(of_x[5] + of_m[2]), sigmoid(of_x[3] + of_m[0]), sigmoid(of_x[4] + of_m[1] + 1)
    m = f2 * m + i2 * g2
    both = np.concatenate((c, m))
    o = sigmoid(of_x[6] + of_h[3] + centre(cell.conv_o) @ both)
    return o * np.tanh(centre(cell.conv_last) @ both), c, m


def test_predrnn_on_one_patch_follows_the_paper():
    network = predrnn.PredRNN((4, 4, 4))
    frames, outputs = one_pixel(network)
    h, c, m = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros(4)
    for t, x in enumerate(patches(frames)[0, :, :, 0, 0].double().numpy()):
        for i, cell in enumerate(network.cell_list):
            h[i], c[i], m = st_lstm(cell, x if i == 0 else h[i - 1], h[i], c[i], m)
            np.testing.assert_allclose(outputs[f"memory.{i}"][t], m, atol=1e-6)
        np.testing.assert_allclose(outputs["prediction"][t], centre(network.conv_last) @ h[-1], atol=1e-6)


def peephole_lstm(cell, x, h, c):
    n = len(h)
    of_h, of_x = (centre(cell.conv_h_concat) @ h).reshape(4, n), (centre(cell.conv_x_concat) @ x).reshape(4, n)
    of_c = cell.ct_weight.detach().double().numpy().reshape(2, n) * c
    i, f = sigmoid(of_h[0] + of_x[0] + of_c[0]), sigmoid(of_h[2] + of_x[2] + of_c[1] + 1)
    c = f * c + i * np.tanh(of_h[1] + of_x[1])
    return sigmoid(of_h[3] + of_x[3] + cell.oc_weight.detach().double().numpy().ravel() * c) * np.tanh(c), c


def test_mim_on_one_patch_follows_the_paper():
    n = 4
    network = mim.MIM((n, n, n), size=(1, 1))
    frames, outputs = one_pixel(network)
    h, c, m, s = np.zeros((3, n)), np.zeros((3, n)), np.zeros(n), np.zeros((3, n))
    d, e = np.zeros((2, n)), np.zeros((2, n))
    for t, x in enumerate(patches(frames)[0, :, :, 0, 0].double().numpy()):
        before = h[0].copy()
        h[0], c[0], m = st_lstm(network.stlstm_layer[0], x, h[0], c[0], m)
        np.testing.assert_allclose(outputs["memory.0"][t], m, atol=1e-6)
        for i, block in enumerate(list(network.stlstm_layer)[1:], start=1):
            if t > 0:
                below = h[0] - before if i == 1 else d[i - 2]
                d[i - 1], e[i - 1] = peephole_lstm(network.stlstm_layer_diff[i - 1], below, d[i - 1], e[i - 1])
            of_t = (centre(block.conv_t_cc) @ h[i]).reshape(3, n)
            of_s, of_x = (centre(block.conv_s_cc) @ m).reshape(4, n), (centre(block.conv_x_cc) @ h[i - 1]).reshape(4, n)
            m = sigmoid(of_x[2] + of_s[2] + 1) * m + sigmoid(of_x[0] + of_s[0]) * np.tanh(of_x[1] + of_s[1])
            kept, s[i] = peephole_lstm(block, d[i - 1], c[i], s[i])
            c[i] = kept + sigmoid(of_x[0] + of_t[0]) * np.tanh(of_x[1] + of_t[1])
            o = sigmoid(of_x[3] + of_t[2] + of_s[3])
            h[i] = o * np.tanh(centre(block.conv_last) @ np.concatenate((c[i], m)))
            np.testing.assert_allclose(outputs[f"memory.{i}"][t], m, atol=1e-6)
            np.testing.assert_allclose(outputs[f"difference.{i - 1}"][t], e[i - 1], atol=1e-6)
        np.testing.assert_allclose(outputs["prediction"][t], centre(network.conv_last) @ h[-1], atol=1e-6)


@pytest.mark.parametrize("name", ["ConvLSTM", "PredRNN", "MIM"])
def test_a_later_frame_changes_no_earlier_state(name):
    reduced = replace(model(name), num_frames=(1, np.inf))
    shown = noise(3)
    changed = shown.copy()
    changed[2] = 255 - changed[2]
    layers = list(reduced.layers)
    first, second = (
        run(reduced.module, layers, reduced.preprocess(film)[None], lambda _, out: out) for film in (shown, changed)
    )
    for layer in layers:
        before, after = first[layer][-1], second[layer][-1]
        assert torch.equal(before[:, :2], after[:, :2])
        assert not torch.equal(before[:, 2], after[:, 2])


@pytest.mark.parametrize("unit", [simvp.GatedSpatiotemporal, simvp.TemporalAttention])
def test_attention_extends_over_eleven_pixels(unit):
    attention, image = unit(8).double().eval(), torch.rand(1, 8, 40, 40, dtype=torch.float64)
    changed = image.clone()
    changed[:, :, 20, 20] += 1
    with torch.no_grad():
        moved = (attention.values(image) - attention.values(changed)).abs().amax(dim=(0, 1)) > 0
    rows = moved.any(dim=1).nonzero().flatten()
    assert (rows.min(), rows.max()) == (9, 31)


def test_a_translator_block_of_scale_zero_changes_nothing():
    block, code = simvp.AttentionBlock(16, simvp.TemporalAttention).eval(), torch.rand(1, 16, 8, 10)
    assert not torch.equal(block(code), code)
    with torch.no_grad():
        block.layer_scale_1.zero_()
        block.layer_scale_2.zero_()
    assert torch.equal(block(code), code)


def simvp_by_name(state: dict[str, torch.Tensor], frames: torch.Tensor, tau: bool) -> torch.Tensor:
    """SimVP's equations over the tensors of its checkpoint: frames (10, 3, H, W) -> (10, 3, H, W)."""

    def conv(name: str, x: torch.Tensor, **options) -> torch.Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def activated(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.silu(functional.group_norm(x, 2, state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]))

    def normed(name: str, x: torch.Tensor) -> torch.Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{name}.{kind}"] for kind in kinds))

    first = activated("enc.enc.0.conv", conv("enc.enc.0.conv.conv", frames, padding=1))
    code = activated("enc.enc.1.conv", conv("enc.enc.1.conv.conv", first, padding=1, stride=2))
    z = code.reshape(1, -1, *code.shape[2:])
    for i in range(6):
        here, width = f"hid.enc.{i}.block", z.shape[1]
        before = normed(f"{here}.norm1", z)
        u = functional.gelu(conv(f"{here}.attn.proj_1", before))
        unit = f"{here}.attn.spatial_gating_unit"
        values = conv(f"{unit}.conv0", u, padding=2, groups=width)
        values = conv(f"{unit}.conv_spatial", values, padding=9, dilation=3, groups=width)
        values = conv(f"{unit}.conv1", values)
        if tau:
            squeezed = functional.relu(u.mean(dim=(2, 3)) @ state[f"{unit}.fc.0.weight"].T)
            values = values * u * torch.sigmoid(squeezed @ state[f"{unit}.fc.2.weight"].T)[..., None, None]
        else:
            values = values[:, :width] * torch.sigmoid(values[:, width:])
        attended = conv(f"{here}.attn.proj_2", values) + before
        z = z + state[f"{here}.layer_scale_1"][:, None, None] * attended
        mixed = conv(f"{here}.mlp.fc1", normed(f"{here}.norm2", z))
        mixed = functional.gelu(conv(f"{here}.mlp.dwconv.dwconv", mixed, padding=1, groups=mixed.shape[1]))
        z = z + state[f"{here}.layer_scale_2"][:, None, None] * conv(f"{here}.mlp.fc2", mixed)
        if i in (0, 5):
            z = conv(f"hid.enc.{i}.reduction", z)
    up = functional.pixel_shuffle(conv("dec.dec.0.conv.conv.0", z.reshape(code.shape), padding=1), 2)
    up = activated("dec.dec.0.conv", up) + first
    return conv("dec.readout", activated("dec.dec.1.conv", conv("dec.dec.1.conv.conv", up, padding=1)))


@pytest.mark.parametrize("name", ["SimVP", "TAU"])
def test_simvp_follows_its_equations_by_published_names(name):
    network = published.build(MODELS[name].argument, reduced=True).module.eval()
    state = {
        key: value + 0.5 if "var" in key else 0.3 * (value - 0.4)
        for key, value in sampled_state(shapes(network)).items()
    }
    network.load_state_dict(state, strict=False)
    frames = torch.rand(10, 3, 12, 16)
    with torch.no_grad():
        found, expected = network(frames[None])[0], simvp_by_name(state, frames, tau=name == "TAU")
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max())


def test_simvp_reads_encoder_frames_in_time_order():
    reduced = model("SimVP")
    batch = clips(reduced, 2, 10, "cpu")
    outputs = run(reduced.module, ["enc.enc.0"], batch, reduced.process_output)["enc.enc.0"][-1]
    alone = run(reduced.module, ["enc.enc.0"], batch[1:], lambda _, out: out)["enc.enc.0"][-1]
    assert outputs.shape == (2, 10, 4, 128, 160)
    assert torch.allclose(outputs[1], alone, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_network_runs(name):
    built = published.build(MODELS[name].argument)
    n_frames = 10 if name in ("SimVP", "TAU") else 2
    read = built.process_output or (lambda _layer, output: output)
    outputs = run(built.module.eval(), list(built.layers), torch.rand(1, n_frames, 3, 128, 160), read)
    for layer, axes in built.layers.items():
        value = outputs[layer][-1]
        assert value.ndim == len(axes) + 1
        assert torch.isfinite(value).all()
