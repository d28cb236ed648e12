// The call tree: a table whose rows open and close.

const DEEPEST_INDENT = 24; // levels; below, the level is written
const BUSY = 0.05; // of the whole: what is open at first

const TREE_COLUMNS = [
  { key: "name", label: "Block", width: "26rem", class: "first", text: (node) => blocks.name[state.scope.nodes.block[node]] },
  numeric("time", "Total", null, "Time in which a pass was open on this path", "6rem"),
  { ...numeric("share", "Share", null, "Part of the time in which any block was open", "9.4rem"), class: "share-cell" },
  numeric("parent", "Of parent", null, "Part of the same time of the line that it hangs under", "6rem"),
  numeric("self", "Self", null, "The total less what nested blocks took", "6rem"),
  numeric("hits", "Hits", null, "Passes that ended on this path", "7rem"),
  numeric("each", "Per parent", null, "How many of them in each pass of the line that it hangs under", "6.2rem"),
  ...PATH_COLUMNS.map(([key, label, title, width]) => numeric(key, label, null, title, width)),
  numeric("mean", "Mean", null, "Of the passes that ended on this path", "6rem"),
  { key: "where", label: "Where", width: "12rem", class: "where", text: (node) => fullPlace(state.scope.nodes.block[node]) },
];

// Open ones, and the rows: [node, depth, place among its siblings, how many these are].
const openNodes = { scope: null, set: new Set(), list: [] };

const treeOrder = sorting(TREE_COLUMNS, "time", () => {
  treeTable.head();
  layTree();
});

const treeTable = new Rows(byId("tree"), {
  columns: TREE_COLUMNS,
  draw: (place) => treeRow(...openNodes.list[place]),
  open: openTreeRow,
  key: treeKey,
});

function treeRow(node, depth, place, siblings) {
  const { nodes, total } = state.scope;
  const block = nodes.block[node];
  const below = nodes.children[node].length;
  const open = isOpen(node);
  const indent = el("span", { class: "indent", style: { width: `${Math.min(depth, DEEPEST_INDENT) * 14}px` } }, depth > DEEPEST_INDENT ? `level ${depth + 1}` : "");
  const twist = el("span", { class: "twist", "aria-hidden": "true" }, below ? (open ? "▾" : "▸") : "");
  const name = el("span", { class: "name" }, indent, twist, dot(blocks.track[block]), ...named(blocks.name[block]));
  const ns = nodes.time(node, total);
  return {
    cells: [
      { content: name, title: blocks.name[block] },
      time(ns),
      share(ns, total),
      depth ? percent(ns, nodes.time(nodes.parentOf(node), total)) : "",
      time(nodes.self[node]),
      count(nodes.hits[node]),
      depth ? ratio(nodes.hits[node], nodes.passes(nodes.parentOf(node))) : "",
      ...PATH_COLUMNS.map(([key]) => passCell(key, nodes, node)),
      nodes.hits[node] ? time(nodes.mean[node]) : "",
      { content: shortPlace(block), title: fullPlace(block) },
    ],
    kind: `${block === state.block ? "selected " : ""}${state.terms.length && !matches(block) ? "unmatched" : ""}`,
    attributes: {
      "aria-level": depth + 1,
      "aria-setsize": siblings,
      "aria-posinset": place + 1,
      "aria-expanded": below ? String(open) : undefined,
      "aria-selected": String(block === state.block),
    },
  };
}

// What is looked for is shown with all that it hangs under.
function isOpen(node) {
  return openNodes.set.has(node) || Boolean(openNodes.kept && openNodes.within[node]);
}

function openTreeRow(place, event) {
  const [node] = openNodes.list[place];
  if (event.target.closest?.(".twist")) toggle(node);
  else showBlock(state.scope.nodes.block[node], event.type === "keydown");
}

function toggle(node) {
  if (!openNodes.set.delete(node)) openNodes.set.add(node);
  layTree();
}

