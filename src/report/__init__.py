"""Reports of the stored scores: one self-contained HTML page, figure files and table files.

A report only reads the store: it computes no score and changes no stored file.
"""

from .against import Ranking, Verified, rank_against, verify_bundle
from .bundle import Bundle, Written, merge_bundles, read_bundle, write_bundle
from .export import FIGURES, TABLES, TOP, Report, write_figures, write_page, write_report, write_tables
from .relevance_page import RelevanceReport, write_relevance
from .scores import BenchmarkScores, StoredScore, collect

__all__ = [
    "FIGURES",
    "TABLES",
    "TOP",
    "BenchmarkScores",
    "Bundle",
    "Ranking",
    "RelevanceReport",
    "Report",
    "StoredScore",
    "Verified",
    "Written",
    "collect",
    "merge_bundles",
    "rank_against",
    "read_bundle",
    "verify_bundle",
    "write_bundle",
    "write_figures",
    "write_page",
    "write_relevance",
    "write_report",
    "write_tables",
]
