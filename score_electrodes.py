"""Score a vision model on electrode recordings: `python score_electrodes.py --help`."""

import sys

from src.cli import run_score

if __name__ == "__main__":
    sys.exit(run_score("electrodes"))
