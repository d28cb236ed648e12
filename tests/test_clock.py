"""The clock: which one is chosen, how its ticks become nanoseconds, and the injected one."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from conftest import ManualClock, Threads, recorded, run_program
from stichotrope import Profiler, _core
from stichotrope.config import clock as clocks

pytestmark = pytest.mark.unit

has_counter = pytest.mark.skipif(not _core.counter_name(), reason="no counter on this processor")


@pytest.mark.parametrize(
    ("choice", "source"),
    [
        ("monotonic", "monotonic"),
        pytest.param("counter", _core.counter_name(), marks=has_counter),
    ],
)
def test_the_environment_chooses_the_clock(choice: str, source: str) -> None:
    """And results say which one it was."""
    program = (
        "import json, stichotrope as s; p = s.Profiler('x')\n"
        "with p.block(0, 'x'): sum(range(10**5))\n"
        "r = p.get_results(); print(json.dumps([r.metadata['clock'], r.total_time_ns]))"
    )
    done = run_program(program, STICHOTROPE_CLOCK=choice)
    assert done.stderr == ""
    clock, total = json.loads(done.stdout)
    assert clock["source"] == source
    assert clock["resolution_ns"] > 0
    assert total > 0


@pytest.mark.parametrize("choice", ["sundial", "TSC", " "])
def test_an_unknown_clock_is_refused_on_import(choice: str) -> None:
    """The error names what was given and what there is."""
    done = run_program("import stichotrope", STICHOTROPE_CLOCK=choice)
    assert done.returncode == 1
    expected = f"ValueError: STICHOTROPE_CLOCK is {choice!r}; it can be 'counter' or 'monotonic'"
    assert done.stderr.splitlines()[-1] == expected


def test_an_empty_choice_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the variable were not set."""
    program = "from stichotrope import _core; print(_core.clock_source())"
    monkeypatch.delenv("STICHOTROPE_CLOCK", raising=False)
    unset = run_program(program)
    assert (unset.returncode, unset.stdout) == (
        0,
        run_program(program, STICHOTROPE_CLOCK="").stdout,
    )


@pytest.mark.parametrize("source", ["", "sundial", "tsc "])
def test_the_core_refuses_a_clock_that_it_does_not_know(source: str) -> None:
    """And keeps the one that it has."""
    before = _core.clock_source()
    with pytest.raises(ValueError, match=r"expected 'counter', 'monotonic' or 'manual'"):
        _core.use_clock(source)
    assert _core.clock_source() == before


