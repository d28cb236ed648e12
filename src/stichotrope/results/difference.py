"""What happened between two snapshots of one run."""

from __future__ import annotations

from .histogram import Histogram, bounds
from .model import (
    CallNode,
    Figures,
    Identity,
    ProcessorTime,
    ProfileBlock,
    ProfilerResults,
    ProfileTrack,
    ThreadResults,
)

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .record import Record


def difference(
    later: ProfilerResults, earlier: ProfilerResults, *, threads: bool = False
) -> ProfilerResults:
    """Return what happened from one snapshot to a later one of the same run.

    Passes and times are those in between; what is open is what is open in the later one. Of the
    shortest and the longest pass in between, the bucket of the histogram is known, so they are as
    coarse as that, unless the run had none like them before.

    :param later: the later snapshot.
    :param earlier: the earlier one. When recording has begun anew since (`Profiler.clear`), all of
        the later one happened in between.
    :param threads: whether to tell what happened on each thread; it takes as much again.
    """
    start = later.metadata.get("start_ns")
    if earlier.metadata.get("start_ns") != start:
        earlier = ProfilerResults(earlier.profiler_name, metadata={"start_ns": start})
    before, now = (one.metadata.get("duration_ns") or 0 for one in (earlier, later))
    metadata = {**later.metadata, "duration_ns": now - before}
    if isinstance(start, int):
        metadata["start_ns"] = start + before
    found = _threads(later, earlier) if threads else ()
    return ProfilerResults(later.profiler_name, *_figures(later, earlier), found, metadata)


def _figures(
    later: Figures, earlier: Figures | None
) -> tuple[dict[int, ProfileTrack], int, CallNode]:
    """Return tracks, time and tree of what happened in between, on all threads or on one."""
    before = {} if earlier is None else earlier.tracks
    known = {block.identity: block for track in before.values() for block in track.blocks}
    return (
        {idx: _track(track, before.get(idx), known) for idx, track in later.tracks.items()},
        max(later.total_time_ns - (0 if earlier is None else earlier.total_time_ns), 0),
        _tree(later.tree, None if earlier is None else earlier.tree),
    )


def blocks_since(
    later: ProfilerResults, earlier: ProfilerResults
) -> Iterator[tuple[ProfileTrack, ProfileBlock]]:
    """Yield what happened in each block from one snapshot to a later one, with its track there.

    It is what `difference` tells of them, without the rest, and quick where little happened.

    :param later: the later snapshot.
    :param earlier: the earlier one, of recording that has not begun anew since.
    """
    known = {block.identity: block for track in earlier.tracks.values() for block in track.blocks}
    for track in later.tracks.values():
        for block in track.blocks:
            before = known.get(block.identity)
            is_new = before is None or before.hit_count != block.hit_count
            if is_new or block.open_count or (before is not None and before.open_count):
                yield track, _block(block, before)
            else:
                found = (block.name, block.file, block.line, block.track_idx, block.block_idx)
                yield track, ProfileBlock(*found)


def _threads(later: ProfilerResults, earlier: ProfilerResults) -> Iterator[ThreadResults]:
    """Yield what happened on each thread on which anything did."""
    before = {thread.key: thread for thread in earlier.threads}
    there = {thread.key for thread in later.threads}
    # Those that are there no more are part of the line that ended threads share.
    folded = [thread for key, thread in before.items() if key == 0 or key not in there]
    for thread in later.threads:
        known = _together(folded) if thread.key == 0 else before.get(thread.key)
        change = _thread(thread, known)
        if change.was_entered or change.total_time_ns:
            yield change


def _together(threads: list[ThreadResults]) -> Figures | None:
    parts = [ProfilerResults("", one.tracks, one.total_time_ns, one.tree) for one in threads]
    return parts[0].merge(*parts[1:]) if parts else None


def _thread(later: ThreadResults, earlier: Figures | None) -> ThreadResults:
    return ThreadResults(
        *(later.key, later.os_id, later.name, later.alive), *_figures(later, earlier)
    )


def nothing_since(earlier: ProfilerResults, duration_ns: int) -> ProfilerResults:
    """Return what happened since a snapshot when nothing did.

    :param earlier: the snapshot.
    :param duration_ns: how long the run is now.
    """
    metadata = {**earlier.metadata, "duration_ns": duration_ns}
    now = ProfilerResults(
        earlier.profiler_name, earlier.tracks, earlier.total_time_ns, earlier.tree, (), metadata
    )
    return difference(now, earlier)


def _track(
    later: ProfileTrack, earlier: ProfileTrack | None, known: dict[Identity, ProfileBlock]
) -> ProfileTrack:
    before = 0 if earlier is None else earlier.total_time_ns
    blocks = [_block(block, known.get(block.identity)) for block in later.blocks]
    total = max(later.total_time_ns - before, 0)
    return ProfileTrack(later.track_idx, later.track_name, later.enabled, blocks, total)


