// The timeline: passes one by one, in lanes of each thread of each process, drawn on a canvas.
//
// A row holds the passes of one lane and depth, which never overlap, in the order of their begin. So what is in sight is
// found by halving, and of passes narrower than a pixel only one for each pixel is looked at: what is drawn depends on the
// size of the canvas, not on how many passes there are.

const ROW_HEIGHT = 17; // px, with the line between
const HEAD_HEIGHT = 22; // px, of a thread's name
const PROCESS_HEIGHT = 28; // px, of a process's
const AXIS_HEIGHT = 20; // px
const LEAST_SPAN = 20; // ns in sight
const ZOOM_STEP = 1.25;
const LANE_KINDS = { thread: "", tasks: "tasks", generators: "generators", crossing: "crossing passes" };

const timeline = data.timeline ? laidTimeline(data.timeline) : null;

function decoded(text, Type) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return new Type(bytes.buffer);
}

function laidTimeline(raw) {
  const passes = {
    starts: decoded(raw.starts, Float64Array),
    durations: decoded(raw.durations, Float64Array),
    blocks: decoded(raw.blocks, Uint32Array),
    lanes: decoded(raw.lanes, Uint32Array),
    depths: decoded(raw.depths, Uint32Array),
    outcomes: decoded(raw.outcomes, Uint8Array),
  };
  const ends = passes.starts.map((start, i) => start + passes.durations[i]);
  const total = ends.reduce((most, end) => Math.max(most, end), 1);
  const found = { ...passes, ends, total, raw, tags: new Map(raw.tags), count: passes.starts.length };
  return Object.assign(found, {
    ...rowsOf(found),
    from: 0, to: total, top: 0, width: 0, height: 0, at: -1, hovered: -1, isDue: false, drawn: 0,
    wanted: null, tagged: new Set(), terms: null, wantedCount: found.count,
  });
}

// Each row's passes, and where it is; each thread's name stands above its lanes, and that of its process above those,
// where there are several.
function rowsOf({ lanes, depths, count: passes, raw }) {
  const deepest = new Int32Array(raw.laneList.length).fill(-1);
  for (let i = 0; i < passes; i += 1) if (depths[i] > deepest[lanes[i]]) deepest[lanes[i]] = depths[i];
  const order = [...raw.laneList.keys()].filter((lane) => deepest[lane] >= 0);
  order.sort((a, b) => raw.laneList[a].thread - raw.laneList[b].thread || a - b);
  const rows = [];
  const heads = [];
  const firstRow = new Int32Array(raw.laneList.length);
  let y = 0;
  let thread = -1;
  let process = raw.processList.length > 1 ? -1 : 0;
  for (const lane of order) {
    const { process: own } = raw.threadList[raw.laneList[lane].thread];
    if (own !== process) {
      process = own;
      heads.push({ y, text: raw.processList[own], isProcess: true });
      y += PROCESS_HEIGHT;
    }
    if (raw.laneList[lane].thread !== thread) {
      thread = raw.laneList[lane].thread;
      heads.push({ y, text: raw.threadList[thread].name, thread });
      y += HEAD_HEIGHT;
    } else y += 3;
    firstRow[lane] = rows.length;
    for (let depth = 0; depth <= deepest[lane]; depth += 1) {
      rows.push({ lane, depth, y, sizes: 0, passes: null });
      y += ROW_HEIGHT;
    }
  }
  for (let i = 0; i < passes; i += 1) rows[firstRow[lanes[i]] + depths[i]].sizes += 1;
  for (const row of rows) [row.passes, row.sizes] = [new Uint32Array(row.sizes), 0];
  for (let i = 0; i < passes; i += 1) {
    const row = rows[firstRow[lanes[i]] + depths[i]];
    row.passes[row.sizes] = i;
    row.sizes += 1;
  }
  return { rows, heads, firstRow, tall: y };
}

