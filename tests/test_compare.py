"""Comparing two versions of a program: which blocks are the same, what changed, what is shown."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from math import exp, hypot, isclose, log, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from conftest import ManualClock
from handmade import block, single
from stichotrope import Profiler, ProfilerResults, ResultsFormatError
from stichotrope.results import ProcessorTime, ProfileBlock, ProfileTrack
from stichotrope.results.histogram import Histogram
from stichotrope.statistics import (
    NO_DIFFERENCE,
    Comparison,
    Runs,
    compare,
    load_runs,
)
from stichotrope.statistics.student import tail_begin

pytestmark = pytest.mark.unit

PYPERF = Path(__file__).parent / "data" / "pyperf-1.0.json"


def runs(*times_ns: float, name: str = "work") -> Runs:
    """Runs in each of which one thing took a time."""
    return Runs.of_samples(*({name: [time]} for time in times_ns))


def passes(*durations: int, name: str = "work", **options: Any) -> ProfilerResults:
    """The results of a run of one block."""
    return single(block(name, durations, **options))


def only(comparison: Comparison) -> Any:
    """The one block of a comparison; the type checker need not ask whether it has an interval."""
    (found,) = comparison
    return found


# Verdicts


def test_a_block_that_takes_longer_in_all_runs_is_slower():
    """Its interval lies wholly above the threshold of 2 %."""
    found = only(compare(runs(100, 101, 99, 100), runs(120, 121, 119, 120)))
    assert (found.verdict, found.basis, found.note) == ("slower", "runs", "")
    assert (found.old_ns, found.new_ns) == (100, 120)
    assert found.ratio == 1.2
    assert found.change == pytest.approx(0.2)
    assert 1.02 < found.low < 1.2 < found.high


def test_a_block_that_takes_less_time_in_all_runs_is_faster():
    """Its interval lies wholly below the threshold."""
    found = only(compare(runs(120, 121, 119, 120), runs(100, 101, 99, 100)))
    assert found.verdict == "faster"
    assert found.low < 100 / 120 < found.high < 0.98


def test_times_that_scatter_show_no_difference():
    """A change that is smaller than what runs differ by anyway."""
    found = only(compare(runs(100, 140, 80, 120), runs(105, 150, 90, 125)))
    assert (found.verdict, found.note) == ("no difference shown", "")
    assert found.low < 1 < found.high


def test_a_change_within_the_threshold_is_no_difference():
    """However sure it is; a smaller threshold shows it."""
    old, new = runs(1000, 1001, 999, 1000), runs(1010, 1011, 1009, 1010)
    assert only(compare(old, new)).verdict == "no difference shown"
    assert only(compare(old, new, threshold=0.005)).verdict == "slower"
    assert only(compare(new, old, threshold=0.005)).verdict == "faster"


def test_a_change_must_be_beyond_the_threshold_for_sure():
    """An interval that reaches below the threshold does not do, though 10 % are most likely."""
    old, new = runs(100, 103, 97, 100), runs(110, 113, 107, 110)
    found = only(compare(old, new, threshold=0.09))
    assert found.low > 1
    assert found.verdict == "no difference shown"
    assert only(compare(old, new, threshold=0.03)).verdict == "slower"


def test_the_interval_of_the_ratio_is_welchs():
    """Computed by hand: variances 1 and 4 of three runs each, at means 100 and 200."""
    found = only(compare(runs(99, 100, 101), runs(198, 200, 202), confidence=0.95))
    error = sqrt((1 / 100) ** 2 / 3 + (2 / 200) ** 2 / 3)  # equal, so four degrees of freedom
    half = 2.7764451051977987 * error
    assert found.low == pytest.approx(exp(log(2) - half), rel=1e-9)
    assert found.high == pytest.approx(exp(log(2) + half), rel=1e-9)


def test_runs_without_any_scatter_are_taken_at_their_word():
    """The interval has no width, and lies on one side of the threshold or not."""
    slower = only(compare(runs(100, 100, 100), runs(103, 103, 103)))
    assert (slower.low, slower.high, slower.p_value) == pytest.approx((1.03, 1.03, 0))
    assert slower.verdict == "slower"
    same = only(compare(runs(100, 100, 100), runs(100, 100, 100)))
    assert (same.low, same.high, same.p_value, same.verdict) == (1, 1, 1, NO_DIFFERENCE)


@pytest.mark.parametrize(("old", "new"), [(2, 2), (2, 1), (1, 2)])
def test_two_runs_on_each_side_are_too_little(old, new):
    """It takes three on one of them."""
    found = only(compare(runs(*[100, 101][:old]), runs(*[200, 201][:new])))
    assert found.verdict == "too little data"
    assert found.note == "it takes 3 runs on one side, with the block in them"
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert found.ratio == pytest.approx(2, abs=0.02)


def test_a_single_run_is_taken_to_vary_as_those_of_the_other_side_do():
    """A new run against a history: an error of s · √(1 + 1/n), with n - 1 degrees of freedom."""
    history = runs(99, 100, 101)
    half = 4.302652729749462 * 0.01 * sqrt(1 + 1 / 3)
    for one, found in (
        (1, only(compare(history, runs(130), confidence=0.95))),
        (-1, only(compare(runs(130), history, confidence=0.95))),
    ):
        assert found.low == pytest.approx(exp(one * log(1.3) - half), rel=1e-9)
        assert found.high == pytest.approx(exp(one * log(1.3) + half), rel=1e-9)
        assert found.verdict == {1: "slower", -1: "faster"}[one]


def test_a_figure_of_zero_has_no_ratio():
    """Passes shorter than a tick of the clock."""
    found = only(compare(runs(0, 0, 0), runs(5, 5, 5)))
    assert (found.verdict, found.ratio, found.change) == ("too little data", None, None)
    assert found.note == "a figure is 0, so there is no ratio"


# One run of each


def around(middle: int) -> tuple[int, ...]:
    """Forty durations around a middle, with a standard deviation of 1 %."""
    return (middle - middle // 100, middle + middle // 100) * 20


def test_with_one_run_of_each_the_passes_are_compared():
    """The result says so, and the threshold is 5 %."""
    sides = passes(*around(1000)), passes(*around(1100))
    assert compare(*sides).metric == "median"
    found = compare(*sides, metric="mean", confidence=0.95)
    assert found.basis == "passes of one run"
    assert found.threshold == 0.05
    assert only(found).basis == "passes of one run"
    assert only(found).verdict == "slower"
    # 40 and 40 passes of equal spread: 78 degrees of freedom, 1.990847 their 97.5 % point.
    half = 1.990847 * 0.01 * sqrt(40 / 39) * sqrt(2 / 40)
    assert only(found).low == pytest.approx(exp(log(1.1) - half), rel=1e-5)
    assert only(compare(passes(*around(1000)), passes(*around(1040)))).verdict == NO_DIFFERENCE


def test_thirty_passes_on_each_side_are_needed():
    """Fewer, of a distribution that may be skewed, have no normal mean."""
    many, few = passes(*around(1000)), passes(*[1990, 2010] * 14, 2000)
    found = only(compare(many, few))
    assert found.verdict == "too little data"
    assert found.note == "it takes 30 passes on each side where there is one run of each"
    assert only(compare(few, many)).verdict == "too little data"
    assert only(compare(many, passes(*[1990, 2010] * 15))).verdict == "slower"


@pytest.mark.parametrize("metric", ["min", "total", "self"])
def test_a_figure_that_a_run_has_once_needs_several_runs(metric):
    """Of one run each, the ratio is there, and nothing more."""
    found = only(compare(passes(*around(1000)), passes(*around(2000)), metric=metric))
    assert found.verdict == "too little data"
    assert "give more" in found.note
    assert found.ratio == 2
    several = [passes(*around(1000))] * 3, [passes(*around(2000))] * 3
    assert only(compare(*several, metric=metric)).verdict == "slower"


# Metrics


def test_each_metric_compares_its_own_figure():
    """Mean, median, minimum, total and self time, as the blocks have them."""
    old = [passes(10, 20, 90, self_ns=50)] * 3
    new = [passes(20, 20, 40, self_ns=60)] * 3
    figures = {
        metric: (only(found).old_ns, only(found).new_ns)
        for metric in ("mean", "median", "min", "total", "self")
        for found in [compare(old, new, metric=metric)]
    }
    assert figures == {
        "mean": (40, pytest.approx(80 / 3)),
        "median": (20, 20),
        "min": (10, 20),
        "total": (120, 80),
        "self": (50, 60),
    }


def test_processor_time_is_compared_where_both_sides_took_it():
    """A pass that waits longer and works as much is no slower in it."""

    def run(wall, cpu):
        found = passes(*around(wall))
        for track in found.tracks.values():
            for one in track.blocks:
                one.cpu = ProcessorTime(30, 30 * cpu, 30 * cpu, one.sum_time_ns, cpu, cpu)
        return found

    old, new = [run(1000, 100)] * 3, [run(2000, 100)] * 3
    assert only(compare(old, new)).verdict == "slower"
    found = only(compare(old, new, metric="cpu"))
    assert (found.verdict, found.old_ns, found.new_ns) == ("no difference shown", 100, 100)
    assert only(compare(old, [run(1000, 150)] * 3, metric="cpu")).verdict == "slower"
    found = only(compare(old, [*new, passes(*around(1000))], metric="cpu"))
    assert (found.verdict, found.note[:26]) == ("too little data", "no processor time was take")


def test_the_figure_of_a_side_is_the_mean_of_its_runs():
    """However many passes each run had."""
    old = [passes(100), passes(100, 100, 100), passes(400)]
    found = only(compare(old, [passes(200)] * 3))
    assert (found.old_ns, found.old_hits, found.old_runs) == (200, 5, 3)
    assert (found.new_ns, found.new_hits, found.new_runs) == (200, 3, 3)


def test_the_interval_of_medians_has_the_width_of_the_histogram():
    """Buckets are an octave's sixteenth: each median is sure to a thirty-second."""
    old, new = [passes(1000, 1000, 1000)] * 3, [passes(1100, 1100, 1100)] * 3
    found = only(compare(old, new, metric="median"))
    width = (1 + 1 / 32) ** 2
    assert (found.low, found.high) == pytest.approx((found.ratio / width, found.ratio * width))
    assert found.verdict == "slower"
    assert only(compare(old, new, metric="median", threshold=0.05)).verdict == NO_DIFFERENCE
    tiny = only(compare([passes(10)] * 3, [passes(20)] * 3, metric="median"))
    assert tiny.high == pytest.approx(2 * (1 + 1 / 16) * (1 + 1 / 32))


