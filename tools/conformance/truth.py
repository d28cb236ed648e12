"""What a program knows of itself: each pass writes down how long it really took."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

_told: list[dict[str, Any]] = []

DIRECTORY = "CONFORMANCE_DIRECTORY"
SPIN_MS = 20.0

now = time.perf_counter_ns


def spin(ms: float = SPIN_MS) -> int:
    """Compute for some milliseconds; return the nanoseconds that it took.

    The clock is read rarely, so that tools that trace each call do not slow the loop down much.
    """
    begin = now()
    end = begin + int(ms * 1e6)
    while now() < end:
        for _ in range(2000):
            pass
    return now() - begin


class Pass:
    """One pass of something marked: made in its first line, told in its last.

    suspends: whether it gives way by itself, as generators and coroutines do, so that the time in
    which it was active is a figure of its own. switches: whether it is a plain call that
    greenlets are switched in. nested: whether it lies inside another pass of the same name, whose
    time includes its own.
    """

    def __init__(
        self, name: str, *, suspends: bool = False, switches: bool = False, nested: bool = False
    ) -> None:
        self._name, self._suspends, self._switches, self._nested = name, suspends, switches, nested
        self._active = 0
        self._begin = now()

    def spin(self, ms: float = SPIN_MS) -> None:
        """Compute inside the pass."""
        self._active += spin(ms)

    def tell(self) -> None:
        """Note the pass. Nothing here gives up the interpreter's lock, to wait for it again."""
        wall = now() - self._begin
        _told.append(
            {
                "name": self._name,
                "wall": 0 if self._nested else wall,
                "active": self._active if self._suspends else None,
                "ran": self._active if self._switches else None,
                "process": os.getpid(),
                "thread": threading.current_thread().name,
            }
        )


def write_down() -> None:
    """Write what was told since the last time. However the process ends then, it stays."""
    lines = "".join(json.dumps(line) + "\n" for line in _told)
    _told.clear()
    ledger = os.open(_ledger(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(ledger, lines.encode())
    finally:
        os.close(ledger)


def _ledger() -> Path:
    return Path(os.environ[DIRECTORY]) / "truth.jsonl"


def read(directory: Path, process: int | None = None) -> dict[str, dict[str, Any]]:
    """Return what passes told: name → hits, time and active time in ns, threads.

    process: the one whose passes count; all by default.
    """
    path = directory / "truth.jsonl"
    told: dict[str, dict[str, Any]] = {}
    for text in path.read_text().splitlines() if path.exists() else []:
        line = json.loads(text)
        if process is not None and line["process"] != process:
            continue
        one = told.setdefault(
            line["name"], {"hits": 0, "time": 0, "active": None, "ran": None, "threads": set()}
        )
        one["hits"] += 1
        one["time"] += line["wall"]
        for what in ("active", "ran"):
            if line[what] is not None:
                one[what] = (one[what] or 0) + line[what]
        one["threads"].add((line["process"], line["thread"]))
    return {name: {**one, "threads": len(one["threads"])} for name, one in told.items()}
