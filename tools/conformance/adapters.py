"""The columns of the table: each tool behind one interface, used as its own documentation says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from importlib import import_module
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .cases import Case

TOOL = "CONFORMANCE_TOOL"
GATHER = "CONFORMANCE_GATHER"
PROGRAMS = Path(__file__).resolve().parent / "programs"


class Found(TypedDict, total=False):
    """What a tool says of one name: passes, time and active time in ns, threads that it was on."""

    hits: int | None
    time: int
    active: int
    threads: int


class NotClaimedError(Exception):
    """The tool does not claim to do this. The text says why."""


class Tool:
    """A tool that watches everything while it is on, so that marking changes nothing."""

    name = "none"
    module = ""
    traces = True
    no_blocks = "it has no blocks"

    def __init__(self) -> None:
        self.seen_as: dict[str, str] = {}

    def start(self, case: Case) -> None:
        """Begin to record."""

    def stop(self) -> None:
        """End recording."""

    def mark(self, function: Any, name: str, also: Any = None) -> Any:
        """Have calls of a function recorded under a name, and return what is to be called.

        also: another function in which the time is found where every function is watched.
        """
        seen = also or function
        seen = getattr(seen, "func", seen)
        if not hasattr(seen, "__name__"):
            seen = type(seen).__call__
        self.seen_as[name] = seen.__name__
        return function

    def mark_class(self, cls: type, names: list[str]) -> type:
        """Have the methods of a class recorded, each under its name."""
        for name in names:
            self.seen_as[name] = name
        return cls

    def block(self, name: str) -> AbstractContextManager[Any]:
        """Return a context manager whose body is recorded under a name."""
        raise NotClaimedError(self.no_blocks)

    def found(self) -> dict[str, Found]:
        """Return what was recorded, by the names that were marked."""
        everything = self.functions()
        return {name: everything[seen] for name, seen in self.seen_as.items() if seen in everything}

    def functions(self) -> dict[str, Found]:
        """Return what was recorded, by the functions' own names."""
        return {}

    def version(self) -> str:
        """Return the version of the tool."""
        from importlib.metadata import version

        return version(self.module)


class Stichotrope(Tool):
    """Tracks what is marked; child processes are gathered."""

    name = module = "stichotrope"
    traces = False

    def __init__(self) -> None:
        super().__init__()
        self._profiler = import_module("stichotrope").Profiler("conformance")
        self._directory = os.environ.get(GATHER)
        if self._directory:
            self._profiler.gather(self._directory, period_s=0.05)

    def mark(self, function: Any, name: str, also: Any = None) -> Any:
        """See `Tool.mark`."""
        return self._profiler.track(0, name)(function)

    def mark_class(self, cls: type, names: list[str]) -> type:
        """See `Tool.mark_class`."""
        marked: type = self._profiler.track_class(0, include=lambda name, _: name in names)(cls)
        return marked

    def block(self, name: str) -> AbstractContextManager[Any]:
        """See `Tool.block`."""
        made: AbstractContextManager[Any] = self._profiler.block(0, name)
        return made

    def found(self) -> dict[str, Found]:
        """See `Tool.found`."""
        results = self._profiler.get_results()
        if self._directory:
            self._profiler.stop_gathering()
            results = type(results).load_all(self._directory)
        figures: dict[str, Found] = {}
        for block in (block for track in results.tracks.values() for block in track.blocks):
            if block.hit_count:
                figures[_last(block.name)] = {
                    "hits": block.hit_count,
                    "time": block.total_time_ns,
                    "active": block.active_time_ns,
                    "threads": sum(_hits_of(thread, block.name) > 0 for thread in results.threads),
                }
        return figures

    def version(self) -> str:
        """See `Tool.version`."""
        return str(import_module(self.module).__version__)


def _hits_of(results: Any, name: str) -> int:
    return sum(
        block.hit_count
        for track in results.tracks.values()
        for block in track.blocks
        if block.name == name
    )


