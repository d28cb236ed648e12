"""Caches of what files and directories say: changes are seen at once, no work is done twice.

What is kept belongs to a resolved path and a stamp: modification time, size, inode and device. A
file system may give two writes the same time, as coarse as 2 s (FAT). So what was modified less
than that before it was read is not settled: whoever asks for it reads again, and takes what is kept
only when the content is the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from cachetools import TTLCache

from benchmarks.workloads.prompts._tracks import CACHE, marks

TTL_S = 300.0
SETTLED_NS = 2_000_000_000
REMEMBERED = 10_000
"""How many resolved paths are remembered before all are forgotten."""


Content = TypeVar("Content")
Value = TypeVar("Value")
Stamp = tuple[int, int, int, int]


class CacheStatistics(NamedTuple):
    """What a cache has done.

    Attributes:
        hits: asked for and there.
        misses: asked for and worked out.
        joined: asked for while another thread was working it out.
        kept: how much is in the cache now.
        limit: how much may be.
        computing_ns: what the misses took.
    """

    hits: int
    misses: int
    joined: int
    kept: int
    limit: int
    computing_ns: int

    @property
    def asked(self) -> int:
        """How often something was asked for that is there."""
        return self.hits + self.misses + self.joined

    @property
    def hit_rate(self) -> float:
        """The share that was there; 0.0 when nothing was asked for."""
        return self.hits / self.asked if self.asked else 0.0


@marks.track(CACHE, "resolve")
def resolve(path: str) -> str:
    """Return the path without symbolic links."""
    return os.path.realpath(path)


@marks.track(CACHE, "stat")
def stamp_of(path: str) -> Stamp:
    """Return what tells a version of a file or directory from all others.

    Raises:
        OSError: it is not there.
    """
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


@marks.track(CACHE, "read file")
def read_file(path: str) -> bytes:
    """Return a file's content."""
    with open(path, "rb") as file:
        return file.read()


@marks.track(CACHE, "read directory")
def read_directory(path: str) -> tuple[str, ...]:
    """Return the names in a directory, sorted."""
    return tuple(sorted(os.listdir(path)))


class _Entry(Generic[Content, Value]):
    """One version, from when the first thread asks for it until it is forgotten."""

    __slots__ = (
        *("content", "done", "error", "ready", "settled", "stamp"),
        *("took_ns", "unchanged", "value"),
    )

    value: Value

    def __init__(self, stamp: Stamp, settled: bool) -> None:
        self.stamp, self.settled = stamp, settled
        self.done, self.ready = False, threading.Event()
        self.unchanged, self.took_ns = False, 0
        self.content: Content | None = None  # only as long as it may have to be compared
        self.error: BaseException | None = None


