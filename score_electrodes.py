"""Score a vision model on electrode recordings: `python score_electrodes.py --help`."""

import sys

from src.cli import main

if __name__ == "__main__":
    sys.exit(main("electrodes"))
