"""Predict the responses to films by an encoder that `score ... --save-encoder FILE` has written."""

import argparse

from ..arguments import count
from ..config import Config
from ..pipeline import load_encoder, predict, write_predictions
from ..pipeline.encoder import BATCH_SIZE
from ..tables import check_output
from ..utils import counted
from .progress import Terminal

EXAMPLES = (
    "--encoder mt.safetensors --films walk.mp4 run.mp4 --output responses.nc",
    "--encoder mt.safetensors --films clips/*.mp4 --output responses.nc --device cuda",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--encoder", required=True, metavar="FILE", help="a .safetensors file of --save-encoder")
    parser.add_argument("--films", required=True, nargs="+", metavar="FILE", help="films and images")
    parser.add_argument("--output", required=True, metavar="FILE", help="the predicted responses: .nc (netCDF)")
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto, a GPU if there is one)"
    )
    parser.add_argument(
        "--batchsize",
        type=count,
        default=BATCH_SIZE,
        metavar="N",
        help="rows of a forward pass; predictions are equal to the last bit at one size on one device",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def run(options: argparse.Namespace, config: Config) -> int:
    """Predict the responses and write them."""
    check_output(options.output, (".nc",))
    encoder = load_encoder(options.encoder)
    with Terminal(quiet=options.quiet) as terminal:
        found = predict(encoder, options.films, device=options.device, batch_size=options.batchsize, report=terminal)
        write_predictions(found, options.output)
    sizes = found.sizes
    print(f"{counted(sizes['unit'], 'unit')}, {counted(sizes['film'], 'film')}, {sizes['time']} bins: {options.output}")
    return 0
