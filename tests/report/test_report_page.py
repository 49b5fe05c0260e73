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

    VOID = frozenset({"meta", "link", "br"})

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


def test_the_page_is_whole_and_needs_no_other_file(score_store):
    score_store.add(), score_store.add(model="poor", level=0.2), score_store.add(dataset="old", old=True)
    score_store.add(benchmark="behaviour", dataset="choices", n_targets=1, regions=(), confusions=True)
    page, reader = read(score_store)
    assert not [tag for tag in reader.open if tag not in ("html", "body")]
    assert all(target.startswith(("#", "data:")) for target in reader.fetched)
    assert not [call for call in ("url(http", "@import", "fetch(", "XMLHttp") if call in page]
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert page.count("<svg ") == page.count("<figure")


def test_every_score_has_a_complete_provenance_record(score_store):
    score = score_store.add()
    page, _ = read(score_store)
    record = page[page.index('id="provenance"') :]
    for text in (*score.key.data, *score.key.activations, "bootstrap 50", "numpy", "splits 4"):
        assert text in record
    assert f'<details id="{score_store.path(score, "").name}">' in record


def test_missing_values_are_dashes(score_store):
    score_store.add(old=True)
    page, _ = read(score_store)
    row = re.search(r"<tbody>\s*<tr><td data-value=\"1\">.*?</tr>", page, re.DOTALL)[0]
    assert row.count("–") >= 4
    assert "None" not in re.sub(r"<[^>]*>", " ", page[: page.index("<script>")])
    assert "nan" not in row


def test_names_are_escaped(score_store):
    score_store.add(model="<script>alert('x')</script>", regions=("<b>V1", "V&2", '"MT"'))
    page, reader = read(score_store)
    assert not [name for name in ("<script>alert", "<b>V1") if name in page]
    assert reader.scripts == page.count("<script")


def test_models_after_the_first_are_only_in_the_tables(score_store):
    for i in range(4):
        score_store.add(model=f"model-{i}", level=0.3 + 0.1 * i, n_layers=2)
    page, _ = read(score_store, top=2)
    assert "The 2 best models; the table lists all models." in page
    # one ranking, two profiles, two heat maps, two scatter plots of units, one of the pair
    assert page.count("<figure") == 8
    assert all(f'title="model-{i}"' in page for i in range(4))


def test_there_is_a_surface_only_for_targets_that_are_vertices(score_store):
    score_store.add()
    assert "surface-data" not in read(score_store)[0]
    places = {"target_vertex": np.arange(30) * 300, "target_hemi": np.repeat(["L", "R"], 15)}
    score_store.add(dataset="cortex", n_layers=2, extra=tuple(places.items()))
    page, _ = read(score_store)
    data = json.loads(re.search(r'<script type="application/json" id="surface-data">(.*?)</script>', page)[1])
    assert [one["name"] for one in data["maps"]] == ["Noise ceiling", "good: score", "good: best layer"]
    # three maps, three views, two hemispheres
    assert page.count("<image") >= 18


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (-0.5, "−0.500"), (0.0, "0.000")]
)
def test_numbers_have_a_minus_sign_or_a_dash(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0004, "< 0.001"), (0.04761, "0.048"), (1.0, "1.000")])
def test_small_p_values_are_not_written_as_zero(value, text):
    assert p_value(value) == text