// The place of the first of a row's passes, from one on, that ends after a moment.
function firstAfter(row, moment, from = 0) {
  let step = 1;
  let low = from;
  while (low + step < row.sizes && timeline.ends[row.passes[low + step]] <= moment) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step, row.sizes);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeline.ends[row.passes[middle]] <= moment) low = middle + 1;
    else high = middle;
  }
  return low;
}

// What is drawn

function updateTimeline() {
  byId("base").textContent = "";
  if (timeline.terms !== state.terms) findInTimeline();
  sayTimelineCount();
  drawSoon();
}

function findInTimeline() {
  timeline.terms = state.terms;
  timeline.wanted = null;
  timeline.wantedCount = timeline.count;
  timeline.tagged = new Set();
  if (!state.terms.length) return;
  const texts = timeline.raw.blockList.map((one) => `${one.name}\n${one.file}:${one.line}`.toLowerCase());
  timeline.wanted = texts.map((text) => state.terms.every((term) => text.includes(term)));
  for (const [place, text] of timeline.tags) {
    if (state.terms.every((term) => text.toLowerCase().includes(term))) timeline.tagged.add(place);
  }
  timeline.wantedCount = 0;
  for (let i = 0; i < timeline.count; i += 1) timeline.wantedCount += isWantedPass(i);
}

function isWantedPass(pass) {
  return !timeline.wanted || timeline.wanted[timeline.blocks[pass]] || timeline.tagged.has(pass);
}

function sayTimelineCount() {
  const all = counted(timeline.count, "pass", "passes");
  const found = timeline.wanted ? `${count(timeline.wantedCount)} of ${all}` : all;
  const older = timeline.raw.leftOut ? `, ${count(timeline.raw.leftOut)} older ones left out` : "";
  const span = `${time(timeline.to - timeline.from)} of ${time(timeline.total)}`;
  const clocks = timeline.raw.clocks ? `; ${timeline.raw.clocks}` : "";
  byId("timeline-count").textContent = `${found}${older}; in sight: ${span}${clocks}`;
  byId("timeline-previous").disabled = byId("timeline-next").disabled = !timeline.wantedCount;
  byId("timeline-all").disabled = timeline.from === 0 && timeline.to === timeline.total;
}

function drawSoon() {
  if (timeline.isDue) return;
  timeline.isDue = true;
  requestAnimationFrame(() => {
    timeline.isDue = false;
    if (tab === "timeline") drawTimeline();
  });
}

// Colours as the page has them now, which a canvas does not resolve by itself.
function coloursNow() {
  const probe = el("i");
  byId("timeline").after(probe);
  const look = getComputedStyle(probe);
  const resolved = (name) => {
    probe.style.color = `var(${name})`;
    return look.color;
  };
  const found = Object.fromEntries(["text", "dim", "line", "mark"].map((name) => [name, resolved(`--${name}`)]));
  found.tracks = timeline.raw.blockList.map(({ track }) => {
    probe.className = trackClass(track);
    return resolved("--track");
  });
  probe.remove();
  return found;
}

function drawTimeline() {
  const canvas = byId("timeline");
  const ratio = devicePixelRatio || 1;
  timeline.width = canvas.clientWidth;
  timeline.height = canvas.clientHeight;
  if (canvas.width !== Math.round(timeline.width * ratio)) canvas.width = Math.round(timeline.width * ratio);
  if (canvas.height !== Math.round(timeline.height * ratio)) canvas.height = Math.round(timeline.height * ratio);
  timeline.top = Math.max(0, Math.min(timeline.top, timeline.tall + AXIS_HEIGHT + 6 - timeline.height));
  timeline.look = coloursNow();
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, timeline.width, timeline.height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  drawGrid(pen);
  for (const row of timeline.rows) {
    const y = rowTop(row);
    if (y > timeline.height) break;
    if (y + ROW_HEIGHT >= AXIS_HEIGHT) drawRow(pen, row, y);
  }
  drawHeads(pen);
  drawAxis(pen);
  timeline.drawn += 1;
}

