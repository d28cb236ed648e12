"""Programs with generators, coroutines and asynchronous generators, played by the core and by its twin."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .avoiding import AvoidingProgram, has_elsewhere
from .defects import Setup
from .passes import Pass, Site
from .program import INLINE, KEPT, Player, Step
from .suspendable import FUNCTIONS, MOST_OPEN, DrivingWorker, Suspendable

# For each kind, the blocks that it may be tracked as, on tracks 0 and 1.
LAYERS = {kind: [Site(f"{kind} {track}", track) for track in (0, 1)] for kind in FUNCTIONS}

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


class SuspendingProgram(AvoidingProgram):
    """Plays steps of one thread at a time, all with one clock; leaves out what is undefined, or a known defect.

    :param setups: what there is to be suspended. A new one is made when the one before has ended.
    :param lifted: the name of a known defect which is not left out.
    :param passes_only: compare how many passes there were, and how long each took: not whose child each was.
    """

    worker_type = DrivingWorker

    def __init__(
        self,
        setups: list[Setup],
        has_context: bool = True,
        lifted: str | None = None,
        passes_only: bool = False,
    ) -> None:
        super().__init__(setups, has_context, lifted, passes_only)
        self.sites = self.sites + [site for sites in LAYERS.values() for site in sites]
        for kind in FUNCTIONS:
            self.tracked(kind, (0, 1))
        self.now = 0

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
                    (
                        thing.made.aclose().send(None)
                        if "async" in thing.kind
                        else thing.made.close()
                    )

    def step(self, kind: str, arguments: list[Any]) -> None:
        """Do one step, which takes no time, unless equal times are a known defect."""
        if self.avoids("equal times"):
            self._pass_time(1)
        if kind in ENTERING and self.is_left_elsewhere(self.player(arguments[0]).twin):
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
        """Let the thread end; what was entered by hand on it can be left no more."""
        if thread not in self.players:
            return
        twin = self.players[thread].twin
        super().end(thread)
        for number, p in list(self.by_hand.items()):
            if p.thread is twin and (p.flow is not None or not p.recorded):
                del self.by_hand[number]

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
        is_confused = self.avoids("entered while off") and self.held_unrecorded(site)
        if self.is_on(site) and is_confused:
            return
        entered = twin.enter(site) if self.is_on(site) else self._unrecorded(player, site)
        player.worker.do("inline", number)
        player.levels.append(lambda: twin.leave_block(entered))

    def enter(self, thread: int, number: int) -> None:
        """Enter a kept block by hand, once."""
        player = self.player(thread)
        if number not in self.by_hand:
            player.worker.do("enter", number)
            site = KEPT[number]
            is_on = self.is_on(site)
            self.by_hand[number] = (
                player.twin.enter(site) if is_on else self._unrecorded(player, site)
            )

    def _unrecorded(self, player: Player, site: Site, frame: Suspendable | None = None) -> Pass:
        player.twin.pass_by(site)
        return Pass(site, self.now, False, frame, player.twin)

    def leave(self, thread: int, number: int) -> None:
        """Leave a kept block where it is open."""
        player = self.player(thread)
        p = self.by_hand.get(number)
        if p is None or p.thread is not player.twin:
            return
        if p.recorded and p.flow is not player.twin.flow:
            return
        player.worker.do("leave", number)
        del self.by_hand[number]
        player.twin.leave_block(p)

    def run(self, thread: int, number: int) -> None:
        """Enter a context; the steps that follow are done in it."""
        twin = self.player(thread).twin
        if (
            self.avoids("context entered with some aside")
            and twin.running.keys() & twin.aside.keys()
        ):
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
        thing = self.available(player, number, how)
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
        if not all(self.may_suspend(player, run) for each in chain for run in each.runs):
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
        if self.avoids("one block twice in one body") and has_elsewhere(thing, site, twin):
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
        if thing is not None and thing.open:
            player.worker.do("shut")
            self._leave_own(player, thing.open.pop())

    def delegate(self, thread: int, number: int) -> None:
        """Have what is running innermost wait for another."""
        player = self.player(thread)
        _, thing = self._innermost(player)
        if thing is None or thing.kind == "asynchronous":
            return
        self.make(thread, number)
        inner = self.available(player, number, "resume")
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
        else:
            player.worker.do("return")
            self.has_ended(player, thing)
            if thing is level.first:
                player.levels.pop()

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
        thing = self.available(player, number, how)
        if thing is None:
            return
        if how == "abandon" and not thing.touched:
            how = "close"  # a coroutine that nobody awaited would complain
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
            player.twin.take_over(p)
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
