"""Score a vision model on fMRI: `python score_fmri.py --help`."""

import sys

from src.cli import run_score

if __name__ == "__main__":
    sys.exit(run_score("fmri"))