function rowTop(row) {
  return AXIS_HEIGHT + row.y - timeline.top;
}

function xOf(moment) {
  return ((moment - timeline.from) / (timeline.to - timeline.from)) * timeline.width;
}

function momentAt(x) {
  return timeline.from + (x / timeline.width) * (timeline.to - timeline.from);
}

function drawRow(pen, row, y) {
  const { starts, ends, to, width } = timeline;
  const runs = { look: null, from: 0, to: 0, y };
  let i = firstAfter(row, timeline.from);
  while (i < row.sizes && starts[row.passes[i]] < to) {
    const pass = row.passes[i];
    const left = Math.max(xOf(starts[pass]), 0);
    const right = Math.min(xOf(ends[pass]), width);
    if (right - left >= 2) {
      drawRun(pen, runs);
      drawPass(pen, pass, left, right, y);
      i += 1;
      continue;
    }
    // Of what lies in one pixel, the first that is looked for, or else the first.
    const pixel = Math.floor(left);
    let next = firstAfter(row, momentAt(pixel + 1), i);
    if (next <= i) next = i + 1;
    addToRun(pen, runs, pixel, shownOf(row, i, next));
    i = next;
  }
  drawRun(pen, runs);
}

function shownOf(row, from, until) {
  if (timeline.wanted) {
    for (let i = from; i < Math.min(until, from + 200); i += 1) if (isWantedPass(row.passes[i])) return row.passes[i];
  }
  return row.passes[from];
}

// Neighbouring pixels of one colour are one rectangle.
function addToRun(pen, runs, pixel, pass) {
  const look = lookOf(pass);
  if (runs.look && runs.look.colour === look.colour && runs.look.alpha === look.alpha && runs.to === pixel) {
    runs.to = pixel + 1;
    return;
  }
  drawRun(pen, runs);
  Object.assign(runs, { look, from: pixel, to: pixel + 1 });
}

function drawRun(pen, runs) {
  if (!runs.look) return;
  pen.globalAlpha = runs.look.alpha;
  pen.fillStyle = runs.look.colour;
  pen.fillRect(runs.from, runs.y, runs.to - runs.from, ROW_HEIGHT - 1);
  pen.globalAlpha = 1;
  runs.look = null;
}

function lookOf(pass) {
  const block = timeline.blocks[pass];
  const alpha = isWantedPass(pass) ? [0.5, 0.62, 0.42][block % 3] : 0.12;
  return { colour: timeline.look.tracks[block], alpha };
}

function drawPass(pen, pass, left, right, y) {
  const { colour, alpha } = lookOf(pass);
  const wide = right - left - (right - left > 4 ? 1 : 0);
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  pen.fillRect(left, y, wide, ROW_HEIGHT - 1);
  pen.globalAlpha = 1;
  if (timeline.outcomes[pass] === 1) {
    pen.fillStyle = timeline.look.mark;
    pen.fillRect(left, y + ROW_HEIGHT - 4, wide, 3);
  }
  if (pass === timeline.at || pass === timeline.hovered) {
    pen.strokeStyle = timeline.look.text;
    pen.lineWidth = pass === timeline.at ? 2 : 1;
    pen.strokeRect(left + 1, y + 1, Math.max(wide - 2, 1), ROW_HEIGHT - 3);
  }
  if (wide > LABELLED) {
    pen.fillStyle = timeline.look.text;
    pen.fillText(labelFor(timeline.raw.blockList[timeline.blocks[pass]].name, wide - 6), left + 4, y + ROW_HEIGHT / 2);
  }
}

function drawHeads(pen) {
  pen.fillStyle = timeline.look.text;
  for (const head of timeline.heads) {
    const height = head.isProcess ? PROCESS_HEIGHT : HEAD_HEIGHT;
    const y = AXIS_HEIGHT + head.y - timeline.top;
    if (y < -height || y > timeline.height) continue;
    if (head.isProcess) pen.fillRect(0, Math.round(y) + 5, timeline.width, 1);
    pen.font = head.isProcess ? "700 13px system-ui, sans-serif" : "600 12px system-ui, sans-serif";
    pen.fillText(head.text, 4, y + height / 2 + (head.isProcess ? 4 : 2));
  }
  pen.font = "11px system-ui, sans-serif";
}

