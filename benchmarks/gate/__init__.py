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
from typing import Any, NamedTuple

from benchmarks import _machine
from benchmarks._child import ROOT
from benchmarks._run import Fact, Figure, Progress, Scale, Stored

SLOWED, INJECTED = "price", 0.05
"""The block that takes longer, and by what share."""

ALARMS = 0.01
"""The share of comparisons of a program with itself that may call anything changed."""

SIZES = {Scale.QUICK: (1, 1, 50), Scale.NORMAL: (10, 5, 1000), Scale.FULL: (20, 10, 1000)}
"""Times that `ab` is run: with the same twice, with the slower one; comparisons of the same."""

METRICS = ("typical", "mean", "self-mean")
WAYS = {
    "pairs": "`stichotrope ab`",
    "typical": "`stichotrope compare` of the same runs",
    "mean": "the same with `--metric mean`",
    "five": "`stichotrope compare` of five runs of each, in turns",
    "sequence of 5": "of five runs of one version after five of the other",
    "sequence of 20": "of twenty after twenty",
    "sequence of 20, mean": "of twenty after twenty, with `--metric mean`",
}
"""How runs are compared, and titles."""

_COMMAND = (sys.executable, "-m", "stichotrope", "run", "-q")
_PROGRAM = Path(__file__).with_name("program.py")

Side = list[dict[str, Any]]
"""Of each run, and of each block, the figures of `METRICS` in ns."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Run `ab` again and again beside the neighbours; judge, and keep the figures of each run."""
    from benchmarks.gate import judging

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
        "changed": judging.judged(found, comparisons, rng.getrandbits(32)),
    }


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return whether it raises no false alarm, and finds the block that is slower."""
    told = outcome(stored, "pairs")
    compared = [outcome(stored, way) for way in WAYS if way != "pairs"]
    worst = max(compared, key=lambda one: one.alarms / one.comparisons)
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
        Fact(
            f"compare: false alarms on a busy machine, in any order, at most {ALARMS:.0%}",
            worst.alarms <= ALARMS * worst.comparisons,
            f"{worst.alarms} of {worst.comparisons:,}",
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
    right = f"{SLOWED} slower"
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
    from benchmarks.gate import judging

    old = [*_COMMAND, str(_PROGRAM), "0"]
    new = [*_COMMAND, str(_PROGRAM), str(slower)]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        command = [*_COMMAND[:3], "ab", _joined(old), _joined(new), "--keep", str(kept)]
        done = subprocess.run([*command, f"--seed={seed}"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"stichotrope ab ended with {done.returncode}: {done.stderr}")
        return {
            side: [judging.kept(path) for path in sorted((kept / side).iterdir())]
            for side in ("old", "new")
        }


def _joined(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
