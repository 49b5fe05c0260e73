"""Layers of a user's own network: every call and part of an output by name, the right values, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import src as dv
from src import models
from src.cli import run_command
from src.config import Config
from src.extraction.extract import ArraySink, extract
from src.extraction.hooks import hooked
from src.models.inspect.choose import with_layers
from src.models.inspect.outputs import Place, located, part_of, run, tree
from src.models.inspect.repeat import check_repeatable
from src.models.spec import Model
from src.pipeline import keys
from src.pipeline.flags import parse
from src.records import Stimuli
from src.store import key_digest
from src.utils import BadInput, regular_bins
from tests.models.own_networks import (
    Dropout,
    InPlace,
    Means,
    Memory,
    Norm,
    Odd,
    Order,
    Output,
    Returns,
    Shared,
    Steps,
    wrapped,
)

FILE = "from tests.models.own_networks import {0}\n\n\ndef net():\n    return {0}()\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Stimuli:
    """Three images that are shown for 120 ms each."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = tuple(folder / f"{i}.png" for i in range(3))
    for path in paths:
        pixels = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(pixels).save(path)
    return Stimuli("images", ("a", "b", "c"), paths, np.full(3, 120.0), ("image",) * 3)


def activations(model: Model, images: Stimuli, bin_ms: float = 120.0) -> dict[str, np.ndarray]:
    """Activations in the first bin: {layer: (n_stimuli, n_features)}."""
    sink = ArraySink(len(images), round(120 / bin_ms))
    extract(model, images, regular_bins(120, bin_ms), sink, n_components=None, n_workers=1)
    return {layer: values[:, 0] for layer, values in sink.values.items()}


def means_of(model: Model, images: Stimuli) -> torch.Tensor:
    """The input of `rest` for the images, (n_stimuli, 12)."""
    pixels = [np.array(Image.open(path))[None] for path in images.paths]
    with torch.no_grad():
        return model.module.means(torch.cat([model.preprocess(image) for image in pixels]))


