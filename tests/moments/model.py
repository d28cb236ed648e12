"""Passes, the strands that they belong to, and the moments of each: nothing of how the core finds its figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Site(NamedTuple):
    """A block: its name, which no other has, and the index of its track."""

    name: str
    track: int


# Moments as stretches of time: from, until. They come in order and do not overlap.
Moments = list[tuple[int, int]]


def add(moments: Moments, since: int, until: int) -> None:
    """Add a stretch that begins where the last one ended, or later."""
    if moments and moments[-1][1] == since:
        moments[-1] = (moments[-1][0], until)
    else:
        moments.append((since, until))


def length(sets: list[Moments]) -> int:
    """How long it is that at least one of several sets of moments has."""
    total, end = 0, -1
    for since, until in sorted(stretch for moments in sets for stretch in moments):
        total += max(0, until - max(since, end))
        end = max(end, until)
    return total


@dataclass(eq=False)
class Pass:
    """One pass, and all its moments by thread: those at which it is open, runs, and has nothing nested in it."""

    site: Site
    strand: Strand
    start: int
    recorded: bool  # False: it was entered while its track was off
    path: tuple[str, ...] = ()
    open: dict[Thread, Moments] = field(default_factory=lambda: defaultdict(list))
    active: dict[Thread, Moments] = field(default_factory=lambda: defaultdict(list))
    own: dict[Thread, Moments] = field(default_factory=lambda: defaultdict(list))
    end: int | None = None
    ended_on: Thread | None = None
    duration: int = 0  # of one that ended
    is_clamped: bool = False  # the clock went back meanwhile
    left_by: str = ""  # "", "error" or "cancelled"
    dropped: bool = False  # by clear()
    is_level: bool = False  # the program leaves it when a level ends, not by hand
    items: Counter[Thread] = field(
        default_factory=Counter
    )  # that it said went through it, by where

    @property
    def counts(self) -> bool:
        """Whether figures know of it."""
        return self.recorded and not self.dropped

    @property
    def is_open(self) -> bool:
        """Whether it counts, and is open on a thread that there is."""
        return self.end is None and self.counts and not self.strand.thread.has_ended


@dataclass(eq=False)
class Strand:
    """What is suspended as one: a thread's own stack, that of a context, or the body of a generator or coroutine."""

    kind: str  # "thread", "context", "generator" or "coroutine"
    thread: Thread
    passes: list[Pass] = field(default_factory=list)  # those that are open, outermost first
    is_tracked: bool = False
    is_running: bool = False
    is_waiting: bool = False  # suspended, and what it has open is in progress all the same
    outer: Strand | None = None  # that which waits for it, and is suspended and resumed with it
    under: Pass | None = None  # what it lay on when it was suspended, while that is open

    def top(self) -> Pass | None:
        """The innermost pass that counts."""
        return next((p for p in reversed(self.passes) if p.counts), None)

    @property
    def is_placed(self) -> bool:
        """Whether it lies where it began, whoever enters its context later."""
        return self.kind == "context" and any(p.recorded for p in self.passes)

    def is_idle(self) -> bool:
        """Whether it is suspended with a tracked one, or nobody waits for it."""
        outer = self.outer
        return not self.is_running and (
            self.is_tracked or not self.is_waiting or (outer is not None and outer.is_idle())
        )


@dataclass(eq=False)
class Thread:
    """A thread, and the strands that are running on it, each linked on the one before."""

    name: str
    stack: list[Strand] = field(default_factory=list)
    contexts: dict[int, Strand] = field(default_factory=dict)
    has_entered: bool = False
    has_ended: bool = False  # what it left open never ends, and is open no more

    def __post_init__(self) -> None:
        self.stack.append(Strand("thread", self, is_running=True))

    def __hash__(self) -> int:
        return id(self)

    def top(self, below: Strand | None = None) -> Pass | None:
        """The innermost pass that counts; below a strand, if one is given."""
        stack = self.stack if below is None else self.stack[: self.stack.index(below)]
        for strand in reversed(stack):
            top = strand.top()
            if top is not None or strand.is_placed:
                return top or strand.under
        return None


