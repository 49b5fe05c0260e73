"""Trees of three eras of fMRIPrep with planted responses: scores, records, and each fault in one line."""

import json
import re
import shutil

import nibabel
import numpy as np
import pytest

from src.cli import main
from tests.data.forms import bids_files
from tests.data.forms.bids_files import AFFINE, GRID, MESH, MNI, N_VOLUMES, SECONDS, TR_S, study, volumes
from tests.data.forms.printed import best, fault, load, score

BIDS = "bids:mine/derivatives/fmriprep"
FORMS = [
    ("1.0", "nifti", False),
    ("1.5", "gifti", False),
    ("1.5", "cifti", True),
    ("24", "cifti", False),
    pytest.param("1.0", "gifti", True, marks=pytest.mark.slow),
    pytest.param("1.5", "nifti", True, marks=pytest.mark.slow),
    pytest.param("24", "nifti", False, marks=pytest.mark.slow),
    pytest.param("24", "gifti", True, marks=pytest.mark.slow),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("bids") / "mine"
    study(root, "24", "nifti", n_films=1)
    return root


@pytest.fixture
def root(written, place):
    return shutil.copytree(written, place / "mine")


def recovered(record):
    """Correlation of the mean subject's responses with the planted ones, per quadrant."""
    films = bids_files.films(record.stimuli.paths[0].parent, len(record.stimuli), SECONDS, per_bin=4, fps=4)
    planted = np.concatenate([bids_files.signals(film)[3:123] for film in films])
    found = np.nanmean(record.values, axis=1).reshape(len(planted), -1)
    # the first bin starts at 5 s, in the middle of the third volume
    planted = np.concatenate(
        [(bids_files.signals(film)[2:122] + bids_files.signals(film)[3:123]) / 2 for film in films]
    )
    index = np.arange(found.shape[1]) % 4
    if "x" in record.units:
        index = np.ravel_multi_index([np.asarray(record.units[axis]) for axis in "xyz"], GRID) % 4
    means = np.stack([found[:, index == k].mean(axis=1) for k in range(4)], axis=1)
    return [np.corrcoef(means[:, k], planted[:, k])[0, 1] for k in range(4)]


@pytest.mark.parametrize(("era", "kind", "sessions"), FORMS)
def test_every_era_and_format_gives_the_planted_responses(place, era, kind, sessions):
    study(place / "mine", era, kind, sessions)
    record = load(BIDS)
    n_units = {"nifti": np.prod(GRID) - 1, "gifti": 40, "cifti": 24}[kind]
    assert record.values.shape == (2, 2, SECONDS / TR_S, n_units)
    assert record.subjects == ("sub-01", "sub-02")
    assert record.stimuli.ids == ("film-0.mkv", "film-1.mkv")
    assert min(recovered(record)) > 0.9
    # without confounds the artefacts stay
    assert min(recovered(load(f"{BIDS}?confounds=none"))) < min(recovered(record)) - 0.05
    if kind == "cifti":
        assert set(record.units["region"]) == {"cortex_left", "hippocampus_right"}
    if kind == "gifti":
        assert list(record.units["hemi"]) == ["L"] * 20 + ["R"] * 20


@pytest.mark.parametrize("preset", ["motion24+acompcor", "motion24", "motion6", "pca95"])
@pytest.mark.parametrize("era", ["1.0", "1.5", "24"])
def test_presets_of_all_eras_remove_motion(place, era, preset):
    study(place / "mine", era, "nifti", n_films=1)
    assert min(recovered(load(f"{BIDS}?confounds={preset}"))) > (0.7 if preset == "pca95" else 0.9)


@pytest.mark.parametrize(
    "era", ["24", pytest.param("1.0", marks=pytest.mark.slow), pytest.param("1.5", marks=pytest.mark.slow)]
)
def test_a_tree_is_scored_by_its_name(place, era, capsys):
    study(place / "private" / "mine", era, "nifti", sessions=era != "24", n_films=1 if era == "24" else 2)
    name = f"bids:private/mine/derivatives/fmriprep?task=movie&space={MNI}&desc=preproc"
    printed = score("fmri", name, capsys)
    layer, value = best(printed)
    assert layer == "colour"
    assert value > 0.5
    assert printed.startswith(f"fake-net on movie-{MNI}: ")
    assert "private" not in printed
    assert main(["data", "check", name]) == 0
    said = capsys.readouterr().out
    assert "TR is 2000 ms" in said
    assert f"movie-{MNI}: no faults" in said


def test_parcels_and_masks(root):
    place = root / "atlas.nii.gz"
    labels = (np.arange(np.prod(GRID)) % 4 + 1).reshape(GRID)
    # twice as fine as the series
    fine = np.diag([1.5, 1.5, 1.5, 1])
    fine[:3, 3] = -0.75
    nibabel.save(nibabel.Nifti1Image(labels.repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(np.int16), fine), place)
    (root / "atlas.tsv").write_text("index\tname\n1\tA\n2\tB\n3\tC\n4\tD\n")
    record = load(f"{BIDS}?parcels=mine/atlas.nii.gz")
    assert list(record.units["region"]) == list("ABCD")
    assert min(recovered(record)) > 0.9
    mask = (labels == 2).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), root / "mask.nii.gz")
    record = load(f"{BIDS}?mask=mine/mask.nii.gz")
    assert record.values.shape[3] == 12
    assert recovered(record)[1] > 0.9


