"""`python -m tools.conformance`: runs the programs, stores what came out, writes the page."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from .adapters import TOOLS
from .cases import Case, load
from .page import render
from .run import run_all

DOCS = Path(__file__).resolve().parents[2] / "docs"
FORMAT, VERSION = "stichotrope-conformance", 1


def chosen(names: str | None, known: list[str], what: str) -> list[str]:
    """Return the names asked for, each of them known; all of them if none is."""
    if names is None:
        return known
    asked = [name.strip() for name in names.split(",")]
    unknown = [name for name in asked if name not in known]
    if unknown:
        sys.exit(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return asked


def stored(cases: list[Case], tools: list[str], cells: dict[str, Any]) -> dict[str, Any]:
    """Return a run as it is stored. Nothing in it says whose machine it was."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "tools": {name: TOOLS[name]().version() for name in tools},
        "cases": [{"id": one.id, "title": one.title, "group": one.group} for one in cases],
        "cells": cells,
    }


def main() -> int:
    """Run, store, write; the status is 1 when a cell of our own is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.conformance", description=__doc__)
    parser.add_argument("--tools", help="only these, separated by commas")
    parser.add_argument("--cases", help="only these, separated by commas; nothing is stored then")
    parser.add_argument("--page-only", action="store_true", help="write the page of the stored run")
    options = parser.parse_args()
    path = DOCS / "conformance.json"
    if not options.page_only:
        known = load()
        ids = chosen(options.cases, list(known), "case")
        tools = chosen(options.tools, list(TOOLS), "tool")
        cases = [known[one] for one in ids]
        cells = run_all(cases, tools, lambda line: print(line, flush=True))
        if options.cases is None and options.tools is None:
            run = stored(cases, tools, cells)
            DOCS.mkdir(exist_ok=True)
            path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            return int(not ours_is_right(cells))
    run = json.loads(path.read_text(encoding="utf-8"))
    (DOCS / "conformance.md").write_text(render(run), encoding="utf-8")
    return int(not ours_is_right(run["cells"]))


def ours_is_right(cells: dict[str, Any]) -> bool:
    """Whether our own column has no cell but right ones and such as cannot be run."""
    ours = [row["stichotrope"] for row in cells.values() if "stichotrope" in row]
    return all(cell["verdict"] in ("right", "not applicable") for cell in ours)


if __name__ == "__main__":
    sys.exit(main())
