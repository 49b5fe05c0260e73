"""Evaluation of activations against responses, labels and human choices."""