def test_parcels_of_grayordinates(place):
    study(place / "mine", "24", "cifti", n_films=1)
    label = {0: ("none", (0, 0, 0, 0))} | {k: (f"area {k}", (1, 0, 0, 1)) for k in (1, 2)}
    axis = nibabel.cifti2.LabelAxis(["areas"], [label])
    values = np.array([[0, 1, 2, 0] * 6], dtype=np.float32)
    made = nibabel.Cifti2Image(values, header=(axis, bids_files.models(24)))
    nibabel.save(made, place / "mine" / "areas.dlabel.nii")
    record = load(f"{BIDS}?parcels=mine/areas.dlabel.nii")
    assert list(record.units["region"]) == ["area 1", "area 2"]
    assert record.values.shape == (1, 2, 120, 2)


def test_fsaverage_is_reduced_to_fsaverage5(place):
    folder = place / "mine" / "derivatives" / "fmriprep" / "sub-1" / "func"
    study(place / "mine", "24", "nifti", n_films=1)
    shutil.rmtree(place / "mine" / "derivatives" / "fmriprep")
    folder.mkdir(parents=True)
    values = np.tile(np.arange(40962, dtype=np.float32), (6, 1)) + np.arange(6, dtype=np.float32)[:, None]
    for hemi in "LR":
        bids_files.surface(folder / f"sub-1_task-movie_hemi-{hemi}_space-fsaverage6_bold.func.gii", values)
    (folder / "sub-1_task-movie_bold.json").write_text('{"RepetitionTime": 40}')
    record = load(f"{BIDS}?film=film-0.mkv&onset=0s&confounds=none")
    assert record.values.shape == (1, 1, 6, 20484)
    assert record.values[0, 0, 1, 10242:].tolist() == (np.arange(10242) + 1).tolist()
    assert list(record.units["vertex"][10241:10243]) == [10241, 0]


def test_films_by_pattern_without_events_and_exclusions(place):
    study(place / "mine", "24", "nifti")
    for path in (place / "mine").rglob("*_events.tsv"):
        path.unlink()
    for k in range(2):
        (place / "mine" / "stimuli" / f"film-{k}.mkv").rename(place / f"movie-{k + 1}.mkv")
    name = f"{BIDS}?film=movie-{{run}}.mkv&onset=5s&exclude=sub-02_run-1"
    record = load(name)
    assert record.stimuli.ids == ("movie-1.mkv", "movie-2.mkv")
    assert np.isnan(record.values[0, 1]).all()
    assert np.isfinite(record.values[1]).all()
    assert load(f"{BIDS}?film=movie-{{run}}.mkv&sub=01&bin=4s").values.shape == (2, 1, 60, 47)


