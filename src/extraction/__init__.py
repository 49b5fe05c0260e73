"""Extraction of binned, projected layer activations; runs without Brain-Score and xarray."""

from .extract import ArraySink, Sink, extract, feature_sizes
from .projection import Projection, make_projection, n_outputs

__all__ = ["ArraySink", "Projection", "Sink", "extract", "feature_sizes", "make_projection", "n_outputs"]
