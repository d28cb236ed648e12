"""Repeating a piece of a program: when it is enough, what is recorded, and what comes of it."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from math import exp, inf, sqrt
from types import FrameType
from typing import Any

import pytest

from conftest import ManualClock, hits, recorded, run_program
from stichotrope import Profiler, set_global_enabled
from stichotrope._text.format import format_throughput
from stichotrope.repetition import MOST_SAMPLES, Repetition
from stichotrope.repetition.rules import Narrow, Tally
from stichotrope.statistics import compare, mean_interval, median_interval, outliers

pytestmark = pytest.mark.unit


class Work:
    """A function that takes the given times, one after the other, then the last one again and again."""

    def __init__(self, clock: ManualClock, *durations: int) -> None:
        self._clock = clock
        self._durations = durations
        self.calls = 0

    def __call__(self) -> None:
        self._clock.advance(self._durations[min(self.calls, len(self._durations) - 1)])
        self.calls += 1


@pytest.fixture
def repeat(clock: ManualClock) -> Callable[..., Repetition]:
    """Repeat work that takes the given times, on the injected clock."""

    def repeat(*durations: int, **options: Any) -> Repetition:
        profiler = Profiler("repetition")
        return profiler.repeat(
            Work(clock, *durations), **{"warmup": 0, "timer": lambda: clock.now, **options}
        )

    return repeat


# When it is enough


def test_a_count_makes_that_many_passes(repeat):
    """And each is a sample."""
    r = repeat(100, 200, 300, count=3)
    assert list(r.samples_ns) == [100, 200, 300]
    assert (r.count, r.stopped_by, r.warmup) == (3, "count", 0)


def test_by_default_it_goes_on_until_there_is_no_new_minimum_for_two_seconds(repeat):
    """The third pass is the shortest; two of 0.9 s do not make 2 s, three do."""
    r = repeat(10**9, 950_000_000, 890_000_000, 900_000_000)
    assert r.count == 6
    assert r.stopped_by == "no new minimum"


def test_a_new_minimum_begins_the_wait_anew(repeat):
    """Also the last moment before."""
    r = repeat(100, 90, 100, 100, 100, 80, 100, patience_s=400e-9)
    assert list(r.samples_ns) == [100, 90, 100, 100, 100, 80, 100, 100, 100, 100]


def test_as_short_as_the_shortest_is_no_new_minimum(repeat):
    """Or a coarse clock would never let it end."""
    assert repeat(100, patience_s=300e-9).count == 4


def test_it_stops_when_the_interval_of_the_mean_is_narrow(repeat):
    """±1 % unless told otherwise, after ten passes at least."""
    r = repeat(1000, until="interval")
    assert (r.count, r.stopped_by) == (10, "interval")
    r = repeat(*[990, 1010] * 20, until="interval")
    assert r.count == 10
    low, high = r.mean_interval_ns
    assert (high - low) / 2 <= 0.01 * r.mean_ns
    r = repeat(*[900, 1100] * 500, until="interval")
    assert 380 <= r.count <= 430  # (1.966 · 10 % / 1 %)² are 386, and one looks every 5 %
    assert repeat(*[900, 1100] * 500, until="interval", precision=0.1).count == 10


def test_the_time_limit_ends_it(repeat):
    """Whatever it waits for, from the first pass that counts on."""
    r = repeat(100, 300, until="interval", limit_s=1e-6, warmup=1)
    assert (r.count, r.stopped_by) == (4, "time limit")
    falling = range(10**10, 9 * 10**9, -(10**8))  # each a new minimum; six take less than a minute
    r = repeat(*falling)
    assert (r.count, r.stopped_by) == (7, "time limit")
    assert repeat(*falling, limit_s=None).stopped_by == "no new minimum"


def test_a_count_heeds_no_time_limit(repeat):
    """It says how many."""
    assert repeat(10**12, count=3).count == 3


def test_there_is_at_least_one_pass(repeat):
    """However little time there is."""
    assert repeat(10**12, limit_s=1e-9).count == 1


def test_a_million_samples_are_the_most():
    """Whatever is waited for; the rule says so without making them."""
    tally = Tally()
    tally.attempts = MOST_SAMPLES - 1
    rule = Narrow(inf, 0.01)
    assert rule.verdict(tally) == ""
    tally.attempts += 1
    assert rule.verdict(tally) == "most samples"


def test_a_narrow_interval_holds_the_mean_nearly_as_often_as_it_says():
    """Although its width decides when to stop: 95 %, of 300 tries, which scatter by 1.3 %."""
    rng = random.Random(9)
    held = 0
    for _ in range(300):
        rule, tally, now = Narrow(inf, 0.05), Tally(), 0
        while not rule.verdict(tally):
            took = int(1e6 * rng.lognormvariate(0, 0.2))
            tally.add(now, now + took, True)
            now += took
        mean = tally.total_ns / len(tally.samples)
        held += abs(mean - 1e6 * exp(0.2**2 / 2)) <= tally.imprecision() * mean
    assert 0.90 <= held / 300 <= 0.99


def test_the_interval_of_the_running_sums_is_that_of_the_samples():
    """Exact integers give the same as the samples themselves."""
    tally = Tally()
    for place, took in enumerate([1000, 1010, 990] * 5):
        tally.add(place * 2000, place * 2000 + took, True)
    low, high = mean_interval(tally.samples) or (0, 0)
    assert tally.imprecision() == pytest.approx((high - low) / 2 / 1000, rel=1e-12)


# What is recorded


def test_each_pass_is_recorded_in_a_block(clock):
    """At the function's definition; warm-ups apart, and what is tracked inside is below."""
    p = Profiler("x")

    @p.track(0)
    def work() -> None:
        clock.advance(50)

    r = p.repeat(work, count=4, warmup=2, timer=lambda: clock.now)
    assert hits(p) == {"work (repeated)": 4, "work (warm-up)": 2, "work": 6}
    block = recorded(p)["work (repeated)"]
    assert (block.file, block.line) == (__file__, work.__code__.co_firstlineno)
    assert (block.total_time_ns, block.self_time_ns) == (r.total_ns, 0)
    assert r.name == "work"


