"""Fresh processes: what must not be measured in a process that has already run something else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_module(module: str, *args: str) -> Any:
    """Run `python -m module args` with this interpreter and return the JSON it prints.

    Raises:
        RuntimeError: it failed; with the end of what it wrote to standard error.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *args], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(args)} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def resident_bytes() -> int:
    """Return this process's resident memory now, in bytes.

    Raises:
        RuntimeError: this system offers only a peak, which cannot show memory being given back.
    """
    # The cheaper counters of /proc are kept for each core and lag by hundreds of pages.
    try:
        told = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
        found = re.search(r"^Rss: +(\d+) kB", told, re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True
        )
        return int(said.stdout) * 1024
    except (OSError, ValueError, subprocess.CalledProcessError):
        raise RuntimeError(
            "resident memory is read from /proc or from ps; neither is here"
        ) from None
