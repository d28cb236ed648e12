"""Versions that were run in pairs: what is called changed, what is not, and what is blamed."""

from __future__ import annotations

import itertools
import random

import pytest

from handmade import block, node, root, single
from stichotrope.results import ProfilerResults
from stichotrope.statistics import (
    NO_DIFFERENCE,
    SLOWER,
    TOO_LITTLE,
    Comparison,
    Runs,
    compare,
    compare_pairs,
    differing,
    pairs_needed,
)

pytestmark = pytest.mark.unit


def around(middle: float) -> tuple[int, ...]:
    """Twenty passes within some percent of a middle."""
    return tuple(round(middle * (0.95 + place / 200)) for place in range(20))


def run(speed: float = 1.0, *, late: int = 0, queries: int = 1, **slower: float) -> ProfilerResults:
    """A run of requests with three blocks in each, of a machine that is slow by a factor.

    Of as many passes as are late, the system took the processor away for ten milliseconds. Each
    request passes "price" as often as there are queries. A block's own factor comes on top.
    """
    names = ("parse", "price", "render")
    parts = [
        block(
            name,
            tuple(
                ns + 10_000_000 * (place < late)
                for place, ns in enumerate(around(100_000 * speed * slower.get(name, 1)))
            )
            * (queries if name == "price" else 1),
            idx=idx,
            line=10 * idx,
        )
        for idx, name in enumerate(names, 1)
    ]
    own = around(50_000 * speed * slower.get("request", 1))
    inner = [sum(part.total_time_ns for part in parts) // 20] * 20
    whole = tuple(one + within for one, within in zip(own, inner, strict=True))
    request = block("request", whole, self_ns=sum(own))
    results = single(request, *parts)
    results.tree = root(node(request, *map(node, parts)))
    return results


def drifting(rng: random.Random, count: int, price: float = 1.0) -> Comparison:
    """Pairs of runs beside a load that grows and jumps, with few or many passes held up."""
    sides: tuple[list[ProfilerResults], list[ProfilerResults]] = ([], [])
    for number in range(count):
        speeds = [
            1 + 0.3 * number / count + (0.2 if (number // 7) % 2 else 0) + rng.gauss(0, 0.02)
            for _ in range(2)
        ]
        rng.shuffle(speeds)
        for side, speed, factor in zip(sides, speeds, (1.0, price), strict=True):
            side.append(run(speed, late=rng.choice((0, 0, 1, 4)), price=factor))
    return compare_pairs(*sides)


def verdicts(comparison: Comparison) -> dict[str, str]:
    """Block → verdict."""
    return {one.name: one.verdict for one in comparison}


# What a pass typically takes


def typical(*durations: int) -> float:
    """The figure of one block with such passes."""
    (one,) = compare(
        single(block("work", durations)), single(block("work", durations)), metric="typical"
    )
    return one.old_ns


def test_what_is_held_up_is_no_typical_pass() -> None:
    """The mean without those beyond one and a half times the median, exact for all else."""
    assert typical(*around(100_000)) == pytest.approx(99_750, rel=1e-9)
    assert typical(*around(100_000), 10_000_000) == pytest.approx(99_750, rel=2e-3)
    assert typical(7) == 7
    assert typical(0, 0, 0, 5) == 0


def test_a_typical_pass_is_finer_than_a_bucket_of_the_histogram() -> None:
    """A thousandth more is a thousandth more, also beside one that was held up."""
    for late in ((), (400_000,)):
        old, new = (typical(*around(middle), *late) for middle in (100_000, 100_100))
        assert new / old == pytest.approx(1.001, abs=2e-4)


def test_what_spreads_wide_moves_smoothly() -> None:
    """Where the limit lies among passes, growth by 1/400 each time is never a jump by a bucket."""
    rng = random.Random(3)
    spread = [rng.expovariate(1 / 100_000) for _ in range(5_000)]
    figures = [typical(*(round(ns * (1 + step / 400)) for ns in spread)) for step in range(40)]
    steps = [after / before - 1 for before, after in itertools.pairwise(figures)]
    assert all(0.001 < step < 0.004 for step in steps)


def test_samples_have_a_typical_value_too() -> None:
    """Of single values, as of a pyperf file."""
    runs = Runs.of_samples({"work": [10.0, 11.0, 12.0, 90.0]})
    (one,) = compare(runs, runs, metric="typical")
    assert one.old_ns == pytest.approx(11)


# Verdicts


def test_five_percent_in_one_of_three_blocks_are_found_and_named() -> None:
    """Beside a load that grows by a third, jumps by a fifth, and holds up passes of either."""
    found = drifting(random.Random(1), 30, price=1.05)
    assert verdicts(found) == {
        "request": NO_DIFFERENCE,
        "parse": NO_DIFFERENCE,
        "price": SLOWER,
        "render": NO_DIFFERENCE,
    }
    (price,) = found.of_verdict(SLOWER)
    assert (price.figure, price.basis) == ("typical", "pairs of runs")
    assert price.low is not None
    assert price.high is not None
    assert 1.02 < price.low < 1.05 < price.high < 1.09


def test_what_did_not_change_is_never_called_so() -> None:
    """Of two hundred comparisons of a program with itself, on such a machine, one in a hundred may."""
    rng = random.Random(2)
    alarms = sum(
        any(verdict != NO_DIFFERENCE for verdict in verdicts(drifting(rng, 12)).values())
        for _ in range(200)
    )
    assert alarms <= 2


def pairs(count: int, *, first: ProfilerResults, second: ProfilerResults) -> Comparison:
    """A comparison of so many equal pairs."""
    return compare_pairs([first] * count, [second] * count)


def test_a_block_is_not_blamed_for_what_is_nested_in_it() -> None:
    """Its time with it is longer for sure; its own is not, and the note says whose is."""
    old, new = ([run(1 + number / 1000, price=factor) for number in range(20)] for factor in (1, 2))
    found = {one.name: one for one in compare_pairs(old, new)}
    request = found["request"]
    assert (request.figure, request.verdict) == ("typical", NO_DIFFERENCE)
    assert request.note == (
        "its own time is not shown to be slower, but what is nested in it: price"
    )
    assert found["price"].verdict == SLOWER


def test_a_blocks_own_time_is_told_first() -> None:
    """What changed is what it does itself."""
    found = {one.name: one for one in pairs(20, first=run(), second=run(request=1.5))}
    assert (found["request"].figure, found["request"].verdict) == ("self-mean", SLOWER)
    assert found["request"].ratio == pytest.approx(1.5, rel=1e-3)
    assert found["price"].verdict == NO_DIFFERENCE


def test_a_block_that_is_slower_for_passes_of_nested_ones_is_told_so() -> None:
    """Neither it nor what is nested in it takes longer; the latter is passed twice as often."""
    found = {one.name: one for one in pairs(20, first=run(), second=run(queries=2))}
    request = found["request"]
    assert (request.figure, request.verdict) == ("typical", SLOWER)
    assert request.note == (
        "neither its own time nor a pass of a block nested in it is shown to be slower: "
        "see how often those are passed"
    )
    assert found["price"].verdict == NO_DIFFERENCE
    (count,) = [
        one for one in pairs(1, first=run(), second=run(queries=2)).counts if one.is_changed
    ]
    assert str(count) == "request > price: 1 → 2 in a pass of request"


def test_slow_passes_among_many_are_found_by_the_mean_of_all() -> None:
    """A tenth of them takes five times as long; a typical one takes what it took."""
    usual = around(100_000)
    old, new = single(block("work", usual)), single(block("work", (*usual[:-2], 500_000, 500_000)))
    (found,) = pairs(20, first=old, second=new)
    assert (found.figure, found.verdict) == ("mean", SLOWER)


def test_too_few_pairs_for_so_many_blocks_are_said() -> None:
    """Four blocks have eight figures; seven pairs cannot show any of them, and eleven can."""
    found = pairs(7, first=run(), second=run(price=2))
    assert set(verdicts(found).values()) == {TOO_LITTLE}
    assert found[0].note == (
        "it takes 11 pairs of runs with the block in them to show anything among so many blocks"
    )
    assert verdicts(pairs(11, first=run(), second=run(price=2)))["price"] == SLOWER
    assert verdicts(pairs(10, first=run(), second=run(price=2)))["price"] == TOO_LITTLE


def test_a_block_that_some_runs_lack_is_compared_where_both_have_it() -> None:
    """Pairs stay pairs: the third old run is held against the third new one."""
    usual, rare = block("usual", around(1000)), block("rare", around(1000), idx=1, line=20)
    slow = block("rare", around(3000), idx=1, line=20)
    old = [single(usual, rare) if number % 2 else single(usual) for number in range(40)]
    new = [single(usual, slow) if number % 4 else single(usual) for number in range(40)]
    found = {one.name: one for one in compare_pairs(old, new)}
    assert (found["rare"].old_runs, found["rare"].new_runs) == (20, 30)
    assert found["rare"].ratio == pytest.approx(3, rel=1e-3)
    assert found["rare"].verdict == SLOWER


def test_a_block_that_never_has_a_time_has_no_verdict_to_give() -> None:
    """All its passes took less than a tick of the clock."""
    (found,) = pairs(
        20, first=single(block("tick", (0,) * 9)), second=single(block("tick", (0,) * 9))
    )
    assert (found.ratio, found.low, found.p_value) == (None, None, None)
    assert found.note == "no pair of runs has a figure of it above 0 on both sides"


def test_counts_and_paths_are_compared_as_ever() -> None:
    """They are exact, with one pair too."""
    found = pairs(1, first=run(), second=single(block("price", around(7)), block("log", (5,))))
    assert [one.name for one in found.only_new] == ["log"]
    assert found.paths_only_old == [("request",)]
    assert found.is_of_pairs
    assert found.to_dict()["basis"] == "pairs of runs"


# How many pairs it takes


def noisy(rng: random.Random, spread: float, count: int) -> list[ProfilerResults]:
    """Runs of a machine whose speed varies from one to the next by a share."""
    return [run(1 + rng.gauss(0, spread)) for _ in range(count)]


def test_it_takes_the_more_pairs_the_more_runs_differ() -> None:
    """As the square; and never fewer than can show anything at all."""
    needed = []
    for spread in (0.0, 0.02, 0.04):
        rng = random.Random(4)
        needed.append(pairs_needed(noisy(rng, spread, 60), noisy(rng, spread, 60)))
    assert needed[0] == 11
    assert needed[1] > needed[0]
    assert needed[2] == pytest.approx(4 * needed[1], rel=0.1)


def test_so_many_pairs_find_what_they_are_to_find() -> None:
    """Five percent in one block, in nearly all of fifty times, with as many pairs as it said."""
    rng = random.Random(8)
    count = pairs_needed(noisy(rng, 0.02, 60), noisy(rng, 0.02, 60))
    found = 0
    for _ in range(50):
        new = [run(1 + rng.gauss(0, 0.02), price=1.05) for _ in range(count)]
        found += verdicts(compare_pairs(noisy(rng, 0.02, count), new))["price"] == SLOWER
    assert found >= 45


def test_signs_tell_nothing_of_how_many_it_takes() -> None:
    """Stopping by it leaves verdicts as rare as they were: what is new may as well be old."""
    rng = random.Random(6)
    old, new = noisy(rng, 0.03, 30), noisy(rng, 0.03, 30)
    swapped = [
        (b, a) if number % 3 else (a, b) for number, (a, b) in enumerate(zip(old, new, strict=True))
    ]
    sides = [a for a, _ in swapped], [b for _, b in swapped]
    assert pairs_needed(old, new) == pairs_needed(*sides) == pairs_needed(new, old)


def test_what_has_changed_is_no_noise() -> None:
    """A block that takes half as long again asks for about as many as one that is what it was."""
    rng = random.Random(12)
    old = noisy(rng, 0.02, 100)
    same, slower = (
        [run(1 + rng.gauss(0, 0.02), price=factor) for _ in range(100)] for factor in (1, 1.5)
    )
    usual = pairs_needed(old, same)
    assert usual / 2 < pairs_needed(old, slower) < 4 * usual


def test_what_takes_little_time_asks_for_no_more() -> None:
    """A block of a hundredth of the time may vary as it likes."""
    rng = random.Random(9)

    def side() -> list[ProfilerResults]:
        return [
            single(
                block("much", around(100_000)),
                block("little", around(1_000 * (1 + rng.random())), idx=1, line=20),
            )
            for _ in range(30)
        ]

    assert pairs_needed(side(), side()) == 10
    assert pairs_needed(side(), side(), confidence=0.9999) == 17


# What cannot be


def test_sides_of_different_length_are_no_pairs() -> None:
    """A run without another one belongs to none."""
    with pytest.raises(ValueError, match="as many on both sides, not 2 in old and 3 in new"):
        compare_pairs([run()] * 2, [run()] * 3)


@pytest.mark.parametrize(("name", "value"), [("confidence", 1.0), ("threshold", 1.5)])
def test_shares_out_of_range_are_refused(name: str, value: float) -> None:
    """As `compare` refuses them."""
    with pytest.raises(ValueError, match=name):
        compare_pairs([run()], [run()], **{name: value})


def test_what_two_sides_differ_in_is_told_by_name() -> None:
    """Machine, clock, Python; nothing where they are alike."""
    old, new = run(), run()
    old.metadata.update(python="3.12.1", host="here")
    new.metadata.update(python="3.13.0", host="here")
    sides = Runs.of_results(old), Runs.of_results(new)
    assert differing(*sides) == {"python": "3.12.1 in old, 3.13.0 in new"}
    assert differing(sides[0], sides[0]) == {}
