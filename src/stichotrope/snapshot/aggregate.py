"""From the core's raw snapshot to results: ticks become ns, nodes become blocks and a tree."""

from __future__ import annotations

from ..results import OTHER_PATHS, CallNode, ProcessorTime, ProfileBlock, ProfileTrack
from ..results.histogram import Histogram, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core import RawNode, RawScopes

_SUB_BUCKETS = 16  # of the core's histogram, in each octave
_OTHER_SITE = -1
_PROCESSOR = -2  # the site of a node that holds its parent's processor time
_WORK = -3  # the same, for what its passes went through


class Site:
    """What the Python layer knows of a call site."""

    __slots__ = ("track_idx", "block_idx", "name", "file", "line")

    def __init__(self, track_idx: int, block_idx: int, name: str, file: str, line: int) -> None:
        self.track_idx = track_idx
        self.block_idx = block_idx
        self.name = name
        self.file = file
        self.line = line


class Rate:
    """Converts ticks, in exact integer arithmetic, rounded to the nearest nanosecond.

    :param ns: so many nanoseconds …
    :param ticks: … are so many ticks.
    :param places: the core's bucket → that of results, filled as they are asked for. Most blocks
        share theirs; and while snapshots share them, too, no count goes from one bucket to another
        as the rate becomes known more exactly.
    """

    __slots__ = ("ns", "places", "ticks")

    def __init__(self, ns: int, ticks: int, places: dict[int, int] | None = None) -> None:
        self.ns = ns
        self.ticks = ticks
        self.places: dict[int, int] = {} if places is None else places

    def time(self, ticks: int) -> int:
        """Return ticks in ns."""
        return (2 * ticks * self.ns + self.ticks) // (2 * self.ticks)

    def square(self, squared_ticks: int) -> int:
        """Return squared ticks in ns²."""
        divisor = self.ticks * self.ticks
        return (2 * squared_ticks * self.ns * self.ns + divisor) // (2 * divisor)


_NANOSECONDS = Rate(1, 1)  # of processor time


class _Sums:
    """What the nodes of one site come to, in ticks."""

    __slots__ = (
        "hits",
        "total",
        "self",
        "squares",
        "minimum",
        "maximum",
        "open",
        "failed",
        "cancelled",
        "buckets",
        "cpu",
        "bytes",
        "items",
    )

    def __init__(self) -> None:
        self.hits = self.total = self.self = self.squares = self.maximum = 0
        self.open = self.failed = self.cancelled = 0
        self.minimum = -1
        self.buckets: list[dict[int, int]] = []
        self.cpu: _Sums | None = None
        self.bytes = self.items = 0

    def add_cpu(self, node: RawNode) -> None:
        """Take in what a node below one of the site's has of their processor time."""
        if self.cpu is None:
            self.cpu = _Sums()
        self.cpu.add(node)

    def add_work(self, node: RawNode) -> None:
        """Take in what a node below one of the site's has of their work."""
        done, items = _work(node)
        self.bytes += done
        self.items += items

    def add(self, node: RawNode) -> None:
        _, _, hits, total, minimum, maximum, squares, *rest, buckets = node
        _, own, open_, failed, cancelled = rest
        self.self += own
        self.open += open_
        if not hits:
            return
        self.hits += hits
        self.total += total
        self.squares += squares
        self.minimum = minimum if self.minimum < 0 else min(self.minimum, minimum)
        self.maximum = max(self.maximum, maximum)
        self.failed += failed
        self.cancelled += cancelled
        self.buckets.append(buckets)


def _work(node: RawNode) -> tuple[int, int]:
    """Return the bytes and items that a node of work holds."""
    return node[10], node[11]


def midpoint(bucket: int) -> int:
    """Return the middle of one of the core's buckets, in ticks.

    The core counts a pass of t ticks in octave o = ⌊log2(t + 16)⌋ − 4, sub-bucket
    ⌊(t + 16) / 2^o⌋ − 16: the log-linear layout of HdrHistogram (http://hdrhistogram.org), shifted
    so that the first octave is exact and needs no case of its own.
    """
    octave, sub = divmod(bucket, _SUB_BUCKETS)
    return ((_SUB_BUCKETS + sub) << octave) - _SUB_BUCKETS + (((1 << octave) - 1) >> 1)


def _histogram(buckets: Sequence[dict[int, int]], rate: Rate) -> Histogram:
    counts: dict[int, int] = {}
    places = rate.places
    for part in buckets:
        for bucket, count in part.items():
            place = places.get(bucket)
            if place is None:
                place = places.setdefault(bucket, index(rate.time(midpoint(bucket))))
            counts[place] = counts.get(place, 0) + count
    return Histogram(counts)


