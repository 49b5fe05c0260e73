"""Score a vision model on fMRI: `python score_fmri.py --help`."""

import sys

from src.cli import main

if __name__ == "__main__":
    sys.exit(main("fmri"))
