"""Counters, gauges, histograms and timers: exact on any number of threads, exposed as Prometheus reads them."""

from __future__ import annotations

import asyncio
import enum
import gc
import math
import os
import random
import subprocess
import sys
import threading
import warnings
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from stichotrope import _core
from stichotrope.metrics import (
    DEFAULT_BUCKETS,
    Counter,
    Gauge,
    Histogram,
    MetricRegistry,
    Timer,
)
from stichotrope.metrics.buckets import in_bounds, middle
from stichotrope.metrics.text import render_openmetrics

pytestmark = pytest.mark.unit

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def manual():
    """The injected clock: a function that moves it on, in seconds."""
    before = _core.clock_source()
    _core.use_clock("manual")
    _core.set_tick_length(1e-9)
    now = [1_000]

    def move(seconds: float) -> None:
        now[0] += round(seconds * 1e9)
        _core.set_manual_ticks(now[0])

    move(0)
    yield move
    _core.use_clock("monotonic" if before == "monotonic" else "counter")


def anything(value: Any) -> Any:
    """A value that no type checker knows the type of."""
    return value


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a scrape holds, read by the library's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def on_threads(count: int, work) -> None:
    """Run a function on several threads at once."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Counters


def test_a_counter_adds_ints_exactly_and_floats_beside_them():
    """A counter adds ints exactly, beyond what a double holds, and floats too."""
    counter = Counter("sent", "Bytes sent.")
    assert counter.value == 0
    counter.inc()
    counter.inc(2**60)
    counter.inc(2)
    assert counter.value == 2**60 + 3
    assert isinstance(counter.value, int)
    counter.inc(0.5)
    assert counter.value == float(2**60 + 3) + 0.5
    counter.inc(anything(Fraction(1, 2)))
    assert counter.value == float(2**60 + 3) + 1.0


def test_a_counter_goes_on_beyond_what_64_bits_hold():
    """Where 64 bits do not hold a sum, it goes on as a double, and never down."""
    counter = Counter("large")
    for _ in range(4):
        counter.inc(2**63)
    assert counter.value == float(2**65)
    counter.inc(2**70)
    assert counter.value == float(2**65 + 2**70)


@pytest.mark.parametrize("amount", [-1, -0.1, math.nan, math.inf, -math.inf, -(2**70), 10**400])
def test_a_counter_refuses_to_go_down(amount):
    """A counter refuses what is below 0 and what is not finite, and keeps its value."""
    counter = Counter("up")
    counter.inc(3)
    with pytest.raises(ValueError, match=r"only goes up|fit into a double"):
        counter.inc(amount)
    assert counter.value == 3


@pytest.mark.parametrize("amount", ["1", None, True, [], 1j])
def test_what_is_no_number_is_refused_everywhere(amount):
    """What is no number is refused by each kind of metric, with what was given."""
    for record in (
        Counter("a").inc,
        Gauge("a").set,
        Gauge("a").inc,
        Gauge("a").dec,
        Histogram("a").observe,
    ):
        with pytest.raises(TypeError, match="number"):
            record(amount)


@pytest.mark.parametrize("threads", [1, 8, 50])
def test_sums_are_exact_on_many_threads(threads):
    """No value is lost, however many threads record at once, and while others read."""
    counter, floats = Counter("c"), Counter("f")
    labelled = Counter("l", "", ["which"])
    fixed, wide = Histogram("h", buckets=(1, 2, 3)), Histogram("w")
    rounds = 2000 if threads < 50 else 400
    seen: list[float] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(counter.value)
            count, _, _, _, _, counts = fixed._read()
            assert sum(counts) == count

    reader = threading.Thread(target=read)
    reader.start()

    def work() -> None:
        kept = labelled.labels("kept")
        for number in range(rounds):
            counter.inc()
            floats.inc(0.5)
            kept.inc(2)
            labelled.labels(which=number % 3).inc()
            fixed.observe(number % 4 + 0.5)
            wide.observe(number % 7)

    on_threads(threads, work)
    done.set()
    reader.join()
    total = threads * rounds
    assert (counter.value, floats.value) == (total, total / 2)
    assert labelled.labels("kept").value == 2 * total
    assert sum(labelled.labels(n).value for n in range(3)) == total
    count, _, summed, least, greatest, counts = fixed._read()
    assert (count, summed, least, greatest) == (total, total * 2.0, 0.5, 3.5)
    assert counts == [total // 4] * 4
    assert sum(wide._read()[5].values()) == total
    assert seen == sorted(seen)


def test_threads_that_have_ended_cost_nothing_and_lose_nothing():
    """What threads recorded is there when they have ended, and their memory is not."""
    counter, histogram = Counter("c"), Histogram("h", buckets=(1,))
    gc.collect()
    counter.inc()
    _ = counter.value
    before = _core.memory()["threads"]

    def work() -> None:
        counter.inc()
        histogram.observe(0.5)
        Counter("gone").inc()

    for _ in range(40):
        on_threads(5, work)
    assert counter.value == 201
    assert histogram._read()[5] == [200, 0]
    # A thread's last steps are taken after it was joined.
    while _core.memory()["threads"] > before:
        assert counter.value == 201


# Labels


def test_labels_are_chosen_in_order_or_by_name_and_kept():
    """The same labels give the same series, however they are given."""
    counter = Counter("requests", "Requests.", ["method", "code"])
    kept = counter.labels("GET", 200)
    assert kept is counter.labels("GET", "200")
    assert kept is counter.labels(code=200, method="GET")
    assert kept is counter.labels("GET", 200)
    assert kept.label_values == {"method": "GET", "code": "200"}
    assert kept is not counter.labels("PUT", 200)


@pytest.mark.parametrize(
    ("values", "named", "says"),
    [
        ((), {}, "2 labels (method, code), and was given 0"),
        (("GET",), {}, "was given 1"),
        (("GET", 1, 2), {}, "was given 3"),
        ((), {"method": "GET"}, "was given method"),
        ((), {"method": "GET", "code": 1, "x": 2}, "was given method, code, x"),
        (("GET",), {"code": 1}, "in order or by name, not both"),
    ],
)
def test_wrong_labels_are_refused_with_what_the_metric_has(values, named, says):
    """Wrong labels are refused, also beside right ones, and the error tells the right ones."""
    counter = Counter("requests", "Requests.", ["method", "code"])
    counter.labels("GET", 1)
    with pytest.raises(ValueError, match="requests") as caught:
        counter.labels(*values, **named)
    assert says in str(caught.value)


def test_a_metric_with_labels_records_nothing_itself_and_one_without_has_none_to_choose():
    """Recording without choosing labels is refused, and so is choosing where there are none."""
    labelled = Histogram("h", "", ["a"])
    for use in (
        lambda: labelled.observe(1),
        lambda: Timer(labelled),
        lambda: labelled.percentile(50),
        labelled.summary,
    ):
        with pytest.raises(ValueError, match="labels"):
            use()
    with pytest.raises(ValueError, match="labels"):
        Counter("c", "", ["a"]).inc()
    with pytest.raises(ValueError, match="labels"):
        Gauge("g", "", ["a"]).set(1)
    with pytest.raises(ValueError, match="no labels"):
        Counter("c").labels("x")
    with pytest.raises(ValueError, match="no labels"):
        labelled.labels("x").labels("y")


def test_too_many_label_sets_are_added_up_under_one():
    """Beyond the limit, label sets share one series; there is one warning, and no count is lost."""
    counter = Counter("users", "Users.", ["id"], max_series=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(100):
            counter.labels(number).inc()
            counter.labels(id=number).inc()
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert "users has 3 label sets" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert len(counter.children) == 3
    registry = MetricRegistry()
    registry.register(counter)
    found = samples(registry.expose())
    assert found["users_total", (("id", "(other)"),)] == 2 * 97
    assert sum(found.values()) == 200


def test_a_label_set_can_be_removed():
    """A label set that is removed is not collected any more; what was kept of it still works."""
    counter = Counter("c", "", ["a"])
    kept = counter.labels("x")
    kept.inc()
    counter.remove("x")
    kept.inc()
    assert counter.series() == []
    assert counter.labels("x").value == 0
    with pytest.raises(KeyError):
        counter.remove("y")
    counter.clear()
    assert counter.series() == []


def test_the_place_of_what_is_gone_is_used_again_and_empty():
    """What takes the place of a metric that is gone starts empty, on all threads."""
    start, stop = threading.Barrier(2), threading.Barrier(2)
    held: list[Any] = []

    def work() -> None:
        for _ in range(50):
            start.wait()
            held[0].inc(5) if isinstance(held[0], Counter) else held[0].observe(1.5)
            stop.wait()

    thread = threading.Thread(target=work)
    thread.start()
    for number in range(50):
        held[:] = [Counter("c") if number % 3 else Histogram("h", buckets=(1, 2))]
        start.wait()
        stop.wait()
        if isinstance(held[0], Counter):
            assert held[0].value == 5
        else:
            assert held[0]._read()[0] == 1
    thread.join()


# Gauges


def test_a_gauge_is_one_value_for_all_threads():
    """Whichever thread sets a gauge, and whichever adds to it, it is one value."""
    gauge = Gauge("g")
    gauge.set(10)

    def work() -> None:
        for _ in range(1000):
            gauge.inc(2)
            gauge.dec(0.5)

    on_threads(8, work)
    assert gauge.value == 10 + 8 * 1000 * 1.5
    threading.Thread(target=lambda: gauge.set(-1)).start()
    while gauge.value != -1:
        pass
    gauge.set(math.inf)
    assert gauge.value == math.inf


def test_a_gauge_may_ask_a_function():
    """A gauge with a function has the value that it returns when it is collected."""
    registry = MetricRegistry()
    gauge = Gauge("g", registry=registry)
    items = [1, 2, 3]
    gauge.set_function(lambda: len(items))
    assert samples(registry.expose()) == {("g", ()): 3}
    items.clear()
    assert gauge.value == 0
    with pytest.raises(TypeError, match="callable"):
        gauge.set_function(anything(3))
    with pytest.raises(ValueError, match="labels"):
        Gauge("h", "", ["a"]).set_function(lambda: 1)


def test_a_label_set_of_a_gauge_may_ask_a_function_of_its_own():
    """Beside others that are set, until it is removed."""
    registry = MetricRegistry()
    gauge = Gauge("g", "", ["queue"], registry=registry)
    items = [1, 2, 3]
    gauge.labels("a").set_function(lambda: len(items))
    gauge.labels("b").set(7)
    assert samples(registry.expose()) == {("g", (("queue", "a"),)): 3, ("g", (("queue", "b"),)): 7}
    items.clear()
    assert (gauge.labels("a").value, gauge.labels("b").value) == (0, 7)
    assert (gauge.labels("a").has_function, gauge.labels("b").has_function) == (True, False)
    with pytest.raises(TypeError, match="callable"):
        gauge.labels("a").set_function(anything(3))
    with pytest.raises(ValueError, match="labels"):
        gauge.value  # noqa: B018
    gauge.remove("a")
    assert samples(registry.expose()) == {("g", (("queue", "b"),)): 7}


# Histograms


def test_fixed_buckets_hold_what_does_not_exceed_their_bounds():
    """A value is in the first bucket whose bound it does not exceed, for any number of bounds."""
    for many in (1, 2, 7, 8, 9, 40):
        bounds = tuple(float(n) for n in range(many))
        histogram = Histogram("h", buckets=bounds)
        values = [n / 2 for n in range(-3, 2 * many + 3)]
        for value in values:
            histogram.observe(value)
        expected = [0] * (many + 1)
        for value in values:
            expected[next((i for i, bound in enumerate(bounds) if value <= bound), many)] += 1
        assert histogram._read()[5] == expected


def test_log_linear_buckets_are_never_off_by_more_than_a_thirty_second():
    """The middle of a log-linear bucket is within 1/32 of each value in it, whatever its size and sign."""
    rng = random.Random(5)
    for _ in range(2000):
        value = rng.choice([-1, 1]) * math.ldexp(rng.uniform(0.5, 1), rng.randint(-1000, 1000))
        histogram = Histogram("h")
        histogram.observe(value)
        ((bucket, count),) = histogram._read()[5].items()
        assert count == 1
        assert abs(middle(bucket) - value) <= abs(value) / 32
    histogram = Histogram("h")
    for zero in (0, 0.0, -0.0):
        histogram.observe(zero)
    assert histogram._read()[5] == {0: 3}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_histogram_refuses_what_would_be_in_every_sum_from_then_on(value):
    """NaN and infinities are refused, and nothing is recorded."""
    histogram = Histogram("h")
    histogram.observe(1)
    with pytest.raises(ValueError, match=r"finite|fit"):
        histogram.observe(value)
    assert histogram._read()[:3] == (1, 0, 1.0)


@pytest.mark.parametrize(
    ("buckets", "error", "says"),
    [
        ((), ValueError, "1 to 1,000 finite bounds"),
        ((math.inf,), ValueError, "1 to 1,000 finite bounds"),
        ((1, 1), ValueError, "must rise"),
        ((2, 1), ValueError, "must rise"),
        ((math.nan, 1), ValueError, "may be infinite"),
        ((math.inf, 1), ValueError, "may be infinite"),
        (("1",), TypeError, "must be a number"),
        ("12", TypeError, "list or tuple"),
        (range(2000), ValueError, "finite bounds, not 2000"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(buckets, error, says):
    """Bounds that are no numbers, or do not rise, are refused with what was given."""
    for arguments in ({"buckets": buckets}, {"classic_buckets": buckets}):
        with pytest.raises(error, match=says):
            Histogram("h", **arguments)


def test_percentiles_are_those_of_the_values():
    """A percentile of a log-linear histogram is within 1/32; that of fixed buckets within its bucket."""
    rng = random.Random(3)
    values = sorted(rng.lognormvariate(-3, 1) for _ in range(5000))
    wide, fixed = Histogram("w"), Histogram("f", buckets=DEFAULT_BUCKETS)
    for value in values:
        wide.observe(value)
        fixed.observe(value)
    assert (wide.percentile(0), wide.percentile(100)) == (values[0], values[-1])
    for q in (1, 25, 50, 90, 99, 99.9):
        exact = values[math.ceil(Fraction(str(q)) * len(values) / 100) - 1]
        assert abs(wide.percentile(q) - exact) <= exact / 32
        bounds = (0.0, *DEFAULT_BUCKETS, math.inf)
        place = next(i for i, bound in enumerate(bounds) if exact <= bound)
        assert bounds[place - 1] <= fixed.percentile(q) <= bounds[place]
    summary = wide.summary()
    assert summary["count"] == 5000
    assert summary["sum"] == pytest.approx(math.fsum(values))
    assert summary["p50"] == wide.percentile(50)
    assert Histogram("e").summary() == dict.fromkeys(summary, 0)
    with pytest.raises(ValueError, match="between 0 and 100"):
        wide.percentile(101)


def test_classic_buckets_of_a_log_linear_histogram_rise_and_end_with_the_count():
    """Derived buckets never go down, neither along the bounds nor from one scrape to the next."""
    registry = MetricRegistry()
    histogram = Histogram("h", registry=registry)
    rng = random.Random(1)
    before: dict[Any, float] = {}
    for _ in range(20):
        for _ in range(200):
            histogram.observe(rng.choice([-1, 1, 1]) * rng.lognormvariate(-2, 3))
        found = samples(registry.expose())
        counts = [value for (name, _), value in found.items() if name == "h_bucket"]
        assert counts == sorted(counts)
        assert counts[-1] == found["h_count", ()]
        assert all(found[key] >= value for key, value in before.items() if key[0] != "h_sum")
        before = found
    assert sum(in_bounds(histogram._read()[5], (0.0,))) == 4000


def test_what_is_equal_to_a_bound_is_below_it():
    """As in fixed buckets, whatever the bounds are: on the edge of a log-linear bucket, or within one."""
    bounds = (-5.0, -1.0, -0.3, 0.0, 0.005, 0.1, 0.3, 1.0, 2.0, 2.5, 5.0, 7.77, 10.0, 1e300)
    for value in (*bounds, *DEFAULT_BUCKETS):
        wide, fixed = Histogram("w", classic_buckets=bounds), Histogram("f", buckets=bounds)
        for one in (wide, fixed):
            one.observe(value)
        found = [
            [one.value for one in made.collect()[0].samples if one.name.endswith("_bucket")]
            for made in (wide, fixed)
        ]
        assert found[0] == found[1], value


def test_a_value_is_never_counted_far_from_its_bound():
    """A value that lies further from a bound than a bucket is wide is on the right side of it."""
    rng = random.Random(8)
    for _ in range(2000):
        value, bound = (
            rng.choice([-1, 1]) * math.ldexp(rng.uniform(0.5, 1), rng.randint(-3, 3))
            for _ in range(2)
        )
        if abs(value - bound) <= abs(value) / 16:
            continue
        histogram = Histogram("h")
        histogram.observe(value)
        assert in_bounds(histogram._read()[5], (bound,)) == [value <= bound, value > bound]


def test_a_histogram_keeps_the_newest_exemplar_of_each_bucket():
    """With exemplars, the newest value with labels is kept in each bucket, and exposed where they are known."""
    registry = MetricRegistry()
    histogram = Histogram("h", "Sizes.", buckets=(1, 10), exemplars=True, registry=registry)
    histogram.observe(0.5, {"trace_id": "a"})
    histogram.observe(0.7, exemplar={"trace_id": "b ä"})
    histogram.observe(100, {"trace_id": "c"})
    histogram.observe(5)
    text = render_openmetrics(registry.collect())
    (family,) = openmetrics(text)
    found = [s.exemplar and (s.exemplar.labels, s.exemplar.value) for s in family.samples]
    assert found[:3] == [({"trace_id": "b ä"}, 0.7), None, ({"trace_id": "c"}, 100.0)]
    with pytest.raises(ValueError, match="exemplars=True"):
        Histogram("n").observe(1, {"trace_id": "a"})


def test_a_function_may_give_the_labels_of_exemplars_and_its_errors_are_not_the_programs(
    monkeypatch, caplog
):
    """What gives the labels of exemplars is asked for each value; when it fails, that is logged once."""
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    answers = iter([{"trace_id": "a"}, None])
    histogram = Histogram("h", exemplars=lambda: next(answers))
    for value in (1, 2, 3, 4):
        histogram.observe(value)
    assert [labels for labels, *_ in histogram._exemplars().values()] == [{"trace_id": "a"}]
    assert histogram._read()[0] == 4
    assert reported == []
    (record,) = caplog.records
    assert "h labels of exemplars failed" in record.message
    assert record.exc_info[0] is StopIteration
    with pytest.raises(TypeError, match="exemplars"):
        Histogram("h", exemplars=anything(3))


BAD_EXEMPLARS = [
    ({"user": 5}, TypeError),
    ({5: "user"}, TypeError),
    ("abc", TypeError),
    ([("a", "b")], TypeError),
    (3, TypeError),
    ({"a-b": "x"}, ValueError),
    ({"": "x"}, ValueError),
    ({"1a": "x"}, ValueError),
    ({"é": "x"}, ValueError),
    ({"a": "x" * 128}, ValueError),
]


@pytest.mark.parametrize(("labels", "error"), BAD_EXEMPLARS)
def test_an_exemplar_that_cannot_be_written_is_refused_or_left_out(labels, error, caplog):
    """Where the program gives it, it is an error and nothing is recorded; a function's is left out."""
    registry = MetricRegistry()
    given = Histogram("given", exemplars=True, registry=registry)
    with pytest.raises(error, match="exemplar"):
        given.observe(0.1, exemplar=anything(labels))
    asked = Histogram("asked", exemplars=anything(lambda: labels), registry=registry)
    asked.observe(0.1)
    assert (given.summary()["count"], asked.summary()["count"]) == (0, 1)
    assert (given._exemplars(), asked._exemplars()) == ({}, {})
    assert len(caplog.records) == 1
    assert len(list(openmetrics(render_openmetrics(registry.collect())))) == 2


