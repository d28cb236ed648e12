// The page: heading, tabs, whose figures are shown, and colours.

const UPDATES = { blocks: updateBlocks, tree: updateTree, flame: updateFlame, threads: updateThreads, workers: updateWorkers };
if (timeline) UPDATES.timeline = updateTimeline;
let tab = "blocks";

// The table that shows the chosen block, if the view has one.
function currentTable() {
  return { blocks: blockTable, tree: treeTable, workers: workerTable }[tab];
}

// Each view has one element that takes the keys, with its name.
function currentView() {
  return byId(tab);
}

function update() {
  if (tab === "blocks") updateTracks();
  byId("time-field").hidden = !WAITED || !["tree", "flame"].includes(tab);
  byId("scope-field").hidden = scopes.length === 1 || tab === "timeline";
  const { total, label } = ["threads", "workers"].includes(tab) ? scopes[0] : state.scope;
  byId("base").textContent = `Shares are of the ${time(total)} in which any block of ${label} was open.`;
  UPDATES[tab]();
}

function chooseTab(name, focus = false) {
  tab = name;
  for (const button of byId("tabs").children) {
    const chosen = button.id === `tab-${name}`;
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    byId(button.getAttribute("aria-controls")).hidden = !chosen;
    if (chosen && focus) button.focus();
  }
  update();
  keepPlace();
}

function chooseScope(place) {
  state.scope = scopes[place];
  showScope(place);
  update();
  if (state.block !== null) showBlock(state.block);
  keepPlace();
}

// A thread within a line of its kind is in the list only while it is the chosen one.
function showScope(place) {
  const list = byId("scope");
  list.querySelector("[data-only]")?.remove();
  if (![...list.options].some((one) => one.value === String(place))) {
    list.append(el("option", { value: place, "data-only": true }, scopes[place].label));
  }
  list.value = String(place);
}

function chooseTime(value) {
  state.time = value;
  byId("time").value = value;
  update();
  keepPlace();
}

// Each step is one of the browser's history, so that its Back goes back here before it leaves the page.

let going = false; // back or forth

function here() {
  const zoom = tab === "flame" ? flame.zoom : null;
  return { tab, scope: scopes.indexOf(state.scope), block: state.block, time: state.time, track: state.track, zoom };
}

function keepPlace() {
  if (going) return;
  const place = here();
  if (JSON.stringify(place) === JSON.stringify(history.state)) return;
  remember(() => history[history.state ? "pushState" : "replaceState"](place, "", `#view-${tab}`));
}

function goTo(place) {
  going = true;
  Object.assign(state, { block: null, track: place.track });
  chooseTime(place.time);
  chooseScope(place.scope);
  chooseTab(place.tab);
  if (place.tab === "flame" && place.zoom !== null) zoomTo(place.zoom, false);
  showBlock(place.block);
  going = false;
}

// What a browser may forbid to a page that was opened from a file or stands in a frame.
function remember(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

function showHeading() {
  byId("name").textContent = data.name;
  const figures = data.facts.filter(([name]) => name);
  byId("figures").replaceChildren(...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  byId("facts").textContent = data.facts.filter(([name]) => !name).map(([, value]) => value).join(" · ");
  byId("warnings").hidden = !data.warnings.length;
  byId("warnings").replaceChildren(...data.warnings.map((text) => el("li", {}, text)));
}

function showScopes() {
  const group = (label, members) => (members.length ? [el("optgroup", { label }, ...members)] : []);
  const option = (one) => el("option", { value: one.scope }, scopes[one.scope].label);
  const chosen = (list) => list.filter((one) => one.scope).map(option);
  const busiestFirst = (list) => [...list].sort((a, b) => scopes[b.scope].total - scopes[a.scope].total);
  const alone = [...data.kinds, ...data.threads].filter((one) => one.scope && !isFolded(one));
  const threads = chosen(busiestFirst(alone));
  const processes = chosen(data.processes.filter((one) => !data.threads.some((thread) => thread.scope === one.scope)));
  byId("scope").replaceChildren(
    el("option", { value: 0 }, scopes[0].label),
    ...group("Processes", processes),
    ...group("Threads", threads),
  );
  byId("scope").addEventListener("change", (event) => chooseScope(Number(event.target.value)));
}

function listenToTabs() {
  const buttons = [...byId("tabs").children].filter((button) => !button.hidden);
  byId("tabs").addEventListener("click", (event) => {
    const button = event.target.closest("[role=tab]");
    if (button) chooseTab(button.id.slice("tab-".length));
  });
  byId("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = buttons.findIndex((button) => button.id === `tab-${tab}`);
    chooseTab(buttons[(place + step + buttons.length) % buttons.length].id.slice("tab-".length), true);
  });
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId("filter").focus();
    } else if (event.key === "Escape" && state.block !== null && !typing) closeDetails();
  });
  byId("filter").addEventListener("input", (event) => {
    state.terms = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  });
  byId("unhit").addEventListener("change", updateBlocks);
  byId("time").addEventListener("change", (event) => chooseTime(event.target.value));
  addEventListener("popstate", (event) => event.state && goTo(event.state));
}

// Light or dark as the system has it, until one is chosen.
function listenToTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  let chosen = remember(() => localStorage.getItem("stichotrope-theme"));
  if (chosen !== "dark" && chosen !== "light") chosen = null;
  const show = () => {
    const dark = chosen ? chosen === "dark" : system.matches;
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.textContent = dark ? "☀ Light" : "☾ Dark";
  };
  button.addEventListener("click", () => {
    chosen = (chosen ? chosen === "dark" : system.matches) ? "light" : "dark";
    remember(() => localStorage.setItem("stichotrope-theme", chosen));
    show();
    if (tab === "timeline") drawSoon();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}

showHeading();
showScopes();
listenToTabs();
listenToKeys();
listenToTheme();
if (data.nothing) {
  byId("nothing").hidden = false;
  byId("nothing").replaceChildren(el("p", {}, data.nothing.text), el("pre", {}, data.nothing.example));
}
if (blocks.name.length) {
  byId("work").hidden = false;
  const asked = remember(() => location.hash.replace("#view-", ""));
  chooseTab(asked in UPDATES && !byId(`tab-${asked}`).hidden ? asked : "blocks");
}
addEventListener("beforeprint", () => {
  flame.all = true;
  if (tab === "flame") drawFlame();
});
addEventListener("afterprint", () => {
  flame.all = false;
  if (tab === "flame") drawFlame();
});