def assert_equal(values: np.ndarray, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(values, expected.detach().float().flatten(1).numpy(), rtol=1e-5, atol=1e-5)


# names


@pytest.mark.parametrize(
    ("layer", "place"),
    [
        ("fc", Place("fc")),
        ("means.0", Place("means.0")),
        ("means@2", Place("means", 2)),
        ("means.0@last", Place("means.0", -1)),
        ("fc@first", Place("fc", 1)),
        ("fc.h", Place("fc", 0, "h")),
        ("fc@12.h.0", Place("fc", 12, "h.0")),
        ("a@1", Place("a@1")),
        ("a@1@2", Place("a@1", 2)),
        ("fc@0", None),
        ("fc@", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_a_name_denotes_a_module_a_call_and_a_part(layer, place):
    network = Means()
    network.add_module("a@1", nn.Identity())
    assert located(network, layer) == place


def test_parts_of_outputs_have_their_keys():
    x, y = torch.zeros(2), torch.ones(2)
    output = {"a.b": x, "rest": Output(x, (None, {"deep": y}))}
    assert tree(output)[""] == ["a.b", "rest.logits", "rest.hidden.1.deep"]
    assert part_of(output, "rest.hidden.1.deep") is y
    assert part_of(output, "a.b") is x
    assert tree((None, (x, y)))[""] == [""]
    with pytest.raises(KeyError):
        part_of(output, "rest.hidden.2")


# every call and part of the default layers, and those that are left out


def test_the_layers_of_odd_outputs_have_their_values_and_the_others_a_reason(images):
    model = wrapped(Odd())
    x = means_of(model, images)
    fourier = torch.fft.fft(x)
    expected = {
        "means.0": x,
        "means.1": x,
        "fourier": torch.stack([fourier.real, fourier.imag], dim=-1),
        "code": (10 * x).round(),
        "sign": x > 0,
        "named.mask": torch.ones(3, 3),
        "named.h": 2 * x,
        "pair": 3 * x,
        "nested": 4 * x,
        "record.logits": 5 * x,
        "record.hidden": 6 * x,
        "fc": model.module.fc(x),
    }
    assert list(model.layers) == list(expected)
    found = activations(model, images)
    for layer, values in expected.items():
        assert_equal(found[layer], values)
    assert model.left_out["none"] == "its output is of type None, without a tensor"
    assert model.left_out["text"] == "its output is of type str, without a tensor"
    assert model.left_out["empty"] == "no values: outputs of shape (2, 0)"
    assert model.left_out["unused"] == "it did not run"
    assert "without a batch axis" in model.left_out["scalar"]
    assert len(model.left_out) == 5


def test_left_out_layers_are_one_line_of_the_run_and_of_the_check(tmp_path, cli, capsys):
    path = tmp_path / "net.py"
    path.write_text(FILE.format("Odd"))
    environment = {"PYTHONPATH": "."}
    arguments = ["-m", f"{path}:net", "-d", "fake-electrodes", "--dry-run"]
    for _ in range(2):  # the second run reads the stored facts
        (line,) = [
            line for line in cli("electrodes", *arguments, **environment).stderr.splitlines() if "left out" in line
        ]
        assert "5 layers left out" in line
        assert "none: its output is of type None" in line
    chosen = cli("electrodes", *arguments, "--layers", "fc", **environment)
    assert "left out" not in chosen.stderr
    assert run_command("models", ["check", "-q", f"{path}:net"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert "scalar: " in line


def test_each_call_of_a_module_is_a_layer(images):
    model = wrapped(Shared())
    assert list(model.layers) == ["means.0", "means.1", "a", "act@1", "b", "act@2", "fc", "act@3"]
    x, net, found = means_of(model, images), model.module, activations(model, images)
    first = net.a(x).relu()
    second = net.b(first).relu()
    for layer, expected in {"act@1": first, "b": net.b(first), "act@2": second, "act@3": net.fc(second).relu()}.items():
        assert_equal(found[layer], expected)


def test_calls_are_counted_from_each_pass():
    model, seen = wrapped(Shared()), []
    with torch.inference_mode(), hooked(model, lambda layer, _output: seen.append(layer)):
        for _ in range(2):
            model.module(torch.zeros(1, 3, 8, 8))
    assert seen == [*model.layers, *model.layers]


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["act"], ["act@1", "act@2", "act@3"]),
        (["act@last", "act@first"], ["act@1", "act@3"]),
        (["fc", "act@2"], ["act@2", "fc"]),
    ],
)
def test_calls_are_chosen_by_name(names, layers):
    assert list(with_layers(wrapped(Shared()), names, "cpu").layers) == layers


def test_calls_that_follow_the_frames_are_left_out_and_the_last_can_be_chosen():
    model = wrapped(Steps())
    assert list(model.layers) == ["read"]
    assert "its calls follow the frames (4, then 8); name cell@first or cell@last" in model.left_out["cell"]
    chosen = with_layers(model, ["cell@first", "cell@last"], "cpu")
    assert dict(chosen.layers) == {"cell@1": "C", "cell@last": "C"}
    clip = torch.randn(2, 3, 6, 8, 8)
    seen = {}
    with torch.inference_mode():
        first = model.module.cell(clip.mean(dim=(3, 4))[:, :, 0])
        with hooked(chosen, lambda layer, output: seen.__setitem__(layer, output.clone())):
            last = model.module(clip)
        torch.testing.assert_close(seen["cell@1"], first)
        torch.testing.assert_close(model.module.read(seen["cell@last"]), last)


def test_a_declared_layer_of_several_sizes_is_refused_with_a_name_for_one_call(images):
    model = replace(wrapped(Shared()), layers={"act": "C"}, process_output=None)
    with pytest.raises(BadInput, match=r"layer act: 12 features, then 5 in a later call .* as act@1"):
        activations(model, images)


# values at the moment of the hook


@pytest.mark.parametrize("bin_ms", [120.0, 40.0, 10.0])
def test_in_place_operations_change_no_layer_before_them(images, bin_ms):
    in_place, out_of_place = (activations(wrapped(InPlace(kind)), images, bin_ms) for kind in (True, False))
    assert in_place.keys() >= {"a", "b", "c"}
    for layer in ("means.0", "a", "act", "fc"):
        np.testing.assert_array_equal(in_place[layer], out_of_place[layer])
    x = means_of(model := wrapped(InPlace(False)), images)
    b = model.module.b(model.module.a(x).relu())
    for layer, expected in {"a": model.module.a(x), "b": b, "c": model.module.c(b - 1)}.items():
        assert_equal(in_place[layer], expected)
    assert (in_place["a"] < 0).any()


def test_probe_passes_keep_values_before_in_place_operations():
    networks, batch = [InPlace(kind).eval() for kind in (True, False)], torch.randn(2, 3, 8, 8)
    first, second = (run(network, ["a", "c"], batch, lambda _, output: output) for network in networks)
    assert (first["a"][0] < 0).any()
    assert (first["c"][0] > 0).any()
    torch.testing.assert_close(first["a"][0], second["a"][0])
    torch.testing.assert_close(first["c"][0], second["c"][0])


# wrappers


def test_wrappers_of_a_network_are_removed(images):
    expected = activations(wrapped(Means()), images)
    for wrapper in (
        nn.DataParallel(Means()),
        torch.compile(Means(), backend="eager"),
        nn.DataParallel(nn.DataParallel(Means())),
    ):
        found = activations(wrapped(wrapper), images)
        assert list(found) == list(expected)
        for layer, values in expected.items():
            np.testing.assert_array_equal(found[layer], values)


def test_distributed_data_parallel_is_removed(tmp_path):
    distributed = torch.distributed
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    try:
        model = wrapped(nn.parallel.DistributedDataParallel(Means()))
    finally:
        distributed.destroy_process_group()
    assert type(model.module) is Means
    assert dict(model.layers) == dict(wrapped(Means()).layers)


def test_a_model_record_of_a_wrapped_network_keeps_its_layers(images):
    base = wrapped(Means())
    record = replace(
        base,
        module=nn.DataParallel(base.module),
        layers={"module.fc": "C"},
        process_output=lambda layer, output: output * (2 if layer == "module.fc" else 0),
    )
    model = wrapped(record)
    assert dict(model.layers) == {"fc": "C"}
    assert_equal(activations(model, images)["fc"], 2 * base.module.fc(means_of(base, images)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_networks_that_run_in_one_piece_are_refused():
    script = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    with pytest.raises(BadInput, match="own is TorchScript; expected the network before it"):
        wrapped(script)
    inside, in_place = Means(), Means()
    inside.fc = torch.compile(inside.fc, backend="eager")
    with pytest.raises(BadInput, match=r"own, module fc, is compiled \(torch.compile\)"):
        wrapped(inside)
    in_place.compile(backend="eager")
    with pytest.raises(BadInput, match=r"own is compiled \(torch.compile\)"):
        wrapped(in_place)


# repeatable values


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Dropout, "layer fc differs between two equal passes; the network draws random numbers"),
        (Memory, "layer fc of one input differs after another input; the network keeps state"),
        (Norm, "layer fc depends on the other samples of a batch"),
        (Order, "layer fc depends on the other samples of a batch"),
    ],
)
def test_values_that_depend_on_more_than_the_sample_are_refused(network, message, images, tmp_path, cli):
    model = wrapped(network())
    with pytest.raises(BadInput, match=message):
        check_repeatable(model, "cpu")
    with pytest.raises(BadInput, match=message):
        dv.extract(network(), images)
    before = with_layers(wrapped(network()), ["means.1"], "cpu")
    check_repeatable(before, "cpu")


def test_a_run_of_a_network_with_functional_dropout_is_one_line_and_stores_nothing(tmp_path, cli):
    path = tmp_path / "net.py"
    path.write_text(FILE.format("Dropout"))
    arguments = ["-m", f"{path}:net", "-d", "fake-electrodes", "--dry-run"]
    done = cli("electrodes", *arguments, expect=2, PYTHONPATH=".")
    assert "layer fc differs between two equal passes" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_network_that_refuses_one_sample_is_refused():
    network = Means()
    network.fc = nn.Sequential(nn.BatchNorm1d(12, track_running_stats=False), nn.Linear(12, 2))
    with pytest.raises(BadInput, match="refuses a batch of one sample"):
        check_repeatable(wrapped(network), "cpu")


@pytest.mark.parametrize("network", [Means, Shared, Odd, Steps, lambda: InPlace(True)])
def test_repeatable_networks_pass(network):
    check_repeatable(wrapped(network()), "cpu")


def test_rounding_of_half_precision_is_no_dependence_on_the_batch():
    model = wrapped(Means())
    model.module.bfloat16()
    halved = replace(model, preprocess=lambda frames: model.preprocess(frames).bfloat16())
    check_repeatable(halved, "cpu")


# layers by name


def test_any_module_of_a_network_can_be_a_layer(images):
    model = wrapped(Shared())
    thin = models.loading.with_chosen(model, (), "cpu", 2)
    assert len(thin.layers) == 2
    chosen = with_layers(model, ["means", "a"], "cpu")
    assert list(chosen.layers) == ["means", "a"]
    found, x = activations(chosen, images), means_of(model, images)
    assert_equal(found["means"], x)
    assert_equal(found["a"], model.module.a(x))


def test_any_module_of_a_declared_model_can_be_a_layer():
    deep = models.load("fake-image-net", layers=["conv2.0", "conv1", "readout.0"])
    assert dict(deep.layers) == {"conv1": "CHW", "conv2.0": "CHW", "readout.0": "CCC"}
    whole = models.load("fake-image-net")
    assert deep.digest == whole.digest
    batch = whole.preprocess(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    with torch.inference_mode():
        inner, outer = (
            run(m.module, [n], batch, lambda _, x: x)[n][0] for m, n in ((deep, "conv2.0"), (whole, "conv2"))
        )
    torch.testing.assert_close(inner.relu(), outer)


def test_a_process_output_is_kept_for_its_own_layers(images):
    base = wrapped(Means())
    record = replace(base, layers={"fc": "C"}, process_output=lambda layer, output: 10 * output)
    chosen = with_layers(record, ["fc", "means.1"], "cpu")
    found, x = activations(chosen, images), means_of(base, images)
    assert_equal(found["fc"], 10 * base.module.fc(x))
    assert_equal(found["means.1"], x)


@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        (Shared, "atc", "unknown layer of own 'atc'; did you mean act"),
        (Shared, "act@4", "layer act@4: act runs 3 times in a pass"),
        (Odd, "named.mask2", r"layer named: its output has no part 'mask2'; its parts: mask, h"),
        (Odd, "none", "layer none: its output is of type None, without a tensor"),
        (Odd, "unused", "layer unused: it did not run"),
        (Odd, "empty", "layer empty: no values"),
    ],
)
def test_names_that_are_no_layer_are_refused(network, name, message):
    with pytest.raises(BadInput, match=message):
        with_layers(wrapped(network()), [name], "cpu")


def test_parts_are_chosen_by_name(images):
    model = with_layers(wrapped(Odd()), ["nested.0.1", "record.hidden.1", "named"], "cpu")
    assert list(model.layers) == ["named.mask", "named.h", "nested.0.1", "record.hidden.1"]
    found, x = activations(model, images), means_of(model, images)
    for layer, expected in {"named.h": 2 * x, "nested.0.1": x, "record.hidden.1": 7 * x}.items():
        assert_equal(found[layer], expected)


def test_a_key_with_the_name_of_a_submodule_is_the_output():
    network = Means()
    network.fc = Returns(lambda x: {"h": 3 * x})
    network.fc.h = nn.Linear(2, 2)
    model = wrapped(network)
    assert list(model.layers) == ["means.0", "means.1", "fc@1.h"]


# size and rate of the input


def test_input_size_and_rate_of_a_network(images):
    model = wrapped(Means(), input_size=(32, 48), fps=16.0)
    assert model.preprocess(np.zeros((2, 30, 40, 3), np.uint8)).shape == (2, 3, 32, 48)
    assert model.fps == 16.0
    plain = wrapped(Means())
    assert plain.preprocess(np.zeros((2, 30, 40, 3), np.uint8)).shape == (2, 3, 224, 224)

    class Fixed(Means):
        def __init__(self):
            super().__init__()
            self.means, self.fc = nn.Flatten(), nn.Linear(3 * 16 * 16, 6)

    with pytest.raises(BadInput, match=r"images \(batch, 3, 224, 224\).*; choose another --input-size"):
        wrapped(Fixed())
    found = dv.extract(Fixed(), images, input_size=16, device="cpu")
    assert found.layers["means"].shape == (3, 3, 768)
    slow = dv.extract(Fixed(), images, input_size=[16, 16], fps=10, bin_ms=100, device="cpu")
    assert slow.time_ms.tolist() == [[0.0, 100.0]]


def test_input_size_and_rate_are_in_the_key(tmp_path, cli, monkeypatch):
    path = tmp_path / "net.py"
    path.write_text(FILE.format("Means"))
    digests = [models.load(f"{path}:net", **o).digest for o in ({}, {"input_size": (64, 64)}, {"fps": 10.0})]
    assert len(set(digests)) == 3
    for name, value in cli.environment().items():
        monkeypatch.setenv(name, value)
    arguments, config = ["-m", f"{path}:net", "-d", "fake-electrodes", "--device", "cpu"], Config.from_env()
    options = ([], ["--input-size", "64"], ["--input-size", "64x32"], ["--fps", "10"], ["--input-size", "224"])
    names = [key_digest(keys(parse("electrodes", [*arguments, *o]).request, config)[0]) for o in (*options, [])]
    assert len(set(names[:4])) == 4
    assert names[0] == names[-1] == names[-2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("r3d_18", {"input_size": (64, 64)}, "input size 64x64 for r3d_18, whose preprocessing fixes its input"),
        ("r3d_18", {"fps": 8.0}, "8 frames per second for r3d_18, a model of clips at"),
        ("fake-net", {"fps": 8.0}, "8 frames per second for fake-net, a model of clips at"),
        ("timm:resnet18", {"input_size": (64, 64)}, "input size 64x64 for timm:resnet18"),
    ],
)
def test_models_that_fix_their_input_refuse_the_options(name, options, message):
    with pytest.raises(BadInput, match=message):
        models.load(name, **options)


def test_every_model_of_clips_has_a_rate_for_the_message():
    assert all(entry.fps for entry in models.MODELS.values() if entry.kind == "video")


def test_a_model_of_single_frames_can_have_another_rate():
    assert models.load("fake-image-net", fps=5).fps == 5.0
    record = replace(wrapped(Means()), layers={"fc": "C"}, process_output=None)
    assert wrapped(record, fps=5).fps == 5.0
    with pytest.raises(BadInput, match="input size 64x64 for own, whose preprocessing fixes its input"):
        wrapped(record, input_size=(64, 64))


@pytest.mark.parametrize("size", [0, (64, -1), (64,), 6.5, "64"])
def test_an_input_size_that_is_none_is_refused(size, images):
    with pytest.raises(BadInput, match="expected height and width in px"):
        dv.extract(Means(), images, input_size=size)
