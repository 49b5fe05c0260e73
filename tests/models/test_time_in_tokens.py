"""Time in the tokens of video transformers: found in tiny checkpoints by `hf:` and by a file, or stated by a user."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

import transformers

import src as dv
from src import models
from src.models.inspect.outputs import run
from src.models.inspect.probe import clips
from src.models.inspect.steps import Split, best_split, declared, parsed
from src.models.sources.file import as_model
from src.models.spec import notes_of
from src.pipeline.flags import parse
from src.utils import BadInput

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
PART = {**SMALL, "intermediate_size": 64}
JEPA = {**SMALL, "crop_size": 32, "pred_hidden_size": 48, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 3}
# {family: (class, configuration, fps, frames, frames per step, a layer, its axes)}
FAMILIES = {
    "videomae": ("VideoMAEModel", {**PART, "image_size": 32}, 6.25, (16, 16), 2, "encoder.layer.1", "TKC"),
    "videomae, a classifier": (
        "VideoMAEForVideoClassification",
        {**PART, "image_size": 32, "num_frames": 8},
        6.25,
        (8, 8),
        2,
        "encoder.layer.1",
        "TKC",
    ),
    "vivit": ("VivitModel", {**PART, "image_size": 32, "num_frames": 8}, 12.5, (8, 8), 2, "layers.1", "TKC"),
    "timesformer": ("TimesformerModel", {**PART, "image_size": 32}, 0.9375, (8, 8), 1, "encoder.layer.1", "KTC"),
    "timesformer, 16 frames": (
        "TimesformerModel",
        {**PART, "image_size": 32, "num_frames": 16},
        1.875,
        (16, 16),
        1,
        "encoder.layer.1",
        "KTC",
    ),
    "vjepa2": ("VJEPA2Model", {**JEPA, "frames_per_clip": 16}, 4.0, (2, 16), 2, "layer.1", "TKC"),
    "vjepa2, 64 frames": ("VJEPA2Model", {**JEPA, "frames_per_clip": 64}, 4.0, (2, 64), 2, "layer.1", "TKC"),
    "videoprism": (
        "VideoPrismVisionModel",
        {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 96, "image_size": 36, "num_frames": 8}
        | {"num_spatial_layers": 1, "num_temporal_layers": 1},
        8.0,
        (8, 8),
        1,
        "temporal_layers.0",
        "KTC",
    ),
}
NET = "import transformers\n\n\ndef net():\n    return transformers.{}.from_pretrained({!r})\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a family's checkpoint, written once."""
    root, folders = tmp_path_factory.mktemp("checkpoints"), {}

    def folder(family: str) -> Path:
        if family not in folders:
            name, facts, *_ = FAMILIES[family]
            cls = getattr(transformers, name)
            torch.manual_seed(0)
            folders[family] = root / str(len(folders))
            cls(cls.config_class(**facts)).save_pretrained(str(folders[family]))
        return folders[family]

    return folder


def first(_layer, output):
    return output


def steps_of_frames(model, layer: str, frames) -> list[int]:
    """The step of a layer that a change of each frame changes most."""
    clip = clips(model, 1, int(model.num_frames[1]), "cpu")
    axis = model.layers[layer].index("T") + 1
    base = run(model.module, [layer], clip, model.process_output)[layer][-1]
    found = []
    for frame in frames:
        changed = clip.clone()
        changed[:, frame] = -2 * changed[:, frame]
        change = run(model.module, [layer], changed, model.process_output)[layer][-1] - base
        found.append(int(change.abs().sum(dim=[i for i in range(change.ndim) if i != axis]).argmax()))
    return found


