"""Cases with many objects, and whether all that they recorded is in the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks._run import Fact, Loop, Stored
from benchmarks.per_pass import Case


@dataclass(frozen=True)
class Warmed(Case):
    """A case that runs its body once, untimed, before each timing.

    All the others have had the caches since its last one. With many objects in few runs of the
    body, the first run would tell more of that than of going round through them.
    """

    def loop(self) -> Loop:
        """Return a function that times n runs of the body after the first."""
        inner = super().loop()

        def timed(count: int) -> int:
            inner(1)
            return inner(count)

        return timed


class Counter:
    """Profilers by the case that each of them records, and what each had at a moment.

    `untimed` is how often a case runs its body besides, for each timing.
    """

    def __init__(self, untimed: int = 0) -> None:
        self.untimed = untimed
        self.profilers: dict[str, Any] = {}
        self._before: dict[str, int] = {}

    def new(self, case: str) -> Any:
        """Return a new profiler, for this case alone."""
        from stichotrope import Profiler

        self.profilers[case] = Profiler(f"growth {case}")
        return self.profilers[case]

    def start(self) -> None:
        """Leave out what was recorded until now."""
        self._before = self._hits()

    def counted(self, timed: Stored) -> dict[str, dict[str, int]]:
        """Return for each case how many passes were made since the start, and how many it has.

        :param timed: what `time_cases` returned.
        """
        hits = self._hits()
        found = {}
        for name in self.profilers:
            case = timed["cases"][name]
            runs = (case["iterations"] + self.untimed) * len(case["elapsed_ns"])
            passes = case["passes"] * runs
            found[name] = {"passes": passes, "hits": hits[name] - self._before[name]}
        return found

    def _hits(self) -> dict[str, int]:
        return {
            name: profiler.get_results().total_hits for name, profiler in self.profilers.items()
        }


def all_counted(title: str, counted: dict[str, dict[str, int]]) -> Fact:
    """Return whether each case has exactly the passes that were made."""
    exact = all(told["hits"] == told["passes"] for told in counted.values())
    hits = sum(told["hits"] for told in counted.values())
    passes = sum(told["passes"] for told in counted.values())
    return Fact(title, exact, f"{hits:,} of {passes:,}")
