"""Names, Brain-Score's networks on generated checkpoints, Random- variants, and errors for missing files."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from src import models
from src.config import Config
from src.models import extras, loading
from src.models.inspect.outputs import run
from src.models.inspect.probe import noise, verify
from src.models.sources.frames import FramesVideo
from src.models.sources.plugins import plugin_names
from src.models.spec import notes_of
from src.utils import BadInput
from tests.models import checkpoints

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("alexnet", "r3d_18")


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("torch_home")
    files = checkpoints.write(home, *NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield files


@pytest.fixture(scope="module")
def loaded(torch_home):
    """{name: (model, weight files)}, each loaded once."""
    return {name: models.load_watched(name) for name in NAMES}


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """{name: model} of the Random- variants, loaded without weight files and without network access."""

    def refused(*_, **__):
        raise AssertionError("a Random- variant accessed the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("empty")))
        patch.setattr(socket, "getaddrinfo", refused)
        made = {name: models.load_watched(f"Random-{name}") for name in NAMES}
    assert all(files == () for _, files in made.values())
    return {name: model for name, (model, _) in made.items()}


@pytest.fixture
def offline(monkeypatch):
    def refused(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


# names


def test_importing_and_resolving_load_neither_torch_nor_brain_score():
    code = (
        "import sys, src.models as m\n"
        "for name in ('r3d_18', 'Random-alexnet', 'swin3d_t', 'pixels', 'motion-energy', 'resnet50_tutorial'):\n"
        "    m.resolve(name), m.source_files(name), m.versions(name)\n"
        "m.all_names()\n"
        "print(sorted({'torch', 'torchvision', 'brainscore_vision', 'xarray', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_names_are_found_fast_and_the_groups_come_first():
    plugin_names.cache_clear()
    start = time.process_time()
    names = models.all_names()
    assert time.process_time() - start < 0.5
    assert names[: len(models.MODELS)] == list(models.MODELS)
    assert len(names) == len(set(names)) > 500


def test_groups_contain_every_name_once():
    grouped = models.grouped()
    assert [name for names in grouped.values() for name in names] == models.all_names()
    assert next(iter(grouped)) == "control"
    assert list(grouped)[-1] == "brainscore"


def test_prefixes_may_have_any_order():
    entry = models.resolve("NoDownsample-Random-alexnet")
    assert (entry.argument, entry.random, entry.full_features) == ("alexnet", True, True)
    assert models.resolve("Random-NoDownsample-alexnet").random
    assert models.resolve("alexnet") == models.MODELS["alexnet"]


def test_a_plugin_in_no_group_is_a_name_too():
    entry = models.resolve("resnet50_tutorial")
    assert (entry.source, entry.group) == ("brainscore", "brainscore")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alexnett", "unknown model 'alexnett'; did you mean alexnet or"),
        ("Random-r3d18", "unknown model 'Random-r3d18'; did you mean Random-r3d_18"),
        ("no/such.py:build", "no file no/such.py for the model"),
        ("no_such_package.part:build", "no module 'no_such_package.part'"),
    ],
)
def test_wrong_names_are_refused_with_help(name, message):
    with pytest.raises(BadInput, match=message):
        models.resolve(name)


def test_source_files_and_versions_of_a_digest():
    files, versions = models.source_files("r3d_18"), models.versions("r3d_18")
    assert {"loading.py", "axes.py", "brainscore.py", "model.py"} <= {path.name for path in files}
    assert all(path.is_file() for path in files)
    assert versions["torch"] == torch.__version__.split("+")[0]
    assert {"torchvision", "brainscore-vision"} <= set(versions)


# Brain-Score's networks


def test_layers_axes_and_limits_are_those_of_the_plugin(loaded):
    alexnet, r3d = loaded["alexnet"][0], loaded["r3d_18"][0]
    assert alexnet.layers == {
        **dict.fromkeys(["features.2", "features.5", "features.7", "features.9", "features.12"], "CHW"),
        "classifier.2": "C",
        "classifier.5": "C",
    }
    assert (alexnet.kind, alexnet.fps) == ("image", 25.0)
    spatial = dict.fromkeys(["stem", "layer1", "layer2", "layer3", "layer4", "avgpool"], "CTHW")
    assert r3d.layers == {**spatial, "fc": "C"}
    assert (r3d.kind, r3d.fps, r3d.num_frames) == ("video", 25.0, (1, np.inf))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_the_checkpoints_and_the_file_is_reported(name, loaded, torch_home):
    model, files = loaded[name]
    assert files == (torch_home[name],)
    stored = torch.load(torch_home[name], weights_only=True)
    assert all(torch.equal(stored[key], value) for key, value in model.module.state_dict().items())
    assert not any(part.training for part in model.module.modules())


def test_alexnet_equals_brain_scores_extraction(loaded, tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    import brainscore_vision

    wrapper = brainscore_vision.load_model("alexnet").activations_model
    frames = noise(2)
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for frame, path in zip(frames, paths, strict=True):
        Image.fromarray(frame).save(path)
    theirs = wrapper.get_activations(wrapper._extractor.preprocess(paths), ["features.2", "classifier.5"])
    model = loaded["alexnet"][0]
    ours = run(model.module, list(model.layers), model.preprocess(frames), lambda _, out: out.numpy())
    for layer, values in theirs.items():
        np.testing.assert_allclose(ours[layer][-1], values, atol=1e-5)


def test_r3d_18_equals_brain_scores_extraction(loaded, tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("BS_INSTALL_DEPENDENCIES", "no")
    import brainscore_vision
    from brainscore_vision.model_helpers.activations.temporal.inputs import Video

    frame = noise(1)[0]
    path = str(tmp_path / "still.png")
    Image.fromarray(frame).save(path)
    wrapper = brainscore_vision.load_model("r3d_18").activations_model
    still = Video.from_img_path(path, 240.0, 25.0)
    theirs = wrapper.get_activations([wrapper.preprocessing(still)], ["stem", "layer4", "fc"])
    model = loaded["r3d_18"][0]
    clip = model.preprocess(np.repeat(frame[None], 6, axis=0))
    ours = run(model.module, list(model.layers), clip[None], lambda _, out: out.numpy())
    for layer, values in theirs.items():
        np.testing.assert_allclose(ours[layer][-1], values, atol=1e-4)


def test_frames_in_memory_have_the_interface_of_a_video():
    clip = FramesVideo(noise(10), 25.0)
    assert (clip.num_frames, clip.duration, clip.frame_size) == (10, 400.0, (128, 96))
    assert clip.set_size((64, 48)).to_numpy().shape == (10, 48, 64, 3)
    assert clip.set_fps(12.5).num_frames == 5
    np.testing.assert_array_equal(clip.set_window(-40, 80).to_numpy(), noise(10)[[0, 0, 1]])
    assert len(clip.to_frames()) == len(clip.to_pil_imgs()) == 10
    assert clip.to_pil_imgs()[0].size == (128, 96)


def test_wrongly_declared_axes_are_refused(loaded):
    model = loaded["r3d_18"][0]
    wrong = replace(model, layers={"stem": "TCHW", "layer1": "CTHW", "fc": "C"})
    with pytest.raises(BadInput, match=r"r3d_18: layer stem: declared TCHW behind the batch of 2, found shape \(2, 64"):
        verify(wrong, "cpu")


def test_layers_are_thinned(torch_home):
    model = models.load("alexnet", limit=3)
    assert list(model.layers) == ["features.2", "features.9", "classifier.5"]
    assert model.digest == models.load("NoDownsample-alexnet").digest


def test_loading_does_not_change_the_generators_and_the_environment(torch_home, monkeypatch):
    monkeypatch.delenv("BS_INSTALL_DEPENDENCIES", raising=False)
    torch.manual_seed(3), np.random.seed(3)
    expected = torch.rand(2), np.random.rand(2)
    torch.manual_seed(3), np.random.seed(3)
    models.load("Random-fake-image-net")
    models.load("alexnet", limit=1)
    assert torch.equal(torch.rand(2), expected[0])
    np.testing.assert_array_equal(np.random.rand(2), expected[1])
    assert "BS_INSTALL_DEPENDENCIES" not in os.environ


# Random- variants


def test_random_variants_are_the_same_in_another_process(variants, tmp_path):
    code = (
        "import socket\n"
        "socket.getaddrinfo = None\n"
        "from src import models\n"
        f"for name in {NAMES}: print(models.load(f'Random-{{name}}', limit=1).digest)\n"
    )
    environment = {**os.environ, "TORCH_HOME": str(tmp_path), "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [variants[name].digest for name in NAMES]
    assert not list(tmp_path.rglob("*.pth"))


def test_random_variants_differ_from_the_network_and_from_each_other(variants, loaded):
    digests = {model.digest for model in variants.values()} | {loaded[name][0].digest for name in NAMES}
    assert len(digests) == 4
    for name in NAMES:
        assert variants[name].layers == loaded[name][0].layers
        assert variants[name].name == f"Random-{name}"


def test_a_random_variant_does_not_change_later_loads(variants, loaded, torch_home):
    assert models.load("alexnet").digest == loaded["alexnet"][0].digest
    assert torch.load.__module__ == "torch.serialization"


def test_reinitialised_weights_follow_the_kind_of_each_module():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.linear = nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Linear(100, 50)
            self.words, self.rnn, self.attention = nn.Embedding(50, 40), nn.LSTM(4, 25), nn.MultiheadAttention(32, 4)
            self.place, self.scale = nn.Parameter(torch.zeros(1, 50, 40)), nn.Parameter(torch.full((9,), 1e-4))

    with torch.random.fork_rng():
        parts = Parts()
    parts.norm.running_mean += 3
    parts.norm.weight.data *= 5
    loading.reinitialise(parts, 7)
    assert parts.conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert not parts.conv.bias.any()
    assert parts.norm.weight.eq(1).all()
    assert not parts.norm.running_mean.any()
    assert parts.linear.weight.abs().max().item() == pytest.approx(0.1, rel=0.01)
    assert parts.words.weight.std().item() == pytest.approx(1, rel=0.05)
    assert parts.rnn.weight_hh_l0.abs().max().item() == pytest.approx(0.2, rel=0.02)
    assert parts.place.std().item() == pytest.approx(0.0176, rel=0.05)
    assert parts.place.abs().max() <= 0.04
    assert parts.scale.eq(1e-4).all()


@pytest.mark.parametrize(("added", "weight"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_reinitialised_normalisation_multiplies_by_one(added, weight):
    class Norm(nn.LayerNorm):
        def forward(self, x):
            return nn.functional.layer_norm(x, self.normalized_shape, self.weight + added, self.bias, self.eps)

    norm = Norm(8)
    nn.init.zeros_(norm.weight)
    loading.reinitialise(norm, 0)
    assert norm.weight.eq(weight).all()
    torch.testing.assert_close(norm(torch.arange(8.0)), nn.LayerNorm(8)(torch.arange(8.0)))


def test_reinitialised_weights_depend_on_the_seed_alone():
    def digest_of(seed, noise_before):
        torch.manual_seed(noise_before)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 6))
        loading.reinitialise(network, seed)
        return loading.state_digest(network)

    with torch.random.fork_rng():
        assert digest_of(1, 0) == digest_of(1, 9) != digest_of(2, 0)


def test_the_digest_depends_on_every_value_name_and_type():
    base = nn.Linear(3, 2)
    digests = {loading.state_digest(base)}
    base.weight.data[0, 0] += 1e-6
    digests.add(loading.state_digest(base))
    digests.add(loading.state_digest(nn.Sequential(base)))
    digests.add(loading.state_digest(base.to(torch.bfloat16)))
    assert len(digests) == 4


# missing files and packages


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alexnet", r"put alexnet-owt-7be5be79.pth .* at .*hub/checkpoints/alexnet-owt-7be5be79.pth"),
        ("resnet18", r"put resnet18-f37072fd.pth .* at .*hub/checkpoints/resnet18-f37072fd.pth"),
    ],
)
def test_a_missing_weight_file_is_named_with_its_place(name, message, offline, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(BadInput, match=f"{name}: its weights are not here and cannot be fetched .*{message}") as error:
        models.load(name)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


def test_a_damaged_weight_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    file.parent.mkdir(parents=True)
    torch.save({"features.0.weight": torch.zeros(2)}, file)
    with pytest.raises(BadInput, match=r"alexnet-owt-7be5be79.pth does not contain the expected weights .*replace it"):
        models.load("alexnet")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(BadInput, match=r"alexnet-owt-7be5be79.pth does not contain the expected weights"):
        models.load("alexnet")


def test_a_missing_package_is_named():
    name = "deit_large_imagenet_full_seed-0"
    with pytest.raises(BadInput, match=rf"{name} needs the package 'albumentations', which is not installed"):
        models.load(name)


def test_a_missing_extra_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "transformers", ("no_such_package",))
    with pytest.raises(
        BadInput, match=r"TimeSformer needs the extra 'transformers'.*; pip install 'dynamic-vision\[transformers\]'"
    ):
        models.load("TimeSformer")


def test_an_unavailable_model_is_reported_with_the_reason_and_the_nearest(monkeypatch):
    gone = replace(models.MODELS["alexnet"], unavailable="its authors withdrew it; nearest: vgg_16")
    monkeypatch.setitem(models.MODELS, "alexnet", gone)
    with pytest.raises(BadInput, match=r"^its authors withdrew it; nearest: vgg_16$"):
        models.load("Random-alexnet")


# fine-tuned variants


@pytest.fixture
def tuned(tmp_path):
    """A state dict of fake-image-net with other values, saved as by a training loop, and the original network."""
    own = models.load("fake-image-net")
    state = {name: value + 0.5 for name, value in own.module.state_dict().items()}
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "t.pt"
    )
    return tmp_path / "t.pt", state, own


def test_a_fine_tuned_variant_has_the_users_weights_and_another_digest(tuned):
    path, state, own = tuned
    model, files = models.load_watched(f"Finetune-fake-image-net={path}")
    assert files == (path,)
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
    assert model.digest != own.digest
    assert model.name == f"Finetune-fake-image-net={path}"
    assert models.resolve(f"NoDownsample-Finetune-fake-image-net={path}").full_features


def test_a_partial_state_dict_changes_only_its_tensors(tuned, tmp_path):
    _, state, own = tuned
    torch.save({"conv1.0.weight": state["conv1.0.weight"]}, tmp_path / "part.pt")
    module = models.load(f"Finetune-fake-image-net={tmp_path / 'part.pt'}").module
    assert torch.equal(module.conv1[0].weight, state["conv1.0.weight"])
    assert torch.equal(module.conv2[0].weight, own.module.conv2[0].weight)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Finetune-alexnet", "names no state dict; expected Finetune-NAME=path"),
        ("Finetune-alexnet=no/such.pt", "no weight file no/such.pt"),
        ("Random-Finetune-alexnet=x.pt", "expected one of Random- and Finetune-"),
        (f"Finetune-alexnet={__file__}", r"expected a file that ends in .pth, .pt"),
    ],
)
def test_fine_tuned_names_that_are_refused(name, message):
    with pytest.raises(BadInput, match=message):
        models.resolve(name)


def test_a_state_dict_of_another_network_is_refused(tuned, tmp_path):
    torch.save({"fc.weight": torch.zeros(3), "conv1.0.bias": torch.zeros(5)}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"other.pt does not fit .* 1 unexpected \(fc.weight\); 1 of another shape"):
        models.load(f"Finetune-fake-image-net={tmp_path / 'other.pt'}")


def resnet_state(classes: int, seed: int = 1) -> dict[str, torch.Tensor]:
    """The state dict of a ResNet-18 with that many classes."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torchvision.models.resnet18(num_classes=classes).state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 1, "model_ema": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"teacher": {f"backbone.{name}": v for name, v in state.items()} | {"head.w": torch.zeros(2)}},
        lambda state: {"student": {f"encoder.{name}": v for name, v in state.items()}},
        lambda state: {f"net.{name}": v for name, v in state.items()} | {"decoder.weight": torch.zeros(3)},
    ],
    ids=["plain", "model_ema", "teacher", "student", "net"],
)
def test_a_head_of_another_size_is_left_out_and_nothing_is_fetched(tmp_path, monkeypatch, wrap):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = resnet_state(classes=7)
    torch.save(wrap(state), tmp_path / "tuned.pt")
    model, files = models.load_watched(f"Finetune-resnet18={tmp_path / 'tuned.pt'}")
    loaded = model.module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items() if not name.startswith("fc."))
    assert "fc" not in model.layers
    assert "layer4.1" in model.layers
    assert notes_of(model) == [f"the head fc is left out: in {tmp_path / 'tuned.pt'} it has another size"]
    assert files == (tmp_path / "tuned.pt",)


