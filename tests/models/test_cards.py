"""Every model is fed as its card says, or says why not; the card of torchvision's networks is torchvision's."""

import numpy as np
import pytest
import torch
from torchvision import models as zoo
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, normalize, resize

from src import models
from src.cli import run_command
from src.models.catalogue import MODELS
from src.models.catalogue.cards import CARDS
from src.models.preprocessing import preprocessor
from src.utils import BadInput

ENTRIES = list(MODELS.values())
FED = [entry for entry in ENTRIES if entry.preprocessing is not None and CARDS[entry.name].size is not None]
TORCHVISION = {"vgg_16": "vgg16", "resnet_50_v1": "resnet50"}
WITHOUT_TRAINING = {
    "pixels",
    "motion-energy",
    "low-level",
    "autocorrelation",
    "fake-net",
    "fake-image-net",
    "hmax",
    "MotionNet",
}


def named(entry):
    return entry.name


def test_every_model_has_a_card_with_its_source():
    assert list(CARDS.keys() - MODELS.keys()) == []
    assert list(MODELS.keys() - CARDS.keys()) == []
    assert all(card.source for card in CARDS.values())
    assert {name for name, card in CARDS.items() if card.size is None} == WITHOUT_TRAINING


def test_no_licence_refers_to_another_place():
    licences = {entry.weights.licence for entry in ENTRIES if entry.weights}
    assert not [licence for licence in licences if not licence or licence.startswith("see ")]


@pytest.mark.parametrize("entry", FED, ids=named)
def test_size_interpolation_and_normalisation_are_those_of_the_card(entry):
    card, given = CARDS[entry.name], entry.preprocessing
    assert (given.size, given.resize, given.interpolation) == (card.size, card.resize, card.interpolation)
    assert (given.mean, given.std) == card.scaling


@pytest.mark.parametrize("entry", [e for e in ENTRIES if CARDS[e.name].frames], ids=named)
def test_frames_and_rate_are_those_of_the_card_or_the_reason_is_given(entry):
    card = CARDS[entry.name]
    assert card.fps == entry.fps or "fps" in card.differs
    assert entry.frames == (card.frames, card.frames) or "frames" in card.differs
    assert card.fps != entry.fps or "fps" not in card.differs
    assert entry.frames[0] <= card.frames <= entry.frames[1]


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.source in ("torchvision", "brainscore")], ids=named)
def test_cards_of_torchvision_are_torchvisions_facts(entry):
    card = CARDS[entry.name]
    facts = next(iter(zoo.get_model_weights(TORCHVISION.get(entry.name, entry.name)))).transforms()

    def shape(size):
        sides = [size] if isinstance(size, int) else list(size)
        return sides * 2 if len(sides) == 1 else sides

    assert shape(facts.crop_size) == shape(card.size)
    assert list(facts.resize_size) == ([card.resize] if isinstance(card.resize, int) else list(card.resize))
    assert facts.interpolation.value == card.interpolation
    assert (tuple(facts.mean), tuple(facts.std)) == card.scaling


@pytest.mark.parametrize("name", ["VideoMAE-V2-G", "GDT-HowTo100M", "TimeSformer", "MAE-ST-L", "V-JEPA-L", "DINOv3-B"])
def test_the_input_is_made_as_the_card_says(name):
    card, given = CARDS[name], MODELS[name].preprocessing
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8).repeat(6, 1).repeat(6, 2)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    short = card.resize or [card.size, card.size]
    pixels = resize(pixels, short, InterpolationMode(card.interpolation), antialias=True).clamp(0, 255)
    expected = normalize(center_crop(pixels, [card.size] * 2) / 255, *card.scaling)
    made = preprocessor(given)(frames)
    made = made.transpose(0, 1) if given.axes == "CTHW" else made
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("GDT-HowTo100M", (112, 112, 16.0)),
        ("GDT-Kinetics400", (112, 128, 30.0)),
        ("SeLaVi-AVE", (112, 128, 30.0)),
        ("TimeSformer", (224, 224, 0.9375)),
        ("V-JEPA-L", (224, 256, 6.25)),
        ("MAE-ST-L", (224, 256, 7.5)),
        ("SlowFast", (256, 256, 15.0)),
        ("X3D", (256, 256, 6.0)),
    ],
)
def test_the_plugins_input_is_a_variant(name, facts):
    entry = models.resolve(name)
    assert (entry.preprocessing.size, entry.preprocessing.resize, entry.fps) == facts
    if entry.plugin is None:
        with pytest.raises(BadInput, match="no input of a Brain-Score plugin is known"):
            models.resolve(f"BrainScore-{name}")
        return
    variant = models.resolve(f"BrainScore-{name}")
    assert (variant.preprocessing, variant.fps) == (entry.plugin.preprocessing, entry.plugin.fps)
    assert variant.module.ready(variant.argument) == entry.module.ready(entry.argument)
    assert models.source_files(variant.name) == models.source_files(entry.name)


def test_the_variant_has_the_same_network_and_another_input():
    pytest.importorskip("pytorchvideo")
    ours, plugin = models.load("Random-X3D", limit=2), models.load("Random-BrainScore-X3D", limit=2)
    assert (ours.fps, plugin.fps) == (6.0, 30.0)
    assert all(torch.equal(a, b) for a, b in zip(ours.module.parameters(), plugin.module.parameters(), strict=True))
    assert ours.digest != plugin.digest


@pytest.mark.parametrize("name", ["TimeSformer", "Random-VideoMAE-V2-B", "pixels", "r3d_18"])
def test_show_prints_the_card(name, capsys):
    assert run_command("models", ["show", name]) == 0
    text = capsys.readouterr().out
    card = CARDS[models.ALIASES.get(name.removeprefix("Random-"), name)]
    assert f"published: fed as in: {card.source}" in text
    assert ("input: size: 224 px, the centre of a frame with a short side of 224 px" in text) == (card.size == 224)
    if card.fps:
        assert f"published: frames per second: {card.fps:.4g}" in text
    assert not [line for line in text.splitlines() if line.rstrip().endswith(":")]
