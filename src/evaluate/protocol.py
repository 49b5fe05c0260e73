"""Defaults and choices of the evaluation protocol, each stated once; times in ms. Imports numpy only."""

import numpy as np

N_SPLITS = 10
SEED = 0
VALID_SHARE = TEST_SHARE = 0.1
SEGMENT_MS = 15_000.0
GAP_MS = 10_000.0
LAYOUTS = ("runs", "scattered")
LAYOUT = LAYOUTS[0]
DELAY_MS = 5_000.0  # shift of the features that replaces the haemodynamic response function
TOLERANCE_MS = 1e-6  # rounding error of times that count as equal
ALPHA_PER_TARGET = ("gcv", "loo")  # selection of one ridge penalty per target
ALPHAS = tuple(np.logspace(-4, 4, 9).tolist())
N_BOOTSTRAP = 1000  # bootstrap samples of an interval
