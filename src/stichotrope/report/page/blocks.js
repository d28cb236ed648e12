// The table of blocks: sorted, filtered, by track.

const numeric = (key, label, format, title, width = "5.5rem") => ({ key, label, format, title, width, class: "number" });

// As wide as the longest name wants, within limits.
const longestName = blocks.name.reduce((most, name) => Math.max(most, name.length), 0);
const NAME_WIDTH = `${Math.min(Math.max(15, 0.5 * longestName + 2), 25)}rem`;

const BLOCK_COLUMNS = [
  { key: "name", label: "Block", width: NAME_WIDTH, class: "first", text: (row) => blocks.name[blockAt(row)] },
  { key: "track", label: "Track", width: "9.2rem", class: "track", text: (row) => trackLabel(blocks.track[blockAt(row)]) },
  numeric("total", "Total", time, "Time in which at least one pass was open", "6.2rem"),
  { ...numeric("share", "Share", null, "Part of the time in which any block was open", "9.4rem"), class: "share-cell" },
  numeric("self", "Self", time, "The total less what nested blocks took", "6.2rem"),
  numeric("hits", "Hits", count, "Passes that ended", "6.4rem"),
  ...PASS_COLUMNS.map(([key, label, title, width]) => numeric(key, label, null, title, width)),
  numeric("mean", "Mean", time),
  numeric("p50", "p50", time, "Half of the passes took no longer"),
  numeric("p95", "p95", time, "95 % of the passes took no longer"),
  numeric("p99", "p99", time, "99 % of the passes took no longer"),
  numeric("min", "Min", time),
  numeric("max", "Max", time),
  { key: "where", label: "Where", width: "11rem", class: "where", text: (row) => fullPlace(blockAt(row)) },
];

// What a block has while none of its passes has ended.
const OF_ALL_PASSES = new Set(["total", "self"]);

const blockAt = (row) => state.scope.rows.block[row];
const shownRows = { list: [] };

const blockOrder = sorting(BLOCK_COLUMNS, "total", () => {
  blockTable.head();
  updateBlocks();
});

const blockTable = new Rows(byId("blocks"), {
  columns: BLOCK_COLUMNS,
  draw: (place) => blockRow(shownRows.list[place]),
  open: (place, event) => showBlock(blockAt(shownRows.list[place]), event.type === "keydown"),
});

function blockRow(row) {
  const { rows, total } = state.scope;
  const block = blockAt(row);
  const entered = wasEntered(rows, row);
  const cells = BLOCK_COLUMNS.map((column) => {
    const known = column.key === "hits" || (OF_ALL_PASSES.has(column.key) ? entered : rows.hits[row] > 0);
    if (column.format) return known ? column.format(rows[column.key][row]) : "";
    if (data.columns.includes(column.key)) return passCell(column.key, rows, row);
    if (column.key === "share") return entered ? share(rows.total[row], total) : "";
    if (column.key === "where") return { content: shortPlace(block), title: fullPlace(block) };
    if (column.key === "track") return { content: el("span", {}, dot(blocks.track[block]), ` ${trackLabel(blocks.track[block])}`), title: trackLabel(blocks.track[block]) };
    return { content: blockName(block, rows.overhead[row]), title: blocks.name[block] };
  });
  const selected = block === state.block;
  return { cells, kind: `${entered ? "" : "unhit "}${selected ? "selected" : ""}`, attributes: { "aria-selected": String(selected) } };
}

function blockName(block, overhead) {
  const sign = overhead ? el("span", { class: "sign", title: OVERHEAD, "aria-label": "mostly overhead" }, "≈") : null;
  const inName = el("span", { class: "in-name" }, dot(blocks.track[block]));
  return el("span", { class: "name" }, inName, ...named(blocks.name[block]), sign);
}

function updateBlocks() {
  const { rows } = state.scope;
  const unhit = byId("unhit").checked;
  let hidden = 0;
  let near = false;
  const list = [];
  for (let row = 0; row < rows.block.length; row++) {
    const block = rows.block[row];
    if (state.track !== null && blocks.track[block] !== state.track) continue;
    if (!matches(block)) continue;
    if (!wasEntered(rows, row) && !unhit) hidden += 1;
    else list.push(row);
    near ||= Boolean(rows.overhead[row]);
  }
  shownRows.list = list.sort(blockComparison());
  blockTable.set(list.length);
  const all = rows.block.length;
  byId("blocks-count").textContent = list.length === all ? counted(all, "block") : `${count(list.length)} of ${counted(all, "block")}`;
  byId("unhit-field").hidden = !hidden && !unhit;
  byId("unhit-label").textContent = "show those that were never entered" + (unhit ? "" : ` (${count(hidden)})`);
  byId("overhead-legend").hidden = !near;
  byId("overhead-legend").textContent = "≈ mean within a few times of the cost of recording";
}

// Those that were never entered come last, and those alike in their order of registration.
function blockComparison() {
  const { rows } = state.scope;
  const column = BLOCK_COLUMNS.find((one) => one.key === blockOrder.key);
  const values = rows[column.key === "share" ? "total" : column.key];
  const texts = column.text && rows.block.map((_, row) => column.text(row));
  const compare = column.text ? (a, b) => collator.compare(texts[a], texts[b]) : (a, b) => values[a] - values[b];
  return (a, b) => wasEntered(rows, b) - wasEntered(rows, a) || blockOrder.direction * compare(a, b) || a - b;
}

const collator = new Intl.Collator("en", { numeric: true });

function updateTracks() {
  const { total, tracks: found } = state.scope;
  const list = byId("tracks");
  list.hidden = found.length < 2;
  list.replaceChildren(...found.map(([idx, hits, ns]) => trackButton(idx, hits, ns, total)));
}

function trackButton(idx, hits, ns, total) {
  const off = tracks.get(idx)?.enabled === false ? " (off)" : "";
  const press = () => {
    state.track = state.track === idx ? null : idx;
    keepPlace();
    updateTracks();
    updateBlocks();
    [...byId("tracks").children].find((one) => one.dataset.track === String(idx))?.focus();
  };
  return el(
    "button",
    { type: "button", "aria-pressed": String(state.track === idx), click: press, "data-track": idx },
    el("span", { class: "track-name" }, dot(idx), ` ${trackLabel(idx)}${off}`),
    el("span", { class: "amount" }, time(ns)),
    share(ns, total),
    el("span", { class: "dim" }, counted(hits, "hit")),
  );
}
