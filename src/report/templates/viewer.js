"use strict";
(() => {
  const data = Report.surface;
  const canvas = document.getElementById("surface");
  const vertexText = document.getElementById("vertex");
  const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) { canvas.hidden = true; vertexText.textContent = "WebGL is not available in this browser; the figures above show the same maps."; return; }

  const { bytes } = Charts;
  const points = new Int16Array(bytes(data.points).buffer);
  const faces = new Uint16Array(bytes(data.faces).buffer);
  const grey = bytes(data.grey);
  const half = data.perHemisphere, n = 2 * half;
  const position = Float32Array.from(points, (value) => value / 100);
  const maps = data.maps;
  const levelsOf = (index) => (Report.levels[index] ??= bytes(maps[index].values));
  const regions = data.regions.map((one) => ({ names: one.names, of: new Uint16Array(bytes(one.of).buffer) }));

  const normal = (() => {
    const sum = new Float32Array(3 * n);
    for (let f = 0; f < faces.length; f += 3) {
      const away = f < faces.length / 2 ? 0 : half;
      const [a, b, c] = [0, 1, 2].map((k) => 3 * (faces[f + k] + away));
      const u = [0, 1, 2].map((k) => position[b + k] - position[a + k]);
      const v = [0, 1, 2].map((k) => position[c + k] - position[a + k]);
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const at of [a, b, c]) for (let k = 0; k < 3; k++) sum[at + k] += cross[k];
    }
    // faces can be wound inwards: outward normals point away from the centre of each hemisphere
    for (const start of [0, half]) {
      let middle = 0, outwards = 0;
      for (let i = start; i < start + half; i++) middle += position[3 * i] / half;
      for (let i = start; i < start + half; i++) outwards += sum[3 * i] * (position[3 * i] - middle);
      if (outwards < 0) for (let i = 3 * start; i < 3 * (start + half); i++) sum[i] = -sum[i];
    }
    return sum;
  })();

  const compile = (kind, source) => {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source); gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    return shader;
  };
  const program = gl.createProgram();
  gl.attachShader(program, compile(gl.VERTEX_SHADER,
    "attribute vec3 position, normal, colour; uniform mat3 rotation; uniform vec3 scale; uniform vec2 shift; varying vec3 tint; varying float facing;" +
    "void main() { vec3 p = rotation * position; gl_Position = vec4(p.x * scale.x + shift.x, p.y * scale.y + shift.y, -p.z * scale.z, 1.0); tint = colour; facing = (rotation * normalize(normal)).z; }"));
  gl.attachShader(program, compile(gl.FRAGMENT_SHADER,
    "precision mediump float; varying vec3 tint; varying float facing; void main() { gl_FragColor = vec4(tint * (0.55 + 0.45 * abs(facing)), 1.0); }"));
  gl.linkProgram(program); gl.useProgram(program);
  const attribute = (name, array, size, kind, normalised) => {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferData(gl.ARRAY_BUFFER, array, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(at); gl.vertexAttribPointer(at, size, kind, normalised, 0, 0);
    return buffer;
  };
  const colour = new Uint8Array(3 * n);
  // one draw call per hemisphere, because an index has 16 bits
  const sides = [0, 1].map((side) => {
    const part = (array) => array.subarray(3 * half * side, 3 * half * (side + 1));
    const index = gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces.subarray(faces.length / 2 * side, faces.length / 2 * (side + 1)), gl.STATIC_DRAW);
    return { index, position: attribute("position", part(position), 3, gl.FLOAT, false), normal: attribute("normal", part(normal), 3, gl.FLOAT, false),
      colour: attribute("colour", part(colour), 3, gl.UNSIGNED_BYTE, true), part };
  });

  const VIEWS = {
    "left lateral": [[1, 0], [0, -1, 0], [0, 0, 1]], "left medial": [[1, 0], [0, 1, 0], [0, 0, 1]],
    "right lateral": [[0, 1], [0, 1, 0], [0, 0, 1]], "right medial": [[0, 1], [0, -1, 0], [0, 0, 1]],
    ventral: [[1, 1], [-1, 0, 0], [0, 1, 0]], dorsal: [[1, 1], [1, 0, 0], [0, 1, 0]],
    posterior: [[1, 1], [1, 0, 0], [0, 0, 1]],
  };
  const cross = (u, v) => [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  const state = { map: 0, visible: [1, 1], rotation: null, zoom: 1, view: "left lateral" };
  const look = (name) => {
    const [visible, right, up] = VIEWS[name];
    Object.assign(state, { visible, rotation: [right, up, cross(right, up)], zoom: 1, view: name });
    for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === name);
    draw();
  };
  const rotate = (dx, dy) => {
    const [c, s, d, t] = [Math.cos(dx), Math.sin(dx), Math.cos(dy), Math.sin(dy)];
    const [x, y, z] = state.rotation;
    const mix = (u, v, a, b) => u.map((value, k) => a * value + b * v[k]);
    const [x1, z1] = [mix(x, z, c, s), mix(z, x, c, -s)];
    state.rotation = [x1, mix(y, z1, d, -t), mix(z1, y, d, t)];
  };
  const extent = () => {
    // centre and half extent of the visible hemispheres
    const [first, last] = [state.visible[0] ? 0 : half, state.visible[1] ? n : half];
    const low = [1e9, 1e9, 1e9], high = [-1e9, -1e9, -1e9];
    for (let i = first; i < last; i++) for (let k = 0; k < 3; k++) {
      low[k] = Math.min(low[k], position[3 * i + k]); high[k] = Math.max(high[k], position[3 * i + k]);
    }
    return { middle: low.map((value, k) => (value + high[k]) / 2), reach: Math.max(...low.map((value, k) => high[k] - value)) / 2 };
  };
  const geometry = () => {
    const { middle, reach } = extent();
    const [width, height] = [canvas.width, canvas.height];
    const unit = state.zoom * 0.94 / reach * Math.min(width, height) / 2;
    const scale = [2 * unit / width, 2 * unit / height, 1 / (3 * reach)];
    const at = state.rotation.map((row) => row[0] * middle[0] + row[1] * middle[1] + row[2] * middle[2]);
    return { scale, shift: [-at[0] * scale[0], -at[1] * scale[1]] };
  };
  const paint = () => {
    const map = maps[state.map], table = Charts.colourTable(map.colours), levels = levelsOf(state.map);
    for (let i = 0; i < n; i++) {
      const level = levels[i];
      for (let k = 0; k < 3; k++) colour[3 * i + k] = level ? table[3 * level + k] : grey[i];
    }
    for (const side of sides) { gl.bindBuffer(gl.ARRAY_BUFFER, side.colour); gl.bufferData(gl.ARRAY_BUFFER, side.part(colour), gl.DYNAMIC_DRAW); }
    legend(map, table);
    draw();
  };
  const legend = (map, table) => {
    const bar = document.getElementById("bar"), context = bar.getContext("2d");
    bar.width = 256; bar.height = 1;
    const row = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) row.data.set([table[3 * i], table[3 * i + 1], table[3 * i + 2], 255], 4 * i);
    context.putImageData(row, 0, 0);
    const ends = map.ticks ? Object.values(map.ticks) : [map.low, map.high].map((value) => value.toFixed(2).replace("-", "−"));
    document.getElementById("low").textContent = ends[0];
    document.getElementById("high").textContent = ends[ends.length - 1];
    document.getElementById("map-label").textContent = map.label;
  };
  const draw = () => {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(canvas.clientWidth * ratio); canvas.height = Math.round(canvas.clientHeight * ratio);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT); gl.enable(gl.DEPTH_TEST);
    const { scale, shift } = geometry();
    const rotation = [0, 1, 2].flatMap((column) => state.rotation.map((row) => row[column]));
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "rotation"), false, rotation);
    gl.uniform3fv(gl.getUniformLocation(program, "scale"), scale);
    gl.uniform2fv(gl.getUniformLocation(program, "shift"), shift);
    sides.forEach((side, number) => {
      if (!state.visible[number]) return;
      for (const [name, kind, normalised] of [["position", gl.FLOAT, false], ["normal", gl.FLOAT, false], ["colour", gl.UNSIGNED_BYTE, true]]) {
        gl.bindBuffer(gl.ARRAY_BUFFER, side[name]);
        gl.vertexAttribPointer(gl.getAttribLocation(program, name), 3, kind, normalised, 0, 0);
      }
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, side.index);
      gl.drawElements(gl.TRIANGLES, faces.length / 2, gl.UNSIGNED_SHORT, 0);
    });
  };
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect(), { scale, shift } = geometry();
    const x = 2 * (event.clientX - box.left) / box.width - 1, y = 1 - 2 * (event.clientY - box.top) / box.height;
    const reach = 12 / box.width;
    let best = -1, depth = -1e9;
    const [r, u, t] = state.rotation;
    for (let i = state.visible[0] ? 0 : half; i < (state.visible[1] ? n : half); i++) {
      const [a, b, c] = [position[3 * i], position[3 * i + 1], position[3 * i + 2]];
      const dx = (r[0] * a + r[1] * b + r[2] * c) * scale[0] + shift[0] - x;
      const dy = ((u[0] * a + u[1] * b + u[2] * c) * scale[1] + shift[1] - y) * box.height / box.width;
      const z = t[0] * a + t[1] * b + t[2] * c;
      if (dx * dx + dy * dy < reach * reach && z > depth) { best = i; depth = z; }
    }
    return best;
  };
  const showVertex = (event) => {
    const at = nearest(event), map = maps[state.map];
    if (at < 0) { vertexText.textContent = ""; return; }
    const level = levelsOf(state.map)[at], region = map.region !== null && regions[map.region].names[regions[map.region].of[at]];
    const value = level ? (map.low + (level - 1) / 254 * (map.high - map.low)) : null;
    const text = value === null ? "no value" : map.ticks ? map.ticks[Math.round(value)] ?? `layer ${Math.round(value) + 1}` : value.toFixed(2).replace("-", "−");
    vertexText.textContent = `${at < half ? "left" : "right"} vertex ${at % half}${region ? `, ${region}` : ""}: ${text}`;
  };

  const chooser = document.getElementById("maps");
  for (const group of new Set(maps.map((map) => map.group))) {
    const box = document.createElement("optgroup");
    box.label = group;
    maps.forEach((map, i) => { if (map.group === group) box.append(new Option(`${map.label}: ${map.name}`, i)); });
    chooser.append(box);
  }
  chooser.value = state.map;
  chooser.addEventListener("change", () => { state.map = Number(chooser.value); paint(); });
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => look(button.dataset.view));
  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, event); });
  const release = (event) => pointers.delete(event.pointerId);
  canvas.addEventListener("pointerup", release); canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) { showVertex(event); return; }
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      zoom(distance(event) / Math.max(distance(before), 1));
    } else {
      rotate((before.clientX - event.clientX) / 120, (event.clientY - before.clientY) / 120);
    }
    pointers.set(event.pointerId, event); draw();
  });
  const zoom = (factor) => { state.zoom = Math.min(8, Math.max(0.6, state.zoom * factor)); };
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 600)); draw(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (step) { event.preventDefault(); rotate(...step); draw(); }
    if (event.key === "+" || event.key === "-") { zoom(event.key === "+" ? 1.2 : 1 / 1.2); draw(); }
  });
  addEventListener("resize", draw);
  look("left lateral");
  paint();
})();
