"""``stichotrope compare``: what changed between two versions of a program."""

from __future__ import annotations

import sys

from . import CommandError, reason, say

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from ..statistics import BlockComparison, Comparison, LoneBlock, Runs

USAGE = "%(prog)s [options] OLD NEW"
DESCRIPTION = """\
Say of each block whether it became faster or slower, with a confidence interval of the change. OLD
and NEW are a results file, a directory of several runs (much better: only those show how far times
vary from run to run), a directory that processes gathered in, or a file of pyperf."""
EXAMPLES = """\
conditions of --fail-on, of which any makes the exit status 1:
  slower, faster        a block has that verdict
  slower>5%             a block is shown to be slower by more than 5 %
  missing, new          a block is in one version only
  unclear               there is too little data for a block
  hits-per-parent>1.5x  a block is passed more often in a pass of the block around it, in every run:
                        exact, on any machine, and one run of each is enough
  missing-path, new-path  a path of nested blocks is in one version only

examples:
  for i in 1 2 3 4 5; do stichotrope run -q -o old/$i.json bench.py; done
  stichotrope compare old/ new/
  stichotrope compare old/ new/ --fail-on 'slower>5%' --fail-on 'hits-per-parent>1.5x'
  stichotrope compare old.json new.json --metric median --format markdown"""