def assert_placed(model, fps, frames, per_step, layer, axes):
    assert (model.kind, model.fps, model.num_frames) == ("video", fps, frames)
    name = next(name for name in model.layers if name.endswith(layer))
    assert model.layers[name] == axes
    assert all("T" in axes for name, axes in model.layers.items() if "K" in axes)
    probed = [0, 3, int(frames[1]) // 2, int(frames[1]) - 1]
    assert steps_of_frames(model, name, probed) == [frame // per_step for frame in probed]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_checkpoint_has_its_steps_frames_and_rate(family, saved):
    _, _, *expected = FAMILIES[family]
    assert_placed(models.load(f"hf:{saved(family)}"), *expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_checkpoint_in_a_users_file_has_them_too(family, saved, tmp_path):
    name, _, *expected = FAMILIES[family]
    (tmp_path / "mine.py").write_text(NET.format(name, str(saved(family))))
    assert_placed(models.load(f"{tmp_path / 'mine.py'}:net"), *expected)


def test_frames_of_x_clip_are_steps_and_its_vision_class_is_found(tmp_path):
    facts = {**PART, "image_size": 32, "patch_size": 16, "num_frames": 4}
    facts |= {f"mit_{key}": value for key, value in PART.items()} | {"mit_num_hidden_layers": 1}
    config = transformers.XCLIPConfig(vision_config=facts, text_config={**PART, "vocab_size": 50})
    network = transformers.XCLIPModel(config).eval()
    network.save_pretrained(str(tmp_path))
    model = models.load(f"hf:{tmp_path}")
    theirs = network.vision_model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.module.state_dict().items())
    assert_placed(model, 0.4, (4, 4), 1, "encoder.layers.1", "TKC")


def test_a_vision_part_without_a_class_is_refused_in_one_line(tmp_path, monkeypatch):
    facts = {**PART, "image_size": 32, "num_frames": 4}
    config = transformers.XCLIPConfig(vision_config=facts, text_config={**PART, "vocab_size": 50})
    transformers.XCLIPModel(config).save_pretrained(str(tmp_path))
    monkeypatch.setattr(sys.modules["transformers"], "XCLIPVisionModel", None)
    with pytest.raises(BadInput, match=r"has no XCLIPVisionModel for its XCLIPVisionConfig; load it by a function"):
        models.load(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("video_preprocessor_config.json", {"fps": 5, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}),
        ("processor_config.json", {"video_processor": {"fps": 5, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}}),
        (
            "preprocessor_config.json",
            {"fps": 5, "offset": True, "rescale_factor": 1 / 127.5, "image_mean": [0.0] * 3, "image_std": [0.5] * 3},
        ),
    ],
)
def test_the_processor_states_rate_and_normalisation(saved, tmp_path, file, content):
    for path in saved("videomae").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_text(json.dumps(content))
    model = models.load(f"hf:{tmp_path}")
    assert model.fps == 5
    assert model.preprocess(np.full((16, 40, 40, 3), 255, np.uint8)).unique() == pytest.approx(2)
    assert model.preprocess(np.zeros((16, 40, 40, 3), np.uint8)).unique() == pytest.approx(-2)


def test_a_rate_that_no_file_states_is_said_and_can_be_chosen(saved):
    name = f"hf:{saved('videoprism')}"
    (note,) = models.load(name).notes
    assert "state no frame rate: 8 per second" in note
    chosen = models.load(name, fps=2)
    assert (chosen.fps, chosen.notes) == (2.0, ())


class Tokens(nn.Module):
    """Sixteen frames of 32 px as tokens of two frames and 16 px, in one of two orders, with mixing blocks."""

    def __init__(self, time_first=True, class_tokens=1, pooled=False):
        super().__init__()
        torch.manual_seed(0)
        self.time_first, self.pooled = time_first, pooled
        self.patches = nn.Conv3d(3, 24, (2, 16, 16), (2, 16, 16))
        self.first = nn.Parameter(torch.randn(1, class_tokens, 24))
        self.place = nn.Parameter(torch.randn(1, 32 + class_tokens, 24))
        self.blocks = nn.ModuleList(
            [nn.TransformerEncoderLayer(24, 3, 48, dropout=0.0, batch_first=True) for _ in range(4)]
        )
        self.head = nn.Linear(24, 5)

    def forward(self, clips):
        if clips.shape[2] != 16:
            raise ValueError("16 frames only")
        patches = self.patches(clips)
        if self.pooled:
            patches = patches.mean(dim=2, keepdim=True).expand_as(patches)
        tokens = (patches if self.time_first else patches.permute(0, 1, 3, 4, 2)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], dim=1) + self.place
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(dim=1))


@pytest.mark.parametrize("class_tokens", [0, 1, 5])
@pytest.mark.parametrize("time_first", [True, False])
def test_an_own_network_of_tokens_has_its_steps(time_first, class_tokens):
    model = as_model("own", Tokens(time_first, class_tokens), "cpu", input_size=(32, 32))
    assert model.num_frames == (16, 16)
    assert list(model.layers.values()) == ["CTHW", *["TKC" if time_first else "KTC"] * 4, "C"]
    assert notes_of(model) == []
    clip = clips(model, 1, 16, "cpu")
    for layer in ("blocks.0", "blocks.3"):
        tokens = run(model.module, [layer], clip, first)[layer][-1][:, class_tokens:]
        shape = (8, 4) if time_first else (4, 8)
        read = run(model.module, [layer], clip, model.process_output)[layer][-1]
        assert torch.equal(read, tokens.unflatten(1, shape))


