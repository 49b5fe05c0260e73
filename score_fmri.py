"""Score a vision model on fMRI: `python score_fmri.py --help`."""

import sys

from src.__main__ import score

if __name__ == "__main__":
    sys.exit(score("fmri"))
