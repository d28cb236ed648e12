"""The one switch of a program that is profiled: bare, all or its coarse level marked, or off.

Functions are marked when their module is imported, so the switch is an environment variable and is
read once. A bare program imports no profiler; its functions are the very ones that were written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar

VARIABLE = "STICHOTROPE_WORKLOAD"
BARE, INSTRUMENTED, COARSE, OFF = MODES = ("bare", "instrumented", "coarse", "off")
"""Without a profiler; with all marks; with those alone that take a millisecond or more; stopped."""

P = ParamSpec("P")
R = TypeVar("R")


class Marks:
    """Marks the functions and blocks of one program, in the mode that the switch says.

    `profiler` is None in a bare program.
    """

    def __init__(self, name: str, tracks: tuple[str, ...]) -> None:
        """Make the profiler, if there is to be one.

        :param name: the program's, which heads its results.
        :param tracks: the names of tracks 0, 1, …
        :raises ValueError: the environment names a mode that is none.
        """
        self.mode = os.environ.get(VARIABLE, INSTRUMENTED)
        if self.mode not in MODES:
            raise ValueError(f"{VARIABLE} is {self.mode!r}; it must be one of {', '.join(MODES)}")
        self.profiler: Any = None
        if self.mode != BARE:
            self.profiler = self._new_profiler(name, tracks)

    def _new_profiler(self, name: str, tracks: tuple[str, ...]) -> Any:
        from stichotrope import Profiler

        profiler = Profiler(name)
        for index, title in enumerate(tracks):
            profiler.set_track_name(index, title)
        if self.mode == OFF:
            profiler.stop()
        return profiler

    def track(
        self, track: int, name: str | None = None, *, coarse: bool = False
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records a function's calls, or gives the function back.

        :param track: its index.
        :param name: of the block; the function's own if left out.
        :param coarse: a call takes a millisecond or more, so that it is of the coarse level.
        """
        if not self._wanted(coarse):
            return lambda function: function
        decorator: Callable[[Callable[P, R]], Callable[P, R]] = self.profiler.track(track, name)
        return decorator

    def block(
        self, track: int, name: str, *, coarse: bool = False
    ) -> AbstractContextManager[object]:
        """Return a block to be kept and entered again and again.

        A bare program cannot leave its `with` out: it enters one that does nothing, at some 0.1 µs.
        So blocks belong around whatever takes long; what is short is a function, and is tracked.

        :param track: its index.
        :param name: of the block.
        :param coarse: a pass takes a millisecond or more, so that it is of the coarse level.
        """
        if not self._wanted(coarse):
            return nullcontext()
        block: AbstractContextManager[object] = self.profiler.block(track, name)
        return block

    def _wanted(self, coarse: bool) -> bool:
        return self.mode != BARE and (coarse or self.mode != COARSE)
