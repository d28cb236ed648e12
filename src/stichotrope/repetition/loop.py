"""The loop: passes of a block that are made, timed and recorded until it is enough."""

from __future__ import annotations

from time import perf_counter_ns
from types import CoroutineType
from weakref import finalize

from .._text.format import format_count, format_time_ns, printable
from .._text.progress import ProgressBar, is_wanted
from ..config import checks
from ..instrumentation.wrapping import definition, own_name
from ..statistics.samples import interpolated
from .result import Repetition
from .rules import MOST_SAMPLES, Tally, rule_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Any

    from .._core import Block, Recorder

_EMPTY_PASSES = 101


def repeat(
    profiler: Recorder,
    function: Callable[[], object],
    *,
    track: int | str = 0,
    name: str | None = None,
    **options: Any,
) -> Repetition:
    """Call a function again and again, and return what the calls took.

    Each call is a pass of a block, too, whose place is the function's definition. What the
    function raises goes on to the caller: the profiler then has the passes until there, the last
    one included. `repeating` keeps the times until there as well.

    :param profiler: the profiler that the passes are recorded in.
    :param function: what to call, without arguments; ``functools.partial`` binds some.
    :param track: the index of the block's track, or its name.
    :param name: the block's name; by default the function's own followed by " (repeated)".
    :param options: `Repeating` has them.
    :raises TypeError: when an argument is of the wrong type, or a call only makes a coroutine or a
        generator, and runs nothing.
    :raises ValueError: when an argument has a value that makes no sense.
    """
    _check_plain(function)
    passes = _of_function(profiler, function, track, name, options)
    return passes._run(function)


async def repeat_async(
    profiler: Recorder,
    function: Callable[[], Awaitable[object]],
    *,
    track: int | str = 0,
    name: str | None = None,
    **options: Any,
) -> Repetition:
    """Await a coroutine function again and again, one after the other; see `repeat`.

    A pass lasts from the call to the end of what it returned, whatever else runs meanwhile.

    :param profiler: the profiler that the passes are recorded in.
    :param function: what to call, without arguments, and to await each time.
    :param track: the index of the block's track, or its name.
    :param name: the block's name; by default the function's own followed by " (repeated)".
    :param options: `Repeating` has them.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when an argument has a value that makes no sense.
    """
    _check_callable(function)
    passes = _of_function(profiler, function, track, name, options)
    try:
        while passes.more():
            with passes:
                await function()
    finally:
        passes._close()
    return passes.result


def _of_function(
    profiler: Recorder,
    function: Callable[[], object],
    track: int | str,
    name: str | None,
    options: dict[str, Any],
) -> Repeating:
    own = own_name(function) if name is None else name
    # A function that is tracked has a block of its own name at this very place already.
    block = f"{own} (repeated)" if name is None else name
    return Repeating(profiler, track, block, definition(function), title=own, **options)


def _check_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"what is repeated must be callable, not {checks.shown(function)}")


def _check_plain(function: object) -> None:
    import inspect

    _check_callable(function)
    if inspect.iscoroutinefunction(function):
        raise _unawaited(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function!r} is a generator function: a call runs nothing of it; "
            "repeat a function that consumes what it gives"
        )


def _unawaited(function: object) -> TypeError:
    return TypeError(
        f"{function!r} makes a coroutine, and a call runs nothing of it: "
        "use `await profiler.repeat_async(…)`"
    )


