"""Score a vision model on computer-vision labels: `python score_task.py --help`."""

import sys

from src.cli import run_score

if __name__ == "__main__":
    sys.exit(run_score("task"))
