"""Writes seeded random networks under the file names that torchvision publishes, into a TORCH_HOME of the tests."""

from pathlib import Path

FILES = {"alexnet": "alexnet-owt-7be5be79.pth", "r3d_18": "r3d_18-b3b3357e.pth"}


def write(torch_home: Path, *names: str, seed: int = 0) -> dict[str, Path]:
    """Write the state dicts of these networks; returns {name: file}. The global generator is left as it was."""
    import torch
    import torchvision

    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in names:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = torchvision.models.get_model(name, weights=None)
        written[name] = folder / FILES[name]
        torch.save(network.state_dict(), written[name])
    return written