def test_name_and_track_of_the_block_can_be_given(clock):
    """The name is then the block's own, and the result's."""
    p = Profiler("x")
    r = p.repeat(Work(clock, 5), count=1, track="bench", name="five")
    assert hits(p) == {"five": 1, "five (warm-up)": 1}
    assert p.get_results().get_track(0).track_name == "bench"
    assert r.name == "five"


def test_what_has_no_name_or_place_of_its_own_is_repeated_too():
    """A partial object of a builtin: the name is its type's."""
    p = Profiler("x")
    assert p.repeat(functools.partial(sum, [1, 2]), count=2, warmup=0).name == "partial"
    assert p.repeat(dict, count=2, warmup=0).name == "dict"
    assert recorded(p)["partial (repeated)"].file == "<builtins>"


def test_repeating_again_is_the_same_block(clock):
    """The profiler does not grow."""
    p = Profiler("x")
    for _ in range(3):
        p.repeat(Work(clock, 5), count=2, warmup=0)
    assert hits(p) == {"Work (repeated)": 6}


def test_a_profiler_that_is_off_still_times(clock):
    """Stopped or disabled: there is a result, and nothing is recorded."""
    p = Profiler("x")
    p.stop()
    r = p.repeat(Work(clock, 5), count=2, timer=lambda: clock.now)
    assert list(r.samples_ns) == [5, 5]
    p.start()
    set_global_enabled(False)
    r = p.repeat(Work(clock, 7), count=2, timer=lambda: clock.now)
    assert list(r.samples_ns) == [7, 7]
    assert set(hits(p).values()) == {0}


def test_an_exception_goes_on_to_the_caller(clock):
    """The very one; the passes until there are in the profiler, the last one too."""
    p = Profiler("x")
    mistake = KeyError("mistake")
    work = Work(clock, 5)

    def fail() -> None:
        work()
        if work.calls == 3:
            raise mistake

    with pytest.raises(KeyError) as caught:
        p.repeat(fail, count=10, warmup=0)
    assert caught.value is mistake
    assert hits(p) == {"fail (repeated)": 3}
    assert p.open_blocks() == []


# A loop whose body is a pass


def test_a_loop_body_is_a_pass(clock):
    """All of it, warm-ups first; the block stands at the line of the loop."""
    p = Profiler("x")
    numbers = []
    passes = p.repeating(0, "body", count=3, warmup=2, timer=lambda: clock.now)
    line = sys._getframe().f_lineno - 1
    for number in passes:
        clock.advance(10 + number)
        numbers.append(number)
    assert numbers == [0, 1, 2, 3, 4]
    assert list(passes.result.samples_ns) == [12, 13, 14]
    assert hits(p) == {"body": 3, "body (warm-up)": 2}
    assert (recorded(p)["body"].file, recorded(p)["body"].line) == (__file__, line)


