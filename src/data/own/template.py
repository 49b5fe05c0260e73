"""Template of a user's folder: a commented `dataset.toml` and tables with their headers."""

from collections.abc import Sequence
from pathlib import Path

from ...files import writing
from ...utils import BadInput, first_names
from ..arrays import IMAGE_SUFFIXES
from .settings import FILE

FILM_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")

HEAD = """\
# A dataset of the kind {kind}. `dynamic-vision data check FOLDER` lists everything that is wrong or missing.
# Remove the # in front of a line to state it. Times are written with their unit: "1.5 s", "100 ms".
kind = "{kind}"
name = "{name}"             # printed with every score
#citation = "Author et al. (year), journal"
#licence = "CC BY 4.0"
#source = "our laboratory"
#note = "printed with the dataset"

# stimuli.csv: one row per film or image.
#   stimulus_id   a unique name
#   path          film or image, relative to this folder
#   onset, duration   only for pieces of a film: start and length of the piece in the film
#   kind          image or video, only where the suffix of the file does not say it
#   other columns are kept
#time_unit = "s"            # or "ms": unit of the times in the tables
"""
RECORDING = """
# The responses: one of
#   responses.npy   array stimulus x repetition x time x unit, stimuli in the order of stimuli.csv, NaN where nothing
#                   was recorded; without repetition and time where there is one of them
#   responses.nc    netCDF with dimensions of these names
#   responses.csv   a column per unit: stimulus_id, (repetition,) (time,) unit 1, unit 2, ...; or a row per value:
#                   stimulus_id, unit_id, value (, repetition) (, time). time: start of the bin after the onset
#axes = ["stimulus", "repetition", "time", "unit"]   # of responses.npy, where they are in another order
# units.csv (optional): unit_id, region (a score for each), hemi and vertex (fsaverage5, for maps), any other columns;
#   in the order of responses.npy
# runs.csv (optional): repetition, subject, session: the subject of every repetition
#image_duration = "100 ms"  # the time for which an image is shown (default: up to the last bin)
#start = "0 ms"             # start of the first bin after the onset of the stimulus
"""
KINDS = {
    "fmri": RECORDING
    + """tr = "1 s"                  # repetition time; of one value per clip: the length of the clip
#lag = true                 # responses follow the film by a haemodynamic response (default: true with a time axis)
#row_weight = 1.0           # weight of a row in a joint regression with other datasets
""",
    "electrodes": RECORDING
    + """bin_width = "100 ms"        # width of a time bin
#fit = "stimuli"            # or "per unit": every unit saw its own film
#clip = "5 s"               # length of the clips that are split, with fit = "per unit"
""",
    "task": """
# labels.csv: stimulus_id and a column per label: classes, or numbers to predict.
#   group         stimuli of one group are never separated by a split (optional)
#   stratum       every split has equal shares of the strata (optional)
#metric = "accuracy"        # of classes; "pearson" of numbers (default: pearson if a label has a fraction)
#decoder = "logistic"       # of classes; "ridge" of numbers
#limit = "1 s"              # only activations before this time after the onset
#static = false             # true: images that an image model receives once
#image_duration = "1 s"     # the time for which an image is shown
""",
    "behaviour": """
# trials.csv: one row per trial.
#   stimulus_id, truth, choice   the class of the stimulus and the class that was chosen
#   distractor    the other alternative, in tasks with two alternatives (optional)
#   subject       (optional)
# fitting.csv (optional): stimulus_id, path, label: other stimuli, on which the read-out of a model is fitted
#metric = "O2"              # or "I2n"
#classes = ["cat", "dog"]   # default: those of truth and distractor
#static = false             # true: images that an image model receives once
#image_duration = "1 s"     # the time for which an image is shown
""",
}
HEADERS = {"task": {"labels.csv": "stimulus_id,label"}, "behaviour": {"trials.csv": "stimulus_id,truth,choice,subject"}}


def new(folder: Path, kind: str) -> list[str]:
    """Write a template into a folder, which is made, and return the names of its files.

    Films and images that lie in the folder are listed in `stimuli.csv`. Raises BadInput, with nothing written, if one
    of the files exists.
    """
    content = {FILE: HEAD.format(kind=kind, name=_name(folder)) + KINDS[kind], "stimuli.csv": _stimuli(folder)}
    content |= {name: f"{header}\n" for name, header in HEADERS.get(kind, {}).items()}
    there = [name for name in content if (folder / name).exists()]
    if there:
        raise BadInput(f"{folder} has {first_names(there)} already; expected a folder without: nothing was written")
    with writing(folder, "FOLDER"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in content.items():
            with open(folder / name, "x", encoding="utf-8") as handle:
                handle.write(text)
    return list(content)


def _name(folder: Path) -> str:
    kept = "".join(c if c.isalnum() or c in "-_. " else "-" for c in folder.absolute().name)
    return kept.strip(" .") or "mine"


def _stimuli(folder: Path) -> str:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (*IMAGE_SUFFIXES, *FILM_SUFFIXES))
    paths = [path.relative_to(folder).as_posix() for path in found if path.is_file()]
    rows = [",".join(map(_quoted, row)) for row in zip(_ids(paths), paths, strict=True)]
    return "\n".join(["stimulus_id,path", *rows]) + "\n"


def _ids(paths: Sequence[str]) -> list[str]:
    """Return the file names without suffix, or the paths where two files have one name."""
    stems = [Path(path).stem for path in paths]
    return stems if len(set(stems)) == len(stems) else list(paths)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\n') else cell
