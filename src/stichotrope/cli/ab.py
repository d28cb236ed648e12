"""``stichotrope ab``: two versions of a program run in turns, and what differs between them."""

from __future__ import annotations

import os
import sys

from . import CommandError, _changes, reason, say
from ._changes import CONDITIONS

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ..results import ProfilerResults
    from ..statistics import Comparison, Runs

USAGE = "%(prog)s [options] OLD_COMMAND [NEW_COMMAND]"
DESCRIPTION = """\
Run two versions in turns, the order drawn by lot, until a change of 5 % would
be found in what takes long, and say of each block whether it became faster or
slower. Each command is one argument; without the second, the first runs both."""
EXAMPLES = """\
examples:
  stichotrope ab 'stichotrope run -q bench.py' --old-dir ../old"""
MORE = f"""\
Neither a busy machine nor one that grows slower makes a block look changed that is not. The
commands are to record: by `stichotrope run`, or by a program whose default profiler gathers.

{CONDITIONS}
more examples:
  git worktree add ../old main
  stichotrope ab '../old/.venv/bin/stichotrope run -q bench.py' \\
                 '.venv/bin/stichotrope run -q bench.py' --rounds 40 --fail-on slower
  stichotrope ab 'stichotrope run -q bench.py' --old-dir ../old -f markdown -o comment.md"""

LEAST, MOST = 20, 100  # rounds, unless the caller says how many
_MOST_ASKED = 10_000
_LOOK = 5  # after so many rounds, whether it takes more
_NAME = "stichotrope ab"
_APART = ("host", "machine", "platform", "clock")  # facts in which times do not compare
_LONGEST_PERIOD_S = "1e9"  # nothing is written while a program runs, only when it ends


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    add = parser.add_argument
    add("old", metavar="OLD_COMMAND", help=SUPPRESS)  # told by the description
    add("new", metavar="NEW_COMMAND", nargs="?", help=SUPPRESS)
    often = f"runs of each (as many as it takes, {LEAST} to {MOST})"
    add("--rounds", metavar="N", type=int, help=often)
    add("--old-dir", metavar="DIR", default=".", help="where the old version is run (here)")
    add("--new-dir", metavar="DIR", default=".", help="where the new version is run (here)")
    add("--keep", metavar="DIR", help="keep the results of each, in DIR/old and DIR/new")
    add("--seed", metavar="N", type=int, help="draw the order as before with this number")
    _changes.configure(parser, 0.99)


def main(options: Any) -> int:
    """Run both versions and compare; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when a command cannot be run or records nothing, or the two cannot be
        compared.
    """
    from ..statistics import compare_pairs

    if options.rounds is not None and not 1 <= options.rounds <= _MOST_ASKED:
        raise CommandError(f"--rounds takes 1 to {_MOST_ASKED:,}, not {options.rounds}")
    try:
        gate = _changes.Gate(_NAME, options)
        sides = _run(options, gate.threshold)
        shown: list[Comparison] = []

        def compared(threshold: float | None) -> Comparison:
            shown.append(compare_pairs(*sides, confidence=options.confidence, threshold=threshold))
            return shown[-1]

        status = gate.status(compared)
        if options.rounds is None:
            _say_missed(shown[0])
        return status
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None


def _say_missed(comparison: Comparison) -> None:
    """Say of which blocks the runs tell too little, when they are as many as there are to be."""
    from ..statistics import MARGIN, NO_DIFFERENCE

    change = comparison.threshold + MARGIN
    names = [
        block.name
        for block in comparison.of_verdict(NO_DIFFERENCE)
        if block.figure == "typical" and block.high is not None and block.high > 1 + change
    ]
    if names:
        say(
            f"{_NAME}: {comparison.old_runs} rounds do not rule out that a pass takes {change:.0%} "
            f"more, of {', '.join(names)}; --rounds gives more"
        )


def _run(options: Any, threshold: float | None) -> tuple[Runs, Runs]:
    """Return the runs of both versions, of each round one.

    :param options: what the parser found.
    :param threshold: the least change that counts.
    """
    from contextlib import closing
    from random import Random
    from tempfile import TemporaryDirectory

    _check_kept(options.keep)
    new = options.old if options.new is None else options.new
    draw = Random(options.seed)
    rounds = _Rounds(options.rounds, options.confidence, threshold)
    with TemporaryDirectory(prefix="stichotrope-") as scratch, closing(rounds):
        # Names of one length, for the environment's size alone moves a program's times.
        sides = (
            _Side("old", options.old, options.old_dir, scratch, options.keep),
            _Side("new", new, options.new_dir, scratch, options.keep),
        )
        for number in rounds.numbers(sides):
            for place in (0, 1) if draw.getrandbits(1) else (1, 0):
                sides[place].run(number)
            if number == 0:
                _check_alike(sides)
    return sides[0].runs(), sides[1].runs()