// Right opens, then goes to the first child; left closes, then goes to the parent.
function treeKey(event, place) {
  if (place < 0 || !["ArrowRight", "ArrowLeft"].includes(event.key)) return false;
  const [node, depth] = openNodes.list[place];
  const { nodes } = state.scope;
  const right = event.key === "ArrowRight";
  const held = openNodes.kept && openNodes.within[node];
  if (nodes.children[node].length && !held && isOpen(node) !== right) toggle(node);
  else if (right && isOpen(node)) treeTable.activate(place + 1);
  else if (!right && depth) treeTable.activate(openNodes.list.findIndex(([one]) => one === nodes.parentOf(node)));
  return true;
}

function layTree() {
  const { nodes } = state.scope;
  findInTree(nodes);
  const compare = treeComparison(nodes);
  const list = [];
  const stack = [];
  const push = (node, depth) => {
    const all = nodes.children[node];
    const below = (openNodes.kept ? all.filter((child) => openNodes.kept[child]) : [...all]).sort(compare);
    for (let i = below.length - 1; i >= 0; i--) stack.push([below[i], depth, i, below.length]);
  };
  push(nodes.root, 0);
  while (stack.length) {
    const row = stack.pop();
    list.push(row);
    if (isOpen(row[0])) push(row[0], row[1] + 1);
  }
  openNodes.list = list;
  treeTable.set(list.length);
  sayTreeCount(nodes);
}

// kept: nodes that match, what they hang under and what hangs under them; within: what has a match below.
function findInTree(nodes) {
  openNodes.kept = null;
  if (!state.terms.length) return;
  const kept = (openNodes.kept = new Uint8Array(nodes.root + 1));
  const within = (openNodes.within = new Uint8Array(nodes.root + 1));
  openNodes.found = 0;
  // A parent comes before its children.
  for (let node = 0; node < nodes.root; node++) {
    if (matches(nodes.block[node])) {
      kept[node] = 1;
      openNodes.found += 1;
    } else kept[node] = 2 * kept[nodes.parentOf(node)] && 2;
  }
  for (let node = nodes.root - 1; node >= 0; node--) {
    if (kept[node] !== 1 && !within[node]) continue;
    kept[node] ||= 1;
    within[nodes.parentOf(node)] = 1;
  }
}

function treeComparison(nodes) {
  const { key, direction } = treeOrder;
  const column = TREE_COLUMNS.find((one) => one.key === key);
  if (column.text) return (a, b) => direction * collator.compare(column.text(a), column.text(b)) || a - b;
  if (key === "each") return (a, b) => direction * (nodes.perParent(a) - nodes.perParent(b)) || a - b;
  const values = ["time", "share", "parent"].includes(key) ? (state.time === "running" ? nodes.weight : nodes.total) : nodes[key];
  return (a, b) => direction * (values[a] - values[b]) || a - b;
}

function sayTreeCount(nodes) {
  const { leftOut } = state.scope;
  const said = leftOut ? `; the ${count(leftOut)} lightest are left out` : "";
  const all = counted(nodes.root, "path");
  byId("tree-count").textContent = `${openNodes.kept ? `${count(openNodes.found)} of ${all}` : all}${said}`;
}

function updateTree() {
  if (openNodes.scope !== state.scope) {
    openNodes.scope = state.scope;
    openBusy();
    treeTable.active = -1;
  }
  TREE_COLUMNS[1].label = state.time === "running" ? "Running" : "Total";
  treeTable.head();
  layTree();
}

function openBusy() {
  const { nodes, total } = state.scope;
  openNodes.set = new Set();
  for (let node = 0; node < nodes.root; node++) {
    if (nodes.total[node] >= BUSY * total) openNodes.set.add(node);
  }
}

byId("tree-hot").addEventListener("click", () => {
  const { nodes } = state.scope;
  openNodes.set = new Set();
  let node = nodes.root;
  while (nodes.children[node].length) {
    node = nodes.children[node][0];
    openNodes.set.add(node);
  }
  layTree();
  treeTable.activate(openNodes.list.findIndex(([one]) => one === node));
});

byId("tree-all").addEventListener("click", () => {
  openNodes.set = new Set(state.scope.nodes.parent.filter((parent) => parent >= 0));
  layTree();
});

byId("tree-none").addEventListener("click", () => {
  openNodes.set = new Set();
  layTree();
});
