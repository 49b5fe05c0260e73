"""Score a vision model on human choices: `python score_behaviour.py --help`."""

import sys

from src.cli import run_score

if __name__ == "__main__":
    sys.exit(run_score("behaviour"))
