"""Whether `stichotrope ab` calls changed what is, and nothing else, on a machine that is busy.

A program is compared with itself, and with itself when one of its three inner blocks takes 5 %
longer, beside neighbours whose load drifts: one for every two cores.
"""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import _machine
from benchmarks._child import ROOT
from benchmarks._run import Fact, Figure, Progress, Scale, Stored
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

SLOWED, INJECTED = "price", 0.05
"""The block that takes longer, and by what share."""

ALARMS = 0.01
"""The share of comparisons of a program with itself that may call anything changed."""

SIZES = {Scale.QUICK: (1, 1, 50), Scale.NORMAL: (10, 5, 1000), Scale.FULL: (20, 10, 1000)}
"""Times that `ab` is run: with the same twice, with the slower one; comparisons of the same."""

METRICS = ("typical", "mean", "self-mean")
WAYS = {
    "pairs": "`stichotrope ab`",
    "mean": "`stichotrope compare` of the means of the same runs",
    "five": "the same of five runs of each",
}
"""How runs are compared, and titles. All but the first take the order as it comes."""

_COMMAND = (sys.executable, "-m", "stichotrope", "run", "-q")
_PROGRAM = Path(__file__).with_name("program.py")

Side = list[dict[str, Any]]
"""Of each run, and of each block, the figures of `METRICS` in ns."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Run `ab` again and again beside the neighbours; judge, and keep the figures of each run."""
    same, slower, comparisons = SIZES[scale]
    loads: list[list[float] | None] = []
    found: dict[str, list[dict[str, Side]]] = {"same": [], "slower": []}
    with neighbours(max(1, (os.cpu_count() or 1) // 2), rng):
        for kind, times, share in (("same", same, 0.0), ("slower", slower, INJECTED)):
            for number in range(times):
                found[kind].append(_ab(share, rng.getrandbits(32)))
                loads.append(_machine.load_average())
                progress(f"{kind} {number + 1}/{times}")
    return {
        "injected": INJECTED,
        "unit": "ns",
        "metrics": list(METRICS),
        "loads": loads,
        "runs": found,
        "changed": judged(found, comparisons, rng.getrandbits(32)),
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether it raises no false alarm, and finds the block that is slower."""
    told = outcome(stored, "pairs")
    return [
        Fact(
            f"ab: false alarms on a busy machine, at most {ALARMS:.0%}",
            told.alarms <= ALARMS * told.comparisons,
            f"{told.alarms} of {told.comparisons:,}",
        ),
        Fact(
            f"ab: +{stored['injected']:.0%} in one of three blocks found, and no other blamed",
            told.found == told.times and not told.blamed,
            f"{told.found} of {told.times}, {told.blamed} others",
        ),
    ]


def figures(stored: Stored) -> list[Figure | Fact]:
    """Return by how much the runs of a pair differ, and how many rounds that made it take."""
    rows: list[Figure | Fact] = [
        Figure(
            f"{title} of {block}: two runs of a pair differ by",
            [100 * abs(one) for one in differences(stored, block, metric)],
            "%",
        )
        for block in ("parse", SLOWED, "render")
        for metric, title in (("typical", "a typical pass"), ("mean", "the mean"))
    ]
    return rows + [
        Figure(f"rounds that ab took, {title}", [float(one) for one in taken], "", digits=0)
        for title, taken in rounds(stored).items()
    ]


def rounds(stored: Stored) -> dict[str, list[int]]:
    """Return how many rounds `ab` took each time that it was run, by what was compared."""
    titles = {"same": "with itself", "slower": f"with {SLOWED} slower"}
    return {
        titles[kind]: [len(one["old"]) for one in times] for kind, times in stored["runs"].items()
    }


class Outcome(NamedTuple):
    """What one of `WAYS` called changed.

    `alarms` of so many `comparisons` of the program with itself called anything changed. Of so many
    `times` that one block was slower, that was `found`, and other blocks were `blamed`.
    """

    alarms: int
    comparisons: int
    found: int
    times: int
    blamed: int


def outcome(stored: Stored, way: str) -> Outcome:
    """Return what one of `WAYS` called changed."""
    same, slower = (stored["changed"][way][kind] for kind in ("same", "slower"))
    right = f"{SLOWED} {SLOWER}"
    return Outcome(
        sum(bool(names) for names in same),
        len(same),
        sum(right in names for names in slower),
        len(slower),
        sum(name != right for names in slower for name in names),
    )


def differences(stored: Stored, block: str, metric: str) -> list[float]:
    """Return the logarithm of new by old of each pair of runs of the same program."""
    place = METRICS.index(metric)
    return [
        log(new[block][place] / old[block][place])
        for one in stored["runs"]["same"]
        for old, new in zip(one["old"], one["new"], strict=True)
    ]


# Measuring


@contextmanager
def neighbours(count: int, rng: random.Random) -> Iterator[None]:
    """Keep as many neighbours busy."""
    command = (sys.executable, "-m", "benchmarks.gate.load")
    started = [
        subprocess.Popen([*command, str(rng.getrandbits(32))], cwd=ROOT) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _ab(slower: float, seed: int) -> dict[str, Side]:
    """Run `stichotrope ab`, and return the figures of all its runs.

    Raises:
        RuntimeError: it failed.
    """
    old = [*_COMMAND, str(_PROGRAM), "0"]
    new = [*_COMMAND, str(_PROGRAM), str(slower)]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        command = [*_COMMAND[:3], "ab", _joined(old), _joined(new), "--keep", str(kept)]
        done = subprocess.run([*command, f"--seed={seed}"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"stichotrope ab ended with {done.returncode}: {done.stderr}")
        return {
            side: [_kept(path) for path in sorted((kept / side).iterdir())]
            for side in ("old", "new")
        }


def _joined(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _kept(path: Path) -> dict[str, list[int]]:
    return {
        block.name: [round(block.figure(metric)) for metric in METRICS]
        for block in Runs.of_results(ProfilerResults.load(path)).runs[0].blocks
    }


# Judging


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