class FileCache(Generic[Content, Value]):
    """Keeps what was worked out from files; safe to use from many threads."""

    def __init__(
        self,
        name: str,
        limit: int,
        read: Callable[[str], Content],
        compute: Callable[[str, Content], Value],
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        timer_ns: Callable[[], int] = time.perf_counter_ns,
        remember_paths: bool = True,
        on_hit: Callable[[], None] | None = None,
    ) -> None:
        """Begin empty.

        Args:
            name: of its blocks in the profile.
            limit: how much is kept; beyond it goes what was not asked for the longest.
            read: gives what is at a path.
            compute: works the value out, given the path and what was read.
            ttl_s: how long anything is kept at most, in s.
            clock: tells the time for that, in s.
            wall_ns: the time that modification times are compared with, in ns.
            timer_ns: times the misses, in ns.
            remember_paths: not to resolve a path each time that it is asked for.
            on_hit: called for each look-up of what is kept.
        """
        self._read, self._compute = read, compute
        self._wall_ns, self._timer_ns = wall_ns, timer_ns
        self._remember_paths, self._resolved = remember_paths, dict[str, str]()
        self._on_hit = on_hit
        self._lock = threading.Lock()
        self._entries: Any = TTLCache(limit, ttl_s, timer=clock)
        self._in_work: dict[tuple[str, Stamp], _Entry[Content, Value]] = {}
        self._hits = self._misses = self._joined = self._computing_ns = 0
        self.get = marks.track(CACHE, f"{name}: look-up")(self._get)
        self._hit = marks.track(CACHE, f"{name}: hit")(_value_of)
        self._miss = marks.track(CACHE, f"{name}: miss")(self._read_and_compute)
        self._wait = marks.track(CACHE, f"{name}: wait")(_wait_for)
        self._join = marks.track(CACHE, f"{name}: joined")(_value_of)

    def statistics(self) -> CacheStatistics:
        """Return what the cache has done since it was made."""
        with self._lock:
            return CacheStatistics(
                self._hits,
                self._misses,
                self._joined,
                len(self._entries),
                self._entries.maxsize,
                self._computing_ns,
            )

    def clear(self) -> None:
        """Forget everything but the statistics."""
        with self._lock:
            self._entries.clear()
            self._resolved.clear()

    def _get(self, asked: str) -> Value:
        """Return what the file or directory at a path says now.

        Raises:
            OSError: it is not there, or cannot be read.
            Exception: whatever working it out raises; nothing is kept then.
        """
        remembered = self._resolved.get(asked)
        path = remembered or self._resolve(asked)
        stamp, settled = self._look(asked, path)
        with self._lock:
            entry = self._known(path, stamp)
            kept = entry is not None and entry.done and entry.settled
            self._hits += kept
        if entry is not None and kept:
            if self._on_hit is not None:
                self._on_hit()
            return self._hit(entry)
        if remembered:
            path = self._resolve(asked)
        return self._get_slowly(asked, path, stamp, settled)

    def _look(self, asked: str, path: str) -> tuple[Stamp, bool]:
        """Return the stamp, and whether any later change would give another one."""
        now_ns = self._wall_ns()  # before the stamp: what is written later has a later time
        try:
            stamp = stamp_of(asked)
        except OSError:
            self._forget(asked, path)
            raise
        return stamp, now_ns - stamp[0] > SETTLED_NS

    def _resolve(self, asked: str) -> str:
        """Resolve a path, and remember that.

        Links may lead elsewhere later. What is remembered only says where to look: it is right
        when the stamp there is that of the path that was asked for, and resolved anew when not.
        """
        path = resolve(asked)
        if self._remember_paths:
            if len(self._resolved) >= REMEMBERED:
                self._resolved.clear()
            self._resolved[asked] = path
        return path

    def _get_slowly(self, asked: str, path: str, stamp: Stamp, settled: bool) -> Value:
        """Work the value out, or wait for who does, or make sure that what is kept is right."""
        refused: _Entry[Content, Value] | None = None
        while True:
            with self._lock:
                entry = self._known(path, stamp, refused)
                mine = entry is None
                if entry is None:
                    entry = self._in_work[path, stamp] = _Entry(stamp, settled)
                waits = not entry.done
            if mine:
                return self._work_out(asked, path, entry)
            if waits:
                self._wait(entry)
            if self._holds(asked, entry, settled):
                with self._lock:
                    self._joined += waits
                    self._hits += not waits
                if self._on_hit is not None and not waits:
                    self._on_hit()
                return self._join(entry) if waits else self._hit(entry)
            refused = entry
            stamp, settled = self._look(asked, path)

    def _known(
        self, path: str, stamp: Stamp, refused: _Entry[Content, Value] | None = None
    ) -> _Entry[Content, Value] | None:
        """Return the entry of a version, kept or in work, but not the one that was refused.

        Its caller holds the lock.
        """
        try:
            entry: _Entry[Content, Value] = self._entries[path]
        except KeyError:
            return self._in_work.get((path, stamp))
        if entry is refused or entry.stamp != stamp:
            return self._in_work.get((path, stamp))
        return entry

    def _holds(self, asked: str, entry: _Entry[Content, Value], settled: bool) -> bool:
        """Return whether an entry that is done is what the file says now.

        Raises:
            Exception: what working it out has raised.
        """
        with self._lock:
            content, was_settled = entry.content, entry.settled
        if not was_settled:
            if content is None or self._read(asked) != content:
                return False
            if settled:
                with self._lock:
                    entry.settled, entry.content = True, None
        if entry.error is None:
            return True
        if isinstance(entry.error, Exception):
            raise entry.error
        return False  # an interrupt was meant for the other thread

    def _work_out(self, asked: str, path: str, entry: _Entry[Content, Value]) -> Value:
        try:
            self._miss(asked, entry)
        except BaseException as error:
            entry.error = error
            raise
        finally:
            with self._lock:
                self._misses += 1
                self._computing_ns += entry.took_ns
                entry.done = True
                entry.settled &= entry.unchanged
                del self._in_work[path, entry.stamp]
                if entry.unchanged and entry.error is None:
                    self._entries[path] = entry
            entry.ready.set()
        return entry.value

    def _read_and_compute(self, asked: str, entry: _Entry[Content, Value]) -> None:
        start_ns = self._timer_ns()
        try:
            content = self._read(asked)
            # What was read belongs to the stamp when that is still the same; else it is newer.
            entry.unchanged = stamp_of(asked) == entry.stamp
            if entry.unchanged and not entry.settled:
                entry.content = content
            entry.value = self._compute(asked, content)
        finally:
            entry.took_ns = self._timer_ns() - start_ns

    def _forget(self, asked: str, path: str) -> None:
        with self._lock:
            self._resolved.pop(asked, None)
            with suppress(KeyError):  # it was not there, or its time is over
                del self._entries[path]


def _value_of(entry: _Entry[Any, Value]) -> Value:
    return entry.value


def _wait_for(entry: _Entry[Any, Any]) -> None:
    entry.ready.wait()
