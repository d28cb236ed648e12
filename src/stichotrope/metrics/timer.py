"""What times a piece of a program into a histogram."""

from __future__ import annotations

from functools import wraps
from inspect import unwrap

from .. import _core
from ..config import checks
from ..instrumentation.around import around

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


class Timer(_core.Stopwatch):
    """Times what runs in its ``with``, or each call of what it decorates, in seconds.

    It may be kept, and entered again and again: recursively, by many threads, and in many tasks at
    once. What ends with an exception is timed, too. A coroutine or a generator that is decorated is
    timed from its first resume to its end, suspensions included.

    :param histogram: a histogram, or what its ``labels`` gave.
    :param labels: the labels of a histogram that has some, by name.
    :raises TypeError: when the histogram is none.
    :raises ValueError: when it has other labels, or has labels and is given none.
    """

    __slots__ = ()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call is timed.

        :param function: a function of any kind, or another callable.
        :raises TypeError: when it cannot be called.
        """
        if not callable(function):
            raise TypeError(f"a timer decorates a callable, not {checks.shown(function)}")
        code = getattr(unwrap(function), "__code__", None)
        flags: int = getattr(code, "co_flags", 0)
        timed: Callable[P, R] = wraps(function)(around(function, flags, lambda: self))
        return timed
