"""Tools that see calls by themselves while they are on, and viztracer's other ways."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.peers._peer import (
    EVENTS,
    INLINE,
    NO,
    SAMPLED,
    YES,
    Peer,
    Reading,
    Records,
)


class _Watcher(Peer):
    """Leaves the function as it is, and is asked about it by its code or name."""

    watches = True

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        self.function = function
        return function


@contextmanager
def _between(on: Callable[[], object], off: Callable[[], object]) -> Iterator[None]:
    on()
    try:
        yield
    finally:
        off()


class CProfile(_Watcher):
    """The standard library's."""

    name = "cProfile"
    usage = "profile.enable()"
    note = "calls of C functions cost as much"
    documentation = "https://docs.python.org/3/library/profile.html"
    records = Records(YES, YES, YES, tree="callers")

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import cProfile

        self.profile = cProfile.Profile()

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return _between(self.profile.enable, self.profile.disable)

    def read(self) -> Reading:
        """See `Peer.read`."""
        code = self.function.__code__
        found = [row for row in self.profile.getstats() if row.code is code]
        return Reading(
            sum(row.callcount for row in found), sum(1e9 * row.totaltime for row in found)
        )

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.profile.clear()


class Yappi(_Watcher):
    """Every call of every thread, on the wall clock."""

    name = "yappi, wall clock"
    package = "yappi"
    usage = 'yappi.set_clock_type("wall"); yappi.start()'
    documentation = "https://github.com/sumerc/yappi#example"
    records = Records(YES, YES, YES, tree="callers", threads=YES, asynchronous=YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import yappi

        self.yappi = yappi
        yappi.set_clock_type("wall")

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return _between(self.yappi.start, self.yappi.stop)

    def read(self) -> Reading:
        """See `Peer.read`."""
        name = self.function.__name__
        found = [row for row in self.yappi.get_func_stats() if row.name.split(".")[-1] == name]
        return Reading(sum(row.ncall for row in found), sum(1e9 * row.ttot for row in found))

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.yappi.clear_stats()


class _VizTracer(_Watcher):
    package = "viztracer"
    note = "keeps the newest million events"
    records = Records(EVENTS, EVENTS, EVENTS, EVENTS, EVENTS, YES, "with log_async")

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from viztracer import VizTracer

        self.tracer = VizTracer(verbose=0)

    def event_name(self) -> str:
        """Return what events of ours are called."""
        return self.function.__name__

    def read(self) -> Reading:
        """See `Peer.read`."""
        self.tracer.parsed = False
        self.tracer.parse()
        spans = [
            event["dur"]
            for event in self.tracer.data["traceEvents"]
            if event["ph"] == "X"
            and event["name"].split(" ")[0].split(".")[-1] == self.event_name()
        ]
        return Reading(len(spans), 1e3 * sum(spans))

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.tracer.clear()


class VizTracerTrace(_VizTracer):
    """Every call into a ring buffer."""

    name = "viztracer, trace"
    usage = "tracer.start()"
    documentation = "https://viztracer.readthedocs.io/en/stable/basic_usage.html"

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return _between(self.tracer.start, self.tracer.stop)


class VizTracerSparse(_VizTracer):
    """Calls of chosen functions only."""

    name = "viztracer, log_sparse"
    watches = False
    usage = "@log_sparse"
    documentation = "https://viztracer.readthedocs.io/en/stable/filter.html#log-sparse"
    records = Records(EVENTS, EVENTS, EVENTS, EVENTS, EVENTS, YES)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        from viztracer import VizTracer, log_sparse

        super().wrap(function)
        # The decorator looks for the tracer that was made last.
        self.tracer = VizTracer(verbose=0, log_sparse=True)
        wrapped: Callable[..., Any] = log_sparse(function)
        return wrapped


class VizTracerEvent(_VizTracer):
    """A block as an event, with the tracing of calls off."""

    name = "viztracer, log_event"
    form = INLINE
    watches = False
    usage = 'with tracer.log_event("query"):'
    documentation = "https://viztracer.readthedocs.io/en/stable/custom_event_intro.html"
    records = VizTracerSparse.records
    enters = 't.log_event("inline")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"t": self.tracer}

    def event_name(self) -> str:
        """See `_VizTracer.event_name`."""
        return "inline"


class LineProfilerKernprof(_Watcher):
    """Lines of marked functions, switched on once around the program, as `kernprof -l` does."""

    name = "line_profiler, on throughout"
    package = "line_profiler"
    usage = "@profile, under kernprof -l"
    note = "times each line; this function has one"
    documentation = "https://kernprof.readthedocs.io/en/latest/line_profiler.html"
    records = Records("of lines", "of lines", asynchronous=YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from line_profiler import LineProfiler

        self.profile = LineProfiler()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        super().wrap(function)
        wrapped: Callable[..., Any] = self.profile(function)
        return wrapped

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return _between(self.profile.enable_by_count, self.profile.disable_by_count)

    def read(self) -> Reading:
        """See `Peer.read`."""
        stats = self.profile.get_stats()
        lines = [line for rows in stats.timings.values() for line in rows]
        hits = min((hits for _, hits, _ in lines), default=0)
        return Reading(hits, sum(time for _, _, time in lines) * stats.unit * 1e9)


class LineProfilerCall(LineProfilerKernprof):
    """The same, switched on by each call of a marked function."""

    name = "line_profiler, on in each call"
    watches = False
    usage = "@line_profiler.profile"

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return Peer.recording(self)


class Pyinstrument(_Watcher):
    """Samples each millisecond, and for that is called at each call."""

    name = "pyinstrument"
    package = "pyinstrument"
    usage = "profiler.start()"
    note = "finds at each call whether a millisecond is over"
    documentation = "https://pyinstrument.readthedocs.io/en/latest/guide.html"
    records = Records(NO, SAMPLED, SAMPLED, tree=SAMPLED, asynchronous=YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from pyinstrument import Profiler

        self.profiler = Profiler(interval=0.001)

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`."""
        return _between(self.profiler.start, self.profiler.stop)

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.profiler.reset()


class TProf(_Watcher):
    """Calls of chosen functions, by `sys.monitoring`."""

    name = "tprof"
    package = "tprof"
    usage = "with tprof(function):"
    note = "nothing is called in between; keeps each duration, so memory grows with the calls"
    documentation = "https://pypi.org/project/tprof/"
    records = Records(YES, YES, percentiles="median", threads="added up", asynchronous=YES)
    oldest_python = (3, 12)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import tprof

        self.tprof = tprof.tprof
        self.found = Reading(0, 0)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """See `Peer.recording`. It prints what it found, each time."""
        with redirect_stderr(io.StringIO()), self.tprof(self.function) as results:
            yield
        (told,) = results
        self.found = Reading(self.found.hits + told.calls, self.found.total_ns + told.total_ns)

    def read(self) -> Reading:
        """See `Peer.read`."""
        return self.found

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.found = Reading(0, 0)


class Trace0(_Watcher):
    """Every call as two events, which a thread of its own writes to a file."""

    name = "trace0"
    package = "trace0"
    usage = 'with Tracer("trace.pb"):'
    note = "its own thread's time is counted in; drops events when that thread falls behind"
    documentation = "https://pypi.org/project/trace0/"
    records = Records(EVENTS, EVENTS, EVENTS, EVENTS, EVENTS, YES, EVENTS)
    oldest_python = (3, 13)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from trace0 import Tracer

        self.tracer = Tracer

    def recording(self) -> AbstractContextManager[Any]:
        """See `Peer.recording`. JSON takes longer to write, so only what is read is in it."""
        self.path = self.scratch / ("trace.json" if self.to_be_read else "trace.pb")
        self.path.unlink(missing_ok=True)
        kind = "json" if self.to_be_read else "protobuf"
        tracer: AbstractContextManager[Any] = self.tracer(
            str(self.path), format=kind, trace_subprocesses=False
        )
        return tracer

    def read(self) -> Reading:
        """See `Peer.read`. It has no end: each process may have appended to it."""
        if not self.path.exists():
            return Reading(0, 0)
        events = json.loads(self.path.read_text().rstrip().rstrip(",") + "]")
        return _paired(events, self.function.__name__)

    def reset(self) -> None:
        """See `Peer.reset`."""
        self.path.unlink(missing_ok=True)


def _paired(events: list[dict[str, Any]], name: str) -> Reading:
    """Return the figures of one function that does not call itself, from its begins and ends.

    An event of a pair may have been dropped: only a begin with an end right behind counts.
    """
    ours = [event for event in events if event.get("name", "").split(".")[-1] == name]
    spans = [
        end["ts"] - begin["ts"]
        for begin, end in pairwise(ours)
        if (begin["ph"], end["ph"]) == ("B", "E")
    ]
    return Reading(len(spans), 1e3 * sum(spans))


WATCHERS: tuple[type[Peer], ...] = (
    CProfile,
    VizTracerTrace,
    VizTracerSparse,
    VizTracerEvent,
    Yappi,
    LineProfilerKernprof,
    LineProfilerCall,
    Pyinstrument,
    TProf,
    Trace0,
)
