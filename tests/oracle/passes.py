"""Threads, their flows, and what is open in them: how passes come to lie on each other."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# The flow of a thread outside of all contexts that were entered on it.
BASE: Hashable = "base"


class Site(NamedTuple):
    """A block as the oracle knows it: its name, and the index of its track."""

    name: str
    track: int


@dataclass(eq=False)
class Cover:
    """What a pass is nested in, of its own block, of its own track, or at all; false once all that has closed."""

    by: set[Pass] = field(default_factory=set)
    time: int = 0  # how much of the pass's time was nested, where that is over
    idle: int = 0  # … and how much of that it was suspended for

    def __bool__(self) -> bool:
        return bool(self.by)

    def lift(self, closed: Pass, time: int, idle: int) -> None:
        """Take away one that has closed; it was the last for a pass that is so old, and was idle for so long."""
        if closed in self.by:
            self.by.remove(closed)
            if not self.by:
                self.time, self.idle = time, idle


@dataclass(eq=False)
class Pass:
    """One pass, open or finished."""

    site: Site
    start: int
    recorded: bool = True  # False: entered while its track was off
    frame: Hashable = None  # the generator or coroutine that its `with` stands in
    thread: Thread | None = None  # where it is open, or was before it was suspended
    flow: Flow | None = (
        None  # None while it is suspended with the tracked generator that it lies on
    )
    under: Pass | None = (
        None  # the innermost open pass that it lies on; another when that ends first
    )
    since: int = 0  # when it came to lie there
    path: tuple[str, ...] = ()
    in_site: Cover = field(default_factory=Cover)
    in_track: Cover = field(default_factory=Cover)
    in_any: Cover = field(default_factory=Cover)
    dropped: bool = False
    child: int = 0
    duration: int = 0
    clamped: bool = False
    flows: set[Flow] = field(default_factory=set)  # those on it that have something open
    flows_since: int = 0
    is_run: bool = False  # of a tracked generator or coroutine
    resumed_at: int = 0
    suspended_at: int = 0
    active: int = 0  # of a tracked generator's: for how long it ran
    idle: int = (
        0  # for how long it was suspended, with the tracked generator that it is of or lies on
    )

    def idle_until(self, now: int) -> int:
        """For how long it has been suspended, while it is open."""
        if not self.is_run:
            return self.idle
        return max(0, stretch(self.start, now) - self.active - stretch(self.resumed_at, now))

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

    def drop(self) -> None:
        """Forget it, before it has ended."""
        self.dropped = True
        self.under = None


@dataclass(eq=False)
class Flow:
    """What is open in one context of one thread, outermost first, and what the flow itself lies on."""

    open: list[Pass] = field(default_factory=list)
    on: Pass | None = None
    home: Flow | None = None  # of what is put aside: the flow that it was put aside of

    def top(self, but: Collection[Pass] = ()) -> Pass | None:
        """The pass that a new one would lie on."""
        return next((p for p in reversed(self.open) if p.counts and p not in but), self.on)

    def is_busy(self) -> bool:
        """Whether anything that counts is open in it."""
        return any(p.counts for p in self.open)

    def top_of_frame(self) -> list[Pass]:
        """Those at the top whose `with` statements stand in one generator or coroutine."""
        frame = self.open[-1].frame if self.open else None
        first = len(self.open)
        while frame is not None and first and self.open[first - 1].frame == frame:
            first -= 1
        return self.open[first:]


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
        # The generators and coroutines that it is in, outermost first, and in which context each is.
        self.running: dict[Hashable, Hashable] = {}
        self.aside: dict[
            Hashable, Flow
        ] = {}  # what suspended ones have open that nobody lies on meanwhile
        self.finished: list[Pass] = []
        self.has_entered = False
        self.last: Flow | None = None  # where something was entered or left last

    @property
    def flow(self) -> Flow:
        """The flow of the context that the thread is in."""
        return self.flows.setdefault(self.contexts[-1], Flow())

    # ---- enter ----------------------------------------------------------------------------------

    def enter(self, site: Site, recorded: bool = True, frame: Hashable = None) -> Pass:
        """Open a pass; one that is not recorded is kept only to know its leaving from others'."""
        made = Pass(site, self.now, recorded, frame)
        if recorded:
            self.notice()
        self._lay(made)
        return made

    def pass_by(self, site: Site) -> None:
        """Enter a block while its track is off: that is seen where its exit could be mistaken for another's."""
        if any(p.site == site for p in self.open_passes()):
            self.notice()
            self.last = self.flow

    def _lay(self, p: Pass) -> None:
        """Put a pass on top of the current flow."""
        flow = self._ready(self.contexts[-1])
        p.thread, p.flow, p.under, p.since = self, flow, flow.top(), self.now
        if p.counts:
            self.has_entered = True
            self._place(p)
        was_busy = flow.is_busy()
        flow.open.append(p)
        self.last = flow
        if flow.is_busy() and not was_busy:
            self._open_flow(flow)

    def _ready(self, context: Hashable) -> Flow:
        """The flow of a context; an empty one lies on what is open where its context was entered."""
        flow = self.flows.setdefault(context, Flow())
        if not any(p.recorded for p in flow.open):
            flow.on = self._around(self.contexts[: self.contexts.index(context)])
        return flow

    def _around(self, contexts: list[Hashable]) -> Pass | None:
        """What is open in contexts, outermost first, but for what suspended generators have open."""
        for flow in (self.flows[each] for each in reversed(contexts) if each in self.flows):
            passes = list(flow.open)
            while passes and passes[-1].frame is not None and passes[-1].frame not in self.running:
                passes.pop()
            if any(p.recorded for p in passes):
                return next((p for p in reversed(passes) if p.counts), flow.on)
        return None

    def _place(self, p: Pass) -> None:
        """Say what a pass is that begins, or goes on, by what is really open below it or has been put aside."""
        below = list(p.chain())
        here = [self.flows[context] for context in self.contexts if context in self.flows]
        aside = [p for flow in self.aside.values() if flow.home in here for p in flow.open]
        around = below + [other for other in aside if other.counts and p not in other.in_any.by]
        p.in_any = Cover(set(around))
        p.in_site = Cover({other for other in around if other.site == p.site})
        p.in_track = Cover({other for other in around if other.site.track == p.site.track})
        path = below[0].path if below else ()
        name = p.site.name
        # Recursion folds back onto the node that it came from.
        p.path = path[: path.index(name) + 1] if name in path else (*path, name)

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

    def leave_block(self, left: Pass) -> None:
        """Leave a `with` statement, and close its pass if it has one here."""
        self._notice_outer()
        if self.aside:
            self.notice()
        self.last = self.flow
        if left.flow is not None:
            self.leave(left)

    def leave(self, left: Pass) -> None:
        """Close a pass, which may lie anywhere."""
        left.duration = stretch(left.start, self.now)
        left.clamped = self.now < left.start
        if left.counts:
            self._settle(left)
            self.finished.append(left)
        self._take_out(left)
        self.forget(left)

    def _take_out(self, p: Pass) -> None:
        flow = p.flow
        assert flow is not None
        p.flow = None
        flow.open.remove(p)
        if not flow.is_busy():
            self._close_flow(flow)
        if not flow.open and self.aside.get(p.frame) is flow:
            del self.aside[p.frame]

    def forget(self, closed: Pass) -> None:
        """Note for how long those that are open were nested in a pass that has closed."""
        for p in self.open_passes():
            age = stretch(p.start, self.now)
            for cover in (p.in_site, p.in_track, p.in_any):
                cover.lift(closed, age, p.idle_until(self.now))

    def _bill(self, p: Pass) -> None:
        """Add the time that a pass has lain where it lies to what it lies on."""
        if p.under is not None and p.under.flow is p.flow:
            p.under.child += stretch(p.since, self.now)
        p.since = self.now

    def _settle(self, left: Pass) -> None:
        """Bill for a pass that leaves its place, and let what lies on it lie on what it lay on."""
        self._bill(left)
        for p in self.open_passes():
            if p.under is left and p.counts:
                self._bill(p)
                p.under = left.under
        for flow in [flow for flow in self.all_flows() if flow.on is left]:
            was_open = flow in left.flows
            self._close_flow(flow)
            flow.on = left.under
            if was_open:
                self._open_flow(flow)

    def all_flows(self) -> Iterable[Flow]:
        return [*self.flows.values(), *self.aside.values()]

    def open_passes(self) -> Iterator[Pass]:
        for flow in self.all_flows():
            yield from flow.open

    def clear(self) -> None:
        """Forget what is finished, and drop what is open."""
        self.finished = []
        self.has_entered = False
        for p in self.open_passes():
            p.drop()
        for flow in self.all_flows():
            flow.on = None

    # ---- generators and coroutines that are not tracked -----------------------------------------

    def notice(self) -> None:
        """See which of those that have something open here are suspended, and which are running again.

        Suspended, it is put aside: nobody lies on it, and it lies on nobody. Running again, it is brought back onto
        what is open where its generator was resumed.
        """
        self._notice_outer()
        while group := self.suspended(self.flow):
            self._put_aside(group, self.flow)
        for frame, context in self.running.items():
            if frame in self.aside:
                self._bring_back(self.aside.pop(frame).open, context)

    def _notice_outer(self) -> None:
        """See what is suspended where something was entered last, if the context that runs was entered there."""
        outer = [self.flows.get(context) for context in self.contexts[:-1]]
        if self.last is not None and self.last is not self.flow and self.last in outer:
            while group := self.suspended(self.last):
                self._put_aside(group, self.last)

    def suspended(self, flow: Flow) -> list[Pass]:
        """What stands at the top of a flow in one generator or coroutine that does not run."""
        group = flow.top_of_frame()
        frame = group[0].frame if group else None
        return [] if frame in self.running or frame in self.aside else group

    def _put_aside(self, group: list[Pass], flow: Flow) -> None:
        lowest = next((p for p in group if p.counts), None)
        if lowest is not None:
            self._bill(lowest)
            lowest.under = None
        del flow.open[-len(group) :]
        if not flow.is_busy():
            self._close_flow(flow)
        aside = self.aside[group[0].frame] = Flow(group, home=flow)
        for p in group:
            p.flow = aside

    def _bring_back(self, group: list[Pass], context: Hashable) -> None:
        flow, lowest = self._ready(context), next((p for p in group if p.counts), None)
        if lowest is not None:
            lowest.under, lowest.since = flow.top(), self.now
        was_busy = flow.is_busy()
        for p in group:
            p.flow = flow
            flow.open.append(p)
        if flow.is_busy() and not was_busy:
            self._open_flow(flow)

    def take_over(self, left: Pass) -> None:
        """Leave a block that was entered on another thread: recorded here, as if it had begun here; billed to nobody."""
        other = left.thread
        assert other is not None
        other._take_out(left)
        other.forget(left)
        if left.counts:
            self.notice()
            self._lay(left)
            self.leave(left)

    # ---- tracked generators and coroutines ------------------------------------------------------

    def resume(self, run: Pass, inside: list[Pass]) -> None:
        """Put a pass on top of what is open, and on it those that it was suspended with; they go on from there."""
        self.notice()
        self._lay(run)
        run.is_run, run.resumed_at = True, self.now
        for p in inside:
            p.idle += stretch(p.suspended_at, self.now)
            self._lay(p)

    def suspend(self, run: Pass) -> list[Pass]:
        """Take a pass off, with those that lie on it, which are returned; nothing lies on them, nor they on anything."""
        assert run.flow is not None
        place = run.flow.open.index(run)
        inside = run.flow.open[place + 1 :]
        for p in (*reversed(inside), run):
            if p.counts:
                self._settle(p)
            self._take_out(p)
            p.suspended_at = self.now
        run.active += stretch(run.resumed_at, self.now)
        return inside

    def end(self, run: Pass) -> None:
        """Close the pass of a generator or coroutine that has come to its end."""
        run.active += stretch(run.resumed_at, self.now)
        run.duration = stretch(run.start, self.now)
        run.idle = max(0, run.duration - run.active)
        if run.counts:
            self._settle(run)
            self.finished.append(run)
        self._take_out(run)
        self.forget(run)

    def go_into(self, frame: Hashable) -> None:
        """A generator or coroutine runs from now on; what it has open in another context comes with it."""
        self.running[frame] = self.contexts[-1]
        for flow in list(self.flows.values()):
            group = flow.top_of_frame()
            if flow is not self.flow and group and group[0].frame == frame:
                self._put_aside(group, flow)
