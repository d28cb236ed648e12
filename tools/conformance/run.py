"""Runs each program under each tool, in a process of its own, and judges what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import truth
from .adapters import GATHER, TOOL, VizTracer, command, of_timeline
from .cases import Case
from .judge import Cell, judge

TIMEOUT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


def cannot_run(case: Case) -> str | None:
    """Say why a program cannot run here, or None."""
    if sys.version_info < case.least:
        return "needs Python " + ".".join(map(str, case.least))
    for need in case.needs:
        here = hasattr(os, "fork") if need == "os.fork" else find_spec(need) is not None
        if not here:
            return f"needs {need}"
    return None


def run(case: Case, tool: str) -> Cell:
    """Run one program under one tool; three times if it is not right, as chance may be to blame."""
    cells = [run_once(case, tool)]
    if cells[0]["verdict"] in ("wrong", "crash"):
        cells += [run_once(case, tool), run_once(case, tool)]
    verdicts = [cell["verdict"] for cell in cells]
    usual = max(verdicts, key=verdicts.count)
    cell = next(cell for cell in cells if cell["verdict"] == usual)
    if len(set(verdicts)) > 1:
        cell["runs"] = {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}
    return cell


def run_once(case: Case, tool: str) -> Cell:
    """Run one program under one tool, and judge."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            truth.DIRECTORY: made,
            TOOL: tool,
        }
        environment.pop(GATHER, None)
        if case.children:
            environment[GATHER] = str(directory / "gathered")
        try:
            done = subprocess.run(
                command(tool, case, directory),
                cwd=made,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"verdict": "crash", "reason": f"it did not end within {TIMEOUT_S:.0f} s"}
        return read_cell(case, tool, directory, done)


def read_cell(
    case: Case, tool: str, directory: Path, done: subprocess.CompletedProcess[str]
) -> Cell:
    """Judge what a process left."""
    path = directory / "found.json"
    said = json.loads(path.read_text()) if path.exists() else {}
    if "not_applicable" in said:
        return {"verdict": "not applicable", "reason": said["not_applicable"]}
    if done.returncode or not said:
        return {"verdict": "crash", "reason": last_line(done)}
    found = said["found"]
    if tool == VizTracer.name and case.children:
        timeline = of_timeline(directory / "viztracer.json")
        found = {name: timeline[seen] for name, seen in said["seen_as"].items() if seen in timeline}
    told = truth.read(directory, said["process"])
    cell = judge(told, found, said["checks"], case.per_thread)
    if cell["verdict"] == "not recorded" and done.stderr:
        cell["said"] = warning_of(done.stderr)
    if not case.children:
        return cell
    whole = judge(truth.read(directory), found, said["checks"], case.per_thread)
    if cell["verdict"] == "right" and told and whole["verdict"] != "right":
        return {
            **whole,
            "verdict": "not recorded",
            "reason": "only what the parent did",
            "wrong": [],
        }
    return whole


def warning_of(text: str) -> str:
    """Return what a tool warned of, if it did; without the place, a path of this machine."""
    found = [line.partition("Warning: ")[2] for line in text.splitlines() if "Warning: " in line]
    return found[-1] if found else ""


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Say how a process ended."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if "/" not in line] or lines[:0]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    return f"{how}: {lines[-1].strip()}" if lines else how


def run_all(cases: list[Case], tools: list[str], progress: Callable[[str], None]) -> dict[str, Any]:
    """Return case id → tool → cell."""
    results: dict[str, Any] = {}
    for case in cases:
        reason = cannot_run(case)
        results[case.id] = {}
        for tool in tools:
            cell = {"verdict": "not applicable", "reason": reason} if reason else run(case, tool)
            results[case.id][tool] = cell
            progress(f"{case.id:32} {tool:24} {cell['verdict']}")
            for sentence in cell.get("wrong", ()):
                progress(f"{'':34}{sentence}")
            if cell.get("reason"):
                progress(f"{'':34}{cell['reason']}")
    return results
