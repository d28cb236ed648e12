"""Tables from stored runs, several interpreters side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

from benchmarks import (
    _store,
    accuracy,
    gate,
    growth,
    html,
    import_time,
    instructions,
    many,
    memory,
    peers,
    per_pass,
    retirement,
    snapshot,
    startup,
    store,
    suspended,
    threads,
)
from benchmarks._run import NOT_MET, Fact, Figure
from benchmarks.workloads.prompts import measure as prompts
from benchmarks.workloads.smc import measure as smc

SUBJECTS: dict[str, ModuleType] = {
    "per_pass": per_pass,
    "peers": peers,
    "accuracy": accuracy,
    "suspended": suspended,
    "threads": threads,
    "snapshot": snapshot,
    "memory": memory,
    "many": many,
    "growth": growth,
    "instructions": instructions,
    "retirement": retirement,
    "import_time": import_time,
    "startup": startup,
    "html": html,
    "store": store,
    "gate": gate,
    "smc": smc,
    "prompts": prompts,
}
"""What a run measures, in order. Each has `measure`, `limits` and `figures`.

Some have `HEADLINES` and `HEADLINE_LIMITS`, the names of what is shown in brief, and some have
`tables`: what no figure can say, in Markdown, from the runs that have the subject.
"""

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def main(arguments: list[str]) -> int:
    """Print the tables; return the exit status."""
    options = _parser().parse_args(arguments)
    paths = options.files or _store.newest()
    if not paths:
        print("no stored run; `python -m benchmarks` makes one", file=sys.stderr)
        return 1
    try:
        runs = [_store.load(path) for path in paths]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(render(runs))
    return 0


def render(runs: list[_store.Run]) -> str:
    """Return the tables in Markdown: limits with verdicts, then what everything cost.

    Args:
        runs: stored runs, one column each, sorted by interpreter here.
    """
    runs = sorted(runs, key=_age)
    parts = [provenance(runs), table(runs, "limits"), LEGEND]
    for name, subject in SUBJECTS.items():
        having = [run for run in runs if name in run["subjects"]]
        if having:
            parts.append(table(runs, "figures", name))
        if having and hasattr(subject, "tables"):
            parts += subject.tables(having)
    return "\n\n".join(part for part in parts if part)


def rewrite(path: Path, section: str) -> None:
    """Put `section` between the markers of the file at `path`.

    Raises:
        ValueError: the file does not have both markers, once each and in order.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no section from {BEGIN} to {END} to write the tables into")
    _store.write_whole(path, f"{before}{BEGIN}\n\n{section}\n\n{END}{after}")


LEGEND = (
    "Median of the rounds [95 % interval of the median]. Met: the whole interval is within the "
    "limit; not met: the whole of it is beyond; within noise: it straddles the limit. Costs per "
    "pass are processor time less the bare call or the empty loop; all other times are elapsed."
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="stored runs; default: the newest of each interpreter in benchmarks/results",
    )
    return parser


def _age(run: _store.Run) -> tuple[int, int, str, str]:
    major, minor = run["machine"]["python"].split(".")[:2]
    return int(major), int(minor), _store.label(run), run["started"]


def provenance(runs: list[_store.Run]) -> str:
    """Return where and how each run was made."""
    lines = []
    for run in runs:
        machine = run["machine"]
        kind = "virtual machine" if machine["virtual"] else "machine"
        commit = (machine["git"]["commit"] or "no commit")[:10]
        if machine["git"]["modified"]:
            commit += " with changes"
        if run["package"].get("python_files_match_tree") is False:
            commit += ", another stichotrope installed"
        lines.append(
            f"- CPython {machine['python']}{'' if machine['gil'] else ' without GIL'}: "
            f"{machine['cpu']}, {machine['cores_usable']} cores ({kind}), "
            f"{machine['system']} {machine['kernel']}; "
            f"{run['started'][:10]}, {commit}, {run['scale']} run"
        )
    return "Made by `python -m benchmarks`:\n\n" + "\n".join(lines)


def table(runs: list[_store.Run], kind: str, only: str | None = None, wanted: object = None) -> str:
    """Return one table: a row for each name any run has, a column for each run."""
    columns: list[dict[str, Figure | Fact]] = []
    for run in runs:
        found: dict[str, Figure | Fact] = {}
        for name, subject in SUBJECTS.items():
            if name in run["subjects"] and only in (None, name):
                rows = getattr(subject, kind)(run["subjects"][name])
                found.update((row.name, row) for row in rows)
        columns.append(found)
    names = list(dict.fromkeys(name for column in columns for name in column))
    if isinstance(wanted, tuple):
        names = [name for name in names if name in wanted]
    if not names:
        return ""
    limited = kind == "limits"
    head = ["limit", "at most"] if limited else [(only or "").replace("_", " ")]
    lines = [[*head, *(_store.label(run) for run in runs)]]
    lines.append(["---"] * len(lines[0]))
    for name in names:
        rows = [column.get(name) for column in columns]
        first = [name, _limit(next(row for row in rows if row))] if limited else [name]
        lines.append([*first, *(cell(row) for row in rows)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def headline_limits(runs: list[_store.Run]) -> tuple[str, ...]:
    """Return the names of the limits in brief: of a subject that chooses some, those alone."""
    names: list[str] = []
    for name, subject in SUBJECTS.items():
        for run in runs:
            rows = subject.limits(run["subjects"][name]) if name in run["subjects"] else []
            chosen = getattr(subject, "HEADLINE_LIMITS", None)
            names += [row.name for row in rows if chosen is None or row.name in chosen]
    return tuple(names)


def _limit(row: Figure | Fact) -> str:
    if isinstance(row, Fact) or row.limit is None:
        return ""
    return f"{'at least ' if row.at_least else ''}{row.limit:g} {row.unit}"


def cell(row: Figure | Fact | None) -> str:
    """Return the median, its interval and the verdict."""
    if row is None:
        return "–"
    verdict = row.verdict() or ""
    if verdict == NOT_MET:
        verdict = f"**{verdict}**"
    if isinstance(row, Fact):
        return f"{row.seen}: {verdict}"
    middle, low, high = (f"{value:,.{row.digits}f}" for value in row.interval())
    # An interval of one value says nothing: instruction counts have no spread.
    spread = f" [{low}, {high}]" if len(row.samples) > 1 else ""
    return f"{middle} {row.unit}{spread}" + (f": {verdict}" if verdict else "")
