// What was measured, as _page.py wrote it, and how it is asked for.

const data = JSON.parse(byId("data").textContent);
const blocks = data.blocks;
const COLOURS = 8; // page.css has a class for each

const tracks = new Map(data.tracks.map((track, place) => [track.idx, { ...track, place }]));

function trackClass(idx) {
  const track = tracks.get(idx);
  return track ? `c${track.place % COLOURS}` : "c-none";
}

function trackLabel(idx) {
  const track = tracks.get(idx);
  if (!track) return "";
  return track.name.toLowerCase() === `track ${idx}` ? track.name : `${idx} ${track.name}`;
}

function fileOf(block) {
  return data.files[blocks.file[block]];
}

// "io.py:10", or nothing for what is in no file.
function shortPlace(block) {
  const name = fileOf(block).name;
  if (!name) return "";
  return `${name.split(/[\\/]/).pop()}:${blocks.line[block]}`;
}

function fullPlace(block) {
  const name = fileOf(block).name;
  return name ? `${name}:${blocks.line[block]}` : "";
}

const haystacks = [];

// What the filter looks into.
function haystack(block) {
  haystacks[block] ??= `${blocks.name[block]}\n${fullPlace(block)}`.toLowerCase();
  return haystacks[block];
}

// Columns that are there where they say something: key, heading, title, width, text of a figure.
const PASS_COLUMNS = [
  ["running", "Running", "The total less what coroutines and generators spent suspended", "6rem"],
  ["open", "Open", "Passes that are open", "4.5rem"],
  ["errors", "Errors", "Passes left by an exception", "5rem"],
  ["cancelled", "Cancelled", "Passes that were cancelled", "5.8rem"],
  ["concurrency", "At a time", "How many passes were open at a time, on average; ≥ while some are open", "5.5rem"],
  ["cpu", "CPU", "For how long their threads ran on a processor", "6rem"],
  ["waiting", "Waiting", "The share of their time in which their threads did not run; ≈ where passes are so short that taking it looks like waiting", "5.5rem"],
  ["bytes", "Bytes/s", "The bytes that went through, over the time in which any pass was open", "6rem"],
  ["items", "Items/s", "The items that went through, over the time in which any pass was open", "6rem"],
].filter(([key]) => data.columns.includes(key));
const PATH_COLUMNS = PASS_COLUMNS.filter(([key]) => key !== "running"); // there is a switch for that

// The text of such a figure of a row or node; empty where it says nothing.
function passCell(key, figures, place) {
  const value = figures[key][place];
  if (key === "cpu") return value ? time(value) : "";
  if (key === "running") return value && value < figures.total[place] ? time(value) : "";
  if (key === "bytes") return value ? throughput(value) : "";
  if (key === "items") return value ? rate(value) : "";
  if (key === "waiting") return value || figures.cpu[place] ? `${figures.unsure?.[place] ? "≈" : ""}${percent(value, 1)}` : "";
  if (key !== "concurrency") return value ? count(value) : "";
  const text = decimal(value);
  return text === decimal(1) ? "" : `${figures.open?.[place] ? "≥" : ""}${text}`;
}

// Whether a row or node has any pass, ended or open.
function wasEntered(figures, place) {
  return figures.hits[place] > 0 || figures.open?.[place] > 0;
}

// The figures of everybody, of one process or of one thread.
class Scope {
  constructor(raw, label) {
    Object.assign(this, raw, { label });
  }

  // The place of a block in the rows, undefined for one that was not entered here.
  rowOf(block) {
    this.places ??= new Map(this.rows.block.map((one, place) => [one, place]));
    return this.places.get(block);
  }

  get nodes() {
    this.made ??= new Nodes(this.tree);
    return this.made;
  }
}

// A call tree. The root has the place after the last node.
class Nodes {
  constructor(raw) {
    const { parent, total, self } = Object.assign(this, raw);
    this.root = parent.length;
    this.children = Array.from({ length: parent.length + 1 }, () => []);
    this.weight = new Float64Array(parent.length + 1);
    for (let node = 0; node < this.root; node++) this.children[this.parentOf(node)].push(node);
    // A parent comes before its children.
    for (let node = this.root - 1; node >= 0; node--) {
      this.weight[node] += Math.max(self[node], 0);
      this.weight[this.parentOf(node)] += this.weight[node];
    }
    for (const below of this.children) below.sort((a, b) => total[b] - total[a] || a - b);
    // Together they may be more than what they are nested in: tasks overlap, and outlive who made them.
    this.nested = new Float64Array(parent.length + 1);
    for (let node = 0; node < this.root; node++) this.nested[this.parentOf(node)] += total[node];
  }

  // The time that the switch says: a total, or what of it something was running.
  time(node, whole) {
    if (state.time === "running") return this.weight[node];
    return node === this.root ? whole : this.total[node];
  }

  // Passes that ended or are open.
  passes(node) {
    return node === this.root ? 0 : this.hits[node] + (this.open?.[node] ?? 0);
  }

  perParent(node) {
    const around = this.passes(this.parentOf(node));
    return around ? this.hits[node] / around : 0;
  }

  parentOf(node) {
    return this.parent[node] < 0 ? this.root : this.parent[node];
  }

  // The nodes from the outermost to this one.
  path(node) {
    const found = [];
    for (; node !== this.root; node = this.parentOf(node)) found.unshift(node);
    return found;
  }
}

function threadLabel(thread) {
  return `${thread.name} (${thread.key})`;
}

// Threads that differ in a number only: "120 × Thread-# (handle)".
function kindLabel(kind) {
  return `${count(kind.threads.length)} × ${kind.name}`;
}

function processLabel(process) {
  const number = `process ${process.pid}${process.host ? ` on ${process.host}` : ""}`;
  return process.worker ? `${process.worker}: ${number}` : number;
}

// What an engine calls it, or its number.
function workerLabel(process) {
  return process.worker || processLabel(process);
}

const EVERYBODY = data.processes.length > 1 ? "all processes" : "all threads";
const scopes = data.scopes.map((raw) => new Scope(raw, EVERYBODY));
for (const process of data.processes) {
  if (process.scope) scopes[process.scope].label = processLabel(process);
}
for (const [list, label] of [[data.threads, threadLabel], [data.kinds, kindLabel]]) {
  for (const one of list) {
    if (!one.scope) continue;
    const process = data.processes.length > 1 ? data.processes[one.process] : undefined;
    scopes[one.scope].label = label(one) + (process ? ` of ${processLabel(process)}` : "");
  }
}

// What is looked at. Who shows it redraws when told to.
const state = { scope: scopes[0], block: null, terms: [], track: null, time: "total" };

// Whether anything was suspended at all: only then are there two times.
const WAITED = data.columns.includes("running");

function matches(block) {
  return state.terms.every((term) => haystack(block).includes(term));
}
