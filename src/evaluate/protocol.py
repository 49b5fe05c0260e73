"""The named protocols of an evaluation, and the choices of each step, stated once; times in ms. Imports numpy only."""

from dataclasses import dataclass

import numpy as np

N_SPLITS = 10
SEED = 0
VALID_SHARE = TEST_SHARE = 0.1
SEGMENT_MS = 15_000.0
GAP_MS = 10_000.0
PENALTY_BLOCK_MS, PENALTY_GAP_MS = 150_000.0, 30_000.0
LEAST_BLOCKS = 4  # of films, to choose a ridge penalty by
ONE_FILM = "leave-one-film-out"
LAYOUTS = ("tiled", "runs", "scattered", ONE_FILM)  # of the held-out segments of films
ITEM_LAYOUTS = ("tiled", "sampled")  # of the held-out stimuli, where these are the units of a split
DELAY_MS = 5_000.0  # shift of the features that replaces the haemodynamic response function
SAMPLED_HRF = "spm-sampled"  # SPM's response sampled once per bin, of the published protocol
HRFS = ("spm", "glover", "fir", "delay", "none", SAMPLED_HRF)
HRF_S = 32.0  # length of a haemodynamic response
FIR_S = (2.0, 10.0)  # first and last delay of a finite impulse response, in seconds
TOLERANCE_MS = 1e-6  # rounding error of times that count as equal
PENALTIES = ("blocks", "rows", "gcv")  # rows that are left out together to choose a ridge penalty
MISSING = ("units", "rows")  # a unit is scored on its own rows, or all units on the rows that none lacks
LEAST_TEST_ROWS = 10  # for a correlation of a test part
LEAST_RECORDED = 0.95  # of the rows, for a unit whose responses are features; others count as the unit's mean
LAYER_CHOICES = ("nested", "over splits")  # inside the training rows of each split, or by scores averaged over splits
HEADLINES = ("per target", "one layer")
ALPHA_SCALES = ("kernel", "absolute")  # alphas are multiplied by trace(K) / n of the kernel, or used as they are
RUNS = ("standardised", "averaged")  # before repetitions are averaged, each run is z-scored; or the mean is, afterwards
SUBJECTS = ("both", "mean", "each")  # fMRI: single subjects and their mean are scored, the mean alone, or they alone
STEP_TIMES = ("centres", "even")  # steps of a layer at their measured times, or spread evenly over a window
CEILING_ROWS = ("windows", "all")  # split-half agreement within the test parts, or over all rows
ALPHAS = tuple(np.logspace(-4, 4, 9).tolist())
SCALED_ALPHAS = tuple(np.logspace(-7, 4, 12).tolist())  # a few strong components raise trace(K) / n above all others
N_BOOTSTRAP = 1000  # bootstrap samples of an interval
HIGH_PASS_S = 128.0  # cut-off period of the drift that is removed from fMRI runs, in seconds


