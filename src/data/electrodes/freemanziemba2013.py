"""Freeman & Ziemba et al. 2013: 102 V1 and 103 V2 units of macaques, 135 images of texture and of matched noise.

Freeman J, Ziemba CM, Heeger DJ, Simoncelli EP, Movshon JA (2013). Nat Neurosci 16:974-981. The public part, as
Brain-Score stores it; research use. Images of 320 px (4 degrees), shown 20 times for 100 ms; 300 bins of 1 ms, of which
those from 50 to 200 ms are averaged into one, as in Brain-Score. A model receives the image until that bin ends. Unit
ids are consecutive over V1 and V2. Repetitions are trials of all animals, whose names the release does not give.
"""

from dataclasses import replace
from functools import partial

from ...records import Responses
from ..brainio import from_brainscore
from ..declare import Electrodes
from ..release import Release

ASSEMBLY = "FreemanZiemba2013.public"
WINDOW_MS = (50.0, 200.0)
NEEDS = (
    from_brainscore.need("recording", ASSEMBLY, "assy_movshon_FreemanZiemba2013_public.nc"),
    from_brainscore.need(
        "images", "FreemanZiemba2013.aperture-public", "stimulus_FreemanZiemba2013_aperture-public.zip"
    ),
)


def read(release: Release, region: str) -> Responses:
    """Return one region in one bin; BadInput if Brain-Score's files can be neither found nor downloaded."""
    return convert(from_brainscore.assembly(release.name, ASSEMBLY), region)


def convert(assembly, region: str) -> Responses:
    """Return the record of Brain-Score's assembly, whose stimulus set is in attrs["stimulus_set"]."""
    record = from_brainscore.responses(
        assembly,
        name=f"freemanziemba2013-{region}",
        region=region,
        window_ms=WINDOW_MS,
        unit_columns=("region",),
        stimulus_columns=("texture_type", "texture_family", "sample"),
    )
    return replace(record, notes={"response": "mean from 50 to 200 ms after the image appears"})


DATASETS = [
    Electrodes(
        name=f"freemanziemba2013-{region}",
        study="freemanziemba2013",
        read=partial(read, region=region),
        needs=NEEDS,
        citation="Freeman, Ziemba et al. 2013, Nat Neurosci 16:974, doi:10.1038/nn.3402",
        licence="not stated; research use",
        access="download",
        source=f"Brain-Score: {ASSEMBLY}",
        note="still images; one bin from 50 to 200 ms",
        expected={"stimuli": 135, "subjects": 1, "repetitions": 20, "bins": 1, "units": units},
    )
    for region, units in (("V1", 102), ("V2", 103))
]
