"""How each figure was made and can be made again, and on which machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import _store, report
from benchmarks.page import _text
from benchmarks.page._text import Section

ROOT = _store.RESULTS.parents[1]

_COMMANDS = (
    ("everything on this page", "make bench"),
    ("the same on another interpreter", "make bench PYTHON=python3.13"),
    ("a look, in fewer and shorter rounds", "make bench ARGS=--quick"),
    ("with the longest parts in full", "make bench ARGS=--full"),
    ("single subjects", "python -m benchmarks --only peers,accuracy"),
    ("several interpreters, one after the other", "python -m benchmarks --python 3.11,3.13"),
    ("all figures of the stored runs as tables", "python -m benchmarks report"),
    ("this page and its plots", "python -m benchmarks page"),
)

_RUNS = """\
Each stored run has all raw values, the seed that drew the orders, and the machine. Of each
interpreter and subject, the newest run that is not a quick one is shown."""

_MACHINE = {
    "processor": "cpu",
    "cores in use": "cores_usable",
    "virtual machine": "virtual",
    "frequency governor": "governor",
    "system": "system",
    "kernel": "kernel",
    "clock of the kernel": "kernel_clock",
    "CPython": "python",
    "compiled by": "compiler",
    "profile-guided": "optimised",
    "link-time optimised": "lto",
    "GIL": "gil",
    "floors compiled by": "floors_compiler",
    "load before": "load_average",
    "load after": "load_average_after",
}
"""What is said of a machine, by the names in stored runs."""


def sections(views: list[_store.Run]) -> list[Section]:
    """Return the commands, the stored runs and the machines."""
    commands = _text.table(["what", "command"], ([what, f"`{how}`"] for what, how in _COMMANDS))
    subjects = _text.table(
        ["subject", "what is measured"],
        ([f"`{name}`", _first_line(subject)] for name, subject in report.SUBJECTS.items()),
    )
    found = [
        Section("How to make these figures", [commands, "The subjects of `--only`:", subjects])
    ]
    runs = _runs(views)
    if not runs:
        return found
    return [
        *found,
        Section("The stored runs", [_RUNS, _run_table(runs)], 3),
        Section("The machine", [_machines(runs)], 3),
    ]


def _first_line(subject: Any) -> str:
    return str(subject.__doc__).strip().partition("\n")[0].rstrip(".:")


def _runs(views: list[_store.Run]) -> list[_store.Run]:
    """Return the runs that something is shown of, each once."""
    found: dict[Path, _store.Run] = {}
    for view in views:
        for run in view["sources"].values():
            found.setdefault(run["path"], run)
    return list(found.values())


def _run_table(runs: list[_store.Run]) -> str:
    rows = []
    for run in runs:
        commit = (run["machine"]["git"]["commit"] or _text.NOTHING)[:10]
        changed = " with changes" if run["machine"]["git"]["modified"] else ""
        path = _named(run["path"])
        subjects = ", ".join(run["subjects"])
        rows.append(
            [path, subjects, run["started"][:16].replace("T", " "), run["scale"], commit + changed]
        )
    return _text.table(["file", "subjects", "started (UTC)", "scale", "commit"], rows)


def _named(path: Path) -> str:
    """Return a path in the repository by its way there, and any other one by its name."""
    resolved = path.resolve()
    inside = resolved.is_relative_to(ROOT)
    return f"`{resolved.relative_to(ROOT).as_posix() if inside else path.name}`"


def _machines(runs: list[_store.Run]) -> str:
    rows = []
    for title, key in _MACHINE.items():
        rows.append([title, *(_value(run["machine"].get(key)) for run in runs)])
    heads = [f"{run['started'][:10]}, {_store.label(run)}" for run in runs]
    return _text.table(["", *heads], rows)


def _value(value: object) -> str:
    if value is None:
        return _text.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value)