function ticks() {
  const { from, to, width } = timeline;
  const step = evenStep((to - from) / Math.max(width / 110, 1));
  const found = [];
  for (let tick = Math.ceil(from / step) * step; tick < to; tick += step) found.push(tick);
  return { step, found };
}

function drawGrid(pen) {
  pen.fillStyle = timeline.look.line;
  for (const tick of ticks().found) pen.fillRect(Math.round(xOf(tick)), AXIS_HEIGHT - 5, 1, timeline.height);
}

function drawAxis(pen) {
  const { step, found } = ticks();
  pen.clearRect(0, 0, timeline.width, AXIS_HEIGHT - 5);
  pen.fillStyle = timeline.look.dim;
  for (const tick of found) pen.fillText(momentLabel(tick, step), Math.round(xOf(tick)) + 3, AXIS_HEIGHT / 2);
}

function evenStep(least) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((times) => times * unit).find((step) => step >= least);
}

// As exact as the step needs it.
function momentLabel(moment, step) {
  const [name, size] = [...UNITS].reverse().find(([, ns]) => moment >= ns) ?? UNITS[0];
  const digits = Math.max(0, Math.min(9, Math.ceil(Math.log10(size / step) - 1e-9)));
  return `${(moment / size).toFixed(digits)} ${name}`;
}

// Moving about

function lookAt(from, to) {
  const span = Math.min(Math.max(to - from, LEAST_SPAN), timeline.total);
  const begin = Math.min(Math.max(from, 0), timeline.total - span);
  [timeline.from, timeline.to] = [begin, begin + span];
  sayTimelineCount();
  drawSoon();
}

function zoomTimeline(factor, x = timeline.width / 2) {
  const moment = momentAt(x);
  const span = Math.min(Math.max((timeline.to - timeline.from) / factor, LEAST_SPAN), timeline.total);
  const from = moment - (x / timeline.width) * span;
  lookAt(from, from + span);
}

function panTimeline(pixels, down = 0) {
  const moved = (pixels / timeline.width) * (timeline.to - timeline.from);
  timeline.top += down;
  lookAt(timeline.from + moved, timeline.to + moved);
}

function passAt(x, y) {
  const row = timeline.rows.find((one) => y >= rowTop(one) && y < rowTop(one) + ROW_HEIGHT);
  if (!row || y < AXIS_HEIGHT) return -1;
  const pixel = Math.floor(x);
  const place = firstAfter(row, momentAt(pixel));
  if (place >= row.sizes || timeline.starts[row.passes[place]] >= momentAt(pixel + 1)) return -1;
  return row.passes[place];
}

// The next pass that is looked for, forth or back.
function stepTo(step) {
  const from = timeline.at >= 0 ? timeline.at : step > 0 ? -1 : timeline.count;
  for (let n = 1; n <= timeline.count; n += 1) {
    const pass = (from + step * n + 2 * timeline.count) % timeline.count;
    if (isWantedPass(pass)) return choosePass(pass, true);
  }
  return undefined;
}

function choosePass(pass, bring = false) {
  timeline.at = pass;
  sayPass(pass);
  if (bring) bringIntoSight(pass);
  drawSoon();
}

function bringIntoSight(pass) {
  const { starts, ends, from, to, durations } = timeline;
  const row = timeline.rows[timeline.firstRow[timeline.lanes[pass]] + timeline.depths[pass]];
  const y = rowTop(row);
  if (y < AXIS_HEIGHT || y + ROW_HEIGHT > timeline.height) timeline.top = row.y - timeline.height / 2;
  const wide = (durations[pass] / (to - from)) * timeline.width;
  if (wide >= 4 && starts[pass] >= from && ends[pass] <= to) return;
  const span = Math.max(durations[pass] * 8, LEAST_SPAN);
  const middle = starts[pass] + durations[pass] / 2;
  lookAt(middle - span / 2, middle + span / 2);
}