@dataclass(frozen=True)
class Protocol:
    """Choices of an evaluation, each of which may differ from those of the named protocol it starts from.

    Parameters
    ----------
    name, version : str, int
        The named protocol, "default" or "published" (Tang et al. 2025).
    n_splits, seed : int
        Number of splits, and seed of splits and split halves.
    segment_ms : float
        fMRI: length of the segments of films that are the units of a split.
    gap_ms : float
        Films: training rows nearer than this to a held-out row are dropped.
    layout : {"tiled", "runs", "scattered", "leave-one-film-out"}
        Held-out data: contiguous runs that tile the films, each row tested once; runs at random places; or scattered
        segments; or one whole film a split. Stimuli without time series form folds ("tiled", "leave-one-film-out") or
        are sampled.
    layer_choice : {"nested", "over splits"}
        Layers are chosen inside the training rows of each split, or by validation scores averaged over splits.
    headline : {"per target", "one layer"}
        fMRI and electrodes: the score that models are ranked by has a layer per unit, or one for all.
    penalty : {"blocks", "rows", "gcv"}
        Ridge: rows that are left out together to choose the penalty, see `decoders.Ridge`.
    penalty_block_ms, penalty_gap_ms : float
        Ridge with penalty "blocks": film that is left out together, and around it, see `splits.penalty_blocks`.
    alpha_scale : {"kernel", "absolute"}
        Ridge: candidate penalties are multiplied by trace(K) / n of the kernel, or used as they are.
    alpha_per_target : bool
        Ridge: one penalty per target, or one for all.
    missing : {"units", "rows"}
        A unit is scored on its own rows, or all units on the rows that none lacks.
    tied : bool
        Stimuli of equal content are never separated, also those of several datasets.
    distinct : bool
        Splits that are sampled are drawn until they differ from each other, or each independently.
    runs : {"standardised", "averaged"}
        fMRI: each run is high-passed and z-scored before repetitions are averaged; or the mean is z-scored.
    high_pass_s : float
        fMRI films: cut-off period in seconds of the drift that is removed from runs; 0: none.
    hrf : {"spm", "glover", "fir", "delay", "none", "spm-sampled"}
        fMRI films: convolution of the features with a response function, delayed copies from 2 to 10 s, a shift by 5 s,
        or neither; "spm-sampled": SPM's function sampled once per bin.
    ceiling_rows : {"windows", "all"}
        Noise ceiling over the test parts of the splits, or over all rows.
    subjects : {"both", "mean", "each"}
        fMRI, ridge regression: each subject is scored besides their mean; the mean alone; or each subject alone, and
        the score of a unit is the mean over subjects.
    step_times : {"centres", "even"}
        Video models: the steps of a layer count at their measured temporal centres, or are spread evenly over a window.
    """

    name: str = "default"
    version: int = 6
    n_splits: int = N_SPLITS
    seed: int = SEED
    segment_ms: float = SEGMENT_MS
    gap_ms: float = GAP_MS
    layout: str = "tiled"
    layer_choice: str = "nested"
    headline: str = "per target"
    penalty: str = "blocks"
    penalty_block_ms: float = PENALTY_BLOCK_MS
    penalty_gap_ms: float = PENALTY_GAP_MS
    alpha_scale: str = "kernel"
    alpha_per_target: bool = False
    missing: str = "units"
    tied: bool = True
    distinct: bool = True
    runs: str = "standardised"
    high_pass_s: float = HIGH_PASS_S
    hrf: str = "spm"
    ceiling_rows: str = "windows"
    subjects: str = "both"
    step_times: str = "centres"

    @property
    def title(self) -> str:
        """Name and version, as in keys and outputs."""
        return f"{self.name} {self.version}"

    @property
    def nested(self) -> bool:
        """True if layers are chosen inside the training rows of each split."""
        return self.layer_choice == "nested"

    @property
    def item_layout(self) -> str:
        """Layout of splits whose units are stimuli."""
        return "tiled" if self.layout in ("tiled", ONE_FILM) else "sampled"

    def splits_of(self, n_rows: int) -> int:
        """Return the number of splits of a correlation over `n_rows`: tiled test parts have at least 10 rows each."""
        return self.n_splits if self.item_layout != "tiled" else min(self.n_splits, max(2, n_rows // LEAST_TEST_ROWS))


PUBLISHED = Protocol(
    name="published",
    version=1,
    gap_ms=0.0,
    layout="scattered",
    layer_choice="over splits",
    headline="one layer",
    penalty="rows",
    alpha_scale="absolute",
    missing="rows",
    tied=False,
    distinct=False,
    runs="averaged",
    high_pass_s=0.0,
    hrf=SAMPLED_HRF,
    ceiling_rows="all",
    subjects="mean",
    step_times="even",
)
PROTOCOLS = {protocol.name: protocol for protocol in (Protocol(), PUBLISHED)}
