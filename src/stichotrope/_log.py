"""Functions of the default profiler whose durations also go to the log."""

from __future__ import annotations

import logging
from functools import wraps
from time import perf_counter_ns
from types import FunctionType
from typing import overload

from ._default import profile
from ._text.format import format_time_ns
from .config import checks
from .instrumentation.around import around
from .profiler import is_global_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")


@overload
def profile_function(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def profile_function(
    *,
    track: int | str = 0,
    name: str | None = None,
    logger: logging.Logger | str = "stichotrope",
    level: int | str = logging.INFO,
    threshold: float = 0.0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def profile_function(
    function: Any = None,
    /,
    *,
    track: int | str = 0,
    name: str | None = None,
    logger: logging.Logger | str = "stichotrope",
    level: int | str = logging.INFO,
    threshold: float = 0.0,
) -> Any:
    """Record each call of a function with the default profiler, and log how long it took.

    Each record of the log has the attributes ``stichotrope_profiler``, ``stichotrope_track`` (as it
    is given here), ``stichotrope_block``, ``stichotrope_duration_ns`` and ``stichotrope_raised``
    (whether it ended with an exception). A coroutine or generator is logged once, when it ends,
    with the time since its first resume. Nothing is logged while the profiler or the track is off.

    A record of the log costs some microseconds, many times what the pass costs. Its duration is
    taken around the pass, so it is a little longer than the one in the results.

    :param track: the track's index (from 0 on) or its name.
    :param name: the block's name; by default the function's own.
    :param logger: a logger or its name.
    :param level: the level of the records, a number or its name.
    :param threshold: in seconds: calls that took less are recorded, and not logged.
    :raises TypeError: for an argument of the wrong type, or when what is decorated is no function
        written in Python.
    :raises ValueError: for a negative track, an empty name, an unknown level or a
        threshold below 0.
    :raises ConfigError: when the default profiler is used for the first time, and the settings have
        a mistake.
    """
    checks.check_track(track)
    block = None if name is None else checks.checked_name(name)
    found, number = _checked_logger(logger), _checked_level(level)
    least_ns = _checked_threshold(threshold)

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            raise TypeError(
                "profile_function decorates a function written in Python, "
                f"not {checks.shown(function)}; profile takes other callables, too"
            )
        if not is_global_enabled():
            return function
        tracked = profile(track=track, name=block)(function)
        log = _Log(track, block or function.__name__, found, number, least_ns)
        return wraps(function)(around(tracked, function.__code__.co_flags, lambda: _Call(log)))

    return decorate if function is None else decorate(function)


def _checked_logger(logger: object) -> logging.Logger:
    if isinstance(logger, str):
        return logging.getLogger(logger)
    if not isinstance(logger, logging.Logger):
        raise TypeError(f"logger must be a logger or its name, not {checks.shown(logger)}")
    return logger


def _checked_level(level: object) -> int:
    if isinstance(level, bool) or not isinstance(level, (int, str)):
        raise TypeError(f"level must be a number or its name, not {checks.shown(level)}")
    number = logging.getLevelName(level) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise ValueError(f"level must be a number or the name of a level, not {level!r}")
    return number


def _checked_threshold(threshold: object) -> int:
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise TypeError(f"threshold must be a number of seconds, not {checks.shown(threshold)}")
    if not 0 <= threshold < float("inf"):
        raise ValueError(f"threshold must be a finite number from 0 on, not {threshold!r}")
    return round(threshold * 1e9)


class _Log:
    """Where and how the passes of one function are logged.

    :param track: its track, as it was given.
    :param block: the name of its block.
    :param logger: where to.
    :param level: the level of the records.
    :param least_ns: what takes less is not logged.
    """

    __slots__ = ("_block", "_least_ns", "_level", "_logger", "_track")

    def __init__(
        self, track: int | str, block: str, logger: logging.Logger, level: int, least_ns: int
    ) -> None:
        self._track = track
        self._block = block
        self._logger = logger
        self._level = level
        self._least_ns = least_ns

    def begin(self) -> int | None:
        """Return the time, or None when nothing is to be logged."""
        if not self._logger.isEnabledFor(self._level) or not is_global_enabled():
            return None
        profiler = profile.profiler
        if not profiler.is_started() or not profiler.is_track_enabled(self._track):
            return None
        return perf_counter_ns()

    def end(self, began: int | None, error: BaseException | None = None) -> None:
        """Log what began, if anything; being closed early is no error of a generator."""
        if began is None:
            return
        took = perf_counter_ns() - began
        if took < self._least_ns:
            return
        raised = error is not None and not isinstance(error, GeneratorExit)
        extra = {
            "stichotrope_profiler": profile.profiler.name,
            "stichotrope_track": self._track,
            "stichotrope_block": self._block,
            "stichotrope_duration_ns": took,
            "stichotrope_raised": raised,
        }
        message = "%s raised after %s" if raised else "%s took %s"
        # Of all lines, the one that called the function says most.
        self._logger.log(
            self._level, message, self._block, format_time_ns(took), extra=extra, stacklevel=4
        )


class _Call:
    """One call, or the run of what it gives, which is logged when it ends.

    :param log: where and how.
    """

    __slots__ = ("_began", "_log")

    def __init__(self, log: _Log) -> None:
        self._log = log
        self._began: int | None = None

    def __enter__(self) -> None:
        self._began = self._log.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._log.end(self._began, error)
