"""Repeating a piece of a program until its time is known, and what the passes took."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import inf, sqrt
from time import perf_counter_ns
from types import CoroutineType, FunctionType
from weakref import finalize

from . import _checks, _targets
from ._format import format_count, format_throughput, format_time_ns, printable
from ._progress import ProgressBar, is_wanted
from .statistics import Runs
from .statistics._samples import fences, interpolated, quantile_ranks
from .statistics._student import tail_begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from typing import Any

    from ._core import Block, Recorder
    from .statistics._samples import Interval

CONFIDENCE = 0.95  # of all intervals here
MOST_SAMPLES = 1_000_000
NO_NEW_MINIMUM, INTERVAL = "no_new_minimum", "interval"
UNTIL = (NO_NEW_MINIMUM, INTERVAL)

_LEAST_SAMPLES = 10  # before an interval may end the passes: that of fewer is narrow by chance
_EMPTY_PASSES = 101
_SECOND = 1_000_000_000


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
    own = _targets.own_name(function) if name is None else name
    # A function that is tracked has a block of its own name at this very place already.
    block = f"{own} (repeated)" if name is None else name
    return Repeating(profiler, track, block, _targets.definition(function), title=own, **options)


def _check_callable(function: object) -> None:
    if not callable(function):
        raise TypeError(f"what is repeated must be callable, not {_checks.shown(function)}")


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
        _checks.check_limit(warmup, "warmup", 0, MOST_SAMPLES)
        if bytes_per_pass is not None:
            _checks.check_limit(bytes_per_pass, "bytes_per_pass", 1, 1 << 62)
        if progress is not None:
            _checks.check_switch(progress)
        if not callable(timer):
            raise TypeError(f"a timer is a function that returns ns, not {_checks.shown(timer)}")
        self._rule = _rule(count, until, patience_s, precision, limit_s)
        name = _checks.checked_name(name)
        self._title = name if title is None else title
        self._block = _block_at(profiler, track, name, place)
        self._warm_block = (
            _block_at(profiler, track, f"{self._title} (warm-up)", place) if warmup else self._block
        )
        self._warmup = warmup
        self._bytes_per_pass = bytes_per_pass
        self._timer = timer
        self._tally = _Tally()
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
        self._enter()
        self._start_ns = self._timer()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        end_ns = self._timer()
        self._leave(self._start_ns, end_ns, kind is None)

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
        # As `with self: function()`, and closer to the function.
        timer = self._timer
        self._enter()
        start_ns = timer()
        try:
            value = function()
            end_ns = timer()
        except BaseException:
            self._leave(start_ns, timer(), False)
            raise
        self._leave(start_ns, end_ns, True)
        return value

    def _enter(self) -> None:
        if not self._awaited:
            raise RuntimeError(f"ask `more` before each pass of {self._title!r}")
        self._awaited = False
        block = self._warm_block if self._attempts < self._warmup else self._block
        block.__enter__()
        self._now = block

    def _leave(self, start_ns: int, end_ns: int, is_whole: bool) -> None:
        block, self._now = self._now, None
        if block is not None:
            block.__exit__(None, None, None)
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


_ASKING = (lambda profiler, track, name: profiler.block(track, name)).__code__


@lru_cache(maxsize=256)  # the profiler remembers each call site by the code that it is in
def _asking_at(file: str, line: int) -> FunctionType:
    """Return a function that asks a profiler for a block as if it stood at a place."""
    return FunctionType(_ASKING.replace(co_filename=file, co_firstlineno=line), {})


def _block_at(profiler: Recorder, track: int | str, name: str, place: tuple[str, int]) -> Block:
    block: Block = _asking_at(*place)(profiler, track, name)
    return block


# The harness itself


class _Nowhere:
    """Stands for a profiler, and for its blocks, that records nothing."""

    def block(self, track: int | str, name: str) -> _Nowhere:
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


# When it is enough


class _Tally:
    """What is known of the passes as they go on, exact and at a cost that does not grow."""

    __slots__ = (
        "samples",
        "attempts",
        "total_ns",
        "squares",
        "least_ns",
        "least_at_ns",
        "begun_ns",
        "now_ns",
    )

    def __init__(self) -> None:
        self.samples = array("q")
        self.attempts = 0
        self.total_ns = 0
        self.squares = 0
        self.least_ns = 0
        self.least_at_ns = 0
        self.begun_ns = 0
        self.now_ns = 0

    def add(self, start_ns: int, end_ns: int, is_sample: bool) -> None:
        """Count a pass."""
        if not self.attempts:
            self.begun_ns = self.least_at_ns = start_ns
        self.attempts += 1
        self.now_ns = end_ns
        if not is_sample:
            return
        took_ns = max(end_ns - start_ns, 0)
        if not self.samples or took_ns < self.least_ns:
            self.least_ns, self.least_at_ns = took_ns, end_ns
        self.samples.append(took_ns)
        self.total_ns += took_ns
        self.squares += took_ns * took_ns

    @property
    def elapsed_ns(self) -> int:
        """The time since the first pass began, as of the end of the last."""
        return self.now_ns - self.begun_ns

    def imprecision(self) -> float:
        """Return how far the interval of the mean reaches from it, as a share of it."""
        count = len(self.samples)
        if count < _LEAST_SAMPLES:
            return inf
        half = _half_interval(count, _deviation(count, self.total_ns, self.squares))
        return half * count / self.total_ns if self.total_ns else 0.0


def _deviation(count: int, total: int, squares: int) -> float:
    """Return the standard deviation of two or more samples, by their number less one."""
    # The subtraction is exact in integers; in floats it would cancel most of its digits.
    return sqrt((count * squares - total**2) / (count * (count - 1)))


def _half_interval(count: int, deviation: float) -> float:
    """Return how far Student's interval of the mean reaches from it."""
    return tail_begin((1 - CONFIDENCE) / 2, count - 1) * deviation / sqrt(count)


