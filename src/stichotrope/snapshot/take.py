"""One snapshot of a profiler, read: its tracks, its call tree, its threads, its run."""

from __future__ import annotations

import os
import sys
import threading

from .. import _core
from ..config import clock
from ..results import OTHER_BLOCKS, OTHER_PATHS, ProfilerResults, ThreadResults
from ..results.newest import SELECTED
from ..results.places import roots_of
from . import aggregate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_FOLDED_NAME = "ended threads"
_overhead_ns: dict[bool, float] = {}  # of a pass, by whether it takes processor time
_instance = (0, "")  # the process that it was made in, and its name there


class Origin:
    """Where a snapshot was taken.

    :param rate: how long a tick is there.
    :param labels: OS id → (address of its `threading.Thread`, name) of the threads that run.
    :param facts: what results say of the process.
    :param warnings: what they warn of besides.
    :param lives: whether it goes on.
    """

    __slots__ = ("facts", "labels", "lives", "rate", "warnings")

    def __init__(
        self,
        rate: aggregate.Rate,
        labels: dict[int, tuple[int, str]],
        facts: dict[str, Any],
        warnings: list[str],
        lives: bool = True,
    ) -> None:
        self.rate = rate
        self.labels = labels
        self.facts = facts
        self.warnings = warnings
        self.lives = lives


class View:
    """A snapshot, and what is needed to read it.

    :param name: the profiler's name.
    :param snapshot: what the core holds.
    :param sites: every site, in the order of its number in the core.
    :param tracks: (index, name, whether it is enabled) of every track, in the order of its number
        in the core.
    :param start_ns: when recording began, in ns since the epoch.
    :param duration_ns: for how long it has been going on.
    :param number: the profiler's, which no other of this process has.
    :param origin: where it was taken; by default, here.
    :param warnings: what results warn of besides, of a snapshot taken here.
    :param threads: how many threads have recorded, where the snapshot has them as one.
    """

    def __init__(
        self,
        name: str,
        snapshot: _core.Snapshot,
        sites: Sequence[aggregate.Site],
        tracks: Sequence[tuple[int, str, bool]],
        start_ns: int,
        duration_ns: int,
        number: int = 0,
        origin: Origin | None = None,
        warnings: Sequence[str] = (),
        threads: int | None = None,
    ) -> None:
        self._is_here = origin is None
        self._origin = origin or Origin(
            aggregate.Rate(*clock.rate(), clock.places()),
            live_labels(),
            process_facts(),
            [*warnings],
        )
        self._name = name
        self._recording = f"{number}-{start_ns}"
        self._snapshot = snapshot
        self._sites = sites
        self._tracks = tracks
        self.start_ns = start_ns
        self._duration_ns = duration_ns
        self._rate = self._origin.rate
        self._heads = snapshot.threads()
        self._count = len(self._heads) if threads is None else threads
        self._labels = self._origin.labels

    def results(self) -> ProfilerResults:
        """Return the figures of all threads merged."""
        nodes, scopes = self._snapshot.merged()
        return ProfilerResults(
            profiler_name=self._name,
            tracks=aggregate.blocks_by_track(self._tracks, self._sites, nodes, scopes, self._rate),
            total_time_ns=self._rate.time(scopes[2]),
            tree=aggregate.call_tree(self._sites, nodes, self._rate),
            threads=self.threads,
            metadata=self._metadata(nodes),
        )

    def results_of(self, key: int) -> ProfilerResults:
        """Return the figures of one thread.

        :raises KeyError: when no thread of that key has recorded.
        """
        for number, head in enumerate(self._heads):
            if head[0] == key:
                share = self._share(number, head)
                return ProfilerResults(
                    profiler_name=self._name,
                    tracks=share.tracks,
                    total_time_ns=share.total_time_ns,
                    tree=share.tree,
                    threads=[share],
                    metadata={**self._metadata(self._snapshot.nodes(number)), SELECTED: key},
                )
        keys = ", ".join(str(head[0]) for head in self._heads) or "none"
        raise KeyError(f"no thread with key {key} has recorded into {self._name!r}; keys: {keys}")

    def threads(self) -> list[ThreadResults]:
        """Return each thread's share by key; those folded into one come first, as key 0."""
        shares = [self._share(number, head) for number, head in enumerate(self._heads)]
        return sorted(shares, key=lambda share: share.key)

    def _share(self, number: int, head: _core.RawThread) -> ThreadResults:
        key, os_id, name, ended, address = head[:5]
        nodes, scopes = self._snapshot.nodes(number), self._snapshot.scopes(number)
        label = self._labels.get(os_id)
        alive = not ended and (address == 0 or (label is not None and label[0] == address))
        alive = alive and self._origin.lives
        if key == 0:
            name = _FOLDED_NAME
        elif alive and label is not None:
            name = label[1]  # it may have been renamed since its first pass
        return ThreadResults(
            key=key,
            os_id=os_id,
            name=name or f"thread {key}",
            alive=alive,
            tracks=aggregate.blocks_by_track(self._tracks, self._sites, nodes, scopes, self._rate),
            total_time_ns=self._rate.time(scopes[2]),
            tree=aggregate.call_tree(self._sites, nodes, self._rate),
        )

    def _metadata(self, nodes: Sequence[_core.RawNode]) -> dict[str, Any]:
        cpu = {}
        if self._is_here and aggregate.has_processor_time(nodes):
            cpu["cpu"] = _processor_clock()
        return {
            **self._origin.facts,
            "recording": self._recording,
            "roots": roots_of({site.file for site in self._sites}),
            "start_ns": self.start_ns,
            "duration_ns": self._duration_ns,
            **cpu,
            "threads": self._count,
            "folded_threads": self._snapshot.folded_threads,
            "warnings": [*self._warnings(nodes), *self._origin.warnings],
        }

    def _warnings(self, nodes: Sequence[_core.RawNode]) -> list[str]:
        clamped = sum(head[5] for head in self._heads)
        untimed = sum(head[6] for head in self._heads) + self._snapshot.untimed
        unbinned = sum(head[7] for head in self._heads)
        found = (
            (clamped, "passes were counted as 0 ns because the clock went backwards"),
            (untimed, "passes could not be recorded for want of memory"),
            (unbinned, "passes are missing from the percentiles for want of memory"),
            (
                aggregate.other_passes(nodes),
                f'passes are under "{OTHER_PATHS}" because their thread\'s call tree was full',
            ),
            (
                aggregate.passes_named(self._sites, nodes, OTHER_BLOCKS),
                f'passes are under "{OTHER_BLOCKS}" because there were more than max_blocks allows',
            ),
        )
        return [f"{count:,} {text}" for count, text in found if count]


