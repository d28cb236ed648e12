"""``stichotrope top``: what running processes spend their time on now."""

from __future__ import annotations

import os
import sys

from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..store.live import Look, Watch

USAGE = "%(prog)s [options] [DIR|PID]"
DESCRIPTION = """\
Show what processes that keep their records in a store (`stichotrope run
--store DIR`, `Profiler(..., store=DIR)`) are doing now, from outside: one that
hangs, or is stopped, is shown too. By default those of the settings' store."""
EXAMPLES = """\
examples:
  stichotrope top /var/tmp/shop
  stichotrope top 4711 --sort open
  stichotrope top --once --json | jq '.processes[].blocks[] | select(.open > 0)'"""
MORE = """\
columns:
  Hits/s   passes that ended, a second
  Now      of the time since the last look, the share in which the block was open; threads add up
  Mean     of the passes that ended since then, and what 95 % of them did not exceed
  Open     passes that are open now, and for how long the longest has been
  Bytes/s  that went through since the last look, where a program says how many; likewise items

keys:
  s sort by the next column   g by process, by thread, or all together   p pause and go on
  / show only blocks whose name holds what is typed then (Enter ends it)   q end"""

_PLAIN_WIDTH = 120  # where it goes to a file or a pipe
_MOST_NAME = 60
_MOST_COMMAND = 90
TOGETHER, BY_PROCESS, BY_THREAD = GROUPS = ("together", "by process", "by thread")
SORTS = ("share", "hits", "mean", "p95", "open", "name")
_KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "share": lambda row: -row["share"],
    "hits": lambda row: -row["hits"],
    "mean": lambda row: -(row["mean_ns"] or 0),
    "p95": lambda row: -(row["p95_ns"] or 0),
    "open": lambda row: -row["longest_open_ns"],
    "name": lambda row: (row["track"], row["name"]),
}
_WORK = {"bytes_per_s": "Bytes/s", "items_per_s": "Items/s"}
_SHORTEST_S, _LONGEST_S = 0.05, 3600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    from argparse import SUPPRESS

    add = parser.add_argument
    add("where", nargs="?", metavar="DIR|PID", help=SUPPRESS)  # told by usage and description
    add("--interval", metavar="SECONDS", type=float, default=1.0, help="time between looks (1)")
    add("--once", action="store_true", help="look twice, an interval apart, print, and end")
    add("--json", action="store_true", help="print a JSON object; with --once only")
    sorts = f"{', '.join(SORTS)} (share)"
    add("--sort", choices=SORTS, default="share", metavar="COLUMN", help=sorts)
    add("--limit", metavar="N", type=int, default=30, help="show at most N blocks (30)")
    only = "only blocks of this name (* and ? are wildcards)"
    add("--match", metavar="NAME", action="append", default=[], help=only)
    group = parser.add_mutually_exclusive_group()
    by_process = "a table for each process"
    group.add_argument(
        "--by-process", action="store_const", const=BY_PROCESS, dest="by", default=TOGETHER,
        help=by_process,
    )  # fmt: skip
    by_thread = "a table for each thread"
    group.add_argument(
        "--by-thread", action="store_const", const=BY_THREAD, dest="by", help=by_thread
    )


def main(options: Any) -> int:
    """Show what is going on; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when there is no such store or process.
    """
    if not _SHORTEST_S <= options.interval <= _LONGEST_S:
        raise CommandError(
            f"--interval takes seconds from {_SHORTEST_S:g} to {_LONGEST_S:g}, "
            f"not {options.interval:g}"
        )
    if options.json and not options.once:
        raise CommandError("--json prints one object: give --once, too")
    watch = _watch(options.where)
    try:
        if options.once:
            return _once(watch, options)
        if sys.stdout is None or not sys.stdout.isatty():
            raise CommandError("standard output is no terminal: give --once")
        return _live(watch, options)
    finally:
        watch.close()


def _watch(where: str | None) -> Watch:
    if sys.platform == "win32":
        raise CommandError("there are no stores on Windows")
    from ..store.live import Watch, store_of

    if where is not None and where.isdigit() and not os.path.isdir(where):
        process = int(where)
        if not is_running(process):
            raise CommandError(f"there is no process {process}")
        directory = store_of(process) or configured_store()
        if directory is None:
            raise CommandError(f"process {process} keeps its records in no store that can be found")
        return Watch(directory, process)
    directory = where or configured_store()
    if directory is None:
        raise CommandError("give the store's directory or a process's number")
    if not os.path.isdir(directory):
        raise CommandError(f"{directory}: there is no such directory")
    return Watch(directory)