def test_what_a_loop_body_marks_is_below_its_pass(clock):
    """As in any block."""
    p = Profiler("x")
    for _ in p.repeating(0, "body", count=2, warmup=0, timer=lambda: clock.now):
        clock.advance(1)
        with p.block(0, "part"):
            clock.advance(2)
    (body,) = p.get_results().tree.children
    (part,) = body.children
    assert (body.name, body.total_time_ns, body.self_time_ns) == ("body", 6, 2)
    assert (part.name, part.total_time_ns) == ("part", 4)


@pytest.mark.parametrize("leaves_by", ["break", "an exception"])
def test_a_loop_that_is_left_keeps_the_passes_before(clock, leaves_by):
    """The last one is recorded, closed at once, and no sample."""
    p = Profiler("x")
    passes = p.repeating(0, "body", count=9, warmup=0, timer=lambda: clock.now)
    try:
        for number in passes:
            clock.advance(5)
            if number == 2:
                if leaves_by == "break":
                    break
                raise KeyError
    except KeyError:
        pass
    clock.advance(100)
    assert p.open_blocks() == []
    assert list(passes.result.samples_ns) == [5, 5]
    assert passes.result.stopped_by == "broken off"
    assert (recorded(p)["body"].hit_count, recorded(p)["body"].total_time_ns) == (3, 15)


# A loop of which a part is a pass


def test_a_part_of_a_loop_body_is_a_pass(clock):
    """What stands outside the `with` is neither timed nor recorded."""
    p = Profiler("x")
    passes = p.repeating(0, "part", count=2, timer=lambda: clock.now)
    while passes.more():
        clock.advance(1000)
        with passes:
            clock.advance(7)
    assert list(passes.result.samples_ns) == [7, 7]
    assert recorded(p)["part"].total_time_ns == 14


def test_a_pass_that_raises_is_no_sample_but_counts(clock):
    """Or a part that always raises would be repeated for ever."""
    p = Profiler("x")
    passes = p.repeating(0, "part", count=4, warmup=0, timer=lambda: clock.now)
    attempts = 0
    while passes.more():
        attempts += 1
        try:
            with passes:
                clock.advance(attempts)
                if attempts % 2:
                    raise ValueError
        except ValueError:
            pass
    assert attempts == 4
    assert list(passes.result.samples_ns) == [2, 4]
    assert hits(p) == {"part": 4}


def test_passes_that_all_raise_still_end(clock):
    """By the time limit; there is no result then, which is an error that says so."""
    p = Profiler("x")
    passes = p.repeating(0, "part", warmup=0, limit_s=1e-6, timer=lambda: clock.now)
    while passes.more():
        clock.advance(300)
        with pytest.raises(ValueError, match="always"), passes:
            raise ValueError("always")
    assert hits(p) == {"part": 5}
    with pytest.raises(RuntimeError, match="no pass of 'part' has ended yet"):
        _ = passes.result


def test_mistakes_in_the_loop_are_told():
    """A pass that is never made, made unasked, or still open."""
    p = Profiler("x")
    passes = p.repeating(0, "part", count=2)
    with pytest.raises(RuntimeError, match="ask `more` before each pass of 'part'"), passes:
        pass
    assert passes.more()
    with pytest.raises(RuntimeError, match="no pass of 'part' was made: what is to be timed goes"):
        passes.more()
    with passes, pytest.raises(RuntimeError, match="a pass of 'part' is still open"):
        passes.more()
    with passes if passes.more() else pytest.fail("one was left"):
        pass
    with passes if passes.more() else pytest.fail("one was left"):
        pass
    assert not passes.more()
    assert not passes.more()
    assert passes.result.count == 2


# Coroutines


def test_a_coroutine_function_is_awaited_each_time(clock):
    """One call after the other, each a pass from call to end."""
    p = Profiler("x")

    async def work() -> None:
        clock.advance(3)
        await asyncio.sleep(0)
        clock.advance(4)

    r = asyncio.run(p.repeat_async(work, count=3, timer=lambda: clock.now))
    assert list(r.samples_ns) == [7, 7, 7]
    assert hits(p) == {"work (repeated)": 3, "work (warm-up)": 1}