class _Rule:
    """When the passes are enough."""

    def __init__(self, limit_ns: float) -> None:
        self._limit_ns = limit_ns

    def verdict(self, tally: _Tally) -> str:
        """Return why the passes are enough; empty when they are not."""
        if tally.elapsed_ns >= self._limit_ns:
            return "time limit"
        return "most samples" if tally.attempts >= MOST_SAMPLES else ""

    def share(self, tally: _Tally) -> float:
        """Return how much is done, from 0 to 1."""
        raise NotImplementedError


class _Count(_Rule):
    def __init__(self, count: int) -> None:
        self._count = count

    def verdict(self, tally: _Tally) -> str:
        return "count" if tally.attempts >= self._count else ""

    def share(self, tally: _Tally) -> float:
        return tally.attempts / self._count


class _NoNewMinimum(_Rule):
    def __init__(self, limit_ns: float, patience_ns: float) -> None:
        super().__init__(limit_ns)
        self._patience_ns = patience_ns

    def verdict(self, tally: _Tally) -> str:
        waited = tally.now_ns - tally.least_at_ns
        if tally.samples and waited >= self._patience_ns:
            return "no new minimum"
        return super().verdict(tally)

    def share(self, tally: _Tally) -> float:
        return min(1.0, (tally.now_ns - tally.least_at_ns) / self._patience_ns)


