"""Majaj, Hong et al. 2015: 88 V4 and 168 IT sites of two macaques, 3,200 images of 64 objects on natural backgrounds.

Majaj NJ, Hong H, Solomon EA, DiCarlo JJ (2015). J Neurosci 35:13402-13418. The public part (variations 0 and 3), as
Brain-Score stores it; research use. 148,480 presentations of images of 8 degrees, 46 an image on average, shown for
100 ms; one bin from 70 to 170 ms, normalised by site and session, so that values may be negative. A model receives the
image until that bin ends. A repetition holds the sites of both animals, so halves are sampled over repetitions.
"""

from dataclasses import replace
from functools import partial

from ...records import Responses
from ..brainio import from_brainscore
from ..declare import Electrodes
from ..release import Need, Release

ASSEMBLY = "MajajHong2015.public"
STIMULI = "hvm-public"
POSE = ("s", "rxy", "ryz", "rxz", "tz", "ty")
UNIT_COLUMNS = ("region", "subregion", "animal", "hemisphere", "arr", "row", "col", "x", "y")


def images() -> Need:
    """Return the need of the images, for the recording and for the task that reads their poses."""
    return from_brainscore.need("images", STIMULI, "stimulus_hvm-public.zip")


def read(release: Release, region: str) -> Responses:
    """Return one region; BadInput if Brain-Score's files can be neither found nor downloaded."""
    return convert(from_brainscore.assembly(release.name, ASSEMBLY), region)


def convert(assembly, region: str) -> Responses:
    """Return the record of Brain-Score's assembly, whose stimulus set is in attrs["stimulus_set"]."""
    record = from_brainscore.responses(
        assembly,
        name=f"majajhong2015-{region}",
        region=region,
        unit_columns=UNIT_COLUMNS,
        stimulus_columns=("object_name", "category_name", "variation", *POSE),
    )
    return replace(record, notes={"response": "rate from 70 to 170 ms, normalised by site and session"})


DATASETS = [
    Electrodes(
        name=f"majajhong2015-{region}",
        study="majajhong2015",
        read=partial(read, region=region),
        needs=(from_brainscore.need("recording", ASSEMBLY, "assy_dicarlo_MajajHong2015_public.nc", 0.15), images()),
        citation="Majaj, Hong, Solomon & DiCarlo 2015, J Neurosci 35:13402, doi:10.1523/JNEUROSCI.5181-14.2015",
        licence="not stated; research use",
        access="download",
        source=f"Brain-Score: {ASSEMBLY}, {STIMULI}",
        note="still images; one bin from 70 to 170 ms",
        expected={"stimuli": 3200, "subjects": 1, "bins": 1, "units": units},
    )
    for region, units in (("V4", 88), ("IT", 168))
]
