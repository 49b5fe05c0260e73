"""CORnet-S, VOneResNet-50, AlexNet on stylised images, HMAX and MotionNet: names, equations, conversions."""

import importlib
import importlib.util

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from scipy.io import savemat

from src.extraction.check import failed_extraction_checks
from src.models.catalogue import MODELS
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.inspect.probe import verify
from src.models.networks import cornet, hmax, motionnet, vonenet
from src.models.sources import published
from src.models.sources.plugins import plugins_dir
from src.utils import BadInput
from tests.models.networks.reduced import meta, model, norm, put_checkpoint, sampled_state, shapes

NAMES = ("hmax", "MotionNet", "AlexNet_SIN", "CORnet-S", "voneresnet-50", "voneresnet-50-non_stochastic")
SIZES = {"hmax": 32, "MotionNet": 32, "AlexNet_SIN": 96, "CORnet-S": 64, "voneresnet-50": 64}


def published_cornet() -> dict[str, tuple[int, ...]]:
    found = {"V1.conv1.weight": (64, 3, 7, 7), "V1.conv2.weight": (64, 64, 3, 3)}
    found |= norm("V1.norm1", 64) | norm("V1.norm2", 64)
    found |= {"decoder.linear.weight": (1000, 512), "decoder.linear.bias": (1000,)}
    for area, n_in, n, times in (("V2", 64, 128, 2), ("V4", 128, 256, 4), ("IT", 256, 512, 2)):
        found |= {f"{area}.conv_input.weight": (n, n_in, 1, 1), f"{area}.skip.weight": (n, n, 1, 1)}
        found |= {f"{area}.conv1.weight": (4 * n, n, 1, 1), f"{area}.conv2.weight": (4 * n, 4 * n, 3, 3)}
        found |= {f"{area}.conv3.weight": (n, 4 * n, 1, 1), **norm(f"{area}.norm_skip", n)}
        for t in range(times):
            for i, width in ((1, 4 * n), (2, 4 * n), (3, n)):
                found |= norm(f"{area}.norm{i}_{t}", width)
    return found