def _block(later: ProfileBlock, earlier: ProfileBlock | None) -> ProfileBlock:
    found = ProfileBlock(later.name, later.file, later.line, later.track_idx, later.block_idx)
    found.histogram = later.histogram.since(Histogram() if earlier is None else earlier.histogram)
    _subtract(found, later, earlier)
    if found.hit_count:
        found.min_time_ns, found.max_time_ns = _extremes(
            (found.hit_count, found.sum_time_ns),
            found.histogram,
            later.histogram,
            (later.min_time_ns, later.max_time_ns),
        )
    found.open_count = later.open_count
    found.cpu = _cpu(later.cpu, None if earlier is None else earlier.cpu)
    return found


def _extremes(
    passes: tuple[int, int], histogram: Histogram, whole: Histogram, extremes: tuple[int, int]
) -> tuple[int, int]:
    """Return what the shortest and the longest pass took, as well as it is known.

    They are those of the whole run where none of the passes like them was there before. Else they
    are the middles of the outermost buckets, and never on the wrong side of the mean.

    :param passes: how many, and what they took together.
    :param histogram: of these passes.
    :param whole: of those of the whole run.
    :param extremes: what its shortest and its longest took.
    """
    count, total = passes
    if count == 1:
        return total, total
    (least, all_short), (most, all_long) = (
        _outermost(histogram, whole, end, extreme)
        for end, extreme in zip((min, max), extremes, strict=True)
    )
    known_least, known_most = extremes
    least = known_least if all_short else max(least, known_least)
    most = known_most if all_long else min(most, known_most)
    return min(least, total // count), max(most, -(-total // count))


def _outermost(
    histogram: Histogram, whole: Histogram, end: Callable[[Iterable[int]], int], extreme: int
) -> tuple[int, bool]:
    """Return the middle of the first or last bucket, and whether the run had no more in its own."""
    counts, known = histogram.counts(), whole.counts()
    if not counts:  # what found no room in it
        return extreme, True
    bucket = end(counts)
    lower, upper = bounds(bucket)
    return (lower + upper - 1) // 2, bucket == end(known) and counts[bucket] == known[bucket]


def _cpu(later: ProcessorTime | None, earlier: ProcessorTime | None) -> ProcessorTime | None:
    if later is None:
        return None
    found = ProcessorTime(0, 0, 0, 0, later.min_ns, later.max_ns)
    _subtract(found, later, earlier)
    found.histogram = later.histogram.since(Histogram() if earlier is None else earlier.histogram)
    if not found.count:
        return None
    passes = found.count, found.sum_ns
    extremes = later.min_ns, later.max_ns
    found.min_ns, found.max_ns = _extremes(passes, found.histogram, later.histogram, extremes)
    return found


def _subtract(found: Record, later: Record, earlier: Record | None) -> None:
    for name, is_count in _summed(type(later)):
        before = 0 if earlier is None else getattr(earlier, name)
        change = getattr(later, name) - before
        # What was open counts up to when it was read, which may be later than when it ended.
        setattr(found, name, 0 if is_count and change < 0 else change)


def _summed(kind: type[Record]) -> list[tuple[str, bool]]:
    """Return what is added up of a kind of record, and whether it is a count."""
    found = _SUMMED.get(kind)
    if found is None:
        found = [(name, kind._fields[name].read == "count") for name in kind._summed]
        _SUMMED[kind] = found
    return found


_SUMMED: dict[type[Record], list[tuple[str, bool]]] = {}


def _tree(later: CallNode, earlier: CallNode | None) -> CallNode:
    """Return the tree of what happened in between, the paths left out on which nothing did."""
    root = CallNode.root()
    # A stack of its own: trees may be deeper than Python's recursion limit.
    stack = [(root, later, earlier)]
    while stack:
        found, node, before = stack.pop()
        _subtract(found, node, before)
        found.open_count = node.open_count
        found.cpu = _cpu(node.cpu, None if before is None else before.cpu)
        known = {} if before is None else {child.identity: child for child in before.children}
        for child in node.children:
            made = CallNode(child.name, child.track_idx, child.block_idx, child.file, child.line)
            found.children.append(made)
            stack.append((made, child, known.get(child.identity)))
    _prune(root)
    return root


def _prune(root: CallNode) -> None:
    nodes = [node for node, _ in root.walk()]
    for node in reversed(nodes):  # children before their parents
        node.children = [
            child
            for child in node.children
            if child.children
            or child.was_entered
            or child.has_work
            or child.total_time_ns
            or child.sum_time_ns
        ]