def test_an_exemplar_may_be_as_long_as_openmetrics_has_it():
    """128 characters of names and values are kept, whatever characters they are."""
    histogram = Histogram("h", exemplars=True)
    labels = {"trace_id": "ä" * 60, "b": "x" * 59}
    histogram.observe(1, labels)
    assert [kept for kept, *_ in histogram._exemplars().values()] == [labels]


class Method(str, enum.Enum):  # noqa: UP042 - it differs from StrEnum in what str() makes of it
    """Texts that str() makes other texts of."""

    GET = "get"


@pytest.mark.parametrize("order", [[Method.GET, "get"], ["get", Method.GET]])
def test_a_label_that_is_a_text_is_that_text_whatever_came_first(order):
    """A member of an enumeration of texts is its value, by whatever it was asked for before."""
    counter = Counter("c", "", ["method"])
    for value in order:
        counter.labels(value).inc()
        counter.labels(method=value).inc()
    assert [(one.label_values, one.value) for one in counter.series()] == [({"method": "get"}, 4)]
    histogram = Histogram("h", exemplars=True)
    histogram.observe(1, {"method": Method.GET})
    ((labels, *_),) = histogram._exemplars().values()
    assert (str(labels["method"]), type(labels["method"])) == ("get", str)


# Timers


def test_a_timer_observes_seconds_on_the_profilers_clock(manual):
    """A timer records what passed between entering and leaving, exactly, exceptions included."""
    histogram = Histogram("h", buckets=(0.1, 1, 10))
    timer = Timer(histogram)
    for seconds in (0.1, 0.25, 20):
        with timer:
            manual(seconds)

    def fail() -> None:
        with timer:
            manual(0.5)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    count, ticks, summed, least, greatest, counts = histogram._read()
    assert (count, ticks, summed) == (4, 20_850_000_000, 0)
    assert (least, greatest, counts) == (0.1, 20.0, [1, 2, 0, 1])
    assert histogram.summary()["sum"] == 20.85