class LineProfiler(Tool):
    """Decorates what is marked; hits are the first line's, time is the sum of all lines'."""

    name = module = "line_profiler"
    traces = False
    no_blocks = "it times lines of functions, and has no blocks"

    def __init__(self) -> None:
        super().__init__()
        self._profile = import_module(self.module).LineProfiler()

    def mark(self, function: Any, name: str, also: Any = None) -> Any:
        """See `Tool.mark`."""
        super().mark(function, name)
        return self._profile(function)

    def mark_class(self, cls: type, names: list[str]) -> type:
        """See `Tool.mark_class`."""
        super().mark_class(cls, names)
        marked: type = self._profile(cls)
        return marked

    def functions(self) -> dict[str, Found]:
        """See `Tool.functions`."""
        stats = self._profile.get_stats()
        figures: dict[str, Found] = {}
        for (file, _, name), lines in stats.timings.items():
            if lines and _is_ours(file):
                spent = sum(time for _, _, time in lines)
                figures[_last(name)] = {
                    "hits": min(lines)[1],
                    "time": round(spent * stats.unit * 1e9),
                }
        return figures


class Yappi(Tool):
    """Traces every call of every thread on the wall clock; told of greenlets if there are any."""

    name = module = "yappi"

    def start(self, case: Case) -> None:
        """See `Tool.start`."""
        self._yappi = import_module(self.module)
        self._yappi.set_clock_type("wall")
        if case.greenlets:
            self._yappi.set_context_backend("greenlet")
        self._greenlets = case.greenlets
        self._yappi.start(builtins=True)

    def stop(self) -> None:
        """See `Tool.stop`."""
        self._yappi.stop()

    def functions(self) -> dict[str, Found]:
        """See `Tool.functions`."""
        figures: dict[str, Found] = {}
        threads: dict[str, int] = {}
        for thread in [] if self._greenlets else self._yappi.get_thread_stats():
            for stat in self._yappi.get_func_stats(filter={"ctx_id": thread.id}):
                name = _last(stat.name)
                threads[name] = threads.get(name, 0) + 1
        for stat in self._yappi.get_func_stats():
            name = _last(stat.name)
            if stat.builtin or _is_ours(stat.module):
                figures[name] = {"hits": stat.ncall, "time": round(stat.ttot * 1e9)}
                figures[name]["threads"] = threads.get(name, 0)
        return figures


class VizTracer(Tool):
    """Traces every call into a timeline; a name's time is what its events cover."""

    name = module = "viztracer"

    def start(self, case: Case) -> None:
        """See `Tool.start`. Where there are child processes, its own command has started it."""
        self._own_command = case.children
        if not self._own_command:
            made = import_module(self.module).VizTracer
            self._tracer = made(verbose=0, log_async=case.asynchronous)
            self._tracer.start()

    def stop(self) -> None:
        """See `Tool.stop`."""
        if not self._own_command:
            self._tracer.stop()

    def block(self, name: str) -> AbstractContextManager[Any]:
        """See `Tool.block`."""
        self.seen_as[name] = name
        made: AbstractContextManager[Any] = self._tracer.log_event(name)
        return made

    def functions(self) -> dict[str, Found]:
        """See `Tool.functions`."""
        if self._own_command:
            return {}
        path = os.path.join(os.environ["CONFORMANCE_DIRECTORY"], "viztracer.json")
        self._tracer.save(path)
        return of_timeline(Path(path))


def of_timeline(path: Path) -> dict[str, Found]:
    """Return what a timeline of viztracer holds, by name."""
    events = json.loads(path.read_text()).get("traceEvents", []) if path.exists() else []
    spans: dict[str, dict[tuple[int, int], list[tuple[float, float]]]] = {}
    for event in events:
        function, _, place = event["name"].partition(" (")
        if event.get("ph") == "X" and (not place or _is_ours(place.rpartition(":")[0])):
            name = _last(function)
            lane = (event["pid"], event["tid"])
            span = (event["ts"], event["ts"] + event["dur"])
            spans.setdefault(name, {}).setdefault(lane, []).append(span)
    return {
        name: {
            "hits": sum(len(lane) for lane in lanes.values()),
            "time": round(1000 * sum(_covered(lane) for lane in lanes.values())),
            "threads": len(lanes),
        }
        for name, lanes in spans.items()
    }


