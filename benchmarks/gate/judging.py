"""Reads the results of runs and judges them, each way: for this the package is needed.

`python -m benchmarks.gate.judging FILE` judges the runs in a stored file as the package does now.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _store
from benchmarks.gate import METRICS, WAYS, Side, outcome
from stichotrope import ProfilerResults
from stichotrope.statistics import (
    FASTER,
    SLOWER,
    Comparison,
    Run,
    Runs,
    compare,
    compare_pairs,
)
from stichotrope.statistics._runs import Figures

if TYPE_CHECKING:
    from stichotrope.statistics._counts import Counts


def kept(path: Path) -> dict[str, list[int]]:
    """Return the figures of `METRICS`, in ns, of each block in a file of results."""
    return {
        block.name: [round(block.figure(metric)) for metric in METRICS]
        for block in Runs.of_results(ProfilerResults.load(path)).runs[0].blocks
    }


class _Kept(Figures):
    """A block in one run, of which the figures were kept."""

    __slots__ = ("_told",)

    def __init__(self, name: str, told: Sequence[int]) -> None:
        super().__init__(0, "work", name, "program.py", 0, 1)
        self._told = dict(zip(METRICS, told, strict=True))

    def figure(self, metric: str) -> float:
        return self._told["self-mean" if metric == "self" else metric]


def judged(
    runs: dict[str, list[dict[str, Side]]], comparisons: int, seed: int
) -> dict[str, dict[str, list[list[str]]]]:
    """Return what each of `WAYS` calls changed: way → kind → for each comparison, the blocks.

    Which of two runs of the same program is called the old one was drawn by lot when they were
    made, and is drawn anew for each comparison here: it is all that the guarantee rests on. Those
    of one version after the other are as many as follow each other, from where another lot says.

    Args:
        runs: kind, "same" or "slower" → of each time that `ab` was run, both sides.
        comparisons: how many of the same, spread evenly over the times that `ab` was run.
        seed: draws the lots.
    """
    rng = random.Random(seed)
    found: dict[str, dict[str, list[list[str]]]] = {way: {"same": [], "slower": []} for way in WAYS}
    for number in range(comparisons):
        one = runs["same"][number % len(runs["same"])]
        pairs = _by_lot(one["old"], one["new"], rng)
        for way in WAYS:
            found[way]["same"].append(_changed(_compared(way, pairs, rng, is_same=True)))
    for one in runs["slower"]:
        pairs = list(zip(one["old"], one["new"], strict=True))
        for way in WAYS:
            found[way]["slower"].append(_changed(_compared(way, pairs, rng, is_same=False)))
    return found


_Told = dict[str, Any]  # a run, as `Side` has them
_FIVE = 5


def _by_lot(old: Side, new: Side, rng: random.Random) -> list[tuple[_Told, _Told]]:
    return [(a, b) if rng.getrandbits(1) else (b, a) for a, b in zip(old, new, strict=True)]


def _compared(
    way: str, pairs: list[tuple[_Told, _Told]], rng: random.Random, is_same: bool
) -> Comparison:
    kind, _, metric = way.partition(", ")
    if kind.startswith("sequence"):
        count = int(kind.split()[-1])
        return compare(*_in_sequence(pairs, count, rng, is_same), metric=metric or None)
    few = pairs[:_FIVE] if way == "five" else pairs
    sides = (
        _runs((2 * place + side, pair[side]) for place, pair in enumerate(few)) for side in (0, 1)
    )
    if way == "pairs":
        return compare_pairs(*sides)
    return compare(*sides, metric="mean" if way == "mean" else None)


def _in_sequence(
    pairs: list[tuple[_Told, _Told]], count: int, rng: random.Random, is_same: bool
) -> tuple[Runs, Runs]:
    """Return so many runs of one version, and as many of the other which were made after those.

    Of the same program, both runs of a pair are such as follow each other; else one is of each.
    """
    if is_same:
        follow = [run for pair in pairs for run in pair]
        before = after = follow
    else:
        before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    count = min(count, len(before) // 2)
    begin = rng.randrange(len(before) - 2 * count + 1)
    middle = begin + count
    return (
        _runs(enumerate(before[begin:middle], begin)),
        _runs(enumerate(after[middle : middle + count], middle)),
    )


def _runs(side: Iterable[tuple[int, _Told]]) -> Runs:
    """Return runs, each with the moment at which it was made."""
    around = ("work", "request")
    found = []
    for moment, run in side:
        counts: Counts = {(around,): (1, 0)}
        counts.update({(around, ("work", name)): (1, 1) for name in run if name != around[1]})
        blocks: list[Figures] = [_Kept(*item) for item in run.items()]
        found.append(Run(blocks, {}, counts, start_ns=moment))
    return Runs(found)


def _changed(comparison: Comparison) -> list[str]:
    """Return the blocks that are called changed, but one that is said to be so for a nested one."""
    return [
        f"{block.name} {block.verdict}"
        for block in comparison
        if block.verdict in (SLOWER, FASTER) and "but what is nested in it" not in block.note
    ]


def main() -> None:
    """Judge the runs of a stored one anew, and write it under a free name."""
    path = Path(sys.argv[1])
    stored = _store.load(path)
    told = stored["subjects"]["gate"]
    comparisons = len(told["changed"]["pairs"]["same"])
    told["changed"] = judged(told["runs"], comparisons, stored["seed"])
    told["judged_again"] = datetime.now(UTC).isoformat(timespec="seconds")
    free = _store.default_path(stored)
    target = path.with_name(free.name)
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{free.stem}-{number}.json")
    _store.save(stored, target)
    print(target)
    for way, title in WAYS.items():
        print(f"{title}: {outcome(told, way)}")


if __name__ == "__main__":
    main()
