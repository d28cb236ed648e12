"""What a pass costs beside other tools of this kind, each used as its documentation says.

All are in one process of their own, timed in turns: what they import stays out of the other
subjects. Those that hook the interpreter are switched on for their own loop only. The garbage
collector is off, which spares those that make objects.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import _store, per_pass
from benchmarks._child import run_module
from benchmarks._run import Fact, Figure, Progress, Scale, Stored, cheaper, ratio
from benchmarks.floors import load_floors
from benchmarks.peers import _used
from benchmarks.peers._peer import CALL, INLINE, KEPT, Peer
from benchmarks.peers.by_hand import BY_HAND
from benchmarks.peers.ours import OUR_NAMES, OURS, InlineBlock, TrackedCall
from benchmarks.peers.telemetry import TELEMETRY
from benchmarks.peers.timers import TIMERS
from benchmarks.peers.watchers import WATCHERS
from benchmarks.per_pass import Case, net_ns, time_cases
from benchmarks.suspended import KINDS, Kind

CALL_RATIO = 0.5
BLOCK_RATIO = 0.25

ROUNDS, QUICK_ROUNDS = 41, 15
TARGET_NS, QUICK_TARGET_NS = 8_000_000, 2_000_000

PEERS: tuple[type[Peer], ...] = (*BY_HAND, *WATCHERS, *TIMERS, *TELEMETRY)
"""The others, in the order of the table."""

# Of the cases of single passes: what is subtracted, the floors, and ways of ours that no peer has.
_SHARED = (
    *("empty_loop", "bare", "bare_method"),
    *("forward", "forward_direct", "clocks", "clocks_direct"),
    *("empty_context", "clock_context", "inline_context"),
    *("tracked_method", "stopped"),
)

COLUMNS = {
    "hits": "hits",
    "total": "total",
    "self_time": "self",
    "percentiles": "percentiles",
    "tree": "tree",
    "threads": "threads told apart",
    "asynchronous": "async",
}
"""What a tool may record, and the headings of that."""


def measure(scale: Scale, rng: random.Random, progress: Progress) -> Stored:
    """Time every peer once a round, in a process of its own; return the raw values.

    Raises:
        RuntimeError: that process failed.
    """
    quick = scale is Scale.QUICK
    rounds = QUICK_ROUNDS if quick else ROUNDS
    target_ns = QUICK_TARGET_NS if quick else TARGET_NS
    return measure_apart(__name__, rounds, target_ns, rng, progress)


def measure_apart(
    module: str, rounds: int, target_ns: int, rng: random.Random, progress: Progress
) -> Stored:
    """Have a module's `measure_here` run in a process of its own; return the raw values.

    Raises:
        RuntimeError: that process failed.
    """
    progress(f"{rounds} rounds in a process of their own")
    stored: Stored = run_module(module, str(rounds), str(target_ns), str(rng.getrandbits(32)))
    return stored


def measure_here(rounds: int, target_ns: int, rng: random.Random, scratch: Path) -> Stored:
    """Time every peer in this process, in which none must have been used yet.

    Args:
        rounds: how many values are kept for each.
        target_ns: how long one timing of each lasts, in ns.
        rng: draws the orders.
        scratch: a folder for what the peers write.

    Raises:
        RuntimeError: ours do not work.
    """
    timer, now = _used.process_timer()
    ready, known = _used.use_all([*OURS, *PEERS], scratch, partial(_case, now=now))
    _used.check_ours(known)
    cases = [replace(case, now=now) for case in [*_own_cases(), *_suspending_cases()]]
    cases += [_unmarked(case) for case in ready.values() if case.peer.watches]
    timed = time_cases([*cases, *ready.values()], target_ns, rounds, rng, lambda _: None)
    for name, case in ready.items():
        passes = timed["cases"][name]["iterations"]
        known[name]["counted"] = {"passes": passes, "hits": case.counted(passes)}
    return {**timed, "timer": timer, "floors_clock": load_floors().CLOCK, "peers": known}


def limits(stored: Stored) -> list[Figure | Fact]:
    """Return ours against the cheapest of those that tell how often and how long.

    Who that is follows from what each records, which is declared before anything is measured. An
    inline block is held against blocks that are kept too; without a limit stand what it is against
    those that are named where they stand, as it is, and what the floor is.
    """
    inline = net_ns(stored, InlineBlock.name)
    calls, blocks, named = (
        cheapest(stored, qualified(stored, *forms))
        for forms in ((CALL,), (KEPT, INLINE), (INLINE,))
    )
    rows = (
        ("tracked call ÷ cheapest peer", net_ns(stored, TrackedCall.name), calls, CALL_RATIO),
        ("inline block ÷ cheapest block peer", inline, blocks, BLOCK_RATIO),
        ("inline block ÷ cheapest inline block peer", inline, named, None),
        (
            "empty context manager from a method call ÷ cheapest block peer",
            net_ns(stored, "inline_context"),
            blocks,
            None,
        ),
    )
    found = [
        Figure(title, ratio(ours, theirs), "×", limit, digits=2)
        for title, ours, theirs, limit in rows
    ]
    return [*found, _all_counted(stored)]


figures = per_pass.figures


def tables(runs: Sequence[_store.Run]) -> list[str]:
    """Return, in Markdown, what each peer records, and with which version it was measured.

    Args:
        runs: stored runs that have this subject, one column each.
    """
    labels = [_store.label(run) for run in runs]
    head = ["beside", "used as", *COLUMNS.values(), *labels, "note"]
    lines = [head, ["---"] * len(head)]
    for name, told in known(runs).items():
        recorded = [told["records"][column] for column in COLUMNS]
        measured = [_measured(run["subjects"]["peers"], name) for run in runs]
        lines.append(
            [_linked(name, told), f"`{told['usage']}`", *recorded, *measured, told["note"]]
        )
    return ["\n".join("| " + " | ".join(line) + " |" for line in lines), _EXPLAINED]


_EXPLAINED = (
    "What each records, by its own documentation; “from events”: it keeps single events, from "
    "which that follows. Under each interpreter: the version measured, and how many passes of one "
    "loop it counted, if not all; or why it could not be measured."
)


def known(runs: Iterable[_store.Run]) -> dict[str, Stored]:
    """Return what the runs say of each peer, those included that none could measure."""
    subjects = (run["subjects"]["peers"]["peers"].items() for run in runs)
    return dict(chain.from_iterable(subjects))


def qualified(stored: Stored, *forms: str) -> list[str]:
    """Return who was measured and tells of each function or block how often and how long.

    Args:
        stored: a run of this subject.
        forms: of which forms: calls, kept blocks, inline blocks.
    """
    return [
        name
        for name, told in stored["peers"].items()
        if told["form"] in forms and told["per_function"]
        if not told["refusal"] and name not in OUR_NAMES
    ]


def cheapest(stored: Stored, names: Iterable[str]) -> Sequence[float]:
    """Return the cost a pass of who of these costs least, in ns, round by round."""
    return cheaper(*(net_ns(stored, name) for name in names))


def _all_counted(stored: Stored) -> Fact:
    told = [stored["peers"][kind.name]["counted"] for kind in OURS]
    hits, passes = (sum(one[what] for one in told) for what in ("hits", "passes"))
    exact = all(one["hits"] == one["passes"] for one in told)
    return Fact("every pass of ours beside the peers counted", exact, f"{hits:,} of {passes:,}")


def _linked(name: str, told: Stored) -> str:
    """Return a name with a link to where its use is documented, if that is elsewhere."""
    return f"[{name}]({told['documentation']})" if told["documentation"] else name


def _measured(stored: Stored, name: str) -> str:
    """Return the version that was measured, or why none was."""
    told = stored["peers"].get(name)
    if told is None:
        return "–"
    if told["refusal"]:
        return str(told["refusal"])
    said = told["version"] or "yes"
    counted = told["counted"]
    if counted["hits"] in (None, counted["passes"]):
        return said
    return f"{said}, {counted['hits']:,} of {counted['passes']:,}"


# ---- what is timed -------------------------------------------------------------------------------


def _case(peer: Peer, now: Any) -> _used.Used:
    def empty() -> None:
        pass

    return _used.used(peer, empty, {}, "pass", now, ("bare", "empty_loop"))


def _unmarked(case: _used.Used) -> Case:
    """Return the call of a function that was not asked for, with a peer on that sees all calls."""

    def empty() -> None:
        pass

    title = f"unmarked call beside {case.peer.name}"
    return replace(case, name=f"unmarked_{case.name}", title=title, names={"f": empty})


def _own_cases() -> list[Case]:
    shared = {case.name: case for case in per_pass.cases()}
    return [*(shared[name] for name in _SHARED), _globally_off()]


def _globally_off() -> Case:
    from stichotrope import Profiler, set_global_enabled

    def empty() -> None:
        pass

    set_global_enabled(False)
    try:
        same = Profiler("globally off").track(0, "off")(empty)
    finally:
        set_global_enabled(True)
    return Case("globally_off", "call decorated while globally off", "f()", {"f": same}, "bare")


def _suspending_cases() -> list[Case]:
    """What suspends, run to its end without doing so."""
    from stichotrope import Profiler

    profiler = Profiler("peers, suspended")
    templates = {kind.empty: kind.template for kind in KINDS if kind.template != Case.template}
    found = [
        Case(name, "empty loop in a coroutine", "pass", minus=None, template=template)
        for name, template in templates.items()
    ]
    for kind in KINDS:
        bare = _suspending(kind, "bare", kind.make(), kind.empty)
        tracked = profiler.track(0, kind.name)(kind.make())
        found += [bare, _suspending(kind, "tracked", tracked, bare.name)]
    return found


def _suspending(kind: Kind, arm: str, function: Any, less: str) -> Case:
    names = {"f": function, "n": 0}
    title = f"{arm} {kind.title}"
    return Case(f"{arm}_{kind.name}", title, kind.body, names, less, template=kind.template)
