"""How far what tools report is from what is true, for durations that are known.

The work makes no call and stands on one line, so that what a tool adds to it is its own cost, once
a pass; in one case it consists of many small calls that nobody asked about. Each timing of a tool
has one of the bare work right before or behind it, which is the truth for it: machines drift, by
more in a second than is looked for here. A tool is asked for its mean.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmarks import _store, peers
from benchmarks._run import (
    Fact,
    Figure,
    Progress,
    Scale,
    Stored,
    calibrate,
    interleave,
)
from benchmarks.peers import _used
from benchmarks.peers._peer import CALL, Peer, Reading
from benchmarks.peers.ours import OURS
from benchmarks.per_pass import Case, net_ns

# Short timings and many of them: who takes the processor in between then spoils few.
ROUNDS, QUICK_ROUNDS = 61, 15
TARGET_NS, QUICK_TARGET_NS = 2_000_000, 1_000_000
CALIBRATION_NS, CALIBRATION_SIZE, CALIBRATIONS = 500_000, 1_000, 50
CALLS_SLOWER = 10  # by about as much some tools slow small calls down, and fewer passes will do
DIGIT_BITS = sys.int_info.bits_per_digit

INNER = "work % 7"


@dataclass(frozen=True)
class Work:
    """Work that takes a known time: a division of a number with so many digits.

    `calls` says that it is so many calls of a Python function instead.
    """

    name: str
    title: str
    ns: int
    calls: bool = False

    def of(self, size: int) -> Any:
        """Return what is to be divided: by one digit of its base, so one after the other."""
        return _Calls(size) if self.calls else (1 << DIGIT_BITS * size) // 3


WORK = (
    Work("1_us", "1 µs", 1_000),
    Work("10_us", "10 µs", 10_000),
    Work("100_us", "100 µs", 100_000),
    Work("1_ms", "1 ms", 1_000_000),
    Work("100_us_calls", "100 µs of small calls", 100_000, calls=True),
)
SHORTEST = WORK[0]

REPORTING = tuple(kind for kind in (*OURS, *peers.PEERS) if kind.records.per_function())
"""Who says how often and how long: only from these does a mean follow."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time each work bare and under every tool, in a process of its own; return the raw values.

    Raises:
        RuntimeError: that process failed.
    """
    quick = scale is Scale.QUICK
    rounds = QUICK_ROUNDS if quick else ROUNDS
    target_ns = QUICK_TARGET_NS if quick else TARGET_NS
    return peers.measure_apart(__name__, rounds, target_ns, rng, progress)


def measure_here(rounds: int, target_ns: int, rng: random.Random, scratch: Path) -> Stored:
    """Time each work in this process, in which no tool must have been used yet.

    Args:
        rounds: how many values are kept for each.
        target_ns: how long one timing of the bare work lasts, in ns.
        rng: draws the orders.
        scratch: a folder for what the tools write.

    Raises:
        RuntimeError: ours do not work.
    """
    ready, known = _used.use_all(REPORTING, scratch, _case)
    _used.check_ours(known)
    cases: Stored = {}
    works: Stored = {}
    step_ns = {work.calls: _step_ns(work) for work in WORK}
    for work in WORK:
        size = max(1, round(work.ns / step_ns[work.calls]))
        count = max(1, target_ns // (work.ns * (CALLS_SLOWER if work.calls else 1)))
        works[work.name] = {"title": work.title, "ns": work.ns, "size": size}
        cases.update(_timed(work, work.of(size), ready, count, rounds, rng))
    for name, case in ready.items():
        if isinstance(case.peer, OURS):
            known[name]["overhead_ns"] = case.peer.overhead_ns()
    return {
        "unit": "ns for all iterations of a round; reported: mean in ns",
        "timer": "perf_counter",
        "work": works,
        "cases": cases,
        "peers": known,
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return nothing: no limit is set."""
    return []


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return for the shortest work how far each tool's mean is off, and ours in what we report."""
    found: list[Figure | Fact] = [
        Figure(f"{name}: mean of {SHORTEST.title} too long by", off, "ns")
        for name in stored["peers"]
        if (off := off_ns(stored, name, SHORTEST.name))
    ]
    for kind in OURS:
        told = stored["peers"][kind.name]["overhead_ns"]
        shares = [off / told for off in off_ns(stored, kind.name, SHORTEST.name)]
        name = f"{kind.name}: what that is too long by ÷ the cost of a pass as reported"
        found.append(Figure(name, shares, "×", digits=2))
    return found


def tables(runs: Sequence[_store.Run]) -> list[str]:
    """Return, in Markdown, a table for each interpreter: each tool's error for each work.

    Args:
        runs: stored runs that have this subject.
    """
    return [*(_table(run) for run in runs), _EXPLAINED]


_EXPLAINED = (
    "What a tool reports as the mean, less the time of the same work without it right before or "
    "behind: median of the rounds, and in percent of that time. A pass costs: by how much the work "
    "takes longer when that tool is on, elapsed; a part of that is in its figure. Small calls are "
    "of a function that nobody asked about."
)


def truth_ns(stored: Stored, name: str, work: str) -> list[float]:
    """Return what the work of a tool's call or block takes without it, in ns, round by round.

    Args:
        stored: a run of this subject.
        name: of the tool.
        work: its name.
    """
    return net_ns(stored, _beside(name, work))


def off_ns(stored: Stored, name: str, work: str) -> list[float]:
    """Return what a tool reports as the mean less what is true, in ns, for each round it recorded.

    Arguments as of `truth_ns`.
    """
    case = stored["cases"].get(f"{name}, {work}")
    if case is None:
        return []
    pairs = zip(case["reported"], truth_ns(stored, name, work), strict=True)
    return [reported - true for reported, true in pairs if reported is not None]


