"""``stichotrope history``: what each commit took, and where that changed for good."""

from __future__ import annotations

import sys
from datetime import UTC

from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from ..statistics import HistoryChange, HistoryEntry

    Key = tuple[str, str, int]

USAGE = """\
%(prog)s add FILE RESULTS…
       %(prog)s show FILE
       %(prog)s check FILE"""
DESCRIPTION = """\
Keep what each commit took in a file, a line for each; show each block over the
commits; and check whether one has become slower for good."""
EXAMPLES = """\
examples:
  stichotrope history add history.jsonl runs/
  stichotrope history show history.jsonl -o history.html
  stichotrope history check history.jsonl     status 1 if a block became slower"""
MORE = """\
The file is only added to. What was made on another machine, clock or Python than the last entry is
left out. Changes are found by ruptures (pip install 'stichotrope[history]').

more examples:
  for i in 1 2 3 4 5; do stichotrope run -q -o runs/$i.json bench.py; done
  stichotrope history add history.jsonl runs/        # under the commit that is checked out
  stichotrope history show history.jsonl"""

ACTIONS = ("add", "show", "check")
FOUND = 1  # the exit status when a block has become slower
_NAME = "stichotrope history"
_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 40  # entries in a line on a terminal


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    add = parser.add_argument
    add("action", choices=ACTIONS, metavar="ACTION", help=SUPPRESS)  # told by the usage
    add("file", metavar="FILE", help=SUPPRESS)
    add("results", metavar="RESULTS", nargs="*", help=SUPPRESS)
    add("--commit", metavar="NAME", help="add: of which commit they are (what git says)")
    add(
        "--figure",
        metavar="FIGURE",
        default="typical",
        help="typical, mean, self-mean, cpu (typical)",
    )
    add("--since", metavar="COMMIT", help="show, check: leave out what was before")
    add("-o", "--output", metavar="FILE", help="show: write a page for the browser")
    last = "check: fail if it changed within the last N entries (10)"
    add("--last", metavar="N", type=int, default=10, help=last)
    add("--confidence", metavar="SHARE", type=float, default=0.99, help="of all changes (0.99)")
    threshold = "the least change that counts (0.02)"
    add("--threshold", metavar="SHARE", type=float, default=0.02, help=threshold)


def main(options: Any) -> int:
    """Do what is asked for; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when it cannot be done.
    """
    if options.results and options.action != "add":
        raise CommandError(f"{options.action} takes a history and no results")
    if options.output and options.action != "show":
        raise CommandError(f"-o is for show; {options.action} writes no page")
    try:
        if options.action == "add":
            return _add(options)
        return _show(options) if options.action == "show" else _check(options)
    except BrokenPipeError:
        raise
    except (ImportError, OSError, ValueError) as error:
        raise CommandError(reason(error)) from None


def _add(options: Any) -> int:
    from datetime import datetime

    from .._text.format import printable
    from ..statistics import Runs, add_to_history, entry_of, load_history, load_runs

    if not options.results:
        raise CommandError("add takes the results of one run or more: files or directories")
    runs = [run for path in options.results for run in load_runs(path)]
    commit = _checked_out() if options.commit is None else _given(options.commit)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = entry_of(Runs(runs, ", ".join(options.results)), commit, now)
    add_to_history(options.file, entry)
    added = f"{_counted(len(runs), 'run')}, {_counted(len(entry.blocks), 'block')} added"
    print(f"{printable(commit[:12])}: {added} to {options.file}")
    entries = sum(one.commit == commit for one in load_history(options.file))
    if entries > 1:
        say(
            f"stichotrope history: {options.file} has {entries} entries of {printable(commit[:12])}"
            " now, each shown and checked as one of its own"
        )
    return 0


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _given(name: str) -> str:
    """Return the commit of a name: in full where this is a checkout, else the name itself."""
    from .._text.format import printable

    if not name.strip():
        raise CommandError("--commit takes the name of a commit, not an empty one")
    if _git("rev-parse", "--git-dir") is None:
        return name
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found is None:
        raise CommandError(
            f"git knows no commit {printable(name)} here; give one of this repository, or add "
            "from outside of it"
        )
    return found


def _checked_out() -> str:
    """Return the commit that is checked out here."""
    found = _git("rev-parse", "HEAD")
    if found is None:
        raise CommandError(
            "git says of no commit that it is checked out here; give one with --commit"
        )
    return found


def _git(*arguments: str) -> str | None:
    """Return what git says; None where there is no git, no repository, or no answer."""
    import subprocess

    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip().rpartition("\n")[2]


