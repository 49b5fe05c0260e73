"""`report relevance` finds the planted tasks, groups and axes in stored scores alone."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.planted_scores import CAUSAL, fill, model_names, task_scores
from src.cli import run_command
from src.config import Config
from src.report.page import render
from src.report.relevance import across_models
from src.report.relevance_pictures import pictures
from src.report.scores import collect
from tests.report.test_report_figures import check_texts

main = partial(run_command, "report")
N_MODELS = 30
TASKS = [f"task-{i:02d}" for i in (0, 1, 2, 7)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Store of 30 models, four tasks of which two are causal, films with vertices, and a behaviour."""
    home = tmp_path_factory.mktemp("planted")
    config = Config(home, home / "activations", home / "results", home, cores=1)
    fill(config, N_MODELS, n_tasks=2, vertices=True)
    return SimpleNamespace(config=config, home=home)


@pytest.fixture
def homes(planted, monkeypatch):
    for variable, folder in (("RESULTCACHING_HOME", "results"), ("MMAP_HOME", "activations"), ("DATA_HOME", "data")):
        monkeypatch.setenv(variable, str(planted.home / folder))
    return planted


def title(name):
    return f"{name} (4 splits)"


def test_planted_tasks_explain_the_alignment(planted):
    benchmarks, _ = collect(planted.config)
    found = across_models(benchmarks, n_samples=100)
    films = next(study for study in found.studies if study.benchmark.datasets == ("films",))
    rows = [row for row in found.tables["weights"] if row["benchmark"] == title("films")]
    weights = {(row["region"], row["task"]): row for row in rows}
    assert films.regression.regions == ("", "V1", "V2", "MT", "LO")
    for task, truth in CAUSAL.items():
        assert weights["", task]["slope"] == pytest.approx(truth, abs=0.05)
        assert weights["", task]["low"] > 0.01
    for task in ("task-00", "task-01"):
        assert weights["", task]["slope"] == pytest.approx(0, abs=0.05)
    # V1 follows the first causal task alone, LO the second
    first, second = CAUSAL
    assert weights["V1", first]["slope"] == pytest.approx(1.0, abs=0.05)
    assert weights["V1", second]["slope"] == pytest.approx(0, abs=0.02)
    assert weights["LO", second]["slope"] == pytest.approx(0.6, abs=0.05)
    sets = {row["tasks"]: row for row in found.tables["sets"] if row["benchmark"] == films.benchmark.title}
    rows = [r for r in found.tables["sets"] if r["benchmark"] == films.benchmark.title and not r["region"]]
    assert rows[-1]["n_tasks"] == 4
    assert rows[-1]["residual"] <= 0.02
    assert rows[-1]["adjusted_r2"] > 0.95
    assert f"{first} + {second}" in sets


def test_axes_of_units_separate_the_two_halves(planted):
    benchmarks, _ = collect(planted.config)
    found = across_models(benchmarks, n_samples=40, units=True)
    films = next(study for study in found.studies if study.benchmark.datasets == ("films",))
    axes = films.regression.axes
    assert axes.coordinates.shape == (40, 2)
    loadings = dict(zip(films.regression.tasks, axes.loadings[0], strict=True))
    assert {task for task, value in loadings.items() if abs(value) > 0.3} == set(CAUSAL)
    assert axes.share[0] > 0.95
    assert np.ptp(axes.coordinates[:20, 0]) < 0.01
    assert axes.coordinates[:20, 0].mean() > axes.coordinates[20:, 0].mean() + 0.1
    residuals = films.regression.units.residuals
    first, second = ((task,) for task in CAUSAL)
    assert residuals[first][:20].max() < 0.02 < residuals[second][:20].min()


def test_groups_and_behaviour(planted):
    benchmarks, _ = collect(planted.config)
    found = across_models(benchmarks, n_samples=100)
    groups = {row["group"]: row for row in found.tables["groups"] if row["benchmark"] == title("films")}
    assert groups["control"]["models"] == 1
    assert groups["control"]["low"] is None
    assert groups["image"]["low"] < groups["image"]["mean"] < groups["image"]["high"]
    (dynamics,) = (row for row in found.tables["dynamics"] if row["benchmark"] == title("films"))
    assert dynamics["dynamic"] - dynamics["static"] == pytest.approx(dynamics["difference"])
    (behaviour,) = found.tables["behaviour"]
    scores = np.array([task_scores(name)[2] for name in model_names(N_MODELS)])
    alignment = {row["model"]: row["alignment"] for row in found.tables["models"] if row["benchmark"] == title("films")}
    expected = np.corrcoef(scores, [alignment[name] for name in model_names(N_MODELS)])[0, 1]
    assert behaviour["r"] == pytest.approx(expected, abs=0.01)
    models = [row for row in found.tables["models"] if row["benchmark"] == title("films")]
    assert max(abs(row["residual"]) for row in models) < 0.03