def test_single_values_have_medians_without_that_width():
    """Nothing stands between them and the figure."""
    found = only(compare(runs(100, 100, 100), runs(101, 101, 101), metric="median"))
    assert (found.low, found.high) == pytest.approx((1.01, 1.01))


def test_the_median_of_one_run_has_an_interval_by_order():
    """Of 40 passes of 990 and 1,010, it may be either."""
    found = only(compare(passes(*around(1000)), passes(*around(2000)), metric="median"))
    assert found.verdict == "slower"
    assert 1.7 < found.low < 2 < found.high < 2.2
    samples = Runs.of_samples({"work": [1.0, 2.0] * 20})
    assert only(compare(samples, samples, metric="median")).verdict == NO_DIFFERENCE


def test_a_median_that_may_be_zero_has_no_interval():
    """A third of its passes were shorter than a tick; or they are missing from the histogram."""
    some = passes(*[0] * 14, *[8] * 26)
    found = only(compare(passes(*around(1000)), some, metric="median"))
    assert (found.new_ns, found.verdict) == (8, "too little data")
    assert found.note == "a figure is 0, so there is no ratio"
    found = only(compare(some, passes(*around(1000)), metric="median"))
    assert found.note == "a figure is 0, so there is no ratio"
    lost = passes(*around(1000))
    lost.tracks[0].blocks[0].histogram = Histogram({5: 5})
    found = only(compare(lost, passes(*around(1000)), metric="median"))
    assert found.verdict == "too little data"
    assert found.note.startswith("it takes 30 passes on each side")