def _entries(options: Any) -> list[HistoryEntry]:
    """Return the entries that are asked for and can be compared, and say what is left out."""
    from ..statistics import KEPT, comparable, load_history

    if options.figure not in KEPT:
        raise CommandError(f"--figure takes one of {', '.join(KEPT)}, not {options.figure!r}")
    entries = load_history(options.file)
    if not entries:
        raise CommandError(f"{options.file} has no entry yet; `{_NAME} add` makes one")
    if options.since is not None:
        places = [n for n, one in enumerate(entries) if one.commit.startswith(options.since)]
        if not places:
            last = ", ".join(one.commit[:12] for one in entries[-5:])
            raise CommandError(
                f"there is no commit {options.since} in {options.file}; last: {last}"
            )
        entries = entries[places[0] :]
    if not any(options.figure in known for known in entries[-1].blocks.values()):
        raise CommandError(
            f"no block of the last entry has {options.figure} time: take it with "
            "`stichotrope run --cpu`, or Profiler(cpu=True)"
        )
    kept = comparable(entries)
    if len(kept) < len(entries):
        left = len(entries) - len(kept)
        say(f"{_NAME}: {left:,} entries of another machine, clock or Python are left out")
    return kept


def _changes(entries: list[HistoryEntry], options: Any) -> dict[Key, list[HistoryChange]]:
    from ..statistics import changes

    return changes(
        entries, options.figure, confidence=options.confidence, threshold=options.threshold
    )


# show


def _show(options: Any) -> int:
    from . import _output

    target = None if options.output is None else _output.checked_target(options.output)
    entries = _entries(options)
    try:
        found = _changes(entries, options)
    except ImportError as error:  # the lines can be seen without
        say(f"{_NAME}: {error}")
        found = {key: [] for key, known in entries[-1].blocks.items() if options.figure in known}
    if target is None:
        _print(entries, found, options.figure)
    else:
        from .._text.files import write_whole
        from ..report.history import render

        write_whole(target, render(entries, found, options.figure))
    return 0


def _print(entries: list[HistoryEntry], found: dict[Key, list[HistoryChange]], figure: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .._text.format import format_time_ns, printable
    from ..report.history import TITLES

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("Track", "Block", "Now", "Last change", "Since"):
        table.add_column(heading, justify="right" if heading in ("Now", "Last change") else "left")
    table.add_column("Entries", no_wrap=True, min_width=min(len(entries), _SHOWN))
    for key, changes in found.items():
        track, name, _ = key
        now = entries[-1].blocks[key][figure]
        last = changes[-1] if changes else None
        table.add_row(
            Text(printable(track)),
            Text(printable(name)),
            format_time_ns(now),
            Text(_percent(last.ratio), style="red" if last.ratio > 1 else "green") if last else "",
            Text(printable(last.commit[:12])) if last else "",
            _line([one.blocks.get(key, {}).get(figure) for one in entries[-_SHOWN:]]),
        )
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else 120, legacy_windows=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
        console.print()
        days = f"{_day(entries[0])} to {_day(entries[-1])}"
        said = f"what {TITLES[figure]} takes, of each block; {len(entries):,} entries, {days}"
        console.print(Text(said, style="dim"))
    for line in capture.get().splitlines():
        print(line.rstrip())


def _line(values: Sequence[float | None]) -> str:
    """Return a line of bars from the least to the greatest; a gap where there is no value."""
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    if not _can_be_shown(_BARS):
        return ""
    return "".join(
        " " if value is None else _BARS[round((value - low) / span * 7) if span else 0]
        for value in values
    )


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _day(entry: HistoryEntry) -> str:
    return entry.at[:10]


# check


def _check(options: Any) -> int:
    from .._text.format import format_time_ns, printable

    if options.last < 1:
        raise CommandError(f"--last takes 1 or more, not {options.last}")
    entries = _entries(options)
    slower = 0
    for (track, name, _), changes in _changes(entries, options).items():
        for change in changes:
            if change.place < len(entries) - options.last:
                continue
            slower += change.ratio > 1
            times = f"{format_time_ns(change.old_ns)} → {format_time_ns(change.new_ns)}"
            what = printable(f"{track}: {name}")
            since = printable(change.commit[:12])
            word = "slower" if change.ratio > 1 else "faster"
            print(f"{word}  {what}  {times}  {_percent(change.ratio)} since {since}")
    if slower:
        return FOUND
    print(f"no block has become slower for good within the last {options.last} entries")
    return 0
