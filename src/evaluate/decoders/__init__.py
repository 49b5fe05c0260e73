"""Decoders: regression and classification from features to targets, standardised on the training rows only.

A decoder is a class with `fit(X, Y, weights=None)` and `predict(X)` (see `Decoder`), and an entry of `DECODERS`. A row
of weight 3 counts as three equal rows. Columns that are constant in training contribute nothing.

Examples
--------
>>> sorted(DECODERS)
['banded', 'logistic', 'pls', 'ridge']
"""

from collections.abc import Mapping

from ..protocol import ALPHAS
from .banded import BandedRidge
from .base import Decoder, LeftOut
from .logistic import Logistic
from .pls import PLS
from .ridge import Ridge

__all__ = ["ALPHAS", "DECODERS", "PLS", "BandedRidge", "Decoder", "LeftOut", "Logistic", "Ridge"]

DECODERS: Mapping[str, type[Decoder]] = {"ridge": Ridge, "pls": PLS, "logistic": Logistic, "banded": BandedRidge}