const OUTCOMES = ["", "left by an exception", "cancelled"];

function sayPass(pass) {
  const info = byId("timeline-info");
  if (pass < 0) {
    info.textContent = "";
    return;
  }
  const block = timeline.raw.blockList[timeline.blocks[pass]];
  const lane = timeline.raw.laneList[timeline.lanes[pass]];
  const kind = LANE_KINDS[lane.kind] ? `, ${LANE_KINDS[lane.kind]} ${lane.number}` : "";
  const tag = timeline.tags.get(pass);
  const thread = timeline.raw.threadList[lane.thread];
  const process = timeline.raw.processList.length > 1 ? `${timeline.raw.processList[thread.process]}, ` : "";
  const facts = [
    `${time(timeline.durations[pass])}, from ${momentLabel(timeline.starts[pass], 1e3)} on`,
    `${process}${thread.name}${kind}`,
    tag === undefined ? "" : `tag ${tag}`,
    OUTCOMES[timeline.outcomes[pass]],
    block.file ? `${block.file.split(/[\\/]/).pop()}:${block.line}` : "",
  ];
  info.replaceChildren(
    el("span", { class: "name" }, dot(block.track), `${block.trackName} / ${block.name}`),
    el("span", {}, facts.filter(Boolean).join(" · ")),
  );
}

function openPass(pass) {
  const block = pass < 0 ? null : timeline.raw.blockList[timeline.blocks[pass]].block;
  if (block !== null && block !== undefined) showBlock(block);
}

function timelineKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const part = timeline.width / 8;
  const action = {
    ArrowLeft: () => panTimeline(-part),
    ArrowRight: () => panTimeline(part),
    ArrowUp: () => panTimeline(0, -3 * ROW_HEIGHT),
    ArrowDown: () => panTimeline(0, 3 * ROW_HEIGHT),
    "+": () => zoomTimeline(ZOOM_STEP ** 2),
    "=": () => zoomTimeline(ZOOM_STEP ** 2),
    "-": () => zoomTimeline(ZOOM_STEP ** -2),
    Home: () => lookAt(0, timeline.total),
    n: () => stepTo(1),
    p: () => stepTo(-1),
    Enter: () => openPass(timeline.at),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function listenToTimeline() {
  const canvas = byId("timeline");
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let held = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) panTimeline(event.deltaX || event.deltaY);
    else zoomTimeline(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, place(event)[0]);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, moved: 0 };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held) {
      held.moved += Math.abs(event.clientX - held.x) + Math.abs(event.clientY - held.y);
      panTimeline(held.x - event.clientX, held.y - event.clientY);
      [held.x, held.y] = [event.clientX, event.clientY];
      return;
    }
    const pass = passAt(...place(event));
    if (pass === timeline.hovered) return;
    timeline.hovered = pass;
    sayPass(pass >= 0 ? pass : timeline.at);
    drawSoon();
  });
  canvas.addEventListener("pointerup", (event) => {
    const clicked = held && held.moved < 4;
    held = null;
    if (!clicked) return;
    const pass = passAt(...place(event));
    choosePass(pass);
    openPass(pass);
  });
  canvas.addEventListener("pointercancel", () => { held = null; });
  canvas.addEventListener("dblclick", () => timeline.at >= 0 && bringIntoSight(timeline.at));
  canvas.addEventListener("keydown", timelineKey);
  byId("timeline-all").addEventListener("click", () => lookAt(0, timeline.total));
  byId("timeline-next").addEventListener("click", () => stepTo(1));
  byId("timeline-previous").addEventListener("click", () => stepTo(-1));
  new ResizeObserver(drawSoon).observe(canvas);
}

if (timeline) {
  byId("tab-timeline").hidden = false;
  listenToTimeline();
}