def _covered(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


class Pyinstrument(Tool):
    """Samples each millisecond, as is its default; it counts nothing."""

    name = module = "pyinstrument"

    def start(self, case: Case) -> None:
        """See `Tool.start`."""
        self._profiler = import_module(self.module).Profiler(interval=0.001)
        self._profiler.start()

    def stop(self) -> None:
        """See `Tool.stop`."""
        self._profiler.stop()

    def functions(self) -> dict[str, Found]:
        """See `Tool.functions`."""
        figures: dict[str, Found] = {}

        def walk(frame: Any, open_names: frozenset[str]) -> None:
            name = _last(frame.function)
            watched = _is_ours(frame.file_path or "") or not (frame.file_path or "").endswith(".py")
            if watched and name not in open_names:
                spent = figures.setdefault(name, {"hits": None, "time": 0})
                spent["time"] += round(frame.time * 1e9)
            for child in frame.children:
                walk(child, open_names | {name})

        root = self._profiler.last_session.root_frame()
        if root is not None:
            walk(root, frozenset())
        return figures


class HandWritten(Tool):
    """The decorator that everybody writes: `perf_counter` before and after."""

    name = "perf_counter decorator"
    traces = False
    no_blocks = "it is a decorator"

    def __init__(self) -> None:
        super().__init__()
        self._figures: dict[str, list[int]] = {}

    def mark(self, function: Any, name: str, also: Any = None) -> Any:
        """See `Tool.mark`."""
        figures = self._figures.setdefault(name, [0, 0])

        @wraps(function)
        def timed(*args: Any, **keywords: Any) -> Any:
            begin = perf_counter_ns()
            try:
                return function(*args, **keywords)
            finally:
                figures[0] += 1
                figures[1] += perf_counter_ns() - begin

        return timed

    def mark_class(self, cls: type, names: list[str]) -> type:
        """See `Tool.mark_class`."""
        raise NotClaimedError("it decorates one function at a time")

    def found(self) -> dict[str, Found]:
        """See `Tool.found`."""
        return {
            name: {"hits": hits, "time": time}
            for name, (hits, time) in self._figures.items()
            if hits
        }

    def version(self) -> str:
        """See `Tool.version`."""
        return "of this repository"


def _is_ours(file: str) -> bool:
    """Whether something stands in one of the programs, not in a library by the same name.

    A block that a tool makes for a program is made in this file.
    """
    return Path(file).parent == PROGRAMS or file == __file__


def _last(name: str) -> str:
    return name.rpartition(".")[2]


TOOLS: dict[str, type[Tool]] = {
    tool.name: tool
    for tool in (Stichotrope, LineProfiler, Yappi, VizTracer, Pyinstrument, HandWritten)
}

_current: list[Tool] = []


def current() -> Tool:
    """Return this process's tool, which the environment names; else one that does nothing."""
    if not _current:
        _current.append(TOOLS.get(os.environ.get(TOOL, ""), Tool)())
    return _current[0]


def marked(name: str) -> Callable[[Any], Any]:
    """Return a decorator that marks a function of a module for this process's tool."""
    return lambda function: current().mark(function, name)


def command(tool: str, case: Case, directory: Path) -> list[str]:
    """Return how a program is started under a tool."""
    program = ["-m", f"{__package__}.child", tool, case.id]
    if tool == VizTracer.name and case.children:
        out = str(directory / "viztracer.json")
        return [sys.executable, "-m", "viztracer", "--quiet", "-o", out, *program]
    return [sys.executable, *program]
