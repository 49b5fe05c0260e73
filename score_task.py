"""Score a vision model on computer-vision labels: `python score_task.py --help`."""

import sys

from src.__main__ import score

if __name__ == "__main__":
    sys.exit(score("task"))
