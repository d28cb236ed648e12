"""``stichotrope top``: what running processes spend their time on now."""

from __future__ import annotations

import os
import sys

from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..store.live import Look, Watch

USAGE = "%(prog)s [options] [DIR|PID]"
DESCRIPTION = """\
Show what processes that keep their records in a store (`stichotrope run --store DIR`,
`Profiler(..., store=DIR)`) are doing now. It needs no help from them, and shows a process that
hangs, or is stopped, too."""
EXAMPLES = """\
columns:
  Hits/s   passes that ended, a second
  Now      of the time since the last look, the share in which the block was open; threads add up
  Mean     of the passes that ended since then, and what 95 % of them did not exceed
  Open     passes that are open now, and for how long the longest has been
  Bytes/s  that went through since the last look, where a program says how many; likewise items

keys:
  s sort by the next column   p pause and go on   g by process, or all together   q end

examples:
  stichotrope top /var/tmp/shop
  stichotrope top 4711 --sort open
  stichotrope top --once --json | jq '.processes[].blocks[] | select(.open > 0)'"""

_PLAIN_WIDTH = 120  # where it goes to a file or a pipe
_MOST_NAME = 60
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
    add = parser.add_argument
    where = "the store, or a process's number; by default the store that the settings name"
    add("where", nargs="?", metavar="DIR|PID", help=where)
    add("--interval", metavar="SECONDS", type=float, default=1.0, help="time between looks (1)")
    add("--once", action="store_true", help="look twice, an interval apart, print, and end")
    add("--json", action="store_true", help="print a JSON object; with --once only")
    add("--sort", choices=SORTS, default="share", help="what blocks are sorted by (share)")
    add("--limit", metavar="N", type=int, default=30, help="show at most N blocks (30)")
    only = "only blocks of this name (* and ? are wildcards)"
    add("--match", metavar="NAME", action="append", default=[], help=only)
    add("--by-process", action="store_true", help="a table for each process")


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
        if not _is_running(process):
            raise CommandError(f"there is no process {process}")
        directory = store_of(process) or _configured()
        if directory is None:
            raise CommandError(f"process {process} keeps its records in no store that can be found")
        return Watch(directory, process)
    directory = where or _configured()
    if directory is None:
        raise CommandError("give the store's directory or a process's number")
    if not os.path.isdir(directory):
        raise CommandError(f"{directory}: there is no such directory")
    return Watch(directory)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _configured() -> str | None:
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

    _looks(watch)
    time.sleep(options.interval)
    looks = _looks(watch)
    if options.json:
        import json

        processes = [_chosen_dict(look, options) for look in looks]
        print(json.dumps({"at_ns": time.time_ns(), "processes": processes}, indent=2))
        return 0
    if not looks:
        raise CommandError("no process that runs keeps its records there")
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    console = Console(
        highlight=False, soft_wrap=not is_terminal, width=None if is_terminal else _PLAIN_WIDTH
    )
    for part in _parts(looks, options.sort, options.by_process, options):
        console.print(part)
    return 0


def _is_chosen(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _chosen_dict(look: Look, options: Any) -> dict[str, Any]:
    found = look.to_dict()
    rows = [row for row in found["blocks"] if _is_chosen(row["name"], options.match)]
    found["blocks"] = sorted(rows, key=_KEYS[options.sort])[: options.limit]
    return found


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


def _parts(looks: list[Look], sort: str, by_process: bool, options: Any) -> Iterator[Any]:
    """Yield what is printed, for each process or for all."""
    from rich.text import Text

    from .._text.format import format_time_ns, printable

    groups = [[look] for look in looks] if by_process else [looks]
    for group in groups:
        heads = []
        for look in group:
            age = format_time_ns(look.results.metadata["duration_ns"])
            command = " ".join(look.command) or look.results.profiler_name
            heads.append(f"{look.process}  {printable(command)}  for {age}")
        yield Text("\n".join(heads), style="bold", no_wrap=True, overflow="ellipsis")
        rows = [row for row in _added(group) if _is_chosen(row["name"], options.match)]
        rows = [row for row in rows if row["hits"] or row["open"]]
        yield _table(sorted(rows, key=_KEYS[sort]), options.limit, sort)


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
    sort, by_process, paused = options.sort, options.by_process, False
    looks: list[Look] = []
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as display:
        due = time.monotonic()
        while True:
            if not paused and time.monotonic() >= due:
                looks = _looks(watch)
                due = time.monotonic() + options.interval
            state = "paused" if paused else f"every {options.interval:g} s"
            head = Text(f"sorted by {sort}, {state}; s p g q", style="dim", no_wrap=True)
            parts = list(_parts(looks, sort, by_process, options)) if looks else []
            display.update(Group(head, *(parts or [Text("no process runs here")])), refresh=True)
            key = keys.next(None if paused else max(due - time.monotonic(), 0.0))
            if key == "q":
                return 0
            if key == "s":
                sort = SORTS[(SORTS.index(sort) + 1) % len(SORTS)]
            paused = paused != (key == "p")
            by_process = by_process != (key == "g")
