"""Rajalingham et al. 2018: which of two objects people saw in 2,160 images of 24 objects, 585,511 trials.

Rajalingham R, Issa EB, Bashivan P, Kar K, Schmidt K, DiCarlo JJ (2018). J Neurosci 38:7255-7269. The public part, as
Brain-Score stores it; research use. It has no fitting images of its own: the read-out is fitted on the images that are
shown and asked about others (out of fold), where the published design fits and tests on the same ones.
"""

from pathlib import Path

from src.data.brainio import from_assembly
from src.data.declare import Behaviour
from src.records import Choices
from src.utils import BadInput

ASSEMBLY = "Rajalingham2018.public"
SHOWN_MS = 100.0


def load(folder: Path) -> Choices:
    """The trials through Brain-Score, which keeps its downloads in BRAINIO_HOME; `folder` is not used."""
    assembly = fetch()
    return convert(assembly)


def fetch():
    """Brain-Score's assembly; BadInput where it can neither be found nor downloaded."""
    from brainscore_vision import load_dataset

    try:
        return load_dataset(ASSEMBLY)
    except Exception as error:  # Brain-Score raises the bare class when a download fails
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BadInput(
            f"rajalingham2018 cannot be had from Brain-Score's storage ({reason}); expected {ASSEMBLY} there or in "
            f"BRAINIO_HOME; run this once where there is a network, and copy BRAINIO_HOME here"
        ) from error


def convert(assembly) -> Choices:
    """The record of Brain-Score's assembly, whose stimulus set lies under attrs["stimulus_set"]."""
    return from_assembly(assembly, assembly.attrs["stimulus_set"], name="rajalingham2018", shown_ms=SHOWN_MS)


DATASETS = [
    Behaviour(
        name="rajalingham2018",
        study="rajalingham2018",
        load=load,
        citation="Rajalingham et al. 2018, J Neurosci 38:7255, doi:10.1523/JNEUROSCI.0388-18.2018",
        licence="not stated; research use",
        access="download",
        source="Brain-Score: Rajalingham2018.public, objectome.public",
        metric="I2n",
        static=True,
        note="read-out out of fold: the release has no separate fitting images",
        expected={"stimuli": 2160, "trials": 585511, "classes": 24, "fitting": 0},
    )
]
