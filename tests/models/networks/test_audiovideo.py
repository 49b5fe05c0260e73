"""The video networks of SeLaVi, GDT, AVID and MIL-NCE: published names, strict loading, padding."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv3d

from src.extraction.check import failed_extraction_checks
from src.models.catalogue import MODELS
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.inspect.probe import noise, verify
from src.models.networks import avid, s3d
from src.models.sources import published
from src.utils import BadInput
from tests.models.networks.reduced import meta, model, norm, put_checkpoint, sampled_state, shapes

R2PLUS1D = ("SeLaVi-Kinetics400", "SeLaVi-Kinetics-Sound", "SeLaVi-VGG-Sound", "SeLaVi-AVE")
R2PLUS1D += ("GDT-Kinetics400", "GDT-IG65M", "GDT-HowTo100M")
AVID = ("AVID-CMA-Kinetics400", "AVID-CMA-Audioset", "AVID-Kinetics400", "AVID-Audioset")
S3D = "s3d-HowTo100M"
PREFIX = {"SeLaVi": "module.video_network.", "GDT": "video_network.", "AVID": "module.video_model.", "s3d": ""}
BESIDE = {
    "SeLaVi": ("module.audio_network.base.conv1.weight", "module.mlp_v0.block_forward.2.weight", "module.mlp_a9.x"),
    "GDT": ("audio_network.base.conv1.weight", "text_network.fc1.weight", "mlp_v.weight", "mlp_a.bias", "mlp_t.bias"),
    "AVID": ("module.audio_model.conv1.0.weight", "module.video_proj.projection.0.weight", "module.audio_proj.x"),
    "s3d": ("text_module.word_embd.weight", "text_module.fc1.weight", "text_module.fc2.bias"),
}


def published_r2plus1d() -> dict[str, tuple[int, ...]]:
    """The names and shapes of torchvision's R(2+1)D-18 as the checkpoints of SeLaVi and GDT have them under base."""
    found = {"base.stem.0.weight": (45, 3, 1, 7, 7), "base.stem.3.weight": (64, 45, 3, 1, 1)}
    found |= norm("base.stem.1", 45) | norm("base.stem.4", 64)
    n_in = 64
    for stage, n in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            here, before = f"base.layer{stage}.{block}", n_in if block == 0 else n
            middle = before * n * 27 // (before * 9 + 3 * n)
            for i, width in ((1, before), (2, n)):
                found[f"{here}.conv{i}.0.0.weight"] = (middle, width, 1, 3, 3)
                found[f"{here}.conv{i}.0.3.weight"] = (n, middle, 3, 1, 1)
                found |= norm(f"{here}.conv{i}.0.1", middle) | norm(f"{here}.conv{i}.1", n)
            if before != n:
                found |= {f"{here}.downsample.0.weight": (n, before, 1, 1, 1), **norm(f"{here}.downsample.1", n)}
        n_in = n
    return found


def published_avid() -> dict[str, tuple[int, ...]]:
    found = {"conv1.0.weight": (64, 3, 3, 7, 7), **norm("conv1.1", 64)}
    n_in = 64
    for stage, n in enumerate((64, 128, 256, 512), start=2):
        for block in range(2):
            here, before = f"conv{stage}x.{block}", n_in if block == 0 else n
            found |= {f"{here}.spt_conv1.weight": (n, before, 1, 3, 3), f"{here}.spt_conv2.weight": (n, n, 1, 3, 3)}
            found |= {f"{here}.tmp_conv{i}.weight": (n, n, 3, 1, 1) for i in (1, 2)}
            for name in ("spt_bn1", "tmp_bn1", "spt_bn2", "out_bn"):
                found |= norm(f"{here}.{name}", n)
            if before != n:
                found[f"{here}.res_conv.weight"] = (n, before, 1, 1, 1)
        n_in = n
    return found