def is_running(process: int) -> bool:
    """Return whether there is a process of a number.

    :param process: the number.
    """
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def configured_store() -> str | None:
    """Return the store that the settings name, or None.

    :raises CommandError: when they have a mistake.
    """
    from ..config import ConfigError, load

    try:
        return load().store
    except ConfigError as error:
        raise CommandError(reason(error)) from None


def _looks(watch: Watch) -> list[Look]:
    try:
        found = watch.looks()
    except OSError as error:
        raise CommandError(reason(error)) from None
    for text in watch.left_out.values():
        say(f"stichotrope top: left out: {text}")
    watch.left_out.clear()
    return found


def _once(watch: Watch, options: Any) -> int:
    import time

    watch.by_thread = options.by == BY_THREAD
    _looks(watch)
    time.sleep(options.interval)
    looks = _looks(watch)
    if options.json:
        import json

        processes = [_chosen_dict(look, options) for look in looks]
        print(json.dumps({"at_ns": time.time_ns(), "processes": processes}, indent=2))
        return 0
    if not looks:
        raise CommandError(f"no process that runs keeps its records there{_left_in(watch)}")
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    console = Console(
        highlight=False, soft_wrap=not is_terminal, width=None if is_terminal else _PLAIN_WIDTH
    )
    for part in _parts(looks, _View(options)):
        console.print(part)
    return 0


def _left_in(watch: Watch) -> str:
    """Return where to find what processes have left that are gone, as the rest of a sentence."""
    from ..results.gathered import left_by_processes

    if not left_by_processes(watch.directory):
        return ""
    return f"; what others have left is told by: stichotrope report {watch.directory}"


