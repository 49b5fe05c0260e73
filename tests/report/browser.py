"""Layout and console of a page in a headless chromium."""

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

# overlapping texts and empty figures, the width of the page, the order of a sorted table, and a pixel of the surface
INSPECT = """
<script>addEventListener("load", () => setTimeout(() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const found = { overlaps: [], empty: [], unlabelled: [], figures: 0, width: innerWidth,
    needs: document.documentElement.scrollWidth,
    theme: document.documentElement.dataset.theme };
  for (const svg of document.querySelectorAll("figure svg")) {
    found.figures++;
    const size = svg.getBoundingClientRect();
    const name = svg.getAttribute("aria-label"), marks = svg.querySelectorAll("path, use, image").length;
    if (size.width < 100 || size.height < 60 || marks < 3) found.empty.push(name);
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    found.unlabelled.push(...(texts.length < 3 ? [name] : []));
    for (const [i, [a, one]] of texts.entries()) for (const [b, two] of texts.slice(i + 1)) {
      const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      if (across > 1.5 && down > 3) found.overlaps.push([a, b, name]);
    }
  }
  const first = document.querySelector("table.sortable thead th:nth-child(5)");
  if (first) {
    first.click();
    found.sorted = [...first.closest("table").tBodies[0].rows].map((row) => row.cells[4].dataset.value);
  }
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
  document.body.dataset.found = JSON.stringify(found);
}, 50));</script>
"""


# chromium's windows are at least 500 pixels wide; a frame can be narrower
FRAME = """<!doctype html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:{height}px" srcdoc="{page}"></iframe><script>setInterval(() => {{
  const inside = document.querySelector("iframe").contentDocument.body;
  if (inside && inside.dataset.found) document.body.dataset.found = inside.dataset.found;
}}, 50);</script>"""


def inspect(page: Path, folder: Path, width: int, *flags: str, height: int = 1000) -> tuple[dict, list[str]]:
    """Return (findings of INSPECT, lines of the console) of `page` in a frame `width` pixels wide."""
    framed = folder / f"framed-{width}.html"
    text = page.read_text().replace("</body>", INSPECT + "</body>")
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
