"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("report-theme"); } catch { return null; } };
  const show = (theme) => {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Show in ${theme === "dark" ? "light" : "dark"} colours`);
    dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("report-theme", theme); } catch { /* storage can be disabled for local files */ }
    show(theme);
  });
  dark.addEventListener("change", () => stored() || show(dark.matches ? "dark" : "light"));
  show(stored() || (dark.matches ? "dark" : "light"));

  const sortValue = (cell) => {
    const value = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(value);
    return value === "" || value === "–" ? null : Number.isNaN(number) ? value.toLowerCase() : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const sort = (heading) => {
    const table = heading.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const descending = heading.getAttribute("aria-sort") !== "descending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
    const known = rows.filter(([value]) => value !== null).sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
    // missing values are last in both directions
    for (const [, row] of [...known, ...rows.filter(([value]) => value === null)]) body.append(row);
  };
  for (const heading of document.querySelectorAll("table.sortable thead th")) {
    heading.tabIndex = 0;
    heading.addEventListener("click", () => sort(heading));
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(heading); }
    });
  }
  // open the enclosing <details> of a link's target
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let details = target && target.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
