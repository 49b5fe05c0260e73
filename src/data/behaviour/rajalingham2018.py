"""Rajalingham et al. 2018: choices between two objects in 2,160 images of 24 objects, 585,511 trials.

Rajalingham R, Issa EB, Bashivan P, Kar K, Schmidt K, DiCarlo JJ (2018). J Neurosci 38:7255-7269. The public part, as
Brain-Score stores it; research use. It has no separate fitting images: the read-out is fitted on the images shown and
tested on held-out ones (out of fold), where the published design fits and tests on the same images.
"""

from ...records import Choices
from ..brainio import from_assembly, from_brainscore
from ..declare import Behaviour
from ..release import Release

ASSEMBLY = "Rajalingham2018.public"
SHOWN_MS = 100.0
NEEDS = (
    from_brainscore.need("trials", ASSEMBLY, "assy_dicarlo_Rajalingham2018_public.nc"),
    from_brainscore.need("images", "objectome.public", "stimulus_objectome_public.zip"),
)


def read(release: Release) -> Choices:
    """Return the trials; BadInput if Brain-Score's files can be neither found nor downloaded."""
    return convert(from_brainscore.assembly(release.name, ASSEMBLY))


def convert(assembly) -> Choices:
    """Return the record of Brain-Score's assembly, whose stimulus set is in attrs["stimulus_set"]."""
    shown = from_brainscore.narrowed(assembly.attrs["stimulus_set"], ("image_label",))
    return from_assembly(assembly, shown, name="rajalingham2018", shown_ms=SHOWN_MS)


DATASETS = [
    Behaviour(
        name="rajalingham2018",
        study="rajalingham2018",
        read=read,
        needs=NEEDS,
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
