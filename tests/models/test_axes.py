"""Detection of axes for every order that an output may have, on networks of a few weights."""

import pytest
import torch
from torch import nn

from src.models.inspect.axes import InputAxes, OutputAxes, arrange, batch_first, detect, mismatches, reader
from src.models.inspect.outputs import blocks, first_tensor, run

CLIP = InputAxes(T=2, H=3, W=4)
IMAGE = InputAxes(T=None, H=2, W=3)
SIZE, FRAMES = 32, (6, 12)


def clips(samples: int, frames: int) -> torch.Tensor:
    return torch.randn(samples, 3, frames, SIZE, SIZE, generator=torch.Generator().manual_seed(samples + frames))


def images(samples: int, _frames: int) -> torch.Tensor:
    return torch.randn(samples, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(samples))


def found(module: nn.Module, layers: list[str], probe=clips, where=CLIP, frames=FRAMES) -> dict[str, OutputAxes]:
    axes, refused = detect(module.eval(), layers, probe, where, frames)
    assert not refused
    return axes


class Frames(nn.Module):
    """A 2-D convolution applied to frames folded into the batch, sample by sample or frame by frame."""

    def __init__(self, time_first: bool = False):
        super().__init__()
        self.time_first = time_first
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.back = nn.Identity()

    def forward(self, x):
        frames = x.transpose(1, 2)
        if self.time_first:
            frames = frames.transpose(0, 1)
        folded = self.conv(frames.flatten(0, 1))
        whole = folded.unflatten(0, frames.shape[:2])
        return self.back(whole.transpose(0, 1) if self.time_first else whole)


class Tokens(nn.Module):
    """Patches of 8 pixels as tokens, with or without a class token, for one input size or for all."""

    def __init__(self, class_token: bool, fixed: bool):
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, stride=8)
        self.class_token = nn.Parameter(torch.randn(1, 1, 24)) if class_token else None
        self.place = nn.Parameter(0.1 * torch.randn(1, (SIZE // 8) ** 2 + class_token, 24)) if fixed else None
        self.block = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True)
        self.head = nn.Linear(24, 7)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        if self.place is not None:
            tokens = tokens + self.place
        return self.head(self.block(tokens).mean(dim=1))


class Recurrent(nn.Module):
    """A recurrent layer with time first and the batch second, as torch has it by default."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 9)
        self.last = nn.Linear(9, 4)

    def forward(self, x):
        states, _ = self.rnn(x.mean(dim=(3, 4)).permute(2, 0, 1))
        return self.last(states[-1])


class FixedLength(nn.Module):
    """Takes exactly six frames."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3, padding=1)
        self.shifted = nn.Identity()

    def forward(self, x):
        if x.shape[2] != FRAMES[0]:
            raise RuntimeError("six frames only")
        return self.shifted(self.conv(x).permute(0, 2, 3, 4, 1))


def test_channels_then_time_then_space():
    network = nn.Sequential(nn.Conv3d(3, 4, 3, stride=(2, 2, 2), padding=1), nn.ReLU())
    assert found(network, ["0", "1"]) == {"0": OutputAxes("CTHW"), "1": OutputAxes("CTHW")}
    assert batch_first(found(network, ["0"]))


def test_time_then_channels_and_frames_folded_into_the_batch():
    axes = found(Frames(), ["conv", "back"])
    assert axes == {"conv": OutputAxes("TCHW", 0, "inner"), "back": OutputAxes("TCHW")}
    assert not batch_first(axes)


def test_batch_folded_into_the_frames():
    assert found(Frames(time_first=True), ["conv", "back"]) == {
        "conv": OutputAxes("TCHW", 0, "batch"),
        "back": OutputAxes("TCHW"),
    }


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_tokens_at_any_and_at_one_input_size(class_token, fixed):
    torch.manual_seed(0)
    axes = found(Tokens(class_token, fixed), ["patches", "block", "head"], images, IMAGE, (1,))
    assert {layer: output.axes for layer, output in axes.items()} == {"patches": "CHW", "block": "KC", "head": "C"}


def test_batch_second():
    assert found(Recurrent(), ["rnn", "last"]) == {"rnn": OutputAxes("TC", 1), "last": OutputAxes("C")}


def test_channels_only():
    network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 4))
    assert {k: v.axes for k, v in found(network, ["0", "1", "2"]).items()} == {"0": "CCCC", "1": "C", "2": "C"}