def _processor_time(sums: _Sums, rate: Rate, places: Rate | None) -> ProcessorTime | None:
    """Return what the nodes of processor time come to: in them, only one figure is in ticks.

    :param rate: how long a tick is.
    :param places: for the histogram; None for none.
    """
    if not sums.hits:
        return None
    return ProcessorTime(
        sums.hits,
        sums.failed,
        sums.total,
        rate.time(sums.cancelled),
        sums.minimum,
        sums.maximum,
        Histogram() if places is None else _histogram(sums.buckets, places),
    )


def _block(site: Site, sums: _Sums | None, once: tuple[int, int], rate: Rate) -> ProfileBlock:
    block = ProfileBlock(site.name, site.file, site.line, site.track_idx, site.block_idx)
    block.total_time_ns, block.active_time_ns = map(rate.time, once)
    if sums is None:
        return block
    # Its nodes may have the same moments: tasks that came by different paths.
    block.self_time_ns = rate.time(min(sums.self, once[0]))
    block.open_count = sums.open
    block.byte_count, block.item_count = sums.bytes, sums.items
    if sums.hits:
        block.hit_count = sums.hits
        block.min_time_ns = rate.time(sums.minimum)
        block.max_time_ns = rate.time(sums.maximum)
        block.sum_time_ns = rate.time(sums.total)
        block.sum_squares_ns2 = rate.square(sums.squares)
        block.histogram = _histogram(sums.buckets, rate)
        block.error_count = sums.failed
        block.cancelled_count = sums.cancelled
    if sums.cpu is not None:
        block.cpu = _processor_time(sums.cpu, rate, _NANOSECONDS)
    return block


def blocks_by_track(
    tracks: Sequence[tuple[int, str, bool]],
    sites: Sequence[Site],
    nodes: Sequence[RawNode],
    scopes: RawScopes,
    rate: Rate,
) -> dict[int, ProfileTrack]:
    """Return the flat figures of all tracks and blocks.

    :param tracks: (index, name, whether it is enabled) of every track, in the order of its number
        in the core.
    :param sites: every site, in the order of its number in the core.
    :param nodes: the nodes of one thread, or of all threads merged.
    :param scopes: the time that counts once, of the same.
    :param rate: how long a tick is.
    """
    sums: dict[int, _Sums] = {}
    for node in nodes:
        if node[1] == _PROCESSOR:
            sums[nodes[node[0]][1]].add_cpu(node)
        elif node[1] == _WORK:
            sums.setdefault(nodes[node[0]][1], _Sums()).add_work(node)
        elif node[1] != _OTHER_SITE:
            sums.setdefault(node[1], _Sums()).add(node)
    site_ticks, track_ticks, _ = scopes
    found = {
        track_idx: ProfileTrack(track_idx, name, enabled, [], rate.time(track_ticks.get(number, 0)))
        for track_idx, name, enabled, number in sorted(
            (*track, number) for number, track in enumerate(tracks)
        )
    }
    for number, site_info in enumerate(sites):
        block = _block(site_info, sums.get(number), site_ticks.get(number, (0, 0)), rate)
        found[site_info.track_idx].blocks.append(block)
    return found


def call_tree(sites: Sequence[Site], nodes: Sequence[RawNode], rate: Rate) -> CallNode:
    """Return the call tree under a synthetic root.

    :param sites: every site, in the order of its number in the core.
    :param nodes: nodes, a parent before its children.
    :param rate: how long a tick is.
    """
    root = CallNode("", -1, -1)
    made: list[CallNode] = []
    for raw in nodes:
        parent, number, hits, total, _, _, _, once, own, open_, failed, cancelled, _ = raw
        if number == _PROCESSOR:
            sums = _Sums()
            sums.add(raw)
            made[parent].cpu = _processor_time(sums, rate, None)
            made.append(made[parent])
            continue
        if number == _WORK:
            made[parent].byte_count, made[parent].item_count = _work(raw)
            made.append(made[parent])
            continue
        if number == _OTHER_SITE:
            node = CallNode(OTHER_PATHS, -1, -1)
        else:
            site = sites[number]
            node = CallNode(
                site.name, site.track_idx, site.block_idx, site.file, site.line,
                hits, rate.time(once), rate.time(own), [], rate.time(total),
                open_, failed, cancelled,
            )  # fmt: skip
        made.append(node)
        (root if parent < 0 else made[parent]).children.append(node)
    return root


def passes_named(sites: Sequence[Site], nodes: Sequence[RawNode], name: str) -> int:
    """Return how many passes the blocks of a name have."""
    wanted = {number for number, site in enumerate(sites) if site.name == name}
    return sum(node[2] for node in nodes if node[1] in wanted) if wanted else 0


def other_passes(nodes: Sequence[RawNode]) -> int:
    """Return how many passes lie under "other paths": a thread's tree had reached its limit."""
    under = (node for node in nodes if node[0] >= 0 and nodes[node[0]][1] == _OTHER_SITE)
    return sum(node[2] for node in under)


def has_processor_time(nodes: Sequence[RawNode]) -> bool:
    """Return whether any pass took processor time."""
    return any(node[1] == _PROCESSOR for node in nodes)