# Many blocks


def test_of_many_blocks_one_that_moves_by_chance_is_no_difference():
    """Its own interval would show it; among as many it is to be expected, and the note says so."""
    rng = random.Random(7)
    steady: dict[str, list[float]] = {f"steady {i}": [1000 + rng.random()] for i in range(200)}
    old = Runs.of_samples(*({**steady, "one": [float(time)]} for time in (1000, 1010, 990)))
    new = Runs.of_samples(*({**steady, "one": [float(time)]} for time in (1120, 1110, 1130)))
    found: Any = {one.name: one for one in compare(old, new)}["one"]
    assert found.low > 1.02
    assert found.verdict == "no difference shown"
    assert found.note.startswith("its interval alone would show it")
    alone = [runs(*times, name="one") for times in ((1000, 1010, 990), (1120, 1110, 1130))]
    assert only(compare(*alone)).verdict == "slower"


def false_alarms(draw: Callable[[], Runs | ProfilerResults], tries: int) -> float:
    """How often comparing a program with itself finds any change at all, without a threshold."""
    wrong = 0
    for _ in range(tries):
        found = compare(draw(), draw(), metric="mean", threshold=0, confidence=0.95)
        wrong += any(one.verdict in ("slower", "faster") for one in found)
    return wrong / tries


@pytest.mark.parametrize(("count", "spread"), [(3, 0.02), (10, 0.02), (10, 0.2)])
def test_without_a_difference_runs_raise_a_false_alarm_as_rarely_as_stated(count, spread):
    """In 5 % of comparisons; 1,000 of them scatter by 0.7 %."""
    rng = random.Random(count)
    rate = false_alarms(lambda: runs(*(rng.lognormvariate(9, spread) for _ in range(count))), 1000)
    assert 0.015 <= rate <= 0.08


def test_twenty_blocks_together_raise_no_more_false_alarms_than_one():
    """In 5 % of comparisons at most, of which each would be wrong in 64 % if blocks were by themselves."""
    rng = random.Random(20)

    def draw() -> Runs:
        return Runs.of_samples(
            *({str(i): [rng.gauss(1000, 20)] for i in range(20)} for _ in range(6))
        )

    assert 0.01 <= false_alarms(draw, 300) <= 0.10


def test_passes_of_a_skewed_distribution_raise_few_more_false_alarms():
    """Some 7 % for thirty passes that differ by a factor of e."""
    rng = random.Random(30)
    rate = false_alarms(lambda: passes(*(int(rng.lognormvariate(14, 1)) for _ in range(30))), 600)
    assert 0.02 <= rate <= 0.11


