"""Networks as users bring them, of a few weights, on the means of a grid of 2 x 2 cells."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from src.models.sources.file import as_model


def wrapped(module: nn.Module, **options):
    """The Model that is made of a user's network."""
    return as_model("own", module, "cpu", **options)


class Means(nn.Module):
    """The base of all networks here: means of the cells, 12 numbers per image, and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.means = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(12, 6)

    def forward(self, images):
        return self.rest(self.means(images))

    def rest(self, x):
        return self.fc(x)


class Returns(nn.Module):
    """A module that returns a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@dataclass
class Output:
    """An output with names, as those of transformers."""

    logits: torch.Tensor
    hidden: tuple


class Odd(Means):
    """A module for each type of output."""

    outputs: ClassVar = {
        "fourier": torch.fft.fft,
        "code": lambda x: (10 * x).round().long(),
        "sign": lambda x: x > 0,
        "empty": lambda x: x[:, :0],
        "none": lambda x: None,
        "text": lambda x: "text",
        "scalar": lambda x: x.mean(),
        "named": lambda x: {"mask": torch.ones(len(x), 3), "h": 2 * x},
        "pair": lambda x: (None, 3 * x),
        "nested": lambda x: ((4 * x, x), [x]),
        "record": lambda x: Output(5 * x, (6 * x, 7 * x)),
    }

    def __init__(self):
        super().__init__()
        for name, function in self.outputs.items():
            self.add_module(name, Returns(function))
        self.unused = nn.Linear(12, 12)

    def rest(self, x):
        for name in self.outputs:
            getattr(self, name)(x)
        return self.fc(x)


class Shared(Means):
    """One activation that is called three times, at two sizes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 12), nn.Linear(12, 5)
        self.act = nn.ReLU()
        self.fc = nn.Linear(5, 6)

    def rest(self, x):
        return self.act(self.fc(self.act(self.b(self.act(self.a(x))))))


class InPlace(Means):
    """Operations that overwrite the output of the layer before: a module, a function and a masked assignment."""

    def __init__(self, in_place: bool):
        super().__init__()
        self.in_place = in_place
        self.a, self.b, self.c = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.act = nn.ReLU(inplace=in_place)

    def rest(self, x):
        x = self.b(self.act(self.a(x)))
        if not self.in_place:
            return self.fc(torch.where(self.c(x - 1) > 0, 0.0, self.c(x - 1)))
        x = self.c(x.sub_(1))
        x[x > 0] = 0
        return self.fc(x)


class Steps(nn.Module):
    """A recurrent cell that is called once per frame of a clip."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.read = nn.RNNCell(3, 4), nn.Linear(4, 2)

    def forward(self, clips):
        if clips.ndim != 5:
            raise ValueError("clips, please")
        state = None
        for frame in clips.mean(dim=(3, 4)).unbind(2):
            state = self.cell(frame, state)
        return self.read(state)


class Dropout(Means):
    """Functional dropout without `training=self.training`."""

    def rest(self, x):
        return self.fc(functional.dropout(x, 0.3))


class Memory(Means):
    """A running mean of the inputs of all passes."""

    state = None

    def rest(self, x):
        self.state = x.mean(0) if self.state is None else (self.state + x.mean(0)) / 2
        return self.fc(x + self.state)


class Norm(Means):
    """Normalisation over the batch."""

    def rest(self, x):
        return self.fc(x - x.mean(dim=0))


class Order(Means):
    """Each sample is added to the sum of those before it in the batch."""

    def rest(self, x):
        return self.fc(x.cumsum(dim=0))
