"""Timers by name, in Python: decorators and blocks that keep hits and totals."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers._peer import CALL, INLINE, KEPT, YES, Peer, Reading, Records


class _CodeTiming(Peer):
    package = "codetiming"
    documentation = "https://pypi.org/project/codetiming/"
    note = "keeps each duration, so memory grows; not for several threads, nor for recursion"
    records = Records(YES, YES, percentiles="median")

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from codetiming import Timer

        self.timer = Timer
        self.key = self.form

    def read(self) -> Reading:
        """See `Peer.read`."""
        timers = self.timer.timers
        if self.key not in timers:
            return Reading(0, 0)
        return Reading(int(timers.count(self.key)), 1e9 * timers.total(self.key))

    def reset(self) -> None:
        """See `Peer.reset`. It keeps every value."""
        self.timer.timers.clear()


class CodeTimingCall(_CodeTiming):
    """The decorator, its messages off."""

    name = "codetiming, decorator"
    form = CALL
    usage = '@Timer(name="price", logger=None)'

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.timer(name=self.key, logger=None)(function)
        return wrapped


class CodeTimingBlock(_CodeTiming):
    """The context manager, its messages off."""

    name = "codetiming, block"
    form = INLINE
    usage = 'with Timer(name="query", logger=None):'
    enters = f'Timer(name="{INLINE}", logger=None)'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"Timer": self.timer}


class _PerfTimer(Peer):
    package = "perf-timer"
    note = "not for several threads at once, nor for recursion"
    documentation = "https://pypi.org/project/perf-timer/"
    records = Records(YES, YES, asynchronous=YES)
    observer = "AverageObserver"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import perf_timer

        observer = getattr(perf_timer, self.observer)
        self.timer = perf_timer.PerfTimer(self.name, observer=observer, log_fn=_say_nothing)

    def read(self) -> Reading:
        """See `Peer.read`. Its figures are text, so these are what the text is made of."""
        return Reading(self.timer._count, 1e9 * self.timer._sum)


class PerfTimerCall(_PerfTimer):
    """The decorator, for averages."""

    name = "perf-timer, decorator"
    form = CALL
    usage = '@PerfTimer("price", observer=AverageObserver)'

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.timer(function)
        return wrapped


class PerfTimerBlock(_PerfTimer):
    """The block, for averages."""

    name = "perf-timer, block"
    form = KEPT
    usage = 'TIMER = PerfTimer("query", observer=AverageObserver); with TIMER:'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"b": self.timer}


class PerfTimerHistogram(PerfTimerBlock):
    """The block, for percentiles."""

    name = "perf-timer, block with percentiles"
    usage = 'TIMER = PerfTimer("query", observer=HistogramObserver); with TIMER:'
    records = Records(YES, YES, percentiles=YES, asynchronous=YES)
    observer = "HistogramObserver"

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = self.timer._hist
        return Reading(kept.count, 1e9 * kept.sum() if kept.count else 0)


def _say_nothing(text: str) -> None:
    pass


class ProfileHooks(Peer):
    """The decorator that prints once, at the end."""

    name = "profilehooks, timecall"
    package = "profilehooks"
    note = "loses passes when several threads are in it at once"
    form = CALL
    usage = "@timecall(immediate=False)"
    documentation = "https://mg.pov.lt/profilehooks/"
    records = Records(YES, YES)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        from profilehooks import timecall

        wrapped: Callable[..., Any] = timecall(function, immediate=False)
        (self.kept,) = (cell.cell_contents for cell in wrapped.__closure__ or ())
        return wrapped

    def read(self) -> Reading:
        """See `Peer.read`. It prints its figures only, so they are read where they are kept."""
        return Reading(self.kept.ncalls, 1e9 * self.kept.totaltime)


class _TimeBudget(Peer):
    package = "timebudget"
    note = "not for several threads at once, nor for recursion"
    documentation = "https://pypi.org/project/timebudget/"
    records = Records(YES, YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from timebudget import timebudget

        self.timebudget = timebudget
        self.key = "inline"
        timebudget.set_quiet()

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = self.timebudget._default_recorder
        return Reading(kept.elapsed_cnt[self.key], 1e6 * kept.elapsed_total[self.key])


class TimeBudgetCall(_TimeBudget):
    """The decorator, quiet."""

    name = "timebudget, decorator"
    form = CALL
    usage = "@timebudget"

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        self.key = function.__name__
        wrapped: Callable[..., Any] = self.timebudget(function)
        return wrapped


class TimeBudgetBlock(_TimeBudget):
    """The block, quiet."""

    name = "timebudget, block"
    form = INLINE
    usage = 'with timebudget("query"):'
    enters = 'timebudget("inline")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"timebudget": self.timebudget}


class TimerCm(Peer):
    """A step of a timer."""

    name = "timer-cm, child"
    package = "timer-cm"
    note = "not for several threads at once, nor for recursion"
    form = INLINE
    usage = 'with TIMER.child("query"):'
    documentation = "https://pypi.org/project/timer-cm/"
    records = Records(YES, YES, tree=YES)
    enters = 'timer.child("inline")'

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from timer_cm import Timer

        self.timer = Timer("peers", print_results=False)

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"timer": self.timer}

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = self.timer.child("inline")
        return Reading(kept._count, 1e9 * float(kept.elapsed))


@functools.cache
def _region_profiler() -> Any:
    """Return its global profiler, which can be installed once only."""
    import region_profiler

    return region_profiler.install()


class _RegionProfiler(Peer):
    package = "region_profiler"
    note = "for one thread"
    documentation = "https://pypi.org/project/region-profiler/"
    records = Records(YES, YES, YES, tree=YES)
    key = "inline"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import region_profiler

        self.api = region_profiler
        self.root = _region_profiler().root

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = self.root.get_child(self.key).stats
        return Reading(kept.count, 1e9 * kept.total)


class RegionProfilerCall(_RegionProfiler):
    """The decorator."""

    name = "region_profiler, func"
    form = CALL
    usage = "@rp.func()"

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        self.key = f"{function.__name__}()"
        wrapped: Callable[..., Any] = self.api.func()(function)
        return wrapped


class RegionProfilerBlock(_RegionProfiler):
    """The block."""

    name = "region_profiler, region"
    form = INLINE
    usage = 'with rp.region("query"):'
    enters = 'rp.region("inline")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"rp": self.api}


class _ScopeProfiler(Peer):
    package = "scope-profiler"
    note = "in the mode that keeps sums only; for one thread"
    documentation = "https://max-models.github.io/scope-profiler/guide/modes/"
    records = Records(YES, YES, YES)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from scope_profiler import ProfileManager

        self.manager = ProfileManager()
        self.manager.setup(output=str(scratch / "regions.h5"), aggregation_mode=True)

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = self.manager.region(self.form).get_aggregate()
        return Reading(kept["count"], kept["total"])


class ScopeProfilerCall(_ScopeProfiler):
    """The decorator, in the mode that keeps sums only."""

    name = "scope-profiler, profile"
    form = CALL
    usage = 'sp.setup(aggregation_mode=True); @sp.profile("price")'

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        wrapped: Callable[..., Any] = self.manager.profile(self.form)(function)
        return wrapped


class ScopeProfilerBlock(_ScopeProfiler):
    """The block, in the mode that keeps sums only."""

    name = "scope-profiler, region"
    form = INLINE
    usage = 'sp.setup(aggregation_mode=True); with sp.region("query"):'
    enters = f'sp.region("{INLINE}")'

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"sp": self.manager}


TIMERS: tuple[type[Peer], ...] = (
    CodeTimingCall,
    CodeTimingBlock,
    PerfTimerCall,
    PerfTimerBlock,
    PerfTimerHistogram,
    ProfileHooks,
    TimeBudgetCall,
    TimeBudgetBlock,
    TimerCm,
    RegionProfilerCall,
    RegionProfilerBlock,
    ScopeProfilerCall,
    ScopeProfilerBlock,
)
