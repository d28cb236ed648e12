"""The profiler: names and numbers for what the core records, the locks around them, start, stop and clear."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from functools import update_wrapper
from types import MethodType
from weakref import WeakValueDictionary

from . import _clock, _core, _merge
from .results import ProfilerResults, ThreadResults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TextIO, TypeVar

    from ._files import StrPath
    from .results import ProfileTrack

    P = ParamSpec("P")
    R = TypeVar("R")

# All re-entrant, all cold, always taken in this order: registry, cache, one profiler. A path that needs a later one
# takes the earlier ones too, because the collector or a signal handler may re-enter from anywhere and begin afresh.
_REGISTRY_LOCK = threading.RLock()
_GLOBAL_CACHE_LOCK = threading.RLock()

_PROFILER_REGISTRY: WeakValueDictionary[int, Profiler] = WeakValueDictionary()
_CALL_SITE_CACHE: dict[tuple[int, int, str, int, str], tuple[int, int]] = {}

# Ids of profilers whose call sites are still cached. A finalizer may append here, and must not take a lock.
_DEAD_PROFILERS: deque[int] = deque()

_global_enabled = True
_last_profiler_id = 0
_overhead_ns: float | None = None

_SUSPENDING = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
_FOLDED_NAME = "ended threads"


class _Track:
    """One track of one profiler."""

    __slots__ = ("idx", "gate", "name", "enabled", "sites")

    def __init__(self, idx: int, gate: int) -> None:
        self.idx = idx
        self.gate = gate  # its number in the core
        self.name = f"Track {idx}"
        self.enabled = True
        self.sites: list[int] = []  # block index -> site


class ThreadData:
    """What one thread recorded into one profiler.

    :ivar tracks: track index → that thread's `ProfileTrack`.
    :ivar track_enabled: track index → whether it is being recorded.
    :ivar next_block_idx: track index → the index that its next new block will get.
    :ivar thread_id: the operating system's id; it may belong to another thread by now.
    :ivar thread_name: the thread's name.
    """

    __slots__ = ("tracks", "track_enabled", "next_block_idx", "thread_id", "thread_name")

    def __init__(self, share: ThreadResults) -> None:
        self.tracks: dict[int, ProfileTrack] = share.tracks
        self.track_enabled = {idx: track.enabled for idx, track in share.tracks.items()}
        self.next_block_idx = {idx: len(track.blocks) for idx, track in share.tracks.items()}
        self.thread_id = share.os_id
        self.thread_name = share.name


class Profiler(_core.Recorder):
    """Times the functions and blocks that a program marks, on all threads.

    It records from the moment it is made until `stop`. It lives as long as somebody refers to it, to one of its
    blocks or to a function that it tracks.

    :param name: what results are headed with.
    :param retain_threads: of so many ended threads, the newest, each keeps a line of its own; older ones share one.
    :param max_nodes: the limit of each thread's call tree; what goes beyond is recorded under "(other paths)".
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when the name is empty or a limit out of range.
    """

    # No instance dictionary: from 3.12 on, the interpreter looks a method of a C base class up quickly only without.
    __slots__ = (
        "__weakref__",
        "_global_lock",
        "_name",
        "_profiler_id",
        "_sites",
        "_start_monotonic_ns",
        "_start_ns",
        "_started",
        "_track_names",
        "_tracks",
    )

    def __init__(self, name: str = "Profiler", *, retain_threads: int = 1024, max_nodes: int = 65_536) -> None:
        global _last_profiler_id
        self._name = _checked_text(name, "a profiler's name")
        _checked_limit(retain_threads, "retain_threads", 0, 1_000_000)
        _checked_limit(max_nodes, "max_nodes", 1, 1 << 24)
        self._global_lock = threading.RLock()
        self._tracks: dict[int, _Track] = {}
        self._track_names: dict[str, int] = {}
        self._sites: list[_merge.Site] = []
        self._started = True
        self._start_ns = time.time_ns()
        self._start_monotonic_ns = time.monotonic_ns()
        self._open_store(retain_threads, max_nodes)
        with _REGISTRY_LOCK:
            _last_profiler_id += 1
            self._profiler_id = _last_profiler_id
            _PROFILER_REGISTRY[self._profiler_id] = self
        _forget_dead_profilers()

    def __del__(self) -> None:
        # No lock here: the collector may call this while any is held, by anybody.
        profiler_id = getattr(self, "_profiler_id", None)
        if profiler_id is not None and _DEAD_PROFILERS is not None:
            _DEAD_PROFILERS.append(profiler_id)

    def __repr__(self) -> str:
        state = "started" if self._started else "stopped"
        return f"<Profiler {self._name!r}, {state}, {len(self._sites)} blocks on {len(self._tracks)} tracks>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a profiler cannot be copied or pickled; its results (get_results()) can")

    @property
    def name(self) -> str:
        """What results are headed with."""
        return self._name

    # ---- marking ------------------------------------------------------------------------------------------------

    def track(self, track: int | str, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that records each call of a function as a pass of one block.

        The decorated function stays itself: name, signature, documentation, binding to instances, pickling. While
        profiling is globally disabled, the decorator returns the very function it is given.

        :param track: the track's index (from 0 on) or its name.
        :param name: the block's name; by default the function's own.
        :raises TypeError: for a track or name of the wrong type, or when what is decorated cannot be tracked.
        :raises ValueError: for a negative track or an empty name.
        """
        _check_track(track)
        if name is not None:
            name = _checked_name(name)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            return self._tracked(function, track, name)

        return decorate

    def _tracked(self, function: Any, track: int | str, name: str | None) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self._tracked(function.__func__, track, name))
        if isinstance(function, property):
            return self._tracked_property(function, track, name)
        _check_trackable(function)
        if not _global_enabled:
            return function
        if name is None:
            name = _checked_name(getattr(function, "__name__", None) or type(function).__name__)
        site = self._intern_block(track, name, *_definition(function))
        return update_wrapper(
            self._wrap(function, site, _binds(function), _suspends(function)), function
        )

    def _tracked_property(self, prop: property, track: int | str, name: str | None) -> property:
        parts = (self._tracked(part, track, name) if part else None for part in (prop.fget, prop.fset, prop.fdel))
        return type(prop)(*parts, doc=prop.__doc__)

    def _intern_block(self, track: int | str, name: str, file: str, line: int) -> int:
        """Return the number of a call site, registering it at first sight."""
        _check_track(track)
        name = _checked_name(name)
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            owner = self._track(track)
            key = (self._profiler_id, owner.idx, file, line, name)
            known = _CALL_SITE_CACHE.get(key)
            if known is not None:
                return owner.sites[known[1]]
            site = self._add_site(owner.gate)
            block_idx = len(owner.sites)
            self._sites.append(_merge.Site(owner.idx, block_idx, name, file, line))
            owner.sites.append(site)
            _CALL_SITE_CACHE[key] = (self._profiler_id, block_idx)
            return site

    def _describe_site(self, site: int) -> str:
        known = self._sites[site]
        return f"{known.name!r} (track {known.track_idx}, {known.file}:{known.line})"

    # ---- tracks ---------------------------------------------------------------------------------------------------

    def _track(self, track: int | str) -> _Track:
        """Return a track by index or name, making it at first sight. Its caller holds the locks."""
        if isinstance(track, str):
            name = str.__str__(track)
            if name in self._track_names:
                return self._tracks[self._track_names[name]]
            made = self._make_track(next(i for i in range(len(self._tracks) + 1) if i not in self._tracks))
            made.name = name
            self._track_names[name] = made.idx
            return made
        idx = int(track)
        return self._tracks[idx] if idx in self._tracks else self._make_track(idx)

    def _make_track(self, idx: int) -> _Track:
        made = self._tracks[idx] = _Track(idx, self._add_track())
        self._set_gate(made.gate, _global_enabled and self._started)
        return made

    def _set_gates(self) -> None:
        """Open or close every track's gate by the three switches. Its caller holds the locks."""
        on = _global_enabled and self._started
        for track in self._tracks.values():
            self._set_gate(track.gate, on and track.enabled)

    def set_track_enabled(self, track: int | str, enabled: bool) -> None:
        """Let a track's passes be recorded or not, from now on and on all threads.

        :param track: the track's index or name; one that is not there yet is made.
        :param enabled: whether to record.
        :raises TypeError: for a track or a switch of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        _check_track(track)
        _check_switch(enabled)
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            self._track(track).enabled = enabled
            self._set_gates()

    def is_track_enabled(self, track: int | str) -> bool:
        """Return whether a track is switched on; one that nobody switched off is.

        :param track: the track's index or name.
        :raises TypeError: for a track of the wrong type.
        :raises ValueError: for a negative index or an empty name.
        """
        _check_track(track)
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            idx = self._track_names.get(track) if isinstance(track, str) else track
            known = None if idx is None else self._tracks.get(idx)
            return known is None or known.enabled

    def set_track_name(self, track: int, name: str) -> None:
        """Name a track, for reports and for `track` and `block` by name.

        :param track: the track's index; one that is not there yet is made.
        :param name: a name that no other track of this profiler has.
        :raises TypeError: for an index or a name of the wrong type.
        :raises ValueError: for a negative index, or a name that is empty or taken.
        """
        if isinstance(track, str):
            raise TypeError(f"a track is renamed by its index (an int), not by its name {track!r}")
        _check_track(track)
        name = _checked_text(name, "a track's name")
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            holder = self._track_names.get(name)
            if holder is not None and holder != track:
                raise ValueError(f"track {holder} is called {name!r} already; names of tracks must differ")
            named = self._track(track)
            self._track_names.pop(named.name, None)
            named.name = name
            self._track_names[name] = named.idx

    # ---- switches ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Record from now on. A profiler is started when it is made."""
        self._switch(True)

    def stop(self) -> None:
        """Let calls and blocks pass straight through from now on. Passes that are open will still be recorded."""
        self._switch(False)

    def _switch(self, started: bool) -> None:
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            self._started = started
            self._set_gates()

    def is_started(self) -> bool:
        """Return whether it records, as far as `start` and `stop` go."""
        return self._started

    def clear(self) -> None:
        """Forget all figures of all threads. Blocks and tracks stay registered; passes that are open are dropped."""
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, self._global_lock:
            self._start_ns = time.time_ns()
            self._start_monotonic_ns = time.monotonic_ns()
            self._new_session()

    # ---- results ----------------------------------------------------------------------------------------------------

    def get_results(self, thread: int | None = None) -> ProfilerResults:
        """Return what has been recorded until now, all threads merged. No thread waits for it.

        :param thread: the key of one thread (see ``threads`` of the results) to have its figures alone.
        :raises KeyError: when no thread of that key has recorded.
        :raises TypeError: when the key is no int.
        """
        if thread is not None and (not isinstance(thread, int) or isinstance(thread, bool)):
            raise TypeError(f"a thread is chosen by its key, an int, not {thread!r}")
        view = _View(self)
        if thread is None:
            return ProfilerResults(
                profiler_name=self._name,
                tracks=view.tracks(view.merged),
                total_time_ns=view.total(view.merged),
                tree=view.tree(view.merged),
                threads=view.threads,
                metadata=view.metadata(),
            )
        for share in view.threads():
            if share.key == thread:
                return ProfilerResults(
                    profiler_name=self._name,
                    tracks=share.tracks,
                    total_time_ns=share.total_time_ns,
                    tree=share.tree,
                    threads=[share],
                    metadata=view.metadata(),
                )
        keys = ", ".join(str(share.key) for share in view.threads()) or "none"
        raise KeyError(f"no thread with key {thread} has recorded into {self._name!r}; keys: {keys}")

    @property
    def _all_thread_data(self) -> dict[int, ThreadData]:
        """Thread key → that thread's data, for each thread that recorded since the last `clear`."""
        return {share.key: ThreadData(share) for share in _View(self).threads() if share.key}

    def export_csv(self, path: StrPath) -> None:
        """Write the results as CSV; see `stichotrope.export_csv`."""
        from .export import export_csv

        export_csv(self.get_results(), path)

    def export_json(self, path: StrPath, indent: int | None = 2) -> None:
        """Write the results as JSON; see `stichotrope.export_json`."""
        from .export import export_json

        export_json(self.get_results(), path, indent=indent)

    def print_results(self, *, file: TextIO | None = None, **options: Any) -> None:
        """Print the results as a report; see `stichotrope.print_results`."""
        from .report import print_results

        print_results(self.get_results(), file=file, **options)