def published_vonenet() -> dict[str, tuple[int, ...]]:
    found = {f"vone_block.simple_conv_q{i}.weight": (512, 3, 25, 25) for i in (0, 1)}
    found |= {"bottleneck.weight": (64, 512, 1, 1), "model.fc.weight": (1000, 2048), "model.fc.bias": (1000,)}
    n_in = 64
    for stage, (n, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            here = f"model.layer{stage}.{block}"
            for i, shape in ((1, (n, n_in, 1, 1)), (2, (n, n, 3, 3)), (3, (4 * n, n, 1, 1))):
                found |= {f"{here}.conv{i}.weight": shape, **norm(f"{here}.bn{i}", shape[0])}
            if block == 0:
                found |= {f"{here}.downsample.0.weight": (4 * n, n_in, 1, 1), **norm(f"{here}.downsample.1", 4 * n)}
            n_in = 4 * n
    return found


@pytest.mark.parametrize(("name", "published"), [("CORnet-S", published_cornet), ("voneresnet-50", published_vonenet)])
def test_full_network_has_the_published_names_and_shapes(name, published):
    assert shapes(meta(name).module) == published()


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_the_catalogue(name):
    built, entry = meta(name), MODELS[name]
    assert round(sum(weight.numel() for weight in built.module.parameters()) / 1e6, 2) == entry.millions
    assert len(built.layers) == entry.layers


@pytest.mark.parametrize("name", SIZES)
def test_reduced_network_passes_the_checks(name):
    reduced = model(name, SIZES[name])
    verify(reduced, "cpu")
    assert failed_checks(reduced) == []
    assert failed_extraction_checks(reduced) == []


@pytest.mark.parametrize("name", ["AlexNet_SIN", "CORnet-S", "voneresnet-50", "voneresnet-50-non_stochastic"])
def test_published_checkpoint_loads_strictly(name, tmp_path, monkeypatch):
    inside = shapes(published.build(MODELS[name].argument, reduced=True).module)
    state = sampled_state(inside)
    alexnet = name == "AlexNet_SIN"
    wrapped = {
        (key.replace("features.", "features.module.") if alexnet else f"module.{key}"): value
        for key, value in state.items()
    }
    path = put_checkpoint(monkeypatch, tmp_path, name, {"state_dict": wrapped, "epoch": 60, "flags": {"k_exc": 25}})
    loaded, _ = published.load(MODELS[name].argument, "cpu")
    held = loaded.module.state_dict()
    assert all(torch.equal(held[key], value) for key, value in state.items())
    gone = wrapped.popitem()[0]
    torch.save({"state_dict": wrapped}, path)
    with pytest.raises(BadInput, match=rf"1 missing \({gone.removeprefix('module.')}\)"):
        published.load(MODELS[name].argument, "cpu")


def test_cornet_area_applies_its_bottleneck_to_its_output():
    """The same weights, written out for two steps with torch's own layers."""
    area, image = cornet.Area(3, 4, 2).eval(), torch.rand(2, 3, 8, 8)
    state = {name: torch.rand_like(value) for name, value in area.state_dict().items() if value.ndim}
    area.load_state_dict(state, strict=False)
    with torch.no_grad():
        x = area.conv_input(image)
        skip = area.norm_skip(area.skip(x))
        for step, stride in ((0, 2), (1, 1)):
            inner = torch.nn.Conv2d(16, 16, 3, stride=stride, padding=1, bias=False)
            inner.weight.copy_(area.conv2.weight)
            y = getattr(area, f"norm1_{step}")(area.conv1(x)).relu()
            y = getattr(area, f"norm2_{step}")(inner(y)).relu()
            x = (getattr(area, f"norm3_{step}")(area.conv3(y)) + skip).relu()
            skip = x
        assert torch.allclose(area(image), x, atol=1e-5)


def test_gabor_parameters_follow_the_measured_distributions():
    found = vonenet.parameters(4000)
    degrees = found["frequency"] * vonenet.PIXELS_PER_DEGREE
    assert np.mean(degrees > 5.6) == pytest.approx(12 / 139, abs=0.015)
    assert 0.5 <= degrees.min() < degrees.max() <= 8.0
    assert (found["along"] * found["frequency"]).min() >= 0.1 - 1e-9
    assert (found["across"] * found["frequency"]).max() <= 10**0.2 + 1e-9
    assert stats.spearmanr(degrees, found["along"] * found["frequency"]).statistic == pytest.approx(0.73, abs=0.05)
    shares = np.histogram((np.rad2deg(found["orientation"]) + 22.5) % 180, (0, 45, 90, 135, 180))[0] / 4000
    np.testing.assert_allclose(shares, np.array([66, 49, 77, 54]) / 246, atol=0.03)


@pytest.fixture
def published_vone(monkeypatch):
    """The authors' own package, which Brain-Score carries with a plugin."""
    root = plugins_dir()
    if root is None:
        pytest.skip("Brain-Score is not installed")
    monkeypatch.syspath_prepend(str(root / "voneresnet_50_non_stochastic" / "vonenet"))
    return importlib.import_module("vonenet.modules"), importlib.import_module("vonenet.params")


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:torch.meshgrid")
def test_gabor_bank_is_the_published_one(published_vone):
    modules, params = published_vone
    frequency, orientation, phase, along, across = params.generate_gabor_param(512, 0, False, 0.75, 9, 0)
    found = vonenet.parameters(512)
    np.testing.assert_allclose(found["frequency"] * vonenet.PIXELS_PER_DEGREE, frequency, rtol=1e-6)
    np.testing.assert_allclose(np.rad2deg(found["orientation"]), orientation, atol=1e-6)
    np.testing.assert_allclose(np.rad2deg(found["phase"]), phase, atol=1e-6)
    np.testing.assert_allclose(found["along"] * found["frequency"], along, rtol=1e-6)
    np.testing.assert_allclose(found["across"] * found["frequency"], across, rtol=1e-6)
    filters = vonenet.gabors(found)
    for i in range(0, 512, 64):
        facts = {"sigma_x": found["along"][i], "sigma_y": found["across"][i], "theta": found["orientation"][i]}
        kernel = modules.gabor_kernel(frequency=found["frequency"][i], offset=found["phase"][i], ks=25, **facts)
        np.testing.assert_allclose(filters[i], kernel.numpy(), atol=1e-6)


def test_vone_block_equals_the_published_one_without_noise(published_vone):
    modules, _ = published_vone
    cells = {name: np.full(6, 0.1) for name in ("sf", "theta", "phase")} | {
        name: np.ones(6) for name in ("sigx", "sigy")
    }
    theirs = modules.VOneBlock(**cells, k_exc=25, noise_mode=None, simple_channels=4, complex_channels=2, input_size=32)
    ours, image = vonenet.VOneBlock(4, 2), torch.rand(2, 3, 32, 32)
    for bank in ("simple_conv_q0", "simple_conv_q1"):
        getattr(theirs, bank).weight.data.copy_(getattr(ours, bank).weight)
    assert torch.allclose(ours(image), theirs(image), atol=1e-5)


def test_a_simple_cell_prefers_its_wave():
    sampled_cells = {name: values[:1] for name, values in vonenet.parameters(8).items()}
    sampled_cells |= {"frequency": np.array([0.1]), "along": np.array([4.0]), "across": np.array([4.0])}
    kernel = vonenet.gabors(sampled_cells)[0]
    theta, phase = sampled_cells["orientation"][0], sampled_cells["phase"][0]
    x, y = np.mgrid[:25, :25] - 12

    def response(angle: float) -> float:
        return float((kernel * np.cos(0.2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) + phase)).sum())

    assert response(theta) == pytest.approx(0.5, abs=0.05)
    assert abs(response(theta + np.pi / 2)) < 0.05


