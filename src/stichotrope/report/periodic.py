"""A report from time to time, of what has happened since the last one."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
import weakref
from math import isfinite

from .._text.files import checked_path
from .._text.format import format_rate, format_throughput, format_time_ns
from ..config import checks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .._text.files import StrPath
    from ..results import ProfileBlock, ProfilerResults, ProfileTrack

    class _Recording(Protocol):
        """What is needed of a profiler, which lies upstream."""

        @property
        def name(self) -> str: ...

        def snapshot_delta(self, reader: str = "") -> ProfilerResults: ...

        def forget_reader(self, reader: str = "") -> None: ...


_ROWS = (1, 1000)
_LONGEST_S = 1e6
_FIGURES = (
    *("hit_count", "total_time_ns", "self_time_ns", "avg_time_ns", "min_time_ns", "max_time_ns"),
    *("open_count", "error_count", "cancelled_count", "byte_count", "item_count"),
)
_log = logging.getLogger("stichotrope")
_REPORTERS: weakref.WeakSet[Reporter] = weakref.WeakSet()


class Reporter:
    """What `Profiler.report_every` returns; as a context manager it stops at the end.

    :param profiler: whose blocks.
    :param every_s: the period in seconds.
    :param logger: where to, or its name.
    :param path: a file for lines of JSON, instead.
    :param rows: how many blocks at most a record of the log names.
    """

    def __init__(
        self,
        profiler: _Recording,
        every_s: float,
        *,
        logger: logging.Logger | str | None = None,
        path: StrPath | None = None,
        rows: int = 10,
    ) -> None:
        self._every_s = _checked_period(every_s)
        checks.check_limit(rows, "rows", *_ROWS)
        self._rows = rows
        self._profiler = profiler
        self._logger = _checked_logger(logger)
        self._path = None if path is None else os.path.abspath(checked_path(path))
        if self._path is not None:
            with open(self._path, "ab"):  # an error here rather than in the thread
                pass
        self._reader = f"reporter {id(self)}"
        self._since = time.time()
        self._is_over = False
        profiler.snapshot_delta(self._reader)  # from now on
        _REPORTERS.add(self)
        self._start()

    def _start(self) -> None:
        self._stopped = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopped,), name="stichotrope-reporter", daemon=True
        )
        self._thread.start()

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._every_s):
            self.report()

    def report(self) -> bool:
        """Report now what has happened since the last time, and return whether anything has."""
        with self._writing:
            if self._is_over:
                return False
            delta = self._profiler.snapshot_delta(self._reader)
            since, self._since = self._since, time.time()
            blocks = [
                (track, block)
                for track in delta.tracks.values()
                for block in track.blocks
                if block.hit_count or block.total_time_ns
            ]
            if not blocks:
                return False
            blocks.sort(key=lambda one: -one[1].total_time_ns)
            try:
                self._write(blocks, since)
            except OSError:
                _log.exception("a period of %r could not be reported", self._profiler.name)
            return True

    def _write(self, blocks: list[tuple[ProfileTrack, ProfileBlock]], since: float) -> None:
        period_s = self._since - since
        if self._path is None:
            self._logger.info(
                "%s, %.1f s: %s",
                self._profiler.name,
                period_s,
                _sentence(blocks, self._rows),
                extra={
                    "stichotrope_profiler": self._profiler.name,
                    "stichotrope_blocks": [_plain(*one) for one in blocks],
                },
            )
            return
        line = {
            "time": self._since,
            "period_s": period_s,
            "profiler": self._profiler.name,
            "process": os.getpid(),
            "blocks": [_plain(*one) for one in blocks],
        }
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        # One write at the end: lines of several processes do not mix.
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def stop(self) -> None:
        """Report a last time, and no more. A second time does nothing."""
        if self in _REPORTERS:
            _REPORTERS.discard(self)
            self._stopped.set()
            if self._thread is not threading.current_thread():
                self._thread.join()
            self.report()
            with self._writing:
                self._is_over = True
                self._profiler.forget_reader(self._reader)

    def _go_on_in_child(self) -> None:
        self._since = time.time()
        self._start()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _checked_period(every_s: object) -> float:
    if isinstance(every_s, bool) or not isinstance(every_s, (int, float)):
        raise TypeError(f"a period must be a number of seconds, not {checks.shown(every_s)}")
    if not isfinite(every_s) or not 0 < every_s <= _LONGEST_S:
        raise ValueError(
            f"a period must be more than 0 s and at most {_LONGEST_S:,.0f} s, not {every_s!r}"
        )
    return float(every_s)


def _checked_logger(logger: object) -> logging.Logger:
    if logger is None:
        return _log
    if isinstance(logger, str):
        return logging.getLogger(logger)
    if not isinstance(logger, logging.Logger):
        raise TypeError(f"logger must be a logger or its name, not {checks.shown(logger)}")
    return logger


def _sentence(blocks: list[tuple[ProfileTrack, ProfileBlock]], rows: int) -> str:
    said = [
        f"{track.track_name}/{block.name} {block.hit_count:,} × {format_time_ns(block.avg_time_ns)}"
        + (f", {block.error_count:,} failed" if block.error_count else "")
        + _work(block)
        for track, block in blocks[:rows]
    ]
    more = len(blocks) - len(said)
    return "; ".join(said) + (f"; and {more:,} more" if more else "")


def _work(block: ProfileBlock) -> str:
    """Return how much went through a block in a second, if the program says so."""
    said = ""
    if block.byte_count:
        said += f", {format_throughput(block.bytes_per_second)}"
    if block.item_count and block.total_time_ns:
        said += f", {format_rate(block.item_count, block.total_time_ns)} items/s"
    return said


def _plain(track: ProfileTrack, block: ProfileBlock) -> dict[str, Any]:
    return {
        "track": track.track_name,
        "block": block.name,
        **{name: getattr(block, name) for name in _FIGURES},
        "p99_time_ns": block.percentile(99),
    }


def _stop_all() -> None:
    for reporter in list(_REPORTERS):
        reporter.stop()


def _after_fork_in_child() -> None:
    for reporter in list(_REPORTERS):
        reporter._go_on_in_child()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
