"""Wrappers in Python that stay what they wrap: calls, coroutines, generators of both kinds."""

from __future__ import annotations

from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager
    from typing import Any

    Around = Callable[[], AbstractContextManager[Any]]


def around(function: Any, flags: int, entered: Around) -> Any:
    """Return a callable of the same kind that runs a function within a context manager.

    A coroutine or generator is within it from its first resume to its end, suspensions included.

    :param function: what is called.
    :param flags: those of the code that says of which kind it is; 0 for a plain call.
    :param entered: returns what each call, or run, is to be within.
    """
    return _maker(flags)(function, entered)


def _maker(flags: int) -> Callable[[Any, Around], Any]:
    if flags & CO_ASYNC_GENERATOR:
        return _async_generator
    if flags & CO_COROUTINE:
        return _coroutine
    return _generator if flags & CO_GENERATOR and not flags & CO_ITERABLE_COROUTINE else _call


def _call(function: Any, entered: Around) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with entered():
            return function(*args, **kwargs)

    return wrapper


def _coroutine(function: Any, entered: Around) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with entered():
            return await function(*args, **kwargs)

    return wrapper


def _generator(function: Any, entered: Around) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with entered():
            return (yield from function(*args, **kwargs))

    return wrapper


def _async_generator(function: Any, entered: Around) -> Any:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with entered():
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

    return wrapper
