"""Programs with generators, coroutines and asynchronous generators, played by the core and by its twin."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from contextlib import suppress
from typing import Any

from .figures import Figures, figures
from .observed import differences, observed_figures
from .passes import Flow, Pass, Site, Thread
from .program import INLINE, KEPT, Player, Program, Step
from .suspendable import FUNCTIONS, DrivingWorker, Suspendable

# For each kind, the blocks that it may be tracked as, on tracks 0 and 1.
LAYERS = {kind: [Site(f"{kind} {track}", track) for track in (0, 1)] for kind in FUNCTIONS}

# A kind, and as which of its blocks it is tracked, outermost first.
Setup = tuple[str, tuple[int, ...]]

MOST_OPEN = 4  # `with` statements of one body

# Steps of a thread that enter something.
ENTERING = {"call", "inline", "enter", "open", "make", "resume", "nudge", "delegate"}
ENTERING |= {"close", "cancel", "abandon"}  # a tracked one runs once more


class Level:
    """What a thread resumed, with what that waits for; called when all of it ends at once."""

    def __init__(self, program: SuspendingProgram, player: Player, first: Suspendable) -> None:
        self.program = program
        self.player = player
        self.first = first

    def __call__(self) -> None:
        for thing in reversed(self.first.chain()):
            self.program.has_ended(self.player, thing)


class WatchedThread(Thread):
    """A twin that notes which known defects, that make totals wrong, it may have met."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.met: set[str] = set()
        self.beside: set[Pass] = set()  # those that were open when something was put aside or brought back

    def leave(self, left: Pass) -> None:
        """Close a pass: others may be taken for uncovered, unless it just leaves as it came."""
        is_usual = left.flow.open[-1] is left and left not in self.beside and not left.flows
        seen = [None, self.flow, *self.aside.values()]
        for p in self.open_passes() if not is_usual else ():
            if any(p in other.chain() for other in p.in_any.by):
                self.met.add("nested in what was brought back onto it")
            is_aside = self.aside.get(p.frame) is p.flow and p.frame is not None
            if is_aside and any(other.flow not in seen for other in p.in_any.by):
                self.met.add("put aside of a context within a block")
        super().leave(left)

    def _put_aside(self, group: list[Pass], flow: Flow) -> None:
        super()._put_aside(group, flow)
        self.beside.update(flow.open)

    def _bring_back(self, group: list[Pass], context: Hashable) -> None:
        super()._bring_back(group, context)
        self.beside.update(self.flows[context].open)

    def _place(self, p: Pass) -> None:
        super()._place(p)
        aside = {other for flow in self.aside.values() for other in flow.open}
        if self.flow.on is not None and p.in_track.by & aside:
            self.met.add("begun beside what is aside, in a context within a block")