def test_complex_cells_do_not_depend_on_the_phase_of_their_wave():
    block = vonenet.VOneBlock(2, 1)
    cell = {"orientation": 0.3, "phase": 0.0, "frequency": 0.12, "along": 4.0, "across": 4.0}
    cell = {name: np.array([value]) for name, value in cell.items()}
    for bank, shift in ((block.simple_conv_q0, 0.0), (block.simple_conv_q1, np.pi / 2)):
        bank.weight[2] = 0
        bank.weight[2, 0] = torch.from_numpy(vonenet.gabors(cell, shift)[0]).float()
    x, y = np.mgrid[:64, :64]
    waves = [np.cos(2 * np.pi * 0.12 * (x * np.cos(0.3) + y * np.sin(0.3)) + phase) for phase in (0.0, 0.7, 2.0)]
    responses = block(torch.tensor(np.stack(waves)).float()[:, None].expand(-1, 3, -1, -1))[:, 2, 8, 8]
    assert responses.std() / responses.mean() < 0.02
    assert responses.mean() == pytest.approx(25 * 0.5 / np.sqrt(2), rel=0.05)


def test_reinitialisation_keeps_the_gabor_bank():
    reduced = model("voneresnet-50", 64)
    fresh = published.build(MODELS["voneresnet-50"].argument, reduced=True).module
    bank = "vone_block.simple_conv_q0.weight"
    assert torch.equal(reduced.module.state_dict()[bank], fresh.state_dict()[bank])
    assert bank not in dict(fresh.named_parameters())


def test_hmax_filters_have_mean_zero_and_norm_one():
    for size, wavelength in zip(hmax.S1_SIZES, hmax.WAVELENGTHS, strict=True):
        filters = hmax.gabors(size, wavelength)
        np.testing.assert_allclose(filters.mean(axis=(1, 2)), 0, atol=1e-12)
        np.testing.assert_allclose((filters**2).sum(axis=(1, 2)), 1, rtol=1e-12)
    across, down = filters[0], filters[2]
    np.testing.assert_allclose(across, down.T, atol=1e-12)


def test_s1_response_is_a_correlation_and_0_for_an_empty_image():
    s1, image = hmax.S1(9, 3.95), torch.zeros(1, 1, 30, 60)
    image[0, 0, 8:17, 8:17] = 0.3 * s1.weight[1, 0]
    found = s1(image)
    assert found[0, 1, 12, 12].item() == pytest.approx(1, abs=1e-5)
    assert found.max() <= 1 + 1e-5
    assert found[..., 40:].abs().max() == 0


def test_s2_is_one_where_the_image_equals_the_patch():
    s2, field = hmax.S2(3, 4).eval(), torch.rand(1, 4, 12, 12)
    with torch.no_grad():
        s2.weight.copy_(torch.rand(3, 4, 4, 4))
        s2.weight[1] = field[0, :, 5:9, 2:6]
        found = s2(field)
        window = field[0, :, 5:9, 2:6]
        expected = torch.exp(-((window - s2.weight) ** 2).sum(dim=(1, 2, 3)) / 2)
    assert torch.allclose(found[0, :, 7, 4], expected, atol=1e-5)
    assert expected[1] == 1