class _Narrow(_Rule):
    """Enough when the interval of the mean is narrow.

    Y. S. Chow and H. Robbins, "On the Asymptotic Theory of Fixed-Width Sequential Confidence
    Intervals for the Mean", Annals of Mathematical Statistics 36, 1965.
    """

    def __init__(self, limit_ns: float, precision: float) -> None:
        super().__init__(limit_ns)
        self._precision = precision
        self._check_at = _LEAST_SAMPLES
        self._imprecision = inf

    def verdict(self, tally: _Tally) -> str:
        count = len(tally.samples)
        # Whoever looks after each pass catches the interval when it is narrow by chance.
        if count >= self._check_at:
            self._check_at = count + max(1, count // 20)
            self._imprecision = tally.imprecision()
            if self._imprecision <= self._precision:
                return "interval"
        return super().verdict(tally)

    def share(self, tally: _Tally) -> float:
        # The width falls with the square root of the number of passes.
        return min(1.0, (self._precision / self._imprecision) ** 2) if self._imprecision else 1.0


def _rule(
    count: int | None,
    until: str | None,
    patience_s: float,
    precision: float,
    limit_s: float | None,
) -> _Rule:
    patience_ns = _SECOND * _checked_amount(patience_s, "patience_s", "seconds")
    share = _checked_amount(precision, "precision", "the mean (0.01 is ±1 %)")
    limit_ns = inf if limit_s is None else _SECOND * _checked_amount(limit_s, "limit_s", "seconds")
    if until is not None and until not in UNTIL:
        raise ValueError(f"until must be one of {', '.join(map(repr, UNTIL))}, not {until!r}")
    if count is None:
        if until == INTERVAL:
            return _Narrow(limit_ns, share)
        return _NoNewMinimum(limit_ns, patience_ns)
    if until is not None:
        raise ValueError(f"give a count or until, not both: count={count!r} and until={until!r}")
    _checks.check_limit(count, "count", 1, MOST_SAMPLES)
    return _Count(count)


def _checked_amount(value: float, name: str, of_what: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} is an amount of {of_what}, not {_checks.shown(value)}")
    if not 0 < value < inf:
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")
    return value


# What comes of it


class Repetition:
    """What repeated passes took. Printing it gives a small table.

    The intervals tell how well these passes determine mean and median, were they independent of
    each other. They tell nothing of how times vary from one run of the program to the next.

    :param name: what was repeated.
    :param samples_ns: what each pass took in ns, in their order, one at least.
    :param warmup: how many passes were made before.
    :param stopped_by: why there were no more: "count", "no new minimum", "interval", "time limit",
        "most samples", or "broken off".
    :param overhead_ns: what a pass takes in which nothing is done, in ns; it is in each sample.
    :param bytes_per_pass: how many bytes a pass handles; None when that is not known.
    """

    def __init__(
        self,
        name: str,
        samples_ns: Sequence[int],
        *,
        warmup: int = 0,
        stopped_by: str = "count",
        overhead_ns: float = 0.0,
        bytes_per_pass: int | None = None,
    ) -> None:
        self.name = name
        self.samples_ns = array("q", samples_ns)
        self.warmup = warmup
        self.stopped_by = stopped_by
        self.overhead_ns = overhead_ns
        self.bytes_per_pass = bytes_per_pass
        self._ordered = array("q", sorted(self.samples_ns))
        if not self._ordered:
            raise ValueError(f"a repetition has one sample at least; {name!r} has none")

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.samples_ns)

    @property
    def total_ns(self) -> int:
        """The sum of the samples in ns."""
        return sum(self.samples_ns)

    @property
    def mean_ns(self) -> float:
        """Their mean in ns."""
        return self.total_ns / self.count

    @property
    def median_ns(self) -> float:
        """Their median in ns."""
        return interpolated(self._ordered, 1, 2)

    @property
    def stddev_ns(self) -> float:
        """Their standard deviation in ns, by their number less one; 0.0 for a single one."""
        if self.count < 2:
            return 0.0
        squares = sum(sample * sample for sample in self.samples_ns)
        return _deviation(self.count, self.total_ns, squares)

    @property
    def min_ns(self) -> int:
        """The shortest in ns."""
        return self._ordered[0]

    @property
    def max_ns(self) -> int:
        """The longest in ns."""
        return self._ordered[-1]

    @property
    def mean_interval_ns(self) -> Interval | None:
        """The 95 % interval of the mean in ns, Student's; None for a single sample."""
        if self.count < 2:
            return None
        half = _half_interval(self.count, self.stddev_ns)
        return self.mean_ns - half, self.mean_ns + half

    @property
    def median_interval_ns(self) -> Interval | None:
        """The 95 % interval of the median in ns, by order; None for fewer than six samples."""
        from fractions import Fraction

        ranks = quantile_ranks(self.count, Fraction(1, 2), CONFIDENCE)
        if ranks is None:
            return None
        return self._ordered[ranks[0] - 1], self._ordered[ranks[1] - 1]

    @property
    def fences_ns(self) -> Interval:
        """Tukey's fences in ns: samples outside are outliers."""
        return fences(self._ordered)

    @property
    def outliers_ns(self) -> list[int]:
        """The samples outside the fences, in their order."""
        low, high = self.fences_ns
        return [sample for sample in self.samples_ns if not low <= sample <= high]

    @property
    def bytes_per_s(self) -> float | None:
        """The throughput at the mean; None when it is not known."""
        return self._throughput(self.mean_ns)

    @property
    def max_bytes_per_s(self) -> float | None:
        """The throughput of the shortest pass; None when it is not known."""
        return self._throughput(self.min_ns)

    def _throughput(self, took_ns: float) -> float | None:
        if self.bytes_per_pass is None or not took_ns:
            return None
        return self.bytes_per_pass * _SECOND / took_ns

    def as_runs(self) -> Runs:
        """Return it as one run, for `stichotrope.statistics.compare`; several can be added up."""
        return Runs.of_samples({self.name: self.samples_ns})

    def to_dict(self) -> dict[str, Any]:
        """Return it as a document for programs: dicts, lists, str, numbers, None."""
        return {
            "format": "stichotrope-repetition",
            "format_version": 1,
            "name": self.name,
            "count": self.count,
            "warmup": self.warmup,
            "stopped_by": self.stopped_by,
            "mean_ns": self.mean_ns,
            "mean_interval_ns": _listed(self.mean_interval_ns),
            "median_ns": self.median_ns,
            "median_interval_ns": _listed(self.median_interval_ns),
            "confidence": CONFIDENCE,
            "stddev_ns": self.stddev_ns,
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
            "fences_ns": _listed(self.fences_ns),
            "outliers": len(self.outliers_ns),
            "overhead_ns": self.overhead_ns,
            "bytes_per_pass": self.bytes_per_pass,
            "bytes_per_s": self.bytes_per_s,
            "max_bytes_per_s": self.max_bytes_per_s,
            "samples_ns": list(self.samples_ns),
        }

    def __str__(self) -> str:
        return "\n".join([self._heading(), *_table(self._rows()), *self._remarks()])

    def _heading(self) -> str:
        facts = [printable(self.name), _counted(self.count, "pass", "passes")]
        if self.warmup:
            facts.append(f"{_counted(self.warmup, 'warm-up', 'warm-ups')} before")
        return " · ".join([*facts, f"stopped by {self.stopped_by}"])

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [
            ("mean", self.mean_ns, self.mean_interval_ns, self.bytes_per_s),
            ("median", self.median_ns, self.median_interval_ns, self._throughput(self.median_ns)),
            ("min", self.min_ns, None, self.max_bytes_per_s),
            ("max", self.max_ns, None, self._throughput(self.max_ns)),
            ("stddev", self.stddev_ns, None, None),
        ]
        return [
            (
                label,
                format_time_ns(ns),
                "" if ends is None else f"95 % in {_span(*ends)}",
                "" if rate is None else format_throughput(rate),
            )
            for label, ns, ends, rate in rows
        ]

    def _remarks(self) -> list[str]:
        low, high = self.fences_ns
        found = self.outliers_ns
        below = sum(sample < low for sample in found)
        lines = []
        if found:
            lines.append(
                f"{_counted(len(found), 'outlier', 'outliers')}: {format_count(below)} below "
                f"{format_time_ns(low)}, {format_count(len(found) - below)} above "
                f"{format_time_ns(high)}"
            )
        lines.append(f"an empty pass takes {format_time_ns(self.overhead_ns)}, which is in each")
        return lines

    def __repr__(self) -> str:
        return (
            f"<Repetition {self.name!r}: {self.count} passes, mean {self.mean_ns:.0f} ns, "
            f"min {self.min_ns} ns>"
        )

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Repetition) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _listed(ends: Interval | None) -> list[float] | None:
    return None if ends is None else list(ends)


def _span(low: float, high: float) -> str:
    return f"{format_time_ns(low)} … {format_time_ns(high)}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{format_count(count)} {one if count == 1 else many}"


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Return rows as lines: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for label, time, span, rate in rows:
        figures = f"{time:>{widths[1]}}  {span:{widths[2]}}  {rate:>{widths[3]}}"
        lines.append(f"{label:{widths[0]}}  {figures}".rstrip())
    return lines
