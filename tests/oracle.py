"""A slow, obvious twin of the core: it keeps every pass, and works each figure out from its definition."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stichotrope._histogram import Histogram

# The flow of a thread outside of all contexts that were entered on it.
BASE: Hashable = "base"


class Site(NamedTuple):
    """A block as the oracle knows it: its name, and the index of its track."""

    name: str
    track: int


@dataclass(eq=False)
class Pass:
    """One pass, open or finished."""

    site: Site
    start: int
    flow: Flow
    under: Pass | None  # the innermost open pass that it lies on; another one when that ends first
    since: int  # when it came to lie there
    recorded: bool  # False: entered while its track was off
    path: tuple[str, ...] = ()
    nested: bool = False
    track_nested: bool = False
    outermost: bool = False
    # How much of its time another of its block, another of its track, or any, was open below it.
    nested_time: int = 0
    track_nested_time: int = 0
    under_time: int = 0
    dropped: bool = False
    child: int = 0
    duration: int = 0
    clamped: bool = False
    flows: set[Flow] = field(default_factory=set)  # those on it that have something open
    flows_since: int = 0

    @property
    def counts(self) -> bool:
        """Whether passes above it lie on it, as far as figures go."""
        return self.recorded and not self.dropped

    def chain(self) -> Iterator[Pass]:
        """The open passes below it, innermost first."""
        below = self.under
        while below is not None:
            yield below
            below = below.under


@dataclass(eq=False)
class Flow:
    """What is open in one context of one thread, outermost first, and what the flow itself lies on."""

    open: list[Pass] = field(default_factory=list)
    on: Pass | None = None

    def top(self) -> Pass | None:
        """The pass that a new one would lie on."""
        return next((p for p in reversed(self.open) if p.counts), self.on)

    def is_busy(self) -> bool:
        """Whether anything that counts is open in it."""
        return any(p.counts for p in self.open)


def stretch(start: int, end: int) -> int:
    """The time between two readings of the clock; none when it went backwards."""
    return max(0, end - start)


class Thread:
    """One thread: its clock, the contexts it has entered, its open passes and its finished ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.now = 0
        self.contexts: list[Hashable] = [BASE]
        self.flows: dict[Hashable, Flow] = {}
        self.finished: list[Pass] = []
        self.has_entered = False

    @property
    def flow(self) -> Flow:
        """The flow of the context that the thread is in."""
        return self.flows.setdefault(self.contexts[-1], Flow())

    # ---- enter ----------------------------------------------------------------------------------

    def enter(self, site: Site, recorded: bool = True) -> Pass:
        """Open a pass; one that is not recorded is kept only to know its leaving from others'."""
        flow = self.flow
        if not any(p.recorded for p in flow.open):
            flow.on = self._below_context()
        made = Pass(site, self.now, flow, flow.top(), self.now, recorded)
        if recorded:
            self.has_entered = True
            self._place(made)
        was_busy = flow.is_busy()
        flow.open.append(made)
        if flow.is_busy() and not was_busy:
            self._open_flow(flow)
        return made

    def _below_context(self) -> Pass | None:
        """What was open where the current context was entered."""
        for context in reversed(self.contexts[:-1]):
            flow = self.flows.get(context)
            if flow is not None and any(p.recorded for p in flow.open):
                return flow.top()
        return None

    def _place(self, made: Pass) -> None:
        """Say what a new pass is, by what is really open below it."""
        below = list(made.chain())
        made.outermost = not below
        made.nested = any(p.site == made.site for p in below)
        made.track_nested = any(p.site.track == made.site.track for p in below)
        path = below[0].path if below else ()
        name = made.site.name
        # Recursion folds back onto the node that it came from.
        made.path = path[: path.index(name) + 1] if name in path else (*path, name)

    def _open_flow(self, flow: Flow) -> None:
        if flow.on is not None:
            if not flow.on.flows:
                flow.on.flows_since = self.now
            flow.on.flows.add(flow)

    def _close_flow(self, flow: Flow) -> None:
        if flow.on is not None and flow in flow.on.flows:
            flow.on.flows.remove(flow)
            if not flow.on.flows:
                flow.on.child += stretch(flow.on.flows_since, self.now)

    # ---- leave ----------------------------------------------------------------------------------

    def find(self, site: Site) -> Pass | None:
        """The innermost open pass of a site: in the current flow, else in another one."""
        for flow in (self.flow, *self.flows.values()):
            for candidate in reversed(flow.open):
                if candidate.site == site:
                    return candidate
        return None

    def holders(self, site: Site) -> int:
        """How many flows have a pass of a site open."""
        return sum(any(p.site == site for p in flow.open) for flow in self.flows.values())

    def leave(self, left: Pass) -> None:
        """Close a pass, which may lie anywhere."""
        left.duration = stretch(left.start, self.now)
        left.clamped = self.now < left.start
        if left.counts:
            self._bill(left)
            self._uncover(left)
            self.finished.append(left)
        left.flow.open.remove(left)
        if not left.flow.is_busy():
            self._close_flow(left.flow)
        for p in self._open_passes():
            self._unnest(p)

    def _unnest(self, p: Pass) -> None:
        """Note for how long an open pass was nested in what may have closed before it."""
        below = list(p.chain())
        so_far = stretch(p.start, self.now)
        if p.nested and not any(other.site == p.site for other in below):
            p.nested, p.nested_time = False, so_far
        if p.track_nested and not any(other.site.track == p.site.track for other in below):
            p.track_nested, p.track_nested_time = False, so_far
        if not p.outermost and not below:
            p.outermost, p.under_time = True, so_far

    def _bill(self, p: Pass) -> None:
        """Add the time that a pass has lain where it lies to what it lies on."""
        if p.under is not None and p.under.flow is p.flow:
            p.under.child += stretch(p.since, self.now)
        p.since = self.now

    def _uncover(self, left: Pass) -> None:
        """Settle what lies on a pass that closes first, and let it lie on what that one lay on."""
        for p in self._open_passes():
            if p.under is left and p.counts:
                self._bill(p)
                p.under = left.under
        for flow in [flow for flow in self.flows.values() if flow.on is left]:
            was_open = flow in left.flows
            self._close_flow(flow)
            flow.on = left.under
            if was_open:
                self._open_flow(flow)

    def _open_passes(self) -> Iterator[Pass]:
        for flow in self.flows.values():
            yield from flow.open

    def clear(self) -> None:
        """Forget what is finished, and drop what is open."""
        self.finished = []
        self.has_entered = False
        for p in self._open_passes():
            p.dropped = True
            p.under = None
        for flow in self.flows.values():
            flow.on = None