def _is_chosen(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _chosen_dict(look: Look, options: Any) -> dict[str, Any]:
    view = _View(options)
    found = look.to_dict()
    found["blocks"] = view.chosen(look.rows())[: options.limit]
    if options.by == BY_THREAD:
        found["thread_list"] = [
            {
                "key": thread.key,
                "os_id": thread.os_id,
                "name": thread.name,
                "blocks": view.chosen(rows)[: options.limit],
            }
            for thread, rows in look.threads()
        ]
    return found


class _View:
    """What is shown, and how.

    :param options: what the command line says at first.
    """

    def __init__(self, options: Any) -> None:
        self.sort: str = options.sort
        self.by: str = options.by
        self.limit: int = options.limit
        self.paused = False
        self.typing = False
        self.text = ""
        self._match: list[str] = options.match
        self._interval: float = options.interval

    def chosen(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows that are shown, in order."""
        wanted = self.text.lower()
        rows = (row for row in rows if row["hits"] or row["open"])
        rows = (row for row in rows if _is_chosen(row["name"], self._match))
        rows = (row for row in rows if wanted in f"{row['track']} / {row['name']}".lower())
        return sorted(rows, key=_KEYS[self.sort])

    def press(self, key: str) -> bool:
        """Do what a key says; return whether to go on."""
        if self.typing:
            self._type(key)
        elif key == "q":
            return False
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        elif key == "g":
            self.by = GROUPS[(GROUPS.index(self.by) + 1) % len(GROUPS)]
        elif key == "p":
            self.paused = not self.paused
        elif key == "/":
            self.typing, self.text = True, ""
        return True

    def _type(self, key: str) -> None:
        if key in ("\r", "\n"):
            self.typing = False
        elif key == "\x1b":
            self.typing, self.text = False, ""
        elif key in ("\x7f", "\b"):
            self.text = self.text[:-1]
        elif key.isprintable():
            self.text += key

    def head(self) -> str:
        """Return the line that says what is shown."""
        state = "paused" if self.paused else f"every {self._interval:g} s"
        only = f", only /{self.text}" if self.text or self.typing else ""
        return f"sorted by {self.sort}, {self.by}, {state}{only}; s g p / q"


def _added(looks: list[Look]) -> list[dict[str, Any]]:
    """Return the rows of several processes, those of one block together."""
    found: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for row in (row for look in looks for row in look.rows()):
        key = (row["track"], row["name"], row["file"], row["line"])
        known = found.setdefault(key, row)
        if known is not row:
            _add(known, row)
    return list(found.values())


def _add(known: dict[str, Any], row: dict[str, Any]) -> None:
    hits = known["hits"] + row["hits"]
    for name in ("mean_ns", "concurrency"):
        parts = [(one[name], one["hits"]) for one in (known, row) if one[name] is not None]
        known[name] = sum(value * count for value, count in parts) / hits if hits else None
    # Of several processes, the worst one's.
    known["p95_ns"] = max((one["p95_ns"] for one in (known, row) if one["p95_ns"]), default=None)
    known["longest_open_ns"] = max(known["longest_open_ns"], row["longest_open_ns"])
    summed = ("hits", "hits_per_s", "share", "errors", "open", "bytes_per_s", "items_per_s")
    for name in summed:
        known[name] += row[name]


def _parts(looks: list[Look], view: _View) -> Iterator[Any]:
    """Yield what is printed, for each process, each thread, or for all."""
    groups = [looks] if view.by == TOGETHER else [[look] for look in looks]
    for group in groups:
        yield _heading("\n".join(map(_process_line, group)))
        if view.by == BY_THREAD:
            for thread, rows in group[0].threads():
                shown = view.chosen(rows)
                if shown:
                    yield _heading(f"  {thread.name}")
                    yield _table(shown, view.limit, view.sort)
        else:
            yield _table(view.chosen(_added(group)), view.limit, view.sort)


def _heading(text: str) -> Any:
    from rich.text import Text

    from .._text.format import printable

    lines = "\n".join(map(printable, text.split("\n")))
    return Text(lines, style="bold", no_wrap=True, overflow="ellipsis")


def _process_line(look: Look) -> str:
    from .._text.format import format_time_ns, printable

    age = format_time_ns(look.results.metadata["duration_ns"])
    command = printable(" ".join(look.command) or look.results.profiler_name)
    if len(command) > _MOST_COMMAND:  # the program is at its begin, what it was given at its end
        half = (_MOST_COMMAND - 3) // 2
        command = f"{command[:half]} … {command[-half:]}"
    return f"{look.process}  {command}  for {age}"


def _table(rows: list[dict[str, Any]], limit: int, sort: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    from .._text.format import format_time_ns, printable, shorten

    if not rows:
        return Text("nothing was recorded since the last look, and nothing is open", style="dim")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Block")  # which gives way where there is no room; figures do not
    work = [name for name in ("bytes_per_s", "items_per_s") if any(row[name] for row in rows)]
    for title, key in (
        *(("Hits/s", "hits"), ("Now", "share"), ("Mean", "mean"), ("p95", "p95")),
        *(("Open", "open"), ("for", "open"), ("At a time", "")),
        *((_WORK[name], "") for name in work),
    ):
        style = "bold" if key == sort else ""
        table.add_column(title, justify="right", no_wrap=True, style=style)
    for row in rows[:limit]:
        name = shorten(printable(f"{row['track']} / {row['name']}"), _MOST_NAME)
        concurrency = row["concurrency"]
        table.add_row(
            Text(name, no_wrap=True, overflow="ellipsis"),
            _per_s(row["hits_per_s"]),
            f"{100 * row['share']:.1f} %",
            "" if row["mean_ns"] is None else format_time_ns(row["mean_ns"]),
            "" if row["p95_ns"] is None else format_time_ns(row["p95_ns"]),
            str(row["open"]) if row["open"] else "",
            format_time_ns(row["longest_open_ns"]) if row["open"] else "",
            f"{concurrency:.1f}" if concurrency and concurrency >= 1.05 else "",
            *(_work(name, row[name]) for name in work),
        )
    if len(rows) > limit:
        table.add_row(Text(f"and {len(rows) - limit:,} more", style="dim"))
    return table


def _per_s(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _work(name: str, rate: float) -> str:
    """Return how much went through in a second, empty for nothing."""
    from .._text.format import format_throughput

    if not rate:
        return ""
    return format_throughput(rate) if name == "bytes_per_s" else _per_s(rate)


def _live(watch: Watch, options: Any) -> int:
    import time

    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from ._keys import Keys

    console = Console(highlight=False)
    view = _View(options)
    looks: list[Look] = []
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as display:
        due = time.monotonic()
        while True:
            watch.by_thread = view.by == BY_THREAD
            if not view.paused and time.monotonic() >= due:
                looks = _looks(watch)
                due = time.monotonic() + options.interval
            head = Text(view.head(), style="dim", no_wrap=True)
            parts = list(_parts(looks, view)) if looks else []
            display.update(Group(head, *(parts or [Text("no process runs here")])), refresh=True)
            key = keys.next(None if view.paused else max(due - time.monotonic(), 0.0))
            if key and not view.press(key):
                return 0
