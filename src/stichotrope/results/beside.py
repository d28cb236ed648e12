"""Timelines of several processes beside each other: on one clock, and what each is called."""

from __future__ import annotations

from .timeline import ORIGIN, Timeline

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MOST_PIDS = 1 << 31  # beyond what any system gives a process


def called(worker: str, pid: object) -> str:
    """Return what a worker is called: by its engine, or by its number.

    :param worker: its name there, empty where it has none.
    :param pid: its number.
    """
    if worker.isdigit():  # as Dask numbers those of one machine
        return f"worker {worker}"
    return worker or f"process {pid}"


def aligned(timelines: Iterable[Timeline]) -> list[Timeline]:
    """Return timelines by host, worker and process, those of one machine on its one clock.

    The wall clock of a machine may have been set between the starts of two processes, and each has
    read it for itself. The monotonic clock is the same for both: so it places them, and that one's
    reading of the wall clock counts for all that knows it best.

    :param timelines: the timelines; they stay as they are.
    """
    found = sorted(timelines, key=_order)
    best: dict[str, Timeline] = {}
    for one in found:
        machine = _origin(one).get("clock")
        if not machine:
            continue
        known = best.setdefault(machine, one)
        if _uncertainty(one) < _uncertainty(known):
            best[machine] = one
    return [_placed(one, best.get(_origin(one).get("clock", ""), one)) for one in found]


def _placed(one: Timeline, by: Timeline) -> Timeline:
    """Return a timeline as it lies by another one's reading of the wall clock."""
    own, other = _origin(one), _origin(by)
    if by is one or not own:
        return one
    start_ns = by.start_ns + own["monotonic_ns"] - other["monotonic_ns"]
    origin = {**own, "uncertainty_ns": other["uncertainty_ns"]}
    return one.with_start(start_ns, {**one.metadata, ORIGIN: origin})


def _origin(one: Timeline) -> dict[str, Any]:
    """Return what is known of a timeline's begin; nothing where it makes no sense."""
    found = one.metadata.get(ORIGIN)
    if not isinstance(found, dict):
        return {}
    figures = [found.get("monotonic_ns"), found.get("uncertainty_ns")]
    is_whole = all(type(figure) is int for figure in figures)
    return found if is_whole and isinstance(found.get("clock"), str) else {}


def _uncertainty(one: Timeline) -> int:
    uncertainty: int = _origin(one)["uncertainty_ns"]
    return uncertainty


def _text(one: Timeline, key: str) -> str:
    found = one.metadata.get(key)
    return found if isinstance(found, str) else ""


def _pid(one: Timeline) -> int:
    found = one.metadata.get("process")
    return found if type(found) is int else 0


def _order(one: Timeline) -> tuple[Any, ...]:
    worker = _text(one, "worker")
    number = int(worker) if worker.isdecimal() else -1
    return _text(one, "host"), number, worker, _pid(one), one.start_ns, one.profiler_name


def _identity(one: Timeline) -> tuple[object, ...]:
    """Return what tells a process from all others."""
    instance = _text(one, "instance")
    return _text(one, "host"), _pid(one), instance


def labels(timelines: list[Timeline]) -> list[str]:
    """Return what each process is called, with as much as tells it from the others.

    :param timelines: one is called as its profiler, as nothing has to be told apart.
    """
    if len(timelines) == 1:
        return [timelines[0].profiler_name]
    hosts = len({_text(one, "host") for one in timelines}) > 1
    profilers = len({one.profiler_name for one in timelines}) > 1
    names = [called(_text(one, "worker"), _pid(one)) for one in timelines]
    processes: dict[str, set[object]] = {}
    for name, one in zip(names, timelines, strict=True):
        processes.setdefault(name, set()).add(_identity(one))
    found = []
    for name, one in zip(names, timelines, strict=True):
        if len(processes[name]) > 1 and _text(one, "worker"):
            name += f", process {_pid(one)}"
        if hosts:
            name += f" on {_text(one, 'host') or '?'}"
        found.append(f"{name}: {one.profiler_name}" if profilers else name)
    return found


def process_numbers(timelines: list[Timeline]) -> list[int]:
    """Return a number for the process of each timeline: its own, unless another one has that.

    :param timelines: those of one process have one number.
    """
    taken: dict[int, tuple[object, ...]] = {}
    found: dict[tuple[object, ...], int] = {}
    for number, one in enumerate(timelines, 1):
        identity = _identity(one)
        if not _pid(one):
            identity = (number,)
        if identity in found:
            continue
        pid = _pid(one) if 0 < _pid(one) < _MOST_PIDS else number
        while taken.setdefault(pid, identity) != identity:
            pid = pid % (_MOST_PIDS - 1) + 1
        found[identity] = pid
    return [
        found[_identity(one)] if _pid(one) else found[number,]
        for number, one in enumerate(timelines, 1)
    ]


def said_of_clocks(timelines: list[Timeline]) -> str:
    """Return how well it is known when the passes of several processes were; "" for one.

    :param timelines: what `aligned` returned.
    """
    if len(timelines) < 2:
        return ""
    from .._text.format import format_time_ns

    known = [one for one in timelines if _origin(one)]
    machines = {_origin(one)["clock"] or _text(one, "host") for one in known}
    if not known:
        return "how far the clocks of these processes are apart is not known"
    least = max(_uncertainty(one) for one in known)
    said = f"the time of day was read to {format_time_ns(least)}"
    if len(known) < len(timelines):
        said += f" by {len(known)} of {len(timelines)} processes"
    if len(machines) == 1 and len(known) == len(timelines):
        return f"processes of one machine, placed by its one clock; {said}"
    return f"{said}; how far the clocks of different machines are apart is not known"