FORMS = ("table", "markdown", "json")
NOT_FULFILLED = 1  # the exit status when a condition is met
_HEADINGS = ("Track", "Block", "Old", "New", "Change", "Interval", "Verdict")
_STYLES = {"faster": "green", "slower": "red", "too little data": "dim", "no difference shown": ""}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    :param parser: the command's parser.
    """
    add = parser.add_argument
    add("old", metavar="OLD", help="results of the old version")
    add("new", metavar="NEW", help="results of the new version")
    add("-f", "--format", choices=FORMS, default="table", help="the form (table)")
    add("-o", "--output", metavar="FILE", help="write it to a file")
    add(
        "--fail-on", metavar="WHAT", action="append", default=[], help="exit with 1 when that is so"
    )
    add("--metric", metavar="FIGURE", default="mean", help="mean, median, min, total, self (mean)")
    add("--confidence", metavar="SHARE", type=float, default=0.95, help="of the intervals (0.95)")
    add("--threshold", metavar="SHARE", type=float, help="the least change that counts, as 0.05")


def main(options: Any) -> int:
    """Compare; return the exit status.

    :param options: what the parser found.
    :raises CommandError: when the two cannot be compared.
    """
    from . import _fail_on, _output

    try:
        conditions = _fail_on.parsed(options.fail_on)
        target = None if options.output is None else _output.checked_target(options.output)
        sides = _loaded(options.old), _loaded(options.new)
        comparison = _compared(options, sides, _threshold(options, conditions))
        met = {
            condition.text: condition.blocks(
                comparison
                if condition.threshold in (None, comparison.threshold)
                else _compared(options, sides, condition.threshold)
            )
            for condition in conditions
        }
        text = _rendered(comparison, options.format, {key: met[key] for key in met if met[key]})
        _write(text, target)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise CommandError(reason(error)) from None
    if comparison.notes and any(condition.is_of_times for condition in conditions):
        say(f"stichotrope compare: times may not compare: different {'; '.join(comparison.notes)}")
    for condition, blocks in met.items():
        if blocks:
            say(f"stichotrope compare: failed, as --fail-on {condition} says: {', '.join(blocks)}")
    return NOT_FULFILLED if any(met.values()) else 0


def _threshold(options: Any, conditions: Sequence[Any]) -> float | None:
    """Return the least change that counts: what is shown is to agree with what fails."""
    shares = {one.threshold for one in conditions if one.threshold is not None}
    given: float | None = options.threshold
    return shares.pop() if given is None and len(shares) == 1 else given


def _loaded(path: str) -> Runs:
    import warnings

    from ..statistics import load_runs

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        runs = load_runs(path)
    for warning in said:
        say(f"stichotrope compare: {warning.message}")
    return runs


def _compared(options: Any, sides: tuple[Runs, Runs], threshold: float | None) -> Comparison:
    from ..statistics import compare

    return compare(
        *sides, metric=options.metric, confidence=options.confidence, threshold=threshold
    )


def _write(text: str, target: str | None) -> None:
    if target is None:
        sys.stdout.write(text)
        return
    from .._files import write_whole

    write_whole(target, text)


# Forms


def _rendered(comparison: Comparison, form: str, met: dict[str, list[str]]) -> str:
    if form == "json":
        import json

        document = {**comparison.to_dict(), "failed": met}
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _markdown(comparison) if form == "markdown" else _table(comparison)


def _cells(block: BlockComparison) -> tuple[str, ...]:
    from .._format import format_time_ns

    interval = ""
    if block.low is not None and block.high is not None:
        interval = f"{_percent(block.low)} … {_percent(block.high)}"
    return (
        block.track,
        block.name,
        format_time_ns(block.old_ns),
        format_time_ns(block.new_ns),
        "" if block.ratio is None else _percent(block.ratio),
        interval,
        block.verdict,
    )


def _lone_cells(block: LoneBlock, is_old: bool) -> tuple[str, ...]:
    from .._format import format_time_ns

    time = format_time_ns(block.ns)
    old, new, verdict = (time, "", "missing") if is_old else ("", time, "new")
    return block.track, block.name, old, new, "", "", verdict


def _percent(ratio: float) -> str:
    change = 100 * (ratio - 1)
    return f"{change:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _rows(comparison: Comparison) -> list[tuple[str, ...]]:
    return [
        *map(_cells, comparison),
        *(_lone_cells(block, True) for block in comparison.only_old),
        *(_lone_cells(block, False) for block in comparison.only_new),
    ]


def _remarks(comparison: Comparison) -> list[str]:
    """Return the sentences below the table."""
    runs = f"{_counted(comparison.old_runs)} against {_counted(comparison.new_runs)}"
    remarks = [
        f"{comparison.metric} of each block; {runs}; intervals of {comparison.confidence:.0%}; "
        f"changes within {comparison.threshold:.1%} do not count"
    ]
    if comparison.basis != "runs":
        remarks.append(
            "One run of each tells nothing of how times vary from run to run: several are better."
        )
    notes: dict[str, list[str]] = {}
    for block in comparison:
        if block.note:
            notes.setdefault(block.note, []).append(block.name)
    remarks += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    return remarks + [f"Different {note}" for note in comparison.notes]


def _count_lines(comparison: Comparison) -> list[str]:
    """Return a line for each path that is passed more or less often, is gone or is new."""
    return [
        *(f"{count}" for count in comparison.counts if count.is_changed),
        *(f"{' > '.join(path)}: gone" for path in comparison.paths_only_old),
        *(f"{' > '.join(path)}: new" for path in comparison.paths_only_new),
    ]


def _counted(runs: int) -> str:
    return f"{runs:,} run{'' if runs == 1 else 's'}"


def _table(comparison: Comparison) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .._format import printable

    is_terminal = sys.stdout.isatty()
    encoding = sys.stdout.encoding or "ascii"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in _HEADINGS:
        is_text = heading in ("Track", "Block", "Verdict")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in _rows(comparison):
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
        for remark in _remarks(comparison):
            console.print(Text(printable(remark), style="dim"))
    lines = (line.rstrip() for line in capture.get().splitlines())
    text = "\n".join(lines) + "\n"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _markdown(comparison: Comparison) -> str:
    from .._format import printable

    def escaped(text: str) -> str:
        # What would end a cell or begin markup; names come from the program.
        return printable("".join(f"\\{c}" if c in "\\`*_[]<>|~" else c for c in text))

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(escaped, cells))} |"

    rules = ("---", "---", "---:", "---:", "---:", "---:", "---")
    rows = [line(_HEADINGS), f"| {' | '.join(rules)} |", *map(line, _rows(comparison))]
    counts = [f"- {escaped(changed)}" for changed in _count_lines(comparison)]
    if counts:
        rows += ["", "Passes of a block in one of the block around it:", "", *counts]
    return "\n".join([*rows, "", *(f"{remark}  " for remark in _remarks(comparison))]) + "\n"