class Repeating:
    """Passes of a block that are timed one by one until it is enough. Made by a profiler.

    A whole loop body is a pass, or a part of it::

        for number in profiler.repeating(0, "sort"):
            sorted(data)

        passes = profiler.repeating(0, "sort")
        while passes.more():
            data = fresh()
            with passes:
                data.sort()
        print(passes.result)

    The first passes, ``warmup`` of them, are recorded in a block of their own, "sort (warm-up)",
    and are no samples. A pass that raises, or in which the loop is left, is no sample either.

    :param profiler: the profiler that the passes are recorded in.
    :param track: the index of the block's track, or its name.
    :param name: the block's name.
    :param place: file and line of the block.
    :param title: what the result is headed with; the block's name unless given.
    :param count: how many passes to make, those that raise included.
    :param until: when to stop, where no count is given: "no_new_minimum", when no pass has been
        shorter than the shortest for ``patience_s``; or "interval", when the 95 % interval of the
        mean reaches no further from it than ``precision``, which takes ten passes at least.
    :param patience_s: in seconds, more than 0.
    :param precision: as a share of the mean, more than 0: 0.01 is ±1 %.
    :param limit_s: when to stop at the latest, where no count is given, in seconds; None for never.
        A million passes are the most in any case.
    :param warmup: how many passes to make before those that count.
    :param bytes_per_pass: how many bytes a pass handles, for the throughput.
    :param progress: whether to draw a progress bar on standard error; where that is a terminal,
        unless given. It is drawn between passes.
    :param timer: the clock, a function that returns ns.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when an argument has a value that makes no sense.
    """

    def __init__(
        self,
        profiler: Recorder,
        track: int | str,
        name: str,
        place: tuple[str, int],
        *,
        title: str | None = None,
        count: int | None = None,
        until: str | None = None,
        patience_s: float = 2.0,
        precision: float = 0.01,
        limit_s: float | None = 60.0,
        warmup: int = 1,
        bytes_per_pass: int | None = None,
        progress: bool | None = None,
        timer: Callable[[], int] = perf_counter_ns,
    ) -> None:
        checks.check_limit(warmup, "warmup", 0, MOST_SAMPLES)
        if bytes_per_pass is not None:
            checks.check_limit(bytes_per_pass, "bytes_per_pass", 1, 1 << 62)
        if progress is not None:
            checks.check_switch(progress)
        if not callable(timer):
            raise TypeError(f"a timer is a function that returns ns, not {checks.shown(timer)}")
        self._rule = rule_of(count, until, patience_s, precision, limit_s)
        name = checks.checked_name(name)
        self._title = name if title is None else title
        self._block = profiler.block_at(track, name, *place)
        self._warm_block = (
            profiler.block_at(track, f"{self._title} (warm-up)", *place) if warmup else self._block
        )
        self._warmup = warmup
        self._bytes_per_pass = bytes_per_pass
        self._timer = timer
        self._tally = Tally()
        self._bar: ProgressBar | None = None
        if is_wanted() if progress is None else progress:
            self._bar = ProgressBar(printable(self._title))
            finalize(self, self._bar.close)  # who leaves a `while` loop says so to nobody
        self._attempts = 0
        self._now: Block | None = None  # the block that is open
        self._start_ns = 0
        self._awaited = False  # whether a pass was promised that has not begun yet
        self._stopped_by = ""
        self._form = "with"

    # The two forms of the loop

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each pass, from 0 on, warm-ups included; the loop body is the pass.

        :raises RuntimeError: when a pass is open.
        """
        self._form = "for"
        try:
            while self.more():
                with self:
                    yield self._attempts
        finally:
            self._close()

    def more(self) -> bool:
        """Return whether to make another pass.

        :raises RuntimeError: when a pass is open, or none was made since it last said yes.
        """
        if self._now is not None:
            raise RuntimeError(f"a pass of {self._title!r} is still open")
        if self._awaited:
            raise RuntimeError(
                f"no pass of {self._title!r} was made: what is to be timed goes into "
                "`with passes:`, where `passes` is what `more` was asked of"
            )
        if self._stopped_by:
            return False
        if self._attempts >= self._warmup:
            self._stopped_by = self._rule.verdict(self._tally)
        if self._stopped_by:
            self._close()
        elif self._bar is not None and self._bar.is_due(self._tally.now_ns):
            self._show(self._bar)
        self._awaited = not self._stopped_by
        return self._awaited

    def __enter__(self) -> Repeating:
        """Begin a pass.

        :raises RuntimeError: unless `more` has just said that there is to be one.
        """
        block = self._begin()
        block.__enter__()
        self._now = block
        self._start_ns = self._timer()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        end_ns = self._timer()
        block, self._now = self._now, None
        if block is not None:
            block.__exit__(None, None, None)
        self._end(self._start_ns, end_ns, kind is None)

    @property
    def result(self) -> Repetition:
        """What the passes took until now.

        :raises RuntimeError: when there is no sample yet.
        """
        if not self._tally.samples:
            raise RuntimeError(f"no pass of {self._title!r} has ended yet, warm-ups left aside")
        return Repetition(
            self._title,
            self._tally.samples,
            warmup=self._warmup,
            stopped_by=self._stopped_by or "broken off",
            overhead_ns=_overhead_ns(self._form, self._timer),
            bytes_per_pass=self._bytes_per_pass,
        )

    # A pass

    def _run(self, function: Callable[[], object]) -> Repetition:
        """Make all passes by calling a function."""
        self._form = "call"
        try:
            while self.more():
                value = self._call(function)
                if isinstance(value, CoroutineType):
                    value.close()
                    raise _unawaited(function)
        finally:
            self._close()
        return self.result

    def _call(self, function: Callable[[], object]) -> object:
        # As `with self: function()`. The block is open around the call and the clock's two reads,
        # and around nothing else: what it shows is what the samples are.
        timer, block = self._timer, self._begin()
        enter, leave = block.__enter__, block.__exit__
        is_whole = False
        start_ns = self._tally.now_ns  # until the call begins
        enter()
        try:
            start_ns = timer()
            value = function()
            end_ns = timer()
            is_whole = True
        finally:
            leave(None, None, None)
            if not is_whole:
                end_ns = timer()
            self._end(start_ns, end_ns, is_whole)
        return value

    def _begin(self) -> Block:
        """Return the block of the pass that is about to be made."""
        if not self._awaited:
            raise RuntimeError(f"ask `more` before each pass of {self._title!r}")
        self._awaited = False
        return self._warm_block if self._attempts < self._warmup else self._block

    def _end(self, start_ns: int, end_ns: int, is_whole: bool) -> None:
        if self._attempts >= self._warmup:
            self._tally.add(start_ns, end_ns, is_whole)
        self._attempts += 1

    def _show(self, bar: ProgressBar) -> None:
        tally = self._tally
        text = f"{format_count(len(tally.samples))} passes"
        if tally.samples:
            text += f" · min {format_time_ns(tally.least_ns)}"
        bar.show(self._rule.share(tally), text, tally.now_ns)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


# The harness itself


class _Nowhere:
    """Stands for a profiler, and for its blocks, that records nothing."""

    def block_at(self, track: int | str, name: str, file: str, line: int) -> _Nowhere:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def _overhead_ns(form: str, timer: Callable[[], int]) -> float:
    """Return what a pass takes in which nothing is done, in ns: the median of many."""
    passes = Repeating(
        _Nowhere(),  # type: ignore[arg-type]
        0,
        "empty",
        ("", 0),
        count=_EMPTY_PASSES,
        progress=False,
        timer=timer,
    )
    if form == "call":
        while passes.more():
            passes._call(_nothing)
    elif form == "for":
        for _ in passes:
            pass
    else:
        while passes.more():
            with passes:
                pass
    return interpolated(sorted(passes._tally.samples), 1, 2)


def _nothing() -> None:
    pass