def test_a_real_change_is_found():
    """10 %, of runs that scatter by 3 %: five on each side are enough nine times in ten."""
    rng = random.Random(5)

    def side(middle: float) -> Runs:
        return runs(*(rng.gauss(middle, 0.03 * middle) for _ in range(5)))

    verdicts = [only(compare(side(1000), side(1100), threshold=0)).verdict for _ in range(200)]
    assert verdicts.count("slower") >= 180
    assert "faster" not in verdicts


def test_the_interval_holds_the_ratio_as_often_as_it_says():
    """95 %, of 6 and 4 runs of different spread; 1,000 tries scatter by 0.7 %."""
    rng = random.Random(64)
    held = 0
    for _ in range(1000):
        old = runs(*(rng.gauss(1000, 10) for _ in range(6)))
        new = runs(*(rng.gauss(1300, 60) for _ in range(4)))
        found = only(compare(old, new, confidence=0.95))
        held += found.low <= 1.3 <= found.high
    assert 0.925 <= held / 1000 <= 0.975


# When runs were made


def at(times: dict[int, int]) -> list[ProfilerResults]:
    """A run for each moment in seconds, in which a block took a time in ns."""
    found = []
    for moment, time in times.items():
        found.append(passes(time))
        found[-1].metadata["start_ns"] = moment * 10**9
    return found


OLD_TIMES, NEW_TIMES = (100, 101, 99, 100), (110, 111, 109, 110)


def test_runs_of_one_version_after_the_other_tell_no_more_than_one():
    """What the machine did between them is no less for there being many; so it is computed."""
    in_sequence = compare(
        at(dict(enumerate(OLD_TIMES))), at(dict(enumerate(NEW_TIMES, 4))), confidence=0.95
    )
    assert in_sequence.in_turns is False
    error = 0.01 * sqrt(2 / 3) * sqrt(1 / 4 + 1)  # of each side, relative to its mean
    new_error = error * 100 / 110
    found = only(in_sequence)
    freedom = (error**2 + new_error**2) ** 2 / (error**4 / 3 + new_error**4 / 3)
    half = tail_begin(0.025, freedom) * hypot(error, new_error)
    assert found.low == pytest.approx(exp(log(1.1) - half), rel=1e-9)
    assert found.high == pytest.approx(exp(log(1.1) + half), rel=1e-9)


def test_runs_in_turns_are_taken_for_independent():
    """As are those that do not say when they were made, in whatever order they are given."""
    moments = (0, 3, 4, 7), (1, 2, 5, 6)
    old, new = (
        at(dict(zip(when, times, strict=True)))
        for when, times in zip(moments, (OLD_TIMES, NEW_TIMES), strict=True)
    )
    in_turns, unsaid = compare(old[::-1], new), compare(runs(*OLD_TIMES), runs(*NEW_TIMES))
    assert (in_turns.in_turns, unsaid.in_turns) == (True, None)
    assert only(in_turns).low == pytest.approx(only(unsaid).low)
    assert only(in_turns).verdict == "slower"


@pytest.mark.parametrize(
    ("old", "new", "in_turns"),
    [
        ((0, 1, 2), (3, 4, 5), False),
        ((3, 4, 5), (0, 1, 2), False),
        ((0, 1, 2, 6, 7, 8), (3, 4, 5, 9, 10, 11), False),
        ((0, 2, 4), (1, 3, 5), True),
        ((0, 3, 4), (1, 2, 5), True),
        ((0, 1, 2), (3,), False),
        ((0, 1, 3), (2,), True),
    ],
)
def test_runs_are_in_turns_if_the_versions_take_over_as_often_as_there_are_runs(old, new, in_turns):
    """Of the side that has fewer: batches that take turns are none."""
    found = compare(at(dict.fromkeys(old, 5)), at(dict.fromkeys(new, 5)))
    assert found.in_turns is in_turns


def test_one_run_of_each_is_in_no_turns():
    """Its passes are compared, not runs."""
    assert compare(*at({0: 5}), *at({1: 5})).in_turns is None


# Which blocks are the same


def pairs(old: ProfilerResults, new: ProfilerResults) -> set[tuple[str, int, int]]:
    """Name, old line and new line of each block that was found on both sides."""
    return {(one.name, one.old_line, one.new_line) for one in compare(old, new)}


def test_a_block_is_the_same_wherever_it_has_moved():
    """Track and name tell; file and line of both are in the result."""
    old = passes(5, file="/old/a.py", line=10)
    new = passes(5, file="/new/b.py", line=99)
    found = only(compare(old, new))
    assert (found.old_file, found.old_line) == ("/old/a.py", 10)
    assert (found.new_file, found.new_line) == ("/new/b.py", 99)
    assert (found.track, found.track_idx, found.name) == ("track 0", 0, "work")


def test_blocks_of_one_name_are_told_apart_by_their_order_in_the_file():
    """Lines move: the first is still the first, though it stands where the second stood."""
    old = single(block("x", (1,), line=10), block("x", (1,), line=20))
    new = single(block("x", (1,), line=30), block("x", (1,), line=20))
    assert pairs(old, new) == {("x", 10, 20), ("x", 20, 30)}