def test_regions_and_groups_need_no_arrays(planted, monkeypatch):
    from src.store import StoredItem

    benchmarks, _ = collect(planted.config)
    monkeypatch.setattr(StoredItem, "read_arrays", lambda self: pytest.fail("arrays were read"))
    assert across_models(benchmarks, n_samples=10).studies


@pytest.mark.slow
def test_the_command_writes_page_tables_and_maps(homes, tmp_path, capsys):
    before = sorted((p, p.stat().st_mtime_ns) for p in homes.config.results_home.rglob("*"))
    out = tmp_path / "r"
    assert main(["relevance", "-o", str(out), "--tables", "csv", "--maps"]) == 0
    printed = capsys.readouterr().out
    assert "adjusted R²" in printed
    assert "all 4 tasks" in printed
    page = (out / "relevance.html").read_text()
    assert page.count("data-figure=") == page.count("<figure") > 12
    assert "Tang et al. 2025" in page
    assert not [tag for tag in ("<script src", "url(http") if tag in page]
    weights = pd.read_csv(out / "tables" / "relevance-weights.csv")
    assert set(weights["task"]) == set(TASKS)
    assert len(list((out / "maps").rglob("*.gii"))) == 2 * 6
    assert before == sorted((p, p.stat().st_mtime_ns) for p in homes.config.results_home.rglob("*"))


def test_figures_become_files(homes, tmp_path, capsys):
    out = tmp_path / "r"
    assert (
        main(["relevance", "-q", "-o", str(out), "--no-units", "--format", "svg", "--datasets", "films", *TASKS]) == 0
    )
    printed = capsys.readouterr().out
    assert "7 figures in" in printed
    assert "all 4 tasks" in printed
    names = {path.stem for path in (out / "figures" / "films-4-splits").iterdir()}
    figures = ("groups", "tasks", "residuals", "weights", "weights-regions", "loadings", "axes")
    assert names == {f"relevance-{name}" for name in figures}


def test_no_texts_of_figures_across_models_overlap_or_are_cut_off(planted):
    benchmarks, _ = collect(planted.config)
    across = across_models(benchmarks, n_samples=10, units=True)
    found = [picture for study in across.studies for picture in pictures(study, across)]
    assert len(found) > 8
    for picture in found:
        if picture.spec["kind"] != "surface":
            check_texts(picture.name, picture.spec)


def test_maps_are_read_by_nilearn(homes, tmp_path, capsys):
    from nilearn import datasets, surface

    assert main(["-q", "-o", str(tmp_path), "--datasets", "films", "--top", "1", "--maps"]) == 0
    assert "4 maps in" in capsys.readouterr().out
    benchmark = collect(homes.config, datasets=["films"])[0][0]
    (left,) = tmp_path.rglob(f"maps-raw-{benchmark.scores[0].label}.L.func.gii")
    meshes = datasets.fetch_surf_fsaverage("fsaverage5")
    mesh = surface.PolyMesh(left=meshes["pial_left"], right=meshes["pial_right"])
    right = left.with_name(left.name.replace(".L.", ".R."))
    image = surface.SurfaceImage(mesh, {"left": str(left), "right": str(right)})
    assert image.shape[0] == 20484
    values = np.asarray(image.data.parts["left"]).ravel()
    assert np.isfinite(values).sum() == 40
    assert np.isnan(np.asarray(image.data.parts["right"])).all()
    best = benchmark.scores[0].best_per_unit["test"]
    np.testing.assert_allclose(values[np.arange(40) * 256], best, rtol=1e-6)


def test_the_section_is_in_the_report(planted):
    benchmarks, problems = collect(planted.config)
    page, _ = render(benchmarks, problems, 1)
    assert '<section id="across">' in page
    assert "all 4 tasks" in page
    assert 'href="#across"' in page


def test_what_is_missing_is_said(score_store, tmp_path, capsys):
    for i, level in enumerate((0.2, 0.3, 0.4, 0.5, 0.6)):
        score_store.add(model=f"net-{i}", level=level, n_layers=2)
    benchmarks, problems = collect(score_store.config)
    page, _ = render(benchmarks, problems, 1)
    assert "No task relevance: no task with scores of half of the models" in page
    assert main(["relevance", "-q", "-o", str(tmp_path / "r")]) == 0
    assert "no task relevance: no task with scores" in capsys.readouterr().out
    assert main(["relevance", "-q", "-o", str(tmp_path / "r2"), "--models", "net-1"]) == 2
    assert "no stored benchmark of fMRI, electrodes or behaviour has two models" in capsys.readouterr().err
    assert not (tmp_path / "r2").exists()


def test_one_model_has_no_section(score_store):
    score_store.add()
    benchmarks, problems = collect(score_store.config)
    assert "Across models" not in render(benchmarks, problems, 1)[0]
