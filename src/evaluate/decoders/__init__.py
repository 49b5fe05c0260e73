"""Decoders: regression and classification from features to targets, standardised on the training rows only.

A decoder is a class with `fit(X, y, sample_weight=None)` and `predict(X)` (see `Decoder`), and an entry of `DECODERS`.
A row of weight 3 counts as three equal rows. Columns that are constant in training contribute nothing.

Examples
--------
>>> sorted(DECODERS)
['banded', 'logistic', 'pls', 'ridge', 'stacked']
"""

from collections.abc import Mapping

from ..protocol import ALPHAS
from .banded import BandedRidge
from .base import Decoder, LeftOut
from .logistic import Logistic
from .pls import PLS
from .ridge import Ridge
from .stacked import StackedRidge

__all__ = ["ALPHAS", "DECODERS", "PLS", "BandedRidge", "Decoder", "LeftOut", "Logistic", "Ridge", "StackedRidge"]

DECODERS: Mapping[str, type[Decoder]] = {
    "ridge": Ridge,
    "pls": PLS,
    "logistic": Logistic,
    "banded": BandedRidge,
    "stacked": StackedRidge,
}
