// How unevenly several workers took part in each block: the slowest against the median, and all of them on a line.

const STRIP = { width: 220, height: 18, edge: 5 };

const WORKER_COLUMNS = [
  { label: "Block", width: NAME_WIDTH, class: "first" },
  { label: "Slowest worker", width: "14rem", class: "" },
  { label: "Times", width: "4.5rem", class: "number", title: "How many times the median the slowest worker's time is" },
  { label: "Passes", width: "4.5rem", class: "number", title: "How many times as many passes it had as the median worker" },
  { label: "A pass", width: "4.5rem", class: "number", title: "How many times as long a pass took it" },
  { label: "Median", width: "6rem", class: "number", title: "The median of the workers' times" },
  { label: "Slowest", width: "6rem", class: "number" },
  { label: "Workers", width: "5rem", class: "number", title: "Those that entered the block" },
  { label: "Each worker's time, from 0 on", width: `${STRIP.width + 16}px`, class: "" },
];

const skewed = { list: [] };

const workerTable = new Rows(byId("workers"), {
  columns: WORKER_COLUMNS,
  draw: (place) => skewRow(skewed.list[place]),
  open: (place, event) => showBlock(skewed.list[place].block, event.type === "keydown"),
});

function skewRow(skew) {
  const { block, usual, parts } = skew;
  const [slowest, ...most] = parts[0];
  const who = workerLabel(data.processes[slowest]);
  const times = most.map((figure, i) => (usual[i] && figure ? decimal(figure / usual[i]) : ""));
  const selected = block === state.block;
  return {
    cells: [
      { content: el("span", { class: "name" }, dot(blocks.track[block]), ...named(blocks.name[block])), title: blocks.name[block] },
      { content: who, title: who },
      skew.slow ? el("strong", { class: "slow" }, times[0]) : times[0],
      times[1],
      times[2],
      time(usual[0]),
      time(most[0]),
      count(skew.workers),
      strip(skew),
    ],
    kind: selected ? "selected" : "",
    attributes: { "aria-selected": String(selected) },
  };
}

// A mark for each worker at its time, and one for the median.
function strip({ usual, parts, workers }) {
  const { width, height, edge } = STRIP;
  const most = parts[0][1] || 1;
  const x = (ns) => edge + ((width - 2 * edge) * ns) / most;
  const middle = height / 2;
  const marks = parts.map(([process, ns]) =>
    svg("circle", { cx: x(ns), cy: middle, r: 4 }, svg("title", {}, `${workerLabel(data.processes[process])}: ${time(ns)}`)),
  );
  return svg(
    "svg",
    { class: "strip", width, height, role: "img", "aria-label": `${counted(workers, "worker")} from ${time(parts.at(-1)[1])} to ${time(most)}` },
    svg("line", { class: "axis", x1: edge, x2: width - edge, y1: middle, y2: middle }),
    ...marks,
    svg("line", { class: "median", x1: x(usual[0]), x2: x(usual[0]), y1: 1, y2: height - 1 }, svg("title", {}, `median: ${time(usual[0])}`)),
  );
}

function updateWorkers() {
  skewed.list = data.skews.filter(({ block, parts }) => matches(block) || isNamed(parts[0][0]));
  workerTable.set(skewed.list.length);
  const slow = data.slow.length ? ` Slow: ${data.slow.join("; ")}.` : "";
  byId("workers-count").textContent = `${counted(skewed.list.length, "block")} that several workers entered, those first in which the slowest is furthest above the median.${slow}`;
}

function isNamed(process) {
  const text = workerLabel(data.processes[process]).toLowerCase();
  return state.terms.every((term) => text.includes(term));
}

byId("tab-workers").hidden = !data.skews.length;
