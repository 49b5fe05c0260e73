import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from src.report.page import render
from src.report.scores import collect
from src.report.text import number, p_value


class Reader(HTMLParser):
    """Parser that checks the nesting of tags and collects ids, links and external resources."""

    VOID = frozenset({"meta", "link", "br", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.fetched, self.scripts = [], [], [], [], 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.scripts += tag == "script"
        names = ("src", "srcset", "data") + (() if tag == "a" else ("href", "xlink:href"))
        self.fetched += [attributes[name] for name in names if name in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def read(score_store, top=3, **filters):
    benchmarks, problems = collect(score_store.config, **filters)
    page, _ = render(benchmarks, problems, top)
    reader = Reader()
    reader.feed(page)
    return page, reader


def data_of(page, name="report-data"):
    """Return the JSON in the page."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page)[1])


def records(page):
    """Return the provenance records, {name in the store: {column: text}}."""
    data = data_of(page)
    names = [column["name"] for column in data["tables"]["provenance"]["columns"]]
    rows = [[data["strings"][i] for i in row] for row in data["tables"]["provenance"]["rows"]]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def test_the_page_is_whole_and_needs_no_other_file(score_store):
    score_store.add(), score_store.add(model="poor", level=0.2), score_store.add(dataset="old", old=True)
    score_store.add(benchmark="behaviour", dataset="choices", n_targets=1, regions=(), confusions=True)
    page, reader = read(score_store)
    assert not [tag for tag in reader.open if tag not in ("html", "body")]
    assert all(target.startswith(("#", "data:")) for target in reader.fetched)
    assert not [call for call in ("url(http", "@import", "fetch(", "XMLHttp") if call in page]
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links} <= {*reader.ids, *records(page)}
    figures = data_of(page)["figures"]
    assert figures
    assert set(re.findall(r'data-figure="([^"]+)"', page)) == set(figures) <= set(reader.ids)
    tables = data_of(page)["tables"]
    assert set(re.findall(r'data-table="([^"]+)"', page)) == set(tables) - {"provenance"}
    # every figure, and the ranking, can be downloaded in three formats
    assert page.count("data-format=") == 3 * (len(figures) + 1)


def test_every_score_has_a_complete_provenance_record(score_store):
    score = score_store.add()
    page, _ = read(score_store)
    record = records(page)[score_store.path(score, "").name]
    assert record["data (digests)"] == ", ".join(score.key.data)
    assert record["activations (keys)"] == ", ".join(score.key.activations)
    assert "bootstrap 50" in record["options"]
    assert "splits 4" in record["options"]
    assert "numpy" in record["packages"]


def test_missing_values_are_dashes(score_store):
    score_store.add(old=True)
    page, _ = read(score_store)
    assert "permutation</small>" not in page
    score_store.add(model="tested", level=0.1)
    page, _ = read(score_store)
    assert "permutation</small>" in page
    row = re.search(r"<tbody>\s*<tr data-model=\"good\"><td data-value=\"1\">.*?</tr>", page, re.DOTALL)[0]
    assert row.count("–") >= 4
    text = page[: page.index('<script type="application/json"')]
    assert "None" not in re.sub(r"<[^>]*>", " ", text)
    assert "nan" not in row


def test_names_are_escaped(score_store):
    score_store.add(model="<script>alert('x')</script>", regions=("<b>V1", "V&2", '"MT"'))
    page, reader = read(score_store)
    assert not [name for name in ("<script>alert", "<b>V1") if name in page]
    assert reader.scripts == page.count("<script")


def test_the_folders_of_own_models_and_data_are_not_on_the_page(score_store):
    score_store.add(model="/home/someone/nets/net.py:make", dataset="~/films/own.py:load")
    score_store.add(model="Finetune-r3d_18=/scratch/someone/best.pt", level=0.3, dataset="~/films/own.py:load")
    page, _ = read(score_store)
    assert "net.py:make" in page
    assert "Finetune-r3d_18=best.pt" in page
    assert not [part for part in ("someone", "/home", "~/", "/scratch") if part in page]


def test_models_after_the_first_are_in_the_rankings_and_tables_alone(score_store):
    for i in range(4):
        score_store.add(model=f"model-{i}", level=0.3 + 0.1 * i, n_layers=2)
    page, _ = read(score_store, top=2)
    assert "Figures of single models show the 2 best" in page
    figures = {name.split("-splits-")[1]: spec for name, spec in data_of(page)["figures"].items()}
    assert len(figures["profiles"]["panels"]) == len(figures["units"]["panels"]) == 2
    assert len(figures["ranking"]["panels"][0]["rows"]) == 4
    assert all(page.count(f'<tr data-model="model-{i}"') == 1 for i in range(4))


def test_the_first_screen_ranks_the_models_and_says_what_was_found(score_store):
    levels = {"good": 0.6, "close": 0.599, "poor": 0.2, "pixels": 0.05, "Random-r3d_18": 0.1}
    noise = np.random.default_rng(1).normal(0, 0.05, 200)
    for name, level in levels.items():
        draws = (("bootstrap_normalised", level / 0.9 + noise + np.linspace(-0.01, 0.01, 200) * (name == "close")),)
        for dataset in ("films", "clips"):
            score_store.add(model=name, level=level, dataset=dataset, extra=draws)
    score_store.add(model="good", dataset="labels", benchmark="task", ceiling=False, n_targets=1, regions=())
    overview = data_of(read(score_store)[0])["overview"]
    mean = overview["views"][0]
    assert mean["dataset"] == "all"
    assert [overview["models"][row[0]] for row in mean["rows"]][2:] == ["poor", "Random-r3d_18", "pixels"]
    assert [row[4] for row in mean["rows"]] == [True, True, False, False, False]
    assert "1 of 4 other models cannot be told apart from it" in mean["words"][0]
    assert "Controls: pixels" in mean["words"][0]
    assert "2 of 3 benchmarks" in mean["words"][1]
    assert "motion energy" in mean["words"][1]
    assert overview["groups"][overview["models"].index("Random-r3d_18")] == "untrained"
    regions = [view["region"] for view in overview["views"] if view["label"].startswith("films")]
    assert regions == ["", "V1", "V2", "MT"]
    for view in overview["views"]:
        values = [row[1] for row in view["rows"]]
        assert values == sorted(values, reverse=True)
    # the same order in the leaderboard, and a raw scale beside the headline
    films = next(view for view in overview["views"] if view["label"].startswith("films") and view["region"] == "MT")
    assert films["raw"] == "test Pearson r"
    assert all(row[5] == pytest.approx(0.9 * row[1], abs=0.03) for row in films["rows"])


def test_a_figure_that_cannot_be_drawn_is_a_sentence(score_store):
    score_store.add(benchmark="electrodes", ceiling=False, regions=(), n_layers=1)
    page, _ = read(score_store)
    for sentence in ("No noise ceiling is stored", "no figure of regions", "no layer profile", "There is one model"):
        assert sentence in page


def test_there_is_a_surface_only_for_targets_that_are_vertices(score_store):
    score_store.add()
    assert "surface-data" not in read(score_store)[0].split("<script>")[0]
    assert "The targets are not vertices of fsaverage5" in read(score_store)[0]
    places = {"target_vertex": np.arange(30) * 300, "target_hemi": np.repeat(["L", "R"], 15)}
    score_store.add(dataset="cortex", n_layers=2, extra=tuple(places.items()))
    page, _ = read(score_store)
    maps = data_of(page, "surface-data")["maps"]
    names = [(one["label"], one["name"].split(",")[0]) for one in maps]
    raw, ratio = "test Pearson r", "test / ceiling"
    assert names == [(ratio, "good"), (raw, "noise ceiling"), (raw, "good"), ("best layer", "good")]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (-0.5, "−0.500"), (0.0, "0.000")]
)
def test_numbers_have_a_minus_sign_or_a_dash(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0004, "< 0.001"), (0.04761, "0.048"), (1.0, "1.000")])
def test_small_p_values_are_not_written_as_zero(value, text):
    assert p_value(value) == text
