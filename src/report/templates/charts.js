"use strict";
// Figures of the page: plain data of `figures.py` in, SVG of the width of the card out.
const Charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const FONT = 12, ROW = 20, TITLE = 20, GAP = 18;
  const rowOf = (spec) => spec.row || ROW;
  const pen = document.createElement("canvas").getContext("2d");
  const measure = (text, size = FONT, weight = 400) => {
    pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
    return pen.measureText(text).width;
  };
  // `share` of the letters that are kept are at the end
  const fit = (text, width, size = FONT, weight = 400, share = 0.5) => {
    if (measure(text, size, weight) <= width) return text;
    let kept = text.length - 1;
    const short = () => { const end = Math.floor(kept * share); return `${text.slice(0, kept - end)}…${text.slice(text.length - end)}`; };
    while (kept > 2 && measure(short(), size, weight) > width) kept--;
    return short();
  };
  // names that differ stay different: what all of them begin or end with is left out first
  const fitAll = (names, width, size = FONT, weight = 400) => {
    if (names.every((name) => measure(name, size, weight) <= width)) return names;
    const [first] = names, shared = (from) => {
      let n = 0;
      while (n < first.length && names.every((name) => n < name.length && name.at(from ? -1 - n : n) === first.at(from ? -1 - n : n))) n++;
      return names.length > 1 && n >= 4 ? n : 0;
    };
    const start = shared(false), end = shared(true);
    const shortened = (share) => names.map((name) => {
      const middle = name.slice(start, Math.max(name.length - end, start));
      return fit(middle && (start || end) ? `${start ? "…" : ""}${middle}${end ? "…" : ""}` : name, width, size, weight, share);
    });
    // ranks before names do not make them different
    const different = (found) => new Set(found.map((name) => name.replace(/^\d+ +/, ""))).size;
    return [0.5, 0.7, 0.3].map(shortened).reduce((best, next) => (different(next) > different(best) ? next : best));
  };
  const node = (tag, attributes = {}, parent = null, text = null) => {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(name, value);
    if (text !== null) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const write = (parent, x, y, text, attributes = {}) => node("text", { x: x.toFixed(1), y: y.toFixed(1), "font-size": FONT, fill: "var(--text)", ...attributes }, parent, text);
  const show = (value) => (value === null || value === undefined ? "–" : value.toFixed(3).replace("-", "−"));
  const ticks = (low, high, n) => {
    const rough = (high - low) / Math.max(n, 1), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((one) => one >= rough * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) found.push(+(k * step).toPrecision(10));
    return found;
  };
  const tickText = (value) => `${+value.toFixed(4)}`.replace("-", "−");
  // the margin of a vertical axis has room for 40 px
  const yTick = (svg, x, y, text) => write(svg, x, y, text, { "text-anchor": "end", fill: "var(--muted)", "font-size": Math.min(11, (11 * 40) / measure(text, 11)).toFixed(1) });
  const seriesColour = (index) => (index < 0 ? "var(--muted)" : `var(--series-${index})`);
  const DASHES = ["6 3", "1.5 3", "8 3 2 3", "3 3", "10 4"];
  const grid = (n, width, smallest) => {
    const most = Math.max(1, Math.min(n, Math.floor((width + GAP) / (smallest + GAP))));
    const rows = Math.ceil(n / most), columns = Math.ceil(n / rows);
    return { rows, columns, width: (width - GAP * (columns - 1)) / columns };
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const tables = {};
  const colourTable = (key) => (tables[key] ??= bytes(Report.data.colours[key]));
  const rgb = (table, share) => {
    const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
    return [table[at], table[at + 1], table[at + 2]];
  };
  const isLight = ([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b > 128;

  // legend entries {name, draw(parent, x, y)} in lines below the panels; returns the height
  const legend = (svg, entries, width, top) => {
    let x = 0, y = top + 12;
    for (const entry of entries) {
      const text = fit(entry.name, width - 34), needs = 28 + measure(text) + 16;
      if (x > 0 && x + needs > width) { x = 0; y += 18; }
      if (svg) { entry.draw(svg, x, y); write(svg, x + 28, y + 4, text); }
      x += needs;
    }
    return entries.length ? y + 10 - top : 0;
  };
  const lineEntry = (name, dash, colour = "var(--muted)") => ({ name, draw: (svg, x, y) => node("line", { x1: x, x2: x + 22, y1: y, y2: y, stroke: colour, "stroke-width": 1.6, "stroke-dasharray": dash }, svg) });
  const dotEntry = (name, colour, hollow, line) => ({ name, draw: (svg, x, y) => {
    if (line) node("line", { x1: x, x2: x + 22, y1: y, y2: y, stroke: colour, "stroke-width": 1.4 }, svg);
    node("circle", { cx: x + 11, cy: y, r: 4, fill: hollow ? "none" : colour, stroke: colour, "stroke-width": 1.4 }, svg);
  } });
  // name of a horizontal axis, below its middle where the panel from `start` on has room there
  const axisName = (svg, label, start, left, right, bottom) => {
    const text = fit(label, right + 6 - start), half = measure(text) / 2;
    write(svg, Math.max(start + half, Math.min((left + right) / 2, right + 6 - half)), bottom + 29, text, { "text-anchor": "middle" });
  };
  const xAxis = (svg, spec, start, left, right, bottom, scale, label, range = spec.limits) => {
    node("line", { x1: left, x2: right, y1: bottom, y2: bottom, stroke: "var(--muted)" }, svg);
    for (const tick of ticks(...range, Math.max(2, (right - left) / 70))) {
      const text = tickText(tick);
      write(svg, Math.min(scale(tick), right + 8 - measure(text, 11) / 2), bottom + 14, text, { "text-anchor": "middle", fill: "var(--muted)", "font-size": 11 });
    }
    axisName(svg, label, start, left, right, bottom);
  };
  const title = (svg, text, x, y, width) => text && write(svg, x, y, fit(text, width, FONT, 600), { "font-weight": 600 });

  const dots = {
    layout(spec, width) {
      const shape = grid(spec.panels.length, width, 260);
      const longest = Math.max(...spec.panels.flatMap((panel) => (panel.labels || panel.rows).map((name) => measure(name, FONT, panel.strong ? 700 : 400))));
      const left = Math.min(longest + 10, 0.42 * shape.width);
      const heights = [];
      for (let r = 0; r < shape.rows; r++) {
        const inRow = spec.panels.slice(r * shape.columns, (r + 1) * shape.columns);
        heights.push((inRow.some((panel) => panel.title) ? TITLE : 4) + rowOf(spec) * Math.max(...inRow.map((panel) => panel.rows.length)) + 44);
      }
      const entries = spec.series.length > 1 ? spec.series.map((one) => dotEntry(one.name, seriesColour(one.colour), one.hollow, one.line)) : [];
      if (spec.panels.some((panel) => panel.ring !== undefined && panel.ring !== null)) entries.push({ name: "most chosen layer", draw: (svg, x, y) => node("circle", { cx: x + 11, cy: y, r: 7, fill: "none", stroke: "var(--series-0)", "stroke-width": 1.5 }, svg) });
      spec.references.forEach((line, i) => entries.push(lineEntry(`${line.name} ${show(line.value)}`, DASHES[i % 5])));
      const body = heights.reduce((a, b) => a + b, 0);
      return { shape, left, heights, entries, body, height: body + legend(null, entries, width, 0) };
    },
    draw(svg, spec, width, at, marks) {
      let top = 0;
      spec.panels.forEach((panel, p) => {
        const column = p % at.shape.columns, row = Math.floor(p / at.shape.columns);
        if (column === 0) top = at.heights.slice(0, row).reduce((a, b) => a + b, 0);
        const x0 = column * (at.shape.width + GAP), left = x0 + at.left, right = x0 + at.shape.width - 8;
        const [low, high] = spec.limits, scale = (value) => left + ((value - low) / (high - low)) * (right - left);
        const head = at.heights[row] - 44 - rowOf(spec) * Math.max(...spec.panels.slice(row * at.shape.columns, (row + 1) * at.shape.columns).map((one) => one.rows.length));
        const first = top + head + rowOf(spec) / 2, bottom = top + at.heights[row] - 40;
        title(svg, panel.title, x0, top + 13, at.shape.width);
        for (const tick of ticks(low, high, Math.max(2, (right - left) / 70))) node("line", { x1: scale(tick), x2: scale(tick), y1: top + head, y2: bottom, stroke: "var(--grid)" }, svg);
        if (low < 0) node("line", { x1: scale(0), x2: scale(0), y1: top + head, y2: bottom, stroke: "var(--muted)", "stroke-width": 0.8 }, svg);
        spec.references.forEach((line, i) => {
          if (line.value >= low && line.value <= high) node("line", { x1: scale(line.value), x2: scale(line.value), y1: top + head, y2: bottom, stroke: "var(--muted)", "stroke-width": 1.6, "stroke-dasharray": DASHES[i % 5] }, svg);
        });
        const names = fitAll(panel.labels || panel.rows, at.left - 10, FONT, panel.strong ? 700 : 400);
        panel.rows.forEach((name, i) => {
          write(svg, left - 8, first + rowOf(spec) * i + 4, names[i], { "text-anchor": "end", "font-weight": panel.strong && panel.strong[i] ? 700 : 400 });
        });
        // the single values behind a row, spread over its height
        panel.points?.forEach((found, i) => found.forEach(([name, value], k) => {
          const y = first + ROW * i + (((k * 0.618) % 1) - 0.5) * 0.6 * ROW;
          node("circle", { cx: scale(value).toFixed(1), cy: y.toFixed(1), r: 2.4, fill: "var(--series-0)", "fill-opacity": 0.6 }, svg);
          marks.push({ x: scale(value), y, text: `${panel.rows[i]}, ${name}: ${show(value)}` });
        }));
        spec.series.forEach((one, s) => {
          const colour = seriesColour(one.colour);
          if (one.line) {
            const points = panel.x[s].map((value, i) => (value === null ? null : `${scale(value).toFixed(1)},${first + rowOf(spec) * i}`)).filter(Boolean);
            node("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 1.2 }, svg);
          }
          panel.rows.forEach((name, i) => {
            const value = panel.x[s][i], y = first + rowOf(spec) * i;
            if (value === null) return;
            const ends = [panel.low?.[s]?.[i] ?? null, panel.high?.[s]?.[i] ?? null];
            if (ends[0] !== null && ends[1] !== null) node("line", { x1: scale(ends[0]), x2: scale(ends[1]), y1: y, y2: y, stroke: colour, "stroke-width": 2.4, "stroke-opacity": 0.55 }, svg);
            node("circle", { cx: scale(value).toFixed(1), cy: y, r: one.hollow ? 3.4 : 4.2, fill: one.hollow ? "none" : colour, stroke: colour, "stroke-width": 1.4 }, svg);
            const interval = ends[0] !== null && ends[1] !== null ? ` [${show(ends[0])}, ${show(ends[1])}]` : "";
            marks.push({ x: scale(value), y, href: panel.hrefs?.[i], text: `${panel.title ? panel.title + ", " : ""}${name}${spec.series.length > 1 ? ", " + one.name : ""}: ${show(value)}${interval}` });
          });
        });
        if (panel.ring !== undefined && panel.ring !== null && panel.x[0][panel.ring] !== null) node("circle", { cx: scale(panel.x[0][panel.ring]), cy: first + rowOf(spec) * panel.ring, r: 7.5, fill: "none", stroke: "var(--series-0)", "stroke-width": 1.5 }, svg);
        xAxis(svg, spec, x0, left, right, bottom, scale, spec.xlabel);
      });
      legend(svg, at.entries, width, at.body);
    },
    rows: (spec) => [["panel", spec.ylabel || "name", "series", "value", "low", "high"], ...spec.panels.flatMap((panel) => spec.series.flatMap((one, s) =>
      panel.rows.map((name, i) => [panel.title, name, one.name, panel.x[s][i], panel.low?.[s]?.[i], panel.high?.[s]?.[i]]).filter((row) => row[3] !== null))),
      ...spec.panels.flatMap((panel) => (panel.points || []).flatMap((found, i) => found.map(([name, value]) => [panel.title, panel.rows[i], name, value, null, null]))),
      ...spec.references.map((line) => ["", line.name, "reference", line.value, null, null])],
  };

  const lines = {
    layout(spec, width) {
      const shape = grid(spec.panels.length, width, 260), inner = 190;
      const entries = spec.series.map((one) => (one.dashed ? lineEntry(one.name, DASHES[0], seriesColour(one.colour)) : dotEntry(one.name, seriesColour(one.colour), false, true)));
      const row = TITLE + inner + 44, body = row * shape.rows;
      return { shape, inner, entries, row, body, height: body + legend(null, entries, width, 0) };
    },
    draw(svg, spec, width, at, marks) {
      const along = spec.log ? Math.log : (v) => v, [first, last] = spec.limits.map(along), [low, high] = spec.ylimits;
      spec.panels.forEach((panel, p) => {
        const x0 = (p % at.shape.columns) * (at.shape.width + GAP), top = Math.floor(p / at.shape.columns) * at.row + TITLE;
        const left = x0 + 46, right = x0 + at.shape.width - 14, bottom = top + at.inner;
        const sx = (v) => left + ((along(v) - first) / (last - first || 1)) * (right - left), sy = (v) => bottom - ((v - low) / (high - low)) * at.inner;
        title(svg, panel.title, x0, top - 7, at.shape.width);
        for (const tick of ticks(low, high, at.inner / 50)) {
          node("line", { x1: left, x2: right, y1: sy(tick), y2: sy(tick), stroke: tick === 0 ? "var(--muted)" : "var(--grid)" }, svg);
          yTick(svg, left - 5, sy(tick) + 4, tickText(tick));
        }
        spec.series.forEach((one, s) => {
          const colour = seriesColour(one.colour), place = (i, values) => `${sx(panel.x[i]).toFixed(1)},${sy(values[i]).toFixed(1)}`;
          const known = panel.x.map((_, i) => i).filter((i) => panel.y[s][i] !== null), banded = known.filter((i) => panel.low[s][i] !== null && panel.high[s][i] !== null);
          if (banded.length > 1) node("polygon", { points: [...banded.map((i) => place(i, panel.high[s])), ...banded.reverse().map((i) => place(i, panel.low[s]))].join(" "), fill: colour, "fill-opacity": 0.18 }, svg);
          node("polyline", { points: known.map((i) => place(i, panel.y[s])).join(" "), fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-dasharray": one.dashed ? DASHES[0] : null }, svg);
          for (const i of known) {
            if (!one.dashed) node("circle", { cx: sx(panel.x[i]).toFixed(1), cy: sy(panel.y[s][i]).toFixed(1), r: 2.6, fill: colour }, svg);
            const interval = panel.low[s][i] === null || panel.high[s][i] === null ? "" : ` [${show(panel.low[s][i])}, ${show(panel.high[s][i])}]`;
            marks.push({ x: sx(panel.x[i]), y: sy(panel.y[s][i]), text: `${panel.title ? panel.title + ", " : ""}${one.name}, ${tickText(panel.x[i])}: ${show(panel.y[s][i])}${interval}` });
          }
        });
        node("line", { x1: left, x2: left, y1: top, y2: bottom, stroke: "var(--muted)" }, svg);
        if (spec.log) {
          node("line", { x1: left, x2: right, y1: bottom, y2: bottom, stroke: "var(--muted)" }, svg);
          for (const value of panel.x) write(svg, sx(value), bottom + 14, tickText(value), { "text-anchor": "middle", fill: "var(--muted)", "font-size": 11 });
          axisName(svg, spec.xlabel, x0, left, right, bottom);
        } else xAxis(svg, spec, x0, left, right, bottom, sx, spec.xlabel);
        write(svg, 0, 0, fit(spec.ylabel, at.inner), { "text-anchor": "middle", transform: `translate(${x0 + 10} ${top + at.inner / 2}) rotate(-90)` });
      });
      legend(svg, at.entries, width, at.body);
    },
    rows: (spec) => [["panel", spec.xlabel, "series", spec.ylabel, "low", "high"], ...spec.panels.flatMap((panel) => spec.series.flatMap((one, s) =>
      panel.x.map((x, i) => [panel.title, x, one.name, panel.y[s][i], panel.low[s][i], panel.high[s][i]]).filter((row) => row[3] !== null)))],
  };

  const scatter = {
    layout(spec, width) {
      const shape = grid(spec.panels.length, width, 225);
      const inner = Math.min(shape.width - 48, spec.panels.length === 1 && width < 700 ? 230 : 300);
      const entries = spec.equality ? [lineEntry(spec.equality, DASHES[0])] : [];
      (spec.references || []).forEach((line, i) => entries.push(lineEntry(`${line.name} ${show(line.value)}`, DASHES[(i + 1) % 5])));
      spec.groups.forEach((name, i) => entries.push(dotEntry(name, seriesColour(i))));
      if (spec.most) entries.push(barEntry(spec.colours, `1 to ${spec.most.toLocaleString("en")} ${spec.noun}s per cell`));
      const row = TITLE + inner + 44, body = row * shape.rows;
      return { shape, inner, entries, row, body, height: body + legend(null, entries, width, 0) };
    },
    draw(svg, spec, width, at, marks) {
      const yRange = spec.ylimits || spec.limits;
      spec.panels.forEach((panel, p) => {
        const x0 = (p % at.shape.columns) * (at.shape.width + GAP), top = Math.floor(p / at.shape.columns) * at.row + TITLE;
        const left = x0 + 46, right = x0 + at.shape.width - 6, bottom = top + at.inner;
        const sx = (v) => left + ((v - spec.limits[0]) / (spec.limits[1] - spec.limits[0])) * (right - left);
        const sy = (v) => bottom - ((v - yRange[0]) / (yRange[1] - yRange[0])) * at.inner;
        title(svg, panel.title, x0, top - 7, at.shape.width);
        for (const tick of ticks(...spec.limits, Math.max(2, (right - left) / 70))) node("line", { x1: sx(tick), x2: sx(tick), y1: top, y2: bottom, stroke: "var(--grid)" }, svg);
        for (const tick of ticks(...yRange, at.inner / 50)) {
          node("line", { x1: left, x2: right, y1: sy(tick), y2: sy(tick), stroke: "var(--grid)" }, svg);
          yTick(svg, left - 5, sy(tick) + 4, tickText(tick));
        }
        if (panel.cells) {
          const table = colourTable(spec.colours), n = spec.n_cells, [low, high] = spec.limits, side = (high - low) / n;
          for (const [i, j, number] of panel.cells) {
            const x = sx(low + i * side), y = sy(low + (j + 1) * side);
            node("rect", { x: x.toFixed(1), y: y.toFixed(1), width: ((right - left) / n + 0.2).toFixed(1), height: (at.inner / n + 0.2).toFixed(1), fill: `rgb(${rgb(table, 0.15 + 0.85 * Math.log(number) / Math.log(Math.max(spec.most, 2)))})` }, svg);
            marks.push({ x: sx(low + (i + 0.5) * side), y: sy(low + (j + 0.5) * side), text: `${number.toLocaleString("en")} ${spec.noun}s, x ${show(low + (i + 0.5) * side)}, y ${show(low + (j + 0.5) * side)}` });
          }
        } else {
          panel.x.forEach((value, i) => {
            const y = panel.y[i];
            if (value === null || y === null) return;
            const group = panel.of ? panel.of[i] : 0;
            node("circle", { cx: sx(value).toFixed(1), cy: sy(y).toFixed(1), r: panel.x.length > 300 ? 2.2 : 3.2, fill: seriesColour(group), "fill-opacity": 0.75 }, svg);
            const name = panel.names ? panel.names[i] : panel.of ? spec.groups[group] : spec.noun;
            marks.push({ x: sx(value), y: sy(y), text: `${name}: x ${show(value)}, y ${show(y)}` });
          });
        }
        if (spec.equality) node("line", { x1: sx(spec.limits[0]), y1: sy(spec.limits[0]), x2: sx(spec.limits[1]), y2: sy(spec.limits[1]), stroke: "var(--muted)", "stroke-width": 1.4, "stroke-dasharray": DASHES[0] }, svg);
        (spec.references || []).forEach((line, i) => node("line", { x1: sx(line.value), x2: sx(line.value), y1: top, y2: bottom, stroke: "var(--muted)", "stroke-width": 1.4, "stroke-dasharray": DASHES[(i + 1) % 5] }, svg));
        node("line", { x1: left, x2: left, y1: top, y2: bottom, stroke: "var(--muted)" }, svg);
        xAxis(svg, spec, x0, left, right, bottom, sx, spec.xlabel);
        write(svg, 0, 0, fit(spec.ylabel, at.inner), { "text-anchor": "middle", transform: `translate(${x0 + 10} ${top + at.inner / 2}) rotate(-90)` });
      });
      legend(svg, at.entries, width, at.body);
    },
    rows: (spec) => (spec.most
      ? [["panel", `${spec.xlabel}, middle of the cell`, `${spec.ylabel}, middle of the cell`, `${spec.noun}s`], ...spec.panels.flatMap((panel) => panel.cells.map(([i, j, n]) => {
        const side = (spec.limits[1] - spec.limits[0]) / spec.n_cells;
        return [panel.title, +(spec.limits[0] + (i + 0.5) * side).toPrecision(5), +(spec.limits[0] + (j + 0.5) * side).toPrecision(5), n];
      }))]
      : [["panel", spec.xlabel, spec.ylabel, "name"], ...spec.panels.flatMap((panel) => panel.x.map((value, i) => [panel.title, value, panel.y[i], panel.names ? panel.names[i] : panel.of ? spec.groups[panel.of[i]] : ""]))]),
  };

  const barEntry = (key, name) => ({ name, draw: (svg, x, y) => {
    const table = colourTable(key);
    for (let i = 0; i < 22; i++) node("rect", { x: x + i, y: y - 5, width: 1.3, height: 10, fill: `rgb(${rgb(table, 0.15 + 0.85 * i / 21)})` }, svg);
  } });
  // colour bar with its range and name; returns the height
  const colourBar = (svg, key, [low, high], label, width, isComplete) => {
    const table = colourTable(key), length = Math.min(260, width - 90);
    const n = 64, at = (value) => ((value - low) / (high - low || 1)) * length;
    for (let i = 0; i < n; i++) node("rect", { x: ((i * length) / n).toFixed(2), y: 16, width: (length / n + 0.4).toFixed(2), height: 10, fill: `rgb(${rgb(table, i / (n - 1))})` }, svg);
    write(svg, 0, 11, fit(label, width));
    for (const tick of ticks(low, high, length / 55)) write(svg, at(tick), 38, tickText(tick), { "text-anchor": at(tick) < 8 ? "start" : "middle", fill: "var(--muted)", "font-size": 11 });
    if (isComplete) return;
    node("rect", { x: length + 14, y: 16, width: 14, height: 10, fill: "var(--missing)" }, svg);
    write(svg, length + 32, 25, "no value", { "font-size": 11, fill: "var(--muted)" });
  };
  const BAR = 50;

  const heat = {
    layout(spec, width) {
      const longest = Math.max(...spec.panels.flatMap((panel) => panel.rows.map((name) => measure(name))));
      const n = Math.max(...spec.panels.map((panel) => panel.columns.length));
      const smallest = spec.panels.length === 1 ? width : Math.min(Math.max(260, Math.min(longest + 10, 130) + 16 * n), width);
      const shape = grid(spec.panels.length, width, smallest);
      const left = Math.min(longest + 10, 0.4 * shape.width) + 14;
      const cell = (shape.width - left) / n;
      const names = spec.panels.flatMap((panel) => panel.columns), widest = Math.max(...names.map((name) => measure(name, 11)));
      const isUpright = widest <= cell - 4, foot = (isUpright ? 18 : Math.min(widest, 130) + 10) + 18;
      const heights = [];
      for (let r = 0; r < shape.rows; r++) {
        const inRow = spec.panels.slice(r * shape.columns, (r + 1) * shape.columns);
        heights.push((inRow.some((panel) => panel.title) ? TITLE : 4) + ROW * Math.max(...inRow.map((panel) => panel.rows.length)) + foot + 10);
      }
      return { shape, left, isUpright, foot, heights, height: BAR + heights.reduce((a, b) => a + b, 0) };
    },
    draw(svg, spec, width, at, marks) {
      const [low, high] = spec.limits, table = colourTable(spec.colours);
      colourBar(svg, spec.colours, spec.limits, spec.label, width, spec.panels.every((panel) => panel.values.flat().every((value) => value !== null)));
      spec.panels.forEach((panel, p) => {
        const row = Math.floor(p / at.shape.columns), x0 = (p % at.shape.columns) * (at.shape.width + GAP);
        const top = BAR + at.heights.slice(0, row).reduce((a, b) => a + b, 0), first = top + (panel.title ? TITLE : 4), left = x0 + at.left;
        const cell = (at.shape.width - at.left) / panel.columns.length;
        title(svg, panel.title, x0, top + 12, at.shape.width);
        const rowNames = fitAll(panel.rows, at.left - 22), columnNames = fitAll(panel.columns, at.isUpright ? 1e9 : 130, 11);
        panel.rows.forEach((name, i) => {
          const y = first + ROW * i;
          write(svg, left - 6, y + 14, rowNames[i], { "text-anchor": "end" });
          panel.columns.forEach((column, j) => {
            const value = panel.values[i][j], x = left + cell * j;
            const colour = value === null ? null : rgb(table, (value - low) / (high - low || 1));
            node("rect", { x: x.toFixed(1), y, width: Math.max(1, cell - 1).toFixed(1), height: ROW - 1, fill: colour ? `rgb(${colour})` : "var(--missing)" }, svg);
            if (colour && cell >= 34) write(svg, x + cell / 2, y + 14, value.toFixed(2).replace("-0.00", "0.00").replace("-", "−"), { "text-anchor": "middle", "font-size": 11, fill: isLight(colour) ? "#000" : "#fff" });
            marks.push({ x: x + cell / 2, y: y + ROW / 2, text: `${panel.title ? panel.title + ", " : ""}${name}, ${column}: ${value === null ? "no value" : show(value)}` });
          });
          if (panel.framed.length && panel.framed[i] !== null) {
            const box = { x: left + cell * panel.framed[i] + 1, y: y + 1, width: Math.max(2, cell - 3), height: ROW - 3, fill: "none" };
            node("rect", { ...box, stroke: "#fff", "stroke-width": 3 }, svg);
            node("rect", { ...box, stroke: "#000", "stroke-width": 1.4 }, svg);
          }
        });
        const below = first + ROW * panel.rows.length;
        panel.columns.forEach((name, j) => {
          const x = left + cell * (j + 0.5);
          if (at.isUpright) write(svg, x, below + 13, name, { "text-anchor": "middle", "font-size": 11 });
          else if (cell >= 9 || j % Math.ceil(9 / cell) === 0) write(svg, 0, 0, columnNames[j], { "font-size": 11, "text-anchor": "end", transform: `translate(${x + 4} ${below + 6}) rotate(-90)` });
        });
        // the name of the rows stands beside them where they are high enough, else below
        const tall = ROW * panel.rows.length, isBeside = measure(spec.ylabel) <= tall, names = isBeside ? spec.xlabel : `${spec.xlabel}; rows: ${spec.ylabel}`;
        const text = fit(names, at.shape.width), half = measure(text) / 2;
        write(svg, Math.max(x0 + half, Math.min(left + (at.shape.width - at.left) / 2, x0 + at.shape.width - half)), below + at.foot, text, { "text-anchor": "middle", fill: "var(--muted)" });
        if (isBeside) write(svg, 0, 0, spec.ylabel, { "text-anchor": "middle", fill: "var(--muted)", transform: `translate(${x0 + 10} ${first + tall / 2}) rotate(-90)` });
      });
    },
    rows: (spec) => [["panel", spec.ylabel, spec.xlabel, spec.label], ...spec.panels.flatMap((panel) => panel.rows.flatMap((name, i) => panel.columns.map((column, j) => [panel.title, name, column, panel.values[i][j]])))],
  };

  const bars = {
    layout(spec, width) {
      const shape = grid(spec.panels.length, width, 235), entries = [lineEntry("median", DASHES[0], "var(--text)")];
      const row = TITLE + 150 + 44, body = row * shape.rows;
      return { shape, entries, row, body, height: body + legend(null, entries, width, 0) };
    },
    draw(svg, spec, width, at, marks) {
      const [low, high] = [spec.edges[0], spec.edges[spec.edges.length - 1]];
      spec.panels.forEach((panel, p) => {
        const x0 = (p % at.shape.columns) * (at.shape.width + GAP), top = Math.floor(p / at.shape.columns) * at.row + TITLE, bottom = top + 150;
        const left = x0 + 44, right = x0 + at.shape.width - 6;
        const sx = (v) => left + ((v - low) / (high - low)) * (right - left), sy = (v) => bottom - (v / spec.top) * 145;
        title(svg, panel.title, x0, top - 7, at.shape.width);
        for (const tick of ticks(0, spec.top, 4).filter(Number.isInteger)) {
          node("line", { x1: left, x2: right, y1: sy(tick), y2: sy(tick), stroke: "var(--grid)" }, svg);
          yTick(svg, left - 5, sy(tick) + 4, tickText(tick));
        }
        panel.counts.forEach((n, i) => {
          const [a, b] = [sx(spec.edges[i]), sx(spec.edges[i + 1])];
          node("rect", { x: a.toFixed(1), y: sy(n).toFixed(1), width: Math.max(0.5, b - a - 1).toFixed(1), height: (bottom - sy(n)).toFixed(1), fill: "var(--series-0)" }, svg);
          marks.push({ x: (a + b) / 2, y: sy(n), text: `${panel.title}: ${n} ${spec.ylabel} from ${show(spec.edges[i])} to ${show(spec.edges[i + 1])}` });
        });
        node("line", { x1: sx(panel.median), x2: sx(panel.median), y1: top, y2: bottom, stroke: "var(--text)", "stroke-width": 1.4, "stroke-dasharray": DASHES[0] }, svg);
        xAxis(svg, spec, x0, left, right, bottom, sx, spec.xlabel, [low, high]);
        write(svg, 0, 0, spec.ylabel, { "text-anchor": "middle", transform: `translate(${x0 + 10} ${top + 75}) rotate(-90)` });
      });
      legend(svg, at.entries, width, at.body);
    },
    rows: (spec) => [["panel", "bin, low", "bin, high", spec.ylabel], ...spec.panels.flatMap((panel) => panel.counts.map((n, i) => [panel.title, spec.edges[i], spec.edges[i + 1], n]))],
  };

  // cortical maps: every view is an image whose pixels are looked up in the map
  const views = () => (Report.views ??= Report.surface.views.map((view) => ({ ...view, vertex: new Uint16Array(bytes(view.vertex).buffer), light: bytes(view.light) })));
  const levels = (index) => (Report.levels[index] ??= bytes(Report.surface.maps[index].values));
  const regionOf = (index) => (index === null ? null : (Report.regionOf[index] ??= new Uint16Array(bytes(Report.surface.regions[index].of).buffer)));
  const paint = (view, map, level) => {
    const canvas = document.createElement("canvas"), table = colourTable(map.colours), grey = (Report.grey ??= bytes(Report.surface.grey));
    [canvas.width, canvas.height] = [view.width, view.height];
    const context = canvas.getContext("2d"), image = context.createImageData(view.width, view.height), region = regionOf(map.region);
    for (let i = 0; i < view.vertex.length; i++) {
      const vertex = view.vertex[i];
      if (vertex === 65535) continue;
      const light = view.light[i] / 255, colour = level[vertex] ? rgb(table, (level[vertex] - 1) / 254) : [grey[vertex], grey[vertex], grey[vertex]];
      const next = view.vertex[i + 1], below = view.vertex[i + view.width];
      const edge = region && ((next !== 65535 && next !== undefined && region[next] !== region[vertex]) || (below !== 65535 && below !== undefined && region[below] !== region[vertex]));
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = edge ? 20 : colour[k] * light;
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  };
  const vertexText = (map, vertex, level) => {
    const { perHemisphere, regions } = Report.surface, region = map.region === null ? "" : regions[map.region].names[regionOf(map.region)[vertex]];
    const value = level ? map.low + ((level - 1) / 254) * (map.high - map.low) : null;
    const nearest = map.ticks && value !== null ? map.ticks[Math.round(value)] ?? `layer ${Math.round(value) + 1}` : null;
    return `${vertex < perHemisphere ? "left" : "right"} vertex ${vertex % perHemisphere}${region ? `, ${region}` : ""}: ${value === null ? "no value" : nearest ?? show(value)}`;
  };
  const surface = {
    layout(spec, width) {
      const all = views(), half = all.length / 2;
      // both hemispheres in a line where there is room, else each in lines of its own
      const lines = width >= 760 ? [all] : width >= 480 ? [all.slice(0, half), all.slice(half)] : [all.slice(0, 2), all.slice(2, half), all.slice(half, half + 2), all.slice(half + 2)];
      const gap = 8, scales = lines.map((line) => (width - gap * (line.length - 1)) / line.reduce((sum, view) => sum + view.width, 0));
      const scale = Math.min(...scales), heights = lines.map((line) => Math.max(...line.map((view) => view.height)) * scale + 15);
      const isShared = !Report.surface.maps[spec.panels[0].map].ticks;
      const panel = 24 + heights.reduce((a, b) => a + b, 0) + (isShared ? 0 : 44);
      return { lines, gap, scale, heights, panel, isShared, height: panel * spec.panels.length + (isShared ? 44 : 0) };
    },
    draw(svg, spec, width, at, marks) {
      spec.panels.forEach((panel, p) => {
        const map = Report.surface.maps[panel.map], level = levels(panel.map);
        let top = p * at.panel;
        title(svg, panel.title, 0, top + 14, width);
        top += 24;
        at.lines.forEach((line, l) => {
          let x = 0;
          for (const view of line) {
            const [w, h] = [view.width * at.scale, view.height * at.scale], y = top + (at.heights[l] - 15 - h) / 2;
            node("image", { href: paint(view, map, level), x: x.toFixed(1), y: y.toFixed(1), width: w.toFixed(1), height: h.toFixed(1) }, svg);
            const number = views().indexOf(view);
            if (map.region !== null) {
              let used = [];
              for (const [region, rx, ry, area] of Report.surface.regions[map.region].labels[number]) {
                const name = Report.surface.regions[map.region].names[region], [cx, cy] = [x + rx * at.scale, y + ry * at.scale], reach = measure(name, 10) / 2 + 2;
                // a name must not hide the region that it names
                if (area * at.scale ** 2 < 3 * reach * 10) continue;
                if (used.some(([ux, uy, ur]) => Math.abs(ux - cx) < ur + reach && Math.abs(uy - cy) < 11)) continue;
                used.push([cx, cy, reach]);
                write(svg, cx, cy + 3.5, name, { "font-size": 10, "text-anchor": "middle", fill: "#000", stroke: "#fff", "stroke-width": 2.4, "paint-order": "stroke" });
              }
            }
            write(svg, x + w / 2, top + at.heights[l] - 3, fit(`${view.hemisphere[0].toUpperCase()} ${view.view}`, w + at.gap, 10), { "font-size": 10, "text-anchor": "middle", fill: "var(--muted)" });
            marks.push({ box: [x, y, w, h], find: (px, py) => {
              const i = Math.min(view.height - 1, Math.floor((py - y) / at.scale)) * view.width + Math.min(view.width - 1, Math.floor((px - x) / at.scale));
              const vertex = view.vertex[i];
              return vertex === undefined || vertex === 65535 ? null : vertexText(map, vertex, level[vertex]);
            }, x: x + w / 2, y: y + h / 2, text: `${panel.title}, ${view.hemisphere} ${view.view}` });
            x += w + at.gap;
          }
          top += at.heights[l];
        });
        if (at.isShared && p < spec.panels.length - 1) return;
        const table = colourTable(map.colours), length = Math.min(map.ticks ? width - 16 : 260, width - 90);
        for (let i = 0; i < 128; i++) node("rect", { x: ((i * length) / 128).toFixed(2), y: top + 8, width: (length / 128 + 0.4).toFixed(2), height: 9, fill: `rgb(${rgb(table, i / 127)})` }, svg);
        const span = map.high - map.low || 1, named = map.ticks ? Object.entries(map.ticks).map(([at_, name]) => [+at_, name]) : ticks(map.low, map.high, 4).map((tick) => [tick, tickText(tick)]);
        let end = -20;
        for (const [value, name] of named) {
          const x = ((value - map.low) / span) * length, text = fit(name, map.ticks ? Math.max(40, length / Math.max(named.length - 1, 1) - 8) : 80, 11), w = measure(text, 11);
          const start = Math.min(Math.max(0, x - w / 2), Math.max(0, width - w));
          if (start < end + 6) continue;
          write(svg, start, top + 30, text, { "font-size": 11, fill: "var(--muted)" });
          end = start + w;
        }
        if (!map.ticks) write(svg, length + 12, top + 17, fit(map.label, width - length - 12), { "font-size": 11 });
      });
    },
    rows: (spec) => [["map", "hemisphere", "vertex", "region", `${spec.label} (in 254 steps of the colour scale)`], ...spec.panels.flatMap((panel) => {
      const map = Report.surface.maps[panel.map], level = levels(panel.map), half = Report.surface.perHemisphere, found = [];
      for (let i = 0; i < level.length; i++) if (level[i]) {
        const value = map.low + ((level[i] - 1) / 254) * (map.high - map.low);
        found.push([panel.title, i < half ? "left" : "right", i % half, map.region === null ? "" : Report.surface.regions[map.region].names[regionOf(map.region)[i]], map.ticks ? map.ticks[Math.round(value)] ?? Math.round(value) : +value.toPrecision(4)]);
      }
      return found;
    })],
  };

  const kinds = { dots, lines, scatter, heat, bars, surface };

  // tooltip for the pointer, and the same text spoken for the keyboard
  const tip = () => document.getElementById("tip"), say = (text) => { document.getElementById("say").textContent = text; };
  const showTip = (svg, mark, text) => {
    const box = svg.getBoundingClientRect(), it = tip();
    it.textContent = text;
    it.hidden = false;
    const x = box.left + mark.x, y = box.top + mark.y;
    it.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - it.offsetWidth - 4))}px`;
    it.style.top = `${y - it.offsetHeight - 10 < 4 ? y + 14 : y - it.offsetHeight - 10}px`;
  };
  const hideTip = () => { tip().hidden = true; };
  const listen = (svg, marks) => {
    let chosen = -1, ring = null;
    const place = (i) => {
      chosen = i;
      ring?.remove();
      const mark = marks[i];
      ring = node("circle", { cx: mark.x, cy: mark.y, r: 8, fill: "none", stroke: "var(--text)", "stroke-width": 2 }, svg);
      showTip(svg, mark, mark.text);
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      let best = null, reach = 18 ** 2;
      for (const mark of marks) {
        if (mark.box) {
          const [left, top, width, height] = mark.box;
          if (x >= left && x < left + width && y >= top && y < top + height) {
            const text = mark.find(x, y);
            if (text) { showTip(svg, { x, y }, text); return; }
          }
          continue;
        }
        const away = (mark.x - x) ** 2 + (mark.y - y) ** 2;
        if (away < reach) { best = mark; reach = away; }
      }
      if (best) showTip(svg, best, best.text); else hideTip();
    });
    svg.addEventListener("pointerleave", hideTip);
    const follow = (mark) => { if (mark?.href) location.hash = mark.href; };
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect(), away = (mark) => (mark.x - event.clientX + box.left) ** 2 + (mark.y - event.clientY + box.top) ** 2;
      follow(marks.find((mark) => mark.href && away(mark) < 150));
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e9, End: 1e9 }[event.key];
      if (event.key === "Enter" && chosen >= 0) follow(marks[chosen]);
      if (event.key === "Escape") { ring?.remove(); hideTip(); }
      if (!step || !marks.length || event.target !== svg) return;
      event.preventDefault();
      place(Math.min(marks.length - 1, Math.max(0, chosen + step)));
      say(marks[chosen].text);
    });
    svg.addEventListener("blur", () => { ring?.remove(); hideTip(); });
  };

  const draw = (host, spec, label) => {
    const width = Math.max(240, Math.floor(host.clientWidth)), kind = kinds[spec.kind], at = kind.layout(spec, width);
    const svg = node("svg", { width, height: Math.ceil(at.height), viewBox: `0 0 ${width} ${Math.ceil(at.height)}`, role: "img", tabindex: 0, "aria-label": label, "data-marks": 0 });
    const marks = [];
    kind.draw(svg, spec, width, at, marks);
    svg.dataset.marks = marks.length;
    listen(svg, marks);
    host.replaceChildren(svg);
    host.style.minHeight = "";
  };
  const height = (host, spec) => Math.ceil(kinds[spec.kind].layout(spec, Math.max(240, Math.floor(host.clientWidth))).height);

  // downloads
  const save = (name, type, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const standalone = (svg, heading, note) => {
    const styles = getComputedStyle(document.documentElement), copy = svg.cloneNode(true), extra = heading ? 26 : 0;
    const [width, height_] = [+svg.getAttribute("width"), +svg.getAttribute("height") + extra];
    for (const one of [copy, ...copy.querySelectorAll("*")]) for (const { name, value } of [...one.attributes]) if (value.startsWith("var(")) one.setAttribute(name, styles.getPropertyValue(value.slice(4, -1)).trim());
    const inner = node("g", { transform: `translate(10 ${extra + 10})` });
    inner.append(...copy.childNodes);
    const out = node("svg", { width: width + 20, height: height_ + 20, viewBox: `0 0 ${width + 20} ${height_ + 20}`, "font-family": "system-ui, 'DejaVu Sans', sans-serif" });
    node("title", {}, out, heading);
    node("desc", {}, out, note);
    node("rect", { width: "100%", height: "100%", fill: styles.getPropertyValue("--background").trim() }, out);
    if (heading) node("text", { x: 10, y: 22, "font-size": 14, "font-weight": 600, fill: styles.getPropertyValue("--text").trim() }, out, fit(heading, width, 14, 600));
    out.append(inner);
    return { text: new XMLSerializer().serializeToString(out), width: width + 20, height: height_ + 20 };
  };
  const csv = (spec) => kinds[spec.kind].rows(spec).map((row) => row.map((cell) => {
    const text = cell === null || cell === undefined ? "" : String(cell);
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }).join(",")).join("\n") + "\n";
  const download = (format, svg, spec, name) => {
    if (format === "csv") return save(`${name}.csv`, "text/csv", csv(spec));
    const { text, width, height: tall } = standalone(svg, spec.title, spec.caption || "");
    if (format === "svg") return save(`${name}.svg`, "image/svg+xml", text);
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas"), scale = Math.min(2, 16000 / tall);
      [canvas.width, canvas.height] = [width * scale, tall * scale];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(`${name}.png`, "image/png", blob));
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    return image;
  };
  return { draw, height, download, csv, standalone, show, bytes, colourTable };
})();