def process_facts() -> dict[str, Any]:
    """Return what results say of this process."""
    return {
        "clock": clock.description(),
        "python": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "platform": sys.platform,
        "machine": _machine(),
        "host": host(),
        "process": os.getpid(),
        "instance": _instance_name(),
        "overhead_ns_per_pass": _measured_overhead(),
        "degraded": _core.degraded(),
    }


def live_labels() -> dict[int, tuple[int, str]]:
    """Return OS id → (address of its `threading.Thread`, name) of the threads that run now."""
    # Not by `enumerate`, whose lock a thread holds while it ends: it may run a finalizer then,
    # which waits for who reads.
    active: dict[int, threading.Thread] = threading._active.copy()  # type: ignore[attr-defined]
    return {os_id: (id(thread), thread.name) for os_id, thread in active.items()}


def _machine() -> str:
    if hasattr(os, "uname"):
        return os.uname().machine
    return os.environ.get("PROCESSOR_ARCHITECTURE", "")


def host() -> str:
    """Return the name of the machine, empty where the system does not say."""
    # `platform.node` asks the same, and takes longer to import than this package.
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _instance_name() -> str:
    """Return a random name of this process: numbers are used again, by later processes too."""
    global _instance
    if _instance[0] != os.getpid():  # the first time, or it was forked since
        _instance = (os.getpid(), os.urandom(8).hex())
    return _instance[1]


def _measured_overhead(cpu: bool = False) -> float:
    """Return what recording one pass costs in this process, in ns, measured once.

    :param cpu: of a pass that takes processor time.
    """
    if cpu not in _overhead_ns:
        _overhead_ns[cpu] = _core.measure_pass(passes=100 if cpu else 500, times=cpu)
    return _overhead_ns[cpu]


def _processor_clock() -> dict[str, Any]:
    """Return what results say of the clock of processor time, and of what a pass under it costs."""
    source, step_ns, _ = _core.processor_clock()
    return {
        "source": source,
        "resolution_ns": step_ns,
        "overhead_ns_per_pass": _measured_overhead(cpu=True),
    }
