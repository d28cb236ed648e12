"""Whether a pass has become dearer: short runs, held against a stored one in floors.

Nanoseconds of two days, or of two machines, say little about the program. Each run has its floors
measured in turn with what records, so the ratio of both is what is compared. Several processes are
measured, as a process keeps for all its life what luck its memory's layout gave it.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks import _machine, _store, per_pass, suspended
from benchmarks._child import run_module
from benchmarks._run import Figure, Scale, Stored, cheaper, ratio
from benchmarks.floors import load_floors
from benchmarks.per_pass import net_ns
from benchmarks.report import cell

SUBJECT = "per_pass"
"""What a baseline has to have measured."""

MEASURED: dict[str, ModuleType] = {SUBJECT: per_pass, "suspended": suspended}

TOLERANCE_PERCENT = 10.0
PROCESSES = 5
WORSE, BETTER, SAME, NEW = "**worse**", "better", "as before", "not in the baseline"

# What each case is held against: the cheapest of these floors, as in the limits.
_CALL, _METHOD = ("clocks", "clocks_direct"), ("clocks_method", "clocks_direct_method")
FLOORS = {
    "tracked": _CALL,
    "tracked_arg": ("clocks_arg", "clocks_direct_arg"),
    "tracked_method": _METHOD,
    "tracked_recursion": _CALL,
    "stopped": ("forward", "forward_direct"),
    "track_off": ("forward", "forward_direct"),
    "kept_block": ("clock_context",),
    "nested_blocks": ("clock_context",),
    "inline_block": ("inline_context",),
    "kept_block_stopped": ("empty_context",),
    "inline_block_stopped": ("inline_context",),
}


class Row(NamedTuple):
    """One figure now and in the baseline, in floors, and what is to be said of it."""

    now: Figure
    before: Figure | None
    verdict: str


def main(arguments: list[str]) -> int:
    """Compare, and print a table.

    :return: 1 when a figure is worse, 2 when there is nothing to compare with, else 0.
    """
    options = _parser().parse_args(arguments)
    try:
        runs = [_store.load(path) for path in options.run or ()] or [_new_run(options.seed)]
        path = options.baseline or _baseline(runs[0])
        baseline = _store.load(path)
        if not options.run:
            runs = [*_measured(runs[0], options.processes)]
        rows = compare(runs, baseline, options.tolerance)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(render(rows, baseline, path, options.tolerance))
    worse = [row.now.name for row in rows if row.verdict == WORSE]
    if worse:
        print(f"\nworse than the baseline: {'; '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks check",
        description="Measure shortly what a pass costs, in floors, and compare with a stored run. "
        "Ends with 1 when a figure is worse, with 2 when there is nothing to compare with.",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="a stored run; default: the newest of this interpreter in benchmarks/results",
    )
    parser.add_argument(
        "--tolerance",
        type=_percent,
        metavar="PERCENT",
        default=TOLERANCE_PERCENT,
        help=f"how much worse is not yet worse (default: {TOLERANCE_PERCENT:g})",
    )
    parser.add_argument(
        "--run",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="compare these stored runs; nothing is measured",
    )
    parser.add_argument(
        "--processes",
        type=_count,
        metavar="N",
        default=PROCESSES,
        help=f"how many are measured, one after the other (default: {PROCESSES})",
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the orders (default: 1)")
    return parser


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 on")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 on")
    return int(text)


def _new_run(seed: int) -> _store.Run:
    """Return a run with nothing measured yet, of the stichotrope that is installed.

    :raises ImportError: none is.
    :raises RuntimeError: there is no compiler for the floors, or it failed.
    """
    from stichotrope import Profiler

    load_floors()
    clock = Profiler("benchmarks check").get_results().metadata.get("clock")
    return _store.new_run(Scale.QUICK.value, seed, _machine.describe(), {"clock": clock})


def _measured(run: _store.Run, processes: int) -> Iterator[_store.Run]:
    """Yield the run, measured as a quick run is, once for each process."""
    for number in range(processes):
        print(f"process {number + 1}/{processes} …", file=sys.stderr, flush=True)
        subjects = run_module("benchmarks.check", f"{run['seed']} {number}")
        yield {**run, "subjects": subjects}


def _child(seed: str) -> Stored:
    """Return what each subject measured in this process."""
    return {
        name: subject.measure(Scale.QUICK, random.Random(f"{seed} {name}"), lambda text: None)
        for name, subject in MEASURED.items()
    }


def _baseline(run: _store.Run) -> Path:
    """Return the stored run that this one is held against.

    :raises ValueError: there is none of this interpreter.
    """
    path = _store.baseline(run, SUBJECT)
    if path is None:
        raise ValueError(
            f"no stored run of CPython {_store.label(run)} has {SUBJECT} in it, in "
            f"{os.path.relpath(_store.RESULTS)}: `python -m benchmarks` makes one"
        )
    return path


def compare(runs: list[_store.Run], baseline: _store.Run, tolerance_percent: float) -> list[Row]:
    """Return a row for each figure of the runs.

    A figure is worse when its whole interval lies above that of the baseline, by more than the
    tolerance; it is better when the whole of it lies below.

    :param runs: the new runs, one for each process.
    :param baseline: the stored run.
    :param tolerance_percent: in percent of the upper end of the baseline's interval.
    :raises ValueError: one of them has nothing to compare, or they are not of one kind.
    """
    for run in runs:
        _must_match(run, baseline)
    before = {figure.name: figure for figure in figures([baseline])}
    return [
        Row(now, before.get(now.name), _verdict(now, before.get(now.name), tolerance_percent))
        for now in figures(runs)
    ]


def _must_match(run: _store.Run, baseline: _store.Run) -> None:
    for what, told in _KIND.items():
        if told(run) != told(baseline):
            raise ValueError(
                f"the two runs are not of one kind: {what} is {told(run)} now, and "
                f"{told(baseline)} in the baseline"
            )
    for whose, each in (("this run", run), ("the baseline", baseline)):
        if SUBJECT not in each["subjects"]:
            raise ValueError(f"{whose} did not measure {SUBJECT}: there is nothing to compare")


_KIND: dict[str, Callable[[_store.Run], object]] = {
    "CPython": _store.label,
    "the clock": lambda run: (run["package"].get("clock") or {}).get("source"),
    "the floors' clock": lambda run: run["subjects"].get(SUBJECT, {}).get("floors_clock"),
}
"""What two runs have to have in common."""


def figures(runs: list[_store.Run]) -> list[Figure]:
    """Return what a pass costs in floors.

    The samples are the rounds of one run, or the medians of several: two rounds in one process are
    more alike than two processes are, and an interval must not be narrower than that.

    :param runs: of as many processes.
    """
    first, *others = (_figures(run) for run in runs)
    if not others:
        return first
    each = [{figure.name: figure for figure in found} for found in (first, *others)]
    return [
        replace(figure, samples=[statistics.median(run[figure.name].samples) for run in each])
        for figure in first
        if all(figure.name in run for run in each)
    ]


def _figures(run: _store.Run) -> list[Figure]:
    """Return the figures of calls and blocks, and of what suspends where it was measured."""
    found = _per_pass(run["subjects"][SUBJECT])
    if "suspended" in run["subjects"]:
        rows = suspended.figures(run["subjects"]["suspended"])
        found += [row for row in rows if isinstance(row, Figure) and row.unit == "×"]
    return found


def _per_pass(stored: Stored) -> list[Figure]:
    net = functools.partial(net_ns, stored)
    cases = stored["cases"]
    return [
        Figure(
            f"{cases[name]['title']} ÷ {cases[floors[0]]['title']}",
            ratio(net(name), cheaper(*(net(floor) for floor in floors))),
            "×",
            digits=2,
        )
        for name, floors in FLOORS.items()
        if {name, *floors} <= set(cases)
    ]


def _verdict(now: Figure, before: Figure | None, tolerance_percent: float) -> str:
    if before is None:
        return NEW
    _, low, high = now.interval()
    _, low_before, high_before = before.interval()
    if low > high_before * (1 + tolerance_percent / 100):
        return WORSE
    return BETTER if high < low_before else SAME


def render(rows: list[Row], baseline: _store.Run, path: Path, tolerance_percent: float) -> str:
    """Return the table in Markdown, and what it was compared with."""
    lines: list[tuple[str, ...]] = [("in floors", "baseline", "now", "change", "")]
    lines.append(("---",) * 5)
    lines += [
        (row.now.name, cell(row.before), cell(row.now), _change(row), row.verdict) for row in rows
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        f"{table}\n\nBaseline: {os.path.relpath(path)}, CPython {baseline['machine']['python']}, "
        f"{baseline['started'][:10]}, {_commit(baseline)}.\nWorse: the whole 95 % interval of the "
        f"median is more than {tolerance_percent:g} % above that of the baseline."
    )


def _change(row: Row) -> str:
    if row.before is None:
        return "–"
    now, before = row.now.interval()[0], row.before.interval()[0]
    return f"{100 * (now / before - 1):+.1f} %"


def _commit(run: _store.Run) -> str:
    git: dict[str, Any] = run["machine"]["git"]
    commit = (git["commit"] or "no commit")[:10]
    return f"{commit} with changes" if git["modified"] else commit


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1])))
