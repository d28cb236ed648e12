"""Whether all that was timed is in the results."""

from __future__ import annotations

from typing import Any

from benchmarks._run import Fact, Stored


class Counter:
    """Profilers by the case that each of them records, and what each had at a moment."""

    def __init__(self) -> None:
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
            passes = case["passes"] * case["iterations"] * len(case["elapsed_ns"])
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
