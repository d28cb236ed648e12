// The call tree: a table whose rows open and close.

const DEEPEST_INDENT = 24; // levels; below, the level is written
const BUSY = 0.05; // of the whole: what is open at first

const TREE_COLUMNS = [
  { key: "name", label: "Block", width: "26rem", class: "first" },
  { key: "total", label: "Total", width: "6rem", class: "number" },
  { key: "share", label: "Share", width: "9.4rem", class: "share-cell" },
  { key: "self", label: "Self", width: "6rem", class: "number", title: "The total less what nested blocks took" },
  { key: "hits", label: "Hits", width: "7rem", class: "number" },
  ...PASS_COLUMNS.map(([key, label, title, width]) => ({ key, label, width, class: "number", title })),
  { key: "mean", label: "Mean", width: "6rem", class: "number", title: "Of the passes that ended on this path" },
  { key: "where", label: "Where", width: "12rem", class: "where" },
];

const openNodes = { scope: null, set: new Set(), list: [] }; // list: [node, depth] of the rows

const treeTable = new Rows(byId("tree"), {
  columns: TREE_COLUMNS,
  draw: (place) => treeRow(...openNodes.list[place]),
  open: openTreeRow,
  key: treeKey,
});

function treeRow(node, depth) {
  const { nodes, total } = state.scope;
  const block = nodes.block[node];
  const below = nodes.children[node].length;
  const open = openNodes.set.has(node);
  const siblings = nodes.children[nodes.parentOf(node)];
  const indent = el("span", { class: "indent", style: { width: `${Math.min(depth, DEEPEST_INDENT) * 14}px` } }, depth > DEEPEST_INDENT ? `level ${depth + 1}` : "");
  const twist = el("span", { class: "twist", "aria-hidden": "true" }, below ? (open ? "▾" : "▸") : "");
  const name = el("span", { class: "name" }, indent, twist, dot(blocks.track[block]), ...named(blocks.name[block]));
  const hits = nodes.hits[node];
  return {
    cells: [
      { content: name, title: blocks.name[block] },
      time(nodes.total[node]),
      share(nodes.total[node], total),
      time(nodes.self[node]),
      count(hits),
      ...PASS_COLUMNS.map(([key]) => passCell(key, nodes, node)),
      hits ? time(nodes.mean[node]) : "",
      { content: shortPlace(block), title: fullPlace(block) },
    ],
    kind: `${block === state.block ? "selected " : ""}${state.terms.length && !matches(block) ? "unmatched" : ""}`,
    attributes: {
      "aria-level": depth + 1,
      "aria-setsize": siblings.length,
      "aria-posinset": siblings.indexOf(node) + 1,
      "aria-expanded": below ? String(open) : undefined,
      "aria-selected": String(block === state.block),
    },
  };
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
  if (nodes.children[node].length && openNodes.set.has(node) !== right) toggle(node);
  else if (right && nodes.children[node].length) treeTable.activate(place + 1);
  else if (!right && depth) treeTable.activate(openNodes.list.findIndex(([one]) => one === nodes.parentOf(node)));
  return true;
}

function layTree() {
  const { nodes } = state.scope;
  const list = [];
  const stack = nodes.children[nodes.root].map((node) => [node, 0]).reverse();
  while (stack.length) {
    const [node, depth] = stack.pop();
    list.push([node, depth]);
    if (!openNodes.set.has(node)) continue;
    const below = nodes.children[node];
    for (let i = below.length - 1; i >= 0; i--) stack.push([below[i], depth + 1]);
  }
  openNodes.list = list;
  treeTable.set(list.length);
}

function updateTree() {
  if (openNodes.scope !== state.scope) {
    openNodes.scope = state.scope;
    openBusy();
    treeTable.active = -1;
  }
  layTree();
  const { nodes, leftOut } = state.scope;
  const said = leftOut ? `; the ${count(leftOut)} lightest are left out` : "";
  byId("tree-count").textContent = `${counted(nodes.root, "path")}${said}`;
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
