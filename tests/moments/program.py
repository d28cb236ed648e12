"""Programs of small steps, each played on the core and on its model, and a comparison of all their figures."""

from __future__ import annotations

import sysconfig
import time
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from stichotrope import Profiler, _core
from stichotrope.metrics import Counter, Histogram, MetricRegistry
from stichotrope.results import ProfilerResults

from .model import Model, Pass, Site, Strand, Thread
from .tables import beyond, defined, differences, observed, only_passes
from .worker import (
    CALLS,
    FILLERS,
    FUNCTIONS,
    INLINE,
    KEPT,
    LAYERS,
    MOST_OPEN,
    WATCHDOG_SECONDS,
    Step,
    Thing,
    Worker,
    plain,
)

HAS_GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")

# A kind, and as which of its blocks it is tracked, outermost first.
Setup = tuple[str, tuple[int, ...]]

BODIES = ("generator", "coroutine")  # kinds of strands
SITES = [*CALLS, *INLINE, *KEPT, *(site for sites in LAYERS.values() for site in sites)]


class Settings(NamedTuple):
    """What a program is played with.

    :param has_context: whether threads have a context of their own from the beginning.
    :param has_fillers: whether there are more tracks than usual, before the others.
    :param retain_threads: how many ended threads keep a line of their own.
    :param max_nodes: of a thread's tree: with fewer than usual, trees are not compared.
    :param only_tracked: whether only bodies that are tracked may be suspended with anything open.
    :param by_code: whether functions are tracked by their code.
    """

    has_context: bool = True
    has_fillers: bool = False
    retain_threads: int = 1024
    max_nodes: int = 65_536
    only_tracked: bool = False
    by_code: bool = False


class DifferenceError(AssertionError):
    """Results are not what they are defined to be."""


class Player:
    """A worker, its thread in the model, and the levels that both are in, outermost first."""

    def __init__(self, program: Program, name: str) -> None:
        self.worker = Worker(program, name)
        self.thread = Thread(name)
        # Each is told how it ends: "" or "error".
        self.levels: list[Callable[[str], None]] = []
        self.shown = 0  # on the worker's clock

    @property
    def strand(self) -> Strand:
        """The one that is running innermost."""
        return self.thread.stack[-1]


class Resumed:
    """The level of what a thread resumed; called when all of it ends at once."""

    def __init__(self, program: Program, player: Player, first: Thing) -> None:
        self.program = program
        self.player = player
        self.first = first

    def __call__(self, left_by: str) -> None:
        for thing in reversed(self.first.chain()):
            self.program.has_ended(thing, left_by)


