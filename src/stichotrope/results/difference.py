"""What was recorded between two snapshots of one recording."""

from __future__ import annotations

from .histogram import Histogram, bounds
from .model import CallNode, ProfileBlock, ProfilerResults, ProfileTrack, ThreadResults

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from typing import Any

    from .model import Figures, Identity
    from .record import Record

_NEAR = (1, -1, 2, -2)  # how far passes move between buckets when the clock is known better


def difference(later: ProfilerResults, earlier: ProfilerResults) -> ProfilerResults:
    """Return the passes that the later snapshot has more than the earlier one.

    Counts are exact. Times are as exact as the clock's rate was known at both moments. The shortest
    and longest pass are exact for a block that had none before, or that had a shorter or longer one
    since; else they are as coarse as a bucket of the histogram. What is open is what was open at
    the later moment.

    :param later: results of one recording.
    :param earlier: those of the same, taken before.
    """
    known = {thread.key: thread for thread in earlier.threads}
    nothing = ProfilerResults("")
    threads = [_thread(thread, known.get(thread.key, nothing)) for thread in later.threads]
    metadata = dict(later.metadata)
    _move_start(metadata, earlier.metadata)
    change = ProfilerResults(
        later.profiler_name,
        _tracks(later, earlier),
        max(later.total_time_ns - earlier.total_time_ns, 0),
        _tree(later.tree, earlier.tree),
        [thread for thread in threads if thread.was_entered],
        metadata,
    )
    if len(later.processes) == len(change.processes) == 1:
        change.processes[0].worker = later.processes[0].worker
    return change


def _move_start(metadata: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Have the run begin when the earlier snapshot was taken."""
    before_ns = earlier.get("duration_ns")
    start_ns, duration_ns = metadata.get("start_ns"), metadata.get("duration_ns")
    if isinstance(before_ns, int) and isinstance(start_ns, int) and isinstance(duration_ns, int):
        metadata["start_ns"] = start_ns + before_ns
        metadata["duration_ns"] = max(duration_ns - before_ns, 0)


def _thread(later: ThreadResults, earlier: Figures) -> ThreadResults:
    return ThreadResults(
        *(later.key, later.os_id, later.name, later.alive),
        tracks=_tracks(later, earlier),
        total_time_ns=max(later.total_time_ns - earlier.total_time_ns, 0),
        tree=_tree(later.tree, earlier.tree),
    )


def _tracks(later: Figures, earlier: Figures) -> dict[int, ProfileTrack]:
    before: dict[Identity, ProfileBlock] = {
        block.identity: block for track in earlier.tracks.values() for block in track.blocks
    }
    tracks = {}
    for idx, track in later.tracks.items():
        known = earlier.tracks.get(idx)
        total = track.total_time_ns - (known.total_time_ns if known is not None else 0)
        blocks = [_block(block, before.get(block.identity)) for block in track.blocks]
        tracks[idx] = ProfileTrack(idx, track.track_name, track.enabled, blocks, max(total, 0))
    return tracks


def _block(later: ProfileBlock, earlier: ProfileBlock | None) -> ProfileBlock:
    change = ProfileBlock(later.name, later.file, later.line, later.track_idx, later.block_idx)
    _subtract(change, later, earlier)
    change.histogram = _histogram(later, earlier)
    if change.hit_count:
        change.min_time_ns, change.max_time_ns = _extremes(change, later, earlier)
    return change


def _subtract(change: Record, later: Record, earlier: Record | None) -> None:
    for name in change._summed:
        value = getattr(later, name)
        if earlier is not None and name != "open_count":
            value -= getattr(earlier, name)
        # Times may come out below 0 when the clock's rate has become known better since.
        setattr(change, name, value if name == "self_time_ns" else max(value, 0))


def _extremes(
    change: ProfileBlock, later: ProfileBlock, earlier: ProfileBlock | None
) -> tuple[int, int]:
    if earlier is None or not earlier.hit_count:
        return later.min_time_ns, later.max_time_ns
    buckets = sorted(change.histogram.counts())
    least, most = later.min_time_ns, later.max_time_ns
    if buckets and earlier.min_time_ns <= least:
        least = max(least, min(bounds(buckets[0])[0], most))
    if buckets and earlier.max_time_ns >= most:
        most = min(most, max(bounds(buckets[-1])[1] - 1, least))
    return least, most


def _histogram(later: ProfileBlock, earlier: ProfileBlock | None) -> Histogram:
    counts = later.histogram.counts()
    if earlier is None:
        return Histogram(counts)
    missing: dict[int, int] = {}
    for bucket, count in earlier.histogram.counts().items():
        _take(counts, bucket, bucket, count, missing)
    for bucket in list(missing):
        for distance in _NEAR:
            _take(counts, bucket + distance, bucket, missing.pop(bucket, 0), missing)
    return Histogram({bucket: count for bucket, count in counts.items() if count})


def _take(
    counts: dict[int, int], bucket: int, owed_to: int, count: int, missing: dict[int, int]
) -> None:
    """Take passes out of a bucket; note how many of them were not there."""
    there = min(counts.get(bucket, 0), count)
    if there:
        counts[bucket] -= there
    if count > there:
        missing[owed_to] = count - there


def _tree(later: CallNode, earlier: CallNode) -> CallNode:
    """Return the difference of two trees, without what has nothing left."""
    root = _node(later, earlier)
    made = [root]
    stack: list[tuple[CallNode, CallNode, CallNode | None]] = [(root, later, earlier)]
    while stack:
        change, after, before = stack.pop()
        known = {child.identity: child for child in before.children} if before is not None else {}
        for child in after.children:
            below = known.get(child.identity)
            node = _node(child, below)
            change.children.append(node)
            made.append(node)
            stack.append((node, child, below))
    # A parent was made before its children: backwards, what is below a node has been looked at.
    for node in reversed(made):
        node.children = [one for one in node.children if one.was_entered or one.children]
    return root


def _node(later: CallNode, earlier: CallNode | None) -> CallNode:
    node = CallNode(later.name, later.track_idx, later.block_idx, later.file, later.line)
    _subtract(node, later, earlier)
    return node
