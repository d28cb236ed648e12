// The page: heading, tabs, whose figures are shown, and colours.

const UPDATES = { blocks: updateBlocks, tree: updateTree, flame: updateFlame, threads: updateThreads };
let tab = "blocks";

// The table that shows the chosen block, if the view has one.
function currentTable() {
  return { blocks: blockTable, tree: treeTable }[tab];
}

// Each view has one element that takes the keys, with its name.
function currentView() {
  return byId(tab);
}

function update() {
  if (tab === "blocks") updateTracks();
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
  remember(() => history.replaceState(null, "", `#view-${name}`));
  update();
}

function chooseScope(place) {
  state.scope = scopes[place];
  byId("scope").value = String(place);
  update();
  if (state.block !== null) showBlock(state.block);
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
  const threads = chosen([...data.threads].sort((a, b) => b.total - a.total));
  const processes = chosen(data.processes.filter((one) => !data.threads.some((thread) => thread.scope === one.scope)));
  byId("scope").replaceChildren(
    el("option", { value: 0 }, scopes[0].label),
    ...group("Processes", processes),
    ...group("Threads", threads),
  );
  byId("scope-field").hidden = scopes.length === 1;
  byId("scope").addEventListener("change", (event) => chooseScope(Number(event.target.value)));
}

function listenToTabs() {
  const buttons = [...byId("tabs").children];
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
  chooseTab(asked in UPDATES ? asked : "blocks");
}
addEventListener("beforeprint", () => {
  flame.all = true;
  if (tab === "flame") drawFlame();
});
addEventListener("afterprint", () => {
  flame.all = false;
  if (tab === "flame") drawFlame();
});