def test_a_head_of_the_same_size_is_loaded_and_a_layer(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = resnet_state(classes=1000)
    torch.save(state, tmp_path / "tuned.pt")
    model = models.load(f"Finetune-resnet18={tmp_path / 'tuned.pt'}")
    assert torch.equal(model.module.fc.weight, state["fc.weight"])
    assert "fc" in model.layers
    assert notes_of(model) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [({"accuracy": 0.5, "epoch": 3}, "accuracy, epoch"), ({}, "nothing"), ({"model": {"name": "r"}}, "name")],
)
def test_a_file_without_tensors_is_named_before_anything_is_fetched(tmp_path, monkeypatch, content, found):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.save(content, tmp_path / "x.pt")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(BadInput, match=rf"x.pt is no state dict: it holds {found} and no tensor by name"):
        models.load(f"Finetune-resnet18={tmp_path / 'x.pt'}")


def test_tensors_of_another_network_are_refused_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "x.pt")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(BadInput, match=r"x.pt does not fit the network: 1 unexpected \(a.weight\)"):
        models.load(f"Finetune-resnet18={tmp_path / 'x.pt'}")


@pytest.mark.parametrize("home", ["", "relative/home"])
def test_python_and_the_commands_have_one_weight_home(tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    expected = tmp_path / home if home else tmp_path / "cache" / "torch"
    assert Config.from_env().weights_home == expected
    folder = expected / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    state = resnet_state(classes=1000)
    torch.save(state, folder / "resnet18-f37072fd.pth")
    _, files = models.load_watched("resnet18", limit=2)
    assert files == (folder / "resnet18-f37072fd.pth",)