FUNC = "derivatives/fmriprep/sub-01/func/sub-01_task-movie_run-1_"
BOLD, MASK = f"{FUNC}space-{MNI}_desc-preproc_bold.nii.gz", f"{FUNC}space-{MNI}_desc-brain_mask.nii.gz"
TABLE, EVENTS = f"{FUNC}desc-confounds_timeseries.tsv", "sub-01/func/sub-01_task-movie_run-1_events.tsv"


def remove(*files):
    return lambda root: [path.unlink() for file in files for path in root.glob(file)]


def text(file, old, new):
    def change(root):
        content = (root / file).read_text()
        assert old in content
        (root / file).write_text(content.replace(old, new, 1))

    return change


def half(file):
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[: (root / file).stat().st_size // 2])


def never_steady(root):
    lines = (root / TABLE).read_text().splitlines()
    early = lines[0].split("\t").index("non_steady_state_outlier00")
    rows = [line.split("\t") for line in lines[1:]]
    text = ["\t".join([*row[:early], "1", *row[early + 1 :]]) for row in rows]
    (root / TABLE).write_text("\n".join([lines[0], *text]) + "\n")


def shorter(root):
    values = np.asarray(nibabel.load(root / BOLD).dataobj)[..., :60]
    volumes(root / BOLD, values)
    lines = (root / TABLE).read_text().splitlines()[:61]
    (root / TABLE).write_text("\n".join(lines) + "\n")


def other_grid(root):
    volumes(root / BOLD, np.ones((3, 3, 3, N_VOLUMES)))


def still(root):
    nibabel.save(nibabel.Nifti1Image(np.ones(GRID, dtype=np.float32), AFFINE), root / BOLD)


def other_space(root):
    (root / BOLD).rename(root / BOLD.replace(MNI, "T1w"))


def again(root):
    shutil.copy(root / BOLD, root / BOLD.replace("_desc", "_res-2_desc"))


def no_voxel(root):
    nibabel.save(nibabel.Nifti1Image(np.zeros(GRID, dtype=np.uint8), AFFINE), root / MASK)


FAULTS = {
    "no folder": (lambda root: shutil.rmtree(root / "derivatives"), "", "fmriprep: there is no such folder"),
    "empty": (remove("derivatives/**/*bold.nii.gz"), "", "has no series sub-.*_bold of GIFTI, CIFTI or NIfTI in its"),
    "task=": (None, "?task=rest", "has no task rest, only movie; correct the option task"),
    "space=": (None, "?space=fsaverage5", f"has no space fsaverage5, only {MNI}"),
    "two spaces": (other_space, "", f"has several of space: {MNI}, T1w; state space={MNI}"),
    "desc=": (None, "?desc=smoothed", "has no desc smoothed, only preproc"),
    "sub=": (None, "?sub=03", "has no sub 03, only 01, 02"),
    "exclude=": (None, "?exclude=sub-9", "exclude=sub-9 is no subject or run of it"),
    "all excluded": (None, "?exclude=sub-01,sub-02", "has no run that is not excluded"),
    "same run": (again, "", "are the same run; state res="),
    "tr=": (None, "?tr=2", "tr=2; expected a time above 0 with its unit"),
    "another tr": (
        text("task-movie_bold.json", "2.0", "1.5"),
        "",
        "task-movie_bold.json: states a TR of 1.5 s, but the",
    ),
    "sidecar": (text("task-movie_bold.json", "}", ""), "", "task-movie_bold.json: is no JSON of a BIDS sidecar"),
    "tr in ms": (text("task-movie_bold.json", "2.0", "2000"), "?sub=01", "states a RepetitionTime of 2000 s"),
    "truncated": (half(BOLD), "", "desc-preproc_bold.nii.gz: cannot be read .*; the file is damaged"),
    "short": (shorter, "", "60 volumes of 2 s end at 120 s, but film-0.mkv lasts from 5 to 245 s; correct tr="),
    "grid": (other_grid, "", "other units|its grid, 4 x 4 x 3, is not that of .*, 3 x 3 x 3"),
    "still": (still, "?tr=2s", "shape"),
    "mask": (no_voxel, "", "desc-brain_mask.nii.gz: has no voxel within the volumes"),
    "no masks": (remove("derivatives/**/*mask.nii.gz"), "", f"has no desc-brain_mask of the space {MNI}; state mask="),
    "mask=": (None, "?mask=gone.nii.gz", "mask=gone.nii.gz: there is no such file"),
    "parcels=": (half(MASK), f"?sub=02&parcels=mine/{MASK}", "brain_mask.nii.gz: cannot be read"),
    "no confounds": (remove(TABLE), "", "sub-01_task-movie_run-1: has no table of confounds; get it, or state"),
    "confounds": (text(TABLE, "trans_x", "x"), "", "timeseries.tsv: confounds 'motion24.acompcor' cannot be read"),
    "never steady": (never_steady, "", "timeseries.tsv: leaves no volume in the steady state"),
    "a row": (lambda root: text(TABLE, "\n", "")(root), "", "desc-confounds_timeseries.tsv: "),
    "components": (remove(TABLE.replace("tsv", "json")), "", "timeseries.tsv: confounds 'motion24.acompcor' cannot be"),
    "confounds=": (None, "?confounds=all", "confounds=all; expected one of motion24.acompcor, motion24"),
    "events": (
        text(EVENTS, "onset", "start"),
        "",
        "events.tsv: has the columns start, duration, trial_type, stim_file",
    ),
    "spaces": (text(EVENTS, "\t240", " 240"), "", "events.tsv, line 3: 3 cells, but the header has 4"),
    "onset": (
        text(EVENTS, "5.0\t240", "n/a\t240"),
        "",
        "events.tsv, line 3: onset is 'n/a'; write a number of seconds",
    ),
    "no events": (remove("sub-*/func/*.tsv"), "?sub=01", "run-1: has no events.tsv, which names its films"),
    "event=": (None, "?event=movie&sub=01", "has no trial_type movie, only fixation, film; correct the option event"),
    "no film": (remove("stimuli/film-0.mkv"), "", "there is no film or image of the stimulus film-0.mkv"),
    "film=": (None, "?film=gone.mkv&onset=5s", "no film or image of the stimulus gone.mkv; correct film="),
    "pattern": (None, "?film=film-{session}.mkv", "run-1 has no entity 'session'"),
    "damaged film": (half("stimuli/film-0.mkv"), "", "film-0.mkv: "),
    "other film": (text(EVENTS, "240", "900"), "", "event of film-0.mkv lasts 900 s, but the film 240 s"),
    "bin=": (None, "?bin=300s", "the films last 240 s, less than a bin of 300 s"),
}


@pytest.mark.parametrize(("change", "options", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(root, capsys, change, options, words):
    if change is not None:
        change(root)
    assert re.search(words, fault("fmri", BIDS + options, capsys, root.parent / "home"))


def test_a_missing_hemisphere_is_one_line(place, capsys):
    study(place / "mine", "24", "gifti", n_films=1)
    (place / "mine" / f"{FUNC}hemi-R_space-{MESH}_bold.func.gii").unlink()
    found = fault("fmri", BIDS, capsys, place / "home")
    assert found.startswith(
        "sub-01_task-movie_run-1: has no series of hemi-R; get it, or state exclude=sub-01_task-movie"
    )


def test_changed_series_and_new_runs_are_noticed(root, capsys):
    name = f"{BIDS}?sub=01,02&confounds=none"

    def scored(model="pixels"):
        return best(score("fmri", name, capsys, model=model))[1]

    before = scored()
    assert scored() == before
    values = np.asarray(nibabel.load(root / BOLD).dataobj)
    volumes(root / BOLD, np.random.default_rng(0).permutation(values, axis=3))
    after = scored()
    assert after < before - 0.02
    # a sidecar nearer than the inherited one, and the events of another onset
    sidecar = root / BOLD.replace(".nii.gz", ".json")
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0}))
    text(EVENTS, "5.0\t240", "7.0\t240")(root)
    assert scored() != after