def write_patches(path, count: int) -> list[np.ndarray]:
    """A universal patch set in the published format; returns (count, 4, size, size) for each size."""
    generator, flat, sizes, kept = np.random.default_rng(0), np.empty((1, 8), dtype=object), [], []
    for i, size in enumerate(hmax.PATCH_SIZES):
        patches = generator.random((count, 4, size, size)) / size
        # MATLAB has (height, width, orientation, patch), columns first
        flat[0, i] = patches.transpose(2, 3, 1, 0).reshape(-1, count, order="F")
        sizes.append((size, size, 4, count))
        kept.append(patches)
    savemat(path, {"patches": flat, "patchSizes": np.array(sizes).T})
    return kept


def test_universal_patch_set_is_converted_and_loaded(tmp_path, monkeypatch):
    kept = write_patches(tmp_path / "set.mat", 5)
    path = put_checkpoint(monkeypatch, tmp_path, "hmax", {})
    hmax.convert(str(tmp_path / "set.mat"), str(path))
    loaded, _ = published.load("hmax:hmax", "cpu")
    for i, patches in enumerate(kept):
        np.testing.assert_allclose(loaded.module.s2[i].weight.numpy(force=True), patches, rtol=1e-6)
    assert torch.equal(loaded.module.s1[0].weight, hmax.S1(7, 4.0).weight)


def test_hmax_equals_the_plugin_of_brain_score(tmp_path):
    if plugins_dir() is None:
        pytest.skip("Brain-Score is not installed")
    spec = importlib.util.spec_from_file_location("hmax_plugin", plugins_dir() / "hmax" / "helpers" / "hmax.py")
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    path = tmp_path / "set.mat"
    write_patches(path, hmax.PATCHES)
    hmax.convert(str(path), str(tmp_path / "set.safetensors"))
    ours = hmax.HMAX(hmax.PATCHES)
    ours.load_state_dict(hmax.rename(load_file(tmp_path / "set.safetensors")))
    image = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        expected = plugin.HMAX(str(path))(image)
        found = ours(image).reshape(1, 8, 400)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-30)


def test_motionnet_arrays_are_converted_and_loaded(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    arrays = {"wconv": (6, 6, 6, 4), "bconv": (4,), "wout": (27 * 27 * 4, 4), "bout": (4,)}
    arrays = {name: generator.standard_normal(shape).astype("float32") for name, shape in arrays.items()}
    with h5py.File(tmp_path / "motion_net.h5", "w") as file:
        for name, values in arrays.items():
            file[f"{name}:0"] = values
    path = put_checkpoint(monkeypatch, tmp_path, "MotionNet", {})
    motionnet.convert(str(tmp_path / "motion_net.h5"), str(path))
    loaded, _ = published.load("motionnet:MotionNet", "cpu")
    film = torch.rand(1, 3, 6, 32, 32)
    outputs = run(loaded.module, ["relu", "conv2"], film, lambda _, out: out[0])
    grey = film[0].mean(dim=0).numpy()
    window = grey[:, 4:10, 9:15].transpose(2, 1, 0)  # (y, x, t) of a film mirrored at the diagonal
    expected = np.tensordot(window, arrays["wconv"], 3) + arrays["bconv"]
    np.testing.assert_allclose(outputs["relu"][-1][:, 3, 7, 12], np.maximum(expected, 0), rtol=1e-4, atol=1e-4)
    assert outputs["conv2"][-1].shape == (4, 6, 5, 5)
    again = motionnet.rename(loaded.module.state_dict())
    assert again.keys() == loaded.module.state_dict().keys()


def test_missing_weights_are_reported_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(BadInput, match=r"universal_patch_set\.mat and run `dynamic-vision models convert hmax"):
        published.load("hmax:hmax", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[:-1])
def test_full_network_runs(name):
    entry = MODELS[name]
    built, size = published.build(entry.argument), entry.preprocessing.size
    batch = torch.rand(1, 3, 8, size, size) if entry.kind == "video" else torch.rand(2, 3, size, size)
    outputs = run(built.module.eval(), list(built.layers), batch, lambda _layer, output: output)
    for layer, axes in built.layers.items():
        assert outputs[layer][-1].ndim == len(axes) + 1
        assert torch.isfinite(outputs[layer][-1]).all()
