"""Reads the results of runs and judges them, each way: for this the package is needed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gate import METRICS, WAYS, Side
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
    made, and is drawn anew for each comparison here: it is all that the guarantee rests on.

    Args:
        runs: kind, "same" or "slower" → of each time that `ab` was run, both sides.
        comparisons: how many of the same, spread evenly over the times that `ab` was run.
        seed: draws the lots.
    """
    rng = random.Random(seed)
    found: dict[str, dict[str, list[list[str]]]] = {way: {"same": [], "slower": []} for way in WAYS}
    for number in range(comparisons):
        one = runs["same"][number % len(runs["same"])]
        sides = _by_lot(one["old"], one["new"], rng)
        for way in WAYS:
            found[way]["same"].append(_changed(_compared(way, *sides)))
    for one in runs["slower"]:
        sides = _runs(one["old"]), _runs(one["new"])
        for way in WAYS:
            found[way]["slower"].append(_changed(_compared(way, *sides)))
    return found


def _by_lot(old: Side, new: Side, rng: random.Random) -> tuple[Runs, Runs]:
    pairs = [(a, b) if rng.getrandbits(1) else (b, a) for a, b in zip(old, new, strict=True)]
    return _runs([a for a, _ in pairs]), _runs([b for _, b in pairs])


def _runs(side: Side) -> Runs:
    around = ("work", "request")
    counts: Counts = {(around,): (1, 0)}
    counts.update({(around, ("work", name)): (1, 1) for name in side[0] if name != around[1]})
    return Runs([Run([_Kept(*item) for item in run.items()], {}, counts) for run in side])


def _compared(way: str, old: Runs, new: Runs) -> Comparison:
    if way == "pairs":
        return compare_pairs(old, new)
    few = slice(None) if way == "mean" else slice(5)
    return compare(Runs(old.runs[few]), Runs(new.runs[few]))


def _changed(comparison: Comparison) -> list[str]:
    """Return the blocks that are called changed, but one that is said to be so for a nested one."""
    return [
        f"{block.name} {block.verdict}"
        for block in comparison
        if block.verdict in (SLOWER, FASTER) and "but what is nested in it" not in block.note
    ]