def test_a_kept_timer_may_be_entered_recursively_and_by_other_ways(manual):
    """Each exit belongs to its own enter: recursion, an ExitStack, and leaving in another order."""
    histogram = Histogram("h")
    timer = histogram.time()

    def recurse(depth: int) -> None:
        with timer:
            manual(1)
            if depth:
                recurse(depth - 1)

    recurse(3)
    assert histogram.summary()["sum"] == 1 + 2 + 3 + 4
    with ExitStack() as stack:
        stack.enter_context(timer)
        manual(5)
    assert histogram.summary()["max"] == 5
    with pytest.raises(RuntimeError, match="does not run"):
        timer.__exit__(None, None, None)


def test_tasks_that_share_a_timer_do_not_mix_up_their_times(manual):
    """Tasks that are in one timer at once, and leave in any order, are each timed by themselves."""
    histogram = Histogram("h", buckets=(1.5, 2.5, 3.5))
    timer = Timer(histogram)

    async def inside(gate: asyncio.Event, stacked: bool) -> None:
        if stacked:
            with ExitStack() as stack:
                stack.enter_context(timer)
                await gate.wait()
        else:
            with timer:
                await gate.wait()

    async def main() -> None:
        gates = [asyncio.Event() for _ in range(3)]
        tasks = []
        for number, gate in enumerate(gates):
            tasks.append(asyncio.create_task(inside(gate, number == 1)))
            await asyncio.sleep(0)
            manual(1)
        # They began at 0, 1 and 2; the first leaves at 3, after 3.
        for number in (0, 1, 2):
            gates[number].set()
            await tasks[number]
            manual(0.25)

    asyncio.run(main())
    assert histogram._read()[5] == [1, 1, 1, 0]
    assert histogram.summary()["sum"] == 3 + 2.25 + 1.5


