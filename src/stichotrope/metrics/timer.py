"""What times a piece of a program into a histogram."""

from __future__ import annotations

from functools import wraps
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE, unwrap

from .. import _core
from ..config import checks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Any, ParamSpec, TypeVar

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
        timed: Callable[P, R] = wraps(function)(_around(function)(function, self))
        return timed


def _around(function: Any) -> Callable[[Any, Timer], Any]:
    """Return what makes a wrapper of the same kind as a callable."""
    code = getattr(unwrap(function), "__code__", None)
    flags: int = getattr(code, "co_flags", 0)
    if flags & CO_ASYNC_GENERATOR:
        return _async_generator
    if flags & CO_COROUTINE:
        return _coroutine
    return _generator if flags & CO_GENERATOR and not flags & CO_ITERABLE_COROUTINE else _call


def _call(function: Any, timer: Timer) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Any:
        with timer:
            return function(*args, **kwargs)

    return timed


def _coroutine(function: Any, timer: Timer) -> Any:
    async def timed(*args: Any, **kwargs: Any) -> Any:
        with timer:
            return await function(*args, **kwargs)

    return timed


def _generator(function: Any, timer: Timer) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with timer:
            return (yield from function(*args, **kwargs))

    return timed


def _async_generator(function: Any, timer: Timer) -> Any:
    async def timed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with timer:
            inner = function(*args, **kwargs)
            step = inner.__anext__()
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                try:
                    step = inner.asend((yield item))
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    step = inner.athrow(error)

    return timed