class _View:
    """One snapshot of a profiler, and what is needed to read it."""

    def __init__(self, profiler: Profiler) -> None:
        # The snapshot before the sites: a site that it holds is then sure to be known.
        self.snapshot = profiler._snapshot()
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, profiler._global_lock:
            self.sites = profiler._sites[:]
            self.track_list = [(track.idx, track.name, track.enabled) for track in profiler._tracks.values()]
            self.start_ns = profiler._start_ns
            self.duration_ns = time.monotonic_ns() - profiler._start_monotonic_ns
            self.rate = _merge.Rate(*_clock.rate())
        self.merged = self.snapshot.merged()
        self.heads = self.snapshot.threads()
        self.labels = _live_labels()

    def tracks(self, nodes: tuple[_core.RawNode, ...]) -> dict[int, ProfileTrack]:
        return _merge.blocks_by_track(self.track_list, self.sites, nodes, self.rate)

    def tree(self, nodes: tuple[_core.RawNode, ...]) -> Any:
        return _merge.call_tree(self.sites, nodes, self.rate)

    def total(self, nodes: tuple[_core.RawNode, ...]) -> int:
        return _merge.total_time(nodes, self.rate)

    def threads(self) -> list[ThreadResults]:
        """Return each thread's share, by key; threads that were folded into one come first, with key 0."""
        shares = [self._share(number, head) for number, head in enumerate(self.heads)]
        return sorted(shares, key=lambda share: share.key)

    def _share(self, number: int, head: _core.RawThread) -> ThreadResults:
        key, os_id, name, ended, address = head[:5]
        nodes = self.snapshot.nodes(number)
        label = self.labels.get(os_id)
        alive = not ended and (address == 0 or (label is not None and label[0] == address))
        if key == 0:
            name = _FOLDED_NAME
        elif alive and label is not None:
            name = label[1]  # it may have been renamed since its first pass
        return ThreadResults(
            key=key,
            os_id=os_id,
            name=name or f"thread {key}",
            alive=alive,
            tracks=self.tracks(nodes),
            total_time_ns=self.total(nodes),
            tree=self.tree(nodes),
        )

    def metadata(self) -> dict[str, Any]:
        """Return what results say of the run that they come from."""
        return {
            "clock": _clock.description(),
            "python": sys.version.split()[0],
            "implementation": sys.implementation.name,
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
            "platform": sys.platform,
            "machine": _machine(),
            "process": os.getpid(),
            "start_ns": self.start_ns,
            "duration_ns": self.duration_ns,
            "overhead_ns_per_pass": _measured_overhead(),
            "threads": len(self.heads),
            "folded_threads": self.snapshot.folded_threads,
            "warnings": self._warnings(),
        }

    def _warnings(self) -> list[str]:
        clamped, untimed, unbinned = (sum(head[place] for head in self.heads) for place in (5, 6, 7))
        untimed += self.snapshot.untimed
        other = sum(node[2] for node in self.merged if node[0] >= 0 and self.merged[node[0]][1] < 0)
        found = [
            (clamped, "passes were counted as 0 ns because the clock went backwards"),
            (untimed, "passes could not be recorded for want of memory"),
            (unbinned, "passes are missing from the percentiles for want of memory"),
            (other, 'passes are under "(other paths)" because their thread\'s call tree was full'),
        ]
        return [f"{count:,} {text}" for count, text in found if count]


