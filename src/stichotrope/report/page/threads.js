// Who recorded: processes, and the threads of each.

const SHARER_COLUMNS = PASS_COLUMNS.filter(([key]) => key !== "concurrency");

const THREAD_COLUMNS = [
  { label: "Thread", width: "18rem", class: "first" },
  { label: "Key", width: "4rem", class: "number", title: "The profiler's own number for it" },
  { label: "System id", width: "9rem", class: "number" },
  { label: "State", width: "5rem", class: "" },
  { label: "Hits", width: "7rem", class: "number" },
  ...SHARER_COLUMNS.map(([, label, title, width]) => ({ label, width, class: "number", title })),
  { label: "Total", width: "6rem", class: "number", title: "Time in which at least one block was open" },
  { label: "Share", width: "9.4rem", class: "share-cell" },
  { label: "Busiest block", width: "22rem", class: "" },
];

// Rows of {process} and {thread}; a line for each process when there are several.
const sharers = laidSharers();

function laidSharers() {
  const several = data.processes.length > 1;
  const groups = new Map(data.processes.map((_, place) => [place, []]));
  groups.set(null, []);
  for (const thread of data.threads) groups.get(several ? thread.process : null).push({ thread });
  if (!several) return groups.get(null);
  const list = data.processes.flatMap((process, place) => [{ process }, ...groups.get(place)]);
  return [...list, ...groups.get(null)];
}

const threadTable = new Rows(byId("threads"), {
  columns: THREAD_COLUMNS,
  draw: (place) => sharerRow(sharers[place]),
  open: (place) => {
    const { scope } = sharers[place].process ?? sharers[place].thread;
    if (scope === null) return;
    chooseScope(scope);
    chooseTab("blocks", true);
  },
});

function sharerRow({ process, thread }) {
  const one = process ?? thread;
  const inside = thread && data.processes.length > 1;
  const name = process ? processLabel(process) : thread.name;
  const shown = one.scope !== null && scopes[one.scope] === state.scope;
  return {
    cells: [
      { content: el("span", { class: "name" }, inside ? el("span", { class: "indent", style: { width: "14px" } }) : null, name), title: name },
      thread ? String(thread.key) : "",
      thread ? String(thread.id) : "",
      thread ? (thread.alive ? "running" : "ended") : "",
      count(one.hits),
      ...SHARER_COLUMNS.map(([key]) => (one[key] ? count(one[key]) : "")),
      time(one.total),
      share(one.total, scopes[0].total),
      process ? { content: spanOf(process), title: spanOf(process) } : busiest(thread),
    ],
    kind: `${process ? "group " : ""}${shown ? "selected " : ""}${one.scope === null ? "fixed" : ""}`,
    attributes: { "aria-level": inside ? 2 : 1, "aria-selected": String(shown) },
  };
}

function spanOf({ start, duration }) {
  return [start && `from ${start}`, duration && `for ${time(duration)}`].filter(Boolean).join(", ");
}

function busiest(thread) {
  if (thread.scope === null) return "";
  const { rows } = scopes[thread.scope];
  let most = -1;
  rows.self.forEach((ns, row) => (most < 0 || ns > rows.self[most]) && wasEntered(rows, row) && (most = row));
  if (most < 0) return "";
  const block = rows.block[most];
  return { content: el("span", { class: "name" }, dot(blocks.track[block]), ...named(blocks.name[block])), title: blocks.name[block] };
}

function updateThreads() {
  threadTable.set(sharers.length);
  const processes = data.processes.length > 1 ? ` of ${count(data.processes.length)} processes` : "";
  const missing = data.leftOut ? `; ${count(data.leftOut)} have no figures of their own here, to keep this page small` : "";
  byId("threads-count").textContent = `${counted(data.threads.length, "thread")}${processes}${missing}. Press one to see its figures alone.`;
}
