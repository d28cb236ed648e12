"""docs/conformance.md, out of a stored run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .cases import GROUPS
from .judge import RATIO

SHOWN = {
    "right": "right",
    "wrong": "**wrong**",
    "not recorded": "not recorded",
    "crash": "**crash**",
    "not applicable": "–",
}

INTRODUCTION = """\
# Conformance

Each row is a small program that knows the truth: how often each part of it is passed, and how
long that took by its own `perf_counter`. It runs once under each tool, in a process of its own,
and what the tool found is compared with the truth. `make conformance` runs all of it, stores the
run in `conformance.json` beside this page, and writes this page out of that. Nothing in it is
typed.
"""

LEGEND = """\
- **right**: every figure that the tool gives is the truth: counts and numbers of threads exactly,
  times within {ratio}.
- **wrong**: a figure is not; see below for which.
- **not recorded**: the tool says nothing of it, or nothing of what child processes did.
- **crash**: the program failed, which runs through without a tool.
- **–**: the tool does not claim to do this; see below.

A hit is a call; of a generator or coroutine, it is its whole run, so a tool that counts each resume
finds more. A figure that a tool does not give is not held against it: pyinstrument samples, and is
judged by its times alone. Of something that is suspended, there are two times, from the first
resume to the end, and the part in which it ran; a tool that gives one figure may give either,
stichotrope has to give both. A program whose result is not right is run three times, and the result
that came most often counts.
"""

USED = """\
How each tool is used: stichotrope's `track`, `track_class` and `block`, with `gather` for the
rows on child processes; line_profiler's decorator, a function's hits being those of its first
line and its time the sum of its lines'; yappi on the wall clock with its builtins, on its
greenlet backend where there are greenlets; viztracer's `VizTracer` with `log_async` where there
is an event loop, its `log_event` for blocks, and its command for the rows on child processes, a
function's hits being the events of its name and its time the part of the timeline that they
cover; pyinstrument at its usual interval of 1 ms; and the usual decorator that reads
`perf_counter` before and after the call.
"""


def render(run: dict[str, Any]) -> str:
    """Return the page of a run."""
    tools = list(run["tools"])
    versions = ", ".join(
        f"{tool} {version}" for tool, version in run["tools"].items() if version[:1].isdigit()
    )
    parts = [
        INTRODUCTION,
        f"The stored run: {run['python']}, {run['system']}; {versions}.\n",
        LEGEND.format(ratio=f"{RATIO:.0%}".replace("%", " %")),
        USED,
        "\n".join(summary(run, tools)) + "\n",
    ]
    for group, title in GROUPS.items():
        cases = [case for case in run["cases"] if case["group"] == group]
        parts.append("\n".join([f"## {title}\n", *table(cases, tools, run["cells"])]) + "\n")
    parts.append("\n".join(["## What is wrong\n", *findings(run, tools)]).rstrip("\n") + "\n")
    parts.append("\n".join(["## What is not recorded or not claimed\n", *reasons(run, tools)]))
    return "\n".join(parts) + "\n"


def table(cases: list[dict[str, Any]], tools: list[str], cells: dict[str, Any]) -> Iterator[str]:
    """The rows of one group."""
    yield row(["", *tools])
    yield row(["---"] * (len(tools) + 1))
    for case in cases:
        yield row([case["title"], *(SHOWN[cells[case["id"]][tool]["verdict"]] for tool in tools)])


def summary(run: dict[str, Any], tools: list[str]) -> Iterator[str]:
    """How many cells of each kind each tool has."""
    yield row(["rows", *tools])
    yield row(["---"] * (len(tools) + 1))
    for verdict, shown in SHOWN.items():
        counts = [
            sum(cells[tool]["verdict"] == verdict for cells in run["cells"].values())
            for tool in tools
        ]
        yield row([shown, *map(str, counts)])


def row(texts: list[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(texts) + " |"


def findings(run: dict[str, Any], tools: list[str]) -> Iterator[str]:
    """One paragraph for each cell that is wrong or a crash."""
    for tool in tools:
        for case in run["cases"]:
            cell = run["cells"][case["id"]][tool]
            if cell["verdict"] in ("wrong", "crash"):
                said = "; ".join(cell.get("wrong") or [f"`{cell['reason']}`"])
                yield f"**{tool}, {case['title']}:** {said}.{of_runs(cell)}\n"


def of_runs(cell: dict[str, Any]) -> str:
    """How often a result came, where not all runs had the same."""
    if "runs" not in cell:
        return ""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in cell["runs"].items())
    return f" (Of three runs: {counts}.)"


def reasons(run: dict[str, Any], tools: list[str]) -> Iterator[str]:
    """One line for each cell that is empty."""
    for tool in tools:
        for case in run["cases"]:
            cell = run["cells"][case["id"]][tool]
            if cell["verdict"] in ("not recorded", "not applicable"):
                said = cell.get("reason") or cell.get("said") or "nothing"
                yield f"- {tool}, {case['title']}: {said}{of_runs(cell)}"
