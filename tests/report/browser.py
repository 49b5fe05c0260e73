"""Layout and console of a page in a headless chromium."""

import importlib.util
import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--headless=new",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--disable-background-networking",
    "--enable-unsafe-swiftshader",
)

# overlapping texts and empty figures, the width of the page, the order of a sorted table, a pixel of the surface, the
# filters, the values for the keyboard, and the downloads
INSPECT = """
<script>addEventListener("load", () => setTimeout(async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  await new Promise((done) => setTimeout(done, 100));
  drawAll();
  const found = { overlaps: [], empty: [], cut: [], unfilled: [], marks: [], figures: 0, width: innerWidth,
    needs: document.documentElement.scrollWidth, theme: document.documentElement.dataset.theme };
  for (const svg of document.querySelectorAll("figure svg")) {
    found.figures++;
    const size = svg.getBoundingClientRect(), card = svg.closest("figure").getBoundingClientRect();
    const name = svg.getAttribute("aria-label"), shapes = svg.querySelectorAll("circle, rect, line, image").length;
    if (size.width < 100 || size.height < 40 || shapes < 3 || !(svg.dataset.marks > 0)) found.empty.push(name);
    if (Math.abs(size.width - card.width) > 2) found.unfilled.push([name, size.width, card.width]);
    if (svg.getAttribute("tabindex") !== "0" || svg.getAttribute("role") !== "img") found.marks.push(name);
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    for (const [text, box] of texts)
      if (Math.min(box.left - size.left, size.right - box.right, size.bottom - box.bottom, box.top - size.top) < -3)
        found.cut.push([text, name]);
    for (const [i, [a, one]] of texts.entries()) for (const [b, two] of texts.slice(i + 1)) {
      const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      if (across > 1.5 && down > 4) found.overlaps.push([a, b, name]);
    }
  }
  const sorted = [...document.querySelectorAll("#leaderboard thead th")][1];
  if (sorted) {
    sorted.querySelector("button").click();
    found.sorted = [...sorted.closest("table").tBodies[0].rows].map((row) => row.cells[1].dataset.value);
  }
  const tables = [...document.querySelectorAll("details[data-table]")];
  found.tables = [tables.length, tables.filter((one) => one.querySelectorAll("tbody tr").length).length];
  const first = document.querySelector("#overview-plot svg");
  first.focus();
  first.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }));
  found.spoken = document.getElementById("say").textContent;
  found.tip = document.getElementById("tip").textContent;
  found.csv = Charts.csv(Report.specs.overview);
  const alone = Charts.standalone(first, "title", "note").text;
  const parsed = new DOMParser().parseFromString(alone, "image/svg+xml");
  found.svg = [parsed.querySelectorAll("parsererror").length, alone.includes("var(")];
  found.png = await new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image.width); image.onerror = () => done(0);
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(alone)}`;
  });
  document.getElementById("theme").click();
  found.other = document.documentElement.dataset.theme;
  const canvas = document.getElementById("surface");
  if (canvas) {
    const gl = canvas.getContext("webgl"), pixel = new Uint8Array(4);
    if (gl) {
      gl.readPixels(canvas.width / 2, canvas.height / 2, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
      found.surface = [...pixel];
    }
    found.maps = document.getElementById("maps").options.length;
  }
  const choose = (id, value) => {
    const it = document.getElementById(id);
    it.value = value;
    it.dispatchEvent(new Event(id === "f-model" ? "input" : "change"));
  };
  choose("f-model", "poor");
  drawAll();
  const rows = [...document.querySelectorAll("tr[data-model]")];
  found.filtered = rows.filter((row) => !row.hidden).map((row) => row.dataset.model);
  found.shown = Object.values(Report.specs).flatMap((spec) => spec.panels.map((panel) => panel.model).filter(Boolean));
  const datasets = [...document.getElementById("f-dataset").options];
  found.sections = [datasets.find((one) => one.value === "shared"), datasets.at(-1)].map((one) => {
    choose("f-dataset", one.value);
    return [...document.querySelectorAll("section[data-dataset]")].filter((section) => !section.hidden).length;
  });
  document.body.dataset.found = JSON.stringify(found);
}, 100));</script>
"""


# findings of axe-core on the page with everything open, of the rules of WCAG A and AA and of good practice
AXE = """
<script>addEventListener("load", () => setTimeout(async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  drawAll();
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
  const found = { passes: passes.length, violations: violations.map((rule) =>
    [rule.id, rule.impact, rule.nodes.length, rule.nodes[0].html.slice(0, 200)]) };
  document.body.dataset.found = JSON.stringify(found);
}, 100));</script>
"""


def axe_core() -> str | None:
    """Return the source of axe-core, None if it is not installed; the package itself needs a driver."""
    found = importlib.util.find_spec("axe_playwright_python")
    return None if found is None else Path(found.submodule_search_locations[0], "axe.min.js").read_text()


# chromium's windows are at least 500 pixels wide; a frame can be narrower
FRAME = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe><script>setInterval(() => {{
  const inside = document.querySelector("iframe").contentDocument.body;
  if (inside && inside.dataset.found) document.body.dataset.found = inside.dataset.found;
}}, 50);</script>"""


def inspect(
    page: Path, folder: Path, width: int, *flags: str, height: int = 1000, script: str = INSPECT
) -> tuple[dict, list[str]]:
    """Return (findings of a script, lines of the console) of `page` in a frame `width` pixels wide."""
    framed = folder / f"framed-{width}.html"
    text = page.read_text().replace("</body>", script + "</body>")
    framed.write_text(FRAME.format(width=width, height=height, page=escape(text)))
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            *flags,
            f"--user-data-dir={folder / f'profile-{width}'}",
            f"--window-size={max(width, 500)},{height}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            framed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = re.search(r'<body[^>]* data-found="([^"]*)"', done.stdout)
    assert found, f"the page did not load\n{done.stderr[-2000:]}"
    return json.loads(unescape(found[1])), re.findall(r".*CONSOLE.*", done.stderr)