def test_a_generator_may_leave_a_timer_on_another_thread(manual):
    """What a suspended generator has entered on one thread is left on another, also when the first has ended."""
    histogram = Histogram("h")
    timer = Timer(histogram)

    def generate():
        with timer:
            yield

    for lives in (True, False):
        generators = [generate() for _ in range(3)]
        gate, entered = threading.Event(), threading.Event()

        def enter(generators=generators, gate=gate, entered=entered, lives=lives) -> None:
            _core.set_manual_ticks(10)
            for one in generators:
                next(one)
            entered.set()
            if lives:
                gate.wait()

        thread = threading.Thread(target=enter)
        thread.start()
        entered.wait()
        if not lives:
            thread.join()
        manual(0)
        before = histogram._read()[0]
        for one in reversed(generators):
            one.close()
        assert histogram._read()[0] == before + 3
        gate.set()
        thread.join()
    with pytest.raises(RuntimeError, match="does not run"):
        timer.__exit__(None, None, None)


def test_a_timer_decorates_functions_of_each_kind(manual):
    """A decorated function stays of its kind, and each call is timed from its start to its end."""
    histogram = Histogram("h")
    timer = histogram.time()

    @timer
    def plain(a, *, b):
        """Doc."""
        manual(1)
        return a + b

    @timer
    async def coroutine():
        manual(2)
        await asyncio.sleep(0)
        return 7

    @timer
    def generator():
        got = yield 1
        manual(3)
        yield got
        return 9

    @timer
    async def async_generator():
        try:
            got = yield 1
            manual(4)
            yield got
        except KeyError:
            yield "caught"

    assert (plain(1, b=2), plain.__name__, plain.__doc__) == (3, "plain", "Doc.")
    assert asyncio.run(coroutine()) == 7

    def delegate():
        return (yield from generator())

    run = delegate()
    assert (next(run), run.send("x")) == (1, "x")
    with pytest.raises(StopIteration) as stop:
        next(run)
    assert stop.value.value == 9

    async def drive():
        run = async_generator()
        assert [await anext(run), await run.asend("y")] == [1, "y"]
        assert await run.athrow(KeyError) == "caught"
        await run.aclose()

    asyncio.run(drive())
    assert histogram.summary()["sum"] == 10
    assert histogram._read()[0] == 4
    with pytest.raises(TypeError, match="callable"):
        timer(anything(3))


