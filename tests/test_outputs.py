"""docs/outputs.md names every column of every file, and nothing else."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from benchmarks.planted_scores import arrays_of, fill, films, put
from src.config import Config
from src.evaluate.protocol import Protocol
from src.grid.collect import COLUMNS
from src.pipeline.score import Score, write_scores
from src.pipeline.summary import summarise
from src.report.against import rank_against
from src.report.bundle import write_bundle
from src.report.export import all_tables
from src.report.relevance import TABLES, across_models
from src.report.scores import collect
from src.store import Store

PROTOCOL = Protocol().title

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "outputs.md").read_text()


OTHER_CURVE = {"time_course": ("delay_profile", "delay_"), "delay_profile": ("time_course", "time_bin_")}


def documented(title, curve="time_course"):
    """Columns in the table below a heading of the page, without those of another curve."""
    part = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
    rows = re.findall(r"^\| (\S+) \| (.+) \|$", part, re.MULTILINE)
    assert all(meaning.strip() for _, meaning in rows)
    return [
        column for column, _ in rows if column not in ("column", "---") and not column.startswith(OTHER_CURVE[curve])
    ]


@pytest.fixture(scope="module", params=["time_course", "delay_profile"])
def curve(request):
    """The kind of curve of the score."""
    return request.param


@pytest.fixture(scope="module")
def score(curve):
    """Score with every array that a computation can store."""
    rng = np.random.default_rng(0)
    test = rng.uniform(0.3, 0.6, (2, 6, 3))
    arrays = {"layers": np.array(["early", "late"]), "test": test, "valid": test - 0.01, "null_valid": 0 * test}
    arrays |= {"null_test": 0 * test, "layer_choice": np.array(["nested", "per target"])}
    arrays |= {"target_target_id": np.array([f"unit-{i}" for i in range(6)]), "target_region": np.array(list("AAABBB"))}
    arrays |= {"ceiling": np.full(6, 0.9), "reliability": np.full(6, 0.8), "masked": np.arange(6) == 5}
    arrays |= {"ceiling_spread": np.full(6, 0.1), "ceiling_error": np.full(6, 0.1)}
    arrays |= {name: rng.uniform(0.3, 0.6, 6) for name in ("low", "high", "p", "q")}
    names = ("", "_normalised", "_one_layer", "_one_layer_normalised")
    arrays |= {f"bootstrap{name}": rng.uniform(0.3, 0.6, 50) for name in names}
    arrays |= {"bootstrap_regions": rng.uniform(0.3, 0.6, (2, 50)), "resampled": np.array(["segments", "0"])}
    arrays |= {"null": rng.normal(0, 0.1, 20), "classes": np.array(["dog", "cat"])}
    arrays |= {"confusion_human": np.eye(2), "confusion_model": np.stack([np.eye(2)] * 2)}
    arrays |= {"split_films": np.array(["a", "b", ""]), "split_distance": np.ones((2, 3))}
    arrays |= {"split_distance_low_level": np.ones(3)}
    arrays |= {"subjects": np.array(["p", "q"]), "subject_test": rng.uniform(0.1, 0.3, (2, 6, 3))}
    arrays |= {"subject_segments": rng.uniform(0.1, 0.3, (2, 8)), "subject_shown": np.array([2, 0, 4.0])}
    arrays |= {"subject_ceiling": np.full((2, 6), 0.5), "subject_ceiling_error": np.full((2, 6), 0.1)}
    ridge = ("subject_ceiling_ridge", "subject_ceiling_ridge_error")
    arrays |= dict.fromkeys(ridge, np.full((2, 6), 0.2))
    arrays |= {"subject_ceiling_kind": np.array(["split-half", "inter-subject"]), "widening": np.array(1.4)}
    arrays |= {"partition_sets": np.array(["video", "frozen"]), "partition_areas": rng.uniform(0, 0.2, (3, 4, 3))}
    arrays |= {
        name: rng.uniform(0, 0.2, (2, 6)) for name in ("unique", "unique_low", "unique_high", "unique_q", "alone")
    }
    arrays |= {name: rng.uniform(0, 0.2, 6) for name in ("joint", "shared", "shared_low", "shared_high")}
    parts = ("", "_low", "_high", *(["_ceiling"] if curve == "time_course" else []))
    arrays |= {f"{curve}{part}": rng.uniform(0.1, 0.3, (6, 4)) for part in parts}
    arrays |= {f"{curve}_ms": 20.0 * np.arange(4)[:, None] + [0, 20], f"{curve}_ends": np.full((3, 4, 2), 0.2)}
    arrays |= {"bands": np.array(["early", "late"]), "band_weight": np.full((2, 6, 3), 0.5)}
    arrays |= {"alpha": np.ones((2, 3)), "alpha_per_target": np.ones((2, 6, 3)), "band_alpha": np.ones((2, 6, 3))}
    facts = {"benchmark": "fmri", "model": "net", "datasets": ["films"], "metric": "pearson", "data": {}}
    facts["context_ms"] = 4000.0
    facts |= {"options": {"protocol": PROTOCOL, "splits": 3}} | summarise(arrays, {})
    return Score(facts, arrays, "fmri-net-films-0", {"commit": "abc123"})


def without_own_columns(columns):
    """The columns with those of the target table as one."""
    named = ["target_*" if name.startswith("target_") and name != "target_id" else name for name in columns]
    named = ["subject_*" if name in ("subject_p", "subject_q") else name for name in named]
    return list(dict.fromkeys(re.sub(r"^(time_course|delay_profile)_\d+$", r"\1_*", name) for name in named))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_score_tables(score, curve, suffix, tmp_path):
    write_scores([score, replace(score, facts={**score.facts, "context_ms": 1000.0})], tmp_path / f"s.{suffix}")
    table = (pd.read_csv if suffix == "csv" else pd.read_parquet)(tmp_path / f"s.{suffix}")
    assert sorted(without_own_columns(table.columns)) == sorted(documented("Score tables", curve))
    assert set(table["key"].astype(str)) == {"fmri-net-films-0"}
    assert set(table["commit"].astype(str)) == {"abc123"}
    assert json.loads(str(table["options"].iloc[0])) == score.facts["options"]
    assert set(table["target_region"]) == {"A", "B"}


def test_score_json(score, curve, tmp_path):
    score.write(tmp_path / "s.json")
    (content,) = json.loads((tmp_path / "s.json").read_text())
    assert sorted(content) == sorted(documented("Score JSON"))
    assert (content["key"], content["commit"]) == ("fmri-net-films-0", "abc123")
    # one score has no windows
    rows = set(documented("Score tables", curve)) - {"key", "commit", "options", "window_ms"}
    assert set(without_own_columns(content["scores"][0])) == rows


def test_score_netcdf(score, curve, tmp_path):
    score.write(tmp_path / "s.nc")
    with xr.open_dataset(tmp_path / "s.nc") as data:
        names = [*data.data_vars, *data.coords, *data.attrs]
        assert sorted(without_own_columns(names)) == sorted(documented("Score netCDF", curve))
        chosen = data["test"].sel(layer="late", target="unit-3", split=1)
        assert float(chosen) == score.arrays["test"][1, 3, 1]
        assert str(chosen["target_region"].values) == "B"
        draws = data["bootstrap_regions"].sel(region="B", draw=4)
        assert float(draws) == score.arrays["bootstrap_regions"][1, 4]
        assert float(data["confusion_model"].sel(layer="early", shown="cat", answer="cat")) == 1
        assert data.attrs["key"] == "fmri-net-films-0"
        assert json.loads(data.attrs["options"]) == score.facts["options"]


def test_own_columns_of_any_name_are_kept(score):
    named = {f"target_{name}": np.arange(6) for name in ("id", "test", "layer", "masked")}
    found = Score(score.facts, score.arrays | named, score.key)
    table, arrays = found.to_dataframe(), found.to_xarray()
    for name in ("target_own_id", "target_test", "target_layer", "target_masked"):
        assert sorted(set(table[name])) == list(range(6))
        assert arrays[name].values.tolist() == list(range(6))
    np.testing.assert_array_equal(table["test"], score.arrays["test"].ravel())


def test_grid_collect():
    assert documented("Grid collect") == list(COLUMNS)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    home = tmp_path_factory.mktemp("planted")
    config = Config(home, home / "activations", home / "results", home, cores=1)
    for name in fill(config, 20, n_tasks=2):
        put(Store(config), "fmri", name, "films", films(name, 40), "r2")
    arrays = arrays_of(np.full(4, 0.5), {"target_id": list("abcd")})
    arrays |= {"time_course": np.full((4, 2), 0.5), "time_course_ms": np.array([[0.0, 20.0], [20.0, 40.0]])}
    put(Store(config), "electrodes", "pixels", "array", arrays)
    for context_ms in (1000.0, 4000.0):
        put(Store(config), "electrodes", "r3d_18", "array", arrays, context_ms=context_ms)
    write_bundle(config, home / "bundle")
    return config, home / "bundle"


@pytest.fixture(scope="module")
def tables(planted):
    config, bundle = planted
    benchmarks, _ = collect(config)
    found = all_tables(benchmarks, 2, rank_against(benchmarks, [bundle]))
    across = across_models(benchmarks, n_samples=10).tables
    return found, across, [b.title for b in benchmarks]


def columns_of(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


@pytest.mark.parametrize(
    "name",
    ["scores", "layers", "regions", "curves", "windows", "pairs", "metrics", "leaderboard", "provenance", "against"],
)
def test_report_tables(tables, name):
    found, _, titles = tables
    columns = ["(title)" if column in titles else column for column in columns_of(found[name])]
    assert list(dict.fromkeys(columns)) == documented(f"Report: {name}")
    names = {
        "scores",
        "layers",
        "regions",
        "curves",
        "windows",
        "pairs",
        "metrics",
        "leaderboard",
        "provenance",
        "against",
    }
    assert set(found) == names


@pytest.mark.parametrize("name", TABLES)
def test_relevance_tables(tables, name):
    assert columns_of(tables[1][name]) == documented(f"Relevance: {name}")


@pytest.mark.parametrize("name", ["scores", "regions", "layers", "replicates"])
def test_bundle_tables(planted, name):
    table = pd.read_parquet(planted[1] / f"{name}.parquet")
    assert list(table.columns) == documented(f"Bundle: {name}")


def test_bundle_card(planted):
    card = json.loads((planted[1] / "card.json").read_text())
    assert list(card) == documented("Bundle: card.json")
