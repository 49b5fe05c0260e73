"""What the embedded datasets share: films drawn from a seed, files written once, responses planted in known layers."""