def test_a_timer_chooses_labels():
    """A timer may be given the labels of its histogram, which are checked then."""
    histogram = Histogram("h", "", ["route"])
    with Timer(histogram, {"route": "/"}):
        pass
    assert histogram.labels("/").summary()["count"] == 1
    with histogram.labels("/").time():
        pass
    assert histogram.labels("/").percentile(0) >= 0
    with pytest.raises(ValueError, match="route"):
        Timer(histogram, {"path": "/"})
    with pytest.raises(TypeError):
        Timer(anything("h"))


# Names


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "ä", "a\n", "a.b", "²"])
def test_names_that_prometheus_does_not_take_are_refused(name):
    """A metric's name, and a label's, is what Prometheus takes."""
    for kind in (Counter, Gauge, Histogram):
        with pytest.raises(ValueError, match="name"):
            kind(name)
        with pytest.raises(ValueError, match="name"):
            kind("fine", "", [name])


def test_labels_that_are_reserved_or_given_twice_are_refused():
    """Labels are different names, of none that a metric uses itself."""
    with pytest.raises(ValueError, match="reserved"):
        Histogram("h", "", ["le"])
    with pytest.raises(ValueError, match="reserved"):
        Counter("c", "", ["__a"])
    with pytest.raises(ValueError, match="differ"):
        Counter("c", "", ["a", "a"])
    with pytest.raises(TypeError, match="one text"):
        Counter("c", "", "ab")
    with pytest.raises(TypeError, match="str"):
        Counter(anything(3))
    with pytest.raises(TypeError, match="description"):
        Counter("c", anything(3))
    with pytest.raises(ValueError, match="max_series"):
        Counter("c", max_series=0)
    assert Counter("le", "", ["le"]).label_names == ("le",)


