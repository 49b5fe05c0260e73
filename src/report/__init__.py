"""Reports of the stored scores: one self-contained HTML page, figure files and table files.

A report only reads the store: it computes no score and changes no stored file.
"""

from .export import FIGURES, TABLES, TOP, Report, write_figures, write_page, write_report, write_tables
from .scores import BenchmarkScores, StoredScore, collect

__all__ = [
    "FIGURES",
    "TABLES",
    "TOP",
    "BenchmarkScores",
    "Report",
    "StoredScore",
    "collect",
    "write_figures",
    "write_page",
    "write_report",
    "write_tables",
]