class _Rounds:
    """How many rounds there are, and a bar that says so.

    :param asked: how many are asked for, or None for as many as it takes.
    :param confidence: of the verdicts.
    :param threshold: the least change that counts.
    """

    def __init__(self, asked: int | None, confidence: float, threshold: float | None) -> None:
        from .._text.progress import ProgressBar, is_wanted

        self._asked = asked
        self._confidence = confidence
        self._threshold = threshold
        self._bar = ProgressBar(_NAME) if is_wanted() else None

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def numbers(self, sides: tuple[_Side, _Side]) -> Iterator[int]:
        """Yield the number of each round; round 0 warms up, and counts for nothing.

        :param sides: the two versions, whose runs until then tell how many it takes.
        """
        wanted = LEAST if self._asked is None else self._asked
        yield 0
        number = 0
        while number < wanted:
            self._show(number, wanted)
            number += 1
            yield number
            if self._asked is None and number >= LEAST and number % _LOOK == 0:
                wanted = max(LEAST, min(self._needed(sides), MOST))

    def _needed(self, sides: tuple[_Side, _Side]) -> int:
        from ..statistics import pairs_needed

        return pairs_needed(
            *(side.runs() for side in sides),
            confidence=self._confidence,
            threshold=self._threshold,
        )

    def _show(self, number: int, wanted: int) -> None:
        from time import perf_counter_ns

        if self._bar is not None:
            done = f"round {number + 1} of {wanted}"
            self._bar.show(number / wanted, done, perf_counter_ns())


def _check_kept(directory: str | None) -> None:
    """Refuse a directory that has runs in it, which would be taken for those of this time."""
    if directory is not None and os.path.isdir(directory) and os.listdir(directory):
        raise CommandError(f"--keep takes a directory that is new or empty, and {directory} is not")


def _check_alike(sides: tuple[_Side, _Side]) -> None:
    """Refuse two versions whose times do not compare, and say what else they differ in."""
    from ..statistics import compare_pairs, differing

    old, new = (side.first() for side in sides)
    compare_pairs(old, new)  # which refuses those that have no block in common
    found = differing(old, new)
    apart = [f"{key}: {found[key]}" for key in _APART if key in found]
    if apart:
        hint = "; STICHOTROPE_CLOCK=monotonic gives both the same" if "clock" in found else ""
        raise CommandError(f"the two do not compare, as they differ in {'; '.join(apart)}{hint}")
    for key, what in found.items():
        say(f"{_NAME}: the two differ in {key}, which times depend on: {what}")


class _Side:
    """One version, and what its runs recorded.

    :param name: "old" or "new".
    :param command: what runs it.
    :param directory: where.
    :param scratch: where its processes may leave their results.
    :param keep: where they are to stay, or None.
    """

    def __init__(
        self, name: str, command: str, directory: str, scratch: str, keep: str | None
    ) -> None:
        self.name = name
        self._command = command
        self._words = _words(name, command)
        self._directory = directory
        if not os.path.isdir(directory):
            raise CommandError(f"--{name}-dir takes a directory, and {directory} is none")
        self._scratch = os.path.join(scratch, name)
        self._keep = None if keep is None else os.path.join(keep, name)
        self._found: list[Runs] = []

    def run(self, number: int) -> None:
        """Run it once.

        :param number: which round; the results of round 0 count for nothing.
        """
        from ..statistics import Runs

        folder = os.path.join(self._scratch, f"{number:05}")
        os.makedirs(folder)
        self._call(folder, number)
        results = self._results(folder)
        if number == 1:
            self._found.clear()
        self._found.append(Runs.of_results(results))
        if self._keep is not None and number:
            os.makedirs(self._keep, exist_ok=True)
            results.save(os.path.join(self._keep, f"{number:05}.json"))

    def first(self) -> Runs:
        """Return the run of round 0, before there is another."""
        return self._found[0]

    def runs(self) -> Runs:
        """Return the runs of all rounds."""
        from ..statistics import Runs

        return Runs([run for runs in self._found for run in runs], self._command)

    def _call(self, folder: str, number: int) -> None:
        import subprocess

        with open(os.path.join(self._scratch, "errors"), "w+b") as errors:
            try:
                done = subprocess.run(
                    self._words,
                    cwd=self._directory,
                    env=_environment(folder),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    check=False,
                )
            except OSError as error:
                raise CommandError(f"{self._what()} cannot be run: {reason(error)}") from None
            if done.returncode:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise CommandError(
                    f"{self._what()} ended with status {done.returncode} in round {number}"
                    f"{f': {said}' if said else ''}"
                )

    def _results(self, folder: str) -> ProfilerResults:
        """Return what the processes of one run recorded, of all profilers together."""
        from ..results.gathered import all_readable, left_by_processes
        from ..results.merge import by_profiler, joined
        from ._sources import left_out

        found = all_readable(lambda: left_by_processes(folder), left_out)
        parts = sorted(found, key=_profiler_name)
        recorded = [one for one in by_profiler(parts) if one.total_hits]
        if not recorded:
            raise CommandError(
                f"{self._what()} recorded nothing that is to be found: it should be "
                "`stichotrope run …` without --gather, or gather where STICHOTROPE_GATHER says"
            )
        return joined(recorded)

    def _what(self) -> str:
        return f"the {self.name} version's command {self._command!r}"


def _profiler_name(results: ProfilerResults) -> str:
    return results.profiler_name


def _words(name: str, command: str) -> list[str] | str:
    """Return the words of a command; on Windows each program takes its own apart."""
    if sys.platform == "win32":
        return command
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CommandError(f"the {name} version's command {command!r}: {error}") from None
    if not words:
        raise CommandError(f"the {name} version's command is empty; expected what runs it")
    return words


def _environment(folder: str) -> dict[str, str]:
    return {
        **os.environ,
        "STICHOTROPE_GATHER": folder,
        "STICHOTROPE_GATHER_PERIOD_S": _LONGEST_PERIOD_S,
    }
