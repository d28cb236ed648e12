"""What programs with generators and coroutines leave out: what nothing defines, and known defects of the core."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .defects import DEFECTS, Setup
from .figures import Figures, figures
from .observed import differences, observed_figures
from .passes import Pass, Site, Thread
from .program import Player, Program
from .suspendable import Suspendable


class WatchedThread(Thread):
    """A twin that notes which known defects, that make totals wrong, it may have met."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.met: set[str] = set()

    def _place(self, p: Pass) -> None:
        super()._place(p)
        if any(p in other.in_any.by for other in p.in_any.by):
            self.met.add("nested in each other")


class AvoidingProgram(Program):
    """Knows which steps are to be left out.

    Nothing defines what becomes of a pass
    - that is suspended within a tracked generator, when its own generator is resumed without that one;
    - that is left on another thread, while something there lies on it, or is nested in it.

    :param setups: what there is to be suspended.
    :param lifted: the name of a known defect which is not to be left out.
    :param passes_only: compare how many passes there were, and how long each took: not whose child each was.
    """

    twin_type = WatchedThread

    def __init__(
        self, setups: list[Setup], has_context: bool, lifted: str | None, passes_only: bool
    ) -> None:
        super().__init__(has_context=has_context)
        self.passes_only = passes_only
        self.setups = setups
        self.avoided = DEFECTS.keys() - {lifted}
        self.things: dict[int, Suspendable] = {}
        self.by_hand: dict[int, Pass] = {}  # kept blocks that are open, at most one pass of each
        self.twins: list[Any] = []

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
        return (
            # What closing one in the midst of a step does differs from version to version.
            (any(each.waiting for each in steps) and how in ("close", "abandon"))
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
            is_hidden = self.avoids("one block in a body and above it") and by_calls
            return not is_hidden and (p.dropped or self._is_apart(p))
        is_here = twin.flow in (p.flow, p.flow.home)
        is_under = any(p in other.chain() for other in by_calls)
        return not (
            (self.avoids("resumed in another context") and not is_here)
            or (
                self.avoids("one block in a body and above it") and p.flow is twin.flow and is_under
            )
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

    def may_suspend(self, player: Player, run: Pass) -> bool:
        """Whether a tracked one that is running can be suspended."""
        above = above_in_flow(run)
        return not (self.avoids("nested in one that is suspended") and self._covered(run, above))

    def _covered(self, run: Pass, but: Collection[Pass]) -> list[Pass]:
        """What is open, and nested in a run, but for some."""
        return [
            p
            for twin in self.twins
            for p in twin.open_passes()
            if run in p.in_any.by and p not in but and p not in self._runs()
        ]

    # ---- comparison -----------------------------------------------------------------------------

    def _compare(self, found: Any, twins: list[Thread]) -> None:
        expected, observed = figures(twins, self.sites), observed_figures(found)
        if any(self.avoids(defect) for twin in self.twins for defect in twin.met):
            expected, observed = without_totals(expected), without_totals(observed)
        if self.passes_only:
            expected, observed = only_passes(expected), only_passes(observed)
        assert observed == expected, differences(observed, expected)


def above_in_flow(p: Pass) -> list[Pass]:
    """Those that are open above one."""
    return p.flow.open[p.flow.open.index(p) + 1 :] if p.flow is not None else []


def has_elsewhere(thing: Suspendable, site: Site, twin: Thread) -> bool:
    """Whether a body has a block open already, which it entered on another thread."""
    return any(p.site == site and p.thread is not twin for p in thing.open)


def without_totals(found: Figures) -> Figures:
    """The same figures, but for those in which time counts once."""
    return found._replace(
        blocks={name: block._replace(total=0, active=0) for name, block in found.blocks.items()},
        tracks={},
        total=0,
        tree={path: node._replace(total=0) for path, node in found.tree.items()},
    )


def only_passes(found: Figures) -> Figures:
    """The figures that each pass has by itself."""
    found = without_totals(found)
    return found._replace(
        blocks={name: block._replace(self=0) for name, block in found.blocks.items()}, tree={}
    )