class Model:
    """All passes of a program on all of its threads, by one clock."""

    def __init__(self) -> None:
        self.now = 1  # a clock that runs shows no 0
        self.forward = 0  # how far it went without going back
        self.passes: list[Pass] = []
        self.counted: list[int] = []  # by a metric: what no pass has to do with
        self.strands: list[Strand] = []  # but for threads' own: those that have anything open

    # ---- time -----------------------------------------------------------------------------------

    def advance(self, step: int) -> None:
        """Let time pass; each pass that is open gets these moments. A clock that goes back makes none."""
        until = max(1, self.now + step)
        open_passes = [p for p in self.passes if p.is_open]
        nested_in = {self.below(p, in_progress=True) for p in open_passes}
        for p in open_passes if step > 0 else ():
            add(p.open[p.strand.thread], self.now, until)
            if not p.strand.is_idle():
                add(p.active[p.strand.thread], self.now, until)
                if p not in nested_in:
                    add(p.own[p.strand.thread], self.now, until)
        self.forward += max(0, step)
        self.now = until

    def below(self, p: Pass, in_progress: bool = False) -> Pass | None:
        """The pass that one is nested in now; with `in_progress`, only if it is in progress."""
        strand = p.strand
        place = strand.passes.index(p)
        found = next((q for q in reversed(strand.passes[:place]) if q.counts), None)
        return found if found is not None else self._under(strand, in_progress)

    def _under(self, strand: Strand, in_progress: bool) -> Pass | None:
        if strand.is_placed:
            return strand.under
        if strand.is_running:
            return strand.thread.top(below=strand)
        if strand.outer is not None:
            return strand.outer.top() or self._under(strand.outer, in_progress)
        return strand.under if strand.is_waiting or not in_progress else None

    # ---- passes ---------------------------------------------------------------------------------

    def enter(self, site: Site, strand: Strand, recorded: bool) -> Pass:
        """Open a pass on a strand that is running."""
        made = Pass(site, strand, self.now, recorded)
        self._place(strand)
        below = strand.top() or self._under(strand, in_progress=True)
        path = below.path if below is not None else ()
        # Recursion folds back onto the node that it came from.
        made.path = path[: path.index(site.name) + 1] if site.name in path else (*path, site.name)
        strand.passes.append(made)
        self.passes.append(made)
        strand.thread.has_entered |= recorded
        return made

    def _place(self, strand: Strand) -> None:
        """Something is about to lie on a context: it begins where it was entered, if nothing does yet."""
        if strand.kind == "context" and not strand.is_placed:
            strand.under = strand.thread.top(below=strand)

    def innermost(self, site: Site, strand: Strand) -> Any:
        """The pass that leaving a block on a strand ends."""
        return next((p for p in reversed(strand.passes) if p.site == site), None)

    def leave(self, p: Pass, left_by: str = "") -> None:
        """End a pass; what lay on it lies on what it lay on."""
        below = self.below(p) if p.counts else None
        for strand in self.strands:
            if strand.under is p:
                strand.under = below
        p.end, p.ended_on, p.left_by = self.now, p.strand.thread, left_by
        p.duration, p.is_clamped = max(0, self.now - p.start), self.now < p.start
        p.strand.passes.remove(p)

    def clear(self) -> None:
        """Forget every pass; those that are open will not be recorded."""
        for p in self.passes:
            p.dropped = True
        for strand in self.strands:
            strand.under = None
            strand.thread.has_entered = False
        self.passes = [p for p in self.passes if p.end is None]

    # ---- strands --------------------------------------------------------------------------------

    def resume(self, strand: Strand, thread: Thread) -> None:
        """Link a strand on what is running on a thread, which is its thread from now on."""
        if strand.thread is not thread:  # what lies on it does not come along
            for other in self.strands:
                other.under = None if other.under in strand.passes else other.under
        strand.thread = thread
        strand.is_running, strand.is_waiting = True, False
        thread.stack.append(strand)
        thread.has_entered |= any(p.counts for p in strand.passes)
        if strand not in self.strands:
            self.strands.append(strand)

    def suspend(self, strand: Strand, waiting: bool) -> None:
        """Unlink the innermost strand of its thread."""
        if not strand.is_placed:
            strand.under = strand.thread.top(below=strand)
        assert strand.thread.stack.pop() is strand
        strand.is_running, strand.is_waiting = False, waiting

    def end(self, strand: Strand) -> None:
        """Unlink the innermost strand of its thread for good; what it leaves open is its caller's."""
        assert strand.thread.stack.pop() is strand
        caller = strand.thread.stack[-1]
        if strand.passes:
            self._place(caller)
        for p in strand.passes:
            p.strand = caller
        caller.passes += strand.passes
        strand.passes = []
        strand.is_running = False
        if strand in self.strands:
            self.strands.remove(strand)

    def open_on(self, thread: Thread) -> Iterator[Pass]:
        """What is open on a thread, running or suspended."""
        return (p for p in self.passes if p.end is None and p.strand.thread is thread)
