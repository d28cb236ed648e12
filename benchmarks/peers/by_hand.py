"""What people write instead of using a tool: hits and total, in one thread."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers._peer import CALL, INLINE, KEPT, YES, Peer, Reading, Records
from benchmarks.per_pass import Timer, timed_by_hand


class _ByHand(Peer):
    by_hand = True
    note = "loses passes when several threads are in it at once"
    documentation = "https://docs.python.org/3/library/time.html#time.perf_counter_ns"
    records = Records(YES, YES)


class Decorator(_ByHand):
    """Two readings of the clock around the call, and two sums."""

    name = "hand-written decorator (perf_counter_ns)"
    form = CALL
    usage = "@timed"

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """See `Peer.wrap`."""
        self.timed = timed_by_hand(function)
        return self.timed

    def read(self) -> Reading:
        """See `Peer.read`."""
        kept = inspect.getclosurevars(self.timed).nonlocals
        return Reading(kept["hits"], kept["total"])


class ContextClass(_ByHand):
    """The timer class found in most code bases."""

    name = "context manager class in Python"
    form = KEPT
    note = "not for several threads at once, nor for recursion"
    usage = "with TIMER:"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.timer = Timer()

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"b": self.timer}

    def read(self) -> Reading:
        """See `Peer.read`."""
        return Reading(self.timer.hits, self.timer.total_ns)


class ContextGenerator(_ByHand):
    """The same as a generator, by name."""

    name = "contextlib.contextmanager function"
    form = INLINE
    usage = 'with timed("query"):'
    enters = 'timed("inline")'

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.figures: dict[str, list[int]] = {"inline": [0, 0]}

    def names(self) -> dict[str, Any]:
        """See `Peer.names`."""
        return {"timed": _timed_into(self.figures)}

    def read(self) -> Reading:
        """See `Peer.read`."""
        return Reading(*self.figures["inline"])


def _timed_into(figures: dict[str, list[int]]) -> Callable[[str], AbstractContextManager[None]]:
    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            kept = figures[name]
            kept[0] += 1
            kept[1] += time.perf_counter_ns() - start

    return timed


BY_HAND: tuple[type[Peer], ...] = (Decorator, ContextClass, ContextGenerator)