# Registries


def test_a_registry_gives_each_name_to_one_metric():
    """A second metric of a name, or of one that another's samples have, is an error and changes nothing."""
    registry = MetricRegistry()
    counter = Counter("jobs_total", "Jobs.", registry=registry)
    histogram = Histogram("size", "Sizes.")
    registry.register(histogram)
    for taken in (
        Gauge("jobs"),
        Gauge("jobs_total"),
        Counter("jobs"),
        Gauge("size_count"),
        Histogram("size"),
    ):
        with pytest.raises(ValueError, match="taken"):
            registry.register(taken)
    with pytest.raises(ValueError, match="already"):
        registry.register(counter)
    with pytest.raises(TypeError, match="collect"):
        registry.register(anything(3))
    assert registry.get("jobs") is counter
    assert registry.get("jobs_total") is counter
    assert registry.get("nothing") is None
    assert list(registry) == [counter, histogram]
    registry.unregister(counter)
    with pytest.raises(KeyError):
        registry.unregister(counter)
    replaced = Gauge("jobs", registry=registry)
    assert registry.get("jobs") is replaced
    assert registry.get("jobs_total") is None


def test_texts_survive_the_librarys_own_parser():
    """Values of labels and descriptions with quotes, newlines, backslashes and Unicode come back as they were."""
    registry = MetricRegistry()
    odd = ['"', "\n", "\\", "\\n", "ä 漢 🎉", "", ' a="b",', "{}"]
    counter = Counter("c", 'Odd "texts"\n\\n ä', ["text"], registry=registry)
    for text in odd:
        counter.labels(text).inc(2)
    for exposed in (registry.expose(), generate_latest(registry).decode()):
        (family,) = text_string_to_metric_families(exposed)
        assert family.documentation == 'Odd "texts"\n\\n ä'
        assert {sample.labels["text"]: sample.value for sample in family.samples} == dict.fromkeys(
            odd, 2
        )