# ---- figures ------------------------------------------------------------------------------------


class Block(NamedTuple):
    """The figures of one block."""

    hits: int = 0
    total: int = 0
    self: int = 0
    minimum: int = 0
    maximum: int = 0
    sum: int = 0
    squares: int = 0
    histogram: tuple[tuple[int, int, int], ...] = ()


class Node(NamedTuple):
    """The figures of one node of the call tree."""

    hits: int
    total: int
    self: int


class Figures(NamedTuple):
    """Everything that results say of one thread or of several."""

    blocks: dict[str, Block]
    tracks: dict[int, int]
    total: int
    tree: dict[tuple[str, ...], Node]


def bucket(ticks: int) -> int:
    """The core's bucket of a duration: its octave times 16 plus its sub-bucket."""
    octave = 0
    while ticks + 16 >= 32 << octave:
        octave += 1
    sub = (ticks + 16) // 2**octave - 16
    return octave * 16 + sub


def middle(ticks: int) -> int:
    """The middle of all the durations that share a bucket with this one."""
    octave, sub = divmod(bucket(ticks), 16)
    lowest = (16 + sub) * 2**octave - 16
    highest = lowest + 2**octave - 1
    return (lowest + highest) // 2


def _histogram(passes: list[Pass]) -> tuple[tuple[int, int, int], ...]:
    histogram = Histogram()
    for p in passes:
        histogram.add(middle(p.duration))
    return tuple(histogram)


def _block(passes: list[Pass]) -> Block:
    if not passes:
        return Block()
    durations = [p.duration for p in passes]
    return Block(
        hits=len(passes),
        total=sum(p.duration - min(p.nested_time, p.duration) for p in passes if not p.nested),
        self=sum(durations) - sum(p.child for p in passes),
        minimum=min(durations),
        maximum=max(durations),
        sum=sum(durations),
        squares=sum(duration**2 for duration in durations),
        histogram=_histogram(passes),
    )


def _node(passes: list[Pass]) -> Node:
    return Node(
        hits=len(passes),
        total=sum(p.duration - min(p.nested_time, p.duration) for p in passes if not p.nested),
        self=sum(p.duration - p.child for p in passes),
    )


def figures(threads: Iterable[Thread], sites: Iterable[Site]) -> Figures:
    """Everything about the finished passes of some threads, for all sites that are registered."""
    passes = [p for thread in threads for p in thread.finished]
    sites = list(sites)
    return Figures(
        blocks={site.name: _block([p for p in passes if p.site == site]) for site in sites},
        tracks={
            track: sum(
                p.duration - min(p.track_nested_time, p.duration)
                for p in passes
                if p.site.track == track and not p.track_nested
            )
            for track in {site.track for site in sites}
        },
        total=sum(p.duration - min(p.under_time, p.duration) for p in passes if p.outermost),
        tree={
            path: _node([p for p in passes if p.path == path]) for path in {p.path for p in passes}
        },
    )


def clamped(threads: Iterable[Thread]) -> int:
    """How many finished passes were counted as 0 because the clock went backwards."""
    return sum(p.clamped for thread in threads for p in thread.finished)
