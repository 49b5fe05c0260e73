"""Score a vision model on human choices: `python score_behaviour.py --help`."""

import sys

from src.__main__ import score

if __name__ == "__main__":
    sys.exit(score("behaviour"))
