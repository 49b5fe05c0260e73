import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from src.report.page import html, number, p_value
from src.report.scores import collect


class Reader(HTMLParser):
    """Checks that what is opened is closed, and gathers ids, links and what would be fetched."""

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


def read(shelf, top=3, **filters):
    benchmarks, problems = collect(shelf.config, **filters)
    page = html(benchmarks, problems, top)
    reader = Reader()
    reader.feed(page)
    return page, reader


def test_the_page_is_whole_and_needs_no_other_file(shelf):
    shelf.add(), shelf.add(model="poor", skill=0.2), shelf.add(dataset="old", old=True)
    shelf.add(benchmark="behaviour", dataset="choices", n_targets=1, regions=(), confusions=True)
    page, reader = read(shelf)
    assert not [tag for tag in reader.open if tag not in ("html", "body")]
    assert all(target.startswith(("#", "data:")) for target in reader.fetched)
    assert not [call for call in ("url(http", "@import", "fetch(", "XMLHttp") if call in page]
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert page.count("<svg ") == page.count("<figure")


def test_every_score_has_a_record_and_every_record_says_all(shelf):
    made = shelf.add()
    page, _ = read(shelf)
    record = page[page.index('id="provenance"') :]
    for text in (*made.key.data, *made.key.activations, "bootstrap 50", "numpy", "splits 4"):
        assert text in record
    assert f'<details id="{shelf.path(made, "").name}">' in record


def test_what_is_missing_is_a_dash(shelf):
    shelf.add(old=True)
    page, _ = read(shelf)
    row = re.search(r"<tbody>\s*<tr><td data-value=\"1\">.*?</tr>", page, re.DOTALL)[0]
    assert row.count("–") >= 4
    assert "None" not in re.sub(r"<[^>]*>", " ", page[: page.index("<script>")])
    assert "nan" not in row


def test_names_cannot_break_the_page(shelf):
    shelf.add(model="<script>alert('x')</script>", regions=("<b>V1", "V&2", '"MT"'))
    page, reader = read(shelf)
    assert not [name for name in ("<script>alert", "<b>V1") if name in page]
    assert reader.scripts == page.count("<script")


def test_models_beyond_the_first_are_in_the_tables_alone(shelf):
    for i in range(4):
        shelf.add(model=f"model-{i}", skill=0.3 + 0.1 * i, n_layers=2)
    page, _ = read(shelf, top=2)
    assert "The 2 best models; all are in the table." in page
    # ranking, two profiles, two heat maps, two of units, one of the pair
    assert page.count("<figure") == 8
    assert all(f'title="model-{i}"' in page for i in range(4))


def test_there_is_a_surface_where_targets_are_vertices_and_none_elsewhere(shelf):
    shelf.add()
    assert "surface-data" not in read(shelf)[0]
    places = {"target_vertex": np.arange(30) * 300, "target_hemi": np.repeat(["L", "R"], 15)}
    shelf.add(dataset="cortex", n_layers=2, extra=tuple(places.items()))
    page, _ = read(shelf)
    data = json.loads(re.search(r'<script type="application/json" id="surface-data">(.*?)</script>', page)[1])
    assert [one["name"] for one in data["maps"]] == ["Ceiling", "good: score", "good: best layer"]
    # three maps from three sides on two hemispheres
    assert page.count("<image") >= 18


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("nan"), "–"), (0.12345, "0.123"), (-0.5, "−0.500"), (0.0, "0.000")]
)
def test_numbers_are_written_to_be_read(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0004, "< 0.001"), (0.04761, "0.048"), (1.0, "1.000")])
def test_small_p_values_are_not_written_as_zero(value, text):
    assert p_value(value) == text