def test_where_one_of_them_is_new_the_lines_tell():
    """Those that did not move are the same; the other is new."""
    old = single(block("x", (1,), line=10), block("x", (1,), line=20))
    new = single(*(block("x", (1,), line=line) for line in (10, 15, 20)))
    found = compare(old, new)
    assert {(one.old_line, one.new_line) for one in found} == {(10, 10), (20, 20)}
    assert [(one.name, one.line) for one in found.only_new] == [("x", 15)]
    assert found.only_old == []


def test_files_of_another_checkout_are_known_by_their_last_part():
    """Blocks of one name in two files, below another directory."""
    old = single(block("x", (1,), file="/1/a.py", line=1), block("x", (1,), file="/1/b.py", line=2))
    new = single(block("x", (1,), file="/2/b.py", line=3), block("x", (1,), file="/2/a.py", line=4))
    assert pairs(old, new) == {("x", 1, 4), ("x", 2, 3)}


def test_what_is_left_of_one_name_is_the_same_if_it_is_one_of_each():
    """It moved to a file of another name."""
    old = single(block("x", (1,), file="a.py", line=1), block("x", (1,), file="b.py", line=2))
    new = single(block("x", (1,), file="a.py", line=1), block("x", (1,), file="c.py", line=3))
    assert pairs(old, new) == {("x", 1, 1), ("x", 2, 3)}


def test_more_than_one_left_of_one_name_on_either_side_stay_apart():
    """Nothing tells which is which."""
    kept = block("kept", (1,), idx=9)
    old = single(kept, *(block("x", (1,), file=f"old{i}.py") for i in range(2)))
    new = single(kept, *(block("x", (1,), file=f"new{i}.py") for i in range(2)))
    found = compare(old, new)
    assert [one.name for one in found] == ["kept"]
    assert (len(found.only_old), len(found.only_new)) == (2, 2)


def named_tracks(*names: str) -> ProfilerResults:
    """Results with a block "x" on each of some tracks."""
    results = single(*(block("x", (7,), track=idx) for idx in range(len(names))))
    for idx, name in enumerate(names):
        results.tracks[idx].track_name = name
    return results


def test_tracks_are_known_by_name():
    """Whatever index they got."""
    found = compare(named_tracks("I/O", "CPU"), named_tracks("CPU", "I/O"))
    assert [(one.track, one.track_idx) for one in found] == [("CPU", 0), ("I/O", 1)]
    assert (found.only_old, found.only_new) == ([], [])


def test_a_track_that_was_given_a_name_is_known_by_its_index():
    """If neither name is on the other side."""
    found = compare(named_tracks("Track 0"), named_tracks("I/O"))
    assert only(found).track == "I/O"
    found = compare(named_tracks("CPU", "DB"), named_tracks("CPU", "I/O"))
    assert [one.track for one in found] == ["CPU", "I/O"]


def test_blocks_of_one_side_only_are_listed():
    """A block that was never hit on a side is not there."""
    old = single(block("both", (5,)), block("gone", (6, 8), idx=1), block("unhit", idx=2))
    new = single(block("both", (5,)), block("unhit", (9,), idx=1), block("gone", idx=2))
    found = compare(old, new, metric="mean")
    assert [one.name for one in found] == ["both"]
    (gone,) = found.only_old
    assert (gone.name, gone.track, gone.file, gone.line) == (
        "gone",
        "track 0",
        "/srv/app/io.py",
        10,
    )
    assert (gone.hits, gone.runs, gone.ns) == (2, 1, 7)
    assert [one.name for one in found.only_new] == ["unhit"]


def killed(*others: ProfileBlock) -> ProfilerResults:
    """Results of a program that was killed within its `main`."""
    return single(block("main", total_ns=1000, now_open=1, idx=9), *others)


def ended(*others: ProfileBlock) -> ProfilerResults:
    """Results of the same program, which came to its end."""
    return single(block("main", (900,), idx=9), *others)


@pytest.mark.parametrize("sides", [(killed, ended), (ended, killed), (killed, killed)])
def test_a_block_of_which_no_pass_has_ended_is_neither_gone_nor_new(sides):
    """It is named, and not compared: there is no pass to compare."""
    old, new = (make(block("both", (5,))) for make in sides)
    found = compare(old, new)
    assert [one.name for one in found] == ["both"]
    assert (found.only_old, found.only_new, found.unfinished) == ([], [], ["main"])
    assert found.to_dict()["unfinished"] == ["main"]


@pytest.mark.parametrize(("metric", "is_said"), [("total", True), ("self", True), ("mean", False)])
def test_times_that_open_passes_are_part_of_are_said_to_be(metric: str, is_said: bool) -> None:
    """Where the figure goes on with them; one of the passes that ended does not."""
    old, new = single(block("serve", (5, 5), now_open=1)), single(block("serve", (5, 5)))
    (found,) = compare(old, new, metric=metric)
    assert ("passes are open, and their times are as far as they had come" in found.note) is is_said