@pytest.mark.parametrize(
    ("invariant", "kernel", "expected"),
    [
        pytest.param(True, "tsc\n", "counter", marks=has_counter),
        (False, "tsc\n", "monotonic"),
        (True, "hpet\n", "monotonic"),
        (True, "", "monotonic"),
        (True, None, "monotonic"),
    ],
    ids=["trusted", "rate may change", "kernel distrusts", "kernel says nothing", "no such file"],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what it trusts")
def test_the_counter_is_used_only_where_processor_and_kernel_vouch_for_it(
    monkeypatch: pytest.MonkeyPatch, invariant: bool, kernel: str | None, expected: str
) -> None:
    """Else the system's monotonic clock."""
    chosen: list[str] = []

    def opened(path: str, **options: Any) -> io.StringIO:
        assert "clocksource" in path
        if kernel is None:
            raise FileNotFoundError(path)
        return io.StringIO(kernel)

    monkeypatch.delenv("STICHOTROPE_CLOCK", raising=False)
    monkeypatch.setattr(clocks, "open", opened, raising=False)
    monkeypatch.setattr(clocks, "_TRUSTED_SOURCES", {_core.counter_name(): ("tsc",)})
    monkeypatch.setattr(_core, "counter_is_invariant", lambda: invariant)
    monkeypatch.setattr(_core, "use_clock", chosen.append)
    clocks.choose()
    assert chosen == [expected]


def test_a_choice_that_the_machine_does_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the core, in a sentence."""
    if _core.counter_name():
        pytest.skip("this processor has a counter")
    monkeypatch.setenv("STICHOTROPE_CLOCK", "counter")
    with pytest.raises(ValueError, match="no counter that the clock could use"):
        clocks.choose()


# Ticks and nanoseconds


def readings(monkeypatch: pytest.MonkeyPatch, *values: tuple[int, int, int]) -> None:
    """Let the clocks be read as (ticks, ns, uncertainty) in turn; the first is the origin."""
    left = list(values)
    monkeypatch.setattr(_core, "read_clocks", lambda: left.pop(0))
    monkeypatch.setattr(_core, "clock_source", lambda: "tsc")
    monkeypatch.setattr(clocks, "_Calibration", type("Fresh", (clocks._Calibration,), {}))
    clocks._Calibration.begin()


def test_the_rate_is_measured_over_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first reading to this one: the uncertainty loses its weight."""
    readings(monkeypatch, (1000, 500, 0), (4000, 1500, 0), (3_001_000, 1_000_500, 0))
    first, later = clocks.rate(), clocks.rate()
    assert abs(first[0] / first[1] - 1 / 3) < 1e-3
    assert abs(later[0] / later[1] - 1 / 3) < 1e-6


def test_the_rate_never_goes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the same ticks never come out as fewer ns in a later snapshot than in an earlier one."""
    readings(
        monkeypatch,
        (0, 0, 0),
        (1000, 1000, 0),
        (2000, 1900, 0),
        (3000, 2990, 500),
        (4_000_000, 4_000_000, 3),
    )
    rates = [clocks.rate() for _ in range(4)]
    assert [ns / ticks for ns, ticks in rates] == sorted(ns / ticks for ns, ticks in rates)


@pytest.mark.parametrize(
    "second", [(1000, 500, 0), (1000, 900, 0), (900, 600, 0), (1000 + 1, 500, 10**6)]
)
def test_before_a_rate_is_known_a_tick_is_a_nanosecond(
    monkeypatch: pytest.MonkeyPatch, second: tuple[int, int, int]
) -> None:
    """No division by zero when no time has passed, or the clocks were read too far apart."""
    readings(monkeypatch, (1000, 500, 0), second)
    assert clocks.rate() == (1, 1)


@pytest.mark.parametrize("source", ["monotonic", "manual"])
def test_clocks_in_nanoseconds_need_no_calibration(source: str) -> None:
    """A tick is a nanosecond, exactly."""
    _core.use_clock(source)
    assert clocks.rate() == (1, 1)
    assert clocks.description()["ticks_per_second"] == 1_000_000_000.0


def test_the_description_has_source_step_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here of a counter of 2 GHz that counts in steps of 4."""
    readings(monkeypatch, (0, 0, 0), (2_000_000_001, 1_000_000_001, 0))
    monkeypatch.setattr(_core, "tick_resolution", lambda: 4)
    described = clocks.description()
    assert described["source"] == "tsc"
    assert described["resolution_ns"] == pytest.approx(2.0)
    assert described["ticks_per_second"] == pytest.approx(2e9)


@pytest.mark.parametrize("source", ["monotonic", pytest.param("counter", marks=has_counter)])
def test_clocks_do_not_go_backwards_on_a_thread(source: str) -> None:
    """Readings in a row never decrease, and the closest pair is close."""
    _core.use_clock(source)
    taken = [_core.read_clocks() for _ in range(200)]
    assert [t for t, _, _ in taken] == sorted(t for t, _, _ in taken)
    assert [ns for _, ns, _ in taken] == sorted(ns for _, ns, _ in taken)
    assert all(apart >= 0 for _, _, apart in taken)
    assert _core.tick_resolution() >= 1


Reading = tuple[int, int, int]

# A system that sets its time may slow the monotonic clock down, or speed it up, by 500 ppm.
SLEWED = 1.002


def rates(first: Reading, last: Reading) -> tuple[float, float]:
    """The least and the greatest rate that two readings allow: each may be off by half of what its own are apart."""
    ticks, ns, apart = last[0] - first[0], last[1] - first[1], (last[2] + first[2] + 1) // 2
    return (ns - apart) / ticks, (ns + apart) / ticks


@has_counter
def test_the_counter_and_the_monotonic_clock_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """In two stretches in a row, as closely as the readings at their ends tell; the rate is what they tell at least."""
    taken: list[Reading] = []

    def noted() -> Reading:
        taken.append(read())
        return taken[-1]

    read = _core.read_clocks
    monkeypatch.setattr(_core, "read_clocks", noted)
    monkeypatch.setenv("STICHOTROPE_CLOCK", "counter")
    clocks.choose()
    for _ in range(2):
        while read()[1] - taken[-1][1] < 10_000_000:
            pass
        ns, ticks = clocks.rate()
    origin, middle, end = taken
    earlier, later = rates(origin, middle), rates(middle, end)
    assert max(earlier[0], later[0]) <= SLEWED * min(earlier[1], later[1])
    assert ns / ticks == pytest.approx(max(earlier[0], rates(origin, end)[0]), rel=1e-12)


def test_measuring_a_pass_leaves_nothing_behind() -> None:
    """It records into a store of its own, which it frees."""
    before = _core.memory()
    assert _core.measure_pass(10, 2) >= 0
    after = _core.memory()
    assert (after["stores"], after["buffers"]) == (before["stores"], before["buffers"])


# The injected clock


def test_the_injected_clock_shows_what_it_is_told(clock: ManualClock) -> None:
    """Durations are exact."""
    p = Profiler("manual")
    clock.set(1_000)
    with p.block(0, "x"):
        clock.set(1_234)
    assert recorded(p)["x"].total_time_ns == 234


def test_the_injected_clock_is_each_threads_own(clock: ManualClock, threads: Threads) -> None:
    """It begins at 0, and moves on one thread alone."""
    clock.set(77)
    p = Profiler("manual")
    inside = threading.Barrier(2)

    def work(ns: int) -> int:
        with p.block(0, "x"):
            inside.wait(60)
            clock.advance(ns)
            inside.wait(60)
        return clock.now

    assert threads.together(lambda: work(5), lambda: work(9)) == [5, 9]
    assert [share.total_time_ns for share in p.get_results().threads] in ([5, 9], [9, 5])
    assert clock.now == 77


@pytest.mark.parametrize("wrong", [-1, 2**64, "1", None])
def test_the_injected_clock_refuses_what_is_no_time(clock: ManualClock, wrong: Any) -> None:
    """Ticks are 64 bits, from 0 on."""
    setter: Callable[[Any], None] = _core.set_manual_ticks
    with pytest.raises((OverflowError, TypeError)):
        setter(wrong)
