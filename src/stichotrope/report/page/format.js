// Figures as people read them: the twin of _text/format.py, which decides. A test compares them.

const SECOND = 1e9;
const UNITS = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", SECOND]];

function time(ns) {
  const text = magnitude(Math.abs(ns));
  return ns < 0 ? `-${text}` : text;
}

function magnitude(ns) {
  if (ns >= 59.95 * SECOND) return long(Math.round(ns));
  if (ns < 999.5 && Number.isInteger(ns)) return `${ns} ns`;
  const [unit, scale] = UNITS.find(([, size]) => ns < 999.5 * size);
  return `${threeDigits(ns / scale)} ${unit}`;
}

function threeDigits(value) {
  return fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

// Ties go to the even digit, as in Python. Only what is a whole number of eighths can be one.
function fixed(value, digits) {
  const scaled = value * 10 ** digits;
  const below = Math.floor(scaled);
  const tie = Number.isInteger(value * 8) && scaled - below === 0.5;
  return (tie && below % 2 === 0 ? below / 10 ** digits : value).toFixed(digits);
}

function long(ns) {
  const seconds = Math.floor((ns + SECOND / 2) / SECOND);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${twoDigits(seconds % 60)} s`;
  const minutes = Math.floor((ns + 30 * SECOND) / (60 * SECOND));
  return `${count(Math.floor(minutes / 60))} h ${twoDigits(minutes % 60)} min`;
}

function twoDigits(number) {
  return String(number).padStart(2, "0");
}

function count(number) {
  return number.toLocaleString("en-US");
}

function decimal(number) {
  const [whole, tenth] = fixed(number, 1).split(".");
  return `${count(Number(whole))}.${tenth}`;
}

function counted(number, thing, things = `${thing}s`) {
  return `${count(number)} ${number === 1 ? thing : things}`;
}

// How many times a whole goes into a part; nothing where there is no whole.
function ratio(part, whole) {
  if (!whole) return "";
  const value = part / whole;
  if (value > 0 && value < 0.005) return "<0.01";
  return value >= 99.95 ? count(Number(fixed(value, 0))) : String(Number(threeDigits(value)));
}

function percent(part, whole) {
  const share = whole ? (100 * part) / whole : 0;
  return share > 0 && share < 0.05 ? "<0.1 %" : `${fixed(share, 1)} %`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

function throughput(bytesPerSecond) {
  let value = bytesPerSecond;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${threeDigits(value)} ${BYTE_UNITS[unit]}/s`;
}

// How many there are in a second, with three significant digits.
function rate(perSecond) {
  if (perSecond < 99.95) return String(Number(perSecond.toPrecision(3)));
  const step = 10 ** Math.max(String(Math.floor(perSecond)).length - 3, 0);
  return count(Math.round(perSecond / step) * step);
}