def test_an_open_block_that_the_other_version_lacks_is_told():
    """As one that is gone or new, without a time."""
    plain = single(block("both", (5,)))
    (new,) = compare(plain, killed(block("both", (5,)))).only_new
    (gone,) = compare(killed(block("both", (5,))), plain).only_old
    assert new == gone
    assert (new.name, new.hits, new.runs, new.ns) == ("main", 0, 1, 0.0)


def test_runs_in_which_a_pass_has_ended_are_compared():
    """Those in which none has are left out, so that no mean is one of none."""
    found = compare([ended(), killed(), ended()], [killed(), ended(), ended(), ended()])
    (main,) = found
    assert (main.old_runs, main.new_runs, main.old_ns, main.new_ns) == (2, 3, 900, 900)
    assert found.unfinished == []


def test_results_without_any_ended_pass_cannot_be_compared():
    """The error says so."""
    with pytest.raises(ValueError, match=r"no block in common .* of which a pass has ended"):
        compare(killed(), ended())


def test_blocks_come_in_the_order_of_the_new_version():
    """Track by track, as they were registered."""
    old = single(*(block(name, (1,), idx=i) for i, name in enumerate("abc")))
    new = single(*(block(name, (1,), idx=i) for i, name in enumerate("cab")))
    assert [one.name for one in compare(old, new)] == ["c", "a", "b"]


def test_a_block_that_only_some_runs_hit_has_their_figures():
    """And as many runs."""
    old = [single(block("a", (1,)), block("b", (10,), idx=1)), passes(1, name="a")]
    found = {
        one.name: one for one in compare(old, [single(block("a", (1,)), block("b", (20,)))] * 3)
    }
    assert (found["b"].old_runs, found["b"].old_ns, found["b"].new_runs) == (1, 10, 3)
    assert found["a"].old_runs == 2


# What is given


def test_a_profiler_is_taken_for_its_results(clock: ManualClock):
    """As everywhere."""
    p = Profiler("x")
    with p.block(0, "work"):
        clock.advance(40)
    found = only(compare([p, p, p.get_results()], passes(80, name="work", file=__file__)))
    assert (found.old_ns, found.new_ns, found.old_runs) == (40, 80, 3)


def test_runs_can_be_added_up():
    """Several files make one side."""
    both = Runs([*runs(1, 2)], "a") + Runs([*runs(3)], "b")
    assert (len(both), both.label) == (3, "a, b")
    assert len(compare([runs(1, 2), runs(3)], runs(1, 2, 3)).blocks) == 1
    assert repr(both) == "<Runs: 3 from a, b>"
    with pytest.raises(TypeError):
        both + 1  # type: ignore[operator]


def test_what_else_differs_is_noted():
    """Python, machine, clock: what both tell, and tell differently."""

    def on(**metadata: Any) -> ProfilerResults:
        results = passes(5)
        results.metadata.update(metadata)
        return results

    clock = {"source": "tsc"}
    old = [on(python="3.11.7", gil=True, host="a", clock=clock), on(python="3.12.1", host="a")]
    new = on(python="3.13.0", gil=False, host="a", clock={"source": "monotonic"}, platform="linux")
    assert compare(old, new).notes == [
        "python: 3.11.7 and 3.12.1 in old, 3.13.0 in new",
        "GIL: on in old, off in new",
        "clock: tsc in old, monotonic in new",
    ]


def test_metadata_of_any_shape_is_borne():
    """They may come from a file of a later version."""
    odd = passes(5)
    odd.metadata.update(python=[3, 13], clock=7, gil="maybe", host=None)
    assert compare(odd, passes(5)).notes == []


def test_a_comparison_is_like_a_list():
    """Of its blocks, which can be had by verdict."""
    found = compare(runs(100, 100, 100), runs(200, 200, 200))
    assert len(found) == 1
    assert found[0] is found.blocks[0]
    assert found.of_verdict("slower") == found.blocks
    assert found.of_verdict("faster") == []
    with pytest.raises(ValueError, match="a verdict is one of faster, slower, no difference shown"):
        found.of_verdict("worse")


