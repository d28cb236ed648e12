"""What two versions differ in, for people and programs, and whether that counts as failed."""

from __future__ import annotations

import sys

from . import _output, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..statistics import BlockComparison, Comparison, LoneBlock
    from ..statistics.conditions import Condition

MOST_ALIKE = 100  # rows that say that nothing has changed; more are counted instead
FORMS = ("table", "markdown", "json")
NOT_FULFILLED = 1  # the exit status when a condition is met
CONDITIONS = """\
conditions of --fail-on, of which any makes the exit status 1:
  slower, faster        a block has that verdict
  slower>5%             a block is shown to be slower by more than 5 %
  missing, new          a block is in one version only
  unclear               there is too little data for a block
  hits-per-parent>1.5x  a block is passed more often in a pass of the block around it, in every run:
                        exact, on any machine, and one run of each is enough
  missing-path, new-path  a path of nested blocks is in one version only
"""
_HEADINGS = ("Track", "Block", "Old", "New", "Change", "Interval", "Verdict")
_NUMBERS = ("Old", "New", "Change", "Interval")  # of these
_ALIKE = "no difference shown"
_STYLES = {"faster": "green", "slower": "red", "too little data": "dim", _ALIKE: ""}
_IN_SEQUENCE = (
    "The runs of one version were made after those of the other, so the intervals allow for what "
    "the machine may have done meanwhile; stichotrope ab makes them in turns, and finds smaller "
    "changes."
)
_ONE_OF_EACH = (
    "one run of each does not tell how times vary from run to run, and --fail-on may fail for that "
    "alone: give several, or let stichotrope ab make them in turns"
)
# What a comparison of pairs calls the figure that it tells of a block.
_FIGURES = {"typical": "typical pass", "mean": "all passes", "self-mean": "own time"}


def configure(parser: argparse.ArgumentParser, confidence: float) -> None:
    """Add the options that say what is shown, and what fails.

    :param parser: the command's parser.
    :param confidence: of the intervals, unless another is given.
    """
    add = parser.add_argument
    forms = f"{', '.join(FORMS)} (table)"
    add("-f", "--format", choices=FORMS, default="table", metavar="FORM", help=forms)
    add("-o", "--output", metavar="FILE", help="write it to a file")
    all_of = f"also more than {MOST_ALIKE} rows of what has not changed"
    add("--all", action="store_true", help=all_of)
    fails = "exit with 1 when that is so: slower, missing, …"
    add("--fail-on", metavar="WHAT", action="append", default=[], help=fails)
    of = f"of the intervals ({confidence})"
    add("--confidence", metavar="SHARE", type=float, default=confidence, help=of)
    least = "the least change that counts, as 5%% or 0.05"
    add("--threshold", metavar="SHARE", type=_share, help=least)


class Gate:
    """What the options say is shown, and what fails.

    :param command: who speaks, such as "stichotrope compare".
    :param options: what the parser found.
    :ivar threshold: the least change that counts, None for the usual one.
    :raises ValueError: when a condition is none.
    :raises CommandError: when the file that is asked for cannot be written.
    """

    def __init__(self, command: str, options: Any) -> None:
        from ..statistics.conditions import parsed

        self._command = command
        self._format = options.format
        self._is_all = options.all
        self._conditions = parsed(options.fail_on)
        self._target = None if options.output is None else _output.checked_target(options.output)
        self.threshold = _threshold(options.threshold, self._conditions)
        self._is_of_times = any(condition.is_of_times for condition in self._conditions)

    def status(self, compared: Callable[[float | None], Comparison]) -> int:
        """Show a comparison, say which conditions it meets; return the exit status.

        :param compared: what compares, given a threshold.
        """
        comparison = compared(self.threshold)
        met = {
            condition.text: condition.blocks(
                comparison
                if condition.threshold in (None, comparison.threshold)
                else compared(condition.threshold)
            )
            for condition in self._conditions
        }
        self._write(self._rendered(comparison, {key: met[key] for key in met if met[key]}))
        if comparison.notes and self._is_of_times:
            differences = "; ".join(comparison.notes)
            say(f"{self._command}: times may not compare: different {differences}")
        if not comparison.is_of_runs and self._is_of_times:
            say(f"{self._command}: {_ONE_OF_EACH}")
        for condition, blocks in met.items():
            if blocks:
                said = f"failed, as --fail-on {condition} says: {', '.join(blocks)}"
                say(f"{self._command}: {said}")
        return NOT_FULFILLED if any(met.values()) else 0

    def _rendered(self, comparison: Comparison, met: dict[str, list[str]]) -> str:
        if self._format == "json":
            import json

            document = {**comparison.to_dict(), "failed": met}
            return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        alike = len(comparison.of_verdict(_ALIKE))
        hidden = 0 if self._is_all or alike <= MOST_ALIKE else alike
        return (_markdown if self._format == "markdown" else _table)(comparison, hidden)

    def _write(self, text: str) -> None:
        if self._target is None:
            sys.stdout.write(text)
            return
        from .._text.files import write_whole

        write_whole(self._target, text)


def _share(text: str) -> float:
    from ..statistics.conditions import share

    return share(text)


def _threshold(given: float | None, conditions: Sequence[Condition]) -> float | None:
    """Return the least change that counts: what is shown is to agree with what fails."""
    shares = {one.threshold for one in conditions if one.threshold is not None}
    return shares.pop() if given is None and len(shares) == 1 else given


# Forms


