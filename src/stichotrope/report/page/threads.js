// Who recorded: processes, and the threads of each.

const SHARER_COLUMNS = PASS_COLUMNS.filter(([key]) => ["open", "errors", "cancelled"].includes(key));

const THREAD_COLUMNS = [
  { label: "Thread", width: "18rem", class: "first" },
  { label: "Total", width: "6rem", class: "number", title: "Time in which at least one block was open" },
  { label: "Share", width: "9.4rem", class: "share-cell", title: "Part of that of all threads" },
  { label: "Hits", width: "6rem", class: "number" },
  ...SHARER_COLUMNS.map(([, label, title, width]) => ({ label, width, class: "number", title })),
  { label: "Busiest block", width: "20rem", class: "" },
  { label: "State", width: "5rem", class: "" },
  { label: "Key", width: "4rem", class: "number", title: "The profiler's own number for it" },
  { label: "System id", width: "9.5rem", class: "number" },
];

// Rows of {process}, {kind} and {thread}: a line for each process when there are several, and one for many threads
// that differ in a number only, which opens.
const openKinds = new Set();
const sharers = { list: [] };

function laidSharers() {
  const several = data.processes.length > 1;
  const groups = new Map([...data.processes.map((_, place) => [several ? place : null, []]), [null, []]]);
  const seen = new Set();
  for (const thread of data.threads) {
    const into = groups.get(several ? thread.process : null);
    if (thread.kind === null) {
      if (isWanted(thread)) into.push({ thread });
      continue;
    }
    const kind = data.kinds[thread.kind];
    if (!seen.has(kind) && kind.threads.some((place) => isWanted(data.threads[place]))) into.push({ kind });
    seen.add(kind);
    if (openKinds.has(kind) && isWanted(thread)) into.push({ thread });
  }
  if (!several) return groups.get(null);
  const list = data.processes.flatMap((process, place) => {
    const own = groups.get(place);
    return own.length || !state.terms.length ? [{ process }, ...own] : [];
  });
  return [...list, ...groups.get(null)];
}

// A thread is found by its name, by that of its process, or by a block that it was in.
function isWanted(thread) {
  const text = `${thread.name} ${thread.process === null ? "" : processLabel(data.processes[thread.process])}`.toLowerCase();
  if (state.terms.every((term) => text.includes(term))) return true;
  return thread.scope !== null && scopes[thread.scope].rows.block.some(matches);
}

const threadTable = new Rows(byId("threads"), {
  columns: THREAD_COLUMNS,
  draw: (place) => sharerRow(sharers.list[place]),
  open: openSharer,
  key: sharerKey,
});

function openSharer(place, event) {
  const { process, kind, thread } = sharers.list[place];
  const one = process ?? kind ?? thread;
  if (kind && (event.target.closest?.(".twist") || !one.scope)) toggleKind(kind);
  else if (one.scope !== null) {
    chooseScope(one.scope);
    chooseTab("blocks", true);
  }
}

function toggleKind(kind) {
  if (!openKinds.delete(kind)) openKinds.add(kind);
  updateThreads();
}

function sharerKey(event, place) {
  if (place < 0 || !["ArrowRight", "ArrowLeft"].includes(event.key)) return false;
  const { kind } = sharers.list[place];
  if (kind && openKinds.has(kind) !== (event.key === "ArrowRight")) toggleKind(kind);
  return true;
}

// The figures of threads together.
function together(kind) {
  const sum = (key) => kind.threads.reduce((all, place) => all + data.threads[place][key], 0);
  const figures = Object.fromEntries(["hits", "total", ...SHARER_COLUMNS.map(([key]) => key)].map((key) => [key, sum(key)]));
  return { ...figures, scope: kind.scope };
}

function sharerRow({ process, kind, thread }) {
  const one = process ?? thread ?? together(kind);
  const level = (process ? 0 : 1) + (thread && thread.kind !== null) - (data.processes.length < 2);
  const name = process ? processLabel(process) : kind ? kindLabel(kind) : thread.name;
  const shown = one.scope !== null && scopes[one.scope] === state.scope;
  const twist = data.kinds.length && !process ? el("span", { class: "twist", "aria-hidden": "true" }, kind ? (openKinds.has(kind) ? "▾" : "▸") : "") : null;
  const indent = level > 0 ? el("span", { class: "indent", style: { width: `${14 * level}px` } }) : null;
  const running = kind ? kind.threads.filter((place) => data.threads[place].alive).length : 0;
  return {
    cells: [
      { content: el("span", { class: "name" }, indent, twist, el("span", { class: "keep" }, name)), title: name },
      time(one.total),
      share(one.total, scopes[0].total),
      count(one.hits),
      ...SHARER_COLUMNS.map(([key]) => (one[key] ? count(one[key]) : "")),
      process ? { content: spanOf(process), title: spanOf(process) } : busiest(one),
      thread ? (thread.alive ? "running" : "ended") : kind ? (running ? `${count(running)} run` : "ended") : "",
      thread ? String(thread.key) : "",
      thread ? String(thread.id) : "",
    ],
    kind: `${process ? "group " : ""}${shown ? "selected " : ""}${one.scope === null && !kind ? "fixed" : ""}`,
    attributes: { "aria-level": level + 1, "aria-selected": String(shown), "aria-expanded": kind ? String(openKinds.has(kind)) : undefined },
  };
}

function spanOf({ start, duration }) {
  return [start && `from ${start}`, duration && `for ${time(duration)}`].filter(Boolean).join(", ");
}

function busiest(one) {
  if (one.scope === null) return "";
  const { rows } = scopes[one.scope];
  let most = -1;
  rows.self.forEach((ns, row) => (most < 0 || ns > rows.self[most]) && wasEntered(rows, row) && (most = row));
  if (most < 0) return "";
  const block = rows.block[most];
  return { content: el("span", { class: "name" }, dot(blocks.track[block]), ...named(blocks.name[block])), title: blocks.name[block] };
}

function updateThreads() {
  sharers.list = laidSharers();
  threadTable.set(sharers.list.length);
  const found = data.threads.filter(isWanted).length;
  const all = counted(data.threads.length, "thread");
  const processes = data.processes.length > 1 ? ` of ${count(data.processes.length)} processes` : "";
  const missing = data.leftOut ? `; ${count(data.leftOut)} have no figures of their own here, to keep this page small` : "";
  byId("threads-count").textContent = `${found < data.threads.length ? `${count(found)} of ${all}` : all}${processes}${missing}. Press one to see its figures alone.`;
}