def test_prometheus_client_takes_the_registry_for_its_own():
    """generate_latest gives the same samples as expose, and so does what restricts them."""
    registry = MetricRegistry()
    Counter("c", "C.", registry=registry).inc(3)
    Gauge("g", "G.", registry=registry).set(math.nan)
    Histogram("fixed", "F.", ["a"], buckets=(1, 2), registry=registry).labels("x").observe(1.5)
    Histogram("wide", "W.", registry=registry).observe(0.3)
    ours, theirs = samples(registry.expose()), samples(generate_latest(registry).decode())
    assert math.isnan(ours.pop(("g", ())))
    assert math.isnan(theirs.pop(("g", ())))
    assert ours == theirs
    assert ours["fixed_bucket", (("a", "x"), ("le", "2.0"))] == 1
    some = registry.restricted_registry(["c_total", "wide_sum"])
    assert samples(generate_latest(some).decode()) == {("c_total", ()): 3, ("wide_sum", ()): 0.3}
    assert list(openmetrics(render_openmetrics(registry.collect())))


def test_a_collector_that_fails_takes_nothing_from_the_others(caplog):
    """What raises when it is collected is left out, logged and counted; the rest is there."""
    registry = MetricRegistry()

    class Broken:
        def collect(self):
            yield from Counter("half").collect()
            raise RuntimeError("no luck")

    registry.register(Broken())
    Gauge("bad", registry=registry).set_function(lambda: 1 / 0)
    Counter("good", registry=registry).inc()
    assert samples(registry.expose()) == {
        ("good_total", ()): 1,
        ("stichotrope_collector_errors_total", ()): 2,
    }
    assert "no luck" in caplog.text
    assert "division by zero" in caplog.text


