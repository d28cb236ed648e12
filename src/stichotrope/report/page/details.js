// One block: its figures, its histogram, who shares in it, and its source lines.

const MOST_SHARES = 8;

function showBlock(block, focus = false) {
  state.block = block;
  keepPlace();
  const panel = byId("details");
  currentTable()?.render(true);
  panel.hidden = block === null;
  byId("work").classList.toggle("open", block !== null);
  if (block === null) return;
  const row = state.scope.rowOf(block);
  panel.replaceChildren(...detailsHead(block), ...(row === undefined ? [notHere()] : detailsFigures(row)), ...around(block), ...source(block));
  panel.scrollTop = 0;
  if (focus) panel.focus({ preventScroll: true });
}

function detailsHead(block) {
  const track = blocks.track[block];
  const close = el("button", { type: "button", class: "close", "aria-label": "Close", click: closeDetails }, "×");
  const place = fullPlace(block);
  return [
    close,
    el("h2", { id: "details-name", class: "name" }, blocks.name[block]),
    el("p", { class: "facts" }, dot(track), ` ${trackLabel(track) || "no track"}`, place ? el("span", { class: "place" }, place) : null),
  ];
}

function closeDetails() {
  showBlock(null);
  currentView().focus({ preventScroll: true });
}

function notHere() {
  return el("p", {}, "It was not entered here.");
}

function detailsFigures(row) {
  const rows = state.scope.rows;
  if (!wasEntered(rows, row)) return [el("p", {}, "It was never entered.")];
  const whole = state.scope.total;
  const figures = [
    ["Hits", count(rows.hits[row])],
    ...PATH_COLUMNS.map(([key, label]) => [label, passCell(key, rows, row)]).filter(([, text]) => text),
    ["Total", `${time(rows.total[row])}, ${percent(rows.total[row], whole)}`],
    ["Self", `${time(rows.self[row])}, ${percent(rows.self[row], whole)}`],
    ...(WAITED && passCell("running", rows, row) ? ranAndWaited(rows.total[row], rows.running[row]) : []),
    ...(rows.hits[row] ? endedFigures(rows, row) : []),
    ...workFigures(rows, row),
  ];
  const said = figures.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return [
    el("dl", { class: "pairs", title: "After ±: the standard deviation" }, ...said),
    rows.overhead[row] ? el("p", { class: "warn" }, OVERHEAD) : null,
    rows.histogram[row].length ? histogram(row, rows) : null,
  ].filter(Boolean);
}

// Of the total: what something of it ran in, and the rest.
function ranAndWaited(total, running) {
  const waited = total - running;
  return [
    ["Running", `${time(running)}, ${percent(running, total)} of its total`],
    ["Suspended", `${time(waited)}, ${percent(waited, total)} of its total`],
  ];
}

function endedFigures(rows, row) {
  return [
    ["Mean", `${time(rows.mean[row])} ± ${time(rows.stddev[row])}`],
    ["p50, p95, p99", ["p50", "p95", "p99"].map((key) => time(rows[key][row])).join(", ")],
    ["Min, max", `${time(rows.min[row])}, ${time(rows.max[row])}`],
  ];
}

// How much went through it in all, and in a pass.
function workFigures(rows, row) {
  const passes = rows.hits[row] + (rows.open?.[row] ?? 0);
  return [["Bytes", rows.byte_count?.[row]], ["Items", rows.item_count?.[row]]]
    .filter(([, amount]) => amount)
    .map(([name, amount]) => [name, `${count(amount)}, ${rate(amount / passes)} a pass`]);
}

const OVERHEAD =
  "≈ The mean is within a few times of what recording one pass costs, so it says more of the recording than of the program.";

// Who calls it, what it calls, and which threads ran it.
function around(block) {
  const { nodes, rows } = state.scope;
  const row = state.scope.rowOf(block);
  const whole = row === undefined ? 0 : rows.total[row];
  const callers = new Map();
  const callees = new Map();
  const add = (into, key, node) => into.set(key, (into.get(key) ?? 0) + nodes.total[node]);
  for (let node = 0; node < nodes.root; node++) {
    const parent = nodes.parent[node];
    if (nodes.block[node] === block) add(callers, parent < 0 ? null : nodes.block[parent], node);
    if (parent >= 0 && nodes.block[parent] === block) add(callees, nodes.block[node], node);
  }
  return [
    ...shares("Inside", callers, whole, (key) => (key === null ? "no other block" : blockButton(key))),
    ...shares("Nested in it", callees, whole, blockButton),
    ...(state.scope === scopes[0] ? shares("By thread", byThread(block), whole, scopeButton) : []),
  ];
}

function byThread(block) {
  const found = new Map();
  for (const one of [...data.kinds, ...data.threads]) {
    if (!one.scope || isFolded(one)) continue;
    const row = scopes[one.scope].rowOf(block);
    if (row !== undefined) found.set(one.scope, scopes[one.scope].rows.total[row]);
  }
  return found;
}

// Whether a thread stands within a line of its kind.
function isFolded(one) {
  return typeof one.kind === "number" && Boolean(data.kinds[one.kind].scope);
}

// Shares are of the block's total, whoever they are compared with.
function shares(title, found, whole, name) {
  if (!found.size) return [];
  const sorted = [...found].sort((a, b) => b[1] - a[1]);
  const more = sorted.length - MOST_SHARES;
  const items = sorted.slice(0, MOST_SHARES).map(([key, ns]) =>
    el("li", {}, el("span", { class: "name" }, name(key)), el("span", { class: "amount" }, time(ns)), share(ns, whole)),
  );
  if (more > 0) items.push(el("li", { class: "dim" }, `and ${count(more)} more`));
  const base = el("span", { class: "base" }, ` of its ${time(whole)}`);
  return [el("h3", {}, title, base), el("ul", { class: "shares" }, ...items)];
}

function blockButton(block) {
  return el("button", { type: "button", class: "link", click: () => showBlock(block, true) }, dot(blocks.track[block]), ` ${blocks.name[block]}`);
}

function scopeButton(place) {
  return el("button", { type: "button", class: "link", click: () => chooseScope(place) }, scopes[place].label);
}

function source(block) {
  const range = blocks.excerpt[block];
  if (!range) return [];
  const { lines, changed } = fileOf(block);
  const at = blocks.line[block];
  const [first, last] = range;
  const width = String(last).length;
  const shown = Array.from({ length: last - first + 1 }, (_, i) => sourceLine(first + i, lines, at, width));
  return [
    el("h3", {}, "Source"),
    changed ? el("p", { class: "warn" }, "The file was written after the recording; its lines may have moved.") : null,
    el("pre", { class: "source", tabindex: 0, "aria-label": `Source around line ${at}` }, ...shown),
  ].filter(Boolean);
}

function sourceLine(number, lines, at, width) {
  const shown = el("span", { class: "number" }, String(number).padStart(width));
  return el("code", { class: number === at ? "here" : undefined }, shown, ` ${lines[number]}\n`);
}
