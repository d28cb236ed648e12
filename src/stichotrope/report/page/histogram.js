// How long the passes took, drawn over a logarithmic axis.

const CHART = { width: 380, height: 150, left: 4, right: 4, top: 16, bottom: 22 };
const MOST_BARS = 56;
const IN_OCTAVE = 16; // buckets as they come

// Bars of [lower, upper, passes], neighbouring buckets of an octave joined until there are few enough.
function bars(histogram) {
  const found = new Map();
  const buckets = [];
  for (let i = 0; i < histogram.length; i += 2) buckets.push([...data.buckets[histogram[i]], histogram[i + 1]]);
  const ends = [Math.min(...buckets.map((one) => one[0] || 1)), Math.max(...buckets.map((one) => one[1]))];
  const octaves = Math.max(Math.log2(ends[1] / ends[0]), 1);
  let joined = 1;
  while (joined < IN_OCTAVE && (octaves * IN_OCTAVE) / joined > MOST_BARS) joined *= 2;
  for (const [lower, upper, passes] of buckets) {
    const octave = octaveOf(lower);
    const step = (octave * joined) / IN_OCTAVE;
    const begin = lower ? octave + Math.floor((lower - octave) / step) * step : 0;
    const bar = found.get(begin) ?? [begin, begin + (lower ? step : 1), 0];
    found.set(begin, [begin, Math.max(bar[1], upper), bar[2] + passes]);
  }
  return [...found.values()].sort((a, b) => a[0] - b[0]);
}

function octaveOf(ns) {
  let octave = 1;
  while (octave * 2 <= ns) octave *= 2;
  return octave;
}

function histogram(row, rows) {
  const found = bars(rows.histogram[row]);
  const range = [Math.max(found[0][0], 0.5), found[found.length - 1][1]];
  // Something to the left and right of a single bar.
  if (range[1] / range[0] < 1.5) range.splice(0, 2, range[0] / 1.25, range[1] * 1.25);
  const inside = CHART.width - CHART.left - CHART.right;
  const scale = inside / Math.log(range[1] / range[0]);
  const x = (ns) => CHART.left + scale * Math.log(Math.max(ns, range[0]) / range[0]);
  const label =
    `Histogram of ${counted(rows.hits[row], "pass", "passes")}, ` +
    `from ${time(rows.min[row])} to ${time(rows.max[row])}, half of them up to ${time(rows.p50[row])}`;
  return svg(
    "svg",
    { viewBox: `0 0 ${CHART.width} ${CHART.height}`, class: "histogram", role: "img", "aria-label": label },
    ...drawnBars(found, x),
    ...drawnTicks(range, x),
    ...drawnMarks(row, rows, x),
  );
}

// The area of a bar is what fell into it, so the height is passes over the width on this axis.
function drawnBars(found, x) {
  const widths = found.map(([lower, upper]) => Math.max(x(upper) - x(lower), 1));
  const heights = found.map(([, , passes], i) => passes / widths[i]);
  const most = Math.max(...heights);
  const floor = CHART.height - CHART.bottom;
  return found.map(([lower, upper, passes], i) => {
    const height = Math.max(((floor - CHART.top) * heights[i]) / most, 1.5);
    const title = svg("title", {}, `${time(lower)} to ${time(upper)}: ${count(passes)}`);
    const gap = widths[i] > 3 ? 0.5 : 0;
    return svg(
      "rect",
      { x: x(lower), y: floor - height, width: widths[i] - gap, height, class: "bar" },
      title,
    );
  });
}

function drawnTicks(range, x) {
  const floor = CHART.height - CHART.bottom;
  const found = [svg("line", { x1: 0, x2: CHART.width, y1: floor, y2: floor, class: "axis" })];
  let free = -Infinity;
  for (const value of tickValues(range)) {
    const place = x(value);
    const half = 20;
    if (place < half || place > CHART.width - half || place - half < free) continue;
    free = place + half;
    found.push(svg("line", { x1: place, x2: place, y1: floor, y2: floor + 4, class: "axis" }));
    found.push(svg("text", { x: place, y: CHART.height - 5, class: "tick" }, tickLabel(value)));
  }
  return found;
}

// Powers of ten; 2 and 5 between them where there are few; where there is none, round numbers in equal steps.
function tickValues([from, to]) {
  const decades = Math.log10(to / from);
  if (decades < 1) return evenValues(from, to);
  const steps = decades > 3 ? [1] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power++) {
    for (const step of steps) found.push(Number((step * 10 ** power).toPrecision(6)));
  }
  return found.filter((value) => value >= from && value <= to);
}

function evenValues(from, to) {
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const found = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) found.push(Number((i * step).toPrecision(6)));
  return found;
}

function tickLabel(ns) {
  const [unit, size] = UNITS.find(([, one]) => ns < 1000 * one) ?? UNITS[UNITS.length - 1];
  return `${Number((ns / size).toPrecision(4))} ${unit}`;
}

function drawnMarks(row, rows, x) {
  const floor = CHART.height - CHART.bottom;
  const found = [];
  let free = -Infinity;
  for (const key of ["p50", "p95", "p99"]) {
    const place = x(rows[key][row]);
    found.push(svg("line", { x1: place, x2: place, y1: CHART.top - 3, y2: floor, class: "mark" }));
    if (place - 12 < free) continue;
    const shown = Math.min(Math.max(place, 12), CHART.width - 12);
    free = shown + 14;
    found.push(svg("text", { x: shown, y: 9, class: "tick" }, key));
  }
  return found;
}
