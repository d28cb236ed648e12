// Tables of any length: only the rows in sight are in the document.

const ROW = 30; // px
const BEYOND = 8; // rows drawn above and below what is in sight
const MOST_PRINTED = 2000;

document.documentElement.style.setProperty("--row", `${ROW}px`);

class Rows {
  // draw(place) gives {cells, attributes, class}; open(place, event) is called by Enter and by a click;
  // key(event, place) may take a key, and says so by returning true.
  constructor(table, { columns, draw, open, key = () => false }) {
    Object.assign(this, { table, columns, draw, open, key, count: 0, active: -1, all: false });
    this.scroller = table.parentElement;
    this.body = table.tBodies[0];
    table.querySelector("colgroup").replaceChildren(
      ...columns.map((column) => el("col", { class: column.class, style: { width: column.width } })),
    );
    this.head();
    this.scroller.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(this.scroller);
    table.addEventListener("keydown", (event) => this.pressed(event));
    // Not when it is pressed: drawing the rows anew would take the pressed one away.
    table.addEventListener("focus", () => table.matches(":focus-visible") && this.active < 0 && this.count && this.activate(0));
    this.body.addEventListener("click", (event) => this.clicked(event));
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
  }

  head() {
    const cells = this.columns.map((column) => {
      const label = column.sort
        ? el("button", { type: "button", click: () => column.sort(column) }, column.label)
        : column.label;
      const order = { 1: "ascending", "-1": "descending" }[column.order];
      const name = `${column.class ?? ""}`;
      return el("th", { scope: "col", class: name, "aria-sort": order, title: column.title }, label);
    });
    // Who has just pressed a heading stays on it.
    const place = [...this.table.tHead.querySelectorAll("button")].indexOf(document.activeElement);
    this.table.tHead.replaceChildren(el("tr", { "aria-rowindex": 1 }, ...cells));
    this.table.tHead.querySelectorAll("button")[place]?.focus();
  }

  set(number) {
    this.count = number;
    this.active = Math.min(this.active, number - 1);
    this.table.setAttribute("aria-rowcount", number + 1);
    this.render(true);
  }

  render(anew = false) {
    const height = this.scroller.clientHeight;
    const top = Math.floor(this.scroller.scrollTop / ROW);
    const first = this.all ? 0 : Math.max(0, Math.min(top, this.count) - BEYOND);
    const shown = this.all ? MOST_PRINTED : Math.ceil((height || 600) / ROW) + 2 * BEYOND;
    const last = Math.min(this.count, first + shown);
    if (!anew && first === this.first && last === this.last) return;
    Object.assign(this, { first, last });
    const rows = [];
    for (let place = first; place < last; place++) rows.push(this.row(place));
    this.body.replaceChildren(this.space(first), ...rows, this.space(this.count - last));
    this.point();
  }

  row(place) {
    const { cells, attributes = {}, kind = "" } = this.draw(place);
    const active = place === this.active ? " active" : "";
    return el(
      "tr",
      { id: this.rowId(place), "aria-rowindex": place + 2, class: kind + active, ...attributes },
      ...cells.map((cell, i) =>
        el(
          i ? "td" : "th",
          { class: this.columns[i].class, scope: i ? undefined : "row", title: cell.title },
          cell.content ?? cell,
        ),
      ),
    );
  }

  rowId(place) {
    return `${this.table.id}-row-${place}`;
  }

  space(rows) {
    const cell = el("td", { colspan: this.columns.length });
    return el("tr", { class: "space", role: "presentation", style: { height: `${rows * ROW}px` }, hidden: !rows }, cell);
  }

  // A row that is out of sight is not in the document, so the table has the focus and names its row.
  point() {
    const drawn = this.active >= this.first && this.active < this.last;
    if (drawn) this.table.setAttribute("aria-activedescendant", this.rowId(this.active));
    else this.table.removeAttribute("aria-activedescendant");
  }

  activate(place) {
    this.active = Math.max(0, Math.min(place, this.count - 1));
    const head = this.table.tHead.offsetHeight;
    const top = this.active * ROW;
    const room = this.scroller.clientHeight - head - ROW;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
    this.render(true);
  }

  pressed(event) {
    if (event.target !== this.table || event.altKey || event.ctrlKey || event.metaKey || !this.count) return;
    if (!this.key(event, this.active) && !this.moved(event)) return;
    event.preventDefault();
  }

  moved(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.activate(this.active + steps[event.key]);
    else if (event.key === "Enter" && this.active >= 0) this.open(this.active, event);
    else return false;
    return true;
  }

  clicked(event) {
    const row = event.target.closest("tr");
    if (!row?.id) return;
    this.active = row.rowIndex - 2 + this.first;
    this.render(true);
    this.open(this.active, event);
  }

  print(all) {
    this.all = all;
    this.render(true);
  }
}

// Sorts rows by the column pressed, each first in the direction that one wants to see.
function sorting(columns, start, changed) {
  const order = { key: start, direction: 0 };
  const press = (column) => {
    const first = column.text ? 1 : -1;
    order.direction = order.key === column.key && order.direction ? -order.direction : first;
    order.key = column.key;
    for (const one of columns) one.order = one === column ? order.direction : undefined;
    changed();
  };
  for (const column of columns) column.sort = press;
  const column = columns.find((one) => one.key === start);
  order.direction = column.order = column.text ? 1 : -1;
  return order;
}
