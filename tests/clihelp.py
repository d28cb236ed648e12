"""What the tests of the command line share: running it, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from subprocess import CompletedProcess

from conftest import WATCHDOG_SECONDS
from stichotrope import ProfilerResults

# Of these tests' own environment, nothing is to reach the programs that they run.
_LEFT_OUT = (
    *("STICHOTROPE_", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "_ARGCOMPLETE"),
    *("COLUMNS", "FORCE_COLOR"),
)


def environment(**variables: str) -> dict[str, str]:
    """The environment of a program that is run: what is imported here can be imported there."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_LEFT_OUT)}
    # Without the current directory, which the interpreter would put there by itself.
    path = os.pathsep.join(filter(None, sys.path))
    return {**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **variables}


def python(
    *arguments: str, cwd: Path, stdin: str | None = None, **variables: str
) -> CompletedProcess[str]:
    """Runs the interpreter."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=stdin,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WATCHDOG_SECONDS,
        check=False,
    )


def stichotrope(
    *arguments: str, cwd: Path, stdin: str | None = None, **variables: str
) -> CompletedProcess[str]:
    """Runs the command line."""
    return python("-m", "stichotrope", *arguments, cwd=cwd, stdin=stdin, **variables)


def write(folder: Path, **files: str) -> Path:
    """Writes Python files into a folder; ``pkg__mod`` is ``pkg/mod.py``."""
    for name, source in files.items():
        parts = [part or "__init__" for part in name.split("__")]
        path = folder.joinpath(*parts).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    return folder


def recorded_hits(path: Path) -> dict[str, dict[str, int]]:
    """Track → block → passes, as a results file says."""
    results = ProfilerResults.load(path)
    return {
        track.track_name: {block.name: block.hit_count for block in track.blocks}
        for track in results.tracks.values()
    }
