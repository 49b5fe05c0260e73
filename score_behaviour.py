"""Score a vision model on human choices: `python score_behaviour.py --help`."""

import sys

from src.cli import main

if __name__ == "__main__":
    sys.exit(main("behaviour"))
