"""Hook of the documentation site: parts of pages that are kept elsewhere in the repository.

A line `{{ README: Title }}` stands for a section of the README, `{{ FILE: path }}` for a Markdown file without its
title, `{{ TABLE: path: first cell }}` for a table of a Markdown file, and `{{ CELLS: path }}` for a program with `# %%`
cells. A fact is stated in one place this way.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = re.compile(r"^\{\{ (README|FILE|TABLE|CELLS): (.+) \}\}$", re.M)


def on_page_markdown(markdown: str, page, **_) -> str:
    """Return the text of a page with its parts in place; called by mkdocs for every page."""
    depth = page.file.src_uri.count("/")
    return LINE.sub(lambda found: relinked(PARTS[found[1]](found[2]), depth), markdown)


def section(title: str) -> str:
    """Return the text of a section of the README, without its title."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found:
        raise ValueError(f"the README has no section '{title}'; expected one of {re.findall('^## (.*)', text, re.M)}")
    return found[1].strip()


def file(path: str) -> str:
    """Return a Markdown file without its title."""
    return (ROOT / path).read_text(encoding="utf-8").split("\n", 1)[1].strip()


def table(reference: str) -> str:
    """Return the table of a Markdown file whose first cell is given, as "path: first cell"."""
    path, _, first = reference.partition(": ")
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n(?:\|.*\n)+", (ROOT / path).read_text(encoding="utf-8"), re.M)
    return found


def cells(path: str) -> str:
    """Return a program with `# %%` cells as Markdown: text, and blocks of Python."""
    parts = []
    for cell in (ROOT / path).read_text(encoding="utf-8").split("# %%")[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body.strip(), flags=re.M).replace("# Tutorial: ", "# ", 1))
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    # the page has the title
    return "\n\n".join(parts).partition("\n")[2]


PARTS = {"README": section, "FILE": file, "TABLE": table, "CELLS": cells}


def relinked(text: str, depth: int) -> str:
    """Return text with links as they are on a page of the site; those to files outside it become names."""
    text = re.sub(r"\]\(docs/", f"]({'../' * depth}", text)
    text = re.sub(r"\[([^\]]+)\]\(#metrics\)", rf"[\1]({'../' * depth}metrics.md)", text)
    outside = r"\[([^\]]+)\]\((?!https?:|#)([\w./-]+\.(?:py|cff|md))\)"
    return re.sub(outside, lambda link: link[0] if inside(link[2]) else f"`{link[2]}`", text)


def inside(target: str) -> bool:
    """Return True for a link to a page of the site."""
    return (ROOT / "docs" / target.lstrip("./")).exists()
