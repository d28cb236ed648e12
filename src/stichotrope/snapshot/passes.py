"""The newest passes, read at one moment: from what the rings of the core held to a timeline."""

from __future__ import annotations

from .. import _core
from ..config import clock
from ..results.timeline import (
    ORIGIN,
    Timeline,
    TimelineBlock,
    TimelineThread,
    number_lanes,
    origin_of,
)
from .take import live_labels, process_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .aggregate import Rate, Site


def timeline_of(
    name: str,
    raw: _core.RawTimeline,
    sites: Sequence[Site],
    track_names: Mapping[int, str],
    start_ns: int,
    then: tuple[int, int],
    rate: Rate,
    facts: dict[str, Any],
    labels: Mapping[int, tuple[int, str]] | None = None,
    texts: dict[int, str] | None = None,
) -> Timeline:
    """Return a timeline.

    :param name: the profiler's name.
    :param raw: what the rings held.
    :param sites: every site, in the order of its number in the core.
    :param track_names: track index → name.
    :param start_ns: when recording began, in ns since the epoch.
    :param then: one moment, in ticks, and in ns since then.
    :param rate: how long a tick is.
    :param facts: what is known of the process.
    :param labels: the names of the threads that run, as from `live_labels`, which are those that
        live; None for a process that has none any more.
    :param texts: what the values of tags stand for that are texts.
    """
    columns, lanes = raw.laid_out(*then, rate.ns, rate.ticks)
    blocks = blocks_of(sites, track_names)
    threads = [_thread(head, labels) for head in raw.threads()]
    return Timeline(name, start_ns, columns, blocks, threads, number_lanes(lanes), texts, facts)


def blocks_of(sites: Sequence[Site], track_names: Mapping[int, str]) -> list[TimelineBlock]:
    """Return the blocks of call sites.

    :param sites: the sites.
    :param track_names: track index → name.
    """
    return [
        TimelineBlock(site.name, site.track_idx, track_names[site.track_idx], site.file, site.line)
        for site in sites
    ]


def _thread(head: _core.RawRing, labels: Mapping[int, tuple[int, str]] | None) -> TimelineThread:
    key, os_id, name, ended, address, passes, lost = head
    label = None if labels is None or ended else labels.get(os_id)
    alive = labels is not None and not ended
    alive = alive and (address == 0 or (label is not None and label[0] == address))
    if alive and label is not None:
        name = label[1]  # it may have been renamed since its first pass
    return TimelineThread(key, os_id, name or f"thread {key}", alive, passes, lost)


def timeline_here(
    name: str,
    raw: _core.RawTimeline,
    sites: Sequence[Site],
    track_names: Mapping[int, str],
    times: tuple[int, int, int],
    number: int,
    texts: dict[int, str],
) -> Timeline:
    """Return the timeline of a profiler of this process.

    :param name: the profiler's name.
    :param raw: what the rings held.
    :param sites: every site, in the order of its number in the core.
    :param track_names: track index → name.
    :param times: when recording began, in ns since the epoch, by the monotonic clock, and by how
        much these may be wrong.
    :param number: the profiler's, which no other of this process has.
    :param texts: what the values of tags stand for that are texts.
    """
    from .aggregate import Rate

    start_ns, start_monotonic_ns, apart_ns = times
    facts = {**process_facts(), "recording": f"{number}-{start_ns}"}
    if _core.clock_source() == "manual":
        then = 0, 0
    else:
        ticks, ns, _ = _core.read_clocks()
        then = ticks, ns - start_monotonic_ns
        facts[ORIGIN] = origin_of(start_monotonic_ns, apart_ns, clock.machine())
    rate = Rate(*clock.rate())
    return timeline_of(
        name, raw, sites, track_names, start_ns, then, rate, facts, live_labels(), texts
    )
