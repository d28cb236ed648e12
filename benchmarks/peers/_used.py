"""A peer in a timed loop, and the process that has all of them: fresh, and silent."""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import _machine
from benchmarks._run import COARSEST_TIMER_S, Loop, Stored
from benchmarks.peers._peer import CALL, Peer, Reading, admitted
from benchmarks.peers.ours import OUR_NAMES
from benchmarks.per_pass import Case

PROBE = 10
"""Passes by which it is seen whether a tool works here at all."""


@dataclass(frozen=True)
class Used(Case):
    """A timed body that a peer records: switched on, read and cleared outside of what is timed."""

    peer: Peer = field(kw_only=True)

    def loop(self) -> Loop:
        """See `Case.loop`."""
        bare, peer = super().loop(), self.peer

        def run(count: int) -> int:
            with peer.recording():
                took = bare(count)
            peer.reset()
            return took

        return run

    def reading_loop(self, found: Callable[[Reading | None], object]) -> Loop:
        """Return the same loop, which tells `found` each time what the peer made of it."""
        bare, peer = super().loop(), self.peer

        def run(count: int) -> int:
            peer.to_be_read = True
            before = peer.read()
            with peer.recording():
                took = bare(count)
            after = peer.read()
            peer.reset()
            peer.to_be_read = False
            found(after and before and _between(before, after))
            return took

        return run

    def counted(self, passes: int) -> int | None:
        """Return how many of so many passes the peer counts; None if it counts none."""
        readings: list[Reading | None] = []
        self.reading_loop(readings.append)(passes)
        return readings[0].hits if readings[0] else None


def _between(before: Reading, after: Reading) -> Reading:
    return Reading(after.hits - before.hits, after.total_ns - before.total_ns)


def used(
    peer: Peer,
    function: Callable[..., Any],
    arguments: dict[str, Any],
    inner: str,
    now: Callable[[], int],
    less: tuple[str, str],
) -> Used:
    """Return the timed body of a peer: a call of a function, or a block around a statement.

    Args:
        peer: who records it.
        function: what is called, if it records calls; nobody else's.
        arguments: what is passed, by the names that `inner` has for them.
        inner: the statement, if it records blocks.
        now: the clock.
        less: what is subtracted, of calls and of blocks.
    """
    if peer.form == CALL:
        names = {"f": peer.wrap(function), **arguments}
        body = f"f({', '.join(arguments)})"
    else:
        names = {**peer.names(), **arguments}
        body = f"with {peer.enters}: {inner}"
    return Used(peer.name, peer.name, body, names, less[peer.form != CALL], now=now, peer=peer)


def use_all(
    kinds: Iterable[type[Peer]], scratch: Path, prepare: Callable[[Peer], Used]
) -> tuple[dict[str, Used], dict[str, Stored]]:
    """Return the timed body of each peer that works here, and what is to be known of every one.

    Args:
        kinds: the peers.
        scratch: a folder that they may write into.
        prepare: makes a peer's timed body.
    """

    def probed(peer: Peer) -> Used:
        case = prepare(peer)
        case.loop()(PROBE)
        case.counted(PROBE)
        return case

    kinds = list(kinds)
    ready, refused = admitted(kinds, scratch, probed)
    return ready, {kind.name: _described(kind, refused.get(kind.name)) for kind in kinds}


def check_ours(known: dict[str, Stored]) -> None:
    """Accept what others refuse, and nothing of ours.

    Args:
        known: what is to be known of each peer, from `use_all`.

    Raises:
        RuntimeError: one of ours does not work; with the reason.
    """
    for name in OUR_NAMES & known.keys():
        if known[name]["refusal"]:
            raise RuntimeError(f"{name}: {known[name]['refusal']}")


def _described(kind: type[Peer], refusal: str | None) -> Stored:
    try:
        version = kind.version()
    except importlib.metadata.PackageNotFoundError:
        version = ""
    return {
        "form": kind.form,
        "usage": kind.usage,
        "documentation": kind.documentation,
        "package": kind.package,
        "version": version,
        "by_hand": kind.by_hand,
        "note": kind.note,
        "records": kind.records._asdict(),
        "per_function": kind.records.per_function(),
        "refusal": refusal,
    }


def process_timer() -> tuple[str, Callable[[], int]]:
    """Return the timer for what may also work on threads of its own, and its name.

    It counts this process's processor time: what a tool leaves to a thread of its own is counted
    too. Where that is counted in scheduler ticks only, the wall clock is the finer one.
    """
    if time.get_clock_info("process_time").resolution <= COARSEST_TIMER_S:
        return "process_time", time.process_time_ns
    return "perf_counter", time.perf_counter_ns


def in_child(
    measure: Callable[[int, int, random.Random, Path], Stored], arguments: list[str]
) -> None:
    """Measure as the arguments say, and print what came out as JSON.

    Tools print when a loop or the process ends, so nothing but the JSON goes to standard output.

    Args:
        measure: takes the rounds, the length of a timing in ns, what draws the orders, a folder.
        arguments: rounds, length and seed.
    """
    rounds, target_ns, seed = arguments
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    os.dup2(sys.stdout.fileno(), 1)
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        stored = measure(int(rounds), int(target_ns), random.Random(seed), Path(folder))
    # A tool that was not made for builds without the GIL brings it back when it is imported.
    stored["gil"] = _machine.gil_enabled()
    with out:
        json.dump(stored, out)