class Program:
    """Plays steps on the core and on the model, leaving out those that make no sense where they stand.

    :param setups: what there is to be suspended. A new one is made when the one before has ended.
    :param settings: what it is played with.
    """

    def __init__(self, setups: list[Setup], settings: Settings) -> None:
        self.setups = setups
        self.settings = settings
        self.model = Model()
        self.profiler = Profiler(
            "moments", retain_threads=settings.retain_threads, max_nodes=settings.max_nodes
        )
        self.sites = FILLERS * settings.has_fillers + SITES
        for site in FILLERS * settings.has_fillers + INLINE:
            self.inline_block(site)
        self.counter = Counter("moments_values", registry=MetricRegistry())
        self.histogram = Histogram("moments_sizes", registry=MetricRegistry())
        self.functions = [self.function(site, plain) for site in CALLS]
        self.blocks = [self.profiler.block(site.track, site.name) for site in KEPT]
        for kind in FUNCTIONS:
            for site in LAYERS[kind]:
                self.tracked(Thing(kind, [site]))
        self.things: dict[int, Thing] = {}
        self.players: dict[int, Player] = {}
        self.ended: list[Thread] = []  # those that recorded since the last clear(), oldest first
        self.made = 0
        self.busy: Player | None = None  # only one thread does steps at a time
        self.started = True
        self.disabled: set[int] = set()
        self.went_back = False  # the clock did: then sets of moments are not defined

    def inline_block(self, site: Site) -> Any:
        """A block as `with` gets it, new each time."""
        return self.profiler.block(site.track, site.name)

    def function(self, site: Site, bare: Any) -> Any:
        """A function that is tracked as a block."""
        tracked = self.profiler.track(site.track, site.name)(bare)
        if not self.settings.by_code:
            return tracked
        # Its code is its own, as no other is tracked by it.
        made = types.FunctionType(bare.__code__.replace(), bare.__globals__)
        assert _core.track_code(self.profiler, made.__code__, _core.marked(tracked)[1])
        return made

    def tracked(self, thing: Thing) -> Any:
        """A function that gives a new one of a kind."""
        function = FUNCTIONS[thing.kind]
        if self.settings.by_code:
            return self.function(thing.layers[0], function) if thing.layers else function
        for site in reversed(thing.layers):
            function = self.profiler.track(site.track, site.name)(function)
        return function

    # ---- playing --------------------------------------------------------------------------------

    def play(self, steps: list[Step]) -> None:
        """Do all steps, and compare when all that is open has been left, and when all threads have ended."""
        try:
            for kind, *arguments in steps:
                getattr(self, kind)(*arguments)
            self.leave_everything()
            self.check()
            for number in list(self.players):
                self.end(number)
            self.check()
        finally:
            self._release()

    def _release(self) -> None:
        for player in self.players.values():
            with suppress(BaseException):
                player.worker.do("raise", 1_000_000)
                player.worker.end()
        for thing in self.things.values():
            with suppress(BaseException):
                made = thing.made
                made.aclose().send(None) if thing.kind == "asynchronous" else made.close()

    def leave_everything(self) -> None:
        """Leave all that is open, on each thread and in each context that has anything open."""
        for number in list(self.players):
            self.throw(number, 1_000_000)
        for number in list(self.things):
            for thread in list(self.players)[:1]:
                self.cancel(thread, number)
        for number, player in list(self.players.items()):
            self._leave_by_hand(number, player)
            for context in list(player.thread.contexts):
                self.run(number, context)
                self._leave_by_hand(number, player)
                self.ret(number)

    def _leave_by_hand(self, number: int, player: Player) -> None:
        for p in reversed(player.strand.passes.copy()):
            self.leave(number, KEPT.index(p.site))

    def player(self, number: int) -> Player:
        """The thread of a number, its clock at the time of all: a new one at first, and after its end."""
        if number not in self.players:
            self.made += 1
            self.players[number] = Player(self, f"moments {self.made}")
        player = self.players[number]
        if player is not self.busy:
            self.settle()
            self.busy = player
        if player.shown != self.model.now:
            player.shown = self.model.now
            player.worker.do("tick", self.model.now)
        return player

    def settle(self) -> None:
        """Wait until all steps are done."""
        for player in self.players.values():
            player.worker.settle()

    def is_on(self, site: Site) -> bool:
        """Whether a pass of the site that begins now is recorded."""
        return self.started and site.track not in self.disabled

    def tick(self, thread: int, step: int) -> None:
        """Let time pass, on all threads, or the clock go back."""
        self.model.advance(step)
        self.went_back |= step < 0

    # ---- blocks and calls -----------------------------------------------------------------------

    def _enter(self, player: Player, site: Site) -> Pass:
        return self.model.enter(site, player.strand, self.is_on(site))

    def _level(self, player: Player, kind: str, number: int, site: Site) -> None:
        p = self._enter(player, site)
        p.is_level = True
        strand = p.strand
        player.worker.do(kind, number)
        player.levels.append(lambda left_by: self._leave(strand, site, left_by))

    def _leave(self, strand: Strand, site: Site, left_by: str) -> None:
        """A level ends: with it the innermost pass of its block, also one that was entered by hand."""
        innermost = self.model.innermost(site, strand)
        if not innermost.is_level:
            [p for p in strand.passes if p.site == site and p.is_level][-1].is_level = False
        self.model.leave(innermost, left_by)

    def call(self, thread: int, number: int) -> None:
        """Call a tracked function; the steps that follow are done in it."""
        self._level(self.player(thread), "call", number, CALLS[number])

    def inline(self, thread: int, number: int) -> None:
        """Begin a `with` statement; the steps that follow are done in it."""
        self._level(self.player(thread), "inline", number, INLINE[number])

    def hold(self, thread: int, number: int) -> None:
        """Begin a `with` statement of a kept block; the steps that follow are done in it."""
        self._level(self.player(thread), "hold", number, KEPT[number])

    def enter(self, thread: int, number: int) -> None:
        """Enter a kept block by hand."""
        player = self.player(thread)
        player.worker.do("enter", number)
        self._enter(player, KEPT[number])

    def leave(self, thread: int, number: int) -> None:
        """Leave a kept block by hand, where it is open."""
        player = self.player(thread)
        found = self.model.innermost(KEPT[number], player.strand)
        if found is not None and not found.is_level:  # a `with` statement's own is left by that
            player.worker.do("leave", number)
            self.model.leave(found)

    def say(self, thread: int, number: int, items: int) -> None:
        """Have the innermost pass of a kept block say how much goes through it, where it is open."""
        player = self.player(thread)
        found = self.model.innermost(KEPT[number], player.strand)
        if found is not None:
            player.worker.do("say", number, items)
            found.items[player.thread] += items

    def count(self, thread: int, value: int) -> None:
        """Count and observe something, whatever is open."""
        self.player(thread).worker.do("count", value)
        self.model.counted.append(value)

    def leave_in_vain(self, thread: int, number: int) -> None:
        """Leave a kept block by hand where it is open nowhere, recorded or not."""
        player = self.player(thread)
        if not any(p.site == KEPT[number] for p in self.model.open_on(player.thread)):
            player.worker.do("leave_in_vain", number)

    def run(self, thread: int, number: int) -> None:
        """Enter a context; the steps that follow are done in it."""
        player = self.player(thread)
        contexts = player.thread.contexts
        strand = contexts.setdefault(number, Strand("context", player.thread))
        if not strand.is_running:
            player.worker.do("run", number)
            self.model.resume(strand, player.thread)
            player.levels.append(lambda left_by: self.model.suspend(strand, waiting=True))

    def ret(self, thread: int) -> None:
        """End what is running innermost: a body, a call, a `with` statement or a context."""
        player = self.player(thread)
        level, thing = self._innermost(player)
        if thing is not None:
            player.worker.do("return")
            self.has_ended(thing, "")
            if thing is level.first:
                player.levels.pop()
        elif player.levels:
            player.worker.do("return")
            player.levels.pop()("")

    def throw(self, thread: int, levels: int) -> None:
        """Raise an exception that is caught so many levels further out."""
        player = self.player(thread)
        levels = min(levels, len(player.levels))
        if levels:
            player.worker.do("raise", levels)
            for _ in range(levels):
                player.levels.pop()("error")

    def end(self, thread: int) -> None:
        """Let a thread end, by an exception if it is in anything; what was entered by hand never ends."""
        if thread not in self.players or self._has_suspended(self.players[thread].thread):
            return
        self.throw(thread, 1_000_000)
        player = self.player(thread)
        self.settle()
        del self.players[thread]
        player.worker.end()
        player.thread.has_ended = True
        if player.thread.has_entered:
            self.ended.append(player.thread)
            self._await_end(player.thread.name)

    def _has_suspended(self, thread: Thread) -> bool:
        """Whether anything that another thread may resume has something open there."""
        strands = (p.strand for p in self.model.open_on(thread))
        return any(s.kind in BODIES and not s.is_running for s in strands)

    def _await_end(self, name: str) -> None:
        """Wait until the system has taken the thread down: Python may say so a moment earlier."""
        deadline = time.monotonic() + WATCHDOG_SECONDS
        while any(head[2] == name and not head[3] for head in self.profiler._snapshot().threads()):
            assert time.monotonic() < deadline, f"thread {name} was never seen to end"
            time.sleep(0)

    # ---- what can be suspended ------------------------------------------------------------------

    def make(self, thread: int, number: int) -> None:
        """Make a new one, if there is none that has not ended."""
        if number < len(self.setups) and (number not in self.things or self.things[number].over):
            player = self.player(thread)
            kind, layers = self.setups[number]
            thing = self.things[number] = Thing(kind, [LAYERS[kind][layer] for layer in layers])
            player.worker.do("make", thing)
            # Made while its track is off, it is the bare one.
            if not self.settings.by_code:  # of which that is asked when it begins
                thing.layers = [site for site in thing.layers if self.is_on(site)]
            if kind == "returned" and thing.layers:  # its passes begin with the call
                self._resume(player, thing)
                self.model.suspend(thing.strand, waiting=False)  # nobody awaits it yet

    def _available(self, player: Player, number: int, ends: bool = False) -> Thing | None:
        """What has a number, if it can be resumed, or ended, now and here."""
        thing = self.things.get(number)
        if thing is None or thing.is_running or thing.over or thing.outer is not None:
            return None
        # What closing one in the midst of a step does differs from version to version.
        return None if ends and any(each.waiting for each in thing.chain()) else thing

    def resume(self, thread: int, number: int) -> None:
        """Resume something; the steps that follow are done in it."""
        self.make(thread, number)
        self._go_on(thread, number, "resume")

    def nudge(self, thread: int, number: int) -> None:
        """Resume something by an exception that it catches."""
        thing = self.things.get(number)
        if thing is not None and thing.touched:
            self._go_on(thread, number, "nudge")

    def _go_on(self, thread: int, number: int, how: str) -> None:
        player = self.player(thread)
        thing = self._available(player, number)
        if thing is not None:
            player.worker.do(how, thing)
            self._has_resumed(player, thing)
            player.levels.append(Resumed(self, player, thing))

    def suspend(self, thread: int) -> None:
        """Have what is running innermost yield, or wait."""
        self._suspend(thread, "yield")

    def wait(self, thread: int) -> None:
        """Have an asynchronous generator wait in the midst of a step."""
        self._suspend(thread, "wait")

    def _suspend(self, thread: int, how: str) -> None:
        player = self.player(thread)
        level, thing = self._innermost(player)
        if thing is None or (how == "wait" and thing.kind != "asynchronous"):
            return
        is_given = thing.kind == "asynchronous" and how == "yield" and thing.outer is not None
        chain = [thing] if is_given else level.first.chain()
        if self.settings.only_tracked and any(
            each.strand.passes and not each.strand.is_tracked for each in chain
        ):
            return
        if not chain[0].strand.is_tracked and any(map(_began_by_hand, chain)):
            return
        player.worker.do(how)
        thing.waiting = how == "wait"
        if is_given:
            self._part(thing)
        for each in reversed(chain):
            is_step = each.kind == "asynchronous" and not thing.waiting
            self.model.suspend(each.strand, each.kind != "generator" and not is_step)
        if not is_given:
            player.levels.pop()

    def open(self, thread: int, number: int) -> None:
        """Have what is running innermost enter a `with` statement of its own."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is not None and thing.depth < MOST_OPEN:
            player.worker.do("open", number)
            thing.depth += 1
            self._enter(player, INLINE[number])

    def shut(self, thread: int) -> None:
        """Have what is running innermost leave its innermost `with` statement."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is not None and thing.depth:
            player.worker.do("shut")
            self._shut(thing, "")

    def _shut(self, thing: Thing, left_by: str) -> None:
        thing.depth -= 1
        self.model.leave([p for p in thing.strand.passes if p.site in INLINE][-1], left_by)

    def delegate(self, thread: int, number: int) -> None:
        """Have what is running innermost wait for another."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is None or thing.kind == "asynchronous":
            return
        self.make(thread, number)
        inner = self._available(player, number)
        if inner is None or (thing.kind == "generator") != (inner.kind == "generator"):
            return
        if inner.waiting or (inner.kind in ("coroutine", "returned") and inner.touched):
            return
        player.worker.do("delegate", inner)
        thing.inner, inner.outer = inner, thing
        self._has_resumed(player, inner)
        inner.strand.outer = thing.strand

    def close(self, thread: int, number: int) -> None:
        """Close something that is suspended."""
        self._finish(thread, number, "close", ends=True)

    def cancel(self, thread: int, number: int) -> None:
        """Throw an exception into something that is suspended, which ends by it."""
        self._finish(thread, number, "cancel")

    def abandon(self, thread: int, number: int) -> None:
        """Let go of something that is suspended."""
        # Without the GIL, the thread that made it is the one that drops it, when it next looks.
        self._finish(thread, number, "abandon" if HAS_GIL else "close", ends=True)

    def _finish(self, thread: int, number: int, how: str, ends: bool = False) -> None:
        player = self.player(thread)
        thing = self._available(player, number, ends)
        if thing is None:
            return
        if how == "abandon" and not thing.touched:
            how = "close"  # a coroutine that nobody awaited would complain
        player.worker.do(how, thing)
        if thing.strand is not None:
            self._has_resumed(player, thing)
            for each in reversed(thing.chain()):
                self.has_ended(each, "cancelled")
        thing.over = True

    # ---- what the model does of them ------------------------------------------------------------

    def _innermost(self, player: Player) -> Any:
        """What a thread resumed last, if it is in nothing else, and what is running of that."""
        level = player.levels[-1] if player.levels else None
        return (level, level.first.chain()[-1]) if isinstance(level, Resumed) else (None, None)

    def _has_resumed(self, player: Player, first: Thing) -> None:
        for thing in first.chain():
            thing.touched = True
            self._resume(player, thing)

    def _resume(self, player: Player, thing: Thing) -> None:
        if thing.strand is not None:
            self.model.resume(thing.strand, player.thread)
            return
        kind = "generator" if thing.kind == "generator" else "coroutine"
        thing.strand = Strand(kind, player.thread)
        self.model.resume(thing.strand, player.thread)
        for site in thing.layers:
            if self.is_on(site):
                self._enter(player, site)
        thing.strand.is_tracked = bool(thing.strand.passes)

    def has_ended(self, thing: Thing, left_by: str) -> None:
        """A body has come to its end, and left what it had open."""
        while thing.depth:
            self._shut(thing, left_by)
        for p in reversed(thing.strand.passes.copy()):
            if p.site not in KEPT:
                self.model.leave(p, left_by)
        self.model.end(thing.strand)
        thing.over = True
        self._part(thing)

    def _part(self, thing: Thing) -> None:
        if thing.outer is not None:
            thing.strand.outer = None
            thing.outer.inner = thing.outer = None

    # ---- steps of the program -------------------------------------------------------------------

    def clear(self) -> None:
        """Forget what is recorded."""
        self.settle()
        self.profiler.clear()
        self.model.clear()
        self.ended.clear()
        for player in self.players.values():
            player.thread.has_entered = False

    def start(self) -> None:
        """Switch everything on."""
        self.settle()
        self.profiler.start()
        self.started = True

    def stop(self) -> None:
        """Switch everything off."""
        self.settle()
        self.profiler.stop()
        self.started = False

    def switch(self, track: int, on: bool) -> None:
        """Switch one track."""
        self.settle()
        self.profiler.set_track_enabled(track, on)
        (self.disabled.discard if on else self.disabled.add)(track)

    # ---- comparison -----------------------------------------------------------------------------

    def look(self, thread: int) -> None:
        """Compare what a thread sees of all, wherever it is."""
        player = self.player(thread)
        player.worker.do("look")
        self.settle()
        self._compare_all(player.worker.seen)

    def check(self) -> None:
        """Compare what is seen from outside of all threads."""
        self.settle()
        _core.set_manual_ticks(self.model.now)
        self._compare_all(self.profiler.get_results())

    def _compare_all(self, results: Any) -> None:
        living = [player.thread for player in self.players.values() if player.thread.has_entered]
        most = self.settings.retain_threads
        kept = self.ended[max(0, len(self.ended) - most) :] + living
        folded = self.ended[: max(0, len(self.ended) - most)]
        expected = {thread.name: not thread.has_ended for thread in kept}
        got = {share.name: share.alive for share in results.threads if share.key}
        self._same("threads, and whether they are alive", got, expected)
        self._same("folded threads", results.metadata["folded_threads"], len(folded))
        by_name = {thread.name: thread for thread in kept}
        for share in results.threads:
            threads = [by_name[share.name]] if share.key else folded
            self._compare(share, threads, f"thread {share.name}: ")
        self._compare(results, folded + kept, "")
        clamped = sum(p.is_clamped and p.counts for p in self.model.passes)
        self._same("passes whose clock went back", _clamped(results), clamped)
        self._compare_metrics()

    def _compare_metrics(self) -> None:
        """What was counted has nothing to do with passes, with switches and with clears."""
        values = self.model.counted
        self._same("what was counted", self.counter.value, sum(values))
        found = self.histogram.summary()
        self._same("values observed", (found["count"], found["sum"]), (len(values), sum(values)))
        self._same("their least and greatest", (found["min"], found["max"]), (
            min(values, default=found["min"]), max(values, default=found["max"]),
        ))  # fmt: skip

    def _compare(self, found: Any, threads: list[Thread], whose: str) -> None:
        got, expected = observed(found), defined(self.model, threads, self.sites)
        if self.went_back:
            most = self.model.forward * len(threads)
            self._same("longer than the clock went forward", beyond(got, most), [])
            got, expected = only_passes(got), only_passes(expected)
        if self.settings.max_nodes != Settings().max_nodes:
            got, expected = got._replace(tree={}), expected._replace(tree={})
        if got != expected:
            raise DifferenceError(whose + differences(got, expected).replace("\n", "\n" + whose))

    def _same(self, what: str, got: object, expected: object) -> None:
        if got != expected:
            raise DifferenceError(f"{what}: got {got}, expected {expected}")


def _began_by_hand(thing: Thing) -> bool:
    """Whether the outermost pass of a body was entered by hand: nobody can tell that it is the body's own."""
    return bool(thing.strand.passes) and thing.strand.passes[0].site in KEPT


def _clamped(results: ProfilerResults) -> int:
    """How many passes were counted as none because the clock went back, as results say it."""
    counts = [text.split()[0] for text in results.metadata["warnings"] if "clock" in text]
    return sum(int(count.replace(",", "")) for count in counts)