def cost_ns(stored: Stored, name: str, work: str) -> list[float]:
    """Return what a pass of the work costs more with a tool than without it, in ns.

    Arguments as of `truth_ns`.
    """
    return net_ns(stored, f"{name}, {work}")


def _table(run: _store.Run) -> str:
    stored = run["subjects"]["accuracy"]
    titles = [work["title"] for work in stored["work"].values()]
    head = [f"too long by, {_store.label(run)}", *titles, f"a pass of {SHORTEST.title} costs"]
    lines = [head, ["---"] * len(head)]
    for name, told in stored["peers"].items():
        if told["refusal"]:
            lines.append([name, told["refusal"], *[""] * len(titles)])
            continue
        cells = [_cell(stored, name, work) for work in stored["work"]]
        cost = statistics.median(cost_ns(stored, name, SHORTEST.name))
        lines.append([name, *cells, f"{cost:,.0f} ns"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(stored: Stored, name: str, work: str) -> str:
    off = off_ns(stored, name, work)
    if not off:
        return "recorded nothing"
    middle = statistics.median(off)
    return f"{middle:+,.0f} ns ({middle / statistics.median(truth_ns(stored, name, work)):+.1%})"


# ---- what is timed -------------------------------------------------------------------------------


class _Calls:
    """What is divided by so many calls of a Python function."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __mod__(self, divisor: int) -> int:
        call = _small
        for _ in repeat(None, self.count):
            call()
        return 0


def _small() -> None:
    pass


def _step_ns(work: Work) -> float:
    """Return how long one digit or one call takes, in ns."""
    divided = work.of(CALIBRATION_SIZE)

    def loop(count: int) -> int:
        start = time.perf_counter_ns()
        for _ in repeat(None, count):
            divided % 7
        return time.perf_counter_ns() - start

    count = calibrate(loop, CALIBRATION_NS)
    return min(loop(count) for _ in range(CALIBRATIONS)) / count / CALIBRATION_SIZE


def _beside(name: str, work: str) -> str:
    """Return the name of the case that a tool is held against."""
    return f"bare beside {name}, {work}"


def _case(peer: Peer) -> _used.Used:
    less = ("bare", "bare")
    return _used.used(peer, _new_work(), {"work": 1}, INNER, time.perf_counter_ns, less)


def _new_work() -> Callable[[int], int]:
    """Return a new function of its own: tools know functions by their code."""

    def work(work: int) -> int:
        return work % 7

    return work


def _bare_case(form: str, divided: Any) -> Case:
    """Return what a call or a block of a tool is held against."""
    now = time.perf_counter_ns
    if form == CALL:
        return Case("bare", "bare call", "f(work)", {"f": _new_work(), "work": divided}, now=now)
    return Case("bare", "bare work", INNER, {"work": divided}, now=now)


def _timed(
    work: Work,
    divided: Any,
    ready: dict[str, _used.Used],
    count: int,
    rounds: int,
    rng: random.Random,
) -> dict[str, Stored]:
    """Time one work in turns under each tool, and bare beside it; return the raw values by case."""
    empty = Case("empty loop", "empty loop", "pass", minus=None, now=time.perf_counter_ns)
    pairs = {name: _Pair(case, divided, rng) for name, case in ready.items()}
    loops = {empty.name: empty.loop(), **{name: pair.run for name, pair in pairs.items()}}
    for loop in loops.values():
        loop(1)
    for pair in pairs.values():
        pair.forget()
    taken = interleave(loops, dict.fromkeys(loops, count), rounds, rng, lambda _: None)
    less = f"{empty.name}, {work.name}"
    found = {less: _stored(empty, work, None, count, taken[empty.name])}
    for name, pair in pairs.items():
        beside = _beside(name, work.name)
        found[beside] = _stored(pair.bare, work, less, count, pair.bare_ns)
        told = _stored(pair.used, work, beside, count, taken[name])
        found[f"{name}, {work.name}"] = {**told, "reported": _means(pair.readings)}
    return found


def _stored(case: Case, work: Work, less: str | None, count: int, taken: list[int]) -> Stored:
    return {
        "title": f"{case.title}, {work.title}",
        "body": case.body,
        "minus": less,
        "passes": 1,
        "iterations": count,
        "elapsed_ns": taken,
    }


class _Pair:
    """A tool's loop and the bare one, of which now this and now that is the first.

    Args:
        case: the tool's, of any work.
        divided: the work.
        rng: draws who is first.
    """

    def __init__(self, case: _used.Used, divided: Any, rng: random.Random) -> None:
        self.used = replace(case, names={**case.names, "work": divided})
        self.bare = _bare_case(case.peer.form, divided)
        self.forget()
        self._rng = rng
        self._used_loop = self.used.reading_loop(self._read)
        self._bare_loop = self.bare.loop()

    def forget(self) -> None:
        """Leave out what was measured until now."""
        self.readings: list[Reading | None] = []
        self.bare_ns: list[int] = []

    def _read(self, reading: Reading | None) -> None:
        self.readings.append(reading)

    def run(self, count: int) -> int:
        """Run both, and return what the tool's took."""
        first = self._rng.random() < 0.5
        if first:
            self.bare_ns.append(self._bare_loop(count))
        took = self._used_loop(count)
        if not first:
            self.bare_ns.append(self._bare_loop(count))
        return took


def _means(readings: list[Reading | None]) -> list[float | None]:
    """Return a tool's mean of each round in ns; None where it recorded nothing."""
    return [
        reading.total_ns / reading.hits if reading and reading.hits else None
        for reading in readings
    ]


if __name__ == "__main__":
    _used.in_child(measure_here, sys.argv[1:])