def _cells(block: BlockComparison, is_of_pairs: bool) -> tuple[str, ...]:
    from .._text.format import format_time_ns

    interval = ""
    if block.low is not None and block.high is not None:
        interval = f"{_percent(block.low)} … {_percent(block.high)}"
    return (
        block.track,
        block.name,
        *((_FIGURES[block.figure],) if is_of_pairs else ()),
        format_time_ns(block.old_ns),
        format_time_ns(block.new_ns),
        "" if block.ratio is None else _percent(block.ratio),
        interval,
        block.verdict,
    )


def _lone_cells(block: LoneBlock, is_old: bool, is_of_pairs: bool) -> tuple[str, ...]:
    from .._text.format import format_time_ns

    time = format_time_ns(block.ns) if block.hits else ""
    old, new, verdict = (time, "", "missing") if is_old else ("", time, "new")
    figure = (_FIGURES["typical"],) if is_of_pairs else ()
    return block.track, block.name, *figure, old, new, "", "", verdict


def _percent(ratio: float) -> str:
    change = 100 * (ratio - 1)
    return f"{change:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _headings(comparison: Comparison) -> tuple[str, ...]:
    track, block, *rest = _HEADINGS
    return (track, block, *(("Of",) if comparison.is_of_pairs else ()), *rest)


def _rows(comparison: Comparison, hidden: int) -> list[tuple[str, ...]]:
    is_of_pairs = comparison.is_of_pairs
    shown = (block for block in comparison if not (hidden and block.verdict == _ALIKE))
    return [
        *(_cells(block, is_of_pairs) for block in shown),
        *(_lone_cells(block, True, is_of_pairs) for block in comparison.only_old),
        *(_lone_cells(block, False, is_of_pairs) for block in comparison.only_new),
    ]


def _remarks(comparison: Comparison, hidden: int) -> list[str]:
    """Return the sentences below the table.

    :param hidden: how many rows without a difference are not in it.
    """
    unsaid = f"{hidden:,} rows are not shown that would say: {_ALIKE} (--all shows them)"
    remarks = [unsaid] if hidden else []
    remarks += [
        f"{_measured(comparison)}; intervals of {comparison.confidence:.0%}; "
        f"changes within {comparison.threshold:.1%} do not count"
    ]
    if not comparison.is_of_runs:
        remarks.append(
            "One run of each tells nothing of how times vary from run to run: several are better."
        )
    if comparison.in_turns is False:
        remarks.append(_IN_SEQUENCE)
    notes: dict[str, list[str]] = {}
    for block in comparison:
        if block.note:
            notes.setdefault(block.note, []).append(block.name)
    remarks += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    if comparison.unfinished:
        names = ", ".join(dict.fromkeys(comparison.unfinished))
        remarks.append(f"{names}: not compared, as no pass had ended on one side")
    return remarks + [f"Different {note}" for note in comparison.notes]


def _measured(comparison: Comparison) -> str:
    old, new = comparison.old_runs, comparison.new_runs
    if comparison.is_of_pairs:
        return (
            f"{_counted(old)} of each in turns, the order drawn by lot; a typical pass is the mean "
            "of those up to 1.5 times the median"
        )
    return f"{comparison.metric} of each block; {_counted(old)} against {_counted(new)}"


def _count_lines(comparison: Comparison) -> list[str]:
    """Return a line for each path that is passed more or less often, is gone or is new."""
    return [
        *(f"{count}" for count in comparison.counts if count.is_changed),
        *(f"{' > '.join(path)}: gone" for path in comparison.paths_only_old),
        *(f"{' > '.join(path)}: new" for path in comparison.paths_only_new),
    ]


def _counted(runs: int) -> str:
    return f"{runs:,} run{'' if runs == 1 else 's'}"


def _table(comparison: Comparison, hidden: int) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .._text.format import printable

    is_terminal = sys.stdout.isatty()
    encoding = sys.stdout.encoding or "ascii"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in _headings(comparison):
        is_text = heading not in _NUMBERS
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in _rows(comparison, hidden):
        style = _STYLES.get(row[-1], "yellow")
        cells = [Text(printable(cell)) for cell in row[:-1]]
        table.add_row(*cells, Text(row[-1], style=style))
    console = Console(
        file=StringIO(),
        force_terminal=is_terminal,
        width=None if is_terminal else 120,
        legacy_windows=False,
    )
    with console.capture() as capture:
        console.print(table)
        console.print()
        for changed in _count_lines(comparison):
            console.print(Text(printable(changed), style="yellow"))
        for remark in _remarks(comparison, hidden):
            console.print(Text(printable(remark), style="dim"))
    lines = (line.rstrip() for line in capture.get().splitlines())
    text = "\n".join(lines) + "\n"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _markdown(comparison: Comparison, hidden: int) -> str:
    from .._text.format import printable

    def escaped(text: str) -> str:
        # What would end a cell or begin markup; names come from the program.
        return printable("".join(f"\\{c}" if c in "\\`*_[]<>|~" else c for c in text))

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(escaped, cells))} |"

    headings = _headings(comparison)
    rules = ["---:" if heading in _NUMBERS else "---" for heading in headings]
    rows = [line(headings), f"| {' | '.join(rules)} |", *map(line, _rows(comparison, hidden))]
    counts = [f"- {escaped(changed)}" for changed in _count_lines(comparison)]
    if counts:
        rows += ["", "Passes of a block in one of the block around it:", "", *counts]
    return (
        "\n".join([*rows, "", *(f"{remark}  " for remark in _remarks(comparison, hidden))]) + "\n"
    )