def test_tokens_without_time_are_said_and_can_be_stated():
    model = as_model("own", Tokens(pooled=True), "cpu", input_size=(32, 32))
    assert model.layers["blocks.2"] == "KC"
    (note,) = notes_of(model)
    assert note.startswith("no axis of time found in blocks.0, blocks.1")
    assert "--layer-axes 'blocks.0=(T8K)C'" in note


def test_stated_axes_replace_those_of_every_layer_of_a_pattern(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from tests.models.test_time_in_tokens import Tokens\n\n\ndef net():\n    return Tokens(pooled=True)\n"
    )
    name, axes = f"{tmp_path / 'mine.py'}:net", {"blocks.*": "(1+T8K)C"}
    chosen = {"layers": ["blocks.1", "blocks.2"], "input_size": (32, 32)}
    plain = models.load(name, **chosen)
    stated = models.load(name, **chosen, layer_axes=axes)
    assert dict(stated.layers) == {"blocks.1": "TKC", "blocks.2": "TKC"}
    assert notes_of(stated) == []
    assert stated.digest != plain.digest
    other = models.load(name, **chosen, layer_axes={"blocks.*": "(1+KT8)C"})
    assert len({stated.digest, other.digest, plain.digest}) == 3
    film = np.random.default_rng(0).integers(0, 256, (16, 40, 40, 3), dtype=np.uint8)
    clip = stated.preprocess(film)[None]
    tokens = run(plain.module, ["blocks.1"], clip, first)["blocks.1"][-1][:, 1:]
    assert torch.equal(
        run(stated.module, ["blocks.1"], clip, stated.process_output)["blocks.1"][-1], tokens.unflatten(1, (8, 4))
    )


@pytest.mark.parametrize("axes", ["(T7K)C", "KCC", "(T8K)(T8K)", "(1+T8)C", "QC", ""])
def test_stated_axes_that_do_not_fit_are_refused(axes):
    from src.models.inspect.choose import with_axes

    model = as_model("own", Tokens(), "cpu", input_size=(32, 32))
    plain = {**model.layers, "blocks.1": "KC"}
    with pytest.raises(BadInput, match=r"layer blocks.1: axes '.*' for an output of .*\(KC\); expected a letter"):
        with_axes(dv.Model(**{**vars(model), "layers": plain, "process_output": None}), {"blocks.1": axes}, "cpu")


def test_text_of_stated_axes():
    assert parsed("(T8K)C") == ("TKC", Split(0, 0, 8, "TK"))
    assert parsed("C(1+KT16)") == ("CKT", Split(1, 1, 16, "KT"))
    assert declared((9, 3), "(1+T8)C") == ("TC", Split(0, 1, 1, "T"))
    assert declared((33, 3), "(1+T8K)C") == ("TKC", Split(0, 1, 4, "TK"))
    assert declared((33, 3), "KC") == ("KC", None)


@pytest.mark.parametrize("size", [8, 24, 96, 97])
def test_noise_has_no_steps(size):
    rng = torch.Generator().manual_seed(size)
    frames = list(range(8))
    found = [
        best_split([torch.rand((2, size), generator=rng) for _ in frames], 0, frames, 8, contrast=1.0)
        for _ in range(50)
    ]
    assert sum(split is not None for split in found) <= 1


@pytest.mark.parametrize(("skip", "steps", "rest", "letters"), [(0, 8, 6, "TK"), (1, 4, 9, "KT"), (0, 2, 3, "TK")])
def test_planted_steps_are_recovered_under_noise(skip, steps, rest, letters):
    rng, frames = torch.Generator().manual_seed(0), list(range(8))
    planted = Split(0, skip, rest, letters)
    of_token = planted.steps(skip + steps * rest)
    profiles = [
        1.0 * (of_token == frame * steps // 8) + 0.5 * torch.rand((2, len(of_token)), generator=rng) for frame in frames
    ]
    assert best_split(profiles, 0, frames, 8) == planted


def test_axes_are_an_option_of_the_commands(capsys):
    request = parse("task", ["--model", "pixels", "--layer-axes", "blocks.*=(1+T8K)C", "head=C"]).request
    assert request.of_model["layer_axes"] == {"blocks.*": "(1+T8K)C", "head": "C"}
    with pytest.raises(SystemExit):
        parse("task", ["--model", "pixels", "--layer-axes", "KC"])
    assert "KC; expected LAYER=AXES" in capsys.readouterr().err
