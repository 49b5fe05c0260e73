"use strict";
// Filters of the page, its deep links (#?dataset=...&region=...&group=...&model=...&scale=raw&at=section), and the first chart.
(() => {
  const { overview, figures } = Report.data;
  const $ = (id) => document.getElementById(id);
  const FIRST = 20;
  const state = { dataset: "", region: "", group: "", model: "", scale: "", at: "", all: false };
  const NAMES = ["dataset", "region", "group", "model", "scale"];
  const groupOf = Object.fromEntries(overview.models.map((model, i) => [model, overview.groups[i]]));
  const known = new Set(overview.models);
  const wanted = () => state.model.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
  const isShown = (model) => (!state.group || groupOf[model] === state.group) && (!wanted().length || wanted().some((word) => model.toLowerCase().includes(word)));
  const isFiltered = () => Boolean(state.group || wanted().length);

  const datasets = [...new Map(overview.views.map((view) => [view.dataset, view.label]))];
  const currentView = () => {
    const dataset = state.dataset || datasets[0][0];
    return overview.views.find((view) => view.dataset === dataset && view.region === state.region) || overview.views.find((view) => view.dataset === dataset);
  };
  const option = (value, text) => new Option(text, value);
  const fill = () => {
    $("f-dataset").replaceChildren(...datasets.map(([id, label], i) => option(i ? id : "", label)));
    const view = currentView(), regions = overview.views.filter((one) => one.dataset === view.dataset && one.region).map((one) => one.region);
    $("f-region").replaceChildren(option("", regions.length ? "all" : "none"), ...regions.map((name) => option(name, name)));
    $("f-region").disabled = !regions.length;
    $("f-scale").replaceChildren(option("", view.key), ...(view.raw ? [option("raw", view.raw)] : []));
    $("f-scale").disabled = !view.raw;
    for (const name of NAMES) $(`f-${name}`).value = state[name];
    if ($("f-scale").value !== state.scale) { state.scale = ""; $("f-scale").value = ""; }
  };

  const median = (values) => {
    const sorted = values.filter((value) => value !== null).sort((a, b) => a - b), half = Math.floor(sorted.length / 2);
    return sorted.length ? (sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2) : null;
  };
  const spec = () => {
    const view = currentView(), raw = state.scale === "raw" && Boolean(view.raw), from = raw ? 5 : 1;
    const value = (row) => row.slice(from, from + 3);
    const controls = new Set(Object.values(overview.controls).flat());
    const ranked = view.rows.map((row, i) => ({ row, rank: i + 1, model: overview.models[row[0]] }));
    const kept = ranked.filter((one) => isShown(one.model));
    const shown = state.all ? kept : kept.slice(0, FIRST);
    const isTied = (one) => one.row[4] === true && view.rows.length > 1;
    const pick = (test, k) => shown.map((one) => (test(one) ? value(one.row)[k] : null));
    const kinds = [["best, and not told apart from it", 1, false, isTied], ["other models", 0, false, (one) => !isTied(one) && !controls.has(one.row[0])],
      ["controls", -1, true, (one) => !isTied(one) && controls.has(one.row[0])]].filter(([, , , test]) => shown.some(test));
    const references = [];
    const ceiling = view.ceilings[raw ? 1 : 0];
    if (ceiling !== null) references.push({ name: "noise ceiling", value: ceiling });
    for (const [name, members] of Object.entries(overview.controls)) {
      const found = view.rows.filter((row) => members.includes(row[0])).map((row) => value(row)[0]), middle = median(found);
      if (middle !== null) references.push({ name: found.length > 1 ? `${name}, median of ${found.length}` : name, value: +middle.toPrecision(5) });
    }
    const numbers = [...shown.flatMap((one) => value(one.row)), ...references.map((line) => line.value), 0].filter((one) => one !== null);
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)], margin = 0.04 * (high - low || 1);
    return { view, kept: kept.length, of: ranked.length, spec: {
      kind: "dots", row: Math.max(20, Math.min(44, 260 / shown.length)), title: `${view.label}${view.region ? `, ${view.region}` : ""}: models by headline`, caption: view.words.join(" "), xlabel: raw ? view.raw : view.key, ylabel: "model",
      limits: [low < 0 ? low - margin : low, high + margin], references,
      series: kinds.map(([name, colour, hollow]) => ({ name, colour, hollow, line: false })),
      panels: [{ title: "", rows: shown.map((one) => one.model), labels: shown.map((one) => `${one.rank}  ${one.model}`), strong: shown.map(isTied), hrefs: shown.map(() => view.href),
        x: kinds.map(([, , , test]) => pick(test, 0)), low: kinds.map(([, , , test]) => pick(test, 1)), high: kinds.map(([, , , test]) => pick(test, 2)) }],
    } };
  };

  const drawOverview = () => {
    const { view, kept, of, spec: made } = spec(), host = $("overview-plot");
    $("found").textContent = view.words[0];
    $("data").textContent = view.words[1];
    const noIntervals = view.region && view.raw && state.scale !== "raw" ? " Intervals of a region are stored for the raw score: choose it as the scale." : "";
    const partly = kept < of ? `${kept} of ${of} models pass the filters; ranks and sentences are of all models.` : "";
    $("partly").textContent = (partly + noIntervals).trim();
    const more = $("more");
    more.hidden = kept <= FIRST;
    more.textContent = state.all ? `Show the first ${FIRST}` : `Show all ${kept} models`;
    more.setAttribute("aria-expanded", state.all);
    $("overview-tools").hidden = !kept;
    if (!kept) { host.textContent = "No model passes the filters."; return; }
    Report.specs["overview"] = made;
    Charts.draw(host, made, `${made.title}. ${view.words[0]}`);
  };

  // the same filter for the other figures and the tables
  const filtered = (one) => {
    if (!isFiltered()) return one;
    const panels = one.panels.filter((panel) => !known.has(panel.model) || isShown(panel.model)).map((panel) => {
      if (one.by !== "rows") return panel;
      const keep = panel.rows.map((name) => !known.has(name) || isShown(name)), only = (list) => list?.filter((_, i) => keep[i]);
      return { ...panel, rows: only(panel.rows), framed: only(panel.framed || []), values: only(panel.values), x: panel.x?.map(only), low: panel.low?.map(only), high: panel.high?.map(only) };
    }).filter((panel) => !panel.rows || panel.rows.length);
    return { ...one, panels };
  };
  const drawFigure = (host) => {
    const one = filtered(figures[host.dataset.figure]);
    Report.specs[host.dataset.figure] = one;
    host.dataset.drawn = "1";
    host.closest("figure").querySelector(".downloads").hidden = !one.panels.length;
    if (!one.panels.length) { host.textContent = "None of the models in this figure passes the filters."; host.style.minHeight = ""; return; }
    Charts.draw(host, one, `${one.title}. ${one.caption}`);
  };
  const hosts = [...document.querySelectorAll("[data-figure]")];
  const reserve = (host) => { if (!host.dataset.drawn && host.clientWidth) host.style.minHeight = `${Charts.height(host, filtered(figures[host.dataset.figure]))}px`; };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && !entry.target.dataset.drawn) drawFigure(entry.target);
  }, { rootMargin: "700px" });
  const redraw = () => {
    for (const host of hosts) { delete host.dataset.drawn; near.unobserve(host); }
    for (const host of hosts) if (!host.closest("section").hidden) { reserve(host); near.observe(host); }
  };
  const drawAll = () => { for (const host of hosts) if (!host.dataset.drawn && host.clientWidth) drawFigure(host); };
  window.drawAll = drawAll;
  addEventListener("beforeprint", drawAll);

  const apply = () => {
    fill();
    drawOverview();
    for (const row of document.querySelectorAll("tr[data-model]")) row.hidden = !isShown(row.dataset.model);
    // a mean over benchmarks has no section: all of them are shown
    const chosen = document.querySelector(`section[data-dataset="${CSS.escape(state.dataset)}"]`) ? state.dataset : "";
    for (const section of document.querySelectorAll("section[data-dataset]")) section.hidden = Boolean(chosen) && section.id !== chosen;
    for (const link of document.querySelectorAll("nav.contents a[data-dataset]")) link.hidden = Boolean(chosen) && link.dataset.dataset !== chosen;
    redraw();
    dispatchEvent(new Event("filterchange"));
  };
  Report.isShown = isShown;
  const address = () => {
    const parts = new URLSearchParams();
    for (const name of NAMES) if (state[name]) parts.set(name, state[name]);
    return parts.toString() ? `#?${parts}` : "#";
  };
  // a page that is embedded in another one has no address of its own
  const remember = () => { try { history.replaceState(null, "", address()); } catch { /* filters still work */ } };
  const change = (name, value) => {
    state[name] = value;
    if (name === "dataset") state.region = state.scale = "";
    apply();
    remember();
  };
  for (const name of NAMES) $(`f-${name}`).addEventListener(name === "model" ? "input" : "change", (event) => change(name, event.target.value));
  $("reset").addEventListener("click", () => {
    for (const name of NAMES) state[name] = "";
    apply();
    remember();
  });
  $("more").addEventListener("click", () => { state.all = !state.all; drawOverview(); });
  const read = () => {
    if (!location.hash.startsWith("#?")) return false;
    const parts = new URLSearchParams(location.hash.slice(2));
    for (const name of NAMES) state[name] = parts.get(name) || "";
    if (!datasets.some(([id]) => id === state.dataset)) state.dataset = "";
    state.at = parts.get("at") || "";
    return true;
  };
  addEventListener("hashchange", () => { if (read()) { apply(); $(state.at)?.scrollIntoView(); } });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-format]");
    if (!button) return;
    const host = button.closest("figure").querySelector(".plot"), name = host.dataset.figure || "overview";
    Charts.download(button.dataset.format, host.querySelector("svg"), Report.specs[name], name);
  });
  let width = innerWidth, timer = null;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; drawOverview(); redraw(); } }, 120);
  });
  const listed = $("models");
  listed.replaceChildren(...overview.models.map((model) => option(model, model)));
  read();
  apply();
  if (state.at) $(state.at)?.scrollIntoView();
})();
