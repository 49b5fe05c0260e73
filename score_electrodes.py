"""Score a vision model on electrode recordings: `python score_electrodes.py --help`."""

import sys

from src.__main__ import score

if __name__ == "__main__":
    sys.exit(score("electrodes"))
