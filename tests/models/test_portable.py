"""Layer statistics of seeded frames are the same on every machine, to 0.1 %."""

import pytest
import torch

from src.models import load
from src.models.inspect.outputs import run
from src.models.inspect.probe import clips, frame_counts
from tests.models.networks import reduced

# {network: {layer: (mean, standard deviation) of its output for seeded noise}}
EXPECTED = {
    "fake-net": {"colour": (-0.000637526, 0.0203318), "conjunction": (3.97246e-05, 0.000406539)},
    "Random-fake-image-net": {"conv1": (0.0938231, 0.1369), "readout": (0.0383568, 0.111613)},
    "motion-energy": {"motion-energy": (5.40057, 1.45642)},
    "VideoSwin-B": {"features.4.0": (0.0368407, 0.620651), "head": (0.0156858, 0.379294)},
    "Hiera-Video-B": {"blocks.2": (0.399254, 0.657687), "head": (-0.030344, 0.578959)},
    "CORnet-S": {"V1": (0.409037, 0.658338), "decoder.avgpool": (27.9553, 30.1916)},
}


def statistics(model) -> dict[str, tuple[float, float]]:
    batch = clips(model, 1, frame_counts(model)[0], "cpu")
    read = model.process_output or (lambda _layer, output: output)
    outputs = run(model.module, list(model.layers), batch, read)
    return {layer: (float(calls[-1].mean()), float(calls[-1].std())) for layer, calls in outputs.items()}


def network(name: str):
    torch.set_num_threads(1)
    return (
        load(name)
        if name.startswith(("fake", "Random", "motion"))
        else reduced.model(name, 64 if name == "VideoSwin-B" else 0)
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_layer_statistics_are_the_same_on_every_machine(name):
    seen = statistics(network(name))
    for layer, expected in EXPECTED[name].items():
        assert seen[layer] == pytest.approx(expected, rel=0, abs=1e-3 * sum(map(abs, expected))), layer
