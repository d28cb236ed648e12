"""Stored runs: their format, their names, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import OLDEST

FORMAT, VERSION = "stichotrope-benchmarks", 1
RESULTS = Path(__file__).with_name("results")

Run = dict[str, Any]
"""format, version, started, scale, seed, machine, package, subjects: {name: what it measured}."""


def new_run(scale: str, seed: int, machine: dict[str, Any], package: dict[str, Any]) -> Run:
    """Return a run with nothing measured yet."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": scale,
        "seed": seed,
        "machine": machine,
        "package": package,
        "subjects": {},
    }


def label(run: Run) -> str:
    """Return the interpreter of a run as "3.13", or "3.14t" where it had no GIL."""
    major, minor = run["machine"]["python"].split(".")[:2]
    return f"{major}.{minor}{'' if run['machine']['gil'] else 't'}"


def default_path(run: Run) -> Path:
    """Return a free name in `results/`: a stored run is never overwritten."""
    stem = f"{run['started'][:10]}-{label(run)}"
    if run["scale"] == "quick":
        stem += "-quick"
    path, number = RESULTS / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = RESULTS / f"{stem}-{number}.json"
    return path


def save(run: Run, path: Path) -> None:
    """Write a run to `path`."""
    write_whole(path, json.dumps(run, separators=(",", ":"), ensure_ascii=False) + "\n")


def load(path: Path) -> Run:
    """Read a run.

    Raises:
        ValueError: the file is not a stored run, or of a version newer than this reads.
    """
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise ValueError(f"{path} is not a stored benchmark run: no format {FORMAT!r} in it")
    if run["version"] > VERSION:
        raise ValueError(
            f"{path} is of version {run['version']}; this program reads up to version {VERSION}"
        )
    return run


def is_supported(run: Run) -> bool:
    """Return whether the package may still be used with the interpreter of a run."""
    major, minor = run["machine"]["python"].split(".")[:2]
    return (int(major), int(minor)) >= OLDEST


def newest() -> list[Path]:
    """Return the newest stored run of each supported interpreter, whole runs before quick ones."""
    best: dict[str, tuple[tuple[bool, str], Path]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        run = load(path)
        if not is_supported(run):
            continue
        rank = (run["scale"] != "quick", run["started"])
        if label(run) not in best or rank > best[label(run)][0]:
            best[label(run)] = (rank, path)
    return [path for _, path in best.values()]


def baseline(run: Run, subject: str) -> Path | None:
    """Return the newest stored run that measured this subject with the interpreter of this run.

    :param run: tells which interpreter: its minor version, and whether it has a GIL.
    :param subject: what the other one has to have measured too.
    :return: its file, of a whole run rather than of a quick one; None when there is none.
    """
    found = []
    for path in RESULTS.glob("*.json"):
        stored = load(path)
        if label(stored) == label(run) and subject in stored["subjects"]:
            found.append(((stored["scale"] != "quick", stored["started"]), path))
    return max(found)[1] if found else None


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`, or leave what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    scratch = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        scratch.chmod(0o644)
        scratch.replace(path)
    except BaseException:
        scratch.unlink()
        raise