def set_global_enabled(enabled: bool) -> None:
    """Switch all profiling in this process on or off.

    While it is off, ``track`` returns the very function it is given, for good; and nothing that was marked before is
    recorded until it is on again.

    :param enabled: whether to profile.
    :raises TypeError: when it is no bool.
    """
    global _global_enabled
    _check_switch(enabled)
    with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK:
        _global_enabled = enabled
        for profiler in list(_PROFILER_REGISTRY.values()):
            with profiler._global_lock:
                profiler._set_gates()


def is_global_enabled() -> bool:
    """Return whether profiling is enabled in this process."""
    return _global_enabled


def _forget_dead_profilers() -> None:
    """Drop the cached call sites of profilers that are gone."""
    dead = set()
    while _DEAD_PROFILERS:
        try:
            dead.add(_DEAD_PROFILERS.popleft())
        except IndexError:  # another thread took the last one
            break
    if dead:
        with _REGISTRY_LOCK, _GLOBAL_CACHE_LOCK:
            for key in [key for key in _CALL_SITE_CACHE if key[0] in dead]:
                _CALL_SITE_CACHE.pop(key, None)


def _live_labels() -> dict[int, tuple[int, str]]:
    """Return OS id → (address of its `threading.Thread`, name) of the threads that `threading` knows to run."""
    return {
        thread.ident: (id(thread), thread.name) for thread in threading.enumerate() if thread.ident is not None
    }


