"use strict";
// Long tables, made when they are opened; sorting of all tables; the hint that a table goes on to the right.
(() => {
  const { tables, strings } = Report.data;
  const STEP = 300;
  const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
  const SHOW = {
    text: (value) => [value ?? "–", value ?? ""],
    number: (value) => [number(value), value],
    spread: ([value, spread]) => [value === null ? "–" : number(value), value, spread === null || value === null ? "" : ` ±${number(spread)}`],
    interval: ([low, high]) => [low === null || high === null ? "–" : `[${number(low)}, ${number(high)}]`, low],
    count: (value) => [value === null ? "–" : value.toLocaleString("en"), value],
    p: (value) => [value === null ? "–" : value >= 0.001 ? value.toFixed(3) : "< 0.001", value],
    flag: (value) => [value ? "yes" : "", value ? 1 : 0],
  };
  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const cell = (value, column, isFirst) => {
    const [text, key, extra] = SHOW[column.kind](value), attributes = { "data-value": key ?? "" };
    if (column.kind === "text") attributes.class = "text";
    const made = element(isFirst ? "th" : "td", isFirst ? { ...attributes, scope: "row", class: "text model", title: text } : attributes, text);
    if (extra) made.append(element("span", { class: "muted" }, extra));
    return made;
  };
  const heading = (column) => {
    const made = element("th", { scope: "col", ...(column.kind === "text" ? { class: "text" } : {}) }, element("button", { type: "button" }, column.name));
    if (column.note) made.append(element("br"), element("small", {}, column.note));
    return made;
  };
  const build = (details) => {
    const table = tables[details.dataset.table];
    const rows = table.rows.filter((row) => Report.isShown(row[0]) || (table.columns[1].name === "model B" && Report.isShown(row[1])));
    const body = element("tbody"), head = element("thead", {}, element("tr", {}, ...table.columns.map(heading)));
    const made = element("table", { class: "sortable" }, ...(table.caption ? [element("caption", {}, table.caption)] : []), head, body);
    const scroll = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": details.querySelector("summary").textContent }, made);
    const more = element("button", { type: "button" });
    const add = () => {
      const from = body.rows.length;
      for (const row of rows.slice(from, from + STEP)) body.append(element("tr", {}, ...row.map((value, i) => cell(value, table.columns[i], i === 0))));
      const left = rows.length - body.rows.length;
      more.hidden = left <= 0;
      more.textContent = `Show ${Math.min(STEP, left)} more of ${rows.length} rows`;
    };
    more.addEventListener("click", add);
    details.querySelector(".made")?.remove();
    details.append(element("div", { class: "made" }, rows.length ? scroll : "No row passes the filters.", more));
    add();
    sortable(made, () => { while (body.rows.length < rows.length) add(); });
    watch(scroll);
  };
  const opened = [...document.querySelectorAll("details[data-table]")];
  for (const details of opened) details.addEventListener("toggle", () => { if (details.open && !details.querySelector(".made")) build(details); });
  addEventListener("filterchange", () => { for (const details of opened) if (details.querySelector(".made")) { if (details.open) build(details); else details.querySelector(".made").remove(); } });

  const sortValue = (one) => {
    const value = one.dataset.value ?? one.textContent.trim(), number_ = Number(value);
    return value === "" || value === "–" ? null : Number.isNaN(number_) ? value.toLowerCase() : number_;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const sortable = (table, complete = () => {}) => {
    for (const head of table.tHead.rows[0].cells) head.querySelector("button")?.addEventListener("click", () => {
      complete();
      const column = head.cellIndex, isDescending = head.getAttribute("aria-sort") !== "descending";
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [sortValue(row.cells[column]), row]);
      const known = rows.filter(([value]) => value !== null).sort(([a], [b]) => (isDescending ? compare(b, a) : compare(a, b)));
      // missing values are last in both directions
      for (const [, row] of [...known, ...rows.filter(([value]) => value === null)]) table.tBodies[0].append(row);
    });
  };
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);

  const watch = (scroll) => {
    const hint = element("p", { class: "hint muted", "aria-hidden": "true" });
    scroll.before(hint);
    const update = () => {
      const left = scroll.scrollWidth - scroll.clientWidth - scroll.scrollLeft;
      scroll.classList.toggle("goes-on", left > 2);
      const hidden = [...(scroll.querySelector("thead tr")?.cells ?? [])].filter((one) => one.getBoundingClientRect().left > scroll.getBoundingClientRect().right - 12).length;
      hint.textContent = left <= 2 ? "" : hidden ? `${hidden} more column${hidden > 1 ? "s" : ""} to the right: scroll →` : "more to the right: scroll →";
      hint.hidden = scroll.scrollWidth <= scroll.clientWidth + 2;
    };
    scroll.addEventListener("scroll", update, { passive: true });
    new ResizeObserver(update).observe(scroll);
    update();
  };
  for (const scroll of document.querySelectorAll("div.scroll")) watch(scroll);

  // provenance: one record per stored score, found by its name
  const { provenance } = tables, list = document.getElementById("records"), search = document.getElementById("f-record");
  const text = (index) => strings[index];
  const record = (row) => {
    const details = element("details", {}, element("summary", {}, `${text(row[2])} on ${text(row[1])}`));
    details.dataset.score = text(row[0]);
    details.addEventListener("toggle", () => {
      if (details.querySelector("table")) return;
      const rows = provenance.columns.map((column, i) => element("tr", {}, element("th", { scope: "row", class: "text" }, column.name), element("td", { class: "wrap mono" }, text(row[i]))));
      details.append(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": details.querySelector("summary").textContent }, element("table", {}, element("tbody", {}, ...rows))));
    });
    return details;
  };
  const fill = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = provenance.rows.filter((row) => words.every((word) => `${text(row[0])} ${text(row[1])} ${text(row[2])}`.toLowerCase().includes(word)));
    list.replaceChildren(...found.slice(0, 60).map(record));
    document.getElementById("n-records").textContent = found.length > 60 ? `60 of ${found.length.toLocaleString("en")} records; type to find others.` : `${found.length} record${found.length === 1 ? "" : "s"}.`;
  };
  search.addEventListener("input", fill);
  fill();
  const names = new Set(provenance.rows.map((row) => text(row[0])));
  const open = () => {
    const name = decodeURIComponent(location.hash.slice(1)), target = name && document.getElementById(name);
    if (names.has(name)) {
      search.value = name;
      fill();
      const details = list.querySelector("details");
      details.open = true;
      details.querySelector("summary").focus();
      document.getElementById("provenance").scrollIntoView();
      return;
    }
    for (let details = target && target.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
