// The flame graph, as an icicle: callers above, and what is nested in them below.

const BOX = 22; // px, with the line between
const LEAST = 2; // px: narrower ones are drawn together
const LABELLED = 30; // px
const LETTER = 6.5; // px, about

const flame = { scope: null, zoom: null, history: [], boxes: [], deepest: 0, active: null, width: 0 };

const RUNNING_NOTE =
  "The width is the time in which the block, or something that is nested in it, was running on this path: what " +
  "coroutines and generators spend suspended has no width.";
const TOTAL_NOTE =
  "The width is the time in which the block was open on this path, waiting included. What is nested in a block at the " +
  "same time shares its width.";

function updateFlame() {
  if (flame.scope !== state.scope) {
    Object.assign(flame, { scope: state.scope, zoom: state.scope.nodes.root, history: [], active: null });
    inform(flame.zoom);
  }
  layFlame();
}

// Which boxes there are, in px: what the zoom stands inside of, itself, and all below that is wide enough.
function layFlame() {
  const { nodes } = state.scope;
  const width = byId("flame").clientWidth;
  const path = [nodes.root, ...nodes.path(flame.zoom)];
  const zoomed = path.pop();
  const boxes = path.map((node, level) => ({ node, level, x: 0, width, above: true }));
  const stack = [{ node: zoomed, level: path.length, x: 0, width }];
  while (stack.length) {
    const box = stack.pop();
    boxes.push(box);
    stack.push(...boxesBelow(box, nodes, boxes).reverse());
  }
  Object.assign(flame, { boxes, width, deepest: boxes.reduce((most, box) => Math.max(most, box.level), 0) });
  byId("flame").style.height = `${(flame.deepest + 1) * BOX}px`;
  drawFlame();
  drawPath(path, zoomed);
  const { leftOut } = state.scope;
  const said = [
    WAITED ? (state.time === "running" ? RUNNING_NOTE : TOTAL_NOTE) : "The width is the time in which the block was open on this path.",
    "Recursion is folded back onto where it came from.",
    leftOut ? `The ${count(leftOut)} lightest paths are left out.` : "",
  ];
  byId("flame-note").textContent = said.filter(Boolean).join(" ");
}

// The boxes below one, heaviest first; when the rest is too narrow, it goes into one box.
function boxesBelow({ node, level, x, width }, nodes, boxes) {
  const whole = state.scope.total;
  const of = (one) => nodes.time(one, whole);
  const below = [...nodes.children[node]].sort((a, b) => of(b) - of(a));
  const most = state.time === "running" ? of(node) : Math.max(of(node), nodes.nested[node]);
  const scale = most ? width / most : 0;
  const found = [];
  for (const [place, child] of below.entries()) {
    const box = { node: child, level: level + 1, x, width: of(child) * scale };
    if (box.width < LEAST) {
      const rest = below.slice(place);
      const room = rest.reduce((sum, one) => sum + of(one), 0) * scale;
      if (room > LEAST) boxes.push({ node: null, level: level + 1, x, width: room, rest: rest.length });
      break;
    }
    found.push(box);
    x += box.width;
  }
  return found;
}

// Only the levels in sight are in the document.
function drawFlame() {
  const scroller = byId("flame-scroller");
  const first = Math.floor(scroller.scrollTop / BOX) - 4;
  const last = first + (scroller.clientHeight || 600) / BOX + 8;
  const seen = flame.boxes.filter((box) => flame.all || (box.level >= first && box.level <= last));
  byId("flame").replaceChildren(...seen.map(drawnBox));
  const active = flame.active !== null && byId(`flame-${flame.active}`);
  if (active) byId("flame").setAttribute("aria-activedescendant", active.id);
  else byId("flame").removeAttribute("aria-activedescendant");
}

function drawnBox(box) {
  const { nodes } = state.scope;
  const style = { left: `${box.x}px`, width: `${Math.max(box.width - 1, 1)}px`, top: `${box.level * BOX}px` };
  if (box.node === null) return el("div", { class: "box rest", style, title: counted(box.rest, "narrow path"), role: "presentation" });
  const root = box.node === nodes.root;
  const block = root ? null : nodes.block[box.node];
  const labelled = box.width >= LABELLED;
  const kinds = [
    labelled && "labelled",
    root ? "c-none" : trackClass(blocks.track[block]),
    box.above && "above",
    box.node === flame.active && "active",
    state.terms.length && (root || !matches(block)) && "unmatched",
  ];
  return el(
    "div",
    {
      id: `flame-${box.node}`,
      class: `box ${kinds.filter(Boolean).join(" ")}`,
      style,
      role: "treeitem",
      "aria-level": box.level + 1,
      "aria-selected": String(box.node === flame.zoom),
      "aria-label": described(box.node),
      "data-node": box.node,
    },
    labelled ? labelFor(root ? "all blocks" : blocks.name[block], box.width) : "",
  );
}