def test_an_exception_of_a_coroutine_goes_on_to_the_caller():
    """And no block stays open."""
    p = Profiler("x")

    async def fail() -> None:
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="mistake"):
        asyncio.run(p.repeat_async(fail, count=3))
    assert p.open_blocks() == []


async def a_coroutine() -> None:
    """Do nothing."""


def a_generator() -> Iterator[int]:
    """Give nothing."""
    yield 1


async def an_async_generator() -> Any:
    """Give nothing."""
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (a_coroutine, r"use `await profiler\.repeat_async\(…\)`"),
        (functools.partial(a_coroutine), r"use `await profiler\.repeat_async\(…\)`"),
        (lambda: a_coroutine(), r"use `await profiler\.repeat_async\(…\)`"),
        (a_generator, "is a generator function: a call runs nothing of it"),
        (an_async_generator, "is a generator function: a call runs nothing of it"),
        (5, "what is repeated must be callable, not 5"),
        (None, "what is repeated must be callable, not None"),
    ],
)
def test_what_a_call_does_not_run_is_refused(function, message):
    """With what to do instead."""
    with pytest.raises(TypeError, match=message):
        Profiler("x").repeat(function, count=2)


def test_what_is_tracked_is_refused_alike():
    """A tracked coroutine function is still one."""
    p = Profiler("x")
    with pytest.raises(TypeError, match="repeat_async"):
        p.repeat(p.track(0)(a_coroutine), count=2)
    with pytest.raises(TypeError, match="must be callable"):
        asyncio.run(p.repeat_async(5, count=2))  # type: ignore[arg-type]


# The result


def test_a_result_has_the_figures_of_its_samples():
    """As the functions of `stichotrope.statistics` give them."""
    samples = [100, 110, 120, 130, 140, 150, 160, 170, 1000]
    r = Repetition("x", samples)
    assert (r.count, r.total_ns, r.min_ns, r.max_ns) == (9, 2080, 100, 1000)
    assert r.mean_ns == pytest.approx(2080 / 9)
    assert r.median_ns == 140
    assert r.stddev_ns == pytest.approx(sqrt(sum((x - 2080 / 9) ** 2 for x in samples) / 8))
    assert r.mean_interval_ns == pytest.approx(mean_interval(samples))
    assert r.median_interval_ns == median_interval(samples)
    assert r.fences_ns == (60, 220)
    assert r.outliers_ns == outliers(samples) == [1000]


def test_a_single_sample_has_no_intervals():
    """And no spread."""
    r = Repetition("x", [70])
    assert (r.mean_interval_ns, r.median_interval_ns, r.stddev_ns) == (None, None, 0)
    assert (r.mean_ns, r.median_ns, r.outliers_ns) == (70, 70, [])
    with pytest.raises(ValueError, match="a repetition has one sample at least; 'x' has none"):
        Repetition("x", [])


def test_bytes_make_a_throughput(repeat):
    """At the mean, and at best."""
    r = repeat(1000, 3000, count=2, bytes_per_pass=4_000)
    assert (r.bytes_per_s, r.max_bytes_per_s) == (2e9, 4e9)
    r = repeat(1000, count=1)
    assert (r.bytes_per_s, r.max_bytes_per_s) == (None, None)
    assert repeat(0, count=1, bytes_per_pass=5).bytes_per_s is None


def test_printing_a_result_gives_a_table():
    """Figures with units, intervals, throughput, outliers, and what the harness takes."""
    r = Repetition(
        "sort",
        [1_000_000] * 7 + [1_100_000, 2_000_000],
        warmup=1,
        stopped_by="no new minimum",
        overhead_ns=52.0,
        bytes_per_pass=50_000,
    )
    assert str(r).splitlines() == [
        "sort · 9 passes · 1 warm-up before · stopped by no new minimum",
        "mean    1.12 ms  95 % in 868 µs … 1.38 ms   44.6 MB/s",
        "median  1.00 ms  95 % in 1.00 ms … 1.10 ms  50.0 MB/s",
        "min     1.00 ms                             50.0 MB/s",
        "max     2.00 ms                             25.0 MB/s",
        "stddev   331 µs",
        "2 outliers: 0 below 1.00 ms, 2 above 1.00 ms",
        "an empty pass takes 52 ns, which is in each",
    ]
    assert repr(r) == "<Repetition 'sort': 9 passes, mean 1122222 ns, min 1000000 ns>"