def _machine() -> str:
    return os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")


def _measured_overhead() -> float:
    """Return what recording one pass costs in this process, in ns, measured once."""
    global _overhead_ns
    if _overhead_ns is None:
        _overhead_ns = _core.measure_pass()
    return _overhead_ns


def _definition(function: Any) -> tuple[str, int]:
    """Return file and line where a callable is defined; for one without Python code, its module and 0."""
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(function, "func", None), "__code__", None)
    if code is None:
        module = getattr(function, "__module__", None) or type(function).__module__
        return f"<{module}>", 0
    return code.co_filename, code.co_firstlineno


def _binds(function: Any) -> bool:
    """Return whether a callable becomes a method when it stands in a class, as functions do."""
    return hasattr(type(function), "__get__")


def _check_trackable(function: object) -> None:
    if isinstance(function, type):
        raise TypeError(f"{function.__qualname__} is a class; track its methods instead")
    if not callable(function):
        raise TypeError(f"a tracked object must be callable, not {function!r} of type {type(function).__name__}")


def _suspends(function: Any) -> bool:
    """Return whether calling a function gives a generator or a coroutine, whose run is then the pass."""
    while isinstance(function, MethodType):
        function = function.__func__
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _SUSPENDING)


def _check_track(track: object) -> None:
    if isinstance(track, str):
        _checked_text(track, "a track's name")
    elif isinstance(track, bool) or not isinstance(track, int):
        raise TypeError(
            f"a track is given by its index (an int from 0 on) or its name (a str), not {track!r} of type "
            f"{type(track).__name__}"
        )
    elif track < 0:
        raise ValueError(f"a track's index must be 0 or more, not {track}")


def _check_switch(value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"a switch is True or False, not {value!r} of type {type(value).__name__}")


def _checked_text(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {text!r} of type {type(text).__name__}")
    if not text:
        raise ValueError(f"{what} must not be empty")
    return str.__str__(text)


def _checked_name(name: str) -> str:
    return _checked_text(name, "a block's name")


def _checked_limit(value: object, what: str, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {value!r} of type {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{what} must lie between {least:,} and {most:,}, not {value}")


def _after_fork_in_child() -> None:
    """Begin empty, with fresh locks: whoever held one is not in this process."""
    locks = [_REGISTRY_LOCK, _GLOBAL_CACHE_LOCK, *(p._global_lock for p in list(_PROFILER_REGISTRY.values()))]
    for lock in locks:
        lock._at_fork_reinit()  # type: ignore[attr-defined]
    _core.after_fork_in_child()
    for profiler in list(_PROFILER_REGISTRY.values()):
        profiler._start_ns = time.time_ns()
        profiler._start_monotonic_ns = time.monotonic_ns()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_core.before_fork,
        after_in_parent=_core.after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