function labelFor(name, width) {
  return name.length * LETTER > width ? lastPart(name) : name;
}

function described(node) {
  const { nodes, label, total } = state.scope;
  const ns = nodes.time(node, total);
  const what = state.time === "running" ? "running" : node === nodes.root ? "in blocks" : "total";
  const part = `${what} ${time(ns)} (${percent(ns, total)})`;
  if (node === nodes.root) return `all blocks of ${label}: ${part}`;
  const figures = [part, ...(what === "total" ? [] : [`total ${time(nodes.total[node])}`]), `self ${time(nodes.self[node])}`].join(", ");
  const ended = PATH_COLUMNS.map(([key, label]) => [passCell(key, nodes, node), label]).filter(([text]) => text);
  const passes = [counted(nodes.hits[node], "hit"), ...ended.map(([text, label]) => `${text} ${label.toLowerCase()}`)];
  return `${blocks.name[nodes.block[node]]}: ${figures}, ${passes.join(", ")}`;
}

function drawPath(path, zoomed) {
  const { nodes } = state.scope;
  const names = [...path, zoomed].filter((node) => node !== nodes.root);
  const parts = names.flatMap((node, i) => [
    i ? " › " : "",
    el("button", { type: "button", class: "link", click: () => zoomTo(node) }, blocks.name[nodes.block[node]]),
  ]);
  byId("flame-path").replaceChildren(...parts);
  byId("flame-back").disabled = !flame.history.length;
  byId("flame-reset").disabled = flame.zoom === nodes.root;
}

function zoomTo(node, remember = true) {
  if (node === flame.zoom) return;
  if (remember) flame.history.push(flame.zoom);
  flame.zoom = flame.active = node;
  byId("flame-scroller").scrollTop = 0;
  layFlame();
  inform(node);
  keepPlace();
}

function zoomBack() {
  if (flame.history.length) zoomTo(flame.history.pop(), false);
}

function inform(node) {
  const { nodes } = state.scope;
  const more = node === nodes.root ? null : el("button", { type: "button", click: () => showBlock(nodes.block[node], true) }, "Show block");
  byId("flame-info").replaceChildren(el("span", { class: "name" }, described(node)), ...(more ? [more] : []));
}

function activateBox(node) {
  flame.active = node;
  const level = flame.boxes.find((box) => box.node === node).level;
  const scroller = byId("flame-scroller");
  const room = scroller.clientHeight - 2 * BOX;
  if (level * BOX < scroller.scrollTop) scroller.scrollTop = level * BOX;
  else if (level * BOX > scroller.scrollTop + room) scroller.scrollTop = level * BOX - room;
  drawFlame();
  inform(node);
}

// Down to the widest child, up to the parent, left and right to the next box of the level.
function neighbour(key) {
  const { nodes } = state.scope;
  const boxes = flame.boxes.filter((box) => box.node !== null);
  const here = boxes.find((box) => box.node === flame.active);
  if (!here) return flame.zoom;
  if (key === "ArrowUp") return here.node === nodes.root ? null : nodes.parentOf(here.node);
  const level = boxes.filter((box) => box.level === here.level + (key === "ArrowDown")).sort((a, b) => a.x - b.x);
  if (key === "ArrowDown") return level.find((box) => here.above || nodes.parentOf(box.node) === here.node)?.node;
  return level[level.indexOf(here) + (key === "ArrowRight" ? 1 : -1)]?.node;
}

byId("flame").addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key.startsWith("Arrow")) {
    const next = neighbour(event.key);
    if (next !== undefined && next !== null) activateBox(next);
  } else if (event.key === "Enter" && flame.active !== null) zoomTo(flame.active);
  else if (event.key === "Escape" || event.key === "Backspace") zoomBack();
  else return;
  event.preventDefault();
  event.stopPropagation();
});

byId("flame").addEventListener("focus", () => byId("flame").matches(":focus-visible") && activateBox(flame.active ?? flame.zoom));
byId("flame").addEventListener("click", (event) => {
  const box = event.target.closest("[data-node]");
  if (box) zoomTo(Number(box.dataset.node));
});
byId("flame").addEventListener("pointermove", (event) => {
  const box = event.target.closest("[data-node]");
  if (box && event.pointerType !== "touch") inform(Number(box.dataset.node));
});
byId("flame-scroller").addEventListener("scroll", drawFlame, { passive: true });
byId("flame-back").addEventListener("click", zoomBack);
byId("flame-reset").addEventListener("click", () => zoomTo(state.scope.nodes.root));
new ResizeObserver(() => {
  if (flame.scope && byId("flame").clientWidth !== flame.width && byId("flame").clientWidth) layFlame();
}).observe(byId("flame-scroller"));
