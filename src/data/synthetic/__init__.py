"""Shared parts of the embedded datasets: films rendered from a seed, files made once, responses planted in layers."""
