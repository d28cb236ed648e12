"""What programs with generators and coroutines leave out: what nothing defines, and known defects of the core."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Any

from .defects import DEFECTS, Setup
from .figures import Figures, figures
from .observed import differences, observed_figures
from .passes import Flow, Pass, Site, Thread
from .program import Player, Program
from .suspendable import Suspendable


class Level:
    """What a thread resumed, with what that waits for; called when all of it ends at once."""

    def __init__(self, program: AvoidingProgram, player: Player, first: Suspendable) -> None:
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
        self.beside: set[Pass] = set()  # open when something was put aside or brought back
        self.homes: dict[Flow, Flow] = {}  # what is put aside, and what it was put aside of

    def leave(self, left: Pass) -> None:
        """Close a pass: others may be taken for uncovered, unless it just leaves as it came."""
        assert left.flow is not None
        is_usual = left.flow.open[-1] is left and left not in self.beside and not left.flows
        seen = [None, self.flow, *self.aside.values()]
        for p in self.open_passes() if not is_usual else ():
            if any(p in other.chain() for other in p.in_any.by):
                self.met.add("nested in what was brought back onto it")
            # Also of one that was put aside, and has gone on in another context since.
            apart = p.in_any.by.difference(p.chain())
            if any(other.flow not in seen for other in apart):
                self.met.add("put aside of a context within a block")
        super().leave(left)

    def _put_aside(self, group: list[Pass], flow: Flow) -> None:
        super()._put_aside(group, flow)
        self.beside.update(flow.open)
        self.homes[self.aside[group[0].frame]] = flow

    def _bring_back(self, group: list[Pass], context: Hashable) -> None:
        super()._bring_back(group, context)
        self.beside.update(self.flows[context].open)

    def _place(self, p: Pass) -> None:
        super()._place(p)
        for aside in self.aside.values():
            is_known = self.homes[aside] is self.flow or not self.flow.open
            if p.in_track.by.intersection(aside.open) and (
                self.flow.on is not None or not is_known
            ):
                self.met.add("begun in another context than what is aside")


class AvoidingProgram(Program):
    """Knows which steps are to be left out.

    Nothing defines what becomes of a pass
    - that is suspended within a tracked generator, when its own generator is resumed without that one;
    - that is left on another thread, while something there lies on it, or is nested in it.

    :param setups: what there is to be suspended.
    :param lifted: the name of a known defect which is not to be left out.
    """

    twin_type = WatchedThread

    def __init__(self, setups: list[Setup], has_context: bool, lifted: str | None) -> None:
        super().__init__(has_context=has_context)
        self.setups = setups
        self.avoided = DEFECTS.keys() - {lifted}
        self.things: dict[int, Suspendable] = {}
        self.by_hand: dict[int, Pass] = {}  # kept blocks that are open, at most one pass of each
        self.twins: list[Thread] = []

    def has_ended(self, player: Player, thing: Suspendable) -> None:
        """A body has come to its end, and left what it had open."""
        raise NotImplementedError

    def avoids(self, defect: str) -> bool:
        """Whether what meets a defect is left out: it is known, and not what is looked for."""
        return defect in self.avoided

    def available(self, player: Player, number: int, how: str) -> Suspendable | None:
        """What has a number, if it can be resumed or ended now, here, in that way."""
        thing = self.things.get(number)
        if thing is None or thing.running or thing.over or thing.outer is not None:
            return None
        return None if self._is_left_out(player.twin, thing.chain(), how) else thing

    def _is_left_out(self, twin: Thread, chain: list[Suspendable], how: str) -> bool:
        """Whether something, with what it waits for, cannot be resumed or ended here, in that way."""
        steps = [each for each in chain if each.kind == "asynchronous"]
        is_dropped = any(run.dropped for each in chain for run in each.runs)
        return (
            # What closing one in the midst of a step does differs from version to version.
            (any(each.waiting for each in steps) and how in ("close", "abandon"))
            or (self.avoids("dropped by no loop") and how == "abandon" and is_tracked(steps))
            or (
                self.avoids("off above suspended")
                and is_dropped
                and bool(twin.suspended(twin.flow))
            )
            or (
                self.avoids("dropped in a context on a base") and is_dropped and twin.lies_on_base()
            )
            or not all(self._may_be_left_here(twin, p) for each in chain for p in each.open)
        )

    def _may_be_left_here(self, twin: Thread, p: Pass) -> bool:
        """Whether a body that has a pass open can run on a thread, in the context that it is in."""
        others = [other for other in twin.open_passes() if other.site == p.site and other is not p]
        by_calls = [other for other in others if other.frame is None]
        if not p.recorded:
            return not self.avoids("entered while off") or not by_calls
        if p.flow is None:
            return p in p.frame.inside
        if p.thread is not twin:
            return self._may_be_left_elsewhere(p, others)
        is_here = p.flow in (twin.flow, twin.aside.get(p.frame))
        is_under = any(p in other.chain() for other in by_calls)
        return not (
            (self.avoids("resumed in another context") and not is_here)
            or (
                self.avoids("one block in a body and above it") and p.flow is twin.flow and is_under
            )
            or self.is_under_a_run(p)
        )

    def _may_be_left_elsewhere(self, p: Pass, others: list[Pass]) -> bool:
        is_twice = sum(other.site == p.site for other in p.frame.open) > 1
        has_ended = p.thread not in self._living()
        return not (
            (self.avoids("left elsewhere with children") and (p.child or p.idle))
            or (self.avoids("one block twice in one body") and is_twice and has_ended)
            or not (p.dropped or self._is_apart(p))
        )

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

    def is_left_elsewhere(self, twin: Thread) -> bool:
        """Whether something that is open on a thread may be left on another any moment."""
        return any(
            thing.running and thing not in twin.running and p.recorded and p.thread is twin
            for thing in self.things.values()
            for p in thing.open
        )

    def held_unrecorded(self, site: Site) -> bool:
        return any(
            p.site == site and not p.recorded for thing in self.things.values() for p in thing.open
        )

    def _runs(self) -> Iterator[Pass]:
        """All passes of tracked generators and coroutines that are running."""
        for thing in self.things.values():
            yield from (run for run in thing.runs if run.flow is not None)

    def is_under_a_run(self, p: Pass) -> bool:
        """Whether the leaving of a pass makes a difference to what is running: to be avoided, as known defects go."""
        if not self.avoids("left under one that runs") or not p.counts:
            return False
        return any(p in run.in_any.by or p in below(run) for run in self._runs())

    def may_suspend(self, player: Player, run: Pass) -> bool:
        """Whether a tracked one that is running can be suspended."""
        above = above_in_flow(run)
        is_begun_later = run.dropped and any(p.counts for p in above)
        return not (
            (self.avoids("begun after a clear") and is_begun_later)
            or (self.avoids("nested in one that is suspended") and self._covered(run, above))
        )

    def _covered(self, run: Pass, but: Collection[Pass]) -> list[Pass]:
        """What is open, and nested in a run, but for some."""
        return [
            p
            for twin in self.twins
            for p in twin.open_passes()
            if run in p.in_any.by and p not in but and p not in self._runs()
        ]

    def may_end(self, thread: int, player: Player, levels: int) -> bool:
        """Whether so many levels of a thread can end at once."""
        inner = player.levels[-levels:] if levels else []
        things = [t for level in inner if isinstance(level, Level) for t in level.first.chain()]
        return self.can_settle(thread, player, things)

    def can_settle(self, thread: int, player: Player, things: list[Suspendable]) -> bool:
        """Have what would stay open in tracked generators that end be left first; whether it could be."""
        if not self.avoids("left open at the end"):
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
        above = above_in_flow(run)
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
        if self.avoids("active while partly nested"):
            for p in (
                p
                for twin in twins
                for p in twin.finished
                if p.idle and (p.in_site or p.in_site.time)
            ):
                block = expected.blocks[p.site.name]
                observed.blocks[p.site.name] = observed.blocks[p.site.name]._replace(
                    active=block.active
                )
        if any(self.avoids(defect) for twin in self.twins for defect in twin.met):
            expected, observed = without_totals(expected), without_totals(observed)
        assert observed == expected, differences(observed, expected)


def above_in_flow(p: Pass) -> list[Pass]:
    """Those that are open above one."""
    return p.flow.open[p.flow.open.index(p) + 1 :] if p.flow is not None else []


def below(p: Pass) -> list[Pass]:
    """Those that are open below one."""
    return p.flow.open[: p.flow.open.index(p)] if p.flow is not None else []


def has_open(things: list[Suspendable]) -> bool:
    """Whether any of them has a `with` statement open."""
    return any(thing.open for thing in things)


def is_tracked(things: list[Suspendable]) -> bool:
    """Whether any of them is tracked."""
    return any(thing.layers for thing in things)


def without_totals(found: Figures) -> Figures:
    """The same figures, but for those in which time counts once."""
    return found._replace(
        blocks={name: block._replace(total=0, active=0) for name, block in found.blocks.items()},
        tracks={},
        total=0,
        tree={path: node._replace(total=0) for path, node in found.tree.items()},
    )
