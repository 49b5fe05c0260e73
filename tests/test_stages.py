"""Digests of the stages' sources: recorded, stored with every value, and shown where they differ."""

import json

import pytest

from src import stages
from src.cli import main
from src.config import Config
from src.pipeline import Request, keys, score
from src.report.rows import score_rows
from src.report.scores import collect
from src.stages import source_digest
from src.store import Store
from tests.data.own_folders import electrodes
from tests.stages import present

SCIENCE = ("evaluate", "extraction", "analysis")
# modules of `analysis` that read stored scores alone
READERS = {"agreement.py", "leaderboard.py", "profiles.py", "relevance.py", "windows.py"}


def test_the_sources_of_every_stage_are_recorded_with_its_version():
    changed = {name: state for name, state in present().items() if stages.recorded().get(name) != state}
    assert not changed, (
        f"the sources or versions of {', '.join(changed)} are not those of src/stages.json: raise the version if "
        "values change, then run `make stages` (CONTRIBUTING.md)"
    )
    assert not stages.recorded().keys() - present().keys()


def test_every_module_of_the_science_belongs_to_a_stage():
    listed = {path for stage in stages.STAGES for path in stages.stage_files(stage)}
    found = {path for room in SCIENCE for path in (stages.HERE / room).rglob("*.py")}
    assert {path.name for path in found - listed} - {"__init__.py"} == READERS


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("# why\ndef f(a, b=2):\n    'text'\n    return (a\n        + b)\n", True),
        ("def f(a, b=2):\n    '''Another text.'''\n\n    return a+b", True),
        ("def f(a, b=3):\n    return a + b\n", False),
        ("def f(a, b=2):\n    return a - b\n", False),
        ("def f(a, c=2):\n    return a + c\n", False),
        ("def f(a, b=2.0):\n    return a + b\n", False),
        ("def f(a, b='2'):\n    return a + b\n", False),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(other, same):
    first = source_digest(b"def f(a, b=2):\n    return a + b\n", docstrings=False)
    assert (source_digest(other.encode(), docstrings=False) == first) == same


def test_a_docstring_counts_in_a_users_file():
    assert source_digest(b"'''a'''") != source_digest(b"'''b'''")
    assert source_digest(b"not python (") != source_digest(b"not python [")


def test_a_digest_is_the_same_in_every_version_of_python():
    text = b"def f(x: int) -> str:\n    return f'{x!r:>{4}}' if x else b'1'\n"
    assert source_digest(text) == "5f5b39488c5a3769bafc326409e9809a730db85c7684ec16bca2437f96a8bf10"


def test_recorded_states_of_one_version_are_the_same(monkeypatch):
    [(name, (digest, recorded))] = stages.sources("ceiling").items()
    assert recorded
    assert stages.differing({name: [digest, True]}) == []
    assert stages.differing({name: ["0" * 16, True]}) == []
    assert stages.differing({name: ["0" * 16, False]}) == [name]
    monkeypatch.setattr(stages, "stage_digest", lambda stage: "f" * 16)
    assert stages.differing({name: [digest, True]}) == [name]
    assert stages.joined([{name: ["f" * 16, False]}, {name: [digest, True]}, {name: ["f" * 16, False]}]) == {
        name: [digest, True]
    }


@pytest.fixture
def scored(tmp_path):
    """Homes with one score of an own dataset, and the request."""
    electrodes(tmp_path / "mine", n=6)
    config = Config(*[tmp_path / name for name in ("data", "activations", "results", "weights")], 1)
    request = Request("electrodes", "fake-image-net", (str(tmp_path / "mine"),), splits=2, bootstrap=0)
    list(score(request, config))
    return request, config


def test_a_value_of_other_sources_is_shown(scored, monkeypatch, capsys):
    request, config = scored
    items = {item.kind: item for item in Store(config, read_only=True).items()}
    assert {kind: sorted(items[kind].made_by) for kind in ("activations", "score")} == {
        "activations": ["activations"],
        "score": ["activations", "ceiling", "score"],
    }
    assert not [item for item in items.values() if item.outdated]
    monkeypatch.setattr(
        stages, "stage_digest", lambda stage: {"score": "f" * 16}.get(stage, stages.recorded()[stage][1])
    )
    [benchmark] = collect(config)[0]
    assert [row["outdated"] for row in score_rows(benchmark)] == ["other sources of score"]
    for variable, home in config.homes().items():
        monkeypatch.setenv(variable, str(home))
    main(["store", "ls"])
    assert [("(other code)" in line) for line in capsys.readouterr().out.splitlines() if line.startswith("score")] == [
        True
    ]
    main(["store", "why", request.model, *request.datasets, "--", "--splits", "2", "--bootstrap", "0"])
    told = capsys.readouterr().out
    assert "it was made by other sources of score" in told
    assert told.splitlines()[0].startswith("activations: stored as")
    assert "other" not in told.splitlines()[0]


def test_a_value_of_an_earlier_version_is_shown(scored):
    from src.files import encode_json

    _, config = scored
    [item] = [item for item in Store(config, read_only=True).items() if item.kind == "score"]
    content = json.loads(item.paths[0].read_text())
    content.pop("checksum")
    content["key"]["version"] = 2
    item.paths[0].write_bytes(encode_json(content))
    [item] = [item for item in Store(config, read_only=True).items() if item.kind == "score"]
    assert item.outdated.startswith("version 2 of the score, now ")


def test_a_begun_folder_of_other_sources_is_begun_again(scored, monkeypatch, caplog):
    from src.store.activations import _is_begun_by_other_code
    from src.store.folder import Folder

    request, config = scored
    key = keys(request, config)[0]
    [item] = [item for item in Store(config, read_only=True).items() if item.kind == "activations"]
    folder = Folder(item.paths[0], key, dict(item.manifest["sizes"]), item.manifest["ids"])
    assert folder.read()
    folder.done[2] = False
    assert not _is_begun_by_other_code(folder)
    monkeypatch.setattr(stages, "stage_digest", lambda stage: "f" * 16)
    assert _is_begun_by_other_code(folder)
    folder.done[2] = True
    assert not _is_begun_by_other_code(folder)
    assert "was begun by other sources of activations" in caplog.text
