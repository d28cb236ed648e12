"""What profiling adds to a program: the same work in each mode, paired round by round.

In one process the program is imported once for each mode, and each round does all its work in each
of them, in an order drawn anew. What is paired is a round; what is independent is a process, with
its own places in memory: a figure is the median of each process.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks._child import run_module
from benchmarks._run import (
    Fact,
    Figure,
    Loop,
    Progress,
    Scale,
    Stored,
    finest_cpu_timer,
    interleave,
    ratio,
)
from benchmarks.workloads import _marks, _profile

LIMITS_PERCENT = {_marks.INSTRUMENTED: 5.0, _marks.COARSE: 1.0}
TITLES = {
    _marks.INSTRUMENTED: "all marks",
    _marks.COARSE: "marks of 1 ms and more",
    _marks.OFF: "marks that are off",
}
COARSE_NS = 1_000_000

SIZES = {Scale.QUICK: (2, 3), Scale.NORMAL: (16, 20), Scale.FULL: (16, 20)}
"""Processes, and rounds in each."""

Series = Mapping[str, list[float]]
"""What each work took in each mode of one process, by "mode, work", in ns, a value a round."""


class Work(NamedTuple):
    """Some work of a program: its loop, how often it runs in a round, what is in one run of it."""

    loop: Loop
    times: int
    units: int


def measure(
    package: str, scale: Scale, rng: random.Random, progress: Progress, **settings: object
) -> list[Stored]:
    """Compare the modes in fresh processes; return what each gives.

    :param package: the program's, whose `_child` has a part called "overhead".
    :param scale: how much.
    :param rng: draws the orders.
    :param progress: is told of each process.
    :param settings: for the processes.

    :raises RuntimeError: a process failed.
    """
    processes, rounds = SIZES[scale]
    found = []
    for _ in range(processes):
        more = {"rounds": rounds, "order_seed": rng.randrange(1 << 32)}
        found.append(child(package, "overhead", **settings, **more))
        progress("overhead")
    return found


def child(package: str, part: str, **settings: object) -> Stored:
    """Return what a part of a program's `_child` gives, in a process of its own."""
    done: Stored = run_module(f"{package}._child", part, json.dumps(settings))
    return done


# ---- in the process ------------------------------------------------------------------------------


def in_mode(package: str, module: str, mode: str) -> Any:
    """Import a program's module with its functions marked in a mode, whatever was imported before.

    :param package: the program's, of which nothing is kept but `_child`.
    :param module: its name in the package.
    :param mode: of the marks.
    """
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        if name != f"{package}._child":
            del sys.modules[name]
    os.environ[_marks.VARIABLE] = mode
    return importlib.import_module(f"{package}.{module}")


def compare(
    package: str, module: str, works: Callable[[Any], dict[str, Work]], settings: Stored
) -> tuple[dict[str, list[float]], _profile.Blocks]:
    """Do the work in each mode; return the ns a unit of each, and the coarse level's profile.

    :param package: the program's.
    :param module: of it, which `works` is given, once for each mode.
    :param works: returns what is done, by name.
    :param settings: rounds, order_seed.
    """
    compared: dict[str, Work] = {}
    profilers = {}
    # Who is imported first has other places in memory, in every process the same unless drawn.
    order = random.Random(settings["order_seed"])
    for mode in order.sample(_marks.MODES, len(_marks.MODES)):
        imported = in_mode(package, module, mode)
        profilers[mode] = sys.modules[f"{package}._tracks"].marks.profiler
        compared.update((f"{mode}, {name}", work) for name, work in works(imported).items())
    taken = take(compared, settings)
    return taken, _profile.blocks(profilers[_marks.COARSE].get_results())


def take(works: Mapping[str, Work], settings: Stored) -> dict[str, list[float]]:
    """Return the ns a unit of each work in each round; the collector stays on, as in the program.

    :param works: what is done, by name.
    :param settings: rounds, order_seed.
    """
    taken = interleave(
        {name: work.loop for name, work in works.items()},
        {name: work.times for name, work in works.items()},
        settings["rounds"],
        random.Random(settings["order_seed"]),
        lambda _: None,
        collector=True,
    )
    units = {name: work.times * work.units for name, work in works.items()}
    return {name: [ns / units[name] for ns in some] for name, some in taken.items()}


def timed(do: Callable[[], object], timer: Callable[[], int] | None = None) -> Loop:
    """Return a loop that does something so many times; by default on its thread's own time."""
    now = timer or finest_cpu_timer()[1]

    def loop(count: int) -> int:
        start = now()
        for _ in range(count):
            do()
        return now() - start

    return loop


# ---- of the stored values ------------------------------------------------------------------------


def added_percent(processes: Iterable[Series], work: str, mode: str) -> list[float]:
    """Return by how many percent a mode takes longer than bare: the median of each process."""
    return [
        100
        * (statistics.median(ratio(taken[f"{mode}, {work}"], taken[f"{_marks.BARE}, {work}"])) - 1)
        for taken in processes
    ]


def limits(processes: list[Series], works: Mapping[str, str]) -> list[Figure | Fact]:
    """Return the overheads that are held to a limit.

    :param processes: what each work took.
    :param works: their titles, by name.
    """
    return [_figure(processes, work, title, mode) for mode, work, title in _cells(processes, works)]


def limit_names(works: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of those limits.

    :param works: titles of works, by name.
    """
    return tuple(_name(mode, title) for mode in LIMITS_PERCENT for title in works.values())


def figures(processes: list[Series], works: Mapping[str, str]) -> list[Figure | Fact]:
    """Return the overhead of what is off."""
    return [_figure(processes, work, title, _marks.OFF) for work, title in works.items()]


def coarse_fact(program: str, found: Iterable[_profile.Blocks]) -> Fact:
    """Return whether the coarse level is one: each block takes a millisecond or more in the mean.

    :param program: its name.
    :param found: the blocks of the coarse level, of each process.
    """
    means = _profile.mean_ns(found)
    seen = ", ".join(f"{name} {ns / 1e6:.3g} ms" for name, ns in means.items())
    least = min(means.values(), default=0.0)
    return Fact(f"{program}: marks of 1 ms and more, the mean of each", least >= COARSE_NS, seen)


def _cells(processes: list[Series], works: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    for mode in LIMITS_PERCENT:
        for work, title in works.items():
            # Runs stored before there was a coarse level have none.
            if all(f"{mode}, {work}" in taken for taken in processes):
                yield mode, work, title


def _figure(processes: list[Series], work: str, title: str, mode: str) -> Figure:
    return Figure(
        _name(mode, title),
        added_percent(processes, work, mode),
        "%",
        LIMITS_PERCENT.get(mode),
        digits=2,
    )


def _name(mode: str, title: str) -> str:
    return f"overhead of {TITLES[mode]}, {title}"