def test_a_result_of_few_samples_prints_what_there_is():
    """No interval, no throughput; and a name that would drive the terminal is escaped."""
    assert str(Repetition("x\x1b[31m", [5])).splitlines() == [
        "x\\x1b[31m · 1 pass · stopped by count",
        "mean    5 ns",
        "median  5 ns",
        "min     5 ns",
        "max     5 ns",
        "stddev  0 ns",
        "an empty pass takes 0 ns, which is in each",
    ]


def test_a_result_becomes_a_document():
    """Of what JSON can hold."""
    document = Repetition("x", [1, 3], bytes_per_pass=8, overhead_ns=0.5).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    half = 12.706204736174694  # Student's t of one degree of freedom, times √2 / √2
    assert document == {
        "format": "stichotrope-repetition",
        "format_version": 1,
        "name": "x",
        "count": 2,
        "warmup": 0,
        "stopped_by": "count",
        "mean_ns": 2,
        "mean_interval_ns": pytest.approx([2 - half, 2 + half]),
        "median_ns": 2,
        "median_interval_ns": None,
        "confidence": 0.95,
        "stddev_ns": pytest.approx(sqrt(2)),
        "min_ns": 1,
        "max_ns": 3,
        "fences_ns": [0, 4],
        "outliers": 0,
        "overhead_ns": 0.5,
        "bytes_per_pass": 8,
        "bytes_per_s": 4e9,
        "max_bytes_per_s": 8e9,
        "samples_ns": [1, 3],
    }


def test_two_results_can_be_compared():
    """Each as one run."""
    old = Repetition("x", [100, 101] * 20)
    new = Repetition("x", [150, 151] * 20)
    (found,) = compare(old.as_runs(), new.as_runs())
    assert (found.verdict, found.basis) == ("slower", "passes of one run")
    assert old == Repetition("x", [100, 101] * 20)
    assert old != new
    assert old != "x"


@pytest.mark.parametrize("form", ["call", "for", "with"])
def test_the_cost_of_an_empty_pass_is_measured(form):
    """Here a reading of the clock moves it by 9 ns, and a pass has one on each side."""
    p = Profiler("x")
    readings = iter(range(0, 10**6, 9))
    options: dict[str, Any] = {"count": 3, "timer": lambda: next(readings)}
    if form == "call":
        r = p.repeat(lambda: None, **options)
    else:
        passes = p.repeating(0, "x", **options)
        if form == "for":
            for _ in passes:
                pass
        else:
            while passes.more():
                with passes:
                    pass
        r = passes.result
    assert r.overhead_ns == 9
    assert list(r.samples_ns) == [9, 9, 9]


def test_a_clock_that_goes_backwards_gives_no_negative_time(clock):
    """As everywhere here, it counts as nothing."""
    times = iter([100, 90, *range(100, 10**4)])
    p = Profiler("x")
    r = p.repeat(lambda: None, count=1, warmup=0, timer=lambda: next(times))
    assert list(r.samples_ns) == [0]


# The progress bar


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **options: Any) -> str:
    """What repeating work for two seconds writes to standard error."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "100")
    clock = ManualClock()
    p = Profiler("x")
    p.repeat(
        Work(clock, 10**9, 99_000_000),
        **{"name": "[b]work", "timer": lambda: clock.now, "count": 20, **options},
    )
    return stream.getvalue()


def test_on_a_terminal_there_is_a_progress_bar(monkeypatch):
    """With name, passes and minimum; drawn every tenth of a second, and taken away at the end."""
    text = shown(monkeypatch, Terminal())
    assert "[b]work" in text
    assert "11 passes · min 99.0 ms" in text
    assert "12 passes" not in text  # 0.1 s had not gone by
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l") == 1  # the cursor is there again


@pytest.mark.parametrize("until", ["no_new_minimum", "interval"])
def test_every_rule_shows_how_far_it_is(monkeypatch, until):
    """Between nothing and all."""
    text = shown(monkeypatch, Terminal(), count=None, until=until)
    assert "passes · min" in text


def test_elsewhere_there_is_none_unless_asked_for(monkeypatch):
    """A file, a pipe, or no standard error at all."""
    assert shown(monkeypatch, io.StringIO()) == ""
    assert shown(monkeypatch, Terminal(), progress=False) == ""
    assert "passes" in shown(monkeypatch, io.StringIO(), progress=True)
    monkeypatch.setattr(sys, "stderr", None)
    assert Profiler("x").repeat(lambda: None, count=2).count == 2


def test_the_bar_goes_when_a_loop_is_left(monkeypatch):
    """By whoever leaves it, however; a `while` loop says so by nothing but letting go."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    p = Profiler("x")
    for number in p.repeating(0, "x", count=9):
        if number == 2:
            break
    assert stream.getvalue().count("\x1b[?25h") == stream.getvalue().count("\x1b[?25l") == 1
    passes = p.repeating(0, "x", count=9)
    while passes.more():
        break
    del passes
    assert stream.getvalue().count("\x1b[?25h") == stream.getvalue().count("\x1b[?25l") == 2