class SuspendingProgram(Program):
    """Plays steps of one thread at a time, all with one clock; leaves out what is undefined, or a known defect.

    :param setups: what there is to be suspended. A new one is made when the one before has ended.
    :param defects: names of defects in the core: steps that meet one of these are left out.
    """

    worker_type = DrivingWorker
    twin_type = WatchedThread

    def __init__(
        self, setups: list[Setup], has_context: bool = True, defects: Collection[str] = ()
    ) -> None:
        super().__init__(has_context=has_context)
        self.setups = setups
        self.defects = defects
        self.sites = self.sites + [site for sites in LAYERS.values() for site in sites]
        for kind in FUNCTIONS:
            self.tracked(kind, (0, 1))
        self.things: dict[int, Suspendable] = {}
        self.by_hand: dict[int, Pass] = {}  # kept blocks that are open, at most one pass of each
        self.twins: list[Thread] = []
        self.now = 0
        self.is_comparable = True

    def tracked(self, kind: str, layers: tuple[int, ...]) -> Any:
        """A function that gives a new one of a kind."""
        function = FUNCTIONS[kind]
        for layer in reversed(layers):
            site = LAYERS[kind][layer]
            function = self.profiler.track(site.track, site.name)(function)
        return function

    def play(self, steps: list[Step]) -> None:
        """Do all steps, and compare at the end, when all that is suspended has ended, and when all threads have."""
        try:
            for kind, *arguments in steps:
                self.step(kind, arguments)
            self.check()
            for number in self.things:
                self.step("close", [0, number])
            self.check()
            self.end_all()
            self.check()
        finally:
            self.end_all()
            for thing in self.things.values():
                with suppress(BaseException):
                    (thing.made.aclose().send(None) if "async" in thing.kind else thing.made.close())

    def step(self, kind: str, arguments: list[Any]) -> None:
        """Do one step, which takes no time, unless equal times are a known defect."""
        if "equal times" in self.defects:
            self._pass_time(1)
        if kind in ENTERING and self._is_left_elsewhere(self.player(arguments[0]).twin):
            return
        super().step(kind, arguments)

    # ---- time and threads -----------------------------------------------------------------------

    def player(self, number: int) -> Player:
        """The thread of a number, with its clock at the time of all."""
        is_new = number not in self.players
        player = super().player(number)
        if is_new:
            self.twins.append(player.twin)
            player.twin.now = self.now
        if player.shown != self.now:
            player.shown = self.now
            player.worker.do("tick", self.now)
        return player

    def _pass_time(self, step: int) -> None:
        self.now += step
        for twin in self.twins:
            twin.now = self.now

    def tick(self, thread: int, step: int) -> None:
        """Let time pass, on all threads."""
        self._pass_time(step)

    def end(self, thread: int) -> None:
        """Let the thread end, if all that is running on it can."""
        if thread not in self.players:
            return
        player = self.players[thread]
        if self._may_end(thread, player, len(player.levels)):
            super().end(thread)
            for number, p in list(self.by_hand.items()):
                if p.thread is player.twin and (p.flow is not None or not p.recorded):
                    del self.by_hand[number]

    def end_all(self) -> None:
        """Let all threads end; figures are not compared any more if what is running could not end on its own."""
        super().end_all()
        if self.players:
            self.is_comparable = False
            self.defects = ()
            for thread in list(self.players):
                super().end(thread)

    def check(self) -> None:
        """Compare everything that results say."""
        if self.is_comparable:
            super().check()

    def clear(self) -> None:
        """Forget what is recorded, and drop what is suspended as well."""
        super().clear()
        for thing in self.things.values():
            for p in (*thing.runs, *thing.open, *thing.inside):
                p.drop()

    # ---- blocks and calls -----------------------------------------------------------------------

    def inline(self, thread: int, number: int) -> None:
        """Begin a `with` statement; the steps that follow are done in it."""
        player = self.player(thread)
        twin, site = player.twin, INLINE[number]
        if self.is_on(site):
            if "entered while off" in self.defects and self._held_unrecorded(site):
                return
        elif "off above suspended" in self.defects and twin.suspended(twin.flow):
            return
        player.worker.do("inline", number)
        entered = twin.enter(site) if self.is_on(site) else self._unrecorded(player, site)
        player.levels.append(lambda: twin.leave_block(entered))

    def enter(self, thread: int, number: int) -> None:
        """Enter a kept block by hand, once."""
        player = self.player(thread)
        if number not in self.by_hand:
            player.worker.do("enter", number)
            site = KEPT[number]
            is_on = self.is_on(site)
            self.by_hand[number] = player.twin.enter(site) if is_on else self._unrecorded(player, site)

    def _unrecorded(self, player: Player, site: Site, frame: Suspendable | None = None) -> Pass:
        player.twin.pass_by(site)
        return Pass(site, self.now, False, frame, player.twin)

    def leave(self, thread: int, number: int) -> None:
        """Leave a kept block where it is open."""
        player = self.player(thread)
        p = self.by_hand.get(number)
        if p is None or p.thread is not player.twin:
            return
        if p.recorded and (p.flow is not player.twin.flow or self._is_under_a_run(p)):
            return
        player.worker.do("leave", number)
        del self.by_hand[number]
        player.twin.leave_block(p)

    def run(self, thread: int, number: int) -> None:
        """Enter a context; the steps that follow are done in it."""
        twin = self.player(thread).twin
        if "context entered above suspended" in self.defects and twin.suspended(twin.flow):
            return
        if "context entered with some aside" in self.defects and twin.running.keys() & twin.aside.keys():
            return
        super().run(thread, number)

    # ---- steps of what can be suspended ---------------------------------------------------------

    def make(self, thread: int, number: int) -> None:
        """Make a new one, if there is none that has not ended."""
        player = self.player(thread)
        if number >= len(self.setups) or (number in self.things and not self.things[number].over):
            return
        kind, layers = self.setups[number]
        sites = [LAYERS[kind][layer] for layer in layers]
        thing = Suspendable(kind, [site for site in sites if self.is_on(site)])
        player.worker.do("make", thing, layers)
        self.things[number] = thing
        if kind == "returned":  # its passes begin with the call
            self._resume_runs(player, thing)
            self._suspend_runs(player, thing)

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
        thing = self._available(player, number, how)
        if thing is not None:
            player.worker.do(how, thing)
            self._has_resumed(player, thing)
            player.levels.append(Level(self, player, thing))

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
        if not all(self._may_suspend(player, run) for each in chain for run in each.runs):
            return
        player.worker.do(how)
        thing.waiting = how == "wait"
        for each in reversed(chain):
            del player.twin.running[each]
            each.running = False
            self._suspend_runs(player, each)
        if is_given:
            self._part(thing)
        else:
            player.levels.pop()

    def open(self, thread: int, number: int) -> None:
        """Have what is running innermost enter a `with` statement of its own."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        twin, site = player.twin, INLINE[number]
        if thing is None or len(thing.open) == MOST_OPEN:
            return
        if not self.is_on(site) and any(p.site == site for p in twin.open_passes()):
            return
        player.worker.do("open", number)
        is_on = self.is_on(site)
        thing.open.append(
            twin.enter(site, frame=thing) if is_on else self._unrecorded(player, site, thing)
        )

    def shut(self, thread: int) -> None:
        """Have what is running innermost leave its innermost `with` statement."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is not None and thing.open and not self._is_under_a_run(thing.open[-1]):
            player.worker.do("shut")
            self._leave_own(player, thing.open.pop())

    def delegate(self, thread: int, number: int) -> None:
        """Have what is running innermost wait for another."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is None or thing.kind == "asynchronous":
            return
        self.make(thread, number)
        inner = self._available(player, number, "resume")
        if inner is None or (thing.kind == "generator") != (inner.kind == "generator"):
            return
        if inner.waiting or (inner.kind in ("coroutine", "returned") and inner.touched):
            return
        player.worker.do("delegate", inner)
        thing.inner, inner.outer = inner, thing
        self._has_resumed(player, inner)

    def ret(self, thread: int) -> None:
        """End what is running innermost, or the innermost call, `with` or context."""
        player = self.player(thread)
        level, thing = self._innermost(player)
        if thing is None:
            super().ret(thread)
        elif self._can_settle(thread, player, [thing]):
            player.worker.do("return")
            self.has_ended(player, thing)
            if thing is level.first:
                player.levels.pop()

    def throw(self, thread: int, levels: int) -> None:
        """Raise an exception that is caught so many levels further out."""
        if self._may_end(thread, self.player(thread), levels):
            super().throw(thread, levels)

    def close(self, thread: int, number: int) -> None:
        """Close something that is suspended."""
        self._finish(thread, number, "close")

    def cancel(self, thread: int, number: int) -> None:
        """Throw an exception into something that is suspended, which ends by it."""
        self._finish(thread, number, "cancel")

    def abandon(self, thread: int, number: int) -> None:
        """Let go of something that is suspended, or make and forget it."""
        self._finish(thread, number, "abandon")

    def _finish(self, thread: int, number: int, how: str) -> None:
        player = self.player(thread)
        thing = self._available(player, number, how)
        if thing is None:
            return
        if how == "abandon" and not thing.touched:
            how = "close"  # a coroutine that nobody awaited would complain
        if not self._can_settle(thread, player, thing.chain()):
            return
        player.worker.do(how, thing)
        if thing.started:
            chain = thing.chain()
            self._has_resumed(player, thing)
            for each in reversed(chain):
                self.has_ended(player, each)
        thing.over = True

    # ---- what the twin does ---------------------------------------------------------------------

    def _innermost(self, player: Player) -> Any:
        """What a thread resumed last, if it is in nothing else, and what is running of that."""
        level = player.levels[-1] if player.levels else None
        return (level, level.first.chain()[-1]) if isinstance(level, Level) else (None, None)

    def _resume_runs(self, player: Player, thing: Suspendable) -> None:
        if not thing.started:
            thing.started = True
            thing.runs = [Pass(site, self.now) for site in thing.layers if self.is_on(site)]
        for run in thing.runs:
            player.twin.resume(run, thing.inside if run is thing.runs[-1] else [])
        thing.inside = []

    def _suspend_runs(self, player: Player, thing: Suspendable) -> None:
        for run in reversed(thing.runs):
            inside = player.twin.suspend(run)
            thing.inside = inside if run is thing.runs[-1] else thing.inside

    def _has_resumed(self, player: Player, first: Suspendable) -> None:
        for thing in first.chain():
            self._resume_runs(player, thing)
            player.twin.go_into(thing)
            thing.touched = thing.running = True

    def _leave_own(self, player: Player, p: Pass) -> None:
        """A body leaves a `with` statement, perhaps on another thread than it entered it on."""
        if p.recorded and p.thread is not player.twin:
            player.twin.take_over(p, p.thread)
        else:
            player.twin.leave_block(p)

    def has_ended(self, player: Player, thing: Suspendable) -> None:
        """A body has come to its end, and left what it had open."""
        while thing.open:
            self._leave_own(player, thing.open.pop())
        del player.twin.running[thing]
        for run in reversed(thing.runs):
            player.twin.end(run)
            for twin in self.twins:
                twin.forget(run)
        thing.running, thing.over = False, True
        self._part(thing)

    def _part(self, thing: Suspendable) -> None:
        if thing.outer is not None:
            thing.outer.inner = thing.outer = None

    # ---- what is left out -----------------------------------------------------------------------

    def _available(self, player: Player, number: int, how: str) -> Suspendable | None:
        """What has a number, if it can be resumed or ended now, here, in that way."""
        thing = self.things.get(number)
        if thing is None or thing.running or thing.over or thing.outer is not None:
            return None
        chain = thing.chain()
        if thing.kind == "asynchronous" and not thing.started and how in ("close", "cancel"):
            if thing.layers and "closed before its first step" in self.defects:
                return None
        is_waiting = any(each.kind == "asynchronous" and each.waiting for each in chain)
        if is_waiting and how in ("close", "abandon"):
            return None  # what closing the step of one does differs from version to version
        if how != "resume" and "ended through another" in self.defects:
            if any(each.open for each in chain[:-1]):
                return None
        if how == "abandon" and "dropped by no loop" in self.defects:
            if any(each.kind == "asynchronous" and each.layers for each in chain):
                return None
        if "off above suspended" in self.defects and player.twin.suspended(player.twin.flow):
            if any(run.dropped for each in chain for run in each.runs):
                return None
        if "dropped in a context on a base" in self.defects and player.twin.lies_on_base():
            if any(run.dropped for each in chain for run in each.runs):
                return None
        here = all(self._may_be_left_here(player.twin, p) for each in chain for p in each.open)
        return thing if here else None

    def _may_be_left_here(self, twin: Thread, p: Pass) -> bool:
        """Whether a body that has a pass open can run on a thread, in the context that it is in."""
        others = [other for other in twin.open_passes() if other.site == p.site and other is not p]
        if not p.recorded:
            return "entered while off" not in self.defects or all(other.frame for other in others)
        if p.flow is None:
            return p in p.frame.inside  # else: suspended with what another one waits for
        if p.thread is not twin:
            if "left where others are open" in self.defects and others:
                return False
            if "left elsewhere with children" in self.defects and (p.child or p.idle):
                return False
            if "one block twice in one body" in self.defects and p.thread not in self._living():
                if sum(other.site == p.site for other in p.frame.open) > 1:
                    return False
            return p.dropped or self._is_apart(p)
        if p.flow is not twin.flow and p.flow is not twin.aside.get(p.frame):
            if "resumed in another context" in self.defects:
                return False
        if "one block in a body and above it" in self.defects and p.flow is twin.flow:
            if any(other.frame is None for other in others if p in other.chain()):
                return False
        return not self._is_under_a_run(p)

    def _living(self) -> list[Thread]:
        return [player.twin for player in self.players.values()]

    def _is_apart(self, p: Pass) -> bool:
        """Whether nothing on its thread will notice when a pass is left elsewhere."""
        thread = p.thread
        if thread not in self._living():
            return True
        is_based = any(flow.on is p for flow in thread.all_flows())
        is_covering = any(p in q.in_any.by and q.frame is not p.frame for q in thread.open_passes())
        is_aside = p.flow is thread.aside.get(p.frame) or p.under is None
        return is_aside and not is_based and not is_covering

    def _is_left_elsewhere(self, twin: Thread) -> bool:
        """Whether something that is open on a thread may be left on another any moment."""
        return any(
            thing.running and thing not in twin.running and p.recorded and p.thread is twin
            for thing in self.things.values()
            for p in thing.open
        )

    def _held_unrecorded(self, site: Site) -> bool:
        return any(
            p.site == site and not p.recorded for thing in self.things.values() for p in thing.open
        )

    def _runs(self) -> Iterator[Pass]:
        """All passes of tracked generators and coroutines that are running."""
        for thing in self.things.values():
            yield from (run for run in thing.runs if run.flow is not None)

    def _is_under_a_run(self, p: Pass) -> bool:
        """Whether the leaving of a pass makes a difference for that of what is running, and that is a known defect."""
        if "left under one that runs" not in self.defects or not p.counts:
            return False
        return any(
            p in run.in_any.by
            or (run.flow is p.flow and run.flow.open.index(run) > run.flow.open.index(p))
            for run in self._runs()
        )

    def _may_suspend(self, player: Player, run: Pass) -> bool:
        flow = run.flow
        above = flow.open[flow.open.index(run) + 1 :]
        if "suspended after another context" in self.defects and flow is not player.twin.last:
            return False
        if "begun after a clear" in self.defects and run.dropped and any(p.counts for p in above):
            return False
        return "nested in one that is suspended" not in self.defects or not self._covered(run, above)

    def _covered(self, run: Pass, but: Collection[Pass]) -> list[Pass]:
        """What is open, and nested in a run, but for some."""
        return [
            p
            for twin in self.twins
            for p in twin.open_passes()
            if run in p.in_any.by and p not in but and p not in self._runs()
        ]

    def _may_end(self, thread: int, player: Player, levels: int) -> bool:
        """Whether so many levels of a thread can end at once."""
        inner = player.levels[-levels:] if levels else []
        things = [t for level in inner if isinstance(level, Level) for t in level.first.chain()]
        return self._can_settle(thread, player, things)

    def _can_settle(self, thread: int, player: Player, things: list[Suspendable]) -> bool:
        """Have what would stay open in tracked generators that end be left first; whether it could be."""
        if "left open at the end" not in self.defects:
            return True
        for _ in range(2):
            left = [p for thing in things for run in thing.runs for p in self._staying(run, things)]
            if not left:
                return True
            for p in left:
                self._have_left(thread, p)
        return False

    def _staying(self, run: Pass, things: list[Suspendable]) -> list[Pass]:
        """What would stay open when a run ends."""
        above = run.flow.open[run.flow.open.index(run) + 1 :] if run.flow else []
        inside = [p for thing in things for p in thing.inside]
        return [
            p
            for p in dict.fromkeys([*above, *inside, *self._covered(run, ())])
            if (p.frame is not None and p.frame not in things) or p in self.by_hand.values()
        ]

    def _have_left(self, thread: int, p: Pass) -> None:
        for number in [n for n, other in self.by_hand.items() if other is p]:
            self.leave(thread, number)
        for number in [n for n, thing in self.things.items() if thing is p.frame]:
            self.close(thread, number)

    # ---- comparison -----------------------------------------------------------------------------

    def _compare(self, found: Any, twins: list[Thread]) -> None:
        expected, observed = figures(twins, self.sites), observed_figures(found)
        if "active while partly nested" in self.defects:
            for p in (p for twin in twins for p in twin.finished if p.idle and (p.in_site or p.in_site.time)):
                block = expected.blocks[p.site.name]
                observed.blocks[p.site.name] = observed.blocks[p.site.name]._replace(active=block.active)
        if any(defect in self.defects for twin in self.twins for defect in twin.met):
            expected, observed = without_totals(expected), without_totals(observed)
        assert observed == expected, differences(observed, expected)


def without_totals(found: Figures) -> Figures:
    """The same figures, but for those in which time counts once."""
    return found._replace(
        blocks={name: block._replace(total=0, active=0) for name, block in found.blocks.items()},
        tracks={},
        total=0,
        tree={path: node._replace(total=0) for path, node in found.tree.items()},
    )