def test_resetting_begins_from_zero_and_keeps_what_is_kept():
    """After a reset all series are there, at zero, and what was kept of them counts on."""
    registry = MetricRegistry()
    counter = Counter("c", "", ["a"], registry=registry)
    histogram = Histogram("h", buckets=(1,), exemplars=True, registry=registry)
    gauge = Gauge("g", registry=registry)
    kept = counter.labels("x")

    def work() -> None:
        kept.inc()
        histogram.observe(2, {"a": "b"})
        gauge.inc()

    on_threads(3, work)
    registry.reset()
    assert set(samples(registry.expose()).values()) == {0}
    assert histogram._exemplars() == {}
    on_threads(2, work)
    assert (kept.value, histogram._read()[0], gauge.value) == (2, 2, 2)


# Processes


@needs_fork
def test_a_forked_child_starts_from_zero_and_the_parent_keeps_its_own():
    """After a fork the child counts from zero, with working locks, whatever other threads do."""
    counter, gauge, histogram = Counter("c"), Gauge("g"), Histogram("h")
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            counter.inc()
            with histogram.time():
                gauge.inc()
            _ = counter.value

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            with histogram.time(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                child = os.fork()
                if child == 0:
                    start = (counter.value, gauge.value, histogram._read()[0])
                    counter.inc(2)
                    gauge.inc(3)
                    on_threads(2, counter.inc)
                    now = (counter.value, gauge.value)
                    os._exit(0 if (start, now) == ((0, 0, 0), (4, 3)) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert counter.value > 0


def test_the_package_does_not_import_metrics():
    """`import stichotrope` does not import metrics, and metrics do not import what exposes them."""
    code = (
        "import sys, stichotrope; assert 'stichotrope.metrics' not in sys.modules;"
        "import stichotrope.metrics;"
        "assert not {'prometheus_client', 'opentelemetry', 'http.server'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_metrics_cannot_be_pickled():
    """A metric belongs to its process, and says so."""
    import pickle

    with pytest.raises(TypeError, match="belongs to this process"):
        pickle.dumps(Counter("c"))


def test_what_is_lost_is_in_the_scrape_and_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once there is any, and said again only when there is more."""
    registry = MetricRegistry()
    assert "unrecorded" not in registry.expose()
    monkeypatch.setattr(_core, "unrecorded_values", lambda: 3)
    monkeypatch.setattr(_core, "unshared_metrics", lambda: 2)
    with caplog.at_level("WARNING", "stichotrope"):
        text = registry.expose()
        registry.expose()
    assert "stichotrope_unrecorded_values_total 3" in text
    assert "stichotrope_unshared_metrics_total 2" in text
    assert [record.getMessage() for record in caplog.records] == [
        "Values of metrics that found no memory: 3 until now",
        "Cells of metrics that found no room in the shared file, and are this process's alone: "
        "2 until now",
    ]


def test_a_labelled_metric_has_no_value_itself():
    """A 0 would be wrong: what its labels give has the values."""
    for metric in (Counter("asked", labelnames=["a"]), Gauge("level", labelnames=["a"])):
        metric.labels("x").inc(3)
        with pytest.raises(ValueError, match=f"{metric.name} has labels"):
            _ = metric.value


@pytest.mark.filterwarnings("ignore:.*label sets:RuntimeWarning")
@pytest.mark.parametrize("first", ["(other)", "a"])
def test_a_label_set_that_is_called_as_the_overflow_is_the_overflow(first):
    """However it came to be: no series is there twice."""
    counter = Counter("few", labelnames=["a"], max_series=1)
    for value in (first, "b", "c", "(other)"):
        counter.labels(value).inc()
    shown = [sample.labels["a"] for family in counter.collect() for sample in family.samples]
    assert sorted(shown) == sorted({first, "(other)"})
    assert sum(series.value for series in counter.series()) == 4
    counter.remove("(other)")
    assert len(counter.series()) == (0 if first == "(other)" else 1)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: Timer(anything(Counter("c"))), TypeError, "times into a histogram, not"),
        (lambda: Timer(Histogram("h", labelnames=["a"]), anything(5)), TypeError, "labels are a"),
        (lambda: Counter("c", labelnames=anything(None)), TypeError, "labelnames is a list"),
        (lambda: Histogram("h", buckets=anything(5)), TypeError, "buckets is a list"),
        (lambda: Counter("c").inc(10**400), ValueError, "must fit into a double"),
        (lambda: Counter("c").inc(10**5000), ValueError, "must fit into a double"),
        (lambda: Gauge("g").set(10**5000), ValueError, "must fit into a double"),
        (lambda: Counter("c", max_series=anything("x" * 10**6)), TypeError, "must be an int, not"),
        (lambda: Counter("c", anything(10**5000)), TypeError, "cannot be printed, of type int"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(wrong, error, says):
    """Of a length that can be read, whatever was given."""
    with pytest.raises(error, match=says) as caught:
        wrong()
    assert len(str(caught.value)) < 400