def test_a_comparison_becomes_a_document():
    """Of what JSON can hold, with all that the objects tell."""
    found = compare([passes(100)] * 3, [passes(150)] * 3, threshold=0.1, confidence=0.9)
    document = found.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    blocks = document.pop("blocks")
    assert document == {
        "format": "stichotrope-comparison",
        "format_version": 1,
        "metric": "typical",
        "confidence": 0.9,
        "threshold": 0.1,
        "basis": "runs",
        "old": {"label": "", "runs": 3},
        "new": {"label": "", "runs": 3},
        "notes": [],
        "only_old": [],
        "only_new": [],
        "counts": [],
        "paths_only_old": [],
        "paths_only_new": [],
        "unfinished": [],
        "in_turns": None,
    }
    expected = {
        "track": "track 0",
        "track_idx": 0,
        "name": "work",
        "old_file": "/srv/app/io.py",
        "old_line": 10,
        "new_file": "/srv/app/io.py",
        "new_line": 10,
        "old_ns": 100,
        "new_ns": 150,
        "old_hits": 3,
        "new_hits": 3,
        "old_runs": 3,
        "new_runs": 3,
        "ratio": 1.5,
        "change": 0.5,
        "low": pytest.approx(1.5),
        "high": pytest.approx(1.5),
        "p_value": 0,
        "verdict": "slower",
        "basis": "runs",
        "note": "",
        "figure": "typical",
    }
    assert blocks == [expected]
    lone = compare(single(block("a", (1,)), block("b", (2,))), passes(1, name="a")).to_dict()
    (gone,) = lone["only_old"]
    assert (gone["name"], gone["hits"], gone["runs"], gone["ns"]) == ("b", 1, 1, 2)


# Bad input