def test_without_a_terminal_rich_is_not_loaded():
    """Nor numpy or scipy."""
    done = run_program(
        "import sys, stichotrope\n"
        "assert 'stichotrope.repetition' not in sys.modules\n"
        "stichotrope.Profiler('x').repeat(len([]).__abs__, count=3)\n"
        "print(*{'rich', 'numpy', 'scipy'} & set(sys.modules))\n"
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must lie between 1 and 1,000,000, not 0"),
        ({"count": 2.0}, TypeError, "count must be an int, not 2.0"),
        ({"count": 2, "until": "interval"}, ValueError, "give a count or until, not both"),
        ({"until": "bored"}, ValueError, "until must be one of 'no_new_minimum', 'interval', not"),
        ({"patience_s": 0}, ValueError, "patience_s must be more than 0 and finite, not 0"),
        ({"patience_s": "2"}, TypeError, "patience_s is an amount of seconds, not '2'"),
        ({"precision": inf}, ValueError, "precision must be more than 0 and finite"),
        ({"precision": True}, TypeError, "precision is an amount of the mean"),
        ({"limit_s": -1}, ValueError, "limit_s must be more than 0 and finite, not -1"),
        ({"warmup": -1}, ValueError, "warmup must lie between 0 and 1,000,000, not -1"),
        ({"warmup": None}, TypeError, "warmup must be an int, not None"),
        ({"bytes_per_pass": 0}, ValueError, "bytes_per_pass must lie between 1 and"),
        ({"progress": 1}, TypeError, "a switch is True or False, not 1"),
        ({"timer": 5}, TypeError, "a timer is a function that returns ns, not 5"),
        ({"name": ""}, ValueError, "a block's name must not be empty"),
        ({"name": 5}, TypeError, "a block's name must be a str, not 5"),
        ({"track": -1}, ValueError, "a track's index must be 0 or more, not -1"),
        ({"cuont": 5}, TypeError, "cuont"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, error, message):
    """Before anything is called."""

    def never() -> None:
        raise AssertionError("it was called")

    with pytest.raises(error, match=message):
        Profiler("x").repeat(never, **options)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0.00 B/s"),
        (999.4, "999 B/s"),
        (999.5, "1.00 kB/s"),
        (81_300_000, "81.3 MB/s"),
        (1.5e9, "1.50 GB/s"),
        (2e12, "2.00 TB/s"),
        (3e15, "3.00 PB/s"),
    ],
)
def test_a_throughput_has_three_digits_and_a_unit(rate, text):
    """Decimal ones."""
    assert format_throughput(rate) == text


# The block and the samples


def test_nothing_but_the_function_and_the_clock_is_called_while_the_block_is_open() -> None:
    """So the block shows what the samples are, and not what the repetition does besides."""
    p = Profiler("p")
    called: list[str] = []

    def timer() -> int:
        return 0

    def function() -> None:
        pass

    def note(frame: FrameType, event: str, what: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)
        elif event == "c_call":
            called.append(what.__name__)

    sys.setprofile(note)
    try:
        p.repeat(function, count=1, warmup=0, timer=timer)
    finally:
        sys.setprofile(None)
    first, last = called.index("__enter__"), called.index("__exit__")
    assert called[first + 1 : last] == ["timer", "function", "timer"]


def test_a_pass_that_fails_is_recorded_and_is_no_sample() -> None:
    """The error goes on to the caller, and the block is closed."""
    p = Profiler("p")
    calls = iter([None, KeyError("second")])

    def fails() -> None:
        error = next(calls)
        if error is not None:
            raise error

    with pytest.raises(KeyError, match="second"):
        p.repeat(fails, count=5, warmup=0)
    block = p.get_results().get_track(0).get_block(0)
    assert (block.hit_count, block.open_count, p.open_blocks()) == (2, 0, [])