def published_s3d() -> dict[str, tuple[int, ...]]:
    """The video part of S3D_HowTo100M: widths of the mixed blocks as in Szegedy's first Inception."""
    found = {"conv1.conv1.weight": (64, 24, 2, 4, 4), "conv_2b.conv1.weight": (64, 64, 1, 1, 1)}
    found |= norm("conv1.bn1", 64) | norm("conv_2b.bn1", 64) | {"fc.weight": (512, 1024), "fc.bias": (512,)}

    def separable(place: str, n_in: int, n: int) -> None:
        found.update({f"{place}.conv1.weight": (n, n_in, 1, 3, 3), f"{place}.conv2.weight": (n, n, 3, 1, 1)})
        found.update(norm(f"{place}.bn1", n) | norm(f"{place}.bn2", n))

    def gate(place: str, n: int) -> None:
        found.update({f"{place}.fc.weight": (n, n), f"{place}.fc.bias": (n,)})

    separable("conv_2c", 64, 192)
    gate("gating", 192)
    n_in = 192
    inception = {"3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64), "4b": (192, 96, 208, 16, 48, 64)}
    inception |= {"4c": (160, 112, 224, 24, 64, 64), "4d": (128, 128, 256, 24, 64, 64)}
    inception |= {"4e": (112, 144, 288, 32, 64, 64), "4f": (256, 160, 320, 32, 128, 128)}
    inception |= {"5b": (256, 160, 320, 32, 128, 128), "5c": (384, 192, 384, 48, 128, 128)}
    for name, (b0, b1a, b1b, b2a, b2b, b3) in inception.items():
        here = f"mixed_{name}"
        for branch, n in (("b0", b0), ("b1_a", b1a), ("b2_a", b2a), ("b3_b", b3)):
            found |= {f"{here}.conv_{branch}.conv1.weight": (n, n_in, 1, 1, 1), **norm(f"{here}.conv_{branch}.bn1", n)}
        separable(f"{here}.conv_b1_b", b1a, b1b)
        separable(f"{here}.conv_b2_b", b2a, b2b)
        for branch, n in enumerate((b0, b1b, b2b, b3)):
            gate(f"{here}.gating_b{branch}", n)
        n_in = b0 + b1b + b2b + b3
    return found


@pytest.mark.parametrize(
    ("name", "published"), [(R2PLUS1D[0], published_r2plus1d), (AVID[0], published_avid), (S3D, published_s3d)]
)
def test_full_network_has_the_published_names_and_shapes(name, published):
    assert shapes(meta(name).module) == published()


@pytest.mark.parametrize("name", [*R2PLUS1D, *AVID, S3D])
def test_facts_of_the_catalogue(name):
    built, entry = meta(name), MODELS[name]
    assert round(sum(weight.numel() for weight in built.module.parameters()) / 1e6, 2) == entry.millions
    assert len(built.layers) == entry.layers
    assert entry.weights.file == entry.weights.url.rsplit("/", 1)[-1]


@pytest.mark.parametrize("name", [R2PLUS1D[0], AVID[0], S3D])
def test_reduced_network_passes_the_checks(name):
    reduced = model(name, size=32)
    verify(reduced, "cpu")
    assert failed_checks(reduced) == []
    assert failed_extraction_checks(reduced) == []


@pytest.mark.parametrize("name", ["SeLaVi-VGG-Sound", "GDT-HowTo100M", "AVID-CMA-Audioset", S3D])
def test_published_checkpoint_loads_strictly(name, tmp_path, monkeypatch):
    family, key = name.split("-")[0], MODELS[name].weights.key
    inside = shapes(published.build(MODELS[name].argument, reduced=True).module)
    state = sampled_state(inside, PREFIX[family]) | {other: torch.zeros(1) for other in BESIDE[family]}
    path = put_checkpoint(monkeypatch, tmp_path, name, {key: state, "epoch": 3} if key else state)
    loaded, _ = published.load(MODELS[name].argument, "cpu")
    held = loaded.module.state_dict()
    assert all(torch.equal(held[tensor], state[PREFIX[family] + tensor]) for tensor in inside)
    state[f"{PREFIX[family]}head.weight"] = torch.zeros(1)
    torch.save({key: state} if key else state, path)
    with pytest.raises(BadInput, match=r"1 unexpected \(head.weight\)"):
        published.load(MODELS[name].argument, "cpu")


def test_avid_shortcut_is_added_before_the_last_norm():
    block = avid.Block(4, 4).eval()
    with torch.no_grad():
        block.tmp_conv2.weight.zero_()
    clip = torch.rand(1, 4, 3, 6, 6)
    assert torch.allclose(block(clip), clip / np.sqrt(1 + block.out_bn.eps), atol=1e-6)


def test_space_to_depth_replaces_a_strided_convolution():
    """A convolution of the folded clip with a kernel of 1 is one of the clip with a kernel and a stride of 2."""
    clip, kernel = torch.rand(2, 3, 6, 8, 10), torch.rand(5, 3, 2, 2, 2)
    expected = conv3d(clip, kernel, stride=2)
    found = conv3d(s3d.folded(clip), kernel.permute(0, 2, 3, 4, 1).reshape(5, 24, 1, 1, 1))
    assert torch.allclose(found, expected, atol=1e-5)


def test_odd_last_frame_is_repeated():
    clip = torch.rand(1, 3, 5, 8, 8)
    even = torch.cat((clip, clip[:, :, -1:]), dim=2)
    assert torch.equal(s3d.folded(clip), s3d.folded(even))


@pytest.mark.parametrize("length", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), s3d.POOLS.values())
def test_pooling_pads_as_tensorflow_does(length, kernel, stride):
    """Along each axis: spare = kernel - stride, half of it in front; windows start every stride."""
    image = torch.rand(1, 2, length, length, length)
    found = s3d.pooled(image, kernel, stride)
    values = image[0, 0].numpy()
    for place in np.ndindex(*found.shape[2:]):
        spare = [max(k - s, 0) // 2 for k, s in zip(kernel, stride, strict=True)]
        first = [p * s - q for p, s, q in zip(place, stride, spare, strict=True)]
        window = values[tuple(slice(max(f, 0), f + k) for f, k in zip(first, kernel, strict=True))]
        assert found[0, 0][place].item() == pytest.approx(window.max() if window.size else 0)


def test_conv1_of_s3d_is_read_without_its_padding():
    reduced = model(S3D, size=32)
    batch = reduced.preprocess(noise(8))[None]
    outputs = run(reduced.module, ["conv1"], batch, reduced.process_output)["conv1"][-1]
    assert outputs.shape == (1, 64, 4, 16, 16)


@pytest.mark.slow
@pytest.mark.parametrize("name", [R2PLUS1D[0], AVID[0], S3D])
def test_full_network_runs(name):
    built, size = published.build(MODELS[name].argument), MODELS[name].preprocessing.size
    read = built.process_output or (lambda _layer, output: output)
    outputs = run(built.module.eval(), list(built.layers), torch.rand(1, 3, 8, size, size), read)
    for layer, axes in built.layers.items():
        assert outputs[layer][-1].ndim == len(axes) + 1
        assert torch.isfinite(outputs[layer][-1]).all()
