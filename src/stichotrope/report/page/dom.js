// Elements. Texts become text nodes here, never markup.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "style") Object.assign(element.style, value);
    else if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A bar for a share, with its text.
function share(part, whole) {
  const width = whole ? Math.min(Math.max((100 * part) / whole, 0), 100) : 0;
  const bar = el("span", { class: "share-bar", style: { width: `${width}%` } });
  const text = el("span", { class: "share-text" }, percent(part, whole));
  return el("span", { class: "share" }, el("span", { class: "share-back" }, bar), text);
}

// A name whose beginning is cut off first where there is little room: the last part of a dotted name or a path
// tells most.
function named(name) {
  const cut = name.length - lastPart(name).length;
  if (cut < 4) return [el("span", { class: "keep" }, name)];
  return [el("span", { class: "cut" }, name.slice(0, cut)), el("span", { class: "keep" }, name.slice(cut))];
}

function lastPart(name) {
  if (name.includes(" ")) return name; // a statement, or a method and a route
  return name.slice(1 + Math.max(name.lastIndexOf("."), name.lastIndexOf("/"), name.lastIndexOf("\\"))) || name;
}

function dot(track) {
  return el("span", { class: `dot ${trackClass(track)}`, "aria-hidden": "true" });
}