def test_results_that_have_nothing_in_common_cannot_be_compared():
    """The error names what each has."""
    old = single(*(block(name, (1,), idx=i) for i, name in enumerate("abcdefg")))
    message = (
        "there is nothing to compare: old and new have no block in common (same track, same name) "
        "of which a pass has ended; "
        "old has 'a' on 'track 0', 'b' on 'track 0', 'c' on 'track 0', 'd' on 'track 0', "
        "'e' on 'track 0' and 2 more; new has 'work' on 'track 0'"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(old, passes(1))


def test_what_has_no_track_is_named_without_one():
    """Such as a benchmark of pyperf."""
    with pytest.raises(ValueError, match="old has 'work'; new has 'work' on 'track 1'"):
        compare(runs(1), passes(1, track=1))


def test_results_in_which_nothing_was_recorded_cannot_be_compared():
    """The error says which side."""
    with pytest.raises(ValueError, match="nothing was recorded in new"):
        compare(passes(1), single(block("work")))
    empty = Runs.of_results(single(), label="old.json")
    with pytest.raises(ValueError, match=r"nothing was recorded in old \(old\.json\)"):
        compare(empty, passes(1))
    with pytest.raises(ValueError, match="old must have one run at least; there is none"):
        compare([], passes(1))


@pytest.mark.parametrize("given", [None, "old.json", 5, [passes(1), "x"], ProfileTrack])
def test_a_side_is_made_of_results(given):
    """Not of paths, which `load_runs` reads."""
    with pytest.raises(TypeError, match="old must be ProfilerResults or Runs, or a list of them"):
        compare(given, passes(1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metric": "p99"}, ValueError, "metric must be one of mean, typical, median, min"),
        ({"metric": 5}, ValueError, "metric must be one of"),
        ({"confidence": 95}, ValueError, "a confidence must lie between 0 and 1"),
        ({"threshold": 1}, ValueError, r"a threshold is a share from 0 on and below 1 \(5 % is"),
        ({"threshold": -0.1}, ValueError, "a threshold is a share"),
        ({"threshold": float("nan")}, ValueError, "a threshold is a share"),
        ({"threshold": "5%"}, TypeError, "a threshold must be a number, not '5%'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, message):
    """With what would do."""
    with pytest.raises(error, match=message):
        compare(passes(1), passes(1), **options)


def test_single_values_have_neither_total_nor_self_time():
    """They are no passes of a program."""
    message = "metric 'total' takes a profiler's results; single samples have mean, typical, median and min"
    with pytest.raises(ValueError, match=message):
        compare(runs(1, 2, 3), runs(1, 2, 3), metric="total")


def test_samples_are_times():
    """Numbers of nanoseconds from 0 on; names without any are not there."""
    with pytest.raises(ValueError, match=r"a time must be 0 or more; 'x' has -1 ns"):
        Runs.of_samples({"x": [3, -1]})
    with pytest.raises(TypeError, match="a sample must be a number"):
        Runs.of_samples({"x": ["3"]})  # type: ignore[list-item]
    assert [run.blocks for run in Runs.of_samples({"x": []})] == [[]]
    with pytest.raises(TypeError, match="a run's results are a ProfilerResults, not 5"):
        Runs.of_results(5)  # type: ignore[arg-type]


# Files


def test_a_results_file_is_one_run(tmp_path):
    """And its path the label."""
    passes(100, 300).save(tmp_path / "old.json")
    loaded = load_runs(tmp_path / "old.json")
    assert (len(loaded), loaded.label) == (1, str(tmp_path / "old.json"))
    assert only(compare(loaded, loaded, metric="mean")).old_ns == 200


def test_a_directory_that_was_gathered_in_is_one_run(tmp_path):
    """All its processes are merged."""
    for number in range(3):
        passes(100).save(tmp_path / f"{number}.stichotrope.json")
    loaded = load_runs(tmp_path)
    assert len(loaded) == 1
    assert only(compare(loaded, passes(100))).old_hits == 3


def test_a_directory_of_results_is_a_run_for_each(tmp_path):
    """Files in order of name, and directories that were gathered in; nothing else."""
    passes(10).save(tmp_path / "2.json")
    passes(20).save(tmp_path / "1.json")
    gathered = tmp_path / "3"
    gathered.mkdir()
    passes(30).save(gathered / "a.stichotrope.json")
    (tmp_path / "other").mkdir()
    (tmp_path / "notes.txt").write_text("no results")
    (tmp_path / ".hidden.json").write_text("no results")
    loaded = load_runs(tmp_path)
    assert [run.blocks[0].figure("mean") for run in loaded.runs] == [20, 10, 30]


def test_a_directory_without_results_is_an_error(tmp_path):
    """That says what is expected there."""
    with pytest.raises(ValueError, match=r"should hold results: files named \*\.json, or"):
        load_runs(tmp_path)


def test_a_pyperf_file_has_a_run_for_each_of_its_processes():
    """A block for each benchmark; calibrations and warm-ups are left out; values become ns."""
    loaded = load_runs(PYPERF)
    assert len(loaded) == 3
    first = loaded.runs[0].blocks
    assert [(one.name, one.hits) for one in first] == [("sorted", 2), ("sum", 2)]
    values = json.loads(PYPERF.read_text())["benchmarks"][0]["runs"][1]["values"]
    assert isclose(first[0].figure("mean"), 1e9 * fmean(values))
    found = compare(loaded, loaded)
    assert (found.basis, found.old_runs) == ("runs", 3)
    assert {one.name: one.verdict for one in found} == {
        "sorted": "no difference shown",
        "sum": "no difference shown",
    }
    assert only(compare(loaded, runs(900, 905, 910, name="sorted"))).verdict == "slower"


def suite(**changes: Any) -> dict[str, Any]:
    """A pyperf suite of one benchmark, which has its name in the metadata of the suite."""
    return {
        "version": "1.0",
        "metadata": {"name": "only", "unit": "second", "python_version": "3.12.1 (64-bit)"},
        "benchmarks": [{"runs": [{"values": [1e-6, 3e-6]}, {"values": [2e-6]}]}],
        **changes,
    }


def test_a_pyperf_file_of_one_benchmark_has_its_name_in_the_common_metadata(tmp_path):
    """As pyperf writes it; and facts that are noted when they differ."""
    path = tmp_path / "one.json"
    path.write_text(json.dumps(suite()))
    loaded = load_runs(path)
    assert [run.blocks[0].figure("mean") for run in loaded] == pytest.approx([2000, 2000])
    assert loaded.runs[0].blocks[0].name == "only"
    assert compare(loaded, runs(1, 2, 3, name="only")).notes == []
    assert loaded.runs[0].facts == {"python": "3.12.1"}


def benchmark(*values: Any, **metadata: Any) -> dict[str, Any]:
    """The part of a suite that tells of one benchmark."""
    return {"benchmarks": [{"runs": [{"metadata": metadata, "values": list(values)}]}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2.0"}, "a pyperf file of format '2.0', expected \"1.0\""),
        ({"version": 1}, 'field "version" must be a text, not 1'),
        ({"metadata": {}}, 'field "metadata.name" is missing at benchmarks[0]'),
        ({"metadata": []}, 'field "metadata" must be an object, not []'),
        ({"benchmarks": {}}, 'field "benchmarks" must be a list, not {}'),
        ({"benchmarks": []}, "a pyperf file without any value"),
        (benchmark(), "a pyperf file without any value"),
        (benchmark(1, "2"), 'field "values" at benchmarks[0].runs[0] must be a list of numbers'),
        (benchmark(-1), 'field "values" at benchmarks[0].runs[0] must be a list of numbers'),
        (benchmark(True), 'field "values" at benchmarks[0].runs[0] must be a list of numbers'),
        (benchmark(10**400), 'field "values" at benchmarks[0].runs[0] must be a list of numbers'),
        (benchmark(5, unit="byte"), "values at benchmarks[0].runs[0] are in 'byte', expected"),
    ],
)
def test_a_broken_pyperf_file_is_an_error_that_names_the_place(tmp_path, changes, message):
    """With the file's path before it."""
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(suite(**changes)))
    with pytest.raises(ResultsFormatError, match=re.escape(f"{path}: {message}")):
        load_runs(path)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"format": "other"}', '{"benchm'])
def test_a_foreign_file_is_an_error_that_names_it(tmp_path, text):
    """As for all results."""
    path = tmp_path / "foreign.json"
    path.write_text(text)
    with pytest.raises(ResultsFormatError, match=re.escape(str(path))):
        load_runs(path)


def test_a_path_is_checked_like_any_other(tmp_path):
    """Its type, and whether it is there."""
    with pytest.raises(FileNotFoundError):
        load_runs(tmp_path / "missing.json")
    with pytest.raises(TypeError, match="a path must be a str"):
        load_runs(5)  # type: ignore[arg-type]
