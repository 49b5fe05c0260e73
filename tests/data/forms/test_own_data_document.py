"""docs/own-data.md names every option of the references, and no other one."""

import re
from pathlib import Path

import pytest

from src.data import forms
from src.data.forms.reference import COMMON

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "own-data.md").read_text()


@pytest.mark.parametrize("scheme", forms.FORMS)
def test_the_options_of_a_form_are_those_of_the_document(scheme):
    section = re.search(rf"^### {scheme}: .*?(?=^###? |\Z)", TEXT, re.M | re.S)[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.M)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(forms.FORMS[scheme].OPTIONS)


def test_the_common_options_are_named():
    assert all(f"`{name}`" in TEXT for name in COMMON)