def test_time_is_found_by_content_where_the_number_of_frames_is_fixed():
    torch.manual_seed(0)
    axes = found(FixedLength(), ["conv", "shifted"])
    assert {layer: output.axes for layer, output in axes.items()} == {"conv": "CTHW", "shifted": "THWC"}


def test_unreadable_outputs_are_reported_with_the_shape():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.pooled, self.pairs, self.unused = nn.Identity(), nn.Identity(), nn.Identity()

        def forward(self, x):
            series = x.mean(dim=(3, 4))
            self.pairs(series.transpose(1, 2) @ series)
            return self.pooled(series.mean(dim=0))

    axes, refused = detect(Odd(), ["pooled", "pairs", "unused"], clips, CLIP, FRAMES)
    assert not axes
    assert "(3, 6)" in refused["pooled"]
    assert "one batch axis expected" in refused["pooled"]
    assert "two axes of time" in refused["pairs"]
    assert "no tensor" in refused["unused"]


@pytest.mark.parametrize(("module", "layer"), [(Frames(), "conv"), (Frames(True), "conv"), (Recurrent(), "rnn")])
def test_arranged_output_of_a_batch_is_that_of_each_sample(module, layer):
    axes = found(module, [layer])
    read = reader(module, axes)
    batch = clips(3, 6)
    with torch.no_grad():
        together = run(module, [layer], batch, read)[layer][-1]
        alone = [run(module, [layer], batch[i : i + 1], read)[layer][-1] for i in range(3)]
    assert together.shape[0] == 3
    assert together.ndim == len(axes[layer].axes) + 1
    torch.testing.assert_close(together, torch.cat(alone))


def test_arranging_only_moves_values():
    x = torch.arange(2 * 3 * 4).reshape(6, 4)
    inner, outer = arrange(x, OutputAxes("TC", 0, "inner"), 2), arrange(x, OutputAxes("TC", 0, "batch"), 2)
    assert inner.shape == outer.shape == (2, 3, 4)
    assert torch.equal(inner[1, 0], x[3])
    assert torch.equal(outer[1, 0], x[1])


def test_first_tensor_of_what_blocks_return():
    one, two = torch.zeros(1), torch.ones(1)
    assert first_tensor((one, two)) is one
    assert first_tensor([None, two]) is two
    assert first_tensor(((None, two), [one])) is two
    assert first_tensor({"hidden": two, "more": one}) is None
    assert first_tensor("text") is None


@pytest.mark.parametrize(
    ("axes", "fewer", "more"),
    [
        ("CTHW", (2, 8, 4, 7, 7), (1, 8, 8, 7, 7)),
        ("CTHW", (2, 8, 1, 1, 1), (1, 8, 1, 1, 1)),
        ("KC", (2, 40, 8), (1, 80, 8)),
        ("THWC", (2, 2, 7, 7, 96), None),
        ("C", (2, 10), (1, 10)),
    ],
)
def test_declared_axes_that_fit(axes, fewer, more):
    assert mismatches({"a": axes}, {"a": fewer}, {"a": more} if more else None, 2, 4) == []


@pytest.mark.parametrize(
    ("axes", "fewer", "more"),
    [
        ("CTHW", (2, 4, 8, 7, 7), (1, 8, 8, 7, 7)),
        ("CTHW", (2, 8, 4, 49), (1, 8, 8, 49)),
        ("CTHW", (2, 2, 96, 7, 7), None),
        ("CHW", (4, 8, 7, 7), (8, 8, 7, 7)),
        ("TKC", (2, 4, 40, 8), (1, 4, 80, 8)),
        ("C", (), ()),
    ],
)
def test_declared_axes_that_do_not_fit(axes, fewer, more):
    (line,) = mismatches({"a.b": axes}, {"a.b": fewer}, {"a.b": more} if more is not None else None, 2, 4)
    assert "layer a.b" in line
    assert axes in line
    assert str(fewer) in line


def test_default_layers_of_a_network():
    block = [nn.TransformerEncoderLayer(8, 2) for _ in range(2)]
    encoder = nn.TransformerEncoder(block[0], 2, enable_nested_tensor=False)
    network = nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.Dropout()), encoder, nn.Identity(), nn.Linear(8, 2))
    assert blocks(network) == ["0.0", "1.layers.0", "1.layers.1", "3"]
    wrapper = nn.Module()
    wrapper.net = network
    assert blocks(wrapper) == ["net.0.0", "net.1.layers.0", "net.1.layers.1", "net.3"]
    assert blocks(nn.Sequential(nn.Linear(2, 2))) == ["0"]
