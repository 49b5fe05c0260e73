"""The video transformers pass the checks, have the sizes of the catalogue and read the published checkpoints."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from src.extraction.check import failed_extraction_checks
from src.models.catalogue import MODELS
from src.models.catalogue.transformers_own import ENTRIES
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.inspect.probe import clips, verify
from src.models.loading import reinitialise
from src.models.networks import videochat
from src.models.sources.published import build, put_weights, wrapped
from src.utils import BadInput
from tests.models.networks import published_shapes

NAMES = [entry.name for entry in ENTRIES]
REDUCED = (
    "I3D",
    "I3D-nonlocal",
    "I3D-R50-smthsmthv2",
    "UniFormer-V1",
    "UniFormer-V2-B",
    "UniFormer-V2-L",
    "MViT-V2-B-Kinetics400",
    "InternVideo1-VideoMAE-B",
    "VideoMAE-V2-B-distilled",
    "VideoMAE-V2-G",
    "MAE-ST-L",
    "V-JEPA-L",
    "VideoChat-7B",
    "VideoChat2-7B",
    "MViT-V2-L-Kinetics400",
    "UMT-B",
    "UMT-B-Kinetics400",
    "InternVideo2-1B-Kinetics400",
    "VideoMamba-Ti",
)
AROUND = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
NOWHERE, SOMEWHERE = ((0,) * 6,) * 4, ((0,) * 3, (0, 1) * 2, (0, 1) * 3, (0,) * 3)
MVIT = {"width": 96, "depth": 24, "halving": (2, 5, 21), "grid": (16, 56)}
SMALL_MVIT = {"width": 16, "depth": 4, "halving": (1, 3), "grid": (4, 28)}
SMALL_AROUND, SMALL_SOMEWHERE = tuple(s[:2] for s in AROUND), tuple(s[:2] for s in SOMEWHERE)
LARGE_MVIT = {"width": 144, "depth": 48, "halving": (2, 8, 44), "grid": (20, 78), "heads": 2}
SMALL_LARGE_MVIT = {"width": 16, "depth": 4, "halving": (1, 3), "grid": (5, 39)}
EVA = {"dim": 1408, "depth": 39, "hidden": 6144}
SMALL_EVA = {"dim": 32, "depth": 4, "hidden": 64}

# {name: (published names and shapes, those of the reduced build, entry of the file with the state dict)}
PUBLISHED = {
    "I3D": (published_shapes.i3d(64, AROUND, NOWHERE), published_shapes.i3d(8, SMALL_AROUND, NOWHERE), "state_dict"),
    "I3D-nonlocal": (
        published_shapes.i3d(64, AROUND, SOMEWHERE),
        published_shapes.i3d(8, SMALL_AROUND, SMALL_SOMEWHERE),
        "state_dict",
    ),
    "I3D-R50-smthsmthv2": (
        published_shapes.i3d_ssv2(64, (3, 4, 6, 3)),
        published_shapes.i3d_ssv2(8, (1, 1, 1, 1)),
        "state_dict",
    ),
    "I3D-R101-smthsmthv2": (
        published_shapes.i3d_ssv2(64, (3, 4, 23, 3)),
        published_shapes.i3d_ssv2(8, (1, 1, 1, 1)),
        "state_dict",
    ),
    "UniFormer-V1": (
        published_shapes.uniformer((5, 8, 20, 7), (64, 128, 320, 512)),
        published_shapes.uniformer((1, 1, 2, 2), (8, 8, 16, 32)),
        "state_dict",
    ),
    "UniFormer-V2-B": (
        published_shapes.uniformer_v2(768, 12, 4),
        published_shapes.uniformer_v2(32, 4, 2),
        "state_dict",
    ),
    "UniFormer-V2-L": (
        published_shapes.uniformer_v2(1024, 24, 4, 14),
        published_shapes.uniformer_v2(32, 4, 2, 14),
        "state_dict",
    ),
    "VideoMAE-V2-B-distilled": (
        published_shapes.videomae_v2_distilled(768, 12, 3072),
        published_shapes.videomae_v2_distilled(32, 3, 96),
        "module",
    ),
    "MViT-V2-B-Kinetics400": (
        published_shapes.mvit_v2(**MVIT, classes=400),
        published_shapes.mvit_v2(**SMALL_MVIT, classes=400),
        "model_state",
    ),
    "MViT-V2-B-smthsmthv2": (
        published_shapes.as_mmaction(published_shapes.mvit_v2(**MVIT, classes=174)),
        published_shapes.as_mmaction(published_shapes.mvit_v2(**SMALL_MVIT, classes=174)),
        "state_dict",
    ),
    "InternVideo1-VideoMAE-B": (
        published_shapes.videomae_v2(768, 12, 3072, 16),
        published_shapes.videomae_v2(32, 3, 96, 16),
        "model",
    ),
    "VideoMAE-V2-G": (
        published_shapes.videomae_v2(1408, 40, 6144, 14),
        published_shapes.videomae_v2(32, 3, 96, 14),
        "module",
    ),
    "MAE-ST-L": (published_shapes.mae_st(1024, 24), published_shapes.mae_st(32, 3), "model_state"),
    "MAE-ST-G": (published_shapes.mae_st(1280, 32), published_shapes.mae_st(32, 3), "model"),
    "V-JEPA-L": (published_shapes.vjepa(1024, 24), published_shapes.vjepa(32, 3), "target_encoder"),
    "V-JEPA-H": (published_shapes.vjepa(1280, 32), published_shapes.vjepa(32, 3), "target_encoder"),
    "VJEPA-Temporal": (published_shapes.vjepa(1024, 24), published_shapes.vjepa(32, 3), "target_encoder"),
    **{
        f"MViT-V2-L-{data}": (
            published_shapes.mvit_v2(**LARGE_MVIT, classes=classes),
            published_shapes.mvit_v2(**SMALL_LARGE_MVIT, classes=classes),
            "model_state",
        )
        for data, classes in (("Kinetics400", 400), ("smthsmthv2", 174))
    },
    "UMT-B": (published_shapes.umt(768, 12), published_shapes.umt(32, 3), "model"),
    "UMT-L": (published_shapes.umt(1024, 24), published_shapes.umt(32, 3), "model"),
    "UMT-B-Kinetics400": (published_shapes.umt_tuned(768, 12), published_shapes.umt_tuned(32, 3), "module"),
    "UMT-L-Kinetics400": (published_shapes.umt_tuned(1024, 24), published_shapes.umt_tuned(32, 3), "module"),
    "InternVideo2-1B-Kinetics400": (
        published_shapes.internvideo2(1408, 40, 6144),
        published_shapes.internvideo2(64, 3, 96),
        "module",
    ),
    **{
        name: (published_shapes.videomamba(dim, depth), published_shapes.videomamba(16, 3), "model")
        for name, dim, depth in (
            ("VideoMamba-Ti", 192, 24),
            ("VideoMamba-S", 384, 24),
            ("VideoMamba-M", 576, 32),
            ("VideoMamba-M-masked", 576, 32),
        )
    },
    "VideoChat2-7B": (published_shapes.videochat2(1024, 23, 4096), published_shapes.videochat2(32, 3, 64), "model"),
}
JOINED = ("VideoChat-7B", "VideoChat-13B")


@cache
def full_size(name):
    with torch.device("meta"):
        return build(MODELS[name].argument)


def small(name):
    """The reduced network with seeded weights, as a Model."""
    entry, built = MODELS[name], build(MODELS[name].argument, reduced=True)
    reinitialise(built.module, 1)
    return replace(wrapped(entry, built, "cpu"), digest="0" * 64)


def test_every_entry_is_covered():
    assert set(NAMES) == {*PUBLISHED, *JOINED}
    assert all(entry.weights.url or entry.weights.how for entry in ENTRIES)
    assert all(entry.weights.licence for entry in ENTRIES)


@pytest.mark.parametrize("name", REDUCED)
def test_the_reduced_build_passes_the_checks(name):
    model = small(name)
    verify(model, "cpu")
    assert failed_checks(model) == []


@pytest.mark.parametrize("name", ["I3D-nonlocal", "UniFormer-V2-B", "MAE-ST-L", "VideoChat-7B"])
def test_the_reduced_build_passes_the_extraction_checks(name):
    assert failed_extraction_checks(small(name), "cpu") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["I3D-nonlocal", "UniFormer-V1", "UniFormer-V2-B", "InternVideo1-VideoMAE-B"])
def test_the_full_size_passes_the_checks(name):
    entry, built = MODELS[name], build(MODELS[name].argument)
    reinitialise(built.module, 1)
    assert failed_checks(replace(wrapped(entry, built, "cpu"), digest="0" * 64)) == []


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_the_catalogue_are_those_of_the_full_size(name):
    entry, built = MODELS[name], full_size(name)
    assert sum(p.numel() for p in built.module.parameters()) / 1e6 == pytest.approx(entry.millions, abs=0.06)
    assert len(built.layers) == entry.layers
    modules = dict(built.module.named_modules())
    assert set(built.layers) <= set(modules)


@pytest.mark.parametrize("name", [name for name in REDUCED if "MViT" not in name])
def test_shapes_of_the_full_size(name):
    entry, built = MODELS[name], full_size(name)
    frames = int(max(8, entry.frames[0]))
    clip = torch.empty((1, 3, frames, entry.preprocessing.size, entry.preprocessing.size), device="meta")
    read = built.process_output or (lambda _layer, output: output)
    for layer, calls in run(built.module.eval(), list(built.layers), clip, read).items():
        assert calls[-1].ndim == len(built.layers[layer]) + 1, layer
        if "H" in (axes := built.layers[layer]):
            sides = [calls[-1].shape[axes.index(side) + 1] for side in "HW"]
            assert sides[0] == sides[1] > 1, layer


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_names_and_shapes_fit_the_full_size(name):
    built = full_size(name)
    published = {name: torch.empty(shape, device="meta") for name, shape in PUBLISHED[name][0].items()}
    if name.startswith("I3D-R"):
        published = {key.removeprefix("module."): value for key, value in published.items()}
    renamed = {key: tuple(value.shape) for key, value in built.rename(published).items()}
    assert renamed == {key: tuple(value.shape) for key, value in built.module.state_dict().items()}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_generated_checkpoint_loads_strictly(name, tmp_path, monkeypatch):
    _, shapes, key = PUBLISHED[name]
    state = published_shapes.generated(shapes)
    entry = unsigned(name)
    save({key: state, "epoch": 3}, entry, tmp_path, monkeypatch)
    built = build(entry.argument, reduced=True)
    put_weights(entry, built)
    loaded = built.module.state_dict()
    values = {float(value.double().sum()) for value in state.values()}
    assert all(float(value.double().sum()) in values for value in loaded.values())
    assert torch.isfinite(built.module.eval()(torch.zeros(1, 3, frames_of(entry), *[size_of(entry)] * 2))).all()


@pytest.mark.parametrize("name", ["MAE-ST-L", "UniFormer-V1", "InternVideo1-VideoMAE-B"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(name, tmp_path, monkeypatch):
    _, shapes, key = PUBLISHED[name]
    state = published_shapes.generated(shapes)
    lost = next(part for part in state if "norm1.weight" in part and "decoder" not in part)
    del state[lost]
    entry = unsigned(name)
    save({key: state}, entry, tmp_path, monkeypatch)
    with pytest.raises(BadInput, match=r"1 missing \(.*norm1\.weight\)"):
        put_weights(entry, build(entry.argument, reduced=True))


def test_a_wrong_file_under_the_name_is_found_by_its_digest(tmp_path, monkeypatch):
    entry = MODELS["UniFormer-V1"]
    save({"state_dict": {}}, entry, tmp_path, monkeypatch)
    with pytest.raises(BadInput, match="SHA-256"):
        put_weights(entry, build(entry.argument, reduced=True))


def test_weights_without_address_are_reported_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, word in (
        ("VideoMAE-V2-G", "Hugging Face"),
        ("VideoChat-13B", "models convert VideoChat-13B eva_vit_g.pth videochat_13b_stage1.pth`"),
    ):
        with pytest.raises(BadInput, match=word):
            put_weights(MODELS[name], build(MODELS[name].argument, reduced=True))


def test_videochat_is_joined_from_its_two_files(tmp_path, monkeypatch):
    eva = published_shapes.merged(
        published_shapes.eva_vit_g(**SMALL_EVA),
        published_shapes.blocks(1, {"gone.weight": (3,)}, "head"),
        published_shapes.affine("norm", 32),
        {"blocks.39.norm1.weight": (32,)},
    )
    image, chat = (
        published_shapes.generated(eva),
        published_shapes.generated(published_shapes.videochat_stage1(32, 64, 2), seed=1),
    )
    torch.save(image, tmp_path / "eva_vit_g.pth")
    torch.save({"model": chat, "epoch": 1}, tmp_path / "videochat_7b_stage1.pth")
    entry = MODELS["VideoChat-7B"]
    home = tmp_path / "home" / "hub" / "checkpoints"
    home.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    videochat.join(tmp_path / "eva_vit_g.pth", tmp_path / "videochat_7b_stage1.pth", home / entry.weights.file)
    built = build(entry.argument, reduced=True)
    put_weights(entry, built)
    loaded = built.module.state_dict()
    assert torch.equal(loaded["visual_encoder.blocks.3.attn.q_bias"], image["blocks.3.attn.q_bias"])
    assert torch.equal(loaded["visual_encoder.patch_embed.proj.weight"][:, :, 0], image["patch_embed.proj.weight"])
    gathered = "visual_encoder.gmhra.1.attn.in_proj_weight"
    assert torch.equal(loaded[gathered], chat[gathered])


def test_the_wrong_files_are_not_joined(tmp_path):
    right, wrong = tmp_path / "eva_vit_g.pth", tmp_path / "other.pth"
    torch.save(published_shapes.generated(published_shapes.eva_vit_g(**SMALL_EVA)), right)
    torch.save({"a": torch.zeros(1)}, wrong)
    with pytest.raises(BadInput, match="expected BLIP-2's"):
        videochat.join(wrong, wrong, tmp_path / "out.pth")
    with pytest.raises(BadInput, match="expected VideoChat's stage 1"):
        videochat.join(right, wrong, tmp_path / "out.pth")


def test_published_names_fit_videochat_at_full_size():
    eva = published_shapes.below("visual_encoder.", published_shapes.eva_vit_g(**EVA))
    eva["visual_encoder.patch_embed.proj.weight"] = (1408, 3, 1, 14, 14)
    trained = published_shapes.videochat_stage1(1408, 6144, 8)
    shapes = {**eva, **{name: shape for name, shape in trained.items() if "gmhra" in name}}
    state = full_size("VideoChat-7B").module.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes


def first_layer(name):
    """The first layer behind the patches that is read as a grid."""
    layers = small(name).layers
    return next(layer for layer, axes in layers.items() if "H" in axes and ("block" in layer or "layer" in layer))


@pytest.mark.parametrize("name", REDUCED)
def test_a_change_in_one_corner_is_at_that_corner_of_the_output(name):
    model, layer = small(name), first_layer(name)
    frames = int(max(8, model.num_frames[0]))
    clip = clips(model, 1, frames, "cpu")
    changed = clip.clone()
    height, width = clip.shape[-2:]
    changed[:, :, -frames // 4 :, : height // 8, -width // 8 :] += 3.0
    read = model.process_output or (lambda _layer, output: output)
    before, after = (run(model.module, [layer], batch, read)[layer][-1][0] for batch in (clip, changed))
    axes = model.layers[layer]
    size = (after - before).abs().movedim([axes.index(letter) for letter in "THWC"], [0, 1, 2, 3]).sum(-1)
    step, row, column = (int(i) for i in torch.unravel_index(size.argmax(), size.shape))
    assert step >= 0.5 * size.shape[0]
    assert row <= 0.2 * size.shape[1]
    assert column >= 0.8 * (size.shape[2] - 1)


def unsigned(name):
    """The entry without the digest of the published file."""
    return replace(MODELS[name], weights=replace(MODELS[name].weights, sha256=""))


def save(content, entry, folder, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder))
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(content, folder / "hub" / "checkpoints" / entry.weights.file)


def frames_of(entry):
    return int(max(8, entry.frames[0]))


def size_of(entry):
    return entry.preprocessing.size if "I3D" not in entry.name else 64
