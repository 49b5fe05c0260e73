import json
from pathlib import Path

import numpy as np
import pytest

from src.data.release import Release
from src.data.tasks import smthsmthv2
from src.utils import BadInput
from src.video import piece, probe
from tests.data.miniatures import smthsmthv2 as miniature
from tests.data.public_tasks import assert_counts

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/smthsmthv2/label_map.txt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("smthsmthv2")
    miniature.write(home)
    return home


def read(folder):
    return smthsmthv2.read(Release("smthsmthv2", folder, jobs=2))


def lists_only(folder):
    """Return a release of lists whose films are empty files."""
    miniature.write_lists(folder / "labels")
    for identity, _, _ in miniature.clips():
        (folder / "films").mkdir(exist_ok=True)
        (folder / "films" / f"{identity}.webm").write_bytes(b"")
    return Release("smthsmthv2", folder)


def test_clips_of_both_lists_are_classed_by_their_template(folder):
    record = read(folder)
    assert_counts(record, miniature.EXPECTED["smthsmthv2"])
    template = {identity: smthsmthv2.class_name(t) for identity, t, _ in miniature.clips()}
    assert record.values[:, 0].tolist() == [template[identity] for identity in record.stimuli.ids]
    assert record.notes["classes left out"] == "1 (Holding something)"
    assert record.notes["files of unfit length"] > 0


def test_the_first_four_seconds_are_shown_and_the_last_frame_is_held(folder):
    stimuli = read(folder).stimuli
    assert set(stimuli.start_ms) == {0.0}
    assert set(stimuli.duration_ms) == {4000.0}
    lengths_ms = np.array([probe(path).duration_ms for path in stimuli.paths])
    assert lengths_ms.min() >= 3000
    assert lengths_ms.max() <= 4500
    shortest = probe(stimuli.paths[int(lengths_ms.argmin())])
    held = piece(shortest, 0, 4000)
    assert (held.duration_ms, held.n_frames) == (4000, shortest.n_frames)


def test_films_in_folders_of_classes_need_no_lists(tmp_path):
    for name in ("Holding [something]", "Pushing something"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / "12.webm").write_bytes(b"")
    found = smthsmthv2.items(Release("smthsmthv2", tmp_path), {})
    assert {name: list(of) for name, of in found.items()} == {"Holding something": ["12"], "Pushing something": ["12"]}


def test_films_of_the_test_set_have_no_class_and_are_counted(tmp_path):
    release = lists_only(tmp_path)
    (tmp_path / "films" / "99999.webm").write_bytes(b"")
    notes = {}
    assert sum(map(len, smthsmthv2.items(release, notes).values())) == len(miniature.clips())
    assert notes == {"clips of no class": 1}


def test_a_list_that_is_missing_is_named(tmp_path):
    release = lists_only(tmp_path)
    (tmp_path / "labels" / "validation.json").unlink()
    with pytest.raises(BadInput, match=r"labels/validation.json; run: dynamic-vision data fetch smthsmthv2"):
        smthsmthv2.items(release, {})


def test_inconsistent_lists_are_refused(tmp_path):
    release = lists_only(tmp_path)
    labels = tmp_path / "labels" / "labels.json"
    labels.write_text(json.dumps({"Holding something": "0"}))
    with pytest.raises(BadInput, match=r"class '(Pushing|Moving) .*' is not in .*labels.json"):
        smthsmthv2.items(release, {})
    labels.write_text('{"Holding')
    with pytest.raises(BadInput, match=r"labels.json: no JSON .*fetch it again"):
        smthsmthv2.items(release, {})


@pytest.mark.skipif(not REAL.is_file(), reason="the shared label map is not available")
def test_real_templates_give_174_classes():
    names = {smthsmthv2.class_name(line) for line in REAL.read_text().splitlines()}
    assert len(names) == 174
    assert not any(set("[]") & set(name) for name in names)
    assert smthsmthv2.class_name("Putting [something] on [something]") == "Putting something on something"
